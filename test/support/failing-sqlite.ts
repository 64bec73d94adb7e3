import type { Database } from 'better-sqlite3';
import { sqliteDriver } from '../../src/engine/sqlite.js';

/**
 * Makes SQLite fail with `code` at `statement`, in every connection of this process, while `act`
 * runs. The statement is not run.
 */
export function whileSqliteFails(code: string, statement: string, act: () => void): void {
  const { prototype, SqliteError } = sqliteDriver();
  const exec: unknown = Reflect.get(prototype, 'exec');
  Object.assign(prototype, {
    exec(this: Database, source: string): unknown {
      if (source === statement) throw new SqliteError('simulated', code);
      return Reflect.apply(exec as Database['exec'], this, [source]);
    },
  });
  try {
    act();
  } finally {
    Object.assign(prototype, { exec });
  }
}
