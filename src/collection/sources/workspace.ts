import path from 'node:path';
import { EngineError, type FileLock, tryFileLock } from '../../engine/index.js';
import { listNames, look, makeDirectory, makeUniqueDirectory, removeTree } from './disk.js';
import { workspaceTriesMax } from './limits.js';

const lockName = 'lock';
/** What {@link openWorkspace} makes; anything else in the directory is somebody else's. */
const ownNames = /^\d+-[a-zA-Z0-9]{6}$/;

/**
 * A directory for one program's temporary files, gone when it is disposed of. Killed, its owner
 * leaves it behind; the kernel's lock in it is free from then on, and the next workspace sweeps it.
 */
export class Workspace implements AsyncDisposable {
  /** Absolute. */
  readonly path: string;
  readonly #lock: FileLock;

  constructor(location: string, lock: FileLock) {
    this.path = location;
    this.#lock = lock;
  }

  /** Makes a directory in it. */
  makeDirectory(): string {
    return makeUniqueDirectory(path.join(this.path, 'part-'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await removeTree(this.path);
    } finally {
      this.#lock[Symbol.dispose]();
    }
  }
}

export interface WorkspaceOptions {
  /** The program's home, such as `~/.skillmeat`; absolute, made when there is none. */
  readonly home: string;
  /** Number of the process, in the name for people to see. */
  readonly pid: number;
  readonly native?: 'auto' | 'off' | undefined;
}

/**
 * Makes a workspace in `<home>/tmp`, and removes those whose owner is dead.
 *
 * @throws {EngineError} `PERMISSION_DENIED`, `DISK_FULL`, ….
 */
export async function openWorkspace(options: WorkspaceOptions): Promise<Workspace> {
  const { home, pid, native } = options;
  const directory = path.join(home, 'tmp');
  makeDirectory(directory);
  await sweep(directory, native);
  for (let tries = 0; tries < workspaceTriesMax; tries += 1) {
    const location = makeUniqueDirectory(path.join(directory, `${String(pid)}-`));
    const lock = tryFileLock(path.join(location, lockName), { native });
    // Without it, another process took the directory for a dead one's before we had locked it.
    if (lock !== undefined) return new Workspace(location, lock);
  }
  throw new EngineError('PATH_BUSY', `every new directory in ${directory} is taken at once`, {
    path: directory,
    hint: 'See which program removes or locks what is made there.',
  });
}

async function sweep(directory: string, native: 'auto' | 'off' | undefined): Promise<void> {
  for (const { name } of listNames(directory)) {
    const location = path.join(directory, name);
    if (!ownNames.test(name) || look(location)?.kind !== 'directory') continue;
    using lock = tryFileLock(path.join(location, lockName), { native });
    if (lock === undefined) continue;
    try {
      await removeTree(location);
    } catch (error) {
      // A git that outlived its killed parent still writes there: the next sweep gets it.
      if (!(error instanceof EngineError)) throw error;
    }
  }
}
