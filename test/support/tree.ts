import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

/** What is at a path, in a form that compares and prints well. */
export interface TreeEntry {
  readonly kind: 'file' | 'directory' | 'symlink' | 'special';
  /** A file's bytes as latin1 text. */
  readonly bytes?: string;
  /** Permission bits in octal. */
  readonly mode?: string;
  readonly target?: string;
}

/** Root-relative paths with what is there; never the engine's own directory. */
export type Tree = Readonly<Record<string, TreeEntry>>;

/** Reads everything below `root`, sorted by path. */
export function readTree(root: string): Tree {
  return Object.fromEntries(walk(root, '').toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function walk(root: string, below: string): [string, TreeEntry][] {
  return readdirSync(join(root, below)).flatMap((name): [string, TreeEntry][] => {
    const path = below === '' ? name : `${below}/${name}`;
    if (path === '.skillmeat') return [];
    const entry = readEntry(join(root, path));
    return entry.kind === 'directory' ? [[path, entry], ...walk(root, path)] : [[path, entry]];
  });
}

function readEntry(path: string): TreeEntry {
  const stat = lstatSync(path);
  const mode = (stat.mode & 0o7777).toString(8);
  if (stat.isFile()) return { kind: 'file', bytes: readFileSync(path, 'latin1'), mode };
  if (stat.isDirectory()) return { kind: 'directory', mode };
  if (stat.isSymbolicLink()) return { kind: 'symlink', target: readlinkSync(path) };
  return { kind: 'special' };
}

/** What a second recovery must not touch: inode, times and mode of everything below `root`. */
export function readStats(root: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.keys(readTree(root)).map((path) => {
      const { ino, mtimeNs, ctimeNs, mode } = lstatSync(join(root, path), { bigint: true });
      return [path, [ino, mtimeNs, ctimeNs, mode].join(' ')];
    }),
  );
}

export function file(bytes: string, mode = 0o644): TreeEntry {
  return {
    kind: 'file',
    bytes: Buffer.from(bytes, 'utf8').toString('latin1'),
    mode: mode.toString(8),
  };
}

export function directory(mode = 0o755): TreeEntry {
  return { kind: 'directory', mode: mode.toString(8) };
}

export function symlink(target: string): TreeEntry {
  return { kind: 'symlink', target };
}

export function sha256(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

/** An image as a receipt has it, computed without the engine. */
function imageOf(entry: TreeEntry | undefined): unknown {
  switch (entry?.kind) {
    case undefined:
      return { kind: 'absent' };
    case 'special':
      throw new Error('a special file has no image');
    case 'symlink':
      return { kind: 'symlink', target: entry.target };
    case 'directory':
      return { kind: 'directory', mode: Number.parseInt(entry.mode ?? '', 8) };
    case 'file': {
      const bytes = Buffer.from(entry.bytes ?? '', 'latin1');
      return {
        kind: 'file',
        sha256: sha256(bytes),
        size: bytes.length,
        mode: Number.parseInt(entry.mode ?? '', 8),
      };
    }
  }
}

/** What a transaction from `before` to `after` must list, by path. */
export function expectedChanges(before: Tree, after: Tree): unknown {
  const paths = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return paths
    .toSorted()
    .map((path) => ({ path, before: imageOf(before[path]), after: imageOf(after[path]) }))
    .filter((change) => JSON.stringify(change.before) !== JSON.stringify(change.after));
}
