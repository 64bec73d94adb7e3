import { isAbsolute, parse } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { boundedLabel, type Label } from './annotations.js';
import { EngineError, fromSystemErrorOnly, isEngineError } from './errors.js';
import type { FileSystem, Place } from './file-system.js';
import { type Looking, statTree } from './inspect.js';
import { groupSourceEntriesMax, idleTurnsMax, smallContentBytesMax } from './limits.js';
import type { Pace } from './pace.js';
import { parsePath, type RelativePath } from './path.js';
import type { HistoryReading } from './history.js';
import type { Seen } from './staged-node.js';
import type { StagedView } from './staged-view.js';
import { engineSource } from './source-copy.js';
import { type Content, sourceUnreadable } from './staged-content.js';

/** What a path is in a transaction's view. */
export interface PathStat {
  readonly kind: 'file' | 'directory' | 'symlink' | 'special';
  /** Bytes; 0 for what is not a file. */
  readonly size: number;
  /** Permission bits; 0 for a link. */
  readonly mode: number;
  /** The text of a link. */
  readonly target?: string;
}

export interface PathEntry {
  readonly name: string;
  readonly kind: PathStat['kind'];
}

/** Reads of the root as it will be. What a rule is given. */
export interface ReadableView {
  /** Returns a file's bytes, `undefined` when there is nothing. @throws `PATH_IS_DIRECTORY`, … */
  read(path: string): Promise<Uint8Array | undefined>;
  /** Returns what the path is, without following links; `undefined` when there is nothing. */
  stat(path: string): Promise<PathStat | undefined>;
  /** Returns what is right below a directory, sorted by name; `.` or nothing is the root. */
  list(path?: string): Promise<readonly PathEntry[] | undefined>;
}

/** Permission bits, `0o000`–`0o777`. A file's must let its owner read, a directory's do everything. */
export interface ModeOption {
  readonly mode?: number | undefined;
}

/**
 * The changes of one transaction, while they are collected. Operations act in the order of the
 * calls on what is there already; nothing of the root is touched before the commit. Paths are
 * relative to the root.
 *
 * Each call rejects with an `EngineError` whose code says what is in the way (`PATH_…`,
 * `DISK_FULL`, …); a rejected call changed nothing, and the transaction goes on if it is caught.
 */
export interface Transaction extends ReadableView {
  /** Makes `path` a file with this content; without `mode` a file that is replaced keeps its own. */
  write(path: string, content: Content, options?: ModeOption): Promise<void>;
  /** Makes `path` a copy of a file or directory anywhere; a directory is replaced as a whole. */
  copyIn(path: string, source: string): Promise<void>;
  /** Removes a file, link or directory with all that is in it. */
  remove(path: string, options?: { readonly ifPresent?: boolean }): Promise<void>;
  rename(from: string, to: string, options?: { readonly replace?: boolean }): Promise<void>;
  /** Makes a directory and its parents; one that is there is left alone. */
  mkdir(path: string, options?: ModeOption): Promise<void>;
  chmod(path: string, mode: number): Promise<void>;
  /** Makes a link to a relative `target` inside the root, or gives a link another target. */
  symlink(path: string, target: string): Promise<void>;
  /** Says for the log what the transaction is and what it is about; the last call counts. */
  describe(label: Label): Promise<void>;
}

/** Transactions that are recorded, and wait for this one before they are flushed together. */
export interface GroupAhead {
  readonly isAwaited: () => boolean;
  /** Waits until they are in place. @throws {EngineError} when this one was shown what was undone. */
  readonly end: () => Promise<void>;
}

/**
 * Hands a caller's operations to the staged view, one after the other, whether or not the caller
 * waited for each.
 */
export class TransactionCalls implements Transaction {
  readonly #view: StagedView;
  readonly #files: FileSystem;
  /** Absolute path of the engine's own directory. */
  readonly #enginePath: string;
  readonly #reads: ReadableView;
  readonly #pace: Pace;
  readonly #rootPath: string;
  readonly #group: GroupAhead;
  readonly #reading: HistoryReading;
  readonly #pending = new Set<Promise<unknown>>();
  #last: Promise<unknown> = Promise.resolve();
  #isOpen = true;
  #isAbandoned = false;
  #label: Label | undefined;

  constructor(
    view: StagedView,
    {
      files,
      pace,
      enginePath,
      rootPath,
      group,
      history,
      objects,
    }: Looking &
      Omit<HistoryReading, 'looking'> & {
        readonly enginePath: string;
        /** Absolute path of the root. */
        readonly rootPath: string;
        readonly group: GroupAhead;
      },
  ) {
    this.#view = view;
    this.#pace = pace;
    this.#files = files;
    this.#enginePath = enginePath;
    this.#rootPath = rootPath;
    this.#group = group;
    this.#reads = readableView(view);
    this.#reading = { looking: { files, pace }, history, objects };
  }

  write(path: string, content: Content, options: ModeOption = {}): Promise<void> {
    return this.#enqueue(async () => {
      const parsed = parsePath(path);
      // A source may be slow, and others wait.
      if (!isSmall(requireContent(content))) await this.#group.end();
      await this.#view.write(parsed, content, options.mode);
    });
  }

  copyIn(path: string, source: string): Promise<void> {
    return this.#enqueue(() => {
      const parsed = parsePath(path);
      return this.#withSource(source, (place) => this.#view.copyIn(parsed, place, source));
    });
  }

  /** As {@link write}, with the bytes of the file at an absolute path. */
  writeFrom(path: string, source: string, { mode }: ModeOption): Promise<void> {
    return this.#enqueue(() => {
      const parsed = parsePath(path);
      return this.#withSource(source, (place) =>
        this.#view.writeFrom(parsed, place, { name: source, mode }),
      );
    });
  }

  remove(path: string, options: { readonly ifPresent?: boolean } = {}): Promise<void> {
    return this.#enqueue(() => {
      this.#view.remove(parsePath(path), { ifPresent: options.ifPresent ?? false });
    });
  }

  rename(from: string, to: string, options: { readonly replace?: boolean } = {}): Promise<void> {
    return this.#enqueue(async () => {
      await this.#group.end();
      await this.#view.rename(parsePath(from), parsePath(to), {
        replace: options.replace ?? false,
      });
    });
  }

  mkdir(path: string, options: ModeOption = {}): Promise<void> {
    return this.#enqueue(() => {
      this.#view.makeDirectory(parsePath(path), options.mode);
    });
  }

  chmod(path: string, mode: number): Promise<void> {
    return this.#enqueue(() => {
      this.#view.setMode(parsePath(path), mode);
    });
  }

  symlink(path: string, target: string): Promise<void> {
    return this.#enqueue(() => {
      this.#view.makeLink(parsePath(path), target);
    });
  }

  describe(label: Label): Promise<void> {
    return this.#enqueue(() => {
      this.#label = boundedLabel(label);
    });
  }

  get label(): Label | undefined {
    return this.#label;
  }

  /** Runs an operation of the engine's own in the place of one call. */
  act<T>(work: (view: StagedView, reading: HistoryReading) => Promise<T>): Promise<T> {
    return this.#enqueue(async () => {
      // It may look at the journal, and at the slots of what the journal has.
      // guard: group-act
      await this.#group.end();
      return work(this.#view, this.#reading);
    });
  }

  read(path: string): Promise<Uint8Array | undefined> {
    return this.#enqueue(() => this.#reads.read(path));
  }

  stat(path: string): Promise<PathStat | undefined> {
    return this.#enqueue(() => this.#reads.stat(path));
  }

  list(path?: string): Promise<readonly PathEntry[] | undefined> {
    return this.#enqueue(() => this.#reads.list(path));
  }

  /**
   * While others wait for this transaction: once its callback waits for something else than its own
   * calls, what they have recorded is flushed and applied without it.
   */
  async endGroupWhenIdle(collecting: Promise<unknown>): Promise<void> {
    let isOver = false;
    const over = (): void => {
      isOver = true;
    };
    collecting.then(over, over);
    for (;;) {
      await this.#last;
      const last = this.#last;
      for (let turns = 0; turns < idleTurnsMax; turns += 1) {
        await setImmediate();
        if (isOver || !this.#isOpen) return;
      }
      if (last !== this.#last) continue;
      // In the place of a call: nothing of the view is under way. Who calls next is told what failed.
      await this.#enqueue(() => this.#group.end()).catch(() => undefined);
      return;
    }
  }

  /** Tells whether what lies at a source is not of the root, and quickly copied. */
  async #isEasySource(resolved: string, place: Place): Promise<boolean> {
    if (`${resolved}/`.startsWith(`${this.#rootPath}/`)) return false;
    const looking = { files: this.#files, pace: this.#pace };
    let entries = 0;
    let bytes = 0;
    try {
      for await (const { stat } of statTree(looking, place, place.name as RelativePath)) {
        entries += 1;
        bytes += stat?.size ?? 0;
        if (entries > groupSourceEntriesMax || bytes > smallContentBytesMax) return false;
      }
    } catch {
      // Copying it meets the same, and says so.
      return false;
    }
    return true;
  }

  /** Takes no more calls, starts none that wait, and waits for the one that runs. */
  async abandon(): Promise<void> {
    this.#isOpen = false;
    this.#isAbandoned = true;
    await Promise.allSettled(this.#pending);
  }

  /**
   * Takes no more calls, and waits for those that the caller did not wait for.
   *
   * @throws the first error of such a call.
   */
  async finish(): Promise<void> {
    this.#isOpen = false;
    for (const call of await Promise.allSettled(this.#pending)) {
      if (call.status === 'rejected') throw call.reason;
    }
  }

  #enqueue<T>(act: () => T | Promise<T>): Promise<T> {
    if (!this.#isOpen) {
      return Promise.reject(
        new EngineError('TRANSACTION_CLOSED', 'the transaction is over', {
          hint: 'Await every call inside the callback of transact.',
        }),
      );
    }
    const start = async (): Promise<T> => {
      if (this.#pace.isDue()) await this.#pace.turn();
      if (this.#isAbandoned) {
        throw new EngineError('ABORTED', 'the transaction was given up', {
          hint: 'Await every call inside the callback of transact.',
        });
      }
      return act();
    };
    const call = this.#last.then(start).catch((error: unknown) => {
      throw fromSystemErrorOnly(error, 'prepare', 'the transaction');
    });
    this.#pending.add(call);
    const settle = (): void => {
      this.#pending.delete(call);
    };
    this.#last = call.then(settle, settle);
    return call;
  }

  /** A source that the caller names may be a link: it stands for where it leads. */
  async #withSource(source: string, use: (place: Place) => Promise<void>): Promise<void> {
    if (typeof source !== 'string' || !isAbsolute(source)) {
      throw new TypeError(`source must be an absolute path, not ${JSON.stringify(source)}`);
    }
    let place: Place;
    let resolved: string;
    try {
      resolved = this.#files.resolveLinks(source);
      // Opening and closing the journal's files drops SQLite's locks on them.
      if (`${resolved}/`.startsWith(`${this.#enginePath}/`)) throw engineSource(source);
      const { dir, base } = parse(resolved);
      if (base === '') throw new Error('it is the root of a file system');
      place = { directory: this.#files.openRoot(dir), name: base };
    } catch (error) {
      throw isEngineError(error) ? error : sourceUnreadable(error, source);
    }
    try {
      // What is below the root is to be found there; and others wait.
      // guard: group-source
      if (this.#group.isAwaited() && !(await this.#isEasySource(resolved, place))) {
        await this.#group.end();
      }
      await use(place);
    } finally {
      this.#files.closeDirectory(place.directory);
    }
  }
}

function isSmall(content: Content): boolean {
  if (typeof content === 'string') return content.length <= smallContentBytesMax;
  return content instanceof Uint8Array && content.length <= smallContentBytesMax;
}

/** Reads of a view, one caller at a time. */
export function readableView(view: StagedView): ReadableView {
  return {
    read: async (path) => view.read(parsePath(path)),
    stat: async (path) => toPathStat(view.look(parsePath(path))),
    list: async (path = '.') => view.list(path === '.' ? undefined : parsePath(path)),
  };
}

function toPathStat(seen: Seen): PathStat | undefined {
  switch (seen.kind) {
    case 'absent':
      return undefined;
    case 'special':
      return { kind: 'special', size: 0, mode: 0 };
    case 'directory':
      return { kind: 'directory', size: 0, mode: seen.mode };
    case 'symlink':
      return { kind: 'symlink', size: 0, mode: 0, target: seen.target };
    case 'file':
      return { kind: 'file', size: seen.size, mode: seen.mode };
  }
}

function requireContent(content: Content): Content {
  const isStream =
    typeof content === 'object' && content !== null && Symbol.asyncIterator in content;
  if (typeof content === 'string' || content instanceof Uint8Array || isStream) return content;
  throw new TypeError('content must be a string, bytes, or an async iterable of them');
}
