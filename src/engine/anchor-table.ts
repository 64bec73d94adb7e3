import { type Anchor, formatAnchor, noAnchor, parseAnchor } from './anchor.js';
import {
  type ChangeRow,
  parseChange,
  type RowPosition,
  type StoredChange,
  toStoredChange,
} from './change-row.js';
import { EngineError } from './errors.js';
import { ContentHasher } from './hash.js';
import { damaged, notFound } from './journal-failure.js';
import type { TableAccess } from './snapshot-table.js';
import { preparedWhenUsed, type SqliteDatabase } from './sqlite.js';
import type { ChainHash } from './transaction-row.js';

export const anchorKey = 'anchor';

/** A row of a transaction that was removed; what its path was then. */
export type BaseRow = ChangeRow & RowPosition;

/**
 * What is left of transactions whose records were removed: where the chain begins, and for each path
 * the last row that says what it was then. Without these rows nobody could tell drift from what a
 * removed transaction left.
 */
export class AnchorTable {
  readonly #access: TableAccess;
  readonly #statements: ReturnType<typeof prepareStatements>;

  constructor(access: TableAccess) {
    this.#access = access;
    this.#statements = prepareStatements(access.database);
  }

  /** @throws {EngineError} `JOURNAL_DAMAGED`. */
  get(): Anchor {
    const { meta, path, reading } = this.#access;
    const text = reading(() => meta.get(anchorKey));
    if (text === undefined) return noAnchor;
    const anchor = parseAnchor(text);
    // guard: anchor-readable [if true]
    if (anchor !== undefined) return anchor;
    throw damaged(path, 'it does not say where its log begins');
  }

  /** Why there is no transaction of a number: its record was removed, or it never was. */
  unknown(id: number): EngineError {
    const { through } = this.get();
    if (id < 0 || id > through) return notFound(id);
    return new EngineError(
      'HISTORY_PRUNED',
      `transaction ${String(id)} is no longer in the log, which begins with ${String(through + 1)}`,
      { hint: 'List what there is with: skillmeat txn log' },
    );
  }

  /**
   * Removes the records of transactions up to `through`, synced, all at once. None of them may be
   * unsettled, in trouble or marked.
   *
   * @throws {EngineError} `FENCED`, `DISK_FULL`, `JOURNAL_DAMAGED`.
   */
  removeThrough(through: number, chain: ChainHash, epoch: number): void {
    const { requireEpoch, writing } = this.#access;
    writing(() => {
      // guard: remove-records-fence
      requireEpoch(epoch);
      this.#statements.removeChanges.run(through, through);
      this.#statements.removeTransactions.run(through);
      this.#write(through, chain);
    });
  }

  /** Makes `rows` what is left of transactions up to `through`; of a journal without any. Synced. */
  restore({ through, chain }: Pick<Anchor, 'through' | 'chain'>, rows: Iterable<BaseRow>): void {
    this.#access.writing(() => {
      for (const row of rows) this.#statements.insert.run(...toStoredChange(row.id, row).values);
      this.#write(through, chain);
    });
  }

  /** Of a copy whose own is damaged: says where the log begins, and nothing of the rows before. */
  assume({ through, chain }: Pick<Anchor, 'through' | 'chain'>): void {
    this.#access.writing(() => {
      const { rowCount, sha256 } = noAnchor;
      this.#access.meta.remove(anchorKey);
      const anchor = { through, chain, rowCount, sha256 };
      if (through > 0) this.#access.meta.set(anchorKey, formatAnchor(anchor));
    });
  }

  #write(through: number, chain: ChainHash): void {
    const { rowCount, sha256 } = this.#summarise(through);
    const anchor = { through, chain, rowCount, sha256 };
    this.#access.meta.set(anchorKey, formatAnchor(anchor));
  }

  /** Checks what is left of removed transactions, as a whole. @throws {EngineError} `JOURNAL_DAMAGED`. */
  verify(): void {
    const { path, reading } = this.#access;
    const anchor = this.get();
    if (anchor.through === 0) return;
    const found = reading(() => this.#summarise(anchor.through));
    // guard: anchor-rows [if true]
    if (found.rowCount === anchor.rowCount && found.sha256 === anchor.sha256) return;
    throw damaged(
      path,
      `of the transactions up to ${String(anchor.through)} rows are missing or changed`,
    );
  }

  #summarise(through: number): Pick<Anchor, 'rowCount' | 'sha256'> {
    const hasher = new ContentHasher();
    let rowCount = 0;
    for (const stored of this.#statements.rows.iterate(through)) {
      const row = this.#toChange(stored);
      hasher.update(toStoredChange(Number(stored.transaction_id), row).text);
      rowCount += 1;
    }
    return { rowCount, sha256: hasher.digest() };
  }

  #toChange(stored: StoredChange): ChangeRow {
    const change = parseChange(stored);
    // guard: anchor-row-sound [if true]
    if (!('damage' in change)) return change;
    const row = `row ${String(stored.sequence)} of transaction ${String(stored.transaction_id)}`;
    throw damaged(this.#access.path, `${row} ${change.damage}`);
  }

  /** What can be believed of the rows of transactions up to `through`, each by itself. */
  soundRows(through: number): readonly BaseRow[] {
    return this.#access.reading(() =>
      this.#statements.rows.all(through).flatMap((stored) => {
        const row = parseChange(stored);
        return 'damage' in row ? [] : [{ ...row, id: Number(stored.transaction_id) }];
      }),
    );
  }
}

function prepareStatements(database: SqliteDatabase) {
  return preparedWhenUsed({
    // The last row of each path, of those that took effect; nothing at the path is as good as no row.
    removeChanges: () =>
      database.prepare<[number, number]>(
        `DELETE FROM journal_change WHERE transaction_id <= ? AND (transaction_id, sequence) NOT IN (
           SELECT transaction_id, sequence FROM (
             SELECT transaction_id, sequence, after_kind, row_number() OVER (
               PARTITION BY path ORDER BY transaction_id DESC, sequence DESC) AS age
             FROM journal_change LEFT JOIN journal_transaction ON id = transaction_id
             WHERE transaction_id <= ? AND (id IS NULL OR state = 'settled'))
           WHERE age = 1 AND after_kind <> 'absent')`,
      ),
    removeTransactions: () =>
      database.prepare<[number]>('DELETE FROM journal_transaction WHERE id <= ?'),
    insert: () =>
      database.prepare(
        `INSERT INTO journal_change VALUES (${Array.from({ length: 18 }, () => '?').join(', ')})`,
      ),
    rows: () =>
      database
        .prepare<[number], StoredChange>(
          `SELECT * FROM journal_change WHERE transaction_id <= ?
           ORDER BY transaction_id, sequence`,
        )
        .safeIntegers(true),
  });
}
