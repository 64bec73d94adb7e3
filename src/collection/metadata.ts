import type { TableEdits } from './toml/edit-table.js';
import { isTable, type TomlTable } from './toml/parse-toml.js';

/** What a manifest says of an artifact besides where it is from: as its author describes it. */
export interface ArtifactMetadata {
  readonly title: string | undefined;
  readonly description: string | undefined;
  readonly author: string | undefined;
  readonly license: string | undefined;
  readonly version: string | undefined;
  readonly dependencies: readonly string[];
  readonly tools: readonly string[];
}

export const noMetadata: ArtifactMetadata = {
  title: undefined,
  description: undefined,
  author: undefined,
  license: undefined,
  version: undefined,
  dependencies: [],
  tools: [],
};

const metadataKeys = Object.keys(noMetadata) as (keyof ArtifactMetadata)[];

/** Reads an artifact's table `metadata`; what is not as it should be counts as not there. */
export function toMetadata(table: unknown): ArtifactMetadata {
  if (!isTable(table)) return noMetadata;
  return {
    title: textIn(table, 'title'),
    description: textIn(table, 'description'),
    author: textIn(table, 'author'),
    license: textIn(table, 'license'),
    version: textIn(table, 'version'),
    dependencies: listIn(table, 'dependencies'),
    tools: listIn(table, 'tools'),
  };
}

/** Returns what a manifest has to say of a new artifact. */
export function metadataEdits(metadata: ArtifactMetadata): TableEdits {
  return changedMetadata({ current: noMetadata, before: noMetadata, after: metadata });
}

/**
 * Returns what has to change when the artifact's own words for itself do. What somebody wrote into
 * the manifest by hand stays: it is not what the artifact said before.
 */
export function changedMetadata({
  current,
  before,
  after,
}: {
  /** As the manifest has it. */
  readonly current: ArtifactMetadata;
  /** As the artifact said it. */
  readonly before: ArtifactMetadata;
  /** As it says it now. */
  readonly after: ArtifactMetadata;
}): TableEdits {
  const edits: Record<string, TableEdits[string]> = {};
  for (const key of metadataKeys) {
    const isOwn = isNothing(current[key]) || isSame(current[key], before[key]);
    if (isOwn && !isSame(current[key], after[key])) {
      edits[key] = isNothing(after[key]) ? undefined : after[key];
    }
  }
  return edits;
}

type Value = ArtifactMetadata[keyof ArtifactMetadata];

function isNothing(value: Value): boolean {
  return value === undefined || value.length === 0;
}

function isSame(a: Value, b: Value): boolean {
  return (isNothing(a) && isNothing(b)) || JSON.stringify(a) === JSON.stringify(b);
}

function textIn(table: TomlTable, key: string): string | undefined {
  const value = table[key];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function listIn(table: TomlTable, key: string): readonly string[] {
  const value = table[key];
  return Array.isArray(value) ? value.filter((element) => typeof element === 'string') : [];
}
