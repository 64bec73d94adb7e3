import type { Statement } from 'better-sqlite3';
import type { RowPosition, StoredChange } from './change-row.js';
import { keptPlacesMax } from './limits.js';
import { packingProgressKey } from './meta-table.js';
import type { RelativePath } from './path.js';
import { preparedWhenUsed, type SqliteDatabase } from './sqlite.js';
import type { StoredTransaction } from './transaction-row.js';

/** A path and what is below it: `/` comes right before `0`. */
export interface PathRange {
  path: string | null;
  first: string;
  end: string;
}

export function range(path: RelativePath | undefined): PathRange {
  return { path: path ?? null, first: `${path ?? ''}/`, end: `${path ?? ''}0` };
}

const isInRange = '(:path IS NULL OR path = :path OR (path >= :first AND path < :end))';

/** Of those that were removed only what paths were at last is left. */
const tookEffect = `(transaction_id <= :removed
  OR (state IN ('committed', 'settled') AND trouble IS NULL))`;

/** Everything that a journal asks SQLite. Rows are read with 64-bit integers. */
export interface Statements {
  readonly newest: Statement<[], StoredTransaction>;
  readonly insertTransaction: Statement;
  readonly insertChange: Statement;
  readonly replaceTransaction: Statement;
  readonly replaceChange: Statement;
  readonly change: Statement<[number, number], StoredChange>;
  readonly unsettled: Statement<[number], StoredTransaction>;
  readonly troubled: Statement<[], StoredTransaction>;
  readonly countUnsettled: Statement<
    [number],
    { transactions: number; rows: number; bytes: number; packing: string | null }
  >;
  readonly firstUnsettled: Statement<[number]>;
  readonly history: Statement<[number], StoredTransaction>;
  readonly transaction: Statement<[number], StoredTransaction>;
  readonly log: Statement<[number, number], StoredTransaction>;
  readonly logOf: Statement<[PathRange & { before: number; limit: number }], StoredTransaction>;
  readonly changesAfter: Statement<
    [PathRange & RowPosition & { limit: number; removed: number; paths: string | null }],
    StoredChange
  >;
  readonly lastChanges: Statement<[{ removed: number; paths: string }], StoredChange>;
  readonly displaced: Statement<
    [{ content: Buffer; path: string; pruned: number }],
    { id: number; sequence: number }
  >;
  readonly displacedBytes: Statement<[number, number], number>;
  readonly displacedAgain: Statement<[{ from: number; to: number; sizeMin: number }], Buffer>;
  readonly transactionIds: Statement<[number, number], number>;
  readonly changes: Statement<[number], StoredChange>;
  readonly lastChanged: Statement<[]>;
  readonly firstTransaction: Statement<[], number>;
}

export function prepareStatements(database: SqliteDatabase): Statements {
  const select = <Values extends unknown[]>(rest: string): Statement<Values, StoredTransaction> =>
    database
      .prepare<Values, StoredTransaction>(`SELECT * FROM journal_transaction ${rest}`)
      .safeIntegers(true);
  return preparedWhenUsed({
    newest: () => select('ORDER BY id DESC LIMIT 1'),
    insertTransaction: () =>
      database.prepare(`INSERT INTO journal_transaction VALUES (${places(17)})`),
    replaceTransaction: () =>
      database.prepare(`REPLACE INTO journal_transaction VALUES (${places(17)})`),
    insertChange: () => database.prepare(`INSERT INTO journal_change VALUES (${places(18)})`),
    replaceChange: () => database.prepare(`REPLACE INTO journal_change VALUES (${places(18)})`),
    change: () =>
      database
        .prepare<[number, number], StoredChange>(
          'SELECT * FROM journal_change WHERE transaction_id = ? AND sequence = ?',
        )
        .safeIntegers(true),
    // Everything up to settled_through is settled or in trouble.
    unsettled: () =>
      select(
        `WHERE id > ? AND state IN ('committed', 'undoing')
       UNION SELECT * FROM journal_transaction WHERE trouble IS NOT NULL
       ORDER BY id`,
      ),
    countUnsettled: () =>
      database.prepare(
        `SELECT count(*) AS transactions, coalesce(sum(row_count), 0) AS rows,
         coalesce(sum(displaced_bytes), 0) AS bytes,
         (SELECT value FROM meta WHERE key = '${packingProgressKey}') AS packing
       FROM journal_transaction
       WHERE id > ? AND state = 'committed' AND trouble IS NULL`,
      ),
    troubled: () => select('WHERE trouble IS NOT NULL ORDER BY id'),
    firstUnsettled: () =>
      database.prepare(
        `SELECT coalesce(
         (SELECT min(id) FROM journal_transaction
          WHERE id > ? AND state IN ('committed', 'undoing') AND trouble IS NULL),
         (SELECT max(id) + 1 FROM journal_transaction), 1)`,
      ),
    history: () => select("WHERE id > ? AND state IN ('settled', 'rolled-back') ORDER BY id DESC"),
    transaction: () => select('WHERE id = ?'),
    log: () => select('WHERE id < ? ORDER BY id DESC LIMIT ?'),
    logOf: () =>
      select(
        `WHERE id < :before AND EXISTS (
         SELECT 1 FROM journal_change WHERE transaction_id = id AND ${isInRange}
           AND (before_kind IS NOT after_kind OR before_sha256 IS NOT after_sha256
             OR before_mode IS NOT after_mode OR before_target IS NOT after_target))
       ORDER BY id DESC LIMIT :limit`,
      ),
    changesAfter: () =>
      database
        .prepare<
          [PathRange & RowPosition & { limit: number; removed: number; paths: string | null }],
          StoredChange
        >(
          `SELECT journal_change.* FROM journal_change
         LEFT JOIN journal_transaction ON id = transaction_id
         WHERE (transaction_id, sequence) > (:id, :sequence) AND ${isInRange}
           AND (:paths IS NULL OR path IN (SELECT value FROM json_each(:paths)))
           AND ${tookEffect}
         ORDER BY transaction_id, sequence LIMIT :limit`,
        )
        .safeIntegers(true),
    lastChanges: () =>
      database
        .prepare<[{ removed: number; paths: string }], StoredChange>(
          `SELECT last.* FROM (
           SELECT max(transaction_id << 32 | sequence) AS at FROM journal_change
           LEFT JOIN journal_transaction ON id = transaction_id
           WHERE path IN (SELECT value FROM json_each(:paths)) AND ${tookEffect}
           GROUP BY path)
         JOIN journal_change AS last ON transaction_id = at >> 32 AND sequence = at & 0xffffffff`,
        )
        .safeIntegers(true),
    displaced: () =>
      database.prepare(
        `SELECT changed.transaction_id AS id, changed.sequence FROM journal_change AS changed
       JOIN journal_change AS head ON head.transaction_id = changed.transaction_id
         AND head.sequence = changed.unit AND head.slot IS NOT NULL
       JOIN journal_transaction ON id = changed.transaction_id
         AND (id > :pruned OR state = 'committed'
           OR EXISTS (SELECT 1 FROM meta WHERE key = 'kept/' || id)) AND state IN ('committed', 'settled')
       WHERE changed.before_sha256 = :content
       ORDER BY changed.path = :path DESC, id DESC LIMIT ${String(keptPlacesMax)}`,
      ),
    displacedBytes: () =>
      database
        .prepare<[number, number], number>(
          `SELECT coalesce(sum(displaced_bytes), 0) FROM journal_transaction
         WHERE id BETWEEN ? AND ? AND state = 'settled'`,
        )
        .pluck(),
    displacedAgain: () =>
      database
        .prepare<[{ from: number; to: number; sizeMin: number }], Buffer>(
          `SELECT before_sha256 FROM journal_change
         WHERE transaction_id BETWEEN :from AND :to AND before_kind = 'file'
           AND before_size >= :sizeMin
         GROUP BY before_sha256 HAVING count(*) > 1`,
        )
        .pluck(),
    transactionIds: () =>
      database
        .prepare<[number, number], number>(
          'SELECT id FROM journal_transaction WHERE id < ? ORDER BY id DESC LIMIT ?',
        )
        .pluck(),
    firstTransaction: () =>
      database
        .prepare<[], number>('SELECT id FROM journal_transaction ORDER BY id LIMIT 1')
        .pluck(),
    lastChanged: () => database.prepare('SELECT max(transaction_id) FROM journal_change'),
    changes: () =>
      database
        .prepare<[number], StoredChange>(
          'SELECT * FROM journal_change WHERE transaction_id = ? ORDER BY sequence',
        )
        .safeIntegers(true),
  });
}

function places(count: number): string {
  return Array.from({ length: count }, () => '?').join(', ');
}
