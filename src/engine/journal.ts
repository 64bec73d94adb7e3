import { AnchorTable } from './anchor-table.js';
import type { ChangeRow, RowPosition, SoughtPaths, StoredChange } from './change-row.js';
import { parseChange, toStoredChange } from './change-row.js';
import { assert, EngineError, isEngineError, systemCode } from './errors.js';
import { ContentHasher, type ContentHash } from './hash.js';
import { damaged, fenced, missing, readFailure, writeFailure } from './journal-failure.js';
import { prepareStatements, range, type Statements } from './journal-statements.js';
import { journalPageRows } from './limits.js';
import type { Keeping } from './keeping.js';
import { KeepingTable } from './keeping-table.js';
import { MetaTable, type MetaValue } from './meta-table.js';
import type { RelativePath } from './path.js';
import { fromHex, toHex } from './row-text.js';
import { createSchema, prepareConnection, requireDurability, requireOurSchema } from './schema.js';
import { isPackingUnderWay, PackTable } from './pack-table.js';
import { SnapshotTable, type TableAccess } from './snapshot-table.js';
import { openDatabase, type SqliteDatabase } from './sqlite.js';
import { hasManyUnusedPages, writeWithoutUnusedPages } from './unused-pages.js';
import {
  type ChainHash,
  chainText,
  emptyChain,
  firstStagedWith,
  type Head,
  type NewTransaction,
  parseTransaction,
  stagePrefix,
  type StoredTransaction,
  type TransactionRow,
  type TransactionUpdate,
  transactionValues,
} from './transaction-row.js';

/** What a writer looks at when it gets its turn. */
export interface Position {
  readonly head: Head;
  readonly epoch: number;
  /** How often the journal was written to, ever: what it must not fall behind again. */
  readonly writes: number;
  /** Whether a transaction is blocked or damaged. */
  readonly isTroubled: boolean;
}

/** What {@link Journal.commit} relies on. */
export interface CommitTerms {
  readonly epoch: number;
  readonly head: Head;
  /** Writes what else belongs to the same step; gets what the transaction is. */
  readonly alongside?: (head: Head) => void;
}

/** The SQLite journal of one store. Synchronous; written only under the writer lock. */
export class Journal implements Disposable {
  readonly #database: SqliteDatabase;
  readonly #path: string;
  readonly #statements: Statements;
  readonly #meta: MetaTable;
  #writes = 0;
  /** Whether SQLite has checked the file since it was opened. */
  #isSound = false;
  readonly snapshots: SnapshotTable;
  /** Which transactions keep what they displaced. */
  readonly keeping: KeepingTable;
  /** What is left of transactions whose records were removed. */
  readonly anchors: AnchorTable;
  /** Which packs must be there. */
  readonly packs: PackTable;

  private constructor(database: SqliteDatabase, path: string) {
    this.#database = database;
    this.#path = path;
    this.#statements = prepareStatements(database);
    this.#meta = new MetaTable(database, path);
    const access: TableAccess = {
      database,
      path,
      reading: (read) => this.#reading(read),
      writing: (write) => {
        this.#writing(write);
      },
      meta: this.#meta,
      requireSound: () => {
        this.#requireSound();
      },
      requireEpoch: (epoch) => {
        // guard: snapshot-row-fence
        if (this.epoch() !== epoch) throw fenced(epoch);
      },
    };
    this.snapshots = new SnapshotTable(access);
    this.keeping = new KeepingTable(access);
    this.anchors = new AnchorTable(access);
    this.packs = new PackTable(access);
  }

  /**
   * Makes the tables of a journal in an empty or new file, atomically; `meta` is its first content.
   * When it returns, the file alone holds all of it, and it is on disk.
   *
   * @throws {EngineError} `DISK_FULL`, `IO_FAILED`, `PERMISSION_DENIED`, `READ_ONLY`,
   * `SQLITE_UNSUITABLE`.
   */
  static create(path: string, meta: Readonly<Record<string, MetaValue>>): void {
    const database = connect(path);
    try {
      prepareConnection(database);
      requireDurability(database);
      database.exec('BEGIN IMMEDIATE');
      createSchema(database);
      const table = new MetaTable(database, path);
      for (const [key, value] of Object.entries({ ...meta, writes: 0 })) table.set(key, value);
      database.exec('COMMIT');
      // I10: closing would do this too, but tell nobody that it failed; and the file is going to be
      // renamed without its log.
      // guard: journal-new-emptied
      requireEmptied(database, path);
    } catch (error) {
      throw writeFailure(error, path);
    } finally {
      database.close();
    }
  }

  /**
   * @throws {EngineError} `JOURNAL_FOREIGN`, `JOURNAL_DAMAGED`, `STORE_FORMAT_NEWER`,
   * `SQLITE_UNSUITABLE`.
   */
  static open(path: string): Journal {
    const database = connect(path);
    try {
      prepareConnection(database);
      requireOurSchema(database, path);
      requireDurability(database);
      return new Journal(database, path);
    } catch (error) {
      database.close();
      throw readFailure(error, path);
    }
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }

  /**
   * Closes and leaves the log as it is. SQLite copies it into the database when its last connection is
   * closed, and sees nothing of a write that failed; one that can only read copies nothing.
   */
  abandon(): void {
    let reader: SqliteDatabase | undefined;
    try {
      // Nobody who only reads waits for a lock, unless there is no memory to share: then there is no reader.
      reader = openDatabase(this.#path, { readonly: true, fileMustExist: true, timeout: 0 });
      reader.prepare('SELECT 1 FROM meta').get();
    } catch {
      // It cannot be read any more: then nor can what would be copied.
    }
    this.#database.close();
    reader?.close();
  }

  /** Runs SQLite's own check of the file. @throws {EngineError} `JOURNAL_DAMAGED`. */
  quickCheck(): void {
    this.#reading(() => {
      const findings = this.#database.pragma('quick_check(1)', { simple: true });
      // guard: quick-check
      if (findings !== 'ok') throw damaged(this.#path, String(findings));
    });
  }

  /** Runs SQLite's whole check of the file, and returns what it says, nothing when all is well. */
  integrityFindings(): readonly string[] {
    try {
      return this.#reading(() => {
        const found = this.#database.pragma('integrity_check(20)') as {
          readonly integrity_check: string;
        }[];
        return found.map((row) => row.integrity_check).filter((text) => text !== 'ok');
      });
    } catch (error) {
      if (isEngineError(error, 'JOURNAL_DAMAGED')) return [error.message];
      throw error;
    }
  }

  /** The smallest number of a transaction, `undefined` without any. */
  firstTransaction(): number | undefined {
    return this.#reading(() => this.#statements.firstTransaction.get());
  }

  /** The greatest number of a transaction that any row of changes belongs to, 0 without any. */
  lastChangedTransaction(): number {
    return this.#reading(() => Number(this.#statements.lastChanged.pluck().get() ?? 0));
  }

  /** Everything in `meta`; `undefined` for what does not match its checksum. */
  examineMeta(): ReadonlyMap<string, MetaValue | undefined> {
    return this.#reading(() => this.#meta.examine());
  }

  /** Numbers of transactions below `before`, newest first, whether their rows are sound or not. */
  transactionIds(limit: number, before: number): readonly number[] {
    return this.#reading(() => this.#statements.transactionIds.all(before, limit));
  }

  /** Writes transactions of another journal, after its anchor, as they stand there, in one step. */
  restore(
    transactions: Iterable<{ readonly row: TransactionRow; readonly rows: readonly ChangeRow[] }>,
  ): void {
    this.#writing(() => {
      let { chain } = this.anchors.get();
      for (const { row, rows } of transactions) {
        chain = this.#insert(row, rows, chain);
        assert(chain === row.chain, 'a transaction that matches the chain is written as it was');
      }
      this.#noteSettled();
    });
  }

  /** Notes that a content is nowhere any more, so that nobody looks for it again. Synced. */
  noteLoss(sha256: ContentHash, atMs: number): void {
    this.setMeta({ [lossKey(sha256)]: atMs });
  }

  /** Tells whether somebody has accepted that a content is nowhere any more. */
  isLost(sha256: ContentHash): boolean {
    return this.meta(lossKey(sha256)) !== undefined;
  }

  /** @throws {EngineError} `JOURNAL_DAMAGED`. */
  meta(key: string): MetaValue | undefined {
    return this.#reading(() => this.#meta.get(key));
  }

  setMeta(values: Readonly<Record<string, MetaValue>>): void {
    this.#writing(() => {
      for (const [key, value] of Object.entries(values)) this.#meta.set(key, value);
    });
  }

  head(): Head {
    return this.position().head;
  }

  epoch(): number {
    return this.#reading(() => this.#meta.number('epoch'));
  }

  position(): Position {
    return this.#reading(() => {
      const newest = this.#statements.newest.get();
      const head = newest === undefined ? this.#anchorHead() : this.#toTransaction(newest);
      this.#writes = this.#meta.number('writes');
      return {
        head: { id: head.id, chain: head.chain },
        epoch: this.#meta.number('epoch'),
        writes: this.#writes,
        isTroubled: this.#troubled().length > 0,
      };
    });
  }

  /** Of a journal without a transaction: the last one that was removed, or none. */
  #anchorHead(): Head {
    const { through: id, chain } = this.anchors.get();
    return { id, chain };
  }

  /** The transaction that had a number, also when its record was removed; `undefined`: nobody knows. */
  headAt(id: number): Head | undefined {
    const row = this.transaction(id);
    if (row !== undefined) return { id, chain: row.chain };
    const removed = this.#anchorHead();
    return removed.id === id ? removed : undefined;
  }

  /** As {@link Position.writes}, when this journal was last asked for it or wrote. */
  get writes(): number {
    return this.#writes;
  }

  /** Takes the next epoch, so that a writer who lost its lock file unawares cannot go on (I4). */
  bumpEpoch(expected: number): void {
    this.#writing(() => {
      // guard: bump-advances-epoch
      this.#advanceEpoch(expected);
    });
  }

  #advanceEpoch(expected: number): void {
    if (this.#meta.advance('epoch', expected)) return;
    // guard: epoch-fence
    throw fenced(expected);
  }

  /**
   * Writes a transaction with all its rows. The commit point is the sync (I2): this call's, or, when
   * its contents are flushed with the record, that of the next barrier.
   *
   * @returns the number and chain hash that the transaction got.
   * @throws {EngineError} `COMMIT_UNKNOWN` when nobody can say whether it was written; `FENCED`,
   * `DISK_FULL` and others when it is certain that it was not.
   */
  commit(transaction: NewTransaction, rows: readonly ChangeRow[], terms: CommitTerms): Head {
    if (transaction.flush === 'before') return this.#commit(transaction, rows, terms);
    this.#database.exec('PRAGMA synchronous = NORMAL');
    try {
      return this.#commit(transaction, rows, terms);
    } finally {
      // After an unknown outcome SQLite may still be within it; nothing is written then any more.
      // guard: journal-sync-again
      if (!this.#database.inTransaction) this.#database.exec('PRAGMA synchronous = FULL');
    }
  }

  #commit(transaction: NewTransaction, rows: readonly ChangeRow[], terms: CommitTerms): Head {
    const id = terms.head.id + 1;
    let chain: ChainHash;
    let writes: number;
    try {
      this.#database.exec('BEGIN IMMEDIATE');
      writes = this.#countWrite();
      // guard: commit-epoch
      this.#advanceEpoch(terms.epoch);
      const row = {
        state: 'committed',
        trouble: undefined,
        reason: undefined,
        ...transaction,
        id,
      } as const;
      chain = this.#insert(row, rows, terms.head.chain);
      terms.alongside?.({ id, chain });
    } catch (error) {
      this.#rollBack();
      throw writeFailure(error, this.#path);
    }
    try {
      this.#database.exec('COMMIT');
    } catch (error) {
      // SQLITE_FULL: the log's last frame did not get its room, so there is no commit.
      if (systemCode(error) === 'SQLITE_FULL') {
        this.#rollBack();
        throw writeFailure(error, this.#path);
      }
      throw new EngineError(
        'COMMIT_UNKNOWN',
        `the journal could not be written: transaction ${String(id)} may or may not be committed`,
        {
          cause: error,
          hint: 'Check the disk, then run: skillmeat txn recover — it tells which, and settles it.',
        },
      );
    }
    this.#writes = writes;
    return { id, chain };
  }

  #insert(
    row: Omit<TransactionRow, 'chain' | 'rowCount'>,
    changes: readonly ChangeRow[],
    previous: ChainHash,
  ): ChainHash {
    const hasher = new ContentHasher();
    hasher.update(chainText(previous, row, changes.length));
    for (const change of changes) {
      const { text, values } = toStoredChange(row.id, change);
      hasher.update(text);
      this.#statements.insertChange.run(...values);
    }
    const chain = hasher.digest() as string as ChainHash;
    const whole = { ...row, rowCount: changes.length, chain };
    this.#statements.insertTransaction.run(...transactionValues(whole, previous));
    return chain;
  }

  /**
   * Records where transactions stand now, all in one synced step.
   *
   * @throws {EngineError} `FENCED` when the epoch is no longer `expectedEpoch`.
   */
  update(updates: readonly TransactionUpdate[], expectedEpoch?: number): void {
    if (updates.length === 0) return;
    this.#writing(() => {
      // guard: update-epoch
      if (expectedEpoch !== undefined) this.#advanceEpoch(expectedEpoch);
      for (const update of updates) this.#update(update);
      this.#noteSettled();
    });
  }

  #update({ id, state, trouble, reason, superseded }: TransactionUpdate): void {
    const stored = this.#statements.transaction.get(id);
    assert(stored !== undefined, `transaction ${String(id)} is in the journal`);
    // A checksum is never written for what did not match the one before.
    const row = { ...this.#toTransaction(stored), state, trouble, reason };
    const previous = toHex(stored.previous_chain) as ChainHash;
    this.#statements.replaceTransaction.run(...transactionValues(row, previous));
    for (const [sequence, why] of superseded ?? []) {
      const change = this.#statements.change.get(id, sequence);
      assert(change !== undefined, 'a path that is superseded has its row');
      const { values } = toStoredChange(id, { ...this.#toChange(change), superseded: why });
      this.#statements.replaceChange.run(...values);
    }
  }

  #noteSettled(): void {
    const settled = this.#meta.number('settled_through');
    const first = Number(this.#statements.firstUnsettled.pluck().get(settled));
    this.#meta.set('settled_through', first - 1);
  }

  #toTransaction(stored: StoredTransaction): TransactionRow {
    const row = parseTransaction(stored);
    // guard: transaction-row-sound [if true]
    if (row !== undefined) return row;
    const id = String(stored.id);
    throw damaged(this.#path, `the row of transaction ${id} does not match its checksum`);
  }

  /** Unsettled transactions, oldest first. */
  unsettled(): readonly TransactionRow[] {
    return this.#reading(() =>
      this.#statements.unsettled
        .all(this.#meta.number('settled_through'))
        .map((row) => this.#toTransaction(row)),
    );
  }

  /** How many transactions and rows wait for a checkpoint. */
  countUnsettled(): {
    readonly transactions: number;
    readonly rows: number;
    /** That were displaced. */
    readonly bytes: number;
    /** Whether a piece of history waits to be packed; nobody has checked that. */
    readonly isPacking: boolean;
  } {
    return this.#reading(() => {
      const found = this.#statements.countUnsettled.get(this.#meta.number('settled_through'));
      assert(found !== undefined, 'a count is a row');
      return { ...found, isPacking: isPackingUnderWay(found.packing) };
    });
  }

  /** Bytes that the settled ones of some transactions displaced, as nobody has checked them. */
  displacedBytes(from: number, to: number): number {
    return this.#reading(() => Number(this.#statements.displacedBytes.get(from, to)));
  }

  /** Contents of a size at least that some transactions changed more than once. */
  displacedAgain(from: number, to: number, sizeMin: number): ReadonlySet<ContentHash> {
    return this.#reading(() => {
      const contents = this.#statements.displacedAgain.all({ from, to, sizeMin });
      return new Set(contents.map((content) => toHex(content) as ContentHash));
    });
  }

  /** Unsettled transactions that are blocked or damaged, oldest first. */
  troubled(): readonly TransactionRow[] {
    return this.#reading(() => this.#troubled());
  }

  #troubled(): readonly TransactionRow[] {
    return this.#statements.troubled.all().map((row) => this.#toTransaction(row));
  }

  /** Transactions that are over and still keep what they displaced, newest first. */
  history(keeping: Keeping): readonly TransactionRow[] {
    return this.#reading(() => [
      ...this.#statements.history.all(keeping.prunedThrough).map((row) => this.#toTransaction(row)),
      ...this.#markedOnly(keeping),
    ]);
  }

  /** Yields the transactions that keep what they displaced, newest first; those in trouble may be more. */
  *keepers(): Generator<TransactionRow, void> {
    const keeping = this.keeping.get();
    for (const row of this.newestFirst()) {
      if (row.id <= keeping.prunedThrough) break;
      yield row;
    }
    yield* this.#markedOnly(keeping);
  }

  /** Those that only a mark keeps, newest first. */
  #markedOnly({ prunedThrough, marks }: Keeping): readonly TransactionRow[] {
    const ids = [...marks.keys()].filter((id) => id <= prunedThrough);
    return ids.toSorted((one, other) => other - one).flatMap((id) => this.transaction(id) ?? []);
  }

  transaction(id: number): TransactionRow | undefined {
    return this.#reading(() => {
      const row = this.#statements.transaction.get(id);
      if (row !== undefined) return this.#toTransaction(row);
      // They are numbered without gaps, after those that were removed.
      if (id < 1 || id > this.position().head.id) return undefined;
      const added = this.#statements.transaction.get(id);
      if (added !== undefined) return this.#toTransaction(added);
      if (id <= this.anchors.get().through) return undefined;
      throw missing(this.#path, id);
    });
  }

  /** Transactions with a number below `before`, newest first. */
  log(limit: number, before: number): readonly TransactionRow[] {
    return this.#reading(() => {
      let expected = Math.min(before - 1, this.position().head.id);
      const rows = this.#statements.log.all(before, limit).map((row) => this.#toTransaction(row));
      for (const { id } of rows) {
        // A greater one was added by another process just now.
        if (id < expected) throw missing(this.#path, expected);
        expected = id - 1;
      }
      if (rows.length < limit && expected > 0 && expected > this.anchors.get().through) {
        throw missing(this.#path, expected);
      }
      return rows;
    });
  }

  /** Reads the whole log, newest first, so many at a time, and no more than is asked for. */
  *newestFirst(pageRows: number = journalPageRows): Generator<TransactionRow, void> {
    for (let before = Number.MAX_SAFE_INTEGER; ; ) {
      const page = this.log(pageRows, before);
      yield* page;
      const last = page.at(-1);
      if (last === undefined) return;
      before = last.id;
    }
  }

  /** As {@link log}, of the transactions that changed `path` or something below it. */
  logOf(path: RelativePath, limit: number, before: number): readonly TransactionRow[] {
    this.#requireSound();
    return this.#reading(() =>
      this.#statements.logOf
        .all({ ...range(path), before, limit })
        .map((row) => this.#toTransaction(row)),
    );
  }

  /** Rows of one transaction, in order, each checked. @throws {EngineError} `JOURNAL_DAMAGED`. */
  changes(id: number): readonly ChangeRow[] {
    return this.#reading(() => {
      const rows = this.#statements.changes.all(id).map((row) => this.#toChange(row));
      const expected = this.transaction(id)?.rowCount ?? 0;
      // guard: row-count [if true]
      if (rows.length === expected) return rows;
      const found = `${String(rows.length)} rows of ${String(expected)}`;
      throw damaged(this.#path, `transaction ${String(id)} has ${found}`);
    });
  }

  /**
   * Rows of the transactions that took effect, oldest first, following a row, at most `limit`. Of those
   * that were removed only what paths were at last.
   */
  changesAfter(
    { id, sequence }: RowPosition,
    limit: number,
    { within, among }: SoughtPaths,
  ): readonly (ChangeRow & RowPosition)[] {
    this.#requireSound();
    const removed = this.anchors.get().through;
    const paths = among === undefined ? null : JSON.stringify([...among]);
    const from = { ...range(within), id, sequence, limit, removed, paths };
    return this.#reading(() =>
      this.#statements.changesAfter.all(from).map((row) => {
        return { ...this.#toChange(row), id: Number(row.transaction_id) };
      }),
    );
  }

  /** The last row of each of some paths that a transaction changed and that took effect. */
  lastChanges(paths: Iterable<RelativePath>): readonly ChangeRow[] {
    this.#requireSound();
    const sought = { paths: JSON.stringify([...paths]), removed: this.anchors.get().through };
    return this.#reading(() =>
      this.#statements.lastChanges.all(sought).map((row) => this.#toChange(row)),
    );
  }

  #toChange(stored: StoredChange): ChangeRow {
    const change = parseChange(stored);
    // guard: change-row-sound [if true]
    if (!('damage' in change)) return change;
    const row = `row ${String(stored.sequence)} of transaction ${String(stored.transaction_id)}`;
    throw damaged(this.#path, `${row} ${change.damage}`);
  }

  /**
   * Yields rows whose before-image is a file with this content and that moved it, those of `path`
   * first, then newest first. The slots of pruned transactions are gone.
   */
  displaced(
    content: ContentHash,
    path: RelativePath,
  ): readonly { readonly id: number; readonly sequence: number }[] {
    this.#requireSound();
    const sought = { content: fromHex(content), path, pruned: this.keeping.prunedThrough() };
    return this.#reading(() => this.#statements.displaced.all(sought));
  }

  /**
   * Checks a transaction against its chain hash and the one before, so that replaying it is safe.
   *
   * @returns its rows.
   * @throws {EngineError} `JOURNAL_DAMAGED`.
   */
  verifyChain(id: number): readonly ChangeRow[] {
    return this.#reading(() => {
      const row = this.#statements.transaction.get(id);
      assert(row !== undefined, `transaction ${String(id)} is in the journal`);
      const transaction = this.#toTransaction(row);
      // The row before answers for itself; here only what its chain hash is.
      const before = this.#statements.transaction.get(id - 1)?.chain;
      const expectedPrevious = before === undefined ? this.#chainBefore(id) : toHex(before);
      const previous = toHex(row.previous_chain) as ChainHash;
      // guard: row-stage [if false]
      if (row.stage !== stagePrefix(id, row.uuid, firstStagedWith(id, row.stage))) {
        throw damaged(this.#path, `transaction ${String(id)} names a stage that is not its own`);
      }
      // guard: chain-previous [if false]
      if (previous !== expectedPrevious) {
        throw damaged(this.#path, `a transaction before ${String(id)} is missing or changed`);
      }
      const changes = this.changes(id);
      const hasher = new ContentHasher();
      hasher.update(chainText(previous, transaction, changes.length));
      for (const change of changes) hasher.update(toStoredChange(id, change).text);
      // guard: chain-hash [if true]
      if (hasher.digest() === (transaction.chain as string)) return changes;
      throw damaged(this.#path, `transaction ${String(id)} does not match its chain hash`);
    });
  }

  /** What the first transaction of the log builds on. */
  #chainBefore(id: number): ChainHash {
    const { through, chain } = this.anchors.get();
    return id === through + 1 ? chain : emptyChain;
  }

  /** The chain hash that a transaction says it builds on, whatever it is worth. */
  previousChain(id: number): ChainHash | undefined {
    return this.#reading(() => {
      const stored = this.#statements.transaction.get(id);
      return stored && (toHex(stored.previous_chain) as ChainHash);
    });
  }

  /**
   * Copies the write-ahead log into the database and empties it, if no reader is in the way.
   *
   * @param options.waits whether to wait until it is not, for as long as for any lock.
   */
  truncateLog({ waits }: { readonly waits: boolean }): void {
    this.#reading(() => {
      if (!waits) this.#database.pragma('busy_timeout = 0');
      try {
        this.#database.pragma('wal_checkpoint(TRUNCATE)');
      } finally {
        if (!waits) this.#database.pragma(`busy_timeout = ${String(busyWaitMs)}`);
      }
    });
  }

  /**
   * Makes the file smaller when much of it is unused. Runs under the lock; whoever lost it unawares
   * does no harm, as nothing changes that the journal says.
   *
   * @throws {EngineError} `JOURNAL_DAMAGED`, `IO_FAILED`. Without room for a copy it stays as it is.
   */
  shrink(): void {
    try {
      if (!hasManyUnusedPages(this.#database)) return;
      // guard: shrink-sound
      this.quickCheck();
      writeWithoutUnusedPages(this.#database);
      this.#database.pragma('wal_checkpoint(TRUNCATE)');
    } catch (error) {
      const failure = writeFailure(error, this.#path);
      if (!isEngineError(failure, 'DISK_FULL')) throw failure;
    }
  }

  /** A damaged log loses its newest writes without a word from SQLite: who can count, sees it. */
  #countWrite(): number {
    const writes = this.#meta.number('writes') + 1;
    this.#meta.set('writes', writes);
    return writes;
  }

  /** What looks for rows in all of the journal does not miss one that a damaged page hides. */
  #requireSound(): void {
    if (this.#isSound) return;
    this.quickCheck();
    this.#isSound = true;
  }

  #rollBack(): void {
    if (this.#database.inTransaction) this.#database.exec('ROLLBACK');
  }

  #reading<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      throw readFailure(error, this.#path);
    }
  }

  #writing(write: () => void): void {
    try {
      this.#database.exec('BEGIN IMMEDIATE');
      const writes = this.#countWrite();
      write();
      this.#database.exec('COMMIT');
      this.#writes = writes;
    } catch (error) {
      this.#rollBack();
      throw writeFailure(error, this.#path);
    }
  }
}

function lossKey(sha256: ContentHash): string {
  return `lost/${sha256}`;
}

/** How long SQLite waits for a lock. */
const busyWaitMs = 5_000;

function connect(path: string): SqliteDatabase {
  try {
    const database = openDatabase(path, { timeout: busyWaitMs });
    database.defaultSafeIntegers(false);
    return database;
  } catch (error) {
    throw readFailure(error, path);
  }
}

/** Copies the write-ahead log into the database, all of it, and empties it. */
function requireEmptied(database: SqliteDatabase, path: string): void {
  const [result] = database.pragma('wal_checkpoint(TRUNCATE)') as readonly {
    readonly busy: number;
    readonly log: number;
  }[];
  if (result?.busy === 0 && result.log === 0) return;
  throw new EngineError('IO_FAILED', `the new journal ${path} could not be made whole`, {
    path,
    hint: 'Another program has it open: close that, then run: skillmeat txn init',
  });
}
