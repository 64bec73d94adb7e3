import type { SqliteDatabase } from './sqlite.js';

/** How much of a database is unused before it is worth while to write it anew. */
const unusedShareMin = 1 / 4;
const unusedBytesMin = 1_048_576;

/** Tells whether much of a database's file is pages that nothing uses. */
export function hasManyUnusedPages(database: SqliteDatabase): boolean {
  const ask = (name: string): number => Number(database.pragma(name, { simple: true }));
  const unused = ask('freelist_count');
  return (
    unused >= ask('page_count') * unusedShareMin && unused * ask('page_size') >= unusedBytesMin
  );
}

/**
 * Writes a database anew without them, as one transaction of SQLite, which changes nothing that it
 * says. The file becomes smaller with the next checkpoint of its log. It must be sound: rows that a
 * damaged page hides are not written.
 */
export function writeWithoutUnusedPages(database: SqliteDatabase): void {
  // I8: the copy would be a file wherever SQLite likes.
  database.exec('PRAGMA temp_store = MEMORY');
  try {
    database.exec('VACUUM');
  } finally {
    database.exec('PRAGMA temp_store = DEFAULT');
  }
}
