import { hashContent } from '../../src/engine/hash.js';
import type { Image } from '../../src/engine/image.js';
import { engineName, rootPath } from './fixture.js';
import { type Disk, type Inode, topInode, walk } from './inodes.js';

/** Root-relative paths with what is there, as text; never the engine's own directory. */
export type Images = ReadonlyMap<string, string>;

const below = `${rootPath.slice(1)}/`;

/** What programs see in the root. */
export function imagesOf(disk: Disk): Images {
  const images = new Map<string, string>();
  walk(disk, topInode, (path, node) => {
    const relative = path.slice(below.length);
    if (!path.startsWith(below) || isEnginePath(relative)) return;
    images.set(relative, describeInode(node));
  });
  return images;
}

function isEnginePath(relative: string): boolean {
  return relative === engineName || relative.startsWith(`${engineName}/`);
}

function describeInode(node: Inode): string {
  switch (node.kind) {
    case 'file':
      return describe({
        kind: 'file',
        sha256: hashContent(node.bytes),
        size: node.bytes.length,
        mode: node.mode,
      });
    case 'directory':
      return describe({ kind: 'directory', mode: node.mode });
    case 'symlink':
      return describe(node);
  }
}

/** An image as text that compares. */
export function describe(image: Image): string {
  switch (image.kind) {
    case 'absent':
      return 'absent';
    case 'file':
      return `file ${image.sha256} ${image.mode.toString(8)}`;
    case 'directory':
      return `directory ${image.mode.toString(8)}`;
    case 'symlink':
      return `link to ${image.target}`;
  }
}

/** A content of a file, as text. */
export interface FoundContent {
  readonly text: string;
  readonly inode: number;
  readonly isInRoot: boolean;
}

/** Every content that has a name. */
export function contentsOf(disk: Disk): readonly FoundContent[] {
  const contents: FoundContent[] = [];
  walk(disk, topInode, (path, node, inode) => {
    if (node.kind !== 'file') return;
    const isInRoot = !isEnginePath(path.slice(below.length));
    contents.push({ text: node.bytes.toString('latin1'), inode, isInRoot });
  });
  return contents;
}
