import { AsyncLocalStorage } from 'node:async_hooks';
import {
  type Collect,
  commit,
  type CommitOptions,
  type Committing,
  requireMessage,
} from './commit.js';
import { compressionLevelDefault } from './compression.js';
import type { DiffChange, DiffOptions, Moment, Reading } from './diff.js';
import { type DriftedPath, findDrift } from './drift.js';
import { assert, EngineError, fromSystemErrorOnly } from './errors.js';
import { publish } from './events.js';
import { randomId } from './hash.js';
import { type HistoryPolicy, isPolicy } from './history-policy.js';
import type { HistoryReading } from './history.js';
import type { Journal } from './journal.js';
import { unmergedOf } from './keep-local.js';
import { readKnownPaths } from './known-path.js';
import { lockWaitMsDefault } from './limits.js';
import { holderOf, plainText } from './lock-holder.js';
import { ObjectStore } from './object-store.js';
import { Pace } from './pace.js';
import type { PackingHistory } from './pack-candidate.js';
import { comparePaths, parsePath, type RelativePath } from './path.js';
import type { OpenPlan, PlanSource } from './plan-document.js';
import type { PrunedHistory } from './prune-history.js';
import { Quarantine } from './quarantine.js';
import {
  type Receipt,
  type RecoveryReport,
  toRecord,
  toSummary,
  type TransactionRecord,
  type TransactionSummary,
} from './receipt.js';
import type { Repair, RepairOptions } from './repair/repairing.js';
import { RootTree } from './root-tree.js';
import { formatVersion } from './schema.js';
import { Snapshots } from './snapshots.js';
import {
  closeStoreDirectory,
  journalFiles,
  makeWritable,
  type StoreDirectory,
} from './store-directory.js';
import type {
  OpenStoreOptions,
  TransactOptions,
  ApplyOptions,
  UndoOptions,
  UndoReceipt,
  RollbackOptions,
  RollbackReceipt,
  MarkOptions,
  StoreHistoryPolicy,
  RecoverOptions,
  AdoptOptions,
  DiffRequest,
  PathsRequest,
  LastChange,
  LogOptions,
  HistoryEntry,
  HistoricFile,
  StoreStatus,
  StoreDiagnosis,
} from './store-options.js';
import type { TransactionRow } from './transaction-row.js';
import type { Transaction } from './transaction.js';
import type { Undone, UndonePath, UndoRequest } from './undo.js';
import type { StoreUsage } from './usage.js';
import type { Finding, Verified } from './verify/finding.js';
import type { VerifyOptions } from './verify/verify.js';
import type { Verifying } from './verify/verifying.js';
import { type AcquireOptions, type OwnerRecord, readOwner, WriterLock } from './writer-lock.js';
import { type Session, Writer } from './writer.js';

/**
 * Checks a plan without a store: all of it, but of JSON Lines the first line only. {@link Store.apply}
 * takes the result.
 *
 * @throws {EngineError} `PLAN_INVALID`, `LIMIT_EXCEEDED`, `PATH_…`.
 */
export async function readPlan(
  plan: PlanSource,
  options: Pick<ApplyOptions, 'format' | 'name'> = {},
): Promise<OpenPlan> {
  // Only who applies plans pays for loading their checker.
  const { openPlan } = await import('./plan-document.js');
  return openPlan(plan, options);
}

function isOpenPlan(plan: PlanSource | OpenPlan): plan is OpenPlan {
  return typeof plan === 'object' && plan !== null && 'expectations' in plan;
}

const runningIn = new AsyncLocalStorage<ReadonlySet<Store>>();

/**
 * Returns the hash of what is at `path`, relative to the root, as `compute` gives it: that of an
 * earlier time when nothing at or below it changed since.
 */
export type HashOf = (
  path: string,
  /** Reads nothing but what is at `path` and below it. */
  compute: () => Promise<string | undefined>,
) => Promise<string | undefined>;

/** An open store. Made by {@link openStore}. Callers in one process queue up. */
export class Store implements AsyncDisposable {
  readonly #directory: StoreDirectory;
  readonly #journal: Journal;
  readonly #lock: WriterLock;
  readonly #writer: Writer;
  readonly #options: OpenStoreOptions;
  readonly #committing: Committing;
  readonly #quarantine: Quarantine;
  /** The whole directory at one moment, to go back to. */
  readonly snapshots: Snapshots;
  #recoveryOnOpen: RecoveryReport | undefined;
  readonly #work = new Set<Promise<unknown>>();
  #isClosed = false;

  /** @internal */
  constructor(directory: StoreDirectory, journal: Journal, options: OpenStoreOptions) {
    const { files } = directory;
    const now = options.now ?? Date.now;
    const newId = options.newId ?? randomId;
    const bootId = files.bootId() ?? `process-${newId()}`;
    // The first read makes SQLite open its log.
    journal.head();
    this.#options = options;
    this.#directory = directory;
    this.#journal = journal;
    this.#quarantine = new Quarantine({ files, directory: directory.quarantine, now });
    this.#lock = new WriterLock({
      files,
      directory: directory.store,
      holder: holderOf(options.command),
      now,
    });
    this.#writer = new Writer({
      directory,
      journal,
      journalFiles: journalFiles(directory),
      quarantine: this.#quarantine,
      lock: this.#lock,
      bootId,
      now,
      packLazily: (session) => this.#packLazily(session),
    });
    this.#committing = {
      directory,
      journal,
      writer: this.#writer,
      bootId,
      now,
      newId,
      openObjects: (level = options.compression ?? compressionLevelDefault) =>
        new ObjectStore({
          files,
          store: directory.store,
          barrier: (bytes) => this.#writer.barrier(bytes),
          level,
          newId,
        }),
      by: options.by === undefined ? undefined : plainText(options.by),
      fileMode: options.fileMode ?? 0o644,
      directoryMode: options.directoryMode ?? 0o755,
    };
    this.snapshots = new Snapshots({
      committing: this.#committing,
      refuseClosed: () => {
        this.#refuseClosed();
      },
      during: (work) => this.#during(work),
      exclusively: (waiting, work) =>
        this.#exclusively({ ...waiting, isBegun: true }, (_report, session) =>
          work(session.epoch, session),
        ),
      commit: (given, expectations, collect) => this.#commit(given, expectations, collect),
    });
  }

  /** Absolute path of the root, links resolved. */
  get root(): string {
    return this.#directory.rootPath;
  }

  /** What opening this store had to recover; `undefined` when there was nothing to do. */
  get recoveryOnOpen(): RecoveryReport | undefined {
    return this.#recoveryOnOpen;
  }

  /**
   * Runs one transaction: `callback` says what shall change, then all of it happens or nothing.
   *
   * A throw from the callback leaves nothing behind and comes out as it is. The lock is held while
   * the callback runs.
   *
   * @throws {EngineError} before anything changed: `PATH_…`, `SOURCE_…`, `EXPECTATION_FAILED`,
   * `RULE_VIOLATED`, `METADATA_NOT_KEPT`, `DISK_FULL`, `STORE_LOCKED`, `ABORTED`, …; after it was
   * undone: `DRIFT_DETECTED`, `PERMISSION_DENIED`, `PATH_BUSY`, …; otherwise `COMMIT_UNKNOWN` or
   * `BLOCKED`, which say what to do.
   */
  async transact(
    options: TransactOptions,
    callback: (tx: Transaction) => unknown,
  ): Promise<Receipt> {
    if (typeof callback !== 'function') throw new TypeError('callback must be a function');
    return this.#commit(options, new Map(), async (tx) => {
      await callback(tx);
    });
  }

  /**
   * Applies a plan, as an object or as the bytes of a plan file (docs/plan-format.md). The message
   * given here wins over the plan's.
   *
   * @throws {EngineError} `PLAN_INVALID`, `PLAN_CONTRADICTS`, and what {@link transact} throws.
   */
  async apply(plan: PlanSource | OpenPlan, options: ApplyOptions = {}): Promise<Receipt> {
    this.#refuseClosed();
    const { baseDirectory } = options;
    const opened = isOpenPlan(plan) ? plan : await readPlan(plan, options);
    const { runOperations } = await import('./run-operations.js');
    const message = options.message ?? opened.message;
    return this.#commit({ ...options, message }, opened.expectations, (tx) =>
      runOperations(opened.operations, tx, baseDirectory),
    );
  }

  /**
   * Undoes a transaction, as a transaction of its own: each path that is as that one left it gets
   * back what was there before.
   *
   * @throws {EngineError} `UNDO_CONFLICT` (`conflicts` names each path and why), `NOTHING_TO_UNDO`,
   * `TRANSACTION_NOT_FOUND`, `HISTORY_PRUNED`, `HISTORY_DAMAGED`, `REMOVAL_TOO_LARGE`, and what
   * {@link transact} throws.
   */
  async undo(options: UndoOptions = {}): Promise<UndoReceipt> {
    const { chooseUndo } = await import('./undo-choice.js');
    return this.#undo(options, chooseUndo);
  }

  /**
   * Undoes an undo: brings back what it took away. A number may be that of the undo or of the
   * transaction that was undone.
   *
   * @throws {EngineError} as {@link undo}.
   */
  async redo(options: UndoOptions = {}): Promise<UndoReceipt> {
    const { chooseRedo } = await import('./undo-choice.js');
    return this.#undo(options, chooseRedo);
  }

  /**
   * Brings all that transactions have changed since back to what it was after one of them, as a
   * transaction of its own. What no transaction has touched since stays as it is.
   *
   * @throws {EngineError} `UNDO_CONFLICT` (`conflicts` names each path and why; a dry run returns
   * them instead), `TRANSACTION_NOT_FOUND`, `PATH_NOT_FOUND`, `HISTORY_PRUNED`, `HISTORY_DAMAGED`,
   * `REMOVAL_TOO_LARGE`, and what {@link transact} throws.
   */
  async rollback(options: RollbackOptions): Promise<RollbackReceipt> {
    if ('snapshot' in options.to) return this.#rollBackToSnapshot(options.to.snapshot, options);
    const { requestRollback } = await import('./rollback.js');
    const { keepLocal = false, force = false, dryRun = false, message } = options;
    const { to } = options;
    if (!Number.isSafeInteger(to.transaction) || to.transaction < 0) {
      throw new TypeError('to.transaction must be the number of a transaction, or 0');
    }
    const terms = {
      to: to.transaction,
      paths: options.paths?.map(parsePath),
      keepsLocal: keepLocal,
      forces: force,
      isDryRun: dryRun,
      message,
    };
    const { alongside } = options;
    const receipt = await this.#undoRequested(
      options,
      ({ looking }) => requestRollback(this.#journal, terms, looking.pace),
      alongside,
    );
    return { ...receipt, unmerged: [] };
  }

  /**
   * Finishes or undoes what is unsettled, also what was blocked before, and tells what it found.
   *
   * @throws {EngineError} `TRANSACTION_NOT_FOUND`, `STORE_LOCKED`, `JOURNAL_DAMAGED`.
   */
  async recover(options: RecoverOptions = {}): Promise<RecoveryReport> {
    const { redo, undo, signal, lockWaitMs, dryRun = false } = options;
    if (dryRun) return this.#wouldRecover(redo ?? undo);
    return this.#explaining('recover', () =>
      this.#exclusively({ signal, lockWaitMs }, async () => {
        const forced = new Set<number>();
        for (const [id, state] of [
          [redo, 'committed'],
          [undo, 'undoing'],
        ] as const) {
          if (id === undefined) continue;
          const { trouble, reason } = this.#requireTroubled(id);
          this.#journal.update([{ id, state, trouble, reason }]);
          forced.add(id);
        }
        return this.#writer.recoverAll(forced);
      }),
    );
  }

  async status(): Promise<StoreStatus> {
    this.#refuseClosed();
    const unsettled = this.#journal.unsettled();
    return {
      root: this.root,
      head: this.#journal.head().id,
      unsettled: unsettled.length,
      troubled: unsettled
        .filter(({ trouble }) => trouble !== undefined)
        .map((row) => toSummary(row)),
      quarantined: this.#quarantine.count(),
      writer: toWriter(readOwner(this.#directory.files, this.#directory.store)),
    };
  }

  /** Returns transactions, newest first. */
  async log(options: LogOptions = {}): Promise<readonly TransactionSummary[]> {
    const rows = this.#log(options);
    const keeping = this.#journal.keeping.get();
    return rows.map((row) => toSummary(row, keeping));
  }

  /** As {@link log}, with what each transaction was for: a change, an undo, a rollback, …. */
  async history(options: LogOptions = {}): Promise<readonly HistoryEntry[]> {
    const { lookUpIn, toUndoneOrNot } = await import('./undo-choice.js');
    const { passageOf, transactionKind } = await import('./transaction-kind.js');
    const rows = this.#log(options);
    const lookUp = lookUpIn(this.#journal);
    const keeping = this.#journal.keeping.get();
    return rows.map((row) => {
      const summary = toSummary(row, keeping);
      const kind = transactionKind(toUndoneOrNot(row), lookUp);
      return { ...summary, kind, ...passageOf(row.id, summary.annotations) };
    });
  }

  /** Returns one transaction with its changes. @throws {EngineError} `TRANSACTION_NOT_FOUND`. */
  async show(id: number): Promise<TransactionRecord> {
    this.#refuseClosed();
    const row = this.#journal.transaction(id);
    if (row === undefined) throw this.#journal.anchors.unknown(id);
    return toRecord(row, this.#journal.changes(id), this.#journal.keeping.get());
  }

  /**
   * Returns the paths that differ between two moments, sorted. Of the disk it sees what transactions
   * have changed at some time; a file that none ever touched is not looked at.
   *
   * @throws {EngineError} `TRANSACTION_NOT_FOUND`, `PATH_…`, `ABORTED`.
   */
  async diff(request: DiffRequest = {}): Promise<readonly DiffChange[]> {
    const { from = { kind: 'transaction', id: this.#headId() }, to = { kind: 'now' } } = request;
    const within = request.paths?.map(parsePath);
    const { compareMoments } = await import('./diff.js');
    return this.#readHistory(request.signal, async (reading) => {
      const changes: DiffChange[] = [];
      const scanNow: DiffOptions['scanNow'] = (row) => this.snapshots.scanNow(row, request.signal);
      const options = { from, to, within, hasText: request.text ?? false, scanNow };
      for await (const change of compareMoments(options, reading)) changes.push(change);
      return changes;
    });
  }

  /**
   * Returns a file as it was at a moment, from wherever its bytes still are.
   *
   * @throws {EngineError} `PATH_NOT_FOUND`, `PATH_IS_DIRECTORY`, …, `HISTORY_PRUNED`,
   * `HISTORY_DAMAGED`, `TRANSACTION_NOT_FOUND`, `JOURNAL_DAMAGED`.
   */
  async read(path: string, at: Moment = { kind: 'now' }): Promise<HistoricFile> {
    const parsed = parsePath(path);
    const { readFileOf } = await import('./diff.js');
    return this.#readHistory(undefined, (reading) => readFileOf(parsed, at, reading));
  }

  /**
   * Returns for each path which transaction changed it last, sorted by path. Of paths that only
   * transactions changed whose records left the log, those are known where anything was then.
   */
  async lastChanges({ paths, signal }: PathsRequest = {}): Promise<readonly LastChange[]> {
    const within = paths?.map(parsePath);
    return this.#readHistory(signal, async ({ journal, looking: { pace } }) => {
      const known = await readKnownPaths(journal, { asOf: journal.head().id, within, pace });
      const keeping = journal.keeping.get();
      return [...known]
        .toSorted(([a], [b]) => comparePaths(a, b))
        .flatMap(([path, { image, changedBy }]) => {
          if (changedBy === undefined) return [];
          const row = journal.transaction(changedBy);
          const transaction = row === undefined ? null : toSummary(row, keeping);
          return [{ path, image, changedBy, transaction }];
        });
    });
  }

  /**
   * Returns the paths that another program changed: those that are not as the newest transaction
   * that touched them left them. Reads every such file, so it costs as much as all of them.
   */
  async drift({ paths, signal }: PathsRequest = {}): Promise<readonly DriftedPath[]> {
    const within = paths?.map(parsePath);
    return this.#readHistory(signal, (reading) => this.#findDrift(within, reading));
  }

  /**
   * Records drift as a transaction of its own, without touching a file: from then on the log knows
   * of it, and an undo of what came before does not take it for somebody else's.
   *
   * @throws {EngineError} `STORE_LOCKED`, `ABORTED`, `COMMIT_UNKNOWN`, `DAMAGED`, ….
   */
  async adopt(options: AdoptOptions = {}): Promise<Receipt> {
    const { paths, message = 'changes by other programs', dryRun = false } = options;
    const within = paths?.map(parsePath);
    requireMessage(message);
    const { adopt, adoptable } = await import('./adopt.js');
    return this.#explaining('adopt changes of', () =>
      this.#exclusively(options, async (_report, session) => {
        refuseUnresolved(this.#journal);
        if (!dryRun) await this.#writer.settle();
        const drift = await this.#readHistory(options.signal, (reading) =>
          this.#findDrift(within, reading),
        );
        const terms = { message, isDryRun: dryRun };
        return adopt(adoptable(drift), terms, { committing: this.#committing, session });
      }),
    );
  }

  /**
   * Answers what {@link verify} finds: from history, from files that still have the content, from
   * snapshots. Bytes that nobody accounts for go to quarantine; what nothing has any more is noted as
   * lost. No file of the root is touched; drift is recorded as a transaction.
   *
   * @returns what was done, or would be, about each finding.
   * @throws {EngineError} `STORE_LOCKED`, `ABORTED`, `IO_FAILED`, ….
   */
  async repair(options: RepairOptions = {}): Promise<readonly Repair[]> {
    const { repair } = await import('./repair/repair.js');
    const { signal, lockWaitMs, deep = false } = options;
    const waiting = { ...(signal && { signal }), ...(lockWaitMs !== undefined && { lockWaitMs }) };
    const scans = new Map<number, ReturnType<Snapshots['listingsNow']>>();
    return repair(options, {
      verifying: this.#verifying({ deep, ...waiting }),
      newId: this.#committing.newId,
      verify: () => this.verify({ deep, ...waiting }),
      exclusively: (work) => this.#exclusively(waiting, (_report, { epoch }) => work(epoch)),
      recover: async () => (await this.recover(waiting)).unresolved,
      adopt: async (paths) => {
        await this.adopt({
          paths,
          message: 'changes by other programs, found by repair',
          ...waiting,
        });
      },
      makeWritable: (place) => {
        makeWritable(this.#directory, place);
      },
      barrier: () => this.#writer.barrier(),
      isStopped: () => this.#writer.poison !== undefined,
      listingsNow: (row) => {
        const known = scans.get(row.id) ?? this.snapshots.listingsNow(row, signal);
        scans.set(row.id, known);
        return known;
      },
    });
  }

  /**
   * Looks at everything that the store keeps and promises, and yields what is not as it should be;
   * returns how much it looked at. Writes nothing, and lets writers go on unless something seems wrong.
   *
   * @throws {EngineError} `STORE_LOCKED` when a writer keeps it from making sure, `ABORTED`.
   */
  async *verify(options: VerifyOptions = {}): AsyncGenerator<Finding, Verified, void> {
    const { verify } = await import('./verify/verify.js');
    const verifying = this.#verifying(options);
    return yield* verify(options, {
      verifying,
      during: (work) => this.#during(work),
      whileNobodyWrites: (lockWaitMs, work) =>
        this.#whileNobodyWrites({ signal: options.signal, lockWaitMs }, work),
    });
  }

  /**
   * Drops what old transactions displaced: they cannot be undone any more, and `HISTORY_PRUNED` says
   * so. Their records stay. Every checkpoint does this beyond the store's own policy. What is younger than
   * a day stays, and so does what is in trouble, pinned or tagged.
   *
   * @param policy which ones to keep. Default: the store's own, see {@link setHistoryPolicy}.
   * @param options.pack put what is kept, and what snapshots hold, into packs: compressed together, it
   * takes a fraction. Undo and everything else read it there. What is younger than a day, pinned or
   * tagged stays as it is.
   * @param options.now also what is younger than a day: for when the disk is full.
   * @throws {EngineError} `STORE_LOCKED`, `ABORTED`, `DISK_FULL`, ….
   */
  async prune(
    policy?: HistoryPolicy,
    options: Pick<TransactOptions, 'dryRun' | 'signal' | 'lockWaitMs'> & {
      readonly pack?: boolean;
      readonly now?: boolean;
    } = {},
  ): Promise<PrunedHistory> {
    const { pruneHistory } = await import('./prune-history.js');
    const { dryRun: isDryRun = false, pack: packs = false, now: takesYoung = false } = options;
    const terms = { isDryRun, packs, takesYoung };
    return this.#explaining('prune the history of', () =>
      this.#exclusively(options, async (_report, session) => {
        using objects = this.#committing.openObjects();
        return await pruneHistory(policy ?? this.#journal.keeping.policy(), terms, {
          ...this.#packing(objects, session, new Pace(options.signal)),
          writer: this.#writer,
        });
      }),
    );
  }

  async #packLazily(session: PackingHistory['session']): Promise<boolean> {
    const { packLazily } = await import('./pack-lazily.js');
    using objects = this.#committing.openObjects();
    return await packLazily(this.#packing(objects, session, new Pace()));
  }

  #packing(objects: ObjectStore, session: PackingHistory['session'], pace: Pace): PackingHistory {
    const [directory, writer] = [this.#directory, this.#writer];
    return {
      directory,
      journal: this.#journal,
      objects,
      looking: { files: directory.files, pace },
      session,
      barrier: () => writer.barrier(),
      now: this.#committing.now(),
    };
  }

  /**
   * Pins or tags a transaction that can still be undone, or takes that back: what it displaced stays as
   * long as either is there, whatever a policy says. Afterwards it goes with the next pruning.
   *
   * @returns the transaction as it is marked then.
   * @throws {EngineError} `TRANSACTION_NOT_FOUND`, `HISTORY_PRUNED`, `NOTHING_TO_UNDO`, `BLOCKED`,
   * `TAG_INVALID`, `STORE_LOCKED`, ….
   */
  async mark(id: number, options: MarkOptions): Promise<TransactionSummary> {
    const { markTransaction } = await import('./mark-transaction.js');
    return this.#explaining('mark a transaction of', () =>
      this.#exclusively(options, async (_report, { epoch }) =>
        markTransaction(this.#journal, id, { ...options, epoch }),
      ),
    );
  }

  /** Returns which transactions this store lets keep what they displaced, without being asked. */
  async historyPolicy(): Promise<StoreHistoryPolicy> {
    this.#refuseClosed();
    const own = this.#journal.keeping.ownPolicy();
    return { policy: this.#journal.keeping.policy(), isDefault: own === undefined };
  }

  /**
   * Sets what {@link prune} and every checkpoint keep to from now on, in whichever program; all of
   * the default's rules give way. `undefined` brings the default back: the last 1 000, no more
   * than 2 GiB, and the records of the last 10 000. Drops nothing by itself.
   *
   * @throws {EngineError} `STORE_LOCKED`, `DISK_FULL`, ….
   */
  async setHistoryPolicy(
    policy: HistoryPolicy | undefined,
    options: Pick<TransactOptions, 'signal' | 'lockWaitMs'> = {},
  ): Promise<StoreHistoryPolicy> {
    if (policy !== undefined && !isPolicy(policy)) {
      throw new TypeError(
        'a policy has keepLast, keepWithinMs, keepDaily, keepWeekly, keepMonthly, sizeBytesMax, keepRecords and packFromBytes, numbers from 0 on',
      );
    }
    await this.#explaining('set the policy of', () =>
      this.#exclusively(options, async (_report, { epoch }) => {
        this.#journal.keeping.setPolicy(policy, epoch);
      }),
    );
    return this.historyPolicy();
  }

  /**
   * Runs `work`, which computes hashes of files or directories, and keeps them for the next time, in
   * this process or another: while nothing changed there, they are not computed again. Needs no lock;
   * where nothing can be kept, because the store may not be written to, each is computed.
   *
   * @param of names what is computed; only what was kept by that name is believed.
   */
  async rememberHashes<T>(of: string, work: (hashOf: HashOf) => Promise<T>): Promise<T> {
    return this.#during(async () => {
      const { HashMemory } = await import('./hash-memory.js');
      const { files, root, store } = this.#directory;
      const { bootId: boot, now, newId } = this.#committing;
      const memory = new HashMemory({ files, root, store, now, newId, key: { of, boot } });
      const result = await work((path, compute) => memory.hashOf(path, compute));
      memory.save();
      return result;
    });
  }

  /** Returns what the store keeps besides the directory itself, in bytes. Reads no content. */
  async usage({ signal }: { readonly signal?: AbortSignal } = {}): Promise<StoreUsage> {
    const { measureUsage } = await import('./usage.js');
    return this.#readHistory(signal, ({ journal, looking, objects }) =>
      measureUsage({
        directory: this.#directory,
        journal,
        objects,
        looking,
        quarantined: this.#quarantine.count(),
        now: this.#committing.now(),
      }),
    );
  }

  /** Returns what this store stands on. */
  async diagnose(): Promise<StoreDiagnosis> {
    this.#refuseClosed();
    const { files, fileSystemType, foldsNames, root } = this.#directory;
    return {
      root: this.root,
      format: formatVersion,
      fileSystem: fileSystemType,
      foldsNames,
      capabilities: files.capabilities,
      freeBytes: files.freeBytes(root),
      transactions: this.#journal.head().id,
    };
  }

  /** Waits for what is running, then lets go of everything. A second call does nothing. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#refuseNested();
    this.#isClosed = true;
    await Promise.allSettled(this.#work);
    this.#lock[Symbol.dispose]();
    if (this.#writer.mayCopyLog()) this.#journal[Symbol.dispose]();
    else this.#journal.abandon();
    this.#directory.files.close();
    closeStoreDirectory(this.#directory);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** @internal */
  async recoverOnOpen(): Promise<void> {
    const owner = readOwner(this.#directory.files, this.#directory.store);
    if (this.#writer.isAtRest(owner)) return;
    await this.#exclusively({ isRetry: true, signal: this.#options.signal }, async (report) => {
      this.#recoveryOnOpen = report;
    });
  }

  #log({
    limit = 100,
    before = Number.MAX_SAFE_INTEGER,
    path,
  }: LogOptions): readonly TransactionRow[] {
    this.#refuseClosed();
    return path === undefined
      ? this.#journal.log(limit, before)
      : this.#journal.logOf(parsePath(path), limit, before);
  }

  #headId(): number {
    this.#refuseClosed();
    return this.#journal.head().id;
  }

  /** What the system refuses comes out as an `EngineError`. */
  async #explaining<T>(doing: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw fromSystemErrorOnly(error, doing, this.root);
    }
  }

  async #findDrift(
    within: readonly RelativePath[] | undefined,
    { journal, looking, tree }: Reading,
  ): Promise<readonly (DriftedPath & { readonly path: RelativePath })[]> {
    const { pace } = looking;
    const known = await readKnownPaths(journal, { asOf: journal.head().id, within, pace });
    const drift = [];
    for await (const path of findDrift(known, { looking, tree })) drift.push(path);
    return drift;
  }

  /** Reads without the lock: what is pruned or changed meanwhile is found out by its hash. */
  async #readHistory<T>(
    signal: AbortSignal | undefined,
    read: (reading: Reading) => Promise<T>,
  ): Promise<T> {
    this.#refuseClosed();
    const { files, root, stage, rootPath } = this.#directory;
    const work = async (): Promise<T> => {
      using tree = new RootTree(files, root);
      using history = new RootTree(files, stage);
      using objects = this.#committing.openObjects();
      const pace = new Pace(signal);
      pace.onTurn = (): void => {
        const progress = { phase: 'compare', done: 0, total: undefined } as const;
        publish('skillmeat:progress', { root: rootPath, ...progress });
      };
      try {
        return await read({
          journal: this.#journal,
          looking: { files, pace },
          tree,
          history,
          objects,
        });
      } catch (error) {
        throw fromSystemErrorOnly(error, 'read', rootPath);
      }
    };
    const running = work();
    this.#work.add(running);
    try {
      return await running;
    } finally {
      this.#work.delete(running);
    }
  }

  async #undo(
    options: UndoOptions,
    choose: (journal: Journal, id: number | undefined) => TransactionRow,
  ): Promise<UndoReceipt> {
    const { requestUndo } = await import('./undo-transaction.js');
    const { noParts } = await import('./undo.js');
    const { merge = false, force = false, message } = options;
    const { parts, choosesParts, sharedDirectories } = { ...noParts, ...options };
    const known = { parts, choosesParts, sharedDirectories };
    const paths = options.paths?.map(parsePath);
    let undone = 0;
    const receipt = await this.#undoRequested(options, async () => {
      const transaction = choose(this.#journal, options.transaction);
      undone = transaction.id;
      const terms = { paths, message, merges: merge, forces: force, ...known };
      return requestUndo(this.#journal, transaction, terms);
    });
    const { transaction, paths: outcomes, needsForce } = receipt;
    return {
      transaction,
      undone,
      paths: outcomes,
      ...(needsForce !== undefined && { needsForce }),
    };
  }

  async #rollBackToSnapshot(
    reference: string | number,
    {
      keepLocal = false,
      force = false,
      dryRun = false,
      message,
      alongside,
      ...options
    }: RollbackOptions,
  ): Promise<RollbackReceipt> {
    const { signal } = options;
    const drift = keepLocal
      ? await this.#readHistory(signal, (reading) => this.#findDrift(undefined, reading))
      : [];
    const { receipt, conflicts, local } = await this.snapshots.rollBack(reference, {
      ...options,
      paths: options.paths,
      rules: options.rules ?? [],
      drift,
      forces: force,
      dryRun,
      message,
      alongside,
    });
    const changed = receipt.transaction?.changes ?? [];
    const isLocal = new Set<string>(local.map(({ path }) => path));
    const restored = changed.filter(({ path }) => !isLocal.has(path));
    const paths: readonly UndonePath[] = [
      ...restored.map(({ path }) => ({ path, outcome: 'restored' as const })),
      ...local.map(({ path, outcome }) => ({ path, outcome })),
      ...conflicts.map(({ path }) => ({ path, outcome: 'conflict' as const })),
    ];
    const sorted = paths.toSorted((a, b) => comparePaths(a.path, b.path));
    return { ...receipt, paths: sorted, conflicts, unmerged: unmergedOf(local) };
  }

  async #undoRequested(
    options: TransactOptions,
    request: (reading: HistoryReading) => Promise<UndoRequest>,
    alongside?: (tx: Transaction) => unknown,
  ): Promise<Receipt & Undone> {
    const { collectUndo, stageUndo } = await import('./undo.js');
    const journal = this.#journal;
    let undone: Undone | undefined;
    const receipt = await this.#commit(options, new Map(), async (tx) => {
      const collected = await tx.act(async (view, reading) => {
        const requested = await request(reading);
        undone = await stageUndo(requested, view, { journal, reading });
        return collectUndo(requested, undone);
      });
      if (undone?.conflicts.length === 0) await alongside?.(tx);
      return collected;
    });
    assert(undone !== undefined, 'a receipt comes after the operations');
    return { ...receipt, ...undone };
  }

  async #commit(
    options: TransactOptions,
    expectations: CommitOptions['expectations'],
    collect: Collect,
  ): Promise<Receipt> {
    const { signal, lockWaitMs, sharesFlush = false } = options;
    const rules = [...(this.#options.rules ?? []), ...(options.rules ?? [])];
    const { message = '', dryRun = false } = options;
    const given: CommitOptions = { message, isDryRun: dryRun, rules, expectations, signal };
    return this.#waiting({ signal, lockWaitMs }, (acquiring) =>
      this.#writer.transact({ ...acquiring, joins: sharesFlush }, (session, turn) =>
        commit(given, this.#committing, { session, turn }, (tx) =>
          runningIn.run(new Set([...(runningIn.getStore() ?? []), this]), () => collect(tx)),
        ),
      ),
    );
  }

  /** Work without the lock, which {@link close} waits for. */
  async #during<T>(work: () => Promise<T>): Promise<T> {
    this.#refuseClosed();
    this.#refuseNested();
    const running = work();
    this.#work.add(running);
    try {
      return await running;
    } finally {
      this.#work.delete(running);
    }
  }

  async #exclusively<T>(
    options: {
      readonly signal?: AbortSignal | undefined;
      readonly lockWaitMs?: number | undefined;
      readonly isRetry?: boolean;
      /** Part of work that {@link close} waits for. */
      readonly isBegun?: boolean;
    },
    work: (report: RecoveryReport | undefined, session: Session) => Promise<T>,
  ): Promise<T> {
    const { isRetry = false } = options;
    return this.#waiting(options, (acquiring) =>
      this.#writer.exclusively({ ...acquiring, isRetry }, (session, report) =>
        work(report, session),
      ),
    );
  }

  /** Waits for the lock in a way that {@link close} waits for. */
  async #waiting<T>(
    options: {
      readonly signal?: AbortSignal | undefined;
      readonly lockWaitMs?: number | undefined;
      readonly isBegun?: boolean;
    },
    work: (acquiring: AcquireOptions) => Promise<T>,
  ): Promise<T> {
    if (options.isBegun !== true) this.#refuseClosed();
    this.#refuseNested();
    const { signal } = options;
    const waitMs = options.lockWaitMs ?? this.#options.lockWaitMs ?? lockWaitMsDefault;
    const onWait = (): void => {
      publish('skillmeat:waiting', { root: this.root, waitMs });
    };
    const running = work({ waitMs, signal, onWait });
    this.#work.add(running);
    try {
      return await running;
    } finally {
      this.#work.delete(running);
    }
  }

  #verifying(options: VerifyOptions): Verifying {
    const { files, rootPath } = this.#directory;
    const pace = new Pace(options.signal);
    pace.onTurn = (): void => {
      const progress = { phase: 'verify', done: 0, total: undefined } as const;
      publish('skillmeat:progress', { root: rootPath, ...progress });
    };
    const { bootId, now } = this.#committing;
    return {
      looking: { files, pace },
      directory: this.#directory,
      journal: this.#journal,
      quarantine: this.#quarantine,
      openObjects: () => this.snapshots.openObjects(),
      now,
      bootId,
      isDeep: options.deep ?? false,
      broken: new Set(),
      count: () => undefined,
    };
  }

  /** As {@link #exclusively}, for who only looks: recovers nothing and writes nothing. */
  async #whileNobodyWrites<T>(
    {
      signal,
      lockWaitMs,
    }: { readonly signal: AbortSignal | undefined; readonly lockWaitMs: number | undefined },
    work: () => Promise<T>,
  ): Promise<T> {
    const waitMs = lockWaitMs ?? this.#options.lockWaitMs ?? lockWaitMsDefault;
    const onWait = (): void => {
      if (waitMs > 0) publish('skillmeat:waiting', { root: this.root, waitMs });
    };
    return this.#writer.whileNobodyWrites({ waitMs, signal, onWait }, work);
  }

  /** What {@link recover} would look at. Who is forced is no longer in the way. */
  #wouldRecover(forced: number | undefined): RecoveryReport {
    this.#refuseClosed();
    if (forced !== undefined) this.#requireTroubled(forced);
    const unsettled = this.#journal.unsettled();
    return {
      transactions: unsettled.map(({ id }) => id),
      changed: 0,
      superseded: [],
      unresolved: unsettled.flatMap(({ id, trouble, reason }) =>
        trouble === undefined || id === forced ? [] : [{ id, reason: reason ?? trouble }],
      ),
    };
  }

  #requireTroubled(id: number): TransactionRow {
    const row = this.#journal.transaction(id);
    if (row === undefined) throw this.#journal.anchors.unknown(id);
    if (row.trouble !== undefined) return row;
    throw new EngineError(
      'TRANSACTION_NOT_FOUND',
      `transaction ${String(id)} is ${row.state}, neither blocked nor damaged`,
      { hint: 'Only a blocked or damaged transaction can be forced either way.' },
    );
  }

  /** It would wait for the lock that its own caller holds. */
  #refuseNested(): void {
    if (runningIn.getStore()?.has(this) !== true) return;
    throw new EngineError('TRANSACTION_NESTED', 'a transaction of this store is running here', {
      hint: 'Use the transaction that the callback was given, or start this one after it.',
    });
  }

  #refuseClosed(): void {
    if (!this.#isClosed) return;
    throw new EngineError('STORE_CLOSED', 'the store is closed', { hint: 'Open it again.' });
  }
}

function toWriter(owner: OwnerRecord | undefined): StoreStatus['writer'] {
  if (owner === undefined) return null;
  const { pid, host, command, since, isReleased } = owner;
  return { pid, host, command, since, isDone: isReleased };
}

/** What is neither done nor undone must not be taken for somebody else's. */
function refuseUnresolved(journal: Journal): void {
  const [first] = journal.troubled();
  // guard: unresolved [if true]
  if (first === undefined) return;
  throw new EngineError(
    first.trouble === 'damaged' ? 'DAMAGED' : 'BLOCKED',
    `transaction ${String(first.id)} is ${first.trouble ?? ''}: ${first.reason ?? ''}`,
    { hint: 'Resolve it first: skillmeat txn recover' },
  );
}
