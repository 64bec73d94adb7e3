import Database from 'better-sqlite3';

/**
 * Makes SQLite fail with `code` at `statement`, in every connection of this process, until what is
 * returned is disposed of. The statement is not run.
 */
export function failSqlite(code: string, statement: string): Disposable {
  const { exec } = Database.prototype;
  Object.assign(Database.prototype, {
    exec(this: Database.Database, source: string): unknown {
      if (source === statement) throw new Database.SqliteError('simulated', code);
      return Reflect.apply(exec, this, [source]);
    },
  });
  return {
    [Symbol.dispose]: () => {
      Object.assign(Database.prototype, { exec });
    },
  };
}
