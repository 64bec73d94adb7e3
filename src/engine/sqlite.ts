import { createRequire } from 'node:module';
import type Database from 'better-sqlite3';
import { EngineError } from './errors.js';

export type SqliteDatabase = Database.Database;

/** Version 12 aborts processes of Node 24, version 13 those of Node 20: docs/decisions/0004. */
const nodeOfDriver13 = 22;

const require = createRequire(import.meta.url);

/**
 * Opens a database file, which is made when there is none.
 *
 * @throws {EngineError} `SQLITE_UNSUITABLE` when the driver is not installed; `IO_FAILED` when the
 * directory of the file cannot be found or looked at.
 */
export function openDatabase(path: string, options: Database.Options = {}): SqliteDatabase {
  const Driver = sqliteDriver();
  try {
    return new Driver(path, options);
  } catch (cause) {
    // The driver looks for the directory itself, and takes every error for a mistake of the caller.
    if (!(cause instanceof TypeError)) throw cause;
    throw new EngineError('IO_FAILED', `cannot open ${path}: ${cause.message}`, {
      path,
      cause,
      hint: 'Look at the directory of that file, its owner and mode, and at the disk.',
    });
  }
}

/**
 * Returns what the functions return, each called when its value is first asked for: preparing a
 * statement costs more than running it, and most openings need a third of them.
 */
export function preparedWhenUsed<Statements extends object>(
  prepare: {
    readonly [Name in keyof Statements]: () => Statements[Name];
  },
): Statements {
  const prepared = {};
  for (const [name, prepareOne] of Object.entries<() => unknown>(prepare)) {
    const get = (): unknown => {
      const value = prepareOne();
      Object.defineProperty(prepared, name, { value });
      return value;
    };
    Object.defineProperty(prepared, name, { get, configurable: true });
  }
  return prepared as Statements;
}

/** Returns the driver for this Node. @throws {EngineError} `SQLITE_UNSUITABLE`. */
export function sqliteDriver(): typeof Database {
  const nodeMajor = Number.parseInt(process.versions.node, 10);
  try {
    const driver: unknown =
      nodeMajor < nodeOfDriver13 ? require('better-sqlite3-node20') : require('better-sqlite3');
    return driver as typeof Database;
  } catch (cause) {
    throw new EngineError(
      'SQLITE_UNSUITABLE',
      `better-sqlite3 is not installed for Node ${process.versions.node}`,
      { cause, hint: 'Install skillmeat again with this Node, optional dependencies included.' },
    );
  }
}
