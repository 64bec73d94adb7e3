import { EngineError } from './errors.js';
import type { Directory, FileSystem, NoDirectory, Place } from './file-system.js';
import { openDirectoriesMax } from './limits.js';
import { ancestorsOf, isBelow, nameOf, parentOf, quote, type RelativePath } from './path.js';

/** What stands in the way to a path: the first ancestor that is not a directory of this root. */
export interface Obstacle {
  readonly obstacle: NoDirectory;
  readonly at: RelativePath;
}

export function isObstacle(located: Place | Directory | Obstacle): located is Obstacle {
  return 'obstacle' in located;
}

/**
 * Finds places below a root by opening each directory on the way, following no link (I8). Keeps
 * the directories open: a place stays good until the next {@link trim}, {@link forget} or close.
 */
export class RootTree implements Disposable {
  readonly #files: FileSystem;
  readonly root: Directory;
  readonly #open = new Map<RelativePath, Directory>();

  constructor(files: FileSystem, root: Directory) {
    this.#files = files;
    this.root = root;
  }

  /** The place of `path` in its parent directory; the last name is not looked at. */
  locate(path: RelativePath): Place | Obstacle {
    const parent = parentOf(path);
    const directory = parent === undefined ? this.root : this.directory(parent);
    if (isObstacle(directory)) return directory;
    return { directory, name: nameOf(path) };
  }

  /** The directory at `path`, open. */
  directory(path: RelativePath): Directory | Obstacle {
    const known = this.#open.get(path);
    if (known !== undefined) return known;
    const opened = this.#files.openDirectory({ directory: this.root, name: path });
    if (typeof opened === 'string') return this.#obstacleTo(path);
    this.#open.set(path, opened);
    return opened;
  }

  #obstacleTo(path: RelativePath): Obstacle {
    for (const at of [...ancestorsOf(path), path]) {
      const opened = this.#files.openDirectory({ directory: this.root, name: at });
      if (typeof opened === 'string') return { obstacle: opened, at };
      this.#files.closeDirectory(opened);
    }
    // It was not there, and is now: as good as not there.
    return { obstacle: 'absent', at: path };
  }

  /** Closes directories when too many are open. No place that was got before may be used after. */
  trim(): void {
    if (this.#open.size > openDirectoriesMax) this.close();
  }

  /** Forgets `path` and everything below: another directory may have taken the name. */
  forget(path: RelativePath): void {
    for (const [known, directory] of this.#open) {
      if (known !== path && !isBelow(known, path)) continue;
      this.#open.delete(known);
      this.#files.closeDirectory(directory);
    }
  }

  close(): void {
    for (const directory of this.#open.values()) this.#files.closeDirectory(directory);
    this.#open.clear();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Returns the error for a path that an obstacle keeps the engine from. */
export function obstacleError(path: RelativePath, { obstacle, at }: Obstacle): EngineError {
  switch (obstacle) {
    case 'symlink':
      return new EngineError(
        'PATH_IS_LINK',
        `${quote(path)}: ${quote(at)} is a symbolic link, and nothing is written through links`,
        { path, hint: 'Name the place that the link leads to, or remove the link first.' },
      );
    case 'file':
      return new EngineError('PATH_NOT_DIRECTORY', `${quote(path)}: ${quote(at)} is a file`, {
        path,
        hint: 'Remove the file first, or choose another path.',
      });
    case 'other-mount':
      return new EngineError(
        'PATH_ON_OTHER_MOUNT',
        `${quote(path)}: ${quote(at)} is another mounted file system`,
        { path, hint: 'A transaction stays on one file system; make a store of its own there.' },
      );
    case 'absent':
      return new EngineError('PATH_NOT_FOUND', `${quote(path)}: ${quote(at)} does not exist`, {
        path,
        hint: 'Check the path.',
      });
  }
}
