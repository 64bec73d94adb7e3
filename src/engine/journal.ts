import type { Statement } from 'better-sqlite3';
import { assert, EngineError, isEngineError, systemCode } from './errors.js';
import { checksumOf, ContentHasher, type ContentHash } from './hash.js';
import { absent, type Image } from './image.js';
import { keptPlacesMax } from './limits.js';
import { isInnerPath, type RelativePath } from './path.js';
import { createSchema, prepareConnection, requireDurability, requireOurSchema } from './schema.js';
import { SnapshotTable } from './snapshot-table.js';
import { openDatabase, preparedWhenUsed, type SqliteDatabase } from './sqlite.js';

/** What one row of a transaction does to its path. See docs/format.md, "Units". */
export type Act = 'create' | 'replace' | 'remove' | 'set-mode' | 'member';

/** One path of a transaction. */
export interface ChangeRow {
  readonly sequence: number;
  /** Sequence of the row that heads this row's unit; its own for a head. */
  readonly unit: number;
  readonly act: Act;
  /** Name in the transaction's stage directory, for heads that move something. */
  readonly slot: string | undefined;
  readonly path: RelativePath;
  readonly before: Image;
  readonly after: Image;
  /** Why the path does not have its after-image although the transaction is committed. */
  readonly superseded: string | undefined;
}

/** `committed` and `undoing` are unsettled: the disk may have lost what was done. */
type JournalState = 'committed' | 'undoing' | 'settled' | 'rolled-back';
type Trouble = 'blocked' | 'damaged';

export interface TransactionRow {
  readonly id: number;
  readonly uuid: string;
  /** What the names of its contents in `stage/` begin with. */
  readonly stage: string;
  readonly message: string;
  /** Milliseconds since 1970. */
  readonly committedAt: number;
  readonly bootId: string;
  /** Paths whose image changed; rows of a replaced tree that stayed equal do not count. */
  readonly changeCount: number;
  readonly rowCount: number;
  /** Bytes of before-images that the stage directory keeps. */
  readonly displacedBytes: number;
  /** Whether its contents were on disk before its record was written, or came with it. */
  readonly flush: 'before' | 'with';
  /** JSON, made and read by `annotations.ts`. */
  readonly annotations: string;
  readonly chain: ChainHash;
  readonly state: JournalState;
  readonly trouble: Trouble | undefined;
  readonly reason: string | undefined;
}

declare const chainHashBrand: unique symbol;
/** SHA-256 over a transaction and the chain hash of the one before, in hexadecimal. */
export type ChainHash = string & { readonly [chainHashBrand]: true };

/** What `Journal.commit` is given. */
export type NewTransaction = Pick<
  TransactionRow,
  | 'uuid'
  | 'stage'
  | 'message'
  | 'committedAt'
  | 'bootId'
  | 'changeCount'
  | 'displacedBytes'
  | 'flush'
  | 'annotations'
> & {
  /** `settled`: nothing is to be applied, the rows only record what other programs did. */
  readonly state?: 'committed' | 'settled';
};

/** The newest transaction, or number 0 of an empty journal. */
export interface Head {
  readonly id: number;
  readonly chain: ChainHash;
}

/** What a writer looks at when it gets its turn. */
export interface Position {
  readonly head: Head;
  readonly epoch: number;
  /** How often the journal was written to, ever: what it must not fall behind again. */
  readonly writes: number;
  /** Whether a transaction is blocked or damaged. */
  readonly isTroubled: boolean;
}

/** A row of the journal, by its transaction. */
export interface RowPosition {
  readonly id: number;
  readonly sequence: number;
}

/** What {@link Journal.commit} relies on. */
export interface CommitTerms {
  readonly epoch: number;
  readonly head: Head;
}

const emptyChain = '0'.repeat(64) as ChainHash;

/** The SQLite journal of one store. Synchronous; written only under the writer lock. */
export class Journal implements Disposable {
  readonly #database: SqliteDatabase;
  readonly #path: string;
  readonly #statements: Statements;
  #writes = 0;
  readonly snapshots: SnapshotTable;

  private constructor(database: SqliteDatabase, path: string) {
    this.#database = database;
    this.#path = path;
    this.#statements = prepareStatements(database);
    this.snapshots = new SnapshotTable({
      database,
      path,
      reading: (read) => this.#reading(read),
      writing: (write) => {
        this.#writing(write);
      },
      requireEpoch: (epoch) => {
        // guard: snapshot-row-fence
        if (this.epoch() !== epoch) throw fenced(epoch);
      },
    });
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
      const insert = database.prepare('INSERT INTO meta (key, value) VALUES (?, ?)');
      for (const [key, value] of Object.entries({ ...meta, writes: 0 })) insert.run(key, value);
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

  /** The greatest number of a transaction that any row of changes belongs to, 0 without any. */
  lastChangedTransaction(): number {
    return this.#reading(() => Number(this.#statements.lastChanged.pluck().get() ?? 0));
  }

  /** Everything in `meta`. */
  allMeta(): Readonly<Record<string, MetaValue>> {
    return this.#reading(() => {
      const rows = this.#database.prepare<[], { key: string; value: MetaValue }>(
        'SELECT * FROM meta',
      );
      return Object.fromEntries(rows.all().map(({ key, value }) => [key, value]));
    });
  }

  /** Writes transactions of another journal, from number 1 on, as they stand there, in one step. */
  restore(
    transactions: Iterable<{ readonly row: TransactionRow; readonly rows: readonly ChangeRow[] }>,
  ): void {
    this.#writing(() => {
      let chain = emptyChain;
      for (const { row, rows } of transactions) {
        const { state, trouble, reason } = row;
        chain = this.#insert(row.id, { ...row, state: 'settled' }, rows, chain);
        assert(chain === row.chain, 'a transaction that matches the chain is written as it was');
        this.#statements.setState.run(state, trouble ?? null, reason ?? null, row.id);
        for (const { sequence, superseded } of rows) {
          if (superseded === undefined) continue;
          this.#statements.setSuperseded.run(superseded, row.id, sequence);
        }
      }
      const first = Number(this.#statements.firstUnsettled.pluck().get());
      this.#statements.setMeta.run('settled_through', first - 1);
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

  meta(key: string): MetaValue | undefined {
    return this.#reading(() => this.#statements.meta.get(key)?.value);
  }

  setMeta(values: Readonly<Record<string, MetaValue>>): void {
    this.#writing(() => {
      for (const [key, value] of Object.entries(values)) this.#statements.setMeta.run(key, value);
    });
  }

  head(): Head {
    return this.position().head;
  }

  epoch(): number {
    return this.position().epoch;
  }

  position(): Position {
    return this.#reading(() => {
      const row = this.#statements.position.get();
      assert(row !== undefined, 'meta holds the epoch');
      const head: Head =
        row.id === null || row.chain === null
          ? { id: 0, chain: emptyChain }
          : { id: row.id, chain: toHex(row.chain) as ChainHash };
      this.#writes = row.writes;
      const { epoch, writes } = row;
      return { head, epoch, writes, isTroubled: row.isTroubled === 1 };
    });
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
    if (this.#statements.bumpEpoch.run(expected).changes === 1) return;
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
      chain = this.#insert(id, transaction, rows, terms.head.chain);
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
    id: number,
    transaction: NewTransaction,
    rows: readonly ChangeRow[],
    previous: ChainHash,
  ): ChainHash {
    const hasher = new ContentHasher();
    hasher.update(chainText(previous, id, transaction, rows.length));
    for (const row of rows) {
      const text = rowText(id, row);
      hasher.update(text);
      this.#statements.insertChange.run(...changeValues(id, row, checksumOf(text)));
    }
    const chain = hasher.digest() as string as ChainHash;
    this.#statements.insertTransaction.run(
      id,
      transaction.uuid,
      transaction.stage,
      transaction.message,
      transaction.committedAt,
      transaction.bootId,
      transaction.changeCount,
      rows.length,
      transaction.displacedBytes,
      transaction.flush,
      transaction.annotations,
      fromHex(previous),
      fromHex(chain),
      transaction.state ?? 'committed',
    );
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
      for (const { id, state, trouble, reason, superseded } of updates) {
        this.#statements.setState.run(state, trouble ?? null, reason ?? null, id);
        for (const [sequence, why] of superseded ?? []) {
          this.#statements.setSuperseded.run(why, id, sequence);
        }
      }
      const first = Number(this.#statements.firstUnsettled.pluck().get());
      this.#statements.setMeta.run('settled_through', first - 1);
    });
  }

  /** Unsettled transactions, oldest first. */
  unsettled(): readonly TransactionRow[] {
    return this.#reading(() => this.#statements.unsettled.all().map(toTransaction));
  }

  /** How many transactions and rows wait for a checkpoint. */
  countUnsettled(): { readonly transactions: number; readonly rows: number } {
    return this.#reading(() => {
      const found = this.#statements.countUnsettled.get();
      return { transactions: found?.transactions ?? 0, rows: found?.rows ?? 0 };
    });
  }

  /** Unsettled transactions that are blocked or damaged, oldest first. */
  troubled(): readonly TransactionRow[] {
    return this.#reading(() => this.#statements.troubled.all().map(toTransaction));
  }

  /** Transactions that are over and still keep what they displaced, newest first. */
  history(): readonly TransactionRow[] {
    return this.#reading(() =>
      this.#statements.history.all(this.prunedThrough()).map(toTransaction),
    );
  }

  /** Settled transactions up to this number no longer keep their before-images. */
  prunedThrough(): number {
    return Number(this.meta('pruned_through') ?? 0);
  }

  transaction(id: number): TransactionRow | undefined {
    return this.#reading(() => {
      const row = this.#statements.transaction.get(id);
      return row === undefined ? undefined : toTransaction(row);
    });
  }

  /** Transactions with a number below `before`, newest first. */
  log(limit: number, before: number): readonly TransactionRow[] {
    return this.#reading(() => this.#statements.log.all(before, limit).map(toTransaction));
  }

  /** As {@link log}, of the transactions that changed `path` or something below it. */
  logOf(path: RelativePath, limit: number, before: number): readonly TransactionRow[] {
    return this.#reading(() =>
      this.#statements.logOf.all({ ...range(path), before, limit }).map(toTransaction),
    );
  }

  /** Rows of one transaction, in order, each checked. @throws {EngineError} `JOURNAL_DAMAGED`. */
  changes(id: number): readonly ChangeRow[] {
    return this.#reading(() =>
      this.#statements.changes.all(id).map((row) => this.#checked(id, row)),
    );
  }

  /**
   * Rows of the transactions that took effect, oldest first, of `within` and what is below it
   * (`undefined`: all), following the row `after`, at most `limit`.
   */
  changesAfter(
    { id, sequence }: RowPosition,
    limit: number,
    within: RelativePath | undefined,
  ): readonly (ChangeRow & RowPosition)[] {
    const from = { ...range(within), id, sequence, limit };
    return this.#reading(() =>
      this.#statements.changesAfter.all(from).map((row) => {
        const at = Number(row.transaction_id);
        return { ...this.#checked(at, row), id: at };
      }),
    );
  }

  #checked(id: number, row: StoredChange): ChangeRow {
    const change = toChange(row);
    // I8: a checksum keeps nobody from writing "../x" with a good one.
    // guard: row-inner-path [if false]
    if (!isInnerPath(row.path) || (row.slot !== null && !/^[0-9]+$/.test(row.slot))) {
      throw damaged(
        this.#path,
        `row ${String(row.sequence)} of transaction ${String(id)} names a place outside of the store`,
      );
    }
    // guard: row-checksum [if true]
    if (checksumOf(rowText(id, change)) === row.checksum) return change;
    throw damaged(
      this.#path,
      `row ${String(row.sequence)} of transaction ${String(id)} does not match its checksum`,
    );
  }

  /**
   * Yields rows whose before-image is a file with this content and that moved it, those of `path`
   * first, then newest first. The slots of pruned transactions are gone.
   */
  displaced(
    content: ContentHash,
    path: RelativePath,
  ): readonly { readonly id: number; readonly sequence: number }[] {
    const sought = { content: fromHex(content), path, pruned: this.prunedThrough() };
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
      const before = this.#statements.transaction.get(id - 1);
      const expectedPrevious = before === undefined ? emptyChain : toHex(before.chain);
      const previous = toHex(row.previous_chain) as ChainHash;
      // guard: row-stage [if false]
      if (row.stage !== stagePrefix(id, row.uuid)) {
        throw damaged(this.#path, `transaction ${String(id)} names a stage that is not its own`);
      }
      // guard: chain-previous [if false]
      if (previous !== expectedPrevious) {
        throw damaged(this.#path, `a transaction before ${String(id)} is missing or changed`);
      }
      const changes = this.changes(id);
      const hasher = new ContentHasher();
      hasher.update(chainText(previous, id, toTransaction(row), changes.length));
      for (const change of changes) hasher.update(rowText(id, change));
      // guard: chain-hash [hasher.digest() === toHex(row.chain) becomes true]
      if (hasher.digest() === toHex(row.chain) && changes.length === row.row_count) return changes;
      throw damaged(this.#path, `transaction ${String(id)} does not match its chain hash`);
    });
  }

  /** Copies the write-ahead log into the database and empties it, if no reader is in the way. */
  truncateLog(): void {
    this.#reading(() => {
      this.#database.pragma('wal_checkpoint(TRUNCATE)');
    });
  }

  /** A damaged log loses its newest writes without a word from SQLite: who can count, sees it. */
  #countWrite(): number {
    const row = this.#statements.countWrite.get();
    assert(row !== undefined, 'counting returns the count');
    return row.value;
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

export type MetaValue = string | number;

export interface TransactionUpdate {
  readonly id: number;
  readonly state: JournalState;
  readonly trouble?: Trouble | undefined;
  readonly reason?: string | undefined;
  /** Reason by row sequence. */
  readonly superseded?: ReadonlyMap<number, string> | undefined;
}

function connect(path: string): SqliteDatabase {
  try {
    const database = openDatabase(path, { timeout: 5_000 });
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

/** What the names in `stage/` of a transaction's contents begin with. */
export function stagePrefix(id: number, uuid: string): string {
  return `${String(id)}-${uuid.replaceAll(/[^0-9a-f]/g, '').slice(0, 8)}`;
}

// --- text that checksums and chain hashes cover ------------------------------------------------

function rowText(id: number, row: ChangeRow): string {
  const { sequence, unit, act, slot, path, before, after } = row;
  return `${JSON.stringify([id, sequence, unit, act, slot ?? null, path, ...imageValues(before), ...imageValues(after)])}\n`;
}

function chainText(
  previous: ChainHash,
  id: number,
  transaction: Omit<NewTransaction, 'state'>,
  rowCount: number,
): string {
  const { uuid, stage, message, committedAt, bootId, changeCount } = transaction;
  const { displacedBytes, flush, annotations } = transaction;
  return `${JSON.stringify([previous, id, uuid, stage, message, committedAt, bootId, changeCount, rowCount, displacedBytes, flush, annotations])}\n`;
}

type ImageValues = readonly [
  kind: Image['kind'],
  sha256: ContentHash | null,
  size: number | null,
  mode: number | null,
  target: string | null,
];

function imageValues(image: Image): ImageValues {
  switch (image.kind) {
    case 'absent':
      return ['absent', null, null, null, null];
    case 'file':
      return ['file', image.sha256, image.size, image.mode, null];
    case 'directory':
      return ['directory', null, null, image.mode, null];
    case 'symlink':
      return ['symlink', null, null, null, image.target];
  }
}

function imageColumns(image: Image): unknown[] {
  const [kind, sha256, size, mode, target] = imageValues(image);
  return [kind, sha256 === null ? null : fromHex(sha256), size, mode, target];
}

function changeValues(id: number, row: ChangeRow, checksum: bigint): unknown[] {
  const { sequence, unit, act, slot, path, before, after } = row;
  const images = [...imageColumns(before), ...imageColumns(after)];
  return [id, sequence, unit, act, slot ?? null, path, ...images, checksum];
}

// --- rows ----------------------------------------------------------------------------------------

interface StoredTransaction {
  id: number;
  uuid: string;
  stage: string;
  message: string;
  committed_at: number;
  boot_id: string;
  change_count: number;
  row_count: number;
  displaced_bytes: number;
  flush: 'before' | 'with';
  annotations: string;
  previous_chain: Buffer;
  chain: Buffer;
  state: JournalState;
  trouble: Trouble | null;
  reason: string | null;
}

interface StoredImage {
  kind: string;
  sha256: Buffer | null;
  size: bigint | null;
  mode: bigint | null;
  target: string | null;
}

/** Read with 64-bit integers, for the checksum's sake. */
interface StoredChange {
  transaction_id: bigint;
  sequence: bigint;
  unit: bigint;
  act: Act;
  slot: string | null;
  path: string;
  before_kind: string;
  before_sha256: Buffer | null;
  before_size: bigint | null;
  before_mode: bigint | null;
  before_target: string | null;
  after_kind: string;
  after_sha256: Buffer | null;
  after_size: bigint | null;
  after_mode: bigint | null;
  after_target: string | null;
  superseded: string | null;
  checksum: bigint;
}

function toTransaction(row: StoredTransaction): TransactionRow {
  return {
    id: row.id,
    uuid: row.uuid,
    stage: row.stage,
    message: row.message,
    committedAt: row.committed_at,
    bootId: row.boot_id,
    changeCount: row.change_count,
    rowCount: row.row_count,
    displacedBytes: row.displaced_bytes,
    flush: row.flush,
    annotations: row.annotations,
    chain: toHex(row.chain) as ChainHash,
    state: row.state,
    trouble: row.trouble ?? undefined,
    reason: row.reason ?? undefined,
  };
}

function toChange(row: StoredChange): ChangeRow {
  return {
    sequence: Number(row.sequence),
    unit: Number(row.unit),
    act: row.act,
    slot: row.slot ?? undefined,
    path: row.path as RelativePath,
    before: toImage({
      kind: row.before_kind,
      sha256: row.before_sha256,
      size: row.before_size,
      mode: row.before_mode,
      target: row.before_target,
    }),
    after: toImage({
      kind: row.after_kind,
      sha256: row.after_sha256,
      size: row.after_size,
      mode: row.after_mode,
      target: row.after_target,
    }),
    superseded: row.superseded ?? undefined,
  };
}

/** A column that misses makes an image that the row's checksum cannot match. */
function toImage({ kind, sha256, size, mode, target }: StoredImage): Image {
  switch (kind) {
    case 'file':
      return {
        kind,
        sha256: toHex(sha256 ?? Buffer.alloc(0)) as ContentHash,
        size: Number(size),
        mode: Number(mode),
      };
    case 'directory':
      return { kind, mode: Number(mode) };
    case 'symlink':
      return { kind, target: target ?? '' };
    default:
      return absent;
  }
}

function toHex(bytes: Buffer): string {
  return bytes.toString('hex');
}

function fromHex(text: string): Buffer {
  return Buffer.from(text, 'hex');
}

// --- statements ----------------------------------------------------------------------------------

/** A path and what is below it: `/` comes right before `0`. */
interface PathRange {
  path: string | null;
  first: string;
  end: string;
}

function range(path: RelativePath | undefined): PathRange {
  return { path: path ?? null, first: `${path ?? ''}/`, end: `${path ?? ''}0` };
}

const isInRange = '(:path IS NULL OR path = :path OR (path >= :first AND path < :end))';

interface Statements {
  readonly meta: Statement<[string], { value: MetaValue }>;
  readonly setMeta: Statement<[string, MetaValue]>;
  readonly bumpEpoch: Statement<[number]>;
  readonly countWrite: Statement<[], { value: number }>;
  readonly position: Statement<
    [],
    {
      epoch: number;
      writes: number;
      id: number | null;
      chain: Buffer | null;
      isTroubled: 0 | 1;
    }
  >;
  readonly insertTransaction: Statement;
  readonly insertChange: Statement;
  readonly setState: Statement<[JournalState, Trouble | null, string | null, number]>;
  readonly setSuperseded: Statement<[string, number, number]>;
  readonly unsettled: Statement<[], StoredTransaction>;
  readonly troubled: Statement<[], StoredTransaction>;
  readonly countUnsettled: Statement<[], { transactions: number; rows: number }>;
  readonly firstUnsettled: Statement<[]>;
  readonly history: Statement<[number], StoredTransaction>;
  readonly transaction: Statement<[number], StoredTransaction>;
  readonly log: Statement<[number, number], StoredTransaction>;
  readonly logOf: Statement<[PathRange & { before: number; limit: number }], StoredTransaction>;
  readonly changesAfter: Statement<[PathRange & RowPosition & { limit: number }], StoredChange>;
  readonly displaced: Statement<
    [{ content: Buffer; path: string; pruned: number }],
    { id: number; sequence: number }
  >;
  readonly changes: Statement<[number], StoredChange>;
  readonly lastChanged: Statement<[]>;
}

function prepareStatements(database: SqliteDatabase): Statements {
  return preparedWhenUsed({
    meta: () => database.prepare('SELECT value FROM meta WHERE key = ?'),
    setMeta: () =>
      database.prepare(
        'INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value',
      ),
    bumpEpoch: () =>
      database.prepare("UPDATE meta SET value = value + 1 WHERE key = 'epoch' AND value = ?"),
    countWrite: () =>
      database.prepare(
        `INSERT INTO meta (key, value) VALUES ('writes', 1)
       ON CONFLICT (key) DO UPDATE SET value = value + 1 RETURNING value`,
      ),
    position: () =>
      database.prepare(
        `SELECT meta.value AS epoch, newest.id, newest.chain,
         coalesce((SELECT value FROM meta WHERE key = 'writes'), 0) AS writes,
         EXISTS (SELECT 1 FROM journal_transaction WHERE trouble IS NOT NULL) AS isTroubled FROM meta
       LEFT JOIN (SELECT id, chain FROM journal_transaction ORDER BY id DESC LIMIT 1) AS newest
       WHERE meta.key = 'epoch'`,
      ),
    insertTransaction: () =>
      database.prepare(
        `INSERT INTO journal_transaction (id, uuid, stage, message, committed_at, boot_id, change_count,
        row_count, displaced_bytes, flush, annotations, previous_chain, chain, state)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      ),
    insertChange: () =>
      database.prepare(
        `INSERT INTO journal_change (transaction_id, sequence, unit, act, slot, path,
        before_kind, before_sha256, before_size, before_mode, before_target,
        after_kind, after_sha256, after_size, after_mode, after_target, checksum)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      ),
    setState: () =>
      database.prepare(
        'UPDATE journal_transaction SET state = ?, trouble = ?, reason = ? WHERE id = ?',
      ),
    setSuperseded: () =>
      database.prepare(
        'UPDATE journal_change SET superseded = ? WHERE transaction_id = ? AND sequence = ?',
      ),
    // Everything up to settled_through is settled or in trouble.
    unsettled: () =>
      database.prepare(
        `SELECT * FROM journal_transaction
       WHERE id > (SELECT value FROM meta WHERE key = 'settled_through')
         AND state IN ('committed', 'undoing')
       UNION SELECT * FROM journal_transaction WHERE trouble IS NOT NULL
       ORDER BY id`,
      ),
    countUnsettled: () =>
      database.prepare(
        `SELECT count(*) AS transactions, coalesce(sum(row_count), 0) AS rows
       FROM journal_transaction
       WHERE id > (SELECT value FROM meta WHERE key = 'settled_through')
         AND state = 'committed' AND trouble IS NULL`,
      ),
    troubled: () =>
      database.prepare('SELECT * FROM journal_transaction WHERE trouble IS NOT NULL ORDER BY id'),
    firstUnsettled: () =>
      database.prepare(
        `SELECT coalesce(
         (SELECT min(id) FROM journal_transaction
          WHERE id > (SELECT value FROM meta WHERE key = 'settled_through')
            AND state IN ('committed', 'undoing') AND trouble IS NULL),
         (SELECT max(id) + 1 FROM journal_transaction), 1)`,
      ),
    history: () =>
      database.prepare(
        `SELECT * FROM journal_transaction
       WHERE id > ? AND state IN ('settled', 'rolled-back') ORDER BY id DESC`,
      ),
    transaction: () => database.prepare('SELECT * FROM journal_transaction WHERE id = ?'),
    log: () =>
      database.prepare('SELECT * FROM journal_transaction WHERE id < ? ORDER BY id DESC LIMIT ?'),
    logOf: () =>
      database.prepare(
        `SELECT * FROM journal_transaction WHERE id < :before AND EXISTS (
         SELECT 1 FROM journal_change WHERE transaction_id = id AND ${isInRange}
           AND (before_kind IS NOT after_kind OR before_sha256 IS NOT after_sha256
             OR before_mode IS NOT after_mode OR before_target IS NOT after_target))
       ORDER BY id DESC LIMIT :limit`,
      ),
    changesAfter: () =>
      database
        .prepare<[PathRange & RowPosition & { limit: number }], StoredChange>(
          `SELECT journal_change.* FROM journal_change
         JOIN journal_transaction ON id = transaction_id
           AND state IN ('committed', 'settled') AND trouble IS NULL
         WHERE (transaction_id, sequence) > (:id, :sequence) AND ${isInRange}
         ORDER BY transaction_id, sequence LIMIT :limit`,
        )
        .safeIntegers(true),
    displaced: () =>
      database.prepare(
        `SELECT changed.transaction_id AS id, changed.sequence FROM journal_change AS changed
       JOIN journal_change AS head ON head.transaction_id = changed.transaction_id
         AND head.sequence = changed.unit AND head.slot IS NOT NULL
       JOIN journal_transaction ON id = changed.transaction_id
         AND (id > :pruned OR state = 'committed') AND state IN ('committed', 'settled')
       WHERE changed.before_sha256 = :content
       ORDER BY changed.path = :path DESC, id DESC LIMIT ${String(keptPlacesMax)}`,
      ),
    lastChanged: () => database.prepare('SELECT max(transaction_id) FROM journal_change'),
    changes: () =>
      database
        .prepare<[number], StoredChange>(
          'SELECT * FROM journal_change WHERE transaction_id = ? ORDER BY sequence',
        )
        .safeIntegers(true),
  });
}

// --- errors --------------------------------------------------------------------------------------

export function notFound(id: number): EngineError {
  return new EngineError('TRANSACTION_NOT_FOUND', `there is no transaction ${String(id)}`, {
    hint: 'List them with: skillmeat txn log',
  });
}

function fenced(epoch: number): EngineError {
  return new EngineError(
    'FENCED',
    `another writer took over this store (epoch ${String(epoch)} is past)`,
    { hint: 'The lock file was removed while in use. Open the store again.' },
  );
}

function damaged(path: string, found: string): EngineError {
  return new EngineError('JOURNAL_DAMAGED', `${path} is damaged: ${found}`, {
    path,
    hint: 'Nothing is written until this is resolved. Keep a copy of the .skillmeat directory.',
  });
}

function readFailure(error: unknown, path: string): unknown {
  const code = systemCode(error);
  if (code === undefined || !code.startsWith('SQLITE_')) return error;
  const text = error instanceof Error ? error.message : code;
  if (code === 'SQLITE_NOTADB') {
    return new EngineError('JOURNAL_FOREIGN', `${path} is not an SQLite database`, {
      path,
      cause: error,
      hint: 'Move the .skillmeat directory away and run: skillmeat txn init',
    });
  }
  if (code.startsWith('SQLITE_CORRUPT')) return damaged(path, text);
  return failure(code, path, text, error);
}

function writeFailure(error: unknown, path: string): unknown {
  const code = systemCode(error);
  if (code === undefined || !code.startsWith('SQLITE_')) return error;
  return failure(code, path, error instanceof Error ? error.message : code, error);
}

function failure(code: string, path: string, text: string, cause: unknown): EngineError {
  const doing = `the journal ${path} failed: ${text} (${code})`;
  // Memory that processes share is a file, and this is for want of room in it.
  if (code === 'SQLITE_FULL' || code === 'SQLITE_IOERR_SHMSIZE') {
    return new EngineError('DISK_FULL', doing, { path, cause, hint: 'Free some space.' });
  }
  if (code.startsWith('SQLITE_READONLY')) {
    return new EngineError('READ_ONLY', doing, { path, cause, hint: 'Make it writable.' });
  }
  if (code === 'SQLITE_CANTOPEN' || code === 'SQLITE_PERM' || code === 'SQLITE_AUTH') {
    return new EngineError('PERMISSION_DENIED', doing, {
      path,
      cause,
      hint: 'Check the owner and mode of the .skillmeat directory.',
    });
  }
  if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED')) {
    return new EngineError('STORE_LOCKED', doing, {
      path,
      cause,
      hint: 'Another program holds the journal; try again when it is done.',
    });
  }
  return new EngineError('IO_FAILED', doing, { path, cause, hint: 'Check the disk.' });
}
