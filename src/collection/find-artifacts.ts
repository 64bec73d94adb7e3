import { posix } from 'node:path';
import type { ReadableView } from '../engine/index.js';
import { type ArtifactType, artifactTypes, isArtifactType, parseArtifactName } from './artifact.js';
import { isCollectionError } from './errors.js';

/** An artifact that lies in a directory, by its looks. */
export interface FoundArtifact {
  readonly type: ArtifactType;
  readonly name: string;
  readonly path: string;
}

/** What was not taken for an artifact, and why. */
export interface SkippedPath {
  readonly path: string;
  readonly why: string;
}

export interface FoundArtifacts {
  readonly found: readonly FoundArtifact[];
  readonly skipped: readonly SkippedPath[];
}

/** How deep below the directory artifacts are looked for. */
const depthMax = 8;

const ignoredNames = new Set([
  '.skillmeat',
  '.git',
  '.github',
  'node_modules',
  '__pycache__',
  '.venv',
  'venv',
]);
const plainDocuments =
  /^(?:readme|license|changelog|contributing|code_of_conduct|security|notice|claude|agents)\.md$/i;

/**
 * Finds the artifacts of a directory: what has a `SKILL.md` is a skill; what lies in a directory
 * that is named for a type (`commands`, `agents`, …) is of that type; any other Markdown file is of
 * the type `markdown`, where one is given.
 */
export async function findArtifacts(
  view: ReadableView,
  { markdown }: { readonly markdown?: ArtifactType | undefined } = {},
): Promise<FoundArtifacts> {
  const search = new Search(view, markdown);
  await search.look('.', undefined, 0);
  return search;
}

class Search implements FoundArtifacts {
  readonly found: FoundArtifact[] = [];
  readonly skipped: SkippedPath[] = [];
  readonly #view: ReadableView;
  readonly #markdown: ArtifactType | undefined;

  constructor(view: ReadableView, markdown: ArtifactType | undefined) {
    this.#view = view;
    this.#markdown = markdown;
  }

  async look(directory: string, within: ArtifactType | undefined, depth: number): Promise<void> {
    if (depth > depthMax) {
      this.skipped.push({
        path: directory,
        why: `lies more than ${String(depthMax)} directories deep`,
      });
      return;
    }
    for (const { name, kind } of (await this.#view.list(directory)) ?? []) {
      if (ignoredNames.has(name)) continue;
      const path = directory === '.' ? name : `${directory}/${name}`;
      if (kind === 'directory') await this.#directory(path, within, depth);
      else if (kind === 'file') this.#file(path, within);
    }
  }

  async #directory(path: string, within: ArtifactType | undefined, depth: number): Promise<void> {
    const name = posix.basename(path);
    if ((await this.#view.stat(`${path}/SKILL.md`))?.kind === 'file') {
      this.#add('skill', name, path);
      return;
    }
    const isWhole =
      within !== undefined && artifactTypes[within].shape !== 'file' && within !== 'skill';
    if (isWhole) this.#add(within, name, path);
    else await this.look(path, typeNamed(name) ?? within, depth + 1);
  }

  #file(path: string, within: ArtifactType | undefined): void {
    const name = posix.basename(path);
    const type =
      within === undefined || artifactTypes[within].shape === 'directory' ? this.#markdown : within;
    if (type === undefined || name.startsWith('.')) return;
    if (artifactTypes[type].shape === 'file' && !name.endsWith('.md')) return;
    if (plainDocuments.test(name)) return;
    this.#add(type, name.replace(/\.md$/, ''), path);
  }

  #add(type: ArtifactType, name: string, path: string): void {
    try {
      const parsed = parseArtifactName(name);
      const twin = this.found.find((other) => other.type === type && other.name === parsed);
      if (twin === undefined) this.found.push({ type, name: parsed, path });
      else this.skipped.push({ path, why: `${twin.path} is the ${type} of that name` });
    } catch (error) {
      if (!isCollectionError(error, 'ARTIFACT_NAME_INVALID')) throw error;
      this.skipped.push({ path, why: error.message });
    }
  }
}

function typeNamed(directory: string): ArtifactType | undefined {
  return Object.keys(artifactTypes)
    .filter(isArtifactType)
    .find((type) => artifactTypes[type].directory === directory);
}
