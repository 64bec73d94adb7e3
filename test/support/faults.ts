import type { FileSystem } from '../../src/engine/file-system.js';
import { NodeFileSystem } from '../../src/engine/node-file-system.js';
import type { Mode } from './store.js';

export type FileSystemMethod = {
  [Name in keyof FileSystem]: FileSystem[Name] extends (...values: never[]) => unknown
    ? Name
    : never;
}[keyof FileSystem];

/** A call that is about to be made. */
export interface FileSystemCall {
  readonly method: FileSystemMethod;
  readonly values: readonly unknown[];
}

const asynchronous: ReadonlySet<string> = new Set([
  'read',
  'write',
  'barrier',
  'keepExtendedAttributes',
] satisfies FileSystemMethod[]);

/**
 * The real file system, with `before` called ahead of each call: it may throw in its place, or
 * return a function whose result stands for that of the call.
 */
export function watchedFileSystem(
  mode: Mode,
  before: (call: FileSystemCall, real: FileSystem) => (() => unknown) | undefined | void,
): FileSystem {
  const real = new NodeFileSystem({ native: mode });
  return new Proxy<FileSystem>(real, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      const call = (...values: unknown[]): unknown => {
        const instead = before({ method: name as FileSystemMethod, values }, real);
        return instead === undefined ? Reflect.apply(value, target, values) : instead();
      };
      // A method that gives a promise never throws at once.
      return asynchronous.has(String(name))
        ? async (...values: unknown[]) => call(...values)
        : call;
    },
  });
}

/** An error as Node throws it for a failed system call. */
export function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: simulated, call`), {
    code,
    errno: -1,
    syscall: 'simulated',
  });
}

/** A file system that can be told to fail. */
export interface FaultyFileSystem {
  readonly files: FileSystem;
  /** From now on calls for which `isHit` is true fail with `code`, at most `times` times. */
  fail(code: string, isHit: (call: FileSystemCall) => boolean, times?: number): void;
  heal(): void;
  /** How many calls have failed since {@link fail}. */
  readonly failures: number;
}

export function faultyFileSystem(mode: Mode): FaultyFileSystem {
  let fault: { code: string; isHit: (call: FileSystemCall) => boolean; left: number } | undefined;
  let failures = 0;
  const files = watchedFileSystem(mode, (call) => {
    if (fault === undefined || fault.left === 0 || !fault.isHit(call)) return;
    fault.left -= 1;
    failures += 1;
    throw systemError(fault.code);
  });
  return {
    files,
    fail(code, isHit, times = Number.POSITIVE_INFINITY) {
      fault = { code, isHit, left: times };
      failures = 0;
    },
    heal() {
      fault = undefined;
    },
    get failures() {
      return failures;
    },
  };
}

/** Tells whether one of a call's places has this name. */
export function names(call: FileSystemCall, name: string): boolean {
  return call.values.some(
    (value) =>
      typeof value === 'object' && value !== null && 'name' in value && value.name === name,
  );
}
