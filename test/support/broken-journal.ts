import { openDatabase } from '../../src/engine/sqlite.js';

/** Plants a row that its table forbids: nothing but SQLite's own check tells. */
export function breakTableRule(path: string): void {
  const database = openDatabase(path);
  database.unsafeMode();
  const swap = (from: string, to: string): void => {
    database.exec(`
      PRAGMA writable_schema = ON;
      UPDATE sqlite_schema SET sql = replace(sql, '${from}', '${to}') WHERE name = 'meta';
      PRAGMA writable_schema = RESET;
    `);
  };
  const { sql } = database
    .prepare<[], { sql: string }>("SELECT sql FROM sqlite_schema WHERE name = 'meta'")
    .get() ?? { sql: '' };
  const column = /value[^,\n]*/.exec(sql)?.[0] ?? '';
  swap(column, 'value ANY');
  database.exec("INSERT INTO meta (key, value) VALUES ('odd', NULL)");
  swap('value ANY', column);
  database.close();
}
