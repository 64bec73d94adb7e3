import { isEngineError } from './errors.js';
import type { ContentHash } from './hash.js';
import type { Journal } from './journal.js';
import type { ObjectStore, StoredObject } from './object-store.js';
import type { Pace } from './pace.js';
import { addNeeded } from './snapshot-sizes.js';
import { listingReader } from './snapshot-tree.js';

/*
 * Removes objects that no snapshot names, deleted ones included, under the lock. Snapshots are taken without it, and may
 * just now rely on an object that is going to be removed. So the journal counts collections:
 *
 * 1. Count on to an odd number, synced: a collection has begun.
 * 2. Remove.
 * 3. Count on to an even number: it is over.
 *
 * Who takes a snapshot compares the count of before with the one under the lock and begins again
 * if it is another. It never is odd there, but after a kill within step 2.
 */

const countKey = 'object_collections';

/** What was collected. */
export interface Collected {
  readonly objects: number;
  /** Why nothing could be collected. */
  readonly blocked: string | null;
}

export interface Collecting {
  readonly journal: Journal;
  readonly objects: ObjectStore;
  readonly pace: Pace;
  /** Objects that are younger stay: a snapshot that is being taken may be about to name them. */
  readonly beforeMs: number;
}

/** Returns how often objects were collected; odd while, or after a kill amid, a collection. */
export function collectionCount(journal: Journal): number {
  return Number(journal.meta(countKey) ?? 0);
}

/** Returns the count for who is about to rely on objects, under the lock. */
export function endCollection(journal: Journal): number {
  const count = collectionCount(journal);
  if (count % 2 === 0) return count;
  journal.setMeta({ [countKey]: count + 1 });
  return count + 1;
}

/** Runs `remove`, which removes objects, so that no snapshot comes to rely on them meanwhile. */
export async function collecting(
  journal: Journal,
  remove: () => void | Promise<void>,
): Promise<void> {
  const count = endCollection(journal);
  journal.setMeta({ [countKey]: count + 1 });
  await remove();
  journal.setMeta({ [countKey]: count + 2 });
}

/** Returns what snapshots name, deleted ones included; a text says why nobody knows. */
async function namedBySnapshots(
  journal: Journal,
  objects: ObjectStore,
): Promise<ReadonlySet<ContentHash> | string> {
  const named = new Set<ContentHash>();
  try {
    const read = listingReader(objects);
    for (const { sha256 } of journal.snapshots.all()) await addNeeded(named, sha256, read);
    return named;
  } catch (error) {
    // What a listing that cannot be read names, nobody knows.
    if (!isEngineError(error, 'HISTORY_DAMAGED', 'STORE_FORMAT_NEWER')) throw error;
    return error.message;
  }
}

/**
 * Removes what this call stored and a failed sync was to cover: nobody may find and trust it (I10). What
 * another process has named meanwhile stays: it had a sync of its own.
 */
export async function removeUnsure(journal: Journal, objects: ObjectStore): Promise<void> {
  await collecting(journal, async () => {
    const named = await namedBySnapshots(journal, objects);
    if (typeof named === 'string') return;
    // guard: unsure-named-stays [named becomes new Set()]
    objects.removeAdded(named);
  });
}

/** Removes what no snapshot names and is old enough. Runs under the lock. */
export async function collectObjects({
  journal,
  objects,
  pace,
  beforeMs,
}: Collecting): Promise<Collected> {
  const needed = await namedBySnapshots(journal, objects);
  if (typeof needed === 'string') return { objects: 0, blocked: needed };
  const unnamed: StoredObject[] = [];
  for (const object of objects.list()) {
    if (pace.isDue()) await pace.turn();
    if (!needed.has(object.sha256) && objects.isOlder(object, beforeMs)) unnamed.push(object);
  }
  objects.removeDrafts(beforeMs);
  if (unnamed.length === 0) return { objects: 0, blocked: null };
  await collecting(journal, async () => {
    for (const object of unnamed) {
      if (pace.isDue()) await pace.turn();
      objects.remove(object);
    }
  });
  return { objects: unnamed.length, blocked: null };
}
