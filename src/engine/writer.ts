import {
  checkpoint,
  coverByBarrier,
  coverStagedByBarrier,
  prune,
  refuseLostWrites,
  refuseLostTransactions,
  sweepStage,
  type Checkpointing,
} from './checkpoint.js';
import {
  assert,
  EngineError,
  fromSystemError,
  fromSystemErrorOnly,
  isEngineError,
  systemCode,
} from './errors.js';
import { publish } from './events.js';
import { Group, Turn } from './group.js';
import type { Head, TransactionRow } from './transaction-row.js';
import type { Journal, Position } from './journal.js';
import type { HistoryVerdict } from './history-policy.js';
import { isSyncFailure } from './journal-failure.js';
import {
  bytesCheckpointTransactionsMin,
  recoveryRoundsMax,
  unsettledBytesMax,
  unsettledChangesMax,
  unsettledTransactionsMax,
} from './limits.js';
import { Pace } from './pace.js';
import { engineDirectoryName } from './path.js';
import type { Quarantine } from './quarantine.js';
import type { RecoveryReport } from './receipt.js';
import { recover, type Recovered } from './recover.js';
import type { SupersededPath } from './recovery-paths.js';
import { RootTree } from './root-tree.js';
import { setAsideForeign } from './set-aside.js';
import {
  journalLogName,
  type JournalFiles,
  requireInPlace,
  type StoreDirectory,
} from './store-directory.js';
import {
  type AcquireOptions,
  type Admission,
  type OwnerRecord,
  readOwner,
  type WriterLock,
} from './writer-lock.js';

/*
 * What happens around every piece of writing:
 *
 * 1. Take the lock.
 * 2. See that the store is still the one that was opened.
 * 3. If the last holder did not let go in order, recover (I1), and sweep what it left.
 * 4. Say who holds the lock; work.
 * 5. Say that everything up to the newest transaction was applied; let go. Once in a while settle
 *    first.
 *
 * A failure that leaves anything open poisons the store: every later call fails until it is opened
 * again, which recovers (I10).
 */

export interface WriterOptions {
  readonly directory: StoreDirectory;
  readonly journal: Journal;
  readonly journalFiles: JournalFiles;
  readonly quarantine: Quarantine;
  readonly lock: WriterLock;
  /** This boot of this machine; a store that cannot know makes one up for itself. */
  readonly bootId: string;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Packs a piece of history. Returns whether there is more to pack soon. */
  readonly packLazily: (session: Pick<Session, 'requireFence' | 'epoch'>) => Promise<boolean>;
}

/** What a holder of the lock works with. */
export interface Session {
  readonly head: Head;
  readonly epoch: number;
  /** Whether a transaction is blocked or damaged. */
  readonly isTroubled: boolean;
  /** Throws when the store was replaced. */
  readonly requireInPlace: () => void;
  /** Throws when the store was replaced or another writer took over. */
  readonly requireFence: () => void;
}

/** What the last holder of the lock left, as far as it concerns recovery. */
interface LeftBehind {
  /** Whether transactions that were blocked before are tried again. */
  readonly isRetry: boolean;
  /** Up to this transaction its `owner` record says that all were flushed. */
  readonly flushedThrough: number;
  /** Number of the newest transaction. */
  readonly head: number;
}

interface RecoveryTerms {
  /** Transactions to finish or undo even at the price of lost bytes. */
  readonly forced?: ReadonlySet<number>;
  /** Default: all of them were flushed. */
  readonly flushedThrough?: number;
}

/** The only way to write: holds the lock, recovers, settles. */
export class Writer {
  readonly #options: WriterOptions;
  #poison: EngineError | undefined;
  /** What this process knows to be unsettled, to decide on a checkpoint. */
  #unsettledTransactions = 0;
  #unsettledChanges = 0;
  /** That were displaced. */
  #unsettledBytes = 0;
  #hasMoreToPack = false;
  #hasCounted = false;
  #epoch = 0;
  /** The newest transaction that this writer knows to be applied, or about to be. */
  #head: Head | undefined;
  /** Whether a transaction was blocked or damaged when the session began. */
  #isTroubled = false;
  /** Whether the next holder may trust that everything was applied. */
  #isInOrder = false;
  /** The session that transactions share, while one holds the lock. */
  #group: Group | undefined;
  /** Whether a barrier covers the names of SQLite's files, or will. */
  #isJournalNamed = false;

  constructor(options: WriterOptions) {
    this.#options = options;
  }

  get poison(): EngineError | undefined {
    return this.#poison;
  }

  /**
   * Runs `work` under the lock, after recovering what a dead process left.
   *
   * @param isRetry whether transactions that were blocked before are tried again.
   * @throws {EngineError} `STORE_LOCKED`, `ABORTED`, `STORE_REPLACED`, `STORE_POISONED`,
   * `JOURNAL_DAMAGED`, and whatever `work` throws.
   */
  async exclusively<T>(
    options: AcquireOptions & { readonly isRetry?: boolean },
    work: (session: Session, report: RecoveryReport | undefined) => Promise<T>,
  ): Promise<T> {
    this.refusePoisoned();
    const owner = await this.#acquire(options);
    try {
      const { report, position } = await this.#enter(owner, options.isRetry === true);
      const result = await work(this.#session(position), report);
      await this.#settleIfDue();
      return result;
    } catch (error) {
      const failure = this.#explain(error);
      this.#noteFailure(failure);
      throw failure;
    } finally {
      this.#letGo();
    }
  }

  /**
   * As {@link exclusively}, for one transaction. It lets others in that wait; see `group.ts`.
   *
   * @param joins whether it may be let in itself.
   */
  async transact<T>(
    options: AcquireOptions & { readonly joins: boolean },
    work: (session: Session, turn: Turn) => Promise<T>,
  ): Promise<T> {
    this.refusePoisoned();
    const group = await this.#enterGroup(options);
    const turn = new Turn(group);
    let isDone = false;
    let result: T;
    try {
      // A joined one may find that the store has stopped since.
      this.refusePoisoned();
      result = await work(this.#sharedSession(), turn);
      isDone = true;
    } catch (error) {
      const failure = this.#explain(error);
      this.#noteFailure(failure);
      throw failure;
    } finally {
      await turn.end(isDone);
      await this.#leaveGroup(group, isDone);
    }
    // A plan, or that nothing is to be done, may rest on what was undone since.
    // guard: group-result-sound
    turn.requireSound();
    return result;
  }

  async #enterGroup(options: AcquireOptions & { readonly joins: boolean }): Promise<Group> {
    const { lock } = this.#options;
    const acquire = (): Promise<Admission> =>
      options.joins
        ? lock.acquireOrJoin(options)
        : lock.acquire(options).then((owner) => ({ isJoined: false, owner }));
    const { isJoined, owner } = await this.#acquiring(acquire);
    if (isJoined) {
      assert(this.#group !== undefined, 'who lets others join has a group');
      return this.#group;
    }
    try {
      const { position } = await this.#enter(owner, false);
      this.#isTroubled = position.isTroubled;
      this.#group = this.#newGroup();
      return this.#group;
    } catch (error) {
      const failure = this.#explain(error);
      this.#noteFailure(failure);
      this.#letGo();
      throw failure;
    }
  }

  #newGroup(): Group {
    const { directory, lock } = this.#options;
    // Elsewhere records are synced one by one, and a name may stand for another one.
    const maySharing = directory.files.capabilities.barrier === 'syncfs' && !directory.foldsNames;
    const poison = (): EngineError | undefined => this.#poison;
    return new Group({
      letJoin: () => maySharing && lock.letJoin(),
      flush: (bytes) => this.flush(bytes),
      takeBack: (ids, reason) => {
        this.#takeBack(ids, reason);
      },
      noteFlushed: () => {
        this.noteFlushed();
      },
      refusePoisoned: () => {
        this.refusePoisoned();
      },
      get poison() {
        return poison();
      },
    });
  }

  /** The last one out lets go of the lock. */
  async #leaveGroup(group: Group, isDone: boolean): Promise<void> {
    group.isDone ||= isDone;
    group.inside -= 1;
    if (group.inside > 0) return;
    this.#group = undefined;
    try {
      if (group.isDone) await this.#settleIfDue();
    } finally {
      this.#letGo();
    }
  }

  async #enter(
    owner: OwnerRecord | undefined,
    isRetry: boolean,
  ): Promise<{ readonly report: RecoveryReport | undefined; readonly position: Position }> {
    this.refusePoisoned();
    this.#isInOrder = false;
    const position = this.#options.journal.position();
    const isOrderly = this.#isOrderly(owner, position);
    const flushedThrough = owner?.mark.head.id ?? 0;
    const leftBehind = { isRetry, flushedThrough, head: position.head.id };
    return this.#begin(isOrderly ? position : undefined, leftBehind);
  }

  /**
   * Runs `work` while nobody writes. Recovers nothing and writes nothing. Who may not write to the
   * lock file cannot keep anybody from writing either: then `work` runs all the same.
   *
   * @throws {EngineError} `STORE_LOCKED`, `ABORTED`, and whatever `work` throws.
   */
  async whileNobodyWrites<T>(options: AcquireOptions, work: () => Promise<T>): Promise<T> {
    const isLocked = await this.#acquire(options).then(
      () => true,
      (error: unknown) => {
        if (isEngineError(error, 'READ_ONLY', 'PERMISSION_DENIED')) return false;
        throw error;
      },
    );
    try {
      return await work();
    } finally {
      if (isLocked) this.#options.lock.release();
    }
  }

  #acquire(options: AcquireOptions): Promise<OwnerRecord | undefined> {
    return this.#acquiring(() => this.#options.lock.acquire(options));
  }

  async #acquiring<T>(acquire: () => Promise<T>): Promise<T> {
    const { directory } = this.#options;
    try {
      return await acquire();
    } catch (error) {
      const failure = this.#explain(fromSystemErrorOnly(error, 'lock', directory.rootPath));
      this.#noteUnknown(failure);
      throw failure;
    }
  }

  /** @param position as the last holder left it, `undefined` when it did not let go in order. */
  async #begin(
    position: Position | undefined,
    leftBehind: LeftBehind,
  ): Promise<{ readonly report: RecoveryReport | undefined; readonly position: Position }> {
    const { bootId, directory, journal, lock } = this.#options;
    try {
      this.#coverJournalNames();
      const recovered = await this.#recoverIfNeeded(position !== undefined, leftBehind);
      // The sweep sets aside what it can, whatever becomes of one thing.
      // guard: sweep-barrier-failed
      this.refusePoisoned();
      const { isSwept, report } = recovered;
      this.#isInOrder = isSwept;
      if (!this.#hasCounted) this.#countUnsettled();
      const found = position === undefined || leftBehind.isRetry ? journal.position() : position;
      this.#head = found.head;
      this.#epoch = found.epoch;
      lock.recordHeld(bootId, { head: found.head, writes: found.writes });
      return { report, position: found };
    } catch (error) {
      throw fromSystemErrorOnly(error, 'recover', directory.rootPath);
    }
  }

  /**
   * I2: SQLite syncs the directory that its log is named in, but tells nobody when that fails, and
   * without its name the log is lost with the power. A `syncfs` covers names by itself.
   */
  #coverJournalNames(): void {
    const { files, root } = this.#options.directory;
    if (this.#isJournalNamed || files.capabilities.barrier === 'syncfs') return;
    // guard: journal-names
    files.mustReachDisk({ directory: root, name: engineDirectoryName });
    this.#isJournalNamed = true;
  }

  /**
   * I1: a record that says "all applied" ends every recovery before it begins. So it names what this
   * writer knows of, and only while nobody else has taken over.
   */
  #letGo(): void {
    const { bootId, journal, lock } = this.#options;
    try {
      const head = this.#poison === undefined && this.#isInOrder ? this.#head : undefined;
      // guard: release-fence [if true]
      if (head !== undefined && journal.epoch() === this.#epoch) {
        // guard: release-lock-in-place
        lock.requireInPlace();
        lock.recordReleased(bootId, { head, writes: journal.writes });
      }
    } catch {
      // The work is done or failed by itself; without this record the next one recovers.
    } finally {
      lock.release();
    }
  }

  /** Tells whether the last holder let go in order and nothing is in trouble. Needs no lock. */
  isAtRest(owner: OwnerRecord | undefined): boolean {
    const { directory, journal } = this.#options;
    // A first transaction may have died, and the power have taken what `owner` said of it.
    const hasStaged = (): boolean => directory.files.list(directory.stage).length > 0;
    const position = journal.position();
    const isEmpty = owner === undefined && position.head.id === 0 && !hasStaged();
    return (isEmpty || this.#isOrderly(owner, position)) && !position.isTroubled;
  }

  /**
   * Tells whether the log may be copied into the journal, as SQLite does when its last connection is closed:
   * what the disk failed to write of it may be in memory only (I10). The next opening sees to that.
   */
  mayCopyLog(): boolean {
    const { directory, journalFiles } = this.#options;
    try {
      // guard: close-in-place
      requireInPlace(directory, journalFiles);
    } catch (error) {
      // Into a file that is not at its name SQLite copies nothing; what is there now is somebody else's.
      if (isEngineError(error, 'STORE_REPLACED')) return true;
    }
    // guard: close-stopped [this.#poison !== undefined becomes false]
    if (this.#poison !== undefined) return false;
    try {
      // Another process may have stopped, and this one have only read.
      // guard: close-at-rest [this.isAtRest(readOwner(directory.files, directory.store)) becomes true]
      return this.isAtRest(readOwner(directory.files, directory.store));
    } catch {
      return false;
    }
  }

  /** Counts a commit of this process towards the next checkpoint. */
  noteCommit(head: Head, changes: number, displacedBytes: number): void {
    this.#head = head;
    this.#unsettledTransactions += 1;
    this.#unsettledChanges += changes;
    this.#unsettledBytes += displacedBytes;
    this.#epoch += 1;
  }

  /**
   * I2: says in `owner`, before anything is applied, that the newest transaction is on disk. A
   * journal that lost it afterwards is then found out, and not taken for one that never had it.
   */
  noteFlushed(): void {
    const { bootId, journal, lock } = this.#options;
    const head = this.#head;
    assert(head !== undefined, 'a writer at work knows the newest transaction');
    try {
      lock.recordHeld(bootId, { head, writes: journal.writes });
    } catch (error) {
      // The transaction is committed all the same; only the evidence of it is missing.
      if (systemCode(error) === undefined) throw error;
    }
  }

  /** Something could not be removed from the stage directory: the next holder of the lock sweeps. */
  leaveForSweep(): void {
    this.#isInOrder = false;
  }

  /**
   * Makes the store fail for a sync that failed, and then takes away what that was to cover, if the lock is
   * to be had. Recovers and settles nothing: that would rely on a sync after the failed one (I10).
   */
  async stop(
    error: unknown,
    options: AcquireOptions,
    takeAway: () => Promise<void>,
  ): Promise<void> {
    const { bootId, directory, lock } = this.#options;
    this.poisonWith(fromSystemError(error, 'sync', directory.rootPath));
    try {
      const owner = await lock.acquire(options);
      try {
        // The next holder has to find out what is on disk.
        // guard: stop-held
        if (owner?.isReleased === true) lock.recordHeld(bootId, owner.mark);
        await takeAway();
      } finally {
        lock.release();
      }
    } catch (failure) {
      // The failed sync is told; what is left is only trusted by who reads it, and behind another sync.
      if (!isEngineError(failure) && systemCode(failure) === undefined) throw failure;
    }
  }

  /** @throws {EngineError} `STORE_POISONED` once a failure has stopped the store. */
  refusePoisoned(): void {
    if (this.#poison === undefined) return;
    throw new EngineError(
      'STORE_POISONED',
      `the store stopped after a failure: ${this.#poison.message}`,
      { cause: this.#poison, hint: 'Open it again; that recovers it.' },
    );
  }

  /** Makes the store fail from now on, until it is opened again. */
  poisonWith(error: EngineError): void {
    this.#poison ??= error;
  }

  /** Waits until contents and records are on disk; poisons the store when that fails. */
  async flush(bytes: number): Promise<void> {
    const { files, root, rootPath } = this.#options.directory;
    try {
      // guard: commit-barrier
      await files.barrier(root, bytes);
    } catch (error) {
      // I10: a sync that failed says so once; what else it concerned, nobody knows.
      const failure = fromSystemError(error, 'sync', rootPath);
      this.poisonWith(failure);
      throw failure;
    }
  }

  #takeBack(ids: readonly number[], reason: string): void {
    const updates = ids.map((id) => ({ id, state: 'rolled-back' as const, reason }));
    this.#options.journal.update(updates, this.#epoch);
    this.#epoch += 1;
  }

  /**
   * Undoes a transaction whose applying failed.
   *
   * @param dependents of which nothing was applied: in the same step they are taken back.
   * @returns why that has to wait, if it has to.
   */
  async undo(id: number, reason: string, dependents: readonly Turn[]): Promise<string | undefined> {
    const { journal } = this.#options;
    const because = `it was built upon transaction ${String(id)}, which was undone: ${reason}`;
    const takenBack = dependents.map(
      ({ record }) => ({ id: record.id, state: 'rolled-back', reason: because }) as const,
    );
    // I4: a writer that lost its lock may find the work of the next one here, and must not undo it.
    // guard: group-taken-back [...takenBack becomes ...[]]
    journal.update([{ id, state: 'undoing', reason }, ...takenBack], this.#epoch);
    this.#epoch += 1;
    for (const dependent of dependents) dependent.isTakenBack = true;
    // guard: owner-names-undoing
    this.noteFlushed();
    const row = journal.transaction(id);
    assert(row !== undefined, 'the transaction was just committed');
    const { unresolved } = await this.#finish([row]);
    return unresolved[0]?.reason;
  }

  /** Finishes or undoes what is unsettled, `forced` ones even at the price of lost bytes. */
  async recoverAll(forced: ReadonlySet<number>): Promise<RecoveryReport> {
    const report = await this.#finish(this.#options.journal.unsettled(), { forced });
    if (!(await sweepStage(this.#checkpointing()))) this.leaveForSweep();
    return report;
  }

  /** Settles everything that can be settled. Runs under the lock. */
  async settle(): Promise<void> {
    const { journal, directory } = this.#options;
    const ready = journal
      .unsettled()
      .filter(({ state, trouble }) => state === 'committed' && trouble === undefined);
    if (ready.length === 0) return;
    const root = directory.rootPath;
    let lateWrites;
    try {
      lateWrites = await checkpoint(ready, this.#checkpointing());
    } catch (error) {
      // I10: nothing may be settled on a barrier that failed, by a later try either.
      const failure = fromSystemError(error, 'settle', root);
      this.poisonWith(failure);
      throw failure;
    }
    this.#noteAllSettled();
    publish('skillmeat:checkpoint', { root, settled: ready.length, lateWrites });
  }

  /**
   * Waits until everything is on disk: a failure stops the store, as a second sync would say nothing of what
   * this one was to cover (I10).
   *
   * @param bytes as for `FileSystem.barrier`.
   * @throws {EngineError}
   */
  async barrier(bytes: number = Number.POSITIVE_INFINITY): Promise<void> {
    const { files, root, rootPath } = this.#options.directory;
    try {
      // guard: writer-barrier
      await files.barrier(root, bytes);
    } catch (error) {
      const failure = fromSystemError(error, 'sync', rootPath);
      this.poisonWith(failure);
      throw failure;
    }
  }

  /** Drops what settled transactions displaced. Runs under the lock. */
  async prune(verdicts: readonly HistoryVerdict<TransactionRow>[]): Promise<void> {
    await prune(verdicts, this.#checkpointing());
  }

  // --- inside --------------------------------------------------------------------------------

  /** That of whoever has its turn: those before have moved head and epoch. */
  #sharedSession(): Session {
    const head = this.#head;
    assert(head !== undefined, 'a writer at work knows the newest transaction');
    const { isTroubled, journal } = { isTroubled: this.#isTroubled, ...this.#options };
    const position = { head, epoch: this.#epoch, isTroubled, writes: journal.writes };
    const epoch = (): number => this.#epoch;
    return {
      ...this.#session(position),
      get epoch() {
        return epoch();
      },
    };
  }

  #session(position: Position): Session {
    return {
      ...position,
      requireInPlace: () => {
        // guard: session-in-place
        this.#requireInPlace();
      },
      requireFence: () => {
        // guard: fence-in-place
        this.#requireInPlace();
        // guard: fence-epoch [if true]
        if (this.#options.journal.epoch() === this.#epoch) return;
        throw new EngineError('FENCED', 'another writer took over this store', {
          hint: 'The lock file was removed while in use. Open the store again.',
        });
      },
    };
  }

  #requireInPlace(): void {
    const { directory, journalFiles, lock } = this.#options;
    // guard: store-in-place
    requireInPlace(directory, journalFiles);
    // guard: session-lock-in-place
    lock.requireInPlace();
  }

  #isOrderly(owner: OwnerRecord | undefined, position: Position): boolean {
    if (owner === undefined) return false;
    // guard: owner-ahead-of-journal
    refuseLostWrites(owner.mark, position, this.#options.journal);
    const isSame = owner.mark.head.id === position.head.id;
    // guard: owner-released [owner.isReleased becomes true]
    // guard: owner-same-boot [owner.bootId === this.#options.bootId becomes true]
    // guard: owner-same-head [isSame becomes true]
    return owner.isReleased && owner.bootId === this.#options.bootId && isSame;
  }

  async #recoverIfNeeded(
    isOrderly: boolean,
    { isRetry, head, flushedThrough: named }: LeftBehind,
  ): Promise<{ readonly isSwept: boolean; readonly report: RecoveryReport | undefined }> {
    const nothing = { isSwept: true, report: undefined };
    if (isOrderly && !isRetry) return nothing;
    const { journal, directory } = this.#options;
    const unsettled = journal.unsettled();
    const troubled = unsettled.filter(({ trouble }) => trouble !== undefined);
    if (isOrderly && troubled.length === 0) return nothing;
    // guard: recovery-in-place
    this.#requireInPlace();
    // guard: recovery-lost-transactions
    if (!isOrderly) refuseLostTransactions(this.#checkpointing());
    // I2: what the disk failed to write of the log may be in memory only, where no sync finds it any more;
    // the power would take it, and all that is written behind it.
    // guard: recovery-log
    if (!isOrderly) directory.files.writeAnew({ directory: directory.store, name: journalLogName });
    // I4: a holder that only lost its lock file, and goes on, must not get past this.
    // guard: recovery-epoch
    journal.bumpEpoch(journal.epoch());
    // guard: recovery-quick-check
    if (!isOrderly) journal.quickCheck();
    const flushedThrough = Math.max(named, this.#firstOfNewestFlush(head, unsettled) - 1);
    const unflushed = unsettled.filter(
      ({ flush, id }) => flush !== 'before' && id > flushedThrough,
    );
    // guard: recovery-flush
    if (unflushed.length > 0) await this.#flush(unflushed);
    const report = await this.#finish(isOrderly ? troubled : unsettled, { flushedThrough });
    const isSwept = isOrderly || (await sweepStage(this.#checkpointing()));
    if (isOrderly) this.#countUnsettled();
    else this.#noteAllSettled();
    // I9: such a store never comes to rest, so that nobody who closes it copies the log.
    // guard: recovery-log-bounded
    if (report.unresolved.length > 0 || !isSwept) journal.truncateLog({ waits: false });
    return { isSwept, report: unsettled.length === 0 ? undefined : report };
  }

  /** Those before had been flushed when it was recorded. */
  #firstOfNewestFlush(head: number, unsettled: readonly TransactionRow[]): number {
    const known = new Map(unsettled.map((row) => [row.id, row]));
    let id = head;
    while ((known.get(id) ?? this.#options.journal.transaction(id))?.flush === 'shared') id -= 1;
    return id;
  }

  /**
   * Their writer may have been killed before the flush. The bump of the epoch has synced the records;
   * their contents must be on disk before anything is renamed (I1).
   */
  async #flush(unflushed: readonly TransactionRow[]): Promise<void> {
    for (const transaction of unflushed) {
      // guard: recovery-flush-cover
      await coverStagedByBarrier(transaction, this.#checkpointing());
    }
    // guard: recovery-flush-barrier
    await this.barrier();
  }

  /** All but what is in trouble, which no checkpoint can settle. */
  #noteAllSettled(): void {
    this.#unsettledTransactions = 0;
    this.#unsettledChanges = 0;
    this.#unsettledBytes = 0;
    this.#hasCounted = true;
  }

  #countUnsettled(): void {
    const { transactions, rows, bytes, isPacking } = this.#options.journal.countUnsettled();
    this.#unsettledTransactions = transactions;
    this.#unsettledChanges = rows;
    this.#unsettledBytes = bytes;
    this.#hasMoreToPack ||= isPacking;
    this.#hasCounted = true;
  }

  async #finish(
    transactions: readonly TransactionRow[],
    terms: RecoveryTerms = {},
  ): Promise<RecoveryReport> {
    const { directory, journal } = this.#options;
    const wasInOrder = this.#isInOrder;
    this.#isInOrder = false;
    const { changed, updates, ...recovered } = await this.#recoverPaths(transactions, terms);
    const checkpointing = this.#checkpointing();
    const done = new Map(
      updates.filter(({ trouble }) => trouble === undefined).map((update) => [update.id, update]),
    );
    // First: what is late may have to be made writable to be set aside, behind a barrier.
    // guard: recovery-cover
    coverByBarrier(transactions, checkpointing);
    const setAside: SupersededPath[] = [];
    for (const transaction of transactions) {
      if (!done.has(transaction.id)) continue;
      for (const path of await setAsideForeign(transaction, checkpointing)) {
        setAside.push({ transaction: transaction.id, path, why: 'edited while it was displaced' });
      }
    }
    // I7: durable first, settled then; a crash in between repeats what changes nothing.
    // guard: recovery-barrier
    await this.barrier();
    journal.update(updates);
    const superseded = [...recovered.superseded, ...setAside];
    const ids = transactions.map(({ id }) => id);
    if (ids.length > 0) {
      publish('skillmeat:recovery', {
        root: directory.rootPath,
        transactions: ids,
        changed,
        superseded,
      });
    }
    this.#isInOrder = wasInOrder;
    const unresolved = updates.flatMap(({ id, trouble, reason }) => {
      if (trouble === undefined) return [];
      assert(reason !== undefined, 'what is in trouble has a reason');
      return [{ id, reason }];
    });
    return { transactions: ids, changed, superseded, unresolved };
  }

  /** Looks again when another program wrote meanwhile, a bounded number of times. */
  async #recoverPaths(
    transactions: readonly TransactionRow[],
    { forced: acceptsLossOf, flushedThrough }: RecoveryTerms,
  ): Promise<Recovered> {
    const { directory, journal, quarantine } = this.#options;
    const { files, root, rootPath } = directory;
    const pace = new Pace();
    pace.onTurn = (): void => {
      publish('skillmeat:progress', {
        root: rootPath,
        phase: 'recover',
        done: 0,
        total: undefined,
      });
    };
    for (let round = 1; ; round += 1) {
      using tree = new RootTree(files, root);
      using stage = new RootTree(files, directory.stage);
      const looking = { files, pace };
      const places = { tree, stage, quarantine };
      const barrier = (): Promise<void> => this.barrier();
      const context = { looking, journal, ...places, acceptsLossOf, flushedThrough, barrier };
      const recovered = await recover(transactions, context);
      if (!recovered.isRaced || round === recoveryRoundsMax) return recovered;
    }
  }

  async #settleIfDue(): Promise<void> {
    const count = this.#unsettledTransactions;
    const isDue =
      count >= unsettledTransactionsMax ||
      this.#unsettledChanges >= unsettledChangesMax ||
      (this.#unsettledBytes >= unsettledBytesMax && count >= bytesCheckpointTransactionsMin);
    if (this.#poison !== undefined || (!isDue && !this.#hasMoreToPack)) return;
    // The transaction that made it due is durable and has been applied: it did not fail, whatever
    // fails here. The next one is told.
    try {
      if (isDue) await this.settle();
      await this.#packLazily();
    } catch (error) {
      this.#noteFailure(error);
    }
  }

  async #packLazily(): Promise<void> {
    this.#hasMoreToPack = false;
    this.#hasMoreToPack = await this.#options.packLazily(this.#sharedSession());
  }

  #checkpointing(): Checkpointing {
    const { directory, journal, now, quarantine } = this.#options;
    return {
      looking: { files: directory.files, pace: new Pace() },
      now,
      epoch: this.#epoch,
      directory,
      journal,
      quarantine,
      barrier: () => this.barrier(),
    };
  }

  /**
   * In a store that was deleted, or that the next writer has swept, each call fails in its own way:
   * say the one thing that matters.
   */
  #explain(error: unknown): unknown {
    if (!isEngineError(error, 'IO_FAILED')) return error;
    const { directory, journalFiles, lock } = this.#options;
    try {
      // guard: explain-store-in-place
      requireInPlace(directory, journalFiles);
      // guard: explain-lock-in-place
      if (lock.isHeld) lock.requireInPlace();
    } catch (lost) {
      if (!isEngineError(lost, 'STORE_REPLACED')) return error;
      return new EngineError(lost.code, lost.message, { cause: error, hint: lost.hint });
    }
    return error;
  }

  #noteFailure(error: unknown): void {
    // I10: what a sync of the journal that failed was to cover, the next one says nothing of.
    // guard: journal-failure-stops
    if (isSyncFailure(error)) this.poisonWith(error);
    this.#noteUnknown(error);
  }

  /** After these nobody knows what is on disk until it is looked at again. */
  #noteUnknown(error: unknown): void {
    if (isEngineError(error, 'COMMIT_UNKNOWN', 'FENCED', 'STORE_REPLACED', 'JOURNAL_DAMAGED')) {
      this.poisonWith(error);
    }
    if (error instanceof Error && error.message.startsWith('bug: ')) {
      this.poisonWith(new EngineError('IO_FAILED', error.message, { cause: error }));
    }
  }
}
