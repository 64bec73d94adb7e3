import { EngineError } from './errors.js';
import type { ContentHash } from './hash.js';
import { deletedSnapshotKeptMs, snapshotNameLengthMax, snapshotTagsMax } from './limits.js';
import type { ListingEntry } from './listing.js';
import type { SnapshotRow } from './snapshot-table.js';

/** A snapshot, as the engine tells of it. */
export interface Snapshot {
  /** From 1; never given twice. `null`: of a dry run. */
  readonly id: number | null;
  readonly name: string | null;
  readonly message: string;
  readonly tags: readonly string[];
  /** Whether only `force` deletes it. */
  readonly isPinned: boolean;
  /** ISO 8601. */
  readonly createdAt: string;
  /** Number of the newest transaction then. */
  readonly head: number;
  /** Names the state of the whole directory: equal states have equal ones. */
  readonly sha256: ContentHash;
  readonly files: number;
  readonly directories: number;
  readonly links: number;
  /** Of the files. */
  readonly bytes: number;
  /** How many paths it left out. */
  readonly leftOut: number;
  /** When it was deleted, ISO 8601; `null`: it is not in the trash. */
  readonly deletedAt: string | null;
  /** Until when a deleted one can be brought back, ISO 8601. */
  readonly keptUntil: string | null;
}

/** One path of a snapshot. */
export interface SnapshotPath {
  readonly path: string;
  readonly kind: ListingEntry['kind'];
  /** Permission bits; `null` where there are none. */
  readonly mode: number | null;
  readonly size: number | null;
  /** Of a file's content. */
  readonly sha256: ContentHash | null;
  /** Of a link. */
  readonly target: string | null;
  /** Why it was left out. */
  readonly why: string | null;
}

export function toSnapshot(
  row: Omit<SnapshotRow, 'id'> & { readonly id: number | null },
): Snapshot {
  const { name, createdAt, deletedAt, patterns: _, fileBytesMax: _max, ...same } = row;
  return {
    ...same,
    name: name ?? null,
    createdAt: new Date(createdAt).toISOString(),
    deletedAt: deletedAt === undefined ? null : new Date(deletedAt).toISOString(),
    keptUntil:
      deletedAt === undefined ? null : new Date(deletedAt + deletedSnapshotKeptMs).toISOString(),
  };
}

export function toSnapshotPath(path: string, entry: ListingEntry): SnapshotPath {
  return {
    path,
    kind: entry.kind,
    mode: 'mode' in entry ? entry.mode : null,
    size: entry.kind === 'file' ? entry.size : null,
    sha256: entry.kind === 'file' ? entry.sha256 : null,
    target: entry.kind === 'symlink' ? entry.target : null,
    why: entry.kind === 'left-out' ? entry.why : null,
  };
}

/** Stands for the newest snapshot. */
export const latest = 'latest';

/** @throws {EngineError} `SNAPSHOT_INVALID`. */
export function parseSnapshotName(input: string, what: 'name' | 'tag' = 'name'): string {
  // A number names a snapshot by itself, and what begins with - is an option.
  const isPlain = /^[^\s/\\\p{C}-][^/\\\p{C}]*$/u.test(input) && !/^\d+$/.test(input);
  if (isPlain && input !== latest && input.length <= snapshotNameLengthMax) return input;
  throw new EngineError(
    'SNAPSHOT_INVALID',
    `${JSON.stringify(input.slice(0, 200))} is no ${what} for a snapshot`,
    {
      hint: `Use up to ${String(snapshotNameLengthMax)} characters without / and \\, not only digits, not "${latest}".`,
    },
  );
}

/** @throws {EngineError} `SNAPSHOT_INVALID`. */
export function parseTags(input: readonly string[]): readonly string[] {
  if (input.length > snapshotTagsMax) {
    throw new EngineError('SNAPSHOT_INVALID', `${String(input.length)} tags are too many`, {
      hint: `Give at most ${String(snapshotTagsMax)}.`,
    });
  }
  return [...new Set(input.map((tag) => parseSnapshotName(tag, 'tag')))];
}
