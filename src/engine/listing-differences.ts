import type { ContentHash } from './hash.js';
import { isSameEntry, type ListingEntry } from './listing.js';
import type { RelativePath } from './path.js';
import { childPath, type TreeLookup } from './snapshot-tree.js';

/** Two trees of listings; `undefined` is one that has nothing. */
export interface TwoTrees {
  readonly from: ContentHash | undefined;
  readonly to: ContentHash | undefined;
}

/** A path that two trees do not have alike, and what each says of it. */
export interface DifferingPath {
  readonly path: RelativePath;
  readonly from: ListingEntry | undefined;
  readonly to: ListingEntry | undefined;
}

/**
 * Yields the paths that two trees of listings do not have alike, each directory before its content.
 * Below listings that are the same nothing is read.
 *
 * @throws {EngineError} `HISTORY_DAMAGED`.
 */
export async function* differingPaths(
  lookup: TreeLookup,
  { from, to }: TwoTrees,
  parent?: RelativePath,
): AsyncGenerator<DifferingPath, void> {
  if (from === to) return;
  const before = from === undefined ? nothing : await lookup.entries(from);
  const after = to === undefined ? nothing : await lookup.entries(to);
  for (const name of new Set([...before.keys(), ...after.keys()])) {
    const [old, now] = [before.get(name), after.get(name)];
    const path = childPath(parent, name);
    if (!isSameEntry(old, now)) yield { path, from: old, to: now };
    yield* differingPaths(lookup, { from: listingOf(old), to: listingOf(now) }, path);
  }
}

const nothing: ReadonlyMap<string, ListingEntry> = new Map();

function listingOf(entry: ListingEntry | undefined): ContentHash | undefined {
  return entry?.kind === 'directory' ? entry.sha256 : undefined;
}
