import fs from 'node:fs';
import path from 'node:path';
import { fromSystemError, systemCode } from '../../engine/index.js';

/*
 * Everything that fetching does to files, outside of any store: copies in a workspace and the cache.
 * Failed calls throw what they mean as an `EngineError`: `DISK_FULL`, `PERMISSION_DENIED`, ….
 */

export interface FoundName {
  readonly name: string;
  /** The bytes of the name are valid UTF-8. */
  readonly isText: boolean;
}

/** What `lstat` says. */
export interface FoundStat {
  readonly kind: 'file' | 'directory' | 'link' | 'special';
  /** Permission bits, `0o0000`–`0o7777`. */
  readonly mode: number;
  readonly bytes: number;
  /** Milliseconds since 1970. */
  readonly modifiedMs: number;
}

export function exists(location: string): boolean {
  return fs.existsSync(location);
}

/** Returns `undefined` when there is nothing. */
export function look(location: string): FoundStat | undefined {
  const stat = attempt('look at', location, () =>
    fs.lstatSync(location, { throwIfNoEntry: false }),
  );
  return stat === undefined ? undefined : describe(stat);
}

function describe(stat: fs.Stats): FoundStat {
  return {
    kind: stat.isFile()
      ? 'file'
      : stat.isDirectory()
        ? 'directory'
        : stat.isSymbolicLink()
          ? 'link'
          : 'special',
    mode: stat.mode & 0o7777,
    bytes: stat.size,
    modifiedMs: stat.mtimeMs,
  };
}

/** Follows every link of `location`, which must exist. */
export function resolveLinks(location: string): string {
  return attempt('look at', location, () => fs.realpathSync(location));
}

export function readLink(location: string): string {
  return attempt('read the link', location, () => fs.readlinkSync(location));
}

/** Names in a directory, in code point order; an absent directory has none. */
export function listNames(location: string): readonly FoundName[] {
  const names = attempt('list', location, () => {
    try {
      return fs.readdirSync(location, { encoding: 'buffer' });
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return [];
      throw error;
    }
  });
  return names
    .toSorted((a, b) => Buffer.compare(a, b))
    .map((bytes) => {
      const name = bytes.toString('utf8');
      return { name, isText: Buffer.from(name).equals(bytes) };
    });
}

export function makeDirectory(location: string): void {
  attempt('make', location, () => fs.mkdirSync(location, { recursive: true }));
}

/** Makes a directory named `prefix` and six random characters, readable by its owner only. */
export function makeUniqueDirectory(prefix: string): string {
  return attempt('make a directory', prefix, () => fs.mkdtempSync(prefix));
}

export function writeText(location: string, text: string): void {
  attempt('write', location, () => {
    fs.writeFileSync(location, text);
  });
}

/** Sets the time of the last use of a directory, when it is still there. */
export function touch(location: string, nowMs: number): void {
  attempt('touch', location, () => {
    try {
      fs.utimesSync(location, nowMs / 1_000, nowMs / 1_000);
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw error;
    }
  });
}

/** Removes a file or a directory with everything in it; what is absent already is fine. */
export async function removeTree(location: string): Promise<void> {
  try {
    await fs.promises.rm(location, { recursive: true, force: true, maxRetries: 5 });
  } catch (error) {
    throw fromSystemError(error, 'remove', location);
  }
}

/** A file that is being made; it must not have been there. */
export class NewFile implements Disposable {
  readonly #location: string;
  readonly #descriptor: number;

  constructor(location: string, isExecutable: boolean) {
    this.#location = location;
    // The umask decides who else may read it, as for any file that a program makes.
    const mode = isExecutable ? 0o777 : 0o666;
    this.#descriptor = attempt('make', location, () => fs.openSync(location, 'wx', mode));
  }

  write(piece: Uint8Array): void {
    attempt('write', this.#location, () => {
      for (let done = 0; done < piece.byteLength; ) {
        done += fs.writeSync(this.#descriptor, piece, done);
      }
    });
  }

  [Symbol.dispose](): void {
    fs.closeSync(this.#descriptor);
  }
}

/**
 * Yields the content of the regular file at `location` in pieces. What took its place since it was
 * looked at (a link, a FIFO) is neither followed nor waited for: `undefined` says so.
 */
export async function* readPieces(
  location: string,
): AsyncGenerator<Uint8Array | undefined, void, void> {
  const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = fs.constants;
  const flags = O_RDONLY | (O_NOFOLLOW ?? 0) | (O_NONBLOCK ?? 0);
  let file: fs.promises.FileHandle;
  try {
    file = await fs.promises.open(location, flags);
  } catch (error) {
    if (systemCode(error) !== 'ELOOP') throw fromSystemError(error, 'read', location);
    yield undefined;
    return;
  }
  try {
    if (!(await file.stat()).isFile()) {
      yield undefined;
      return;
    }
    for (;;) {
      const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(262_144));
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } catch (error) {
    throw fromSystemError(error, 'read', location);
  } finally {
    await file.close();
  }
}

function attempt<T>(doing: string, location: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw fromSystemError(error, doing, path.normalize(location));
  }
}
