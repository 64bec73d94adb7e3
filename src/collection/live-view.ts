import { lstatSync, readdirSync, readFileSync, readlinkSync, type Stats } from 'node:fs';
import { join, resolve, sep } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import type { PathEntry, PathStat, ReadableView } from '../engine/index.js';
import { CollectionError } from './errors.js';

/** How long it keeps others from running, in milliseconds. */
const sliceMsMax = 20;

/**
 * The directory as it is right now, read without the lock and without following links. What a path
 * that leads out of it names is not there.
 */
export class LiveView implements ReadableView {
  readonly #root: string;
  #turnsAt = 0;

  /** @param root absolute. */
  constructor(root: string) {
    this.#root = resolve(root);
  }

  async read(path: string): Promise<Uint8Array | undefined> {
    await this.#letOthersRun();
    return orNothing(() => readFileSync(this.#locate(path)));
  }

  async stat(path: string): Promise<PathStat | undefined> {
    return orNothing(() => {
      const at = this.#locate(path);
      const stats = lstatSync(at);
      const kind = kindOf(stats);
      const isFile = kind === 'file';
      return {
        kind,
        size: isFile ? stats.size : 0,
        mode: kind === 'symlink' ? 0 : stats.mode & 0o777,
        ...(kind === 'symlink' && { target: readlinkSync(at) }),
      };
    });
  }

  async list(path = '.'): Promise<readonly PathEntry[] | undefined> {
    return orNothing(() =>
      readdirSync(this.#locate(path), { withFileTypes: true })
        .map((entry) => ({ name: entry.name, kind: kindOf(entry) }))
        .toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    );
  }

  /** Calls are synchronous; who draws progress needs a turn all the same. */
  async #letOthersRun(): Promise<void> {
    if (performance.now() < this.#turnsAt) return;
    await setImmediate();
    this.#turnsAt = performance.now() + sliceMsMax;
  }

  /** @throws `ENOENT` for a path that leads out. */
  #locate(path: string): string {
    const at = join(this.#root, path);
    if (at === this.#root || at.startsWith(this.#root + sep)) return at;
    throw Object.assign(new Error(`${path} leads out of the directory`), { code: 'ENOENT' });
  }
}

function kindOf(entry: Pick<Stats, 'isFile' | 'isDirectory' | 'isSymbolicLink'>): PathStat['kind'] {
  if (entry.isFile()) return 'file';
  if (entry.isDirectory()) return 'directory';
  return entry.isSymbolicLink() ? 'symlink' : 'special';
}

function orNothing<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error)) throw error;
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
    throw new CollectionError('COLLECTION_UNREADABLE', error.message, {
      path: 'path' in error && typeof error.path === 'string' ? error.path : undefined,
      cause: error,
      hint: 'Check the owner and mode of the path.',
    });
  }
}
