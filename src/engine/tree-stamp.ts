import { systemCode } from './errors.js';
import type { Directory, FileSystem, Stat } from './file-system.js';
import { ContentHasher, type ContentHash } from './hash.js';
import { isInnerPath } from './path.js';
import { isRacy, toNanoseconds } from './racy.js';

export interface Stamping {
  readonly files: FileSystem;
  readonly root: Directory;
  /** Milliseconds since 1970, of the clock that the file system's times come from. */
  readonly now: () => number;
}

/**
 * Returns a hash of all that `lstat` says of a file, or of a directory and everything below it. Two
 * equal ones, and nothing in there was changed between: whoever changes something gives it another
 * inode, size or time, and the change time is nobody's to set.
 *
 * @returns `undefined` where that cannot be said: something changed so shortly ago that it can change
 * once more without another time; a link, another mount, what is gone or cannot be looked at.
 */
export function treeStamp(stamping: Stamping, path: string): ContentHash | undefined {
  // What is not spelled the one way is looked at each time.
  if (!isInnerPath(path)) return undefined;
  const hasher = new ContentHasher();
  const { root, now } = stamping;
  const lookedAtNs = toNanoseconds(now());
  try {
    const isWhole = addPath(stamping, { directory: root, name: path, lookedAtNs }, hasher);
    return isWhole ? hasher.digest() : undefined;
  } catch (error) {
    // Whoever reads it will say what is wrong.
    if (systemCode(error) === undefined) throw error;
    return undefined;
  }
}

/** Returns false when nothing can be said. */
function addPath(
  stamping: Stamping,
  place: { readonly directory: Directory; readonly name: string; readonly lookedAtNs: bigint },
  hasher: ContentHasher,
): boolean {
  const { files } = stamping;
  const { name, lookedAtNs } = place;
  const stat = files.stat(place);
  if (stat === undefined || stat.kind === 'symlink') return false;
  // guard: tree-stamp-racy
  if (isRacy(stat, lookedAtNs)) return false;
  hasher.update(lineOf(name, stat));
  if (stat.kind !== 'directory') return true;
  const directory = files.openDirectory(place);
  if (typeof directory === 'string') return false;
  try {
    const names = files.list(directory).map((entry) => entry.name);
    // Where each directory ends is told by how much is in it.
    hasher.update(`${String(names.length)}\n`);
    return names
      .toSorted()
      .every((child) => addPath(stamping, { directory, name: child, lookedAtNs }, hasher));
  } finally {
    files.closeDirectory(directory);
  }
}

function lineOf(name: string, stat: Stat): string {
  const { inode, size, modifiedNs } = stat;
  // guard: tree-stamp-change-time [stat.changedNs becomes 0]
  return `${[name, inode, size, modifiedNs, stat.changedNs].join('\0')}\n`;
}
