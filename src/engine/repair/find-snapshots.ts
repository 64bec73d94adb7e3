import { isEngineError } from '../errors.js';
import type { ContentHash } from '../hash.js';
import { listingBytesMax } from '../limits.js';
import { type ListingEntry, parseListing } from '../listing.js';
import type { ObjectStore } from '../object-store.js';
import type { NewSnapshot } from '../snapshot-table.js';
import { listingReader, walkListing } from '../snapshot-tree.js';

/** How every listing begins that is not empty; an empty one might be anything. */
const listingBegins = '["';

/**
 * Finds the snapshots that objects alone tell of: listings that no other listing names. Their words
 * and times are gone; what they hold is not.
 *
 * @param atMs what to say of when they were taken, in milliseconds since 1970.
 */
export async function findSnapshots(
  objects: ObjectStore,
  atMs: number,
): Promise<readonly NewSnapshot[]> {
  const listings = new Map<ContentHash, readonly ListingEntry[]>();
  for (const sha256 of objects.contents()) {
    const entries = await readAsListing(objects, sha256);
    if (entries !== undefined) listings.set(sha256, entries);
  }
  const below = new Set([...listings.values()].flat().flatMap(directoryOf));
  const found: NewSnapshot[] = [];
  for (const sha256 of [...listings.keys()].toSorted()) {
    if (below.has(sha256)) continue;
    const counts = await count(objects, sha256);
    if (counts === undefined) continue;
    found.push({
      name: `recovered-${String(found.length + 1)}`,
      message: 'found by repair: its name and time are lost',
      tags: [],
      isPinned: false,
      createdAt: atMs,
      head: 0,
      sha256,
      ...counts,
      patterns: [],
      fileBytesMax: undefined,
      deletedAt: undefined,
    });
  }
  return found;
}

async function readAsListing(
  objects: ObjectStore,
  sha256: ContentHash,
): Promise<readonly ListingEntry[] | undefined> {
  try {
    for await (const piece of objects.pieces(sha256, Number.MAX_SAFE_INTEGER)) {
      if (Buffer.from(piece.subarray(0, 2)).toString('latin1') !== listingBegins) return undefined;
      break;
    }
    const bytes = await objects.read(sha256, listingBytesMax);
    const entries = parseListing(new TextDecoder().decode(bytes), sha256);
    return entries.length === 0 ? undefined : entries;
  } catch (error) {
    if (isEngineError(error, 'HISTORY_DAMAGED', 'STORE_FORMAT_NEWER')) return undefined;
    throw error;
  }
}

function directoryOf(entry: ListingEntry): readonly ContentHash[] {
  return entry.kind === 'directory' ? [entry.sha256] : [];
}

type Counts = Pick<NewSnapshot, 'files' | 'directories' | 'links' | 'bytes' | 'leftOut'>;

/** Returns how much a listing holds; `undefined` if something below it cannot be read. */
export async function count(
  objects: ObjectStore,
  sha256: ContentHash,
): Promise<Counts | undefined> {
  const counts = { files: 0, directories: 0, links: 0, bytes: 0, leftOut: 0 };
  try {
    for await (const { entry } of walkListing(listingReader(objects), sha256)) {
      if (entry.kind === 'directory') counts.directories += 1;
      else if (entry.kind === 'symlink') counts.links += 1;
      else if (entry.kind === 'left-out') counts.leftOut += 1;
      else {
        counts.files += 1;
        counts.bytes += entry.size;
      }
    }
  } catch (error) {
    if (isEngineError(error, 'HISTORY_DAMAGED')) return undefined;
    throw error;
  }
  return counts;
}
