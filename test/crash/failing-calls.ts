import fs from 'node:fs';
import type { FileSystem, OpenFile } from '../../src/engine/file-system.js';
import {
  type FileSystemCall,
  type FileSystemMethod,
  systemError,
  watchedFileSystem,
} from '../support/faults.js';
import type { NativeMode } from './recovered-state.js';

/** What a call may fail with that is nobody's mistake. */
export const systemErrors = [
  'ENOSPC',
  'EDQUOT',
  'EIO',
  'EACCES',
  'EMFILE',
  'EROFS',
  'EINTR',
  'EBUSY',
] as const;

/**
 * `once`: one call fails. `method`: from that call on, each of its kind. `all`: from that call on,
 * every call, as on a disk that is gone.
 */
export const reaches = ['once', 'method', 'all'] as const;

export interface CallFault {
  /** Which call fails, from 1. */
  readonly at: number;
  readonly errno: (typeof systemErrors)[number];
  readonly reach: (typeof reaches)[number];
  /** Whether half of what it was to write is written all the same. */
  readonly isTorn: boolean;
}

/** The real file system, whose calls are counted and fail from the outside. */
export interface FailingFileSystem {
  readonly files: FileSystem;
  /** Names of the calls since {@link arm}. */
  readonly calls: readonly FileSystemMethod[];
  readonly failures: number;
  /** Counts from here; without a fault it only counts. */
  arm(fault?: CallFault): void;
  heal(): void;
}

/** These ask nobody: the real ones cannot fail, or fail without a word. */
const unfailing: ReadonlySet<FileSystemMethod> = new Set([
  'processOwner',
  'unlock',
  'close',
  'closeDirectory',
  'closeFile',
  'hasWriter',
]);

/** @param refuseExchange which exchange of two names fails with EACCES besides, from 1. */
export function failingFileSystem(native: NativeMode, refuseExchange?: number): FailingFileSystem {
  let exchanges = 0;
  let calls: FileSystemMethod[] = [];
  let failures = 0;
  let isArmed = false;
  let fault: CallFault | undefined;
  let failing: FileSystemMethod | undefined;
  const isHit = ({ method }: FileSystemCall, { at, reach }: CallFault): boolean => {
    if (calls.length < at) return false;
    if (calls.length === at) failing = method;
    return calls.length === at || reach === 'all' || (reach === 'method' && method === failing);
  };
  const files = watchedFileSystem(native, (call, real) => {
    if (!isArmed || unfailing.has(call.method)) return;
    calls.push(call.method);
    if (call.method === 'exchange' && (exchanges += 1) === refuseExchange) {
      throw systemError('EACCES');
    }
    if (fault === undefined || !isHit(call, fault)) return;
    failures += 1;
    // The system lets go of a descriptor also when closing it reports an error.
    if (call.method === 'closeWritten') Reflect.apply(real[call.method], real, call.values);
    if (fault.isTorn) writeHalf(call);
    throw systemError(fault.errno);
  });
  return {
    files,
    get calls() {
      return calls;
    },
    get failures() {
      return failures;
    },
    arm(given) {
      calls = [];
      failures = 0;
      failing = undefined;
      fault = given;
      isArmed = true;
    },
    heal() {
      isArmed = false;
    },
  };
}

export function writesBytes(method: FileSystemMethod): boolean {
  return method === 'write' || method === 'writeSync' || method === 'writeRecord';
}

function writeHalf({ method, values }: FileSystemCall): void {
  if (!writesBytes(method)) return;
  const [{ descriptor }, content] = values as [OpenFile, string | Uint8Array];
  const bytes = Buffer.from(content);
  fs.writeSync(descriptor, bytes, 0, bytes.length >> 1, method === 'writeRecord' ? 0 : null);
}
