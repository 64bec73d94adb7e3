import { EngineError } from './errors.js';
import { snapshotTables } from './snapshot-table.js';
import type { SqliteDatabase } from './sqlite.js';

/** `SKMT`, in the header of every journal. */
const applicationId = 0x534b4d54;
/** Version of the journal's format, as docs/format.md describes it. */
export const formatVersion = 1;
/** First SQLite without the WAL-reset corruption bug (https://sqlite.org/wal.html). */
const sqliteVersionMin = '3.51.3';

const tables: readonly string[] = [
  `CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value ANY NOT NULL,
    checksum INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID`,
  `CREATE TABLE journal_transaction (
    id INTEGER PRIMARY KEY CHECK (id > 0),
    uuid TEXT NOT NULL,
    stage TEXT NOT NULL,
    message TEXT NOT NULL,
    committed_at INTEGER NOT NULL,
    boot_id TEXT NOT NULL,
    change_count INTEGER NOT NULL,
    row_count INTEGER NOT NULL,
    displaced_bytes INTEGER NOT NULL,
    flush TEXT NOT NULL,
    annotations TEXT NOT NULL,
    previous_chain BLOB NOT NULL CHECK (length(previous_chain) = 32),
    chain BLOB NOT NULL CHECK (length(chain) = 32),
    state TEXT NOT NULL CHECK (state IN ('committed', 'undoing', 'settled', 'rolled-back')),
    trouble TEXT CHECK (trouble IN ('blocked', 'damaged')),
    reason TEXT,
    checksum INTEGER NOT NULL
  ) STRICT`,
  // Empty nearly always: a commit need not write to it.
  `CREATE INDEX journal_troubled ON journal_transaction (id) WHERE trouble IS NOT NULL`,
  `CREATE TABLE journal_change (
    transaction_id INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    unit INTEGER NOT NULL,
    act TEXT NOT NULL CHECK (act IN ('create', 'replace', 'remove', 'set-mode', 'member')),
    slot TEXT,
    path TEXT NOT NULL,
    before_kind TEXT NOT NULL CHECK (before_kind IN ('absent', 'file', 'directory', 'symlink')),
    before_sha256 BLOB,
    before_size INTEGER,
    before_mode INTEGER,
    before_target TEXT,
    after_kind TEXT NOT NULL CHECK (after_kind IN ('absent', 'file', 'directory', 'symlink')),
    after_sha256 BLOB,
    after_size INTEGER,
    after_mode INTEGER,
    after_target TEXT,
    superseded TEXT,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (transaction_id, sequence)
  ) STRICT, WITHOUT ROWID`,
  ...snapshotTables,
];

/** As {@link requireOurSchema} compares it. */
const expectedSql = tables.map(normalise).toSorted();

/** Makes every table of an empty journal, inside the caller's transaction. */
export function createSchema(database: SqliteDatabase): void {
  for (const table of tables) database.exec(table);
  database.pragma(`application_id = ${String(applicationId)}`);
  database.pragma(`user_version = ${String(formatVersion)}`);
}

/**
 * Makes a connection safe and durable. Must run before any other statement: a journal may come
 * from a stranger's archive.
 *
 * @throws {EngineError} `SQLITE_UNSUITABLE`.
 */
export function prepareConnection(database: SqliteDatabase): void {
  // guard: schema-not-trusted
  database.exec('PRAGMA trusted_schema = OFF');
  database.exec('PRAGMA cell_size_check = ON');
  database.exec('PRAGMA mmap_size = 0');
  const version = String(database.prepare('SELECT sqlite_version()').pluck().get());
  // guard: sqlite-version [if false]
  if (comparable(version) < comparable(sqliteVersionMin)) {
    throw new EngineError(
      'SQLITE_UNSUITABLE',
      `SQLite ${version} can corrupt its write-ahead log; ${sqliteVersionMin} or newer is needed`,
      { hint: 'Install skillmeat again: it brings an SQLite that is new enough.' },
    );
  }
}

/**
 * Sets what durability rests on, and reads it back: better-sqlite3 opens an existing WAL database
 * with `synchronous = NORMAL`, which loses commits when the power fails (I2).
 *
 * @throws {EngineError} `SQLITE_UNSUITABLE`.
 */
export function requireDurability(database: SqliteDatabase): void {
  const mode = database.pragma('journal_mode = WAL', { simple: true });
  // guard: journal-sync
  database.exec('PRAGMA synchronous = FULL');
  database.exec('PRAGMA wal_autocheckpoint = 0');
  if (process.platform === 'darwin') {
    // A plain fsync does not reach the platter there.
    database.pragma('fullfsync = ON');
    database.pragma('checkpoint_fullfsync = ON');
  }
  const synchronous = database.pragma('synchronous', { simple: true });
  // guard: journal-durable [if true]
  if (mode === 'wal' && synchronous === 2) return;
  throw new EngineError(
    'SQLITE_UNSUITABLE',
    `the journal cannot be made durable here: journal_mode=${String(mode)}, synchronous=${String(synchronous)}; expected wal and 2`,
    { hint: 'Move the directory to a local file system.' },
  );
}

/**
 * Refuses a database that is not a journal of ours, to the letter: triggers and views in a cloned
 * directory are somebody else's program.
 *
 * @throws {EngineError} `JOURNAL_FOREIGN`, `STORE_FORMAT_NEWER`.
 */
export function requireOurSchema(database: SqliteDatabase, path: string): void {
  const id = database.pragma('application_id', { simple: true });
  // guard: application-id [if false]
  if (id !== applicationId) {
    throw foreign(path, `application_id is ${String(id)}, expected ${String(applicationId)}`);
  }
  const version = Number(database.pragma('user_version', { simple: true }));
  // guard: format-newer [if false]
  if (version > formatVersion) {
    throw new EngineError(
      'STORE_FORMAT_NEWER',
      `${path} has format ${String(version)}; this program knows formats up to ${String(formatVersion)}`,
      { path, hint: 'Install a newer skillmeat.' },
    );
  }
  // guard: format-known
  if (version !== formatVersion) throw foreign(path, `user_version is ${String(version)}`);
  const found = database
    // SQLite's own indexes have no text.
    .prepare<[], { sql: string }>('SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL')
    .all()
    .map((row) => normalise(row.sql))
    .toSorted();
  const { length } = expectedSql;
  // guard: schema-tables [if true]
  if (found.length === length && found.every((sql, i) => sql === expectedSql[i])) return;
  throw foreign(path, 'its tables are not those of a journal');
}

function foreign(path: string, found: string): EngineError {
  return new EngineError('JOURNAL_FOREIGN', `${path} is not a journal of this program: ${found}`, {
    path,
    hint: 'Do not trust this .skillmeat directory; move it away and run: skillmeat txn init',
  });
}

function normalise(sql: string): string {
  return sql.replaceAll(/\s+/g, ' ').trim();
}

/** A version as a text that comes before those of later ones. */
function comparable(version: string): string {
  return version.replaceAll(/[0-9]+/g, (part) => part.padStart(8, '0'));
}
