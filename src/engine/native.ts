import { createRequire } from 'node:module';
import type { Stat } from './file-system.js';
import { statxFlags, statxMask, statxNumber, StatxStructure } from './statx.js';

/** Linux system calls that Node does not offer. Numbers and constants: linux/fs.h, linux/fcntl.h. */
export interface Native {
  /** `renameat2(…, RENAME_EXCHANGE)`. Returns 0 or the error number. */
  exchange(fromDirectory: number, from: string, toDirectory: number, to: string): number;
  /** `renameat2(…, RENAME_NOREPLACE)`. Returns 0 or the error number. */
  moveNew(fromDirectory: number, from: string, toDirectory: number, to: string): number;
  /**
   * `openat2` of a directory, following no link and staying on the mount. Returns the descriptor, or
   * the error number negated.
   */
  openBeneath(directory: number, path: string): number;
  /**
   * `statx` of a name in an open directory, links not followed; of an open file itself when the name
   * is empty. Returns the error number when it failed.
   */
  stat(descriptor: number, name: string): Stat | number;
  /** `syncfs`, on the caller's thread. Returns 0 or the error number. */
  syncFileSystemNow(descriptor: number): number;
  /** `syncfs`, on a thread of its own. Returns 0 or an error number. */
  syncFileSystem(descriptor: number): Promise<number>;
  /** `fcntl(F_OFD_SETLK, F_WRLCK)` on the bytes that SQLite locks. Returns 0 or the error number. */
  lock(descriptor: number): number;
  unlock(descriptor: number): number;
  /**
   * `fcntl(F_SETLEASE, F_RDLCK)`, given back at once: the kernel grants it only where nobody has the
   * file open for writing, or mapped. Returns `undefined` where it has no leases.
   */
  hasWriter(descriptor: number): boolean | undefined;
  /** `posix_fadvise(POSIX_FADV_DONTNEED)` for all of a file: what is on disk need not stay cached. */
  dropCached(descriptor: number): void;
  /** Names of the extended attributes, links not followed; an error number when it failed. */
  listAttributes(path: string): readonly string[] | number;
  /** Copies one extended attribute, links not followed. Returns 0 or the error number. */
  copyAttribute(from: string, to: string, name: string): number;
}

const renameNoReplace = 1;
const renameExchange = 2;
const openFileLockSet = 37;
const setSignal = 10;
const setLease = 1_024;
const readLease = 0;
/** SIGURG: ignored unless somebody asks for it. That of leases, SIGIO, ends the process. */
const ignoredSignal = 23;
const tryAgainError = 11;
const dontNeed = 4;
const writeLock = 1;
const noLock = 2;
/** SQLite's PENDING_BYTE up to the end of its shared range: plain-Node stores lock the same bytes. */
const lockOffset = 0x4000_0000n;
const lockLength = 512n;
const rangeError = 34;
const inputOutputError = 5;
const openat2Number = 437;
/** O_DIRECTORY differs between x64 and arm64. */
const directoryFlag = process.arch === 'arm64' ? 0o40000 : 0o200000;
const closeOnExecFlag = 0o2000000;
/** `struct open_how`: flags, mode, resolve. */
const openHow = Buffer.alloc(24);
openHow.writeBigUInt64LE(BigInt(directoryFlag | closeOnExecFlag), 0);
/** RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH */
openHow.writeBigUInt64LE(0x01n | 0x02n | 0x04n | 0x08n, 16);
const attributeBytesMax = 65_536;

interface KoffiFunction {
  (...values: unknown[]): number;
  async(...values: unknown[]): void;
}
interface Koffi {
  load(path: string | null): { func(definition: string): KoffiFunction };
  errno(): number;
}

let loaded: Native | string | undefined;

/**
 * Loads the native part, once in a process: to describe its calls takes longer than most of them.
 *
 * @returns the calls, or the reason why there are none on this machine.
 */
export function loadNative(): Native | string {
  loaded ??= load();
  return loaded;
}

function load(): Native | string {
  const machine = `${process.platform} ${process.arch}`;
  // The layout of struct flock below is that of 64-bit Linux.
  if (machine !== 'linux x64' && machine !== 'linux arm64') return `not made for ${machine} yet`;
  let koffi: Koffi;
  let calls;
  try {
    koffi = createRequire(import.meta.url)('koffi') as Koffi;
    const library = koffi.load(null);
    calls = {
      renameat2: library.func(
        'int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned int flags)',
      ),
      // The C library has no name for it. The number is the same on every 64-bit machine.
      openat2: library.func(
        'long syscall(long number, int dir, const char *path, void *how, size_t size)',
      ),
      // By its number as well: the C library of some systems is older than the call.
      statx: library.func(
        'long syscall(long number, int dir, const char *path, int flags, unsigned int mask, void *to)',
      ),
      syncfs: library.func('int syncfs(int fd)'),
      posix_fadvise: library.func(
        'int posix_fadvise(int fd, int64_t offset, int64_t length, int advice)',
      ),
      fcntl: library.func('int fcntl(int fd, int command, void *lock)'),
      fcntlNumber: library.func('int fcntl(int fd, int command, int number)'),
      llistxattr: library.func('int64_t llistxattr(const char *path, void *list, size_t size)'),
      lgetxattr: library.func(
        'int64_t lgetxattr(const char *path, const char *name, void *value, size_t size)',
      ),
      lsetxattr: library.func(
        'int lsetxattr(const char *path, const char *name, void *value, size_t size, int flags)',
      ),
    };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return bind(koffi, calls);
}

function bind(
  koffi: Koffi,
  calls: Record<
    | 'renameat2'
    | 'openat2'
    | 'statx'
    | 'syncfs'
    | 'posix_fadvise'
    | 'fcntl'
    | 'fcntlNumber'
    | 'llistxattr'
    | 'lgetxattr'
    | 'lsetxattr',
    KoffiFunction
  >,
): Native {
  const failed = (result: number): number => (result === -1 ? koffi.errno() : 0);
  const scratch = Buffer.alloc(attributeBytesMax);
  const structure = new StatxStructure();
  const setLock = (descriptor: number, type: number): number =>
    failed(calls.fcntl(descriptor, openFileLockSet, flockStructure(type)));
  return {
    exchange: (fromDirectory, from, toDirectory, to) =>
      failed(calls.renameat2(fromDirectory, from, toDirectory, to, renameExchange)),
    moveNew: (fromDirectory, from, toDirectory, to) =>
      failed(calls.renameat2(fromDirectory, from, toDirectory, to, renameNoReplace)),
    openBeneath: (directory, path) => {
      const result = calls.openat2(openat2Number, directory, path, openHow, openHow.length);
      return result === -1 ? -koffi.errno() : result;
    },
    stat: (descriptor, name) => {
      const { bytes } = structure;
      const result = calls.statx(statxNumber, descriptor, name, statxFlags, statxMask, bytes);
      return result === -1 ? koffi.errno() : structure.toStat();
    },
    // guard: native-sync-now [failed(calls.syncfs(descriptor)) becomes 0]
    syncFileSystemNow: (descriptor) => failed(calls.syncfs(descriptor)),
    syncFileSystem: (descriptor) =>
      new Promise((resolve, reject) => {
        // guard: native-sync-thread [syncfs.async(descriptor becomes syncfs.async(0]
        calls.syncfs.async(descriptor, (error: Error | null, result: number) => {
          // errno belongs to the thread that made the call and is gone; -1 is all there is to know.
          // guard: native-sync-thread-failure [result === -1 becomes false]
          if (error === null) resolve(result === -1 ? inputOutputError : 0);
          else reject(error);
        });
      }),
    lock: (descriptor) => setLock(descriptor, writeLock),
    unlock: (descriptor) => setLock(descriptor, noLock),
    hasWriter: (descriptor) => {
      const set = (command: number, number: number): number =>
        failed(calls.fcntlNumber(descriptor, command, number));
      if (set(setSignal, ignoredSignal) !== 0) return undefined;
      const failure = set(setLease, readLease);
      if (failure !== 0) return failure === tryAgainError ? true : undefined;
      set(setLease, noLock);
      return false;
    },
    dropCached: (descriptor) => {
      calls.posix_fadvise(descriptor, 0n, 0n, dontNeed);
    },
    listAttributes: (path) => {
      const size = calls.llistxattr(path, scratch, attributeBytesMax);
      if (size === -1) return koffi.errno();
      return scratch.toString('utf8', 0, size).split('\0').slice(0, -1);
    },
    copyAttribute: (from, to, name) => {
      const size = calls.lgetxattr(from, name, scratch, attributeBytesMax);
      if (size === -1) return koffi.errno();
      if (size > attributeBytesMax) return rangeError;
      return failed(calls.lsetxattr(to, name, scratch, size, 0));
    },
  };
}

/** `struct flock` of 64-bit Linux: type, whence, padding, start, length, pid (0 as OFD locks need). */
function flockStructure(type: number): Buffer {
  const structure = Buffer.alloc(32);
  structure.writeInt16LE(type, 0);
  structure.writeBigInt64LE(lockOffset, 8);
  structure.writeBigInt64LE(lockLength, 16);
  return structure;
}
