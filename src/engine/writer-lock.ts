import { setTimeout } from 'node:timers/promises';
import { assert, EngineError, systemCode } from './errors.js';
import type { Directory, FileSystem, OpenFile, Place } from './file-system.js';
import { checksumOf } from './hash.js';
import { lockPollMsMax } from './limits.js';
import type { LockHolder } from './lock-holder.js';
import { openDatabase, type SqliteDatabase } from './sqlite.js';
import { utcText } from './utc-text.js';

/*
 * Who may write, and who wrote last.
 *
 * 1. Callers in this process queue up, first come first served, per store directory.
 * 2. The first of them takes the kernel's lock on the file `lock`: an open-file-description lock
 *    on the very bytes that SQLite locks for `BEGIN EXCLUSIVE`. Without the native part SQLite
 *    itself takes it there, so that both kinds of process exclude each other. The kernel releases
 *    it when the holder dies; nothing is ever judged by age.
 * 3. The file `owner` says for people who holds it. It is also the high-water mark: it names each
 *    transaction before it is applied, and how often the journal had been written to. A holder that
 *    lets go in order says `isReleased` in it. A record that is missing, damaged, from another boot,
 *    or without `isReleased` means that the holder died: recover.
 */

const lockName = 'lock';
const ownerName = 'owner';

/** What the file `owner` says. */
export interface OwnerRecord extends LockHolder {
  readonly bootId: string;
  /** ISO 8601. */
  readonly since: string;
  readonly isReleased: boolean;
  readonly mark: HighWaterMark;
}

/** How far the journal had got, and all of it on disk, when an owner record was written. */
export interface HighWaterMark {
  /** The newest transaction. */
  readonly head: { readonly id: number; readonly chain: string };
  /** How often the journal had been written to. */
  readonly writes: number;
}

export interface WriterLockOptions {
  readonly files: FileSystem;
  /** The store's own directory. */
  readonly directory: Directory;
  readonly holder: LockHolder;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

export interface AcquireOptions {
  readonly waitMs: number;
  /** Called once when somebody else holds the lock. */
  readonly onWait?: (() => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** How a caller got its turn. */
export interface Admission {
  /** Whether the holder of the lock lets it take part: see {@link WriterLock.letJoin}. */
  readonly isJoined: boolean;
  /** What the last holder left; `undefined` when there is no such record, or when joined. */
  readonly owner: OwnerRecord | undefined;
}

/** One store's claim to be the only writer of its root. */
export class WriterLock implements Disposable {
  readonly #options: WriterLockOptions;
  readonly #queueKey: string;
  #lockFile: OpenFile | undefined;
  #ownerFile: OpenFile | undefined;
  #database: SqliteDatabase | undefined;
  /** Inode of the file that the lock is, or will be, on. */
  #inode: bigint | undefined;
  #leaveQueue: (() => void) | undefined;

  constructor(options: WriterLockOptions) {
    this.#options = options;
    const { device, inode } = options.directory;
    this.#queueKey = `${String(device)}:${String(inode)}`;
  }

  get isHeld(): boolean {
    return this.#leaveQueue !== undefined;
  }

  /**
   * Waits for the lock.
   *
   * @returns what the last holder left, `undefined` when there is no such record.
   * @throws {EngineError} `STORE_LOCKED` after `waitMs`, `ABORTED`.
   */
  async acquire(options: AcquireOptions): Promise<OwnerRecord | undefined> {
    return (await this.#admit(options, undefined)).owner;
  }

  /** As {@link acquire}; or the holder, if it is this very lock, lets the caller take part. */
  async acquireOrJoin(options: AcquireOptions): Promise<Admission> {
    return this.#admit(options, this);
  }

  /** Lets the next caller in the queue take part in what the holder does, if it would. */
  letJoin(): boolean {
    const waiters = queues.get(this.#queueKey);
    const next = waiters?.[0];
    if (waiters === undefined || next?.joins !== this) return false;
    waiters.shift();
    next.enter(true);
    return true;
  }

  async #admit(options: AcquireOptions, joins: WriterLock | undefined): Promise<Admission> {
    const { waitMs, signal, onWait } = options;
    const deadline = performance.now() + waitMs;
    const { isJoined, leave } = await enterQueue(this.#queueKey, {
      deadline,
      signal,
      onWait,
      joins,
      giveUp: () => this.#lockedError(waitMs),
    });
    if (isJoined) return { isJoined, owner: undefined };
    try {
      await this.#lockFileSystem(deadline, options);
      this.#leaveQueue = leave;
      return { isJoined, owner: this.#readOwner() };
    } catch (error) {
      // Whatever was taken is given back, or everybody else would be locked out.
      this.#leaveQueue = undefined;
      this.#closeLock();
      leave();
      throw error;
    }
  }

  /** Says in `owner` who holds the lock now, and what the journal must never lose again. */
  recordHeld(bootId: string, mark: HighWaterMark): void {
    this.#writeOwner(bootId, mark, false);
  }

  /** As {@link recordHeld}, and that everything was applied, so that nobody need recover. */
  recordReleased(bootId: string, mark: HighWaterMark): void {
    this.#writeOwner(bootId, mark, true);
  }

  release(): void {
    const leave = this.#leaveQueue;
    if (leave === undefined) return;
    this.#leaveQueue = undefined;
    try {
      if (this.#lockFile !== undefined) this.#options.files.unlock(this.#lockFile);
      if (this.#database?.inTransaction === true) this.#database.exec('ROLLBACK');
    } finally {
      leave();
    }
  }

  /** @throws {EngineError} `STORE_REPLACED` when the lock file is no longer the one we hold. */
  requireInPlace(): void {
    // guard: lock-in-place [if true]
    if (this.#isStillThere()) return;
    throw new EngineError('STORE_REPLACED', 'the lock file was removed or replaced while in use', {
      hint: 'Nothing was committed. Open the store again; do not remove files of .skillmeat.',
    });
  }

  [Symbol.dispose](): void {
    this.release();
    this.#closeLock();
    if (this.#ownerFile !== undefined) this.#options.files.closeFile(this.#ownerFile);
    this.#ownerFile = undefined;
  }

  async #lockFileSystem(
    deadline: number,
    { waitMs, signal, onWait }: AcquireOptions,
  ): Promise<void> {
    if (this.#tryLock()) return;
    onWait?.();
    for (let pauseMs = 0.5; !this.#tryLock(); pauseMs = Math.min(pauseMs * 2, lockPollMsMax)) {
      refuseAborted(signal);
      if (performance.now() >= deadline) throw this.#lockedError(waitMs);
      // Not all at the same beat: writers that woke together would meet again and again.
      await setTimeout(pauseMs * (0.5 + Math.random() / 2));
    }
  }

  #tryLock(): boolean {
    if (this.#inode === undefined) this.#openLock();
    if (!this.#takeLock()) return false;
    // A lock on a file that was unlinked before we got it excludes nobody: the next try opens anew.
    // guard: lock-taken-in-place [if true]
    if (this.#isStillThere()) return true;
    this.#closeLock();
    return false;
  }

  #openLock(): void {
    const { files } = this.#options;
    this.#closeLock();
    const place = this.#place(lockName);
    this.#refuseForeignLock();
    const file = files.openRecord(place);
    try {
      this.#inode = files.statFile(file).inode;
    } catch (error) {
      files.closeFile(file);
      throw error;
    }
    if (files.capabilities.native !== 'off') {
      this.#lockFile = file;
      return;
    }
    // From here on only SQLite may open the file: closing another descriptor drops its lock.
    files.closeFile(file);
    this.#database = openDatabase(files.pathOf(place), { timeout: 0 });
  }

  /**
   * The lock file is empty, and SQLite never writes beside it. A planted rollback journal would
   * make SQLite delete whatever file it names (I8).
   */
  #refuseForeignLock(): void {
    const { files } = this.#options;
    const lock = files.stat(this.#place(lockName));
    const isOurs = lock === undefined || (lock.kind === 'file' && lock.size === 0);
    const beside = ['-journal', '-wal', '-shm'].map((suffix) => `${lockName}${suffix}`);
    const planted = beside.find((name) => (files.stat(this.#place(name))?.size ?? 0) > 0);
    // guard: lock-file-ours [if true]
    if (isOurs && planted === undefined) return;
    throw new EngineError(
      'STORE_UNSAFE',
      `.skillmeat/${planted ?? lockName} is nothing that this program made`,
      { hint: 'Remove it if you know where it comes from; else do not trust this directory.' },
    );
  }

  #takeLock(): boolean {
    if (this.#lockFile !== undefined) return this.#options.files.tryLock(this.#lockFile);
    try {
      // Without a journal of its own in a file; nothing is ever written.
      this.#database?.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
      return true;
    } catch (error) {
      const code = systemCode(error);
      if (code !== undefined && code.startsWith('SQLITE_BUSY')) return false;
      throw new EngineError('IO_FAILED', `the lock file cannot be locked: ${String(error)}`, {
        cause: error,
        hint: 'Look at .skillmeat/lock; it is an empty file that may be removed when nothing runs.',
      });
    }
  }

  #isStillThere(): boolean {
    assert(this.#inode !== undefined, 'who asks has opened the lock file');
    return this.#options.files.stat(this.#place(lockName))?.inode === this.#inode;
  }

  #closeLock(): void {
    this.#database?.close();
    if (this.#lockFile !== undefined) this.#options.files.closeFile(this.#lockFile);
    this.#database = undefined;
    this.#lockFile = undefined;
    this.#inode = undefined;
  }

  #readOwner(): OwnerRecord | undefined {
    return parseOwner(this.#options.files.readRecord(this.#ownerRecord()));
  }

  #writeOwner(bootId: string, mark: HighWaterMark, isReleased: boolean): void {
    const { files, holder, now } = this.#options;
    const since = utcText(now());
    const { pid, host, command } = holder;
    const record = { pid, host, command, bootId, since, isReleased, mark };
    files.writeRecord(this.#ownerRecord(), formatOwner(record));
  }

  #ownerRecord(): OpenFile {
    this.#ownerFile ??= this.#options.files.openRecord(this.#place(ownerName));
    return this.#ownerFile;
  }

  #lockedError(waitMs: number): EngineError {
    const owner = this.#readOwner();
    const who =
      owner === undefined || owner.isReleased
        ? 'another process'
        : `process ${String(owner.pid)} on ${owner.host} (${owner.command}) since ${owner.since}`;
    return new EngineError(
      'STORE_LOCKED',
      `the store is being written by ${who}; waited ${String(waitMs)} ms`,
      { hint: 'Wait for it to end, or give a longer --lock-timeout.' },
    );
  }

  #place(name: string): Place {
    return { directory: this.#options.directory, name };
  }
}

/** Reads who holds, or held, the lock of a store; `undefined` when nothing readable says so. */
export function readOwner(files: FileSystem, directory: Directory): OwnerRecord | undefined {
  const text = readOwnerText(files, directory);
  return text === undefined ? undefined : parseOwner(text);
}

/** The record as it is, `undefined` when there is none. */
export function readOwnerText(files: FileSystem, directory: Directory): string | undefined {
  const place: Place = { directory, name: ownerName };
  if (files.stat(place)?.kind !== 'file') return undefined;
  const file = files.openForReading(place);
  try {
    return files.readRecord(file);
  } finally {
    files.closeFile(file);
  }
}

/** The text of an owner record, its checksum last. */
export function formatOwner(record: OwnerRecord): string {
  return JSON.stringify({ ...record, checksum: checksumText(record) });
}

function parseOwner(text: string): OwnerRecord | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Empty, or cut by a power failure: as good as none.
    return undefined;
  }
  return isOwner(value) ? value : undefined;
}

/** I10: a record with a flipped bit could vouch for what nobody applied, or accuse the journal. */
function isOwner(value: unknown): value is OwnerRecord {
  if (typeof value !== 'object' || value === null) return false;
  const { checksum, ...record } = value as OwnerRecord & { readonly checksum?: unknown };
  if (checksum !== checksumText(record)) return false;
  const { pid, host, command, bootId, since, isReleased, mark } = record as Partial<OwnerRecord>;
  return (
    [host, command, bootId, since].every((part) => typeof part === 'string') &&
    typeof pid === 'number' &&
    typeof isReleased === 'boolean' &&
    typeof mark === 'object' &&
    mark !== null &&
    typeof mark.writes === 'number' &&
    typeof mark.head === 'object' &&
    mark.head !== null &&
    typeof mark.head.id === 'number' &&
    typeof mark.head.chain === 'string'
  );
}

function checksumText(record: object): string {
  return BigInt.asUintN(64, checksumOf(JSON.stringify(record))).toString(16);
}

// --- the queue of this process -----------------------------------------------------------------

interface Waiter {
  readonly enter: (isJoined: boolean) => void;
  /** The lock whose holder it would join. */
  readonly joins: WriterLock | undefined;
}

/** Store directories of this process that somebody holds, with those who wait. */
const queues = new Map<string, Waiter[]>();

interface QueueOptions {
  readonly deadline: number;
  readonly signal: AbortSignal | undefined;
  readonly onWait: (() => void) | undefined;
  readonly joins: WriterLock | undefined;
  readonly giveUp: () => EngineError;
}

/** Resolves with the function that lets the next one in. */
async function enterQueue(
  key: string,
  options: QueueOptions,
): Promise<{ readonly isJoined: boolean; readonly leave: () => void }> {
  refuseAborted(options.signal);
  const waiters = queues.get(key);
  let isJoined = false;
  if (waiters === undefined) queues.set(key, []);
  else {
    options.onWait?.();
    isJoined = await waitInQueue(waiters, options);
  }
  const leave = (): void => {
    const next = queues.get(key)?.shift();
    if (next === undefined) queues.delete(key);
    else next.enter(false);
  };
  return { isJoined, leave };
}

/** Resolves with whether the holder lets it join. */
function waitInQueue(
  waiters: Waiter[],
  { deadline, signal, joins, giveUp }: QueueOptions,
): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    };
    const waiter: Waiter = {
      enter: (isJoined) => {
        stop();
        resolve(isJoined);
      },
      joins,
    };
    const leave = (error: EngineError): void => {
      stop();
      waiters.splice(waiters.indexOf(waiter), 1);
      reject(error);
    };
    const onAbort = (): void => {
      leave(abortedError(signal));
    };
    const timer = globalThis.setTimeout(
      () => {
        leave(giveUp());
      },
      Math.max(0, deadline - performance.now()),
    );
    signal?.addEventListener('abort', onAbort, { once: true });
    waiters.push(waiter);
  });
}

function refuseAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw abortedError(signal);
}

function abortedError(signal: AbortSignal | undefined): EngineError {
  return new EngineError('ABORTED', 'stopped on request while waiting for the lock', {
    cause: signal?.reason,
    hint: 'Run it again to do it after all.',
  });
}
