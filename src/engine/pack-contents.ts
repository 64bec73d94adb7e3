import { isEngineError } from './errors.js';
import type { ContentHash } from './hash.js';
import { listingBytesMax, packBytesMax } from './limits.js';
import { parseListing } from './listing.js';
import type { ObjectStore } from './object-store.js';
import type { Pace } from './pace.js';
import type { Pack, PackedContent } from './packs.js';
import { childPath } from './snapshot-tree.js';
import type { RelativePath } from './path.js';
import type { SnapshotRow } from './snapshot-table.js';

/** What something needs, and what it is put beside in a pack. */
export interface NeededContent {
  readonly sha256: ContentHash;
  readonly size: number;
  /** Contents of one path lie next to each other, in the order in which they were found. */
  readonly path: string;
}

/** Lists come before everything else. */
const listingPath = '\0';

/**
 * Returns all that snapshots need.
 *
 * @returns a sentence when a listing cannot be read: what it names, nobody knows.
 */
export async function neededBySnapshots(
  snapshots: readonly SnapshotRow[],
  objects: ObjectStore,
  pace: Pace,
): Promise<ReadonlyMap<ContentHash, NeededContent> | string> {
  const needed = new Map<ContentHash, NeededContent>();
  const add = async (sha256: ContentHash, parent: RelativePath | undefined): Promise<void> => {
    if (needed.has(sha256)) return;
    if (pace.isDue()) await pace.turn();
    const bytes = await objects.read(sha256, listingBytesMax);
    needed.set(sha256, { sha256, size: bytes.length, path: listingPath + (parent ?? '') });
    for (const entry of parseListing(new TextDecoder().decode(bytes), sha256)) {
      const path = childPath(parent, entry.name);
      if (entry.kind === 'directory') await add(entry.sha256, path);
      else if (entry.kind === 'file' && !needed.has(entry.sha256)) {
        needed.set(entry.sha256, { sha256: entry.sha256, size: entry.size, path });
      }
    }
  };
  try {
    for (const { sha256 } of snapshots) await add(sha256, undefined);
    return needed;
  } catch (error) {
    if (!isEngineError(error, 'HISTORY_DAMAGED', 'STORE_FORMAT_NEWER')) throw error;
    return error.message;
  }
}

/** What becomes of the packs that there are. */
export interface PackFates {
  /** Nothing needs them. */
  readonly unneeded: readonly Pack[];
  /** Less than half needed, or small: what is needed of them goes into new ones. */
  readonly rewritten: readonly Pack[];
  /** What {@link rewritten} ones hold that is needed. */
  readonly moved: readonly PackedContent[];
}

/**
 * Decides about packs. Pure. A content that several hold is needed of the one that is needed most.
 *
 * @param packs those that can be read.
 * @param isGrowing whether there are new contents that small packs can go together with.
 */
export function decidePacks(
  packs: readonly Pack[],
  needed: { readonly has: (sha256: ContentHash) => boolean },
  isGrowing: boolean,
): PackFates {
  const held = packs
    .map((pack) => {
      const entries = typeof pack.index === 'string' ? [] : pack.index.entries;
      return { pack, entries, size: bytesOf(entries) };
    })
    .map((one) => ({ ...one, wanted: one.entries.filter(({ sha256 }) => needed.has(sha256)) }))
    .toSorted((one, other) => bytesOf(other.wanted) - bytesOf(one.wanted));
  const claimed = new Set<ContentHash>();
  const claims = held.map(({ pack, wanted, size }) => {
    const own = wanted.filter(({ sha256 }) => !claimed.has(sha256));
    for (const { sha256 } of own) claimed.add(sha256);
    return { pack, own, size };
  });
  const needy = claims.filter(({ own }) => own.length > 0);
  const isSmall = ({ size }: { readonly size: number }): boolean => size * 2 < packBytesMax;
  const small = needy.filter(isSmall);
  const mergesSmall = small.length + Number(isGrowing) > 1;
  const rewritten = needy.filter(
    (one) => bytesOf(one.own) * 2 < one.size || (mergesSmall && isSmall(one)),
  );
  return {
    unneeded: claims.filter(({ own }) => own.length === 0).map(({ pack }) => pack),
    rewritten: rewritten.map(({ pack }) => pack),
    moved: rewritten.flatMap(({ pack, own }) => own.map((entry) => ({ ...entry, pack }))),
  };
}

/** Puts what is alike next to each other, and as much of it together as one pack holds. */
export function groupForPacks<T extends NeededContent>(contents: readonly T[]): readonly T[][] {
  const sorted = contents.toSorted((one, other) =>
    one.path < other.path ? -1 : Number(one.path > other.path),
  );
  const groups: T[][] = [];
  let size = Number.POSITIVE_INFINITY;
  for (const content of sorted) {
    if (size + content.size > packBytesMax) {
      groups.push([]);
      size = 0;
    }
    groups.at(-1)?.push(content);
    size += content.size;
  }
  return groups;
}

function bytesOf(contents: readonly { readonly size: number }[]): number {
  return contents.reduce((sum, { size }) => sum + size, 0);
}
