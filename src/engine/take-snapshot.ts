import { captureFile } from './capture-file.js';
import { collecting, collectionCount, endCollection } from './collect-objects.js';
import { EngineError } from './errors.js';
import { ignoreFileName, type IgnoreRules, readPatterns } from './ignore-rules.js';
import type { Looking } from './inspect.js';
import type { Journal } from './journal.js';
import { snapshotTriesMax } from './limits.js';
import type { ObjectStore } from './object-store.js';
import { type Scanned, scan } from './scan.js';
import { type CacheKey, loadSeen, saveSeen } from './scan-cache.js';
import type { Receipt } from './receipt.js';
import type { NewSnapshot, SnapshotRow } from './snapshot-table.js';
import { listingReader } from './snapshot-tree.js';
import type { StoreDirectory } from './store-directory.js';
import type { Session } from './writer.js';

/*
 * 1. Without the lock: scan, and store what the last scan did not see.
 * 2. One barrier for all of it (I2).
 * 3. Under the lock: if objects were collected meanwhile, begin again. Else record what other programs
 *    changed as a transaction (adopt-scanned.ts); then the row, synced: the snapshot is there. A crash
 *    before leaves objects that no snapshot names, or that transaction without a snapshot.
 * 4. Note what was seen, for the next scan.
 */

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
  /** Records what other programs changed, as the scan saw it; under the lock. */
  readonly adopt: (
    scanned: Scanned,
    objects: ObjectStore,
    session: Session,
  ) => Promise<ScannedAdoption>;
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

/** As {@link SnapshotAdoption}, for who goes on in the same turn. */
export interface ScannedAdoption extends SnapshotAdoption {
  /** The journal's epoch afterwards. */
  readonly epoch: number;
  /** For `meta`, together with the snapshot: that no drift is left. */
  readonly noted: Readonly<Record<string, string>>;
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
  const scanned = await keepScanned(taking, objects, key);
  const taken = await taking.exclusively(async (session) => {
    // guard: snapshot-collected
    if (endCollection(journal) !== collections) return undefined;
    refuseTaken(journal, words.name);
    const { epoch, noted, ...adoption } = await taking.adopt(scanned, objects, session);
    const row = journal.snapshots.add(toNewSnapshot(taking, words, scanned), epoch, noted);
    return { row, adoption };
  });
  if (taken === undefined) return undefined;
  saveSeen(looking.files, directory.store, { key, seen: scanned.seen, draftName: newId() });
  return { ...taken, scanned, added: objects.added };
}

/** Stores what the last scan did not see, on disk. */
async function keepScanned(
  taking: TakingSnapshot,
  objects: ObjectStore,
  key: CacheKey,
): Promise<Scanned> {
  const { directory, looking } = taking;
  const { files, pace } = looking;
  try {
    const scanned = await scan({
      ...scanningOf(taking, objects),
      seen: loadSeen(files, directory.store, key),
      capture: (place, path) => captureFile(files, { place, path }, objects),
    });
    for (const [sha256, listing] of scanned.listings) {
      if (pace.isDue()) await pace.turn();
      await objects.put(listing, sha256);
    }
    // guard: snapshot-flush
    await objects.barrier();
    return scanned;
  } catch (error) {
    if (objects.isUnsure) await stopUnsure(taking, objects, error);
    throw error;
  }
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
  return { row: toNewSnapshot(taking, words, scanned), scanned, added: objects.added, adoption };
}

/** Scans the directory and stores nothing. */
export async function scanCurrent(
  taking: Omit<TakingSnapshot, 'adopt' | 'exclusively' | 'openObjects'>,
  objects: ObjectStore,
): Promise<Scanned> {
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
export async function scanAll(
  taking: Omit<TakingSnapshot, 'adopt' | 'exclusively' | 'openObjects'>,
  objects: ObjectStore,
): Promise<Scanned> {
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
  {
    directory,
    looking,
    rules,
    now,
    onProgress,
  }: Omit<TakingSnapshot, 'adopt' | 'exclusively' | 'openObjects'>,
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
  { journal, rules, now }: TakingSnapshot,
  words: SnapshotWords,
  { sha256, counts }: Scanned,
): NewSnapshot {
  return {
    ...words,
    createdAt: now(),
    head: journal.head().id,
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
  await stop(error, () =>
    collecting(journal, () => {
      objects.removeAdded();
    }),
  );
}
