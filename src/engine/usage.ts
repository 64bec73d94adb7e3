import type { Directory, Place } from './file-system.js';
import { isEngineError } from './errors.js';
import type { Looking } from './inspect.js';
import type { Journal } from './journal.js';
import type { ObjectStore } from './object-store.js';
import { type Snapshot, toSnapshot } from './snapshot-record.js';
import { objectSizes, SnapshotSizes } from './snapshot-sizes.js';
import type { SnapshotRow } from './snapshot-table.js';
import { listingReader } from './snapshot-tree.js';
import { journalName, type StoreDirectory } from './store-directory.js';
import { transactionOf } from './units.js';
import { utcText } from './utc-text.js';

/*
 * What history costs. Bytes are sizes of files; what blocks and directories take besides is not
 * counted. All of it is read without the lock: what comes or goes meanwhile may be counted or not.
 */

/** What a store keeps besides the directory itself, in bytes on disk. */
export interface StoreUsage {
  /** Everything in `.skillmeat`. */
  readonly bytes: number;
  /** The log: every transaction whose record is kept. */
  readonly journal: { readonly transactions: number; readonly bytes: number };
  /** What transactions displaced: undo, rollback and `cat` live on it. */
  readonly displaced: {
    readonly bytes: number;
    /** Transactions up to this number no longer keep what they displaced. */
    readonly prunedThrough: number;
    /** By age, the youngest first; only those that have any transaction. */
    readonly ranges: readonly UsageRange[];
  };
  /** What `prune` has packed, of both transactions and snapshots; `bytes` of the packs. */
  readonly packed: { readonly packs: number; readonly contents: number; readonly bytes: number };
  /**
   * `bytes`: what those need that are not deleted, each content once; of a packed one its share of
   * what is compressed with it.
   */
  readonly snapshots: { readonly bytes: number; readonly each: readonly SnapshotUsage[] };
  /** Deleted snapshots that can still be brought back; `bytes`: what nothing else needs. */
  readonly trash: { readonly bytes: number; readonly each: readonly SnapshotUsage[] };
  /** What no snapshot names; `null` while one cannot be read: nobody knows what it names. */
  readonly unreferenced: { readonly objects: number; readonly bytes: number } | null;
  /** What was set aside; nothing of it goes by itself. */
  readonly quarantine: { readonly items: number; readonly bytes: number };
}

/** Transactions of one age. */
export interface UsageRange {
  /** At most a day, a week, 30 days, or more. */
  readonly age: 'day' | 'week' | 'month' | 'older';
  /** Numbers of the first and the last. */
  readonly from: number;
  readonly to: number;
  /** When the first was committed, ISO 8601. */
  readonly since: string;
  readonly transactions: number;
  readonly bytes: number;
}

/** What one snapshot takes; `null`: it cannot be read. */
export interface SnapshotUsage {
  readonly snapshot: Snapshot;
  /** All that it needs. */
  readonly bytes: number | null;
  /** What only it needs, of all that are not deleted; of a deleted one, of all. */
  readonly ownBytes: number | null;
}

export interface Measuring {
  readonly directory: StoreDirectory;
  readonly journal: Journal;
  readonly objects: ObjectStore;
  readonly looking: Looking;
  readonly quarantined: number;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/** Measures what a store keeps. Reads every listing, and no content. */
export async function measureUsage(measuring: Measuring): Promise<StoreUsage> {
  const { directory, journal, looking, quarantined } = measuring;
  const { files, store } = directory;
  const journalBytes = ['', '-wal', '-shm']
    .map((suffix) => files.stat({ directory: store, name: journalName + suffix })?.size ?? 0)
    .reduce((sum, size) => sum + size, 0);
  const quarantineBytes = await bytesBelow(looking, directory.quarantine);
  return {
    bytes: await bytesBelow(looking, store),
    journal: {
      transactions: journal.head().id - journal.anchors.get().through,
      bytes: journalBytes,
    },
    displaced: await measureDisplaced(measuring),
    packed: measurePacks(measuring),
    ...(await measureObjects(measuring)),
    quarantine: { items: quarantined, bytes: quarantineBytes },
  };
}

const dayMs = 86_400_000;
/** Of a transaction's age, in milliseconds. */
const agesMax: readonly (readonly [UsageRange['age'], number])[] = [
  ['day', dayMs],
  ['week', 7 * dayMs],
  ['month', 30 * dayMs],
  ['older', Number.POSITIVE_INFINITY],
];

async function measureDisplaced({
  directory,
  journal,
  looking,
  now,
}: Measuring): Promise<StoreUsage['displaced']> {
  const bytesOf = new Map<number, number>();
  let bytes = 0;
  for (const { name } of looking.files.list(directory.stage)) {
    const size = await bytesAt(looking, { directory: directory.stage, name });
    const id = transactionOf(name)?.id ?? 0;
    bytesOf.set(id, (bytesOf.get(id) ?? 0) + size);
    bytes += size;
  }
  const ranges = new Map<UsageRange['age'], UsageRange>();
  for (const { id, committedAt } of journal.newestFirst()) {
    if (looking.pace.isDue()) await looking.pace.turn();
    const age = agesMax.find(([, max]) => now - committedAt <= max)?.[0] ?? 'older';
    const range = ranges.get(age);
    ranges.set(age, {
      age,
      from: id,
      to: range?.to ?? id,
      since: utcText(committedAt),
      transactions: (range?.transactions ?? 0) + 1,
      bytes: (range?.bytes ?? 0) + (bytesOf.get(id) ?? 0),
    });
  }
  return { bytes, prunedThrough: journal.keeping.prunedThrough(), ranges: [...ranges.values()] };
}

function measurePacks({ objects: { packs } }: Measuring): StoreUsage['packed'] {
  const all = packs.list();
  const bytes = all.reduce((sum, pack) => sum + pack.bytes, 0);
  return { packs: all.length, contents: [...packs.contents()].length, bytes };
}

async function measureObjects({
  journal,
  objects,
  looking: { pace },
}: Measuring): Promise<Pick<StoreUsage, 'snapshots' | 'trash' | 'unreferenced'>> {
  const sizesOf = await objectSizes(objects, pace);
  const sizes = new SnapshotSizes(sizesOf);
  const read = listingReader(objects);
  let isAllRead = true;
  const add = async (row: SnapshotRow): Promise<void> => {
    if (pace.isDue()) await pace.turn();
    try {
      await sizes.add(row.id, row.sha256, read);
    } catch (error) {
      if (!isEngineError(error, 'HISTORY_DAMAGED', 'STORE_FORMAT_NEWER')) throw error;
      isAllRead = false;
    }
  };
  const measure = (row: SnapshotRow): SnapshotUsage => ({
    snapshot: toSnapshot(row),
    bytes: sizes.allBytes(row.id) ?? null,
    ownBytes: sizes.allBytes(row.id) === undefined ? null : sizes.ownBytes(row.id),
  });
  const [kept, deleted] = [journal.snapshots.list(), journal.snapshots.deleted()];
  for (const row of kept) await add(row);
  const snapshots = { bytes: sizes.bytes, each: kept.map(measure) };
  for (const row of deleted) await add(row);
  const trash = { bytes: sizes.bytes - snapshots.bytes, each: deleted.map(measure) };
  let [count, bytes] = [0, 0];
  for (const [sha256, size] of sizesOf) {
    // What is packed is counted with its pack.
    if (sizes.isNeeded(sha256) || objects.isOnlyPacked(sha256)) continue;
    count += 1;
    bytes += size;
  }
  return { snapshots, trash, unreferenced: isAllRead ? { objects: count, bytes } : null };
}

async function bytesBelow(looking: Looking, directory: Directory): Promise<number> {
  let bytes = 0;
  for (const { name } of looking.files.list(directory)) {
    bytes += await bytesAt(looking, { directory, name });
  }
  return bytes;
}

async function bytesAt(looking: Looking, place: Place): Promise<number> {
  const { files, pace } = looking;
  if (pace.isDue()) await pace.turn();
  const stat = files.stat(place);
  if (stat?.kind !== 'directory') return stat?.kind === 'file' ? stat.size : 0;
  const directory = files.openDirectory(place);
  // Gone since, or not ours.
  if (typeof directory === 'string') return 0;
  try {
    return await bytesBelow(looking, directory);
  } finally {
    files.closeDirectory(directory);
  }
}
