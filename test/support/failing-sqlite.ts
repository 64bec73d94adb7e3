import type { Database, default as Driver } from 'better-sqlite3';
import { sqliteDriver } from '../../src/engine/sqlite.js';

/**
 * Makes SQLite fail with `code` at `statement` or pragma, in every connection of this process, while `act`
 * runs. The statement is not run.
 */
export function whileSqliteFails(code: string, statement: string, act: () => void): void {
  const heal = failSqlite(code, statement);
  try {
    act();
  } finally {
    heal();
  }
}

/** As {@link whileSqliteFails}, until the function that it returns is called. */
export function failSqlite(code: string, statement: string): () => void {
  const { prototype, SqliteError } = sqliteDriver();
  const { exec, pragma } = prototype as Pick<Database, 'exec' | 'pragma'>;
  const refuse = (source: string): void => {
    if (source === statement) throw new SqliteError('simulated', code);
  };
  Object.assign(prototype, {
    exec(this: Database, source: string): unknown {
      refuse(source);
      return Reflect.apply(exec, this, [source]);
    },
    pragma(this: Database, source: string, options?: Driver.PragmaOptions): unknown {
      refuse(source);
      return Reflect.apply(pragma, this, [source, options]);
    },
  });
  return () => {
    Object.assign(prototype, { exec, pragma });
  };
}
