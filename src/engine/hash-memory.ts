import { readCacheFile, replaceCacheFile } from './cache-file.js';
import type { Directory } from './file-system.js';
import { type Stamping, treeStamp } from './tree-stamp.js';

/*
 * `.skillmeat/hash-cache`: hashes that somebody computed from files or whole directories, each with the
 * stamp of what it was computed from. While the stamp is the same nothing is read.
 */

const cacheName = 'hash-cache';
const version = 1;

interface Remembered {
  readonly stamp: string;
  readonly hash: string;
}

/** What must be the same for the hashes to be true. */
interface HashKey {
  /** What is computed. Another name for another way to compute it. */
  readonly of: string;
  /** After a power failure a file may have the times that it had, and other bytes. */
  readonly boot: string;
}

interface CacheText {
  readonly version: number;
  readonly key: HashKey;
  readonly hashes: readonly (readonly [path: string, stamp: string, hash: string])[];
}

export interface HashMemoryOptions extends Stamping {
  /** `.skillmeat` */
  readonly store: Directory;
  readonly key: HashKey;
  /** Makes UUIDs. */
  readonly newId: () => string;
}

export class HashMemory {
  readonly #options: HashMemoryOptions;
  readonly #known: ReadonlyMap<string, Remembered>;
  /** What was asked for this time: the rest is forgotten. */
  readonly #asked = new Map<string, Remembered>();

  constructor(options: HashMemoryOptions) {
    const { files, store, key } = options;
    this.#options = options;
    const rest = readCacheFile(files, { directory: store, name: cacheName });
    this.#known = new Map(rest === undefined ? [] : decode(rest, key));
  }

  /**
   * Returns what `compute` gave for what is at `path` now, this time or an earlier one.
   *
   * @param compute reads nothing but what is at `path` and below it.
   */
  async hashOf(
    path: string,
    compute: () => Promise<string | undefined>,
  ): Promise<string | undefined> {
    const stamp = treeStamp(this.#options, path);
    const known = this.#known.get(path);
    if (known !== undefined && known.stamp === stamp) {
      this.#asked.set(path, known);
      return known.hash;
    }
    const hash = await compute();
    if (hash === undefined || stamp === undefined) return hash;
    // A directory that was replaced meanwhile: the look may be at one half of each, the hash of another.
    // guard: hash-memory-still
    if (treeStamp(this.#options, path) !== stamp) return hash;
    this.#asked.set(path, { stamp, hash });
    return hash;
  }

  /** Keeps what was asked for, if it is not what is kept already. */
  save(): void {
    const { files, store, key, newId } = this.#options;
    const [asked, known] = [this.#asked, this.#known];
    if (asked.size === known.size && [...asked].every(([path, one]) => known.get(path) === one)) {
      return;
    }
    const rest = encode(asked, key);
    replaceCacheFile(files, store, { name: cacheName, rest, id: newId() });
  }
}

function encode(remembered: ReadonlyMap<string, Remembered>, key: HashKey): Buffer {
  const hashes = Array.from(remembered, ([path, { stamp, hash }]) => [path, stamp, hash] as const);
  const content: CacheText = { version, key, hashes };
  return Buffer.from(JSON.stringify(content));
}

function decode(rest: Buffer, key: HashKey): readonly (readonly [string, Remembered])[] {
  // As encode() made it: its hash says so.
  const content = JSON.parse(rest.toString()) as CacheText;
  // guard: hash-memory-key [if false]
  if (content.version !== version || JSON.stringify(content.key) !== JSON.stringify(key)) return [];
  return content.hashes.map(([path, stamp, hash]) => [path, { stamp, hash }]);
}
