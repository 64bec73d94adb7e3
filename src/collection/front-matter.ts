import type { ReadableView } from '../engine/index.js';
import { type ArtifactMetadata, noMetadata } from './metadata.js';
import { isTable, type TomlTable } from './toml/parse-toml.js';

/** What an artifact's own file says of it at its beginning. */
export interface FrontMatter {
  readonly metadata: ArtifactMetadata;
  readonly tags: readonly string[];
}

const nothing: FrontMatter = { metadata: noMetadata, tags: [] };

/** What is longer is none: reading what is deeply nested takes the square of its length. */
const charactersMax = 16_384;
/** Longer texts, and more elements of a list, are left out. */
const textLengthMax = 4_096;
const elementsMax = 100;
/** How often YAML may repeat a part of itself by its name. */
const aliasesMax = 50;

/** `---`, YAML, `---`, as the predecessor finds it. */
const frontMatter = /^\uFEFF?\s*---[ \t]*\r?\n([\s\S]*?)\r?\n---[ \t]*(?:\r?\n|$)/;

/** The tools that the predecessor knows: it cannot read a manifest that names others. */
const toolNames: readonly string[] = [
  'Read',
  'Write',
  'Edit',
  'MultiEdit',
  'Glob',
  'Grep',
  'NotebookEdit',
  'Bash',
  'KillShell',
  'AskUserQuestion',
  'TodoWrite',
  'WebFetch',
  'WebSearch',
  'Task',
  'TaskOutput',
  'Skill',
  'EnterPlanMode',
  'ExitPlanMode',
];

/**
 * Returns the YAML of an artifact's front matter, empty when there is none: of a skill's `SKILL.md`,
 * or of the one Markdown file that an artifact is.
 */
export async function readFrontMatter(
  view: ReadableView,
  { path, type }: { readonly path: string; readonly type: string },
): Promise<string> {
  const file = type === 'skill' ? `${path}/SKILL.md` : path;
  if (!file.endsWith('.md') || (await view.stat(file))?.kind !== 'file') return '';
  const bytes = (await view.read(file)) ?? new Uint8Array();
  return findFrontMatter(new TextDecoder().decode(bytes));
}

export function findFrontMatter(text: string): string {
  return frontMatter.exec(text.slice(0, charactersMax))?.[1] ?? '';
}

/** Returns what front matter says. Somebody else wrote it: what makes no sense says nothing. */
export async function parseFrontMatter(yaml: string): Promise<FrontMatter> {
  if (yaml === '') return nothing;
  const table = await parseYaml(yaml);
  if (table === undefined) return nothing;
  const tools = listOf(table['tools'] ?? table['allowed-tools'] ?? table['allowedTools']);
  return {
    metadata: {
      title: textOf(table['title']),
      description: textOf(table['description']),
      author: textOf(table['author']),
      license: textOf(table['license']),
      version: textOf(table['version']),
      dependencies: listOf(table['dependencies']),
      tools: [...new Set(tools.flatMap(toolNamed))],
    },
    tags: [...new Set(listOf(table['tags']))],
  };
}

async function parseYaml(text: string): Promise<TomlTable | undefined> {
  const { parse } = await import('yaml');
  try {
    // All scalars are texts: `version: 1.10` is no number.
    const value: unknown = parse(text, {
      schema: 'failsafe',
      maxAliasCount: aliasesMax,
      prettyErrors: false,
      logLevel: 'silent',
    });
    return isTable(value) ? value : undefined;
  } catch {
    // Broken, too many aliases, or nested so deeply that the stack is full.
    return undefined;
  }
}

function textOf(value: unknown): string | undefined {
  if (typeof value !== 'string') return undefined;
  const text = value.trim();
  const isNothing = text === '' || text === '~' || text === 'null';
  return isNothing || text.length > textLengthMax ? undefined : text;
}

/** A list, or its elements in one text with commas between. */
function listOf(value: unknown): readonly string[] {
  const elements: readonly unknown[] =
    typeof value === 'string' ? value.split(',') : Array.isArray(value) ? value : [];
  return elements.slice(0, elementsMax).flatMap((element) => textOf(element) ?? []);
}

/** `web-fetch` is how some write `WebFetch`. */
function toolNamed(text: string): readonly string[] {
  const plain = text.replaceAll(/[-_]/g, '').toLowerCase();
  return toolNames.filter((name) => name.toLowerCase() === plain);
}
