import type { Statement } from 'better-sqlite3';
import { damaged } from './journal-failure.js';
import { rowChecksum } from './row-text.js';
import { preparedWhenUsed, type SqliteDatabase } from './sqlite.js';

/** Where packing goes on that nobody asked for; see `pack-table.ts`. */
export const packingProgressKey = 'packing';

export type MetaValue = string | number;

interface StoredMeta {
  key: string;
  value: string | bigint;
  checksum: bigint;
}

/** The table `meta` of a journal: single values, each with its checksum. */
export class MetaTable {
  readonly #path: string;
  readonly #statements: ReturnType<typeof prepareStatements>;

  constructor(database: SqliteDatabase, path: string) {
    this.#path = path;
    this.#statements = prepareStatements(database);
  }

  /** @throws {EngineError} `JOURNAL_DAMAGED`. */
  get(key: string): MetaValue | undefined {
    const row = this.#statements.get.get(key);
    if (row === undefined) return undefined;
    const value = parseValue(row);
    // guard: meta-row-sound [if false]
    if (value === undefined) {
      throw damaged(this.#path, `what it says of ${key} does not match its checksum`);
    }
    return value;
  }

  /** Of a number that every journal has. @throws {EngineError} `JOURNAL_DAMAGED`. */
  number(key: string): number {
    const value = this.get(key);
    // guard: meta-number [if true]
    if (typeof value === 'number') return value;
    throw damaged(this.#path, `it does not say ${key}`);
  }

  /** Rows whose keys begin with `prefix`, which ends in a slash. @throws {EngineError} `JOURNAL_DAMAGED`. */
  below(prefix: string): ReadonlyMap<string, MetaValue> {
    // `0` comes right after a slash.
    const rows = this.#statements.between.all(prefix, `${prefix.slice(0, -1)}0`);
    return new Map(
      rows.map((row) => {
        const value = parseValue(row);
        // guard: meta-rows-sound [if false]
        if (value === undefined) {
          throw damaged(this.#path, `what it says of ${row.key} does not match its checksum`);
        }
        return [row.key, value];
      }),
    );
  }

  /** Every row; `undefined` for what does not match its checksum. */
  examine(): ReadonlyMap<string, MetaValue | undefined> {
    return new Map(this.#statements.all.all().map((row) => [row.key, parseValue(row)]));
  }

  /** Inside a transaction of SQLite. */
  set(key: string, value: MetaValue): void {
    this.#statements.set.run(key, value, rowChecksum([key, value]));
  }

  /** Inside a transaction of SQLite. */
  remove(key: string): void {
    this.#statements.remove.run(key);
  }

  /** Inside a transaction of SQLite: counts a number up. @returns whether it was `expected`. */
  advance(key: string, expected: number): boolean {
    const next = expected + 1;
    const checksum = rowChecksum([key, next]);
    return this.#statements.advance.run(next, checksum, key, expected).changes === 1;
  }
}

function parseValue({ key, value, checksum }: StoredMeta): MetaValue | undefined {
  const read = typeof value === 'bigint' ? Number(value) : value;
  if (typeof read !== 'string' && typeof read !== 'number') return undefined;
  // guard: meta-checksum [if true]
  if (rowChecksum([key, read]) === checksum) return read;
  return undefined;
}

function prepareStatements(database: SqliteDatabase) {
  return preparedWhenUsed({
    get: () => select<[string]>('WHERE key = ?'),
    all: () => select<[]>(''),
    between: () => select<[string, string]>('WHERE key >= ? AND key < ?'),
    remove: () => database.prepare<[string]>('DELETE FROM meta WHERE key = ?'),
    set: () =>
      database.prepare<[string, MetaValue, bigint]>(
        `INSERT INTO meta (key, value, checksum) VALUES (?, ?, ?)
       ON CONFLICT (key) DO UPDATE SET value = excluded.value, checksum = excluded.checksum`,
      ),
    advance: () =>
      database.prepare<[number, bigint, string, number]>(
        'UPDATE meta SET value = ?, checksum = ? WHERE key = ? AND value = ?',
      ),
  });

  function select<Values extends unknown[]>(rest: string): Statement<Values, StoredMeta> {
    return database
      .prepare<Values, StoredMeta>(`SELECT key, value, checksum FROM meta ${rest}`)
      .safeIntegers(true);
  }
}
