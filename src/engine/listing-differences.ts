import type { ContentHash } from './hash.js';
import { isSameEntry, type ListingEntry } from './listing.js';
import type { RelativePath } from './path.js';
import { childPath, type ReadListing } from './snapshot-tree.js';

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
  read: ReadListing,
  { from, to }: TwoTrees,
  parent?: RelativePath,
): AsyncGenerator<DifferingPath, void> {
  if (from === to) return;
  const before = await entriesOf(read, from);
  const after = await entriesOf(read, to);
  for (const name of new Set([...before.keys(), ...after.keys()])) {
    const [old, now] = [before.get(name), after.get(name)];
    const path = childPath(parent, name);
    if (!isSameEntry(old, now)) yield { path, from: old, to: now };
    yield* differingPaths(read, { from: listingOf(old), to: listingOf(now) }, path);
  }
}

async function entriesOf(
  read: ReadListing,
  sha256: ContentHash | undefined,
): Promise<ReadonlyMap<string, ListingEntry>> {
  const entries = sha256 === undefined ? [] : await read(sha256);
  return new Map(entries.map((entry) => [entry.name, entry]));
}

function listingOf(entry: ListingEntry | undefined): ContentHash | undefined {
  return entry?.kind === 'directory' ? entry.sha256 : undefined;
}
