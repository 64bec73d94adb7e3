import { resolve } from 'node:path';
import type { Collected } from './collect-objects.js';
import { findAdoption, nothingToAdopt, planAdoptScanned } from './adopt-scanned.js';
import type { Committing } from './commit.js';
import { type CompressionLevel, requireCompressionLevel } from './compression.js';
import type { DriftedPath } from './drift.js';
import { EngineError, fromSystemErrorOnly, isEngineError } from './errors.js';
import { publish } from './events.js';
import { compileRules, parsePatterns } from './ignore-rules.js';
import type { ContentHash } from './hash.js';
import type { Image } from './image.js';
import type { Looking } from './inspect.js';
import { lockWaitMsDefault } from './limits.js';
import type { ObjectStore } from './object-store.js';
import type { Marking } from './keeping.js';
import { type KeptLocal, keepLocal } from './keep-local.js';
import { markSnapshot } from './mark-snapshot.js';
import { Pace } from './pace.js';
import { notInSnapshot, type PathSelection, selectPaths } from './path-selection.js';
import { parsePath, type RelativePath } from './path.js';
import type { Receipt } from './receipt.js';
import { refuseLargeRemoval } from './removal-size.js';
import type { RetentionPolicy } from './retention.js';
import { restoreElsewhere } from './restore-elsewhere.js';
import { carryOut } from './restore-in-place.js';
import { type NotRestored, planRestore } from './restore-plan.js';
import {
  parseSnapshotName,
  parseTags,
  type Snapshot,
  type SnapshotPath,
  toSnapshot,
  toSnapshotPath,
} from './snapshot-record.js';
import {
  emptyTrashIfPossible,
  type PrunedByThemselves,
  type PrunedSnapshots,
  pruneByItself,
  pruneSnapshots,
  policyOf,
  requirePolicy,
  type SnapshotHost,
  type SnapshotPolicy,
  type Waiting,
} from './snapshot-pruning.js';
import type { LeftOut, Scanned } from './scan.js';
import type { SnapshotRow } from './snapshot-table.js';
import {
  findEntry,
  listingReader,
  type ReadListing,
  TreeLookup,
  walkListing,
} from './snapshot-tree.js';
import type { Rule } from './rules.js';
import { findDeleted, findSnapshot, removeSnapshot, takeOutOfTrash } from './snapshot-trash.js';
import type { Transaction, TransactionCalls } from './transaction.js';
import {
  lookForSnapshot,
  readIgnoreFile,
  scanAll,
  scanCurrent,
  takeSnapshot,
  type TakingSnapshot,
} from './take-snapshot.js';

export interface CreateSnapshotOptions extends Waiting {
  /** Unique. At most 100 characters, not only digits. */
  readonly name?: string;
  readonly message?: string;
  readonly tags?: readonly string[];
  /** Only `force` deletes it. */
  readonly pin?: boolean;
  /** Globs to leave out, besides those in `.skillmeatignore`. */
  readonly ignore?: readonly string[];
  /** Larger files are left out. */
  readonly fileBytesMax?: number;
  /** How hard to compress what is stored anew: 0–11, or `off`. Default: as the store was opened. */
  readonly compression?: CompressionLevel;
  /**
   * Record what other programs changed, of paths that transactions know, as a transaction of its own:
   * then the log tells of it, and it can be undone. Default: true.
   */
  readonly adopt?: boolean;
  /** Scan, tell what the snapshot would hold, and write nothing. */
  readonly dryRun?: boolean;
}

/** What `snapshots.create` did. */
export interface CreatedSnapshot {
  readonly snapshot: Snapshot;
  /** Contents and listings that were not stored before, and the bytes that they take on disk. */
  readonly added: { readonly objects: number; readonly bytes: number };
  readonly leftOut: readonly LeftOut[];
  /**
   * The transaction that records what other programs had changed; of a dry run, as it would be.
   * `null`: nothing, or `adopt` was false.
   */
  readonly adopted: Receipt['transaction'];
  /** Why that could not be recorded: a transaction is neither done nor undone. */
  readonly notAdopted: string | null;
  readonly pruned: PrunedByThemselves;
}

export interface RestoreOptions extends Waiting {
  /** Root-relative paths, each with everything below it, and globs. Default: everything. */
  readonly paths?: readonly string[];
  /** A directory that does not exist yet, to write to instead; absolute or relative. */
  readonly to?: string;
  readonly message?: string;
  /** Remove as much as it takes: more than half of the files (and over 20), or everything. */
  readonly force?: boolean;
  readonly dryRun?: boolean;
  /** Rules for what is restored in place, besides those of the store. */
  readonly rules?: readonly Rule[];
}

/** @internal How to roll back to a snapshot. */
export interface SnapshotRollback extends Waiting {
  readonly paths: readonly string[] | undefined;
  /** What other programs changed, and is to be kept. */
  readonly drift: readonly (DriftedPath & { readonly path: RelativePath })[];
  /** Remove as much as it takes. */
  readonly forces: boolean;
  readonly message: string | undefined;
  readonly dryRun: boolean;
  readonly rules: readonly Rule[];
  /** Makes further changes of the same transaction. */
  readonly alongside: ((tx: Transaction) => unknown) | undefined;
}

/** What `snapshots.restore` did. */
export interface Restored {
  readonly snapshot: Snapshot;
  /** `null`: nothing differed, or it was restored elsewhere. */
  readonly transaction: Receipt['transaction'];
  /** Absolute path of the new directory. */
  readonly to: string | null;
  /** How many paths were written there. */
  readonly written: number;
  /** What stayed as it was, or is missing elsewhere. */
  readonly notRestored: readonly NotRestored[];
  /** Of a dry run without `force`: how much would be removed, when that is refused without it. */
  readonly needsForce?: string;
}

export interface MarkSnapshotOptions extends Marking, Waiting {
  /** Tell how it would be marked, and write nothing. */
  readonly dryRun?: boolean;
}

export interface DeletedSnapshot {
  readonly snapshot: Snapshot;
  readonly collected: Collected;
}

/** The snapshots of a store: the whole directory at one moment, edits by hand included. */
export class Snapshots {
  readonly #host: SnapshotHost & Committing;

  /** @internal */
  constructor(host: SnapshotHost) {
    this.#host = { ...host.committing, ...host };
  }

  /**
   * Takes a snapshot. An unchanged directory costs a scan and one row. What other programs changed
   * is recorded as a transaction first, unless `adopt` is false.
   *
   * @throws {EngineError} `SNAPSHOT_EXISTS`, `SNAPSHOT_INVALID`, `SOURCE_CHANGED`, `DISK_FULL`, …
   */
  async create(options: CreateSnapshotOptions = {}): Promise<CreatedSnapshot> {
    const { name, message = '', tags = [], pin = false, signal } = options;
    const words = {
      name: name === undefined ? undefined : parseSnapshotName(name),
      message,
      tags: parseTags(tags),
      isPinned: pin,
    };
    requireCompressionLevel(options.compression);
    const given = parsePatterns(options.ignore ?? []);
    const adopting = options.adopt === false ? undefined : adoptionMessage(words.name);
    return this.#working('take a snapshot of', async () => {
      const looking = this.#looking(signal, 'scan');
      const { directory } = this.#host;
      const patterns = [...parsePatterns(await readIgnoreFile({ looking, directory })), ...given];
      compileRules(patterns);
      const taking = this.#taking(looking, patterns, { ...options, adopting });
      // What it would store no sync could cover any more (I10).
      // guard: snapshot-stopped
      if (options.dryRun !== true) this.#host.committing.writer.refusePoisoned();
      const { row, scanned, added, adoption } =
        options.dryRun === true
          ? await lookForSnapshot(taking, words, this.#planAdoption(adopting, signal))
          : await takeSnapshot(taking, words);
      const id = 'id' in row ? (row as SnapshotRow).id : null;
      const pruned =
        id === null ? { snapshots: [], blocked: null } : await pruneByItself(options, this.#host);
      return {
        snapshot: toSnapshot({ ...row, id }),
        added,
        leftOut: scanned.leftOut,
        adopted: adoption.transaction,
        notAdopted: adoption.blocked,
        pruned,
      };
    });
  }

  /** Returns all snapshots, newest first; or those that were deleted and can be brought back. */
  async list(options: { readonly deleted?: boolean } = {}): Promise<readonly Snapshot[]> {
    this.#host.refuseClosed();
    const { snapshots } = this.#host.journal;
    return (options.deleted === true ? snapshots.deleted() : snapshots.list()).map(toSnapshot);
  }

  /** @param reference name, number, or `latest`. @throws {EngineError} `SNAPSHOT_NOT_FOUND`. */
  async show(reference: string | number): Promise<Snapshot> {
    return toSnapshot(this.#rowOf(reference));
  }

  /** Yields what a snapshot holds, each directory before its content. */
  async *paths(reference: string | number): AsyncGenerator<SnapshotPath, void> {
    const { sha256 } = this.#rowOf(reference);
    using objects = this.#host.openObjects();
    for await (const { path, entry } of walkListing(listingReader(objects), sha256)) {
      yield toSnapshotPath(path, entry);
    }
  }

  /**
   * Returns a file's bytes as a snapshot has them; `undefined` when it has no file there.
   *
   * @throws {EngineError} `SNAPSHOT_NOT_FOUND`, `HISTORY_DAMAGED`, `LIMIT_EXCEEDED`, `PATH_…`.
   */
  async read(reference: string | number, path: string): Promise<Uint8Array | undefined> {
    const parsed = parsePath(path);
    const { sha256 } = this.#rowOf(reference);
    return this.#explaining('read a snapshot of', async () => {
      using objects = this.#host.openObjects();
      const entry = await findEntry(listingReader(objects), sha256, parsed);
      if (entry?.kind !== 'file') return undefined;
      return await objects.read(entry.sha256, entry.size);
    });
  }

  /**
   * Brings back a snapshot, or some paths of it: in place as one transaction that touches only what
   * differs, or into a new directory. What the snapshot left out is left alone. What is damaged
   * stays as it is, and is named.
   *
   * @throws {EngineError} `SNAPSHOT_NOT_FOUND`, `PATH_NOT_FOUND`, `REMOVAL_TOO_LARGE`, and what
   * `transact` throws; with `to`: `PATH_EXISTS`.
   */
  async restore(reference: string | number, options: RestoreOptions = {}): Promise<Restored> {
    const row = this.#rowOf(reference);
    const selection = selectPaths(options.paths);
    return options.to === undefined
      ? this.#restoreInPlace(row, selection, options)
      : this.#restoreElsewhere(row, selection, { ...options, to: resolve(options.to) });
  }

  /** @internal As {@link restore} in place, but whole or not at all, and standing in the log as a rollback. */
  async rollBack(
    reference: string | number,
    options: SnapshotRollback,
  ): Promise<{
    readonly receipt: Receipt;
    readonly conflicts: readonly NotRestored[];
    readonly local: readonly KeptLocal[];
  }> {
    const row = this.#rowOf(reference);
    const name = row.name ?? String(row.id);
    const { paths, forces, dryRun, message = `roll back to snapshot ${name}` } = options;
    const chosen = selectPaths(paths);
    const drift = options.drift.filter(({ path }) => chosen.has(path));
    let local: readonly KeptLocal[] = [];
    let conflicts: readonly NotRestored[] = [];
    const receipt = await this.#explaining('roll back', () =>
      this.#host.commit({ ...options, message }, new Map(), async (tx) => {
        local = drift.length === 0 ? [] : await this.#decideLocal(tx, row, drift);
        const spared = new Set(local.flatMap(({ path, isSpared }) => (isSpared ? path : [])));
        const has = (path: RelativePath): boolean => chosen.has(path) && !spared.has(path);
        conflicts = await this.#stageRestore(tx, row, { ...chosen, has }, options.signal);
        if (conflicts.length > 0 && !dryRun) throw notWhole(name, conflicts);
        if (conflicts.length === 0) {
          await stageLocal(tx, local);
          await options.alongside?.(tx);
        }
        return {
          annotations: { rollsBackTo: name, ...(paths !== undefined && { paths }) },
          review: async (changes, looking) =>
            forces ? undefined : refuseLargeRemoval(changes, looking),
        };
      }),
    );
    return { receipt, conflicts, local };
  }

  /**
   * Deletes a snapshot: {@link undelete} brings it back within a week. With `now` it is gone at once,
   * also one that was deleted before, and so are the contents that no snapshot names for a day or
   * longer. That these could not be removed is told in `collected.blocked`; the next deletion tries
   * again.
   *
   * @throws {EngineError} `SNAPSHOT_NOT_FOUND`, `SNAPSHOT_PINNED`.
   */
  async delete(
    reference: string | number,
    options: Waiting & {
      readonly force?: boolean;
      readonly now?: boolean;
      readonly dryRun?: boolean;
    } = {},
  ): Promise<DeletedSnapshot> {
    const { journal, now } = this.#host;
    const isForGood = options.now === true;
    this.#host.refuseClosed();
    const deleting = (): Promise<DeletedSnapshot> =>
      this.#host.exclusively(options, async (epoch) => {
        const row = this.#findToDelete(reference, isForGood);
        if (row.isPinned && options.force !== true) throw pinned(row);
        const at = now();
        const snapshot = toSnapshot(isForGood ? row : { ...row, deletedAt: at });
        if (options.dryRun === true) return { snapshot, collected: { objects: 0, blocked: null } };
        removeSnapshot(row, { journal, now: at, epoch, isForGood });
        return {
          snapshot,
          collected: await emptyTrashIfPossible(epoch, options.signal, this.#host),
        };
      });
    return this.#explaining('delete a snapshot of', deleting);
  }

  /**
   * Brings back a snapshot that was deleted, as it was.
   *
   * @param reference its number, or its name: of several that were deleted, the last one.
   * @param options.name what to call it from now on, if another has its name by now.
   * @throws {EngineError} `SNAPSHOT_NOT_FOUND`, `SNAPSHOT_EXISTS`, `SNAPSHOT_INVALID`.
   */
  async undelete(
    reference: string | number,
    options: Waiting & { readonly name?: string; readonly dryRun?: boolean } = {},
  ): Promise<Snapshot> {
    const { journal } = this.#host;
    const { name, dryRun: isDryRun = false } = options;
    this.#host.refuseClosed();
    const undeleting = (): Promise<Snapshot> =>
      this.#host.exclusively(options, async (epoch) => {
        const row = findDeleted(reference, journal);
        return toSnapshot(takeOutOfTrash(row, name, { journal, epoch, isDryRun }));
      });
    return this.#explaining('bring back a snapshot of', undeleting);
  }

  /**
   * Pins or tags a snapshot, or takes that back. While it has either, {@link prune} keeps it; only a pin
   * keeps {@link delete} from it.
   *
   * @param reference name, number, or `latest`.
   * @returns the snapshot as it is marked then.
   * @throws {EngineError} `SNAPSHOT_NOT_FOUND`, `SNAPSHOT_INVALID`, `STORE_LOCKED`, ….
   */
  async mark(reference: string | number, options: MarkSnapshotOptions): Promise<Snapshot> {
    const { journal } = this.#host;
    const { dryRun: isDryRun = false } = options;
    this.#host.refuseClosed();
    const marking = (): Promise<Snapshot> =>
      this.#host.exclusively(options, async (epoch) => {
        const row = findSnapshot(reference, journal);
        return toSnapshot(markSnapshot(row, options, { journal, epoch, isDryRun }));
      });
    return this.#explaining('mark a snapshot of', marking);
  }

  /**
   * Deletes the snapshots that a policy does not keep: {@link undelete} brings them back within a
   * week, unless `now` is given. Then the contents go that none names for a day or longer. Pinned and tagged ones are kept, and the newest.
   *
   * @param given without one: the store's own, see {@link setPolicy}.
   * @throws {EngineError} `HISTORY_DAMAGED` when a listing cannot be read.
   */
  async prune(
    given?: RetentionPolicy,
    options: Waiting & { readonly now?: boolean; readonly dryRun?: boolean } = {},
  ): Promise<PrunedSnapshots> {
    this.#host.refuseClosed();
    return this.#explaining('prune the snapshots of', () =>
      pruneSnapshots(given, options, this.#host),
    );
  }

  /** Returns which snapshots {@link prune} keeps without being told. */
  async policy(): Promise<SnapshotPolicy> {
    this.#host.refuseClosed();
    return policyOf(this.#host.journal);
  }

  /**
   * Sets which snapshots {@link prune} keeps without being told. From then on those that have neither
   * name, tag nor pin go by themselves as well, into the trash, when a snapshot is taken. `undefined`
   * brings the default back: the last 10, a month of all, 8 weeks and 12 months, and none goes by
   * itself. Drops nothing at once.
   *
   * @throws {EngineError} `STORE_LOCKED`, `DISK_FULL`, ….
   */
  async setPolicy(
    policy: RetentionPolicy | undefined,
    options: Waiting = {},
  ): Promise<SnapshotPolicy> {
    requirePolicy(policy);
    const { exclusively, journal, refuseClosed } = this.#host;
    refuseClosed();
    await this.#explaining('set the policy of', () =>
      exclusively(options, async (epoch) => {
        journal.keeping.setSnapshotPolicy(policy, epoch);
      }),
    );
    return this.policy();
  }

  /** @internal The listings of the directory as it is now, with the rules of a snapshot. */
  async listingsNow(
    row: SnapshotRow,
    signal: AbortSignal | undefined,
  ): Promise<ReadonlyMap<ContentHash, Uint8Array>> {
    using objects = this.#host.openObjects();
    const taking = this.#taking(this.#looking(signal, 'scan'), row.patterns, row);
    return (await scanAll(taking, objects)).listings;
  }

  /** @internal The directory as it is now, with the rules of a snapshot; reads what changed since the last. */
  async scanNow(row: SnapshotRow, signal: AbortSignal | undefined): Promise<Scanned> {
    using objects = this.#host.openObjects();
    const taking = this.#taking(this.#looking(signal, 'scan'), row.patterns, row);
    return await scanCurrent(taking, objects);
  }

  /** @internal */
  openObjects(): ObjectStore {
    return this.#host.openObjects();
  }

  // --- inside --------------------------------------------------------------------------------

  #findToDelete(reference: string | number, isForGood: boolean): SnapshotRow {
    const { journal } = this.#host;
    try {
      return findSnapshot(reference, journal);
    } catch (error) {
      if (!isForGood || !isEngineError(error, 'SNAPSHOT_NOT_FOUND')) throw error;
      return findDeleted(reference, journal);
    }
  }

  async #restoreInPlace(
    row: SnapshotRow,
    selection: PathSelection,
    options: RestoreOptions,
  ): Promise<Restored> {
    const name = row.name ?? String(row.id);
    const { message = `Restore snapshot ${name}`, dryRun = false, force = false } = options;
    let notRestored: readonly NotRestored[] = [];
    const receipt = await this.#explaining('restore', () =>
      this.#host.commit({ ...options, message, dryRun }, new Map(), async (tx) => {
        notRestored = await this.#stageRestore(tx, row, selection, options.signal);
        return {
          annotations: { restores: name },
          review: async (changes, looking) =>
            force ? undefined : refuseLargeRemoval(changes, looking),
        };
      }),
    );
    return { ...receipt, snapshot: toSnapshot(row), to: null, written: 0, notRestored };
  }

  async #decideLocal(
    tx: TransactionCalls,
    row: SnapshotRow,
    drift: SnapshotRollback['drift'],
  ): Promise<readonly KeptLocal[]> {
    const { journal } = this.#host;
    using objects = this.#host.openObjects();
    const lookup = new TreeLookup(listingReader(objects));
    return await tx.act(async (view, reading) => {
      const local: KeptLocal[] = [];
      for (const { path, expected: witness } of drift) {
        const target = await imageIfWhole(lookup, row.sha256, path);
        local.push(await keepLocal({ path, witness, target }, { view, reading, journal }));
      }
      return local;
    });
  }

  /** Stages what leads from what is there to the snapshot. @returns what cannot be restored. */
  async #stageRestore(
    tx: Transaction,
    row: SnapshotRow,
    selection: PathSelection,
    signal: AbortSignal | undefined,
  ): Promise<readonly NotRestored[]> {
    using objects = this.#host.openObjects();
    const taking = this.#taking(this.#looking(signal, 'scan'), row.patterns, row);
    const scanned = await scanCurrent(taking, objects);
    const read = listingReader(objects);
    const current = { sha256: scanned.sha256, read: listingReader(objects, scanned.listings) };
    await requireSelected(selection, [current, { sha256: row.sha256, read }]);
    const target = { sha256: row.sha256, read };
    const plan = await planRestore({ current, target, selection });
    return [...plan.notRestored, ...(await carryOut(plan.steps, tx, objects))];
  }

  async #restoreElsewhere(
    row: SnapshotRow,
    selection: PathSelection,
    { to, signal, dryRun = false }: RestoreOptions & { readonly to: string },
  ): Promise<Restored> {
    const { directory, directoryMode, newId } = this.#host;
    const { sha256 } = row;
    return this.#working('restore', async () => {
      using objects = this.#host.openObjects();
      const read = listingReader(objects);
      await requireSelected(selection, [{ sha256, read }]);
      const looking = this.#looking(signal, 'write');
      const { notRestored, written } = await restoreElsewhere({
        looking,
        objects,
        read,
        sha256,
        selection,
        to,
        enginePath: directory.storePath,
        newId,
        mode: directoryMode,
        isDryRun: dryRun,
        onProgress: this.#onProgress('write'),
      });
      const snapshot = toSnapshot(row);
      return { snapshot, transaction: null, to, written, notRestored };
    });
  }

  /** Closing waits for it; what the system refuses comes out as an `EngineError`. */
  async #working<T>(doing: string, work: () => Promise<T>): Promise<T> {
    return this.#explaining(doing, () => this.#host.during(work));
  }

  async #explaining<T>(doing: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw fromSystemErrorOnly(error, doing, this.#host.directory.rootPath);
    }
  }

  #rowOf(reference: string | number): SnapshotRow {
    this.#host.refuseClosed();
    return findSnapshot(reference, this.#host.journal);
  }

  #taking(
    looking: Looking,
    patterns: readonly string[],
    {
      fileBytesMax,
      compression,
      adopting,
      ...waiting
    }: Waiting & {
      readonly fileBytesMax?: number | undefined;
      readonly compression?: CompressionLevel;
      /** What to say of the transaction that adopts; `undefined`: none. */
      readonly adopting?: string | undefined;
    },
  ): TakingSnapshot {
    const { bootId, committing, directory, journal, now, newId, exclusively } = this.#host;
    const { signal, lockWaitMs = lockWaitMsDefault } = waiting;
    return {
      bootId,
      directory,
      journal,
      looking,
      rules: { patterns, fileBytesMax },
      now,
      newId,
      openObjects: () => this.#host.openObjects(compression),
      exclusively: (work) => exclusively(waiting, (_epoch, session) => work(session)),
      findAdoption: async (scanned, objects) =>
        adopting === undefined
          ? nothingToAdopt
          : findAdoption(scanned, { message: adopting, objects, signal }, committing),
      isStopped: () => committing.writer.poison !== undefined,
      stop: (error, takeAway) =>
        committing.writer.stop(error, { waitMs: lockWaitMs, signal }, takeAway),
      onProgress: this.#onProgress('scan'),
    };
  }

  #planAdoption(
    message: string | undefined,
    signal: AbortSignal | undefined,
  ): Parameters<typeof lookForSnapshot>[2] {
    return async (scanned, objects) =>
      message === undefined
        ? { transaction: null, blocked: null }
        : planAdoptScanned(scanned, { message, objects, signal }, this.#host.committing);
  }

  #looking(signal: AbortSignal | undefined, phase: 'scan' | 'write'): Looking {
    const pace = new Pace(signal);
    pace.onTurn = (): void => {
      if (phase === 'write') this.#onProgress(phase)(0);
    };
    return { files: this.#host.directory.files, pace };
  }

  #onProgress(phase: 'scan' | 'write'): (done: number) => void {
    const { rootPath: root } = this.#host.directory;
    return (done) => {
      publish('skillmeat:progress', { root, phase, done, total: undefined });
    };
  }
}

function adoptionMessage(name: string | undefined): string {
  const which = name === undefined ? 'a snapshot' : `snapshot ${name}`;
  return `changes by other programs, seen by ${which}`;
}

/** A path that is nowhere, or a glob that matches nothing, is a mistake, not nothing to do. */
async function requireSelected(
  { exact, globs }: PathSelection,
  trees: readonly { readonly sha256: SnapshotRow['sha256']; readonly read: ReadListing }[],
): Promise<void> {
  for (const path of exact) {
    let isThere = false;
    for (const { read, sha256 } of trees) {
      isThere ||= (await findEntry(read, sha256, path)) !== undefined;
    }
    if (!isThere) throw notInSnapshot(path);
  }
  for (const { pattern, matches } of globs) {
    let isMatched = false;
    for (const { read, sha256 } of trees) isMatched ||= await hasMatch(read, sha256, matches);
    if (!isMatched) throw notInSnapshot(pattern);
  }
}

async function hasMatch(
  read: ReadListing,
  sha256: SnapshotRow['sha256'],
  matches: (path: RelativePath) => boolean,
): Promise<boolean> {
  try {
    for await (const { path } of walkListing(read, sha256)) if (matches(path)) return true;
    return false;
  } catch (error) {
    // What a damaged listing has nobody knows: the restore names it, and goes on.
    if (!isEngineError(error, 'HISTORY_DAMAGED')) throw error;
    return true;
  }
}

/** What is damaged there the restore refuses by its name. */
async function imageIfWhole(
  lookup: TreeLookup,
  sha256: ContentHash,
  path: RelativePath,
): Promise<Image | undefined> {
  try {
    return await lookup.imageAt(sha256, path);
  } catch (error) {
    if (isEngineError(error, 'HISTORY_DAMAGED')) return undefined;
    throw error;
  }
}

async function stageLocal(tx: TransactionCalls, local: readonly KeptLocal[]): Promise<void> {
  const merged = local.flatMap(({ stage }) => (stage === undefined ? [] : [stage]));
  if (merged.length === 0) return;
  await tx.act(async (view) => {
    for (const stage of merged) await stage(view);
  });
}

function notWhole(name: string, conflicts: readonly NotRestored[]): EngineError {
  const [first = { path: '.', why: '' }] = conflicts;
  const { path, why } = first;
  const others = conflicts.length - 1;
  const rest = others === 0 ? '' : ` (and ${String(others)} more)`;
  return new EngineError(
    'UNDO_CONFLICT',
    `the directory cannot be rolled back to snapshot ${name}: ${path}: ${why}${rest}`,
    { path, conflicts, hint: `Bring back what can be: skillmeat restore ${name}` },
  );
}

function pinned({ id, name }: SnapshotRow): EngineError {
  return new EngineError('SNAPSHOT_PINNED', `snapshot ${name ?? String(id)} is pinned`, {
    hint: 'Delete it all the same with: skillmeat snapshot delete --force',
  });
}
