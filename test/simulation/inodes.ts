/*
 * What a disk holds: inodes by number. Every inode and every map of entries is immutable, so a
 * copy of a whole disk costs one shallow map.
 */

export interface FileInode {
  readonly kind: 'file';
  readonly bytes: Buffer;
  readonly mode: number;
  readonly modifiedNs: bigint;
}
interface LinkInode {
  readonly kind: 'symlink';
  readonly target: string;
}
export interface DirectoryInode {
  readonly kind: 'directory';
  readonly mode: number;
  /** By the name as the profile folds it. */
  readonly entries: ReadonlyMap<string, NamedInode>;
}
export type Inode = FileInode | LinkInode | DirectoryInode;

export interface NamedInode {
  /** As it was spelled. */
  readonly name: string;
  readonly inode: number;
}

/** One entry of one directory, before and after an atomic change of names. */
export interface EntryEdit {
  readonly directory: number;
  readonly key: string;
  /** The inode that had the name before. */
  readonly from: number | undefined;
  readonly to: NamedInode | undefined;
}

/** The smallest thing that reaches the disk whole or not at all; `data` may also be torn. */
export type Change =
  | {
      readonly kind: 'names';
      readonly edits: readonly EntryEdit[];
      /** The inode that the change brings into being. */
      readonly made?: { readonly inode: number; readonly node: Inode };
      /** A rename over a file: some file systems write the new file's data first. */
      readonly replacesBy?: number | undefined;
    }
  | { readonly kind: 'mode'; readonly inode: number; readonly mode: number }
  | {
      readonly kind: 'data';
      readonly inode: number;
      /** The whole content after the write. */
      readonly bytes: Buffer;
      readonly modifiedNs: bigint;
    };

/** Inode of the topmost directory. */
export const topInode = 1;

export type Disk = ReadonlyMap<number, Inode>;

export function emptyDisk(): Disk {
  return new Map([[topInode, { kind: 'directory', mode: 0o755, entries: new Map() }]]);
}

/** Does a change to a disk that the caller owns. What its inode needs but is not there is left out. */
export function applyChange(disk: Map<number, Inode>, change: Change): void {
  switch (change.kind) {
    case 'names': {
      if (change.made !== undefined) disk.set(change.made.inode, change.made.node);
      for (const { directory, key, to } of change.edits) {
        const node = disk.get(directory);
        if (node?.kind !== 'directory') continue;
        const entries = new Map(node.entries);
        if (to === undefined) entries.delete(key);
        else entries.set(key, to);
        disk.set(directory, { ...node, entries });
      }
      return;
    }
    case 'mode': {
      const node = disk.get(change.inode);
      if (node !== undefined && node.kind !== 'symlink') {
        disk.set(change.inode, { ...node, mode: change.mode });
      }
      return;
    }
    case 'data': {
      const { inode, bytes, modifiedNs } = change;
      const node = disk.get(inode);
      if (node?.kind === 'file') disk.set(inode, { ...node, bytes, modifiedNs });
    }
  }
}

/** A data change of which only the first half reached the disk. */
export function tornChange(disk: Disk, change: Change): Change {
  if (change.kind !== 'data') return change;
  const node = disk.get(change.inode);
  const before = node?.kind === 'file' ? node.bytes : Buffer.alloc(0);
  const half = change.bytes.length >> 1;
  const bytes = Buffer.concat([change.bytes.subarray(0, half), before.subarray(half)]);
  return { ...change, bytes };
}

/** Calls `visit` for everything below a directory, names in order, directories before what they hold. */
export function walk(
  disk: Disk,
  from: number,
  visit: (path: string, node: Inode, inode: number) => void,
  below = '',
): void {
  const directory = disk.get(from);
  if (directory?.kind !== 'directory') return;
  for (const key of [...directory.entries.keys()].toSorted()) {
    const entry = directory.entries.get(key);
    const node = entry === undefined ? undefined : disk.get(entry.inode);
    if (entry === undefined || node === undefined) continue;
    const path = below === '' ? entry.name : `${below}/${entry.name}`;
    visit(path, node, entry.inode);
    if (node.kind === 'directory') walk(disk, entry.inode, visit, path);
  }
}
