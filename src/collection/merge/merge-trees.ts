import { hashContent, mergeParts } from '../../engine/index.js';
import { type ConflictPlace, joinParts, type OnConflict } from './join-parts.js';
import { isSameEntry, type Tree, type TreeEntry } from './tree.js';

/** A file that both sides changed, each in its own way. */
export interface FileConflict {
  /** Relative to the collection. */
  readonly path: string;
  readonly why: string;
  /** How many places of a text are in conflict; 0 when it is about the file as a whole. */
  readonly hunks: number;
  /** How many other places of it one side changed, or both in the same way. */
  readonly mergedHunks: number;
  /** As many as `hunks`. */
  readonly places: readonly ConflictPlace[];
}

/** As {@link FileConflict}; `path` is relative to the artifact, and empty when that is the file. */
export interface MergeConflict extends FileConflict {
  /** What stands there now. */
  readonly resolution: 'ours' | 'theirs' | 'markers';
}

/** Files that both sides changed, and places in those that are texts. */
export interface MergeCounts {
  readonly conflictingFiles: number;
  readonly conflictingHunks: number;
  /** Texts merged line by line without a conflict. */
  readonly mergedFiles: number;
  /** Also those of texts that have conflicts elsewhere. */
  readonly mergedHunks: number;
}

export interface MergedTree {
  readonly entries: Tree;
  readonly conflicts: readonly MergeConflict[];
  readonly counts: MergeCounts;
}

export interface ThreeTrees {
  /** As last fetched; `undefined` when nobody has it any more: then every difference is a conflict. */
  readonly base: Tree | undefined;
  readonly ours: Tree;
  readonly theirs: Tree;
}

/** `abort` merges as `ours` does: the caller looks at the conflicts, and stops. */
export type { ConflictPlace, LineRange, OnConflict } from './join-parts.js';

/**
 * Merges what two sides made of a tree, file by file; texts line by line. A file that one side moved,
 * byte for byte, takes along what the other side did to it. Pure but for reading.
 */
export async function mergeTrees(trees: ThreeTrees, onConflict: OnConflict): Promise<MergedTree> {
  const { base, ours, theirs } = followMoves(trees);
  const entries = new Map<string, TreeEntry>();
  const conflicts: MergeConflict[] = [];
  const merged = { files: 0, hunks: 0 };
  for (const path of new Set([...ours.keys(), ...theirs.keys()])) {
    const three = { base: base?.get(path), ours: ours.get(path), theirs: theirs.get(path) };
    const outcome = await mergeEntry(three, base !== undefined, onConflict);
    const { entry, conflict, mergedHunks } = outcome;
    if (entry !== undefined) entries.set(path, entry);
    if (conflict !== undefined) conflicts.push({ path, ...conflict });
    if (mergedHunks === undefined) continue;
    merged.hunks += mergedHunks;
    if (conflict === undefined) merged.files += 1;
  }
  conflicts.push(...takeOutCollisions(entries));
  const counts = {
    conflictingFiles: conflicts.length,
    conflictingHunks: conflicts.reduce((sum, { hunks }) => sum + hunks, 0),
    mergedFiles: merged.files,
    mergedHunks: merged.hunks,
  };
  return { entries, conflicts, counts };
}

interface ThreeEntries {
  readonly base: TreeEntry | undefined;
  readonly ours: TreeEntry | undefined;
  readonly theirs: TreeEntry | undefined;
}

interface Outcome {
  readonly entry: TreeEntry | undefined;
  readonly conflict?: Omit<MergeConflict, 'path'>;
  /** Of a text that was merged line by line. */
  readonly mergedHunks?: number;
}

async function mergeEntry(
  { base, ours, theirs }: ThreeEntries,
  hasBase: boolean,
  onConflict: OnConflict,
): Promise<Outcome> {
  if (isSameEntry(ours, theirs)) return { entry: ours };
  if (hasBase && isSameEntry(base, ours)) return { entry: theirs };
  if (hasBase && isSameEntry(base, theirs)) return { entry: ours };
  if (base?.kind === 'file' && ours?.kind === 'file' && theirs?.kind === 'file') {
    return mergeFiles({ base, ours, theirs }, onConflict);
  }
  return {
    entry: onConflict === 'theirs' ? theirs : ours,
    conflict: whole(reason(base, ours, theirs), onConflict),
  };
}

type FileEntry = Extract<TreeEntry, { kind: 'file' }>;

async function mergeFiles(
  {
    base,
    ours,
    theirs,
  }: { readonly base: FileEntry; readonly ours: FileEntry; readonly theirs: FileEntry },
  onConflict: OnConflict,
): Promise<Outcome> {
  const isExecutable =
    ours.isExecutable === base.isExecutable ? theirs.isExecutable : ours.isExecutable;
  const withMode = (entry: FileEntry): FileEntry => ({ ...entry, isExecutable });
  if (ours.sha256 === theirs.sha256 || theirs.sha256 === base.sha256) {
    return { entry: withMode(ours) };
  }
  if (ours.sha256 === base.sha256) return { entry: withMode(theirs) };
  const [was, here, there] = [await base.read(), await ours.read(), await theirs.read()];
  const parts = mergeParts({ base: was, ours: here, theirs: there });
  if (typeof parts === 'string') {
    const side = onConflict === 'theirs' ? theirs : ours;
    return {
      entry: withMode(side),
      conflict: whole(`both sides changed it, and ${parts}`, onConflict),
    };
  }
  const { bytes, places, mergedHunks } = joinParts(parts, onConflict);
  const read = async (): Promise<Uint8Array> => bytes;
  const entry: FileEntry = { kind: 'file', isExecutable, sha256: hashContent(bytes), read };
  const hunks = places.length;
  if (hunks === 0) return { entry, mergedHunks };
  const why = `both sides changed it in ${hunks === 1 ? 'one place' : `${String(hunks)} places`}`;
  const resolution = onConflict === 'abort' ? 'ours' : onConflict;
  return { entry, mergedHunks, conflict: { why, hunks, mergedHunks, places, resolution } };
}

/** A file that is no text, or is there on one side only, never gets markers. */
function whole(why: string, onConflict: OnConflict): Omit<MergeConflict, 'path'> {
  return { ...wholeFile, why, resolution: onConflict === 'theirs' ? 'theirs' : 'ours' };
}

const wholeFile = { hunks: 0, mergedHunks: 0, places: [] } as const;

function reason(
  base: TreeEntry | undefined,
  ours: TreeEntry | undefined,
  theirs: TreeEntry | undefined,
): string {
  if (ours === undefined) {
    return base === undefined
      ? 'nobody knows whether it is new upstream or was removed here'
      : 'it was removed here and changed upstream';
  }
  if (theirs === undefined) {
    return base === undefined
      ? 'nobody knows whether it is new here or was removed upstream'
      : 'it was changed here and removed upstream';
  }
  if (base === undefined) return 'it differs, and what was last fetched is not known';
  return 'one side made it a link';
}

/** Lets each side have, under the new name, what the other side moved there byte for byte. */
function followMoves({ base, ours, theirs }: ThreeTrees): ThreeTrees {
  if (base === undefined) return { base, ours, theirs };
  const moves = [...movesOf(base, theirs, ours), ...movesOf(base, ours, theirs)];
  const renamed = (tree: Tree, side: Tree): Tree => {
    const moved = new Map(tree);
    for (const { from, to, by } of moves) {
      const entry = moved.get(from);
      // The side that moved it has it under the new name already.
      if (by === side || entry === undefined) continue;
      moved.delete(from);
      moved.set(to, entry);
    }
    return moved;
  };
  return { base: renamed(base, base), ours: renamed(ours, ours), theirs: renamed(theirs, theirs) };
}

interface Move {
  readonly from: string;
  readonly to: string;
  /** The side that moved it. */
  readonly by: Tree;
}

function movesOf(base: Tree, side: Tree, other: Tree): readonly Move[] {
  const gone = new Map<string, string[]>();
  for (const [path, entry] of base) {
    if (entry.kind !== 'file' || side.has(path)) continue;
    gone.set(entry.sha256, [...(gone.get(entry.sha256) ?? []), path]);
  }
  const moves: Move[] = [];
  for (const [to, entry] of side) {
    if (entry.kind !== 'file' || base.has(to) || other.has(to)) continue;
    const [from, ...others] = gone.get(entry.sha256) ?? [];
    // With two of one content nobody knows which became which.
    if (from === undefined || others.length > 0 || !other.has(from)) continue;
    gone.delete(entry.sha256);
    moves.push({ from, to, by: side });
  }
  return moves;
}

/** One side has a file where the other has a directory: the directory's names win, the file is told. */
function takeOutCollisions(entries: Map<string, TreeEntry>): readonly MergeConflict[] {
  const found: MergeConflict[] = [];
  for (const path of entries.keys()) {
    const names = path.split('/');
    for (let length = 1; length < names.length; length += 1) {
      const above = names.slice(0, length).join('/');
      if (!entries.delete(above)) continue;
      const why = 'it is a file on one side and a directory on the other';
      found.push({ path: above, ...wholeFile, why, resolution: 'theirs' });
    }
  }
  return found;
}
