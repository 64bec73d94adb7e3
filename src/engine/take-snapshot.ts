import { captureFile } from './capture-file.js';
import { collectionCount, endCollection, removeUnsure } from './collect-objects.js';
import { assert, EngineError } from './errors.js';
import { ignoreFileName, type IgnoreRules, readPatterns } from './ignore-rules.js';
import type { Looking } from './inspect.js';
import type { Journal } from './journal.js';
import { smallContentBytesMax, snapshotTriesMax } from './limits.js';
import type { ObjectStore } from './object-store.js';
import { type Scanned, scan } from './scan.js';
import { type CacheKey, loadSeen, saveSeen } from './scan-cache.js';
import type { Receipt, TransactionRecord } from './receipt.js';
import type { NewSnapshot, SnapshotRow } from './snapshot-table.js';
import { listingReader } from './snapshot-tree.js';
import type { StoreDirectory } from './store-directory.js';
import type { Head } from './transaction-row.js';
import type { Session } from './writer.js';

/*
 * 1. Without the lock: scan, and store what the last scan did not see. If that is much, flush it: others
 *    must not wait for that.
 * 2. Under the lock: if objects were collected meanwhile, begin again. Else look which changes of other
 *    programs to record as a transaction (adopt-scanned.ts).
 * 3. One barrier for all of it (I2).
 * 4. That transaction and the snapshot's row, in one synced step: the snapshot is there. A crash before
 *    leaves objects that no snapshot names.
 * 5. Note what was seen, for the next scan.
 */

type Looked = Omit<TakingSnapshot, 'findAdoption' | 'exclusively' | 'openObjects'>;

export interface TakingSnapshot {
  readonly directory: StoreDirectory;
  readonly journal: Journal;
  /** This boot of this machine. */
  readonly bootId: string;
  readonly looking: Looking;
  readonly rules: IgnoreRules;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly newId: () => string;
  readonly openObjects: () => ObjectStore;
  /** Runs under the lock. */
  readonly exclusively: <T>(work: (session: Session) => Promise<T>) => Promise<T>;
  /** Finds what other programs changed, as the scan saw it; under the lock. */
  readonly findAdoption: (scanned: Scanned, objects: ObjectStore) => Promise<Adopting>;
  /** Whether a failure has stopped the store. */
  readonly isStopped: () => boolean;
  /** See `Writer.stop`. */
  readonly stop: (error: unknown, takeAway: () => Promise<void>) => Promise<void>;
  readonly onProgress: (done: number) => void;
}

/** What became of what other programs had changed. */
export interface SnapshotAdoption {
  /** `null`: nothing had changed, or it was not to be recorded. */
  readonly transaction: Receipt['transaction'];
  /** Why it could not be recorded. */
  readonly blocked: string | null;
}

/** What other programs had changed, to be recorded. */
export interface Adopting {
  readonly blocked: string | null;
  /** Writes the transaction, and what `alongside` writes. `undefined`: nothing had changed. */
  readonly record:
    | ((session: Session, alongside: (head: Head) => void) => TransactionRecord)
    | undefined;
  /** For `meta`, together with the snapshot: that no drift is left with this newest transaction. */
  readonly noteAt: (head: Head) => Readonly<Record<string, string>>;
}

export interface TakenSnapshot<Row> {
  readonly row: Row;
  readonly scanned: Scanned;
  readonly added: ObjectStore['added'];
  readonly adoption: SnapshotAdoption;
}

export type SnapshotWords = Pick<NewSnapshot, 'name' | 'message' | 'tags' | 'isPinned'>;

/** Stores the directory as it is now. @throws {EngineError} `SNAPSHOT_EXISTS`, `SOURCE_CHANGED`, … */
export async function takeSnapshot(
  taking: TakingSnapshot,
  words: SnapshotWords,
): Promise<TakenSnapshot<SnapshotRow>> {
  for (let tries = 0; tries < snapshotTriesMax; tries += 1) {
    using objects = taking.openObjects();
    const taken = await tryOnce(taking, words, objects);
    if (taken !== undefined) return taken;
  }
  // guard: snapshot-keeps-collecting
  throw new EngineError('SOURCE_CHANGED', 'objects were removed again and again meanwhile', {
    hint: 'Wait until no other program deletes snapshots, and try again.',
  });
}

async function tryOnce(
  taking: TakingSnapshot,
  words: SnapshotWords,
  objects: ObjectStore,
): Promise<TakenSnapshot<SnapshotRow> | undefined> {
  const { directory, journal, looking, newId } = taking;
  const collections = collectionCount(journal);
  // Made before the scan, so that the cache can say of which objects it speaks.
  objects.prepare();
  const key = cacheKey(taking, objects, collections);
  try {
    const scanned = await keepScanned(taking, objects, key);
    const taken = await taking.exclusively(async (session) => {
      // guard: snapshot-collected
      if (endCollection(journal) !== collections) return undefined;
      refuseTaken(journal, words.name);
      return record(taking, words, { scanned, objects, session });
    });
    if (taken === undefined) return undefined;
    saveSeen(looking.files, directory.store, { key, seen: scanned.seen, draftName: newId() });
    return { ...taken, scanned, added: objects.added };
  } catch (error) {
    // Whoever asked for a sync that failed meanwhile, it was to cover these objects as well.
    // guard: snapshot-stopped-meanwhile [(objects.needsBarrier && taking.isStopped()) becomes false]
    const isUnsure = objects.isUnsure || (objects.needsBarrier && taking.isStopped());
    if (isUnsure) await stopUnsure(taking, objects, error);
    throw error;
  }
}

/** Stores what the last scan did not see. */
async function keepScanned(
  taking: TakingSnapshot,
  objects: ObjectStore,
  key: CacheKey,
): Promise<Scanned> {
  const { directory, looking } = taking;
  const { files, pace } = looking;
  const scanned = await scan({
    ...scanningOf(taking, objects),
    seen: loadSeen(files, directory.store, key),
    capture: (place, path) => captureFile(files, { place, path }, objects),
  });
  for (const [sha256, listing] of scanned.listings) {
    if (pace.isDue()) await pace.turn();
    await objects.put(listing, sha256);
  }
  // guard: snapshot-large-flush
  if (objects.added.bytes > smallContentBytesMax) await objects.barrier();
  return scanned;
}

/** Writes the snapshot's row, and the transaction that records what other programs changed. */
async function record(
  taking: TakingSnapshot,
  words: SnapshotWords,
  {
    scanned,
    objects,
    session,
  }: {
    readonly scanned: Scanned;
    readonly objects: ObjectStore;
    readonly session: Session;
  },
): Promise<Pick<TakenSnapshot<SnapshotRow>, 'row' | 'adoption'>> {
  const { snapshots } = taking.journal;
  const adopting = await taking.findAdoption(scanned, objects);
  const { blocked, noteAt } = adopting;
  // guard: snapshot-flush
  // guard: snapshot-flush-adopted [adopting.record !== undefined becomes false]
  await objects.barrier({ alsoOthers: adopting.record !== undefined });
  const rowAt = ({ id }: Head): NewSnapshot => toNewSnapshot(taking, words, scanned, id);
  if (adopting.record === undefined) {
    const { head, epoch } = session;
    const row = snapshots.add(rowAt(head), epoch, noteAt(head));
    return { row, adoption: { transaction: null, blocked } };
  }
  let row: SnapshotRow | undefined;
  const transaction = adopting.record(session, (head) => {
    row = snapshots.insert(rowAt(head), noteAt(head));
  });
  assert(row !== undefined, 'the row was written with the transaction');
  return { row, adoption: { transaction, blocked } };
}

/** Tells what a snapshot would hold, and what it would adopt. Writes nothing. */
export async function lookForSnapshot(
  taking: TakingSnapshot,
  words: SnapshotWords,
  planAdoption: (scanned: Scanned, objects: ObjectStore) => Promise<SnapshotAdoption>,
): Promise<TakenSnapshot<NewSnapshot>> {
  using objects = taking.openObjects();
  refuseTaken(taking.journal, words.name);
  const scanned = await scanCurrent(taking, objects);
  const adoption = await planAdoption(scanned, objects);
  const { id } = taking.journal.head();
  const row = toNewSnapshot(taking, words, scanned, id);
  return { row, scanned, added: objects.added, adoption };
}

/** Scans the directory and stores nothing. */
export async function scanCurrent(taking: Looked, objects: ObjectStore): Promise<Scanned> {
  const { directory, journal, looking } = taking;
  const { files } = looking;
  const key = cacheKey(taking, objects, collectionCount(journal));
  return scan({
    ...scanningOf(taking, objects),
    seen: loadSeen(files, directory.store, key),
    capture: (place, path) => captureFile(files, { place, path }, undefined),
  });
}

/** As {@link scanCurrent}, believing nothing that an earlier scan saw. */
export async function scanAll(taking: Looked, objects: ObjectStore): Promise<Scanned> {
  const { files } = taking.looking;
  return scan({
    ...scanningOf(taking, objects),
    seen: new Map(),
    capture: (place, path) => captureFile(files, { place, path }, undefined),
  });
}

/** Returns what the directory's ignore file says. */
export async function readIgnoreFile({
  looking: { files },
  directory: { root },
}: Pick<TakingSnapshot, 'looking' | 'directory'>): Promise<readonly string[]> {
  const place = { directory: root, name: ignoreFileName };
  const stat = files.stat(place);
  if (stat?.kind !== 'file') return [];
  const file = files.openForReading(place);
  try {
    const buffer = Buffer.alloc(Math.min(stat.size, ignoreFileBytesMax));
    const text = buffer.subarray(0, files.readSync(file, buffer)).toString();
    return readPatterns(text);
  } finally {
    files.closeFile(file);
  }
}

const ignoreFileBytesMax = 1_048_576;

function scanningOf(
  { directory, looking, rules, now, onProgress }: Looked,
  objects: ObjectStore,
): Omit<Parameters<typeof scan>[0], 'seen' | 'capture'> {
  const readListing = listingReader(objects);
  return { looking, root: directory.root, rules, now, readListing, onProgress };
}

function cacheKey(
  { bootId, journal }: Pick<TakingSnapshot, 'bootId' | 'journal'>,
  objects: ObjectStore,
  collections: number,
): CacheKey {
  const store = String(journal.meta('uuid'));
  return { store, collections, boot: bootId, objects: objects.identity };
}

function toNewSnapshot(
  { rules, now }: TakingSnapshot,
  words: SnapshotWords,
  { sha256, counts }: Scanned,
  head: number,
): NewSnapshot {
  return {
    ...words,
    createdAt: now(),
    head,
    sha256,
    ...counts,
    ...rules,
    deletedAt: undefined,
  };
}

function refuseTaken(journal: Journal, name: string | undefined): void {
  if (name === undefined || journal.snapshots.byName(name) === undefined) return;
  throw new EngineError('SNAPSHOT_EXISTS', `there is a snapshot named ${JSON.stringify(name)}`, {
    hint: 'Choose another name, or delete that one first.',
  });
}

/**
 * I10: what a failed sync was to cover may look well and be lost; nobody may find and trust it. It concerns
 * the files of others as well, and a second one says nothing of them: the next snapshot would adopt them.
 */
async function stopUnsure(
  { journal, stop }: TakingSnapshot,
  objects: ObjectStore,
  error: unknown,
): Promise<void> {
  // guard: snapshot-unsure-stops
  await stop(error, () => removeUnsure(journal, objects));
}
