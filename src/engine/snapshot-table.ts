import { type ColumnType, hasColumnTypes } from './column-types.js';
import { EngineError } from './errors.js';
import { checksumOf, type ContentHash } from './hash.js';
import type { MetaTable } from './meta-table.js';
import { preparedWhenUsed, type SqliteDatabase } from './sqlite.js';
/** One snapshot, as the journal has it. */
export interface SnapshotRow {
  /** From 1; never given twice. */
  readonly id: number;
  readonly name: string | undefined;
  readonly message: string;
  readonly tags: readonly string[];
  readonly isPinned: boolean;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  /** Number of the newest transaction then. */
  readonly head: number;
  /** Of the root's listing. */
  readonly sha256: ContentHash;
  readonly files: number;
  readonly directories: number;
  readonly links: number;
  readonly bytes: number;
  readonly leftOut: number;
  /** What it left out on purpose. */
  readonly patterns: readonly string[];
  readonly fileBytesMax: number | undefined;
  /** When it was put into the trash, in milliseconds since 1970; `undefined`: it is not there. */
  readonly deletedAt: number | undefined;
}

export type NewSnapshot = Omit<SnapshotRow, 'id'>;

export const snapshotTables: readonly string[] = [
  `CREATE TABLE snapshot (
    id INTEGER PRIMARY KEY CHECK (id > 0),
    name TEXT,
    message TEXT NOT NULL,
    tags TEXT NOT NULL,
    is_pinned INTEGER NOT NULL CHECK (is_pinned IN (0, 1)),
    created_at INTEGER NOT NULL,
    head INTEGER NOT NULL,
    sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
    file_count INTEGER NOT NULL,
    directory_count INTEGER NOT NULL,
    link_count INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    left_out_count INTEGER NOT NULL,
    patterns TEXT NOT NULL,
    file_bytes_max INTEGER,
    deleted_at INTEGER,
    checksum INTEGER NOT NULL
  ) STRICT`,
];

/** Of the newest snapshot that ever was, so that no number is given twice. */
const lastIdKey = 'last_snapshot';

/** How the journal runs statements: with its own errors, and in one synced step. */
export interface TableAccess {
  readonly database: SqliteDatabase;
  readonly path: string;
  readonly reading: <T>(read: () => T) => T;
  readonly writing: (write: () => void) => void;
  readonly meta: MetaTable;
  /** SQLite checks its pages. @throws {EngineError} `JOURNAL_DAMAGED`. */
  readonly requireSound: () => void;
  /** Inside {@link writing}. @throws {EngineError} `FENCED`. */
  readonly requireEpoch: (epoch: number) => void;
}

/** One row, as {@link SnapshotTable.examine} found it. */
export interface ExaminedSnapshot {
  readonly id: number;
  /** `undefined`: it does not match its checksum. */
  readonly row: SnapshotRow | undefined;
  /** What it says all the same; `undefined`: nothing that can be read. */
  readonly claimed: SnapshotRow | undefined;
}

/** The table `snapshot` of a journal. */
export class SnapshotTable {
  readonly #access: TableAccess;
  readonly #statements: ReturnType<typeof prepareStatements>;

  constructor(access: TableAccess) {
    this.#access = access;
    this.#statements = prepareStatements(access.database);
  }

  /** Those that are not deleted, newest first, each checked. @throws {EngineError} `JOURNAL_DAMAGED`. */
  list(): readonly SnapshotRow[] {
    return this.all().filter(({ deletedAt }) => deletedAt === undefined);
  }

  /** What is in the trash, that with the greatest number first. */
  deleted(): readonly SnapshotRow[] {
    return this.#checked(this.#statements.deleted);
  }

  /** Those that are deleted as well: what they name must stay. */
  all(): readonly SnapshotRow[] {
    return this.#checked(this.#statements.list);
  }

  /** Every row, newest first, whether it matches its checksum or not. */
  examine(): readonly ExaminedSnapshot[] {
    return this.#access.reading(() =>
      this.#statements.list.all().map((stored) => ({
        id: Number(stored.id),
        row: sound(stored),
        claimed: toRow(stored),
      })),
    );
  }

  byName(name: string): SnapshotRow | undefined {
    return this.list().find((row) => row.name === name);
  }

  /**
   * Writes a snapshot, synced. Its objects are on disk.
   *
   * @param noted what else to say in `meta`, in the same step.
   * @throws {EngineError} `FENCED`, `DISK_FULL`.
   */
  add(
    snapshot: NewSnapshot,
    epoch: number,
    noted: Readonly<Record<string, string>> = {},
  ): SnapshotRow {
    let row: SnapshotRow | undefined;
    this.#access.writing(() => {
      // guard: snapshot-add-fence
      this.#access.requireEpoch(epoch);
      row = this.insert(snapshot, noted);
    });
    if (row === undefined) throw new Error('bug: the row was written');
    return row;
  }

  /** As {@link add}, inside a step that the caller writes. */
  insert(snapshot: NewSnapshot, noted: Readonly<Record<string, string>>): SnapshotRow {
    const last = Number(this.#access.meta.get(lastIdKey) ?? 0);
    const row = { ...snapshot, id: last + 1 };
    this.#statements.insert.run(...valuesOf(row), checksumOf(rowText(row)));
    this.#access.meta.set(lastIdKey, row.id);
    for (const [key, value] of Object.entries(noted)) this.#access.meta.set(key, value);
    return row;
  }

  /** Forgets a snapshot for good, synced. Its objects stay until they are collected. */
  remove(id: number, epoch: number): void {
    this.#access.writing(() => {
      // guard: snapshot-remove-fence
      this.#access.requireEpoch(epoch);
      this.#statements.remove.run(id);
    });
  }

  /** Writes a row anew, with its checksum, synced. */
  rewrite(row: SnapshotRow, epoch: number): void {
    this.#access.writing(() => {
      // guard: snapshot-rewrite-fence
      this.#access.requireEpoch(epoch);
      this.#statements.remove.run(row.id);
      this.#statements.insert.run(...valuesOf(row), checksumOf(rowText(row)));
    });
  }

  #checked(rows: ReturnType<typeof prepareStatements>['list']): readonly SnapshotRow[] {
    this.#access.requireSound();
    return this.#access.reading(() => rows.all().map((row) => this.#check(row)));
  }

  #check(stored: StoredSnapshot): SnapshotRow {
    const row = sound(stored);
    // guard: snapshot-row-sound [if true]
    if (row !== undefined) return row;
    throw new EngineError(
      'JOURNAL_DAMAGED',
      `${this.#access.path} is damaged: snapshot ${String(stored.id)} does not match its checksum`,
      {
        path: this.#access.path,
        hint: 'Keep a copy of the .skillmeat directory, then delete this snapshot.',
      },
    );
  }
}

/** Read with 64-bit integers, for the checksum's sake. */
interface StoredSnapshot {
  id: bigint;
  name: string | null;
  message: string;
  tags: string;
  is_pinned: bigint;
  created_at: bigint;
  head: bigint;
  sha256: Buffer;
  file_count: bigint;
  directory_count: bigint;
  link_count: bigint;
  bytes: bigint;
  left_out_count: bigint;
  patterns: string;
  file_bytes_max: bigint | null;
  deleted_at: bigint | null;
  checksum: bigint;
}

const columnTypes: Readonly<Record<keyof StoredSnapshot, ColumnType>> = {
  id: 'integer',
  name: 'text?',
  message: 'text',
  tags: 'text',
  is_pinned: 'integer',
  created_at: 'integer',
  head: 'integer',
  sha256: 'blob',
  file_count: 'integer',
  directory_count: 'integer',
  link_count: 'integer',
  bytes: 'integer',
  left_out_count: 'integer',
  patterns: 'text',
  file_bytes_max: 'integer?',
  deleted_at: 'integer?',
  checksum: 'integer',
};

function rowText(row: SnapshotRow): string {
  const [id, name, message, tags, isPinned, createdAt, head, , ...rest] = valuesOf(row);
  const values = [id, name, message, tags, isPinned, createdAt, head, row.sha256, ...rest];
  return `${JSON.stringify(values)}\n`;
}

function valuesOf(row: SnapshotRow): readonly (string | number | Buffer | null)[] {
  return [
    row.id,
    row.name ?? null,
    row.message,
    JSON.stringify(row.tags),
    row.isPinned ? 1 : 0,
    row.createdAt,
    row.head,
    Buffer.from(row.sha256, 'hex'),
    row.files,
    row.directories,
    row.links,
    row.bytes,
    row.leftOut,
    JSON.stringify(row.patterns),
    row.fileBytesMax ?? null,
    row.deletedAt ?? null,
  ];
}

/** `undefined` for a row that does not match its checksum. */
function sound(stored: StoredSnapshot): SnapshotRow | undefined {
  const row = toRow(stored);
  // guard: snapshot-checksum [checksumOf(rowText(row)) === stored.checksum becomes true]
  return row !== undefined && checksumOf(rowText(row)) === stored.checksum ? row : undefined;
}

/** `undefined` for what this program cannot have written. */
function toRow(stored: StoredSnapshot): SnapshotRow | undefined {
  if (!hasColumnTypes(stored, columnTypes)) return undefined;
  const tags = parseTexts(stored.tags);
  const patterns = parseTexts(stored.patterns);
  if (tags === undefined || patterns === undefined) return undefined;
  return {
    id: Number(stored.id),
    name: stored.name ?? undefined,
    message: stored.message,
    tags,
    isPinned: stored.is_pinned === 1n,
    createdAt: Number(stored.created_at),
    head: Number(stored.head),
    // 32 bytes, as the table demands.
    sha256: stored.sha256.toString('hex') as ContentHash,
    files: Number(stored.file_count),
    directories: Number(stored.directory_count),
    links: Number(stored.link_count),
    bytes: Number(stored.bytes),
    leftOut: Number(stored.left_out_count),
    patterns,
    fileBytesMax: stored.file_bytes_max === null ? undefined : Number(stored.file_bytes_max),
    deletedAt: stored.deleted_at === null ? undefined : Number(stored.deleted_at),
  };
}

function parseTexts(text: string): readonly string[] | undefined {
  try {
    const values: unknown = JSON.parse(text);
    if (!Array.isArray(values)) return undefined;
    return values.every((value): value is string => typeof value === 'string') ? values : undefined;
  } catch {
    return undefined;
  }
}

function prepareStatements(database: SqliteDatabase) {
  return preparedWhenUsed({
    list: () =>
      database
        .prepare<[], StoredSnapshot>('SELECT * FROM snapshot ORDER BY id DESC')
        .safeIntegers(true),
    // Each snapshot that is taken looks whether the trash is due; there may be thousands besides.
    deleted: () =>
      database
        .prepare<[], StoredSnapshot>(
          'SELECT * FROM snapshot WHERE deleted_at IS NOT NULL ORDER BY id DESC',
        )
        .safeIntegers(true),
    insert: () =>
      database.prepare(
        `INSERT INTO snapshot (id, name, message, tags, is_pinned, created_at, head, sha256, file_count,
          directory_count, link_count, bytes, left_out_count, patterns, file_bytes_max, deleted_at, checksum)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      ),
    remove: () => database.prepare<[number]>('DELETE FROM snapshot WHERE id = ?'),
  });
}
