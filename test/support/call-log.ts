import { join, relative } from 'node:path';
import type { FileSystem, Place } from '../../src/engine/file-system.js';
import { openDatabase } from '../../src/engine/sqlite.js';
import { type FileSystemCall, type FileSystemMethod, watchedFileSystem } from './faults.js';
import type { Mode } from './store.js';

/*
 * What a store asks of the file system, in order, and what its journal says at each barrier: for
 * tests of what must be on disk before what.
 */

const logged: ReadonlySet<FileSystemMethod> = new Set<FileSystemMethod>([
  'createFile',
  'exchange',
  'makeDirectory',
  'makeLink',
  'moveNew',
  'moveOwn',
  'mustReachDisk',
  'removeDirectory',
  'removeFile',
  'setMode',
  'setModeOf',
  'writeSync',
]);

export interface CallLog {
  /** Give this to the store that is looked at. */
  readonly files: FileSystem;
  /**
   * `method place place`, places relative to the root, numbers of contents as they are. For a barrier:
   * `barrier head 2 unsettled 1 snapshots 0`, or `barrier` without a journal.
   */
  readonly calls: readonly string[];
  /** Forgets what was logged. */
  readonly clear: () => void;
}

/** @param before may act, or throw in the place of a call. */
export function logCalls(
  mode: Mode,
  root: string,
  before: (call: FileSystemCall) => void = () => undefined,
): CallLog {
  const calls: string[] = [];
  const files = watchedFileSystem(mode, (call, real) => {
    const { method, values } = call;
    if (method === 'barrier') calls.push(['barrier', ...journalOf(root)].join(' '));
    else if (logged.has(method)) {
      const places = values.filter(isPlace).map((place) => relative(root, real.pathOf(place)));
      calls.push([method, ...places].join(' '));
    }
    before(call);
  });
  const clear = (): void => {
    calls.length = 0;
  };
  return { files, calls, clear };
}

/** What the journal says now, as another connection sees it. */
function journalOf(root: string): readonly string[] {
  let database;
  try {
    database = openDatabase(join(root, '.skillmeat/journal.db'), {
      readonly: true,
      fileMustExist: true,
    });
  } catch {
    return [];
  }
  try {
    const count = (from: string): string =>
      String(database.prepare(`SELECT count(*) FROM ${from}`).pluck().get());
    return [
      `head ${count('journal_transaction')}`,
      `unsettled ${count("journal_transaction WHERE state IN ('committed', 'undoing')")}`,
      `snapshots ${count('snapshot')}`,
    ];
  } finally {
    database.close();
  }
}

/**
 * Returns the calls from the last that matches `last` to the first after it that matches `first`,
 * without these two. What is to be between them can be looked for there.
 */
export function between(calls: readonly string[], last: RegExp, first: RegExp): readonly string[] {
  const end = calls.findIndex((call) => first.test(call));
  if (end < 0) throw new Error(`no call is ${String(first)}:\n${calls.join('\n')}`);
  const start = calls.slice(0, end).findLastIndex((call) => last.test(call));
  if (start < 0) throw new Error(`no call before is ${String(last)}:\n${calls.join('\n')}`);
  return calls.slice(start + 1, end);
}

function isPlace(value: unknown): value is Place {
  return typeof value === 'object' && value !== null && 'directory' in value && 'name' in value;
}
