import { mergeParts } from '../../engine/index.js';
import { joinParts, type OnConflict } from './join-parts.js';
import { isSameEntry, type Tree, type TreeEntry } from './tree.js';

/** A file that both sides changed, each in its own way. */
export interface MergeConflict {
  /** Relative to the artifact; empty when the artifact is that file. */
  readonly path: string;
  readonly why: string;
  /** How many places of a text; 0 when it is about the file as a whole. */
  readonly hunks: number;
  /** What stands there now. */
  readonly resolution: 'ours' | 'theirs' | 'markers';
}

/** What a merged name is: as one side has it, or a new text. */
export type MergedEntry =
  | { readonly kind: 'as'; readonly entry: TreeEntry }
  | { readonly kind: 'text'; readonly bytes: Uint8Array; readonly isExecutable: boolean };

export interface MergedTree {
  readonly entries: ReadonlyMap<string, MergedEntry>;
  readonly conflicts: readonly MergeConflict[];
}

export interface ThreeTrees {
  /** As last fetched; `undefined` when nobody has it any more: then every difference is a conflict. */
  readonly base: Tree | undefined;
  readonly ours: Tree;
  readonly theirs: Tree;
}

/** `abort` merges as `ours` does: the caller looks at the conflicts, and stops. */
export type { OnConflict } from './join-parts.js';

/**
 * Merges what two sides made of a tree, file by file; texts line by line. A file that one side moved,
 * byte for byte, takes along what the other side did to it. Pure but for reading.
 */
export async function mergeTrees(trees: ThreeTrees, onConflict: OnConflict): Promise<MergedTree> {
  const { base, ours, theirs } = followMoves(trees);
  const entries = new Map<string, MergedEntry>();
  const conflicts: MergeConflict[] = [];
  for (const path of new Set([...ours.keys(), ...theirs.keys()])) {
    const three = { base: base?.get(path), ours: ours.get(path), theirs: theirs.get(path) };
    const { entry, conflict } = await mergeEntry(three, base !== undefined, onConflict);
    if (entry !== undefined) entries.set(path, entry);
    if (conflict !== undefined) conflicts.push({ path, ...conflict });
  }
  conflicts.push(...takeOutCollisions(entries));
  return { entries, conflicts };
}

interface ThreeEntries {
  readonly base: TreeEntry | undefined;
  readonly ours: TreeEntry | undefined;
  readonly theirs: TreeEntry | undefined;
}

interface Outcome {
  readonly entry: MergedEntry | undefined;
  readonly conflict?: Omit<MergeConflict, 'path'>;
}

async function mergeEntry(
  { base, ours, theirs }: ThreeEntries,
  hasBase: boolean,
  onConflict: OnConflict,
): Promise<Outcome> {
  if (isSameEntry(ours, theirs)) return { entry: as(ours) };
  if (hasBase && isSameEntry(base, ours)) return { entry: as(theirs) };
  if (hasBase && isSameEntry(base, theirs)) return { entry: as(ours) };
  if (base?.kind === 'file' && ours?.kind === 'file' && theirs?.kind === 'file') {
    return mergeFiles({ base, ours, theirs }, onConflict);
  }
  return {
    entry: as(pick(ours, theirs, onConflict)),
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
  const withMode = (entry: FileEntry): MergedEntry => ({
    kind: 'as',
    entry: { ...entry, isExecutable },
  });
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
  const { bytes, hunks } = joinParts(parts, onConflict);
  const entry: MergedEntry = { kind: 'text', bytes, isExecutable };
  if (hunks === 0) return { entry };
  const line = parts.find((part) => part.kind === 'conflict')?.line ?? 0;
  const why = `both sides changed it at line ${String(line)} of what was last fetched`;
  const resolution = onConflict === 'abort' ? 'ours' : onConflict;
  return { entry, conflict: { why, hunks, resolution } };
}

/** A file that is no text, or is there on one side only, never gets markers. */
function whole(why: string, onConflict: OnConflict): Omit<MergeConflict, 'path'> {
  return { why, hunks: 0, resolution: onConflict === 'theirs' ? 'theirs' : 'ours' };
}

function pick(
  ours: TreeEntry | undefined,
  theirs: TreeEntry | undefined,
  onConflict: OnConflict,
): TreeEntry | undefined {
  return onConflict === 'theirs' ? theirs : ours;
}

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

function as(entry: TreeEntry | undefined): MergedEntry | undefined {
  return entry === undefined ? undefined : { kind: 'as', entry };
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
function takeOutCollisions(entries: Map<string, MergedEntry>): readonly MergeConflict[] {
  const found: MergeConflict[] = [];
  for (const path of entries.keys()) {
    const names = path.split('/');
    for (let length = 1; length < names.length; length += 1) {
      const above = names.slice(0, length).join('/');
      if (!entries.delete(above)) continue;
      const why = 'it is a file on one side and a directory on the other';
      found.push({ path: above, why, hunks: 0, resolution: 'theirs' });
    }
  }
  return found;
}
