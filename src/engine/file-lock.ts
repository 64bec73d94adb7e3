import path from 'node:path';
import { fromSystemErrorOnly, systemCode } from './errors.js';
import type { Directory, OpenFile, Place } from './file-system.js';
import { NodeFileSystem } from './node-file-system.js';
import { openDatabase, type SqliteDatabase } from './sqlite.js';

/** Files that this process has: without the native part a second look at one would let go of it. */
const held = new Set<string>();

/**
 * A file that one holder at a time has. The kernel lets go of it when the holder dies, so whoever
 * gets it knows that nobody uses what it stands for; nothing is judged by age or process number.
 */
export class FileLock implements Disposable {
  readonly #letGo: () => void;
  #isHeld = true;

  /** Made by {@link tryFileLock}. */
  constructor(letGo: () => void) {
    this.#letGo = letGo;
  }

  /** Lets go; the file stays. */
  [Symbol.dispose](): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    this.#letGo();
  }
}

/**
 * Takes the lock on the file at `location`, an absolute path, which is made when there is none; its
 * directory must be there. Never waits.
 *
 * @returns `undefined` when somebody else has it, or removed the file meanwhile.
 * @throws {EngineError} `PERMISSION_DENIED`, `DISK_FULL`, … ; `SQLITE_UNSUITABLE`.
 */
export function tryFileLock(
  location: string,
  options: { readonly native?: 'auto' | 'off' | undefined } = {},
): FileLock | undefined {
  const files = new NodeFileSystem({ native: options.native ?? 'auto' });
  try {
    const directory = files.openRoot(path.dirname(location));
    try {
      return tryLockIn(files, { directory, name: path.basename(location) });
    } finally {
      files.closeDirectory(directory);
    }
  } catch (error) {
    // The directory went with whoever had it.
    if (systemCode(error) === 'ENOENT') return undefined;
    throw fromSystemErrorOnly(error, 'lock', location);
  }
}

function tryLockIn(files: NodeFileSystem, place: Place): FileLock | undefined {
  const before = files.stat(place);
  if (before !== undefined && held.has(keyOf(place.directory, before.inode))) return undefined;
  const file = files.openRecord(place);
  const key = keyOf(place.directory, files.statFile(file).inode);
  const letGo =
    files.capabilities.native === 'off' ? lockBySqlite(files, place, file) : lock(files, file);
  if (letGo === undefined) return undefined;
  const after = files.stat(place);
  // A lock on a file that was removed before we got it excludes nobody.
  if (after === undefined || keyOf(place.directory, after.inode) !== key) {
    letGo();
    return undefined;
  }
  held.add(key);
  return new FileLock(() => {
    held.delete(key);
    letGo();
  });
}

function lock(files: NodeFileSystem, file: OpenFile): (() => void) | undefined {
  let isTaken = false;
  try {
    isTaken = files.tryLock(file);
  } finally {
    if (!isTaken) files.closeFile(file);
  }
  return isTaken
    ? () => {
        files.closeFile(file);
      }
    : undefined;
}

/** As the writer lock does it: SQLite locks the very bytes that the native part locks. */
function lockBySqlite(
  files: NodeFileSystem,
  place: Place,
  file: OpenFile,
): (() => void) | undefined {
  files.closeFile(file);
  let database: SqliteDatabase | undefined;
  try {
    database = openDatabase(files.pathOf(place), { timeout: 0 });
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  } catch (error) {
    database?.close();
    // Held; or removed since we made it.
    const code = systemCode(error);
    if (code !== undefined && /^SQLITE_(?:BUSY|CANTOPEN)/.test(code)) return undefined;
    throw error;
  }
  return () => {
    database.close();
  };
}

function keyOf(directory: Directory, inode: bigint): string {
  return `${String(directory.device)}:${String(inode)}`;
}
