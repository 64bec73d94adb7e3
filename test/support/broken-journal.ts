import { checksumOf } from '../../src/engine/hash.js';
import { type Column, rowText } from '../../src/engine/row-text.js';
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
  database.exec("INSERT INTO meta (key, value, checksum) VALUES ('odd', NULL, 0)");
  swap('value ANY', column);
  database.close();
}

/** Gives every row a checksum that matches it, as somebody does who changes a journal and means it. */
export function sealJournal(path: string): void {
  const database = openDatabase(path);
  database.pragma('ignore_check_constraints = ON');
  for (const table of ['meta', 'journal_transaction', 'journal_change']) {
    const rows = database.prepare(`SELECT * FROM ${table}`).safeIntegers(true).all();
    for (const row of rows as readonly Record<string, Column>[]) {
      const columns = Object.values(row).slice(0, -1);
      const later = table === 'journal_change' ? columns.splice(-1) : [];
      const text = rowText(columns) + ((later[0] ?? null) === null ? '' : rowText(later));
      const values = [...columns, ...later, checksumOf(text)];
      database
        .prepare(`REPLACE INTO ${table} VALUES (${values.map(() => '?').join(', ')})`)
        .run(...values);
    }
  }
  database.close();
}
