import { EngineError } from './errors.js';
import type { Directory, FileSystem, NoDirectory, Place } from './file-system.js';
import { openDirectoriesMax } from './limits.js';
import {
  ancestorsOf,
  childOf,
  isBelow,
  nameOf,
  parentOf,
  pathBelow,
  quote,
  type RelativePath,
} from './path.js';
import type { PendingUnit, PendingUnits } from './pending-units.js';

/** What stands in the way to a path: the first ancestor that is not a directory of this root. */
export interface Obstacle {
  readonly obstacle: NoDirectory;
  readonly at: RelativePath;
}

export function isObstacle(located: Place | Directory | Obstacle): located is Obstacle {
  return 'obstacle' in located;
}

/** What is not in place yet but counts as if it were. */
export interface Cover {
  readonly pending: PendingUnits;
  /** The store's `stage` directory, where it lies. */
  readonly stage: Directory;
  /** Told of each unit that is seen, or not seen because it removes. */
  readonly onUse: (unit: PendingUnit) => void;
}

/**
 * Finds places below a root by opening each directory on the way, following no link (I8). Keeps
 * the directories open: a place stays good until the next {@link trim}, {@link forget} or close.
 */
export class RootTree implements Disposable {
  readonly #files: FileSystem;
  readonly root: Directory;
  readonly #open = new Map<RelativePath, Directory>();
  readonly #cover: (Cover & { readonly slots: RootTree }) | undefined;

  /** @param cover the root is what it will be when this is applied. */
  constructor(files: FileSystem, root: Directory, cover?: Cover) {
    this.#files = files;
    this.root = root;
    this.#cover = cover && { ...cover, slots: new RootTree(files, cover.stage) };
  }

  /** The place of `path` in its parent directory; the last name is not looked at. */
  locate(path: RelativePath): Place | Obstacle {
    const covered = this.#inSlot(path);
    if (covered !== undefined) {
      return this.#uncovered(covered.unit, covered.slots.locate(covered.at));
    }
    const parent = parentOf(path);
    const directory = parent === undefined ? this.root : this.directory(parent);
    if (isObstacle(directory)) return directory;
    return { directory, name: nameOf(path) };
  }

  /** The directory at `path`, open. */
  directory(path: RelativePath): Directory | Obstacle {
    const covered = this.#inSlot(path);
    if (covered !== undefined) {
      return this.#uncovered(covered.unit, covered.slots.directory(covered.at));
    }
    const known = this.#open.get(path);
    if (known !== undefined) return known;
    const opened = this.#files.openDirectory({ directory: this.root, name: path });
    if (typeof opened === 'string') return this.#obstacleTo(path);
    this.#open.set(path, opened);
    return opened;
  }

  /** Names right in a directory (`undefined`: the root): what is there is `names`. */
  coverNames(path: RelativePath | undefined, names: readonly string[]): readonly string[] {
    if (this.#cover === undefined) return names;
    const covered = new Set(names);
    for (const unit of this.#cover.pending.within(path)) {
      this.#cover.onUse(unit);
      if (unit.removes) covered.delete(nameOf(unit.path));
      else covered.add(nameOf(unit.path));
    }
    return [...covered];
  }

  #inSlot(
    path: RelativePath,
  ):
    | { readonly unit: PendingUnit; readonly at: RelativePath; readonly slots: RootTree }
    | undefined {
    const unit = this.#cover?.pending.covering(path);
    if (unit === undefined || this.#cover === undefined) return undefined;
    this.#cover.onUse(unit);
    const at = unit.path === path ? unit.slot : childOf(unit.slot, pathBelow(path, unit.path));
    return { unit, at, slots: this.#cover.slots };
  }

  /** An obstacle in a slot is told of by the path that it will have. */
  #uncovered<T extends Place | Directory>(unit: PendingUnit, found: T | Obstacle): T | Obstacle {
    if (!isObstacle(found)) return found;
    const { obstacle, at } = found;
    if (at === unit.slot) return { obstacle, at: unit.path };
    return { obstacle, at: childOf(unit.path, pathBelow(at, unit.slot)) };
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
    this.#cover?.slots.trim();
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
    this.#cover?.slots.close();
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
