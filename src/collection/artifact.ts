import { CollectionError } from './errors.js';
import { type ArtifactMetadata, toMetadata } from './metadata.js';
import { isTable, type TomlTable } from './toml/parse-toml.js';

export type ArtifactType =
  | 'skill'
  | 'command'
  | 'agent'
  | 'hook'
  | 'mcp'
  | 'workflow'
  | 'composite';

/** What an artifact is on disk; `either` may be a file or a directory. */
export type ArtifactShape = 'file' | 'directory' | 'either';

/** Where the artifacts of each type live, and what they are. */
export const artifactTypes: Readonly<
  Record<ArtifactType, { readonly directory: string; readonly shape: ArtifactShape }>
> = {
  skill: { directory: 'skills', shape: 'directory' },
  command: { directory: 'commands', shape: 'file' },
  agent: { directory: 'agents', shape: 'file' },
  hook: { directory: 'hooks', shape: 'either' },
  mcp: { directory: 'mcp', shape: 'either' },
  workflow: { directory: 'workflows', shape: 'directory' },
  composite: { directory: 'composites', shape: 'directory' },
};

/** `name::type`: what names an artifact in the lock. */
export type ArtifactKey = `${string}::${string}`;

/** What tells an artifact from the others of its collection. */
export interface ArtifactId {
  readonly name: string;
  /** Any word: a collection may hold types that this version does not know. */
  readonly type: string;
}

/** An artifact as the manifest has it. Times are ISO 8601, UTC, without a zone. */
export interface Artifact extends ArtifactId {
  /** Relative to the collection, as in `skills/canvas`. */
  readonly path: string;
  readonly origin: string;
  readonly added: string;
  readonly upstream: string | undefined;
  readonly versionSpec: string | undefined;
  readonly resolvedSha: string | undefined;
  readonly resolvedVersion: string | undefined;
  readonly lastUpdated: string | undefined;
  readonly tags: readonly string[];
  readonly metadata: ArtifactMetadata;
}

export function isArtifactType(text: string): text is ArtifactType {
  return Object.hasOwn(artifactTypes, text);
}

/** @throws {CollectionError} `ARTIFACT_TYPE_INVALID`. */
export function parseArtifactType(text: string): ArtifactType {
  // `skills/canvas` is how the file is called.
  const singular = Object.keys(artifactTypes).find(
    (type) => isArtifactType(type) && (type === text || artifactTypes[type].directory === text),
  );
  if (singular !== undefined && isArtifactType(singular)) return singular;
  throw new CollectionError('ARTIFACT_TYPE_INVALID', `there is no type "${text}" of artifacts`, {
    path: text,
    hint: `The types are ${Object.keys(artifactTypes).join(', ')}.`,
  });
}

export function keyOf({ name, type }: ArtifactId): ArtifactKey {
  return `${name}::${type}`;
}

/** Splits a key at its last `::`: names may hold anything. */
export function idOf(key: ArtifactKey): ArtifactId {
  const at = key.lastIndexOf('::');
  return { name: key.slice(0, at), type: key.slice(at + 2) };
}

/** Returns the artifact as people address it: `skill/canvas`. */
export function addressOf(key: ArtifactKey): string {
  const { name, type } = idOf(key);
  return `${type}/${name}`;
}

/** Names that become file names: what every system can have, and no path. */
const usableName = /^(?![.-])[^\p{Cc}\p{Cs}<>:"/\\|?*]{1,100}(?<![. ])$/u;

/** @throws {CollectionError} `ARTIFACT_NAME_INVALID`. */
export function parseArtifactName(text: string): string {
  if (usableName.test(text)) return text.normalize('NFC');
  throw new CollectionError('ARTIFACT_NAME_INVALID', `${JSON.stringify(text)} cannot be a name`, {
    path: text,
    hint: 'Use at most 100 characters without / \\ : * ? " < > |, and no dot or dash at the start.',
  });
}

/** Returns where an artifact of this type and name belongs. */
export function pathFor(type: ArtifactType, name: string, isFile: boolean): string {
  return `${artifactTypes[type].directory}/${name}${isFile ? '.md' : ''}`;
}

/** Reads a table of the manifest; `undefined` when it names no artifact. */
export function readArtifact(table: unknown): Artifact | undefined {
  if (!isTable(table)) return undefined;
  const { name, type, path } = table;
  if (typeof name !== 'string' || typeof type !== 'string' || typeof path !== 'string') {
    return undefined;
  }
  return {
    name,
    type,
    path,
    origin: textOf(table, 'origin') ?? 'local',
    added: textOf(table, 'added') ?? '',
    upstream: textOf(table, 'upstream'),
    versionSpec: textOf(table, 'version_spec'),
    resolvedSha: textOf(table, 'resolved_sha'),
    resolvedVersion: textOf(table, 'resolved_version'),
    lastUpdated: textOf(table, 'last_updated'),
    tags: listOf(table, 'tags'),
    metadata: toMetadata(table['metadata']),
  };
}

/** An empty string is how some files say that there is nothing. */
export function textOf(table: TomlTable, key: string): string | undefined {
  const value = table[key];
  if (value instanceof Date) return value.toISOString().replace('Z', '');
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function listOf(table: TomlTable, key: string): readonly string[] {
  const value = table[key];
  return Array.isArray(value) ? value.filter((element) => typeof element === 'string') : [];
}

/** Returns milliseconds since 1970 as these files write times: microseconds, UTC, no zone. */
export function timeText(ms: number): string {
  return new Date(ms).toISOString().replace('Z', '000');
}
