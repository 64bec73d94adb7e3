import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { letGo } from './descriptor.js';
import type { Directory } from './file-system.js';

const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = fs.constants;
/** Descriptors that are kept open for the next barrier. */
const unsyncedMax = 256;

interface SyncableDirectory extends Directory {
  /** Negative where directories cannot be opened. */
  readonly descriptor: number;
  /** Prefix of the paths of everything inside. */
  readonly address: string;
}

/**
 * What the plain-Node barrier must sync, as open descriptors. On XFS and btrfs a file that is
 * opened anew after a failed write-back syncs without an error; only a descriptor that was open
 * all the time hears of it (I10).
 */
export class Unsynced {
  #files: number[] = [];
  readonly #directories = new Map<string, number>();
  readonly #touched = new Set<string>();
  #failure: { readonly error: unknown } | undefined;
  /**
   * Whether single syncs do not add up: btrfs logs that a name went from one directory apart from that
   * it came to another, and a power cut may keep the first alone.
   */
  needsWholeSync = false;

  addFile(descriptor: number): void {
    this.#files.push(descriptor);
    this.#bound();
  }

  addDirectory({ descriptor, address, device, inode }: SyncableDirectory): void {
    // Windows has no directory sync; its file system journals names by itself.
    if (descriptor < 0) return;
    const key = `${String(device)}:${String(inode)}`;
    if (this.#directories.has(key)) return;
    this.#directories.set(key, fs.openSync(`${address}.`, O_RDONLY));
    this.#bound();
  }

  addPath(path: string): void {
    const found = fs.lstatSync(path, { bigint: true });
    if (!found.isFile() && !found.isDirectory()) return;
    const key = `${String(found.dev)}:${String(found.ino)}`;
    if (this.#touched.has(key)) return;
    this.#touched.add(key);
    // guard: plain-sync-path
    this.addFile(fs.openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  }

  /** Syncs and closes all of it; keeps the first failure for {@link throwFailure}. */
  sync(): void {
    // Data before the directories that name it: btrfs persists a name without its data.
    // guard: plain-contents-before-names [[...this.#files, ...this.#directories.values()] becomes [...this.#directories.values(), ...this.#files]]
    const descriptors = [...this.#files, ...this.#directories.values()];
    const [any] = descriptors;
    if (this.needsWholeSync && any !== undefined) {
      this.#attempt(() => {
        // guard: plain-sync-whole
        syncWhole(any);
      });
    }
    // After a sync of everything these only tell of failures: they heard of those before it.
    for (const descriptor of descriptors) {
      this.#attempt(() => {
        // guard: plain-fsync
        fs.fsyncSync(descriptor);
      });
    }
    this.close();
  }

  #attempt(sync: () => void): void {
    try {
      sync();
    } catch (error) {
      // guard: plain-sync-remembers-failure
      this.#failure ??= { error };
    }
  }

  throwFailure(): void {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) throw failure.error;
  }

  close(): void {
    for (const descriptor of [...this.#files, ...this.#directories.values()]) {
      letGo(descriptor);
    }
    this.#files = [];
    this.#directories.clear();
    this.#touched.clear();
  }

  #bound(): void {
    if (this.#files.length + this.#directories.size >= unsyncedMax) this.sync();
  }
}

/** What `syncfs` does, by GNU `sync` in a process of its own. */
function syncWhole(descriptor: number): void {
  const { status, error, stderr } = spawnSync('sync', ['-f', '/dev/stdin'], {
    stdio: [descriptor, 'ignore', 'pipe'],
    encoding: 'utf8',
  });
  if (status === 0) return;
  throw Object.assign(new Error(`EIO: sync -f: ${error?.message ?? stderr.trim()}`), {
    code: 'EIO',
  });
}
