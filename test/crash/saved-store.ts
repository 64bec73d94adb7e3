import fs from 'node:fs';
import path from 'node:path';
import { copyTree } from '../support/copier.js';
import { makeDirectory, removeDirectory } from '../support/processes.js';

/** One file, link or directory. */
interface Saved {
  readonly kind: 'file' | 'directory' | 'symlink';
  readonly mode: number;
  /** Of a file, or the target of a link. */
  readonly bytes: Buffer;
  /** How it looked when it was last put there: what looks the same has not changed. */
  look: string;
}

/**
 * A root with its store as it was at one moment, to be put back again and again. The root and its
 * engine directory stay the same ones: a copy would be another store (`STORE_DETACHED`).
 */
export class SavedStore {
  readonly root: string;
  readonly #entries: ReadonlyMap<string, Saved>;

  private constructor(root: string, entries: ReadonlyMap<string, Saved>) {
    this.root = root;
    this.#entries = entries;
  }

  /** Takes the bytes of `root` as they are, a store that is open at this moment included. */
  static take(root: string): SavedStore {
    const directory = makeDirectory({ inMemory: true });
    const copy = path.join(directory, 'copy');
    // By a program: closing a file of an open journal drops SQLite's locks on it.
    copyTree(root, copy);
    const entries = new Map<string, Saved>();
    for (const name of namesBelow(copy)) {
      // SQLite makes it anew from the log when nobody has it open.
      if (name.endsWith('journal.db-shm')) continue;
      entries.set(name, readSaved(path.join(copy, name)));
    }
    removeDirectory(directory);
    return new SavedStore(root, entries);
  }

  /** Paths of the files below the root. */
  get files(): ReadonlyMap<string, Buffer> {
    return new Map(
      [...this.#entries].flatMap(([name, { kind, bytes }]) =>
        kind === 'file' ? [[name, bytes] as const] : [],
      ),
    );
  }

  /** Puts everything back as it was, touching only what has changed since. */
  putBack(): void {
    for (const name of namesBelow(this.root).toReversed()) {
      const at = path.join(this.root, name);
      const saved = this.#entries.get(name);
      if (saved === undefined || saved.kind !== kindOf(fs.lstatSync(at))) {
        fs.rmSync(at, { recursive: true, force: true });
      }
    }
    for (const [name, saved] of this.#entries) {
      const at = path.join(this.root, name);
      if (lookOf(at) === saved.look) continue;
      if (saved.kind === 'directory') fs.mkdirSync(at, { recursive: true });
      else fs.rmSync(at, { force: true });
      if (saved.kind === 'symlink') fs.symlinkSync(saved.bytes.toString(), at);
      if (saved.kind === 'file') fs.writeFileSync(at, saved.bytes);
      if (saved.kind !== 'symlink') fs.chmodSync(at, saved.mode);
      saved.look = lookOf(at);
    }
  }
}

/** Every path below a directory, each directory before what is in it. */
export function namesBelow(directory: string): readonly string[] {
  return (
    fs
      // With types: without them Node 20 goes through links.
      .readdirSync(directory, { recursive: true, withFileTypes: true })
      .map(({ parentPath, name }) => path.join(path.relative(directory, parentPath), name))
      .toSorted()
  );
}

function readSaved(at: string): Saved {
  const stat = fs.lstatSync(at);
  const kind = kindOf(stat);
  const mode = stat.mode & 0o7777;
  if (kind === 'directory') return { kind, mode, bytes: Buffer.alloc(0), look: '' };
  const bytes = kind === 'file' ? fs.readFileSync(at) : Buffer.from(fs.readlinkSync(at));
  return { kind, mode, bytes, look: '' };
}

function kindOf(stat: fs.Stats): Saved['kind'] {
  if (stat.isDirectory()) return 'directory';
  return stat.isSymbolicLink() ? 'symlink' : 'file';
}

function lookOf(at: string): string {
  const stat = fs.lstatSync(at, { bigint: true, throwIfNoEntry: false });
  if (stat === undefined) return 'absent';
  if (stat.isDirectory()) return `directory ${String(stat.mode)}`;
  return [stat.ino, stat.mode, stat.size, stat.mtimeNs, stat.ctimeNs].join(' ');
}
