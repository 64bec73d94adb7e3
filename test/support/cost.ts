import fs from 'node:fs';
import { relative } from 'node:path';
import { afterEach, beforeEach, vi } from 'vitest';
import type { Statement } from 'better-sqlite3';
import { engineDirectoryName } from '../../src/engine/path.js';
import type { FileSystem, OpenFile, Place } from '../../src/engine/file-system.js';
import { openDatabase, sqliteDriver } from '../../src/engine/sqlite.js';
import { watchedFileSystem } from './faults.js';
import type { Mode } from './store.js';

/*
 * What a piece of work costs, in numbers that are the same on every machine: how often the disk and
 * SQLite are asked for something, and how many bytes are written.
 */

/** Each a list such as `exchange 1, stat 5`, sorted by name; empty when there is none. */
export interface Cost {
  /** Calls at the engine's file-system seam, by method. */
  readonly calls: string;
  /**
   * What waits for the disk: `syncfs`, `fsync` of plain Node, `commit` of SQLite with a sync (an
   * `unsynced commit` is without), `checkpoint` of its log.
   */
  readonly flushes: string;
  /** Statements that SQLite ran, by their first word. */
  readonly statements: string;
  /** By where they are written: `log` of SQLite, `owner`, `scan-cache` and directories of `.skillmeat`. */
  readonly bytes: string;
}

export interface Meter {
  /** Give this to the store that is looked at. */
  readonly files: FileSystem;
  /** Returns what `act` cost. */
  readonly cost: (act: () => unknown) => Promise<Cost>;
}

/**
 * Stops the clock for each test that this is called for: a slow machine must not let the event loop
 * turn more often, for then the fence is looked at.
 */
export function useStoppedClock(): void {
  beforeEach(() => {
    vi.spyOn(performance, 'now').mockReturnValue(0);
  });
  afterEach(() => {
    vi.restoreAllMocks();
  });
}

class Tally {
  readonly #counts = new Map<string, number>();

  add(name: string, count = 1): void {
    if (count > 0) this.#counts.set(name, (this.#counts.get(name) ?? 0) + count);
  }

  clear(): void {
    this.#counts.clear();
  }

  toString(): string {
    return [...this.#counts]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, count]) => `${name} ${String(count)}`)
      .join(', ');
  }
}

/** Counts what stores of `root` cost that work through the meter's file system. */
export function costMeter(mode: Mode, root: string): Meter {
  const [calls, flushes, statements, bytes] = [new Tally(), new Tally(), new Tally(), new Tally()];
  const partOf = new Map<number, string>();
  const files = watchedFileSystem(mode, ({ method, values }, real) => {
    calls.add(method);
    if (method === 'barrier' && mode === 'auto') flushes.add('syncfs');
    else if (method === 'writeRecord') bytes.add('owner', recordBytes);
    else if (method === 'write' || method === 'writeSync') {
      const [file, piece] = values as [OpenFile, Uint8Array];
      bytes.add(partOf.get(file.descriptor) ?? 'elsewhere', piece.length);
    } else if (method === 'createFile') {
      const [place, permissions] = values as [Place, number];
      return () => {
        const file = real.createFile(place, permissions);
        partOf.set(file.descriptor, partAt(relative(root, real.pathOf(place))));
        return file;
      };
    }
    return undefined;
  });
  const logBytes = (): number =>
    fs.statSync(`${root}/${engineDirectoryName}/journal.db-wal`, { throwIfNoEntry: false })?.size ??
    0;
  return {
    files,
    cost: async (act) => {
      for (const tally of [calls, flushes, statements, bytes]) tally.clear();
      const { fsyncSync } = fs;
      const fsync = vi.spyOn(fs, 'fsyncSync').mockImplementation((descriptor) => {
        flushes.add('fsync');
        fsyncSync(descriptor);
      });
      const before = logBytes();
      const stop = watchSqlite((sql) => {
        countStatement(sql, { flushes, statements });
      });
      try {
        await act();
      } finally {
        stop();
        fsync.mockRestore();
      }
      // A log that was emptied has been counted by its checkpoint.
      bytes.add('log', Math.max(0, logBytes() - before));
      return {
        calls: calls.toString(),
        flushes: flushes.toString(),
        statements: statements.toString(),
        bytes: bytes.toString(),
      };
    },
  };
}

/** `writeRecord` always writes a whole record. */
const recordBytes = 1_024;

/** `.skillmeat/stage/1-x.1` is in `stage`, whatever the root holds in the root. */
function partAt(path: string): string {
  const [first, part = ''] = path.split('/');
  return first === engineDirectoryName ? part.replace(/\..*/, '') : 'root';
}

/** Whether the connection that commits was told to sync. */
let isSynced = true;

function countStatement(
  sql: string,
  { flushes, statements }: { readonly flushes: Tally; readonly statements: Tally },
): void {
  for (const statement of sql.split(';')) {
    const [word = '', name = ''] = statement.trim().split(/\s+/);
    if (word === '') continue;
    statements.add(word);
    if (word === 'COMMIT') flushes.add(isSynced ? 'commit' : 'unsynced commit');
    else if (name.startsWith('wal_checkpoint')) flushes.add('checkpoint');
    else if (/^PRAGMA synchronous *=/.test(statement)) isSynced = !statement.includes('NORMAL');
  }
}

type Method = (...values: unknown[]) => unknown;

/** Calls `onRun` with each statement that a connection of this process runs, until told to stop. */
function watchSqlite(onRun: (sql: string) => void): () => void {
  const connections = sqliteDriver().prototype as unknown as Record<string, Method>;
  const scratch = openDatabase(':memory:');
  const prepared = Object.getPrototypeOf(scratch.prepare('SELECT 1')) as Record<string, Method>;
  scratch.close();
  const watched = [
    ...['run', 'get', 'all', 'iterate'].map((name) =>
      watch(prepared, name, (statement) => {
        onRun((statement as Statement).source);
      }),
    ),
    watch(connections, 'exec', (_connection, sql) => {
      onRun(String(sql));
    }),
    watch(connections, 'pragma', (_connection, sql) => {
      onRun(`PRAGMA ${String(sql)}`);
    }),
  ];
  return () => {
    for (const unwatch of watched) unwatch();
  };
}

/** Calls `before` ahead of each call of a method of a prototype. Returns what ends that. */
function watch(
  prototype: Record<string, Method>,
  name: string,
  before: (self: unknown, value: unknown) => void,
): () => void {
  const original = prototype[name];
  if (original === undefined) throw new Error(`SQLite's driver has no ${name}`);
  prototype[name] = function watched(this: unknown, ...values: unknown[]): unknown {
    before(this, values[0]);
    return Reflect.apply(original, this, values);
  };
  return () => {
    prototype[name] = original;
  };
}
