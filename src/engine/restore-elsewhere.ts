import { basename, dirname } from 'node:path';
import { EngineError, fromSystemError, isEngineError, systemCode } from './errors.js';
import type { Directory, Place } from './file-system.js';
import { ContentHasher, type ContentHash } from './hash.js';
import type { Looking } from './inspect.js';
import { changesMax, chunkBytes, cloneBytesMin } from './limits.js';
import type { ObjectStore } from './object-store.js';
import type { PathSelection } from './path-selection.js';
import { quote, type RelativePath } from './path.js';
import { removeTreeIfPossible } from './remove-tree.js';
import type { NotRestored, RestorableEntry } from './restore-plan.js';
import { childPath, type ReadListing } from './snapshot-tree.js';

/*
 * A snapshot, written to a directory that does not exist yet: everything goes to a directory beside
 * it, is flushed, and gets its name last. So the name is never that of half a snapshot.
 */

export interface RestoringElsewhere {
  readonly looking: Looking;
  readonly objects: ObjectStore;
  readonly read: ReadListing;
  readonly sha256: ContentHash;
  readonly selection: PathSelection;
  /** Absolute. */
  readonly to: string;
  /** Absolute path of the engine's own directory. */
  readonly enginePath: string;
  readonly newId: () => string;
  /** Permission bits of the new directory. */
  readonly mode: number;
  /** Only look whether it can be done. */
  readonly isDryRun: boolean;
  readonly onProgress: (done: number) => void;
}

export interface RestoredElsewhere {
  /** Paths that were made. */
  readonly written: number;
  readonly notRestored: readonly NotRestored[];
}

/** @throws {EngineError} `PATH_EXISTS`, `PATH_NOT_FOUND`, `DISK_FULL`, … */
export async function restoreElsewhere(restoring: RestoringElsewhere): Promise<RestoredElsewhere> {
  const { to, looking, newId } = restoring;
  const { files } = looking;
  const parent = openParent(restoring);
  const place: Place = { directory: parent, name: basename(to) };
  const draft: Place = { directory: parent, name: `.skillmeat-restore-${newId()}` };
  try {
    if (files.stat(place) !== undefined) throw existsAlready(to);
    if (restoring.isDryRun) return { written: 0, notRestored: [] };
    files.makeDirectory(draft, 0o700);
    try {
      const restorer = new Restorer(restoring);
      await restorer.fillDirectory(draft, restoring.sha256, undefined);
      files.setMode(draft, restoring.mode);
      // guard: restore-elsewhere-contents
      await files.barrier(parent, Number.POSITIVE_INFINITY);
      looking.pace.refuseStopped();
      moveInto(restoring, draft, place);
      await flushName(restoring, { parent, draft, place });
      return restorer;
    } catch (error) {
      await removeTreeIfPossible(looking, draft);
      throw error;
    }
  } catch (error) {
    throw systemCode(error) === undefined ? error : fromSystemError(error, 'restore to', to);
  } finally {
    files.closeDirectory(parent);
  }
}

function openParent({ to, looking, enginePath }: RestoringElsewhere): Directory {
  const parent = dirname(to);
  if (parent === to) throw existsAlready(to);
  try {
    const resolved = looking.files.resolveLinks(parent);
    if (`${resolved}/`.startsWith(`${enginePath}/`)) {
      throw new EngineError('PATH_IN_ENGINE_DIRECTORY', `${to} is in the engine's own directory`, {
        path: to,
        hint: 'Choose another place.',
      });
    }
    return looking.files.openRoot(resolved);
  } catch (error) {
    const code = systemCode(error);
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw fromSystemError(error, 'open', parent);
    throw new EngineError('PATH_NOT_FOUND', `${parent} is no directory`, {
      path: parent,
      cause: error,
      hint: 'Make it first.',
    });
  }
}

function moveInto({ looking, to }: RestoringElsewhere, draft: Place, place: Place): void {
  try {
    looking.files.moveNew(draft, place);
  } catch (error) {
    throw systemCode(error) === 'EEXIST' ? existsAlready(to) : error;
  }
}

/** What is said to have failed has not taken the name; where it keeps the name, that is said. */
async function flushName(
  { to, looking: { files } }: RestoringElsewhere,
  { parent, draft, place }: { parent: Directory; draft: Place; place: Place },
): Promise<void> {
  try {
    // guard: restore-elsewhere-name
    await files.barrier(parent, 0);
  } catch (error) {
    try {
      files.moveNew(place, draft);
    } catch {
      throw new EngineError(
        'COMMIT_UNKNOWN',
        `${to} is there and whole, but the disk did not confirm its name, and it cannot be taken back`,
        {
          path: to,
          cause: error,
          hint: 'Check the disk; then look at the directory, or remove it and restore again.',
        },
      );
    }
    throw error;
  }
}

function existsAlready(to: string): EngineError {
  return new EngineError('PATH_EXISTS', `${to} exists; a snapshot is never written into it`, {
    path: to,
    hint: 'Name a directory that does not exist yet.',
  });
}

class Restorer implements RestoredElsewhere {
  readonly #restoring: RestoringElsewhere;
  readonly notRestored: NotRestored[] = [];
  written = 0;

  constructor(restoring: RestoringElsewhere) {
    this.#restoring = restoring;
  }

  /** Fills the directory at `place`, which was just made. */
  async fillDirectory(
    place: Place,
    sha256: ContentHash,
    path: RelativePath | undefined,
  ): Promise<void> {
    const { looking, read } = this.#restoring;
    const { files } = looking;
    const entries = await this.#orNote(path, () => read(sha256));
    if (entries === undefined) return;
    const directory = files.openDirectory(place);
    // guard: restore-elsewhere-directory [if false]
    if (typeof directory === 'string') {
      throw new EngineError(
        'DRIFT_DETECTED',
        `${quote(path ?? '.')} is ${directory} after it was made`,
        {
          hint: 'Something else works in the new directory; choose another place.',
        },
      );
    }
    try {
      for (const entry of entries) {
        if (entry.kind === 'left-out') continue;
        await this.#make({ directory, name: entry.name }, childPath(path, entry.name), entry);
      }
    } finally {
      files.closeDirectory(directory);
    }
  }

  async #make(place: Place, path: RelativePath, entry: RestorableEntry): Promise<void> {
    const { looking, selection } = this.#restoring;
    const { files, pace } = looking;
    if (pace.isDue()) {
      this.#restoring.onProgress(this.written);
      await pace.turn();
    }
    const isSelected = selection.has(path);
    if (entry.kind === 'directory') {
      if (!isSelected && !(await this.#hasSelected(entry.sha256, path))) return;
      this.#countOne();
      files.makeDirectory(place, 0o700);
      await this.fillDirectory(place, entry.sha256, path);
      files.setMode(place, entry.mode);
      return;
    }
    if (!isSelected) return;
    this.#countOne();
    if (entry.kind === 'symlink') {
      files.makeLink(place, entry.target);
      return;
    }
    const isDone = await this.#orNote(path, async () => {
      await this.#write(place, entry);
      return true;
    });
    if (isDone === true) files.setMode(place, entry.mode);
    else this.written -= 1;
  }

  async #hasSelected(sha256: ContentHash, path: RelativePath): Promise<boolean> {
    const entries = await this.#orNote(undefined, () => this.#restoring.read(sha256));
    for (const entry of entries ?? []) {
      const child = childPath(path, entry.name);
      if (entry.kind !== 'left-out' && this.#restoring.selection.has(child)) return true;
      if (entry.kind === 'directory' && (await this.#hasSelected(entry.sha256, child))) return true;
    }
    return false;
  }

  async #write(place: Place, entry: Extract<RestorableEntry, { kind: 'file' }>): Promise<void> {
    const { objects, looking } = this.#restoring;
    const { files } = looking;
    const { sha256, size } = entry;
    try {
      const isCloned = size >= cloneBytesMin && objects.cloneTo(sha256, place);
      const found = isCloned ? await this.#hash(place) : await this.#copy(place, sha256, size);
      // guard: restore-elsewhere-content-hash [if true]
      if (found === sha256) return;
      throw new EngineError('HISTORY_DAMAGED', `the object ${sha256} does not match its name`, {
        hint: 'Restore another snapshot.',
      });
    } catch (error) {
      if (files.stat(place) !== undefined) files.removeFile(place);
      throw error;
    }
  }

  async #copy(place: Place, sha256: ContentHash, size: number): Promise<ContentHash> {
    const { objects, looking } = this.#restoring;
    const { files } = looking;
    const content = await objects.content(sha256, size);
    const file = files.createFile(place, 0o600);
    try {
      const hasher = new ContentHasher();
      const pieces = content instanceof Uint8Array ? [content] : content;
      for await (const piece of pieces) {
        hasher.update(piece);
        await files.write(file, piece);
      }
      return hasher.digest();
    } finally {
      files.closeWritten(file);
    }
  }

  async #hash(place: Place): Promise<ContentHash> {
    const { files } = this.#restoring.looking;
    const file = files.openForReading(place);
    try {
      const hasher = new ContentHasher();
      const buffer = Buffer.allocUnsafe(chunkBytes);
      for (let count = await files.read(file, buffer); count > 0; ) {
        hasher.update(buffer.subarray(0, count));
        count = await files.read(file, buffer);
      }
      return hasher.digest();
    } finally {
      files.closeFile(file);
    }
  }

  /** Names what cannot be read back, and goes on with the rest. */
  async #orNote<T>(path: RelativePath | undefined, act: () => Promise<T>): Promise<T | undefined> {
    try {
      return await act();
    } catch (error) {
      if (!isEngineError(error, 'HISTORY_DAMAGED')) throw error;
      this.notRestored.push({ path: path ?? '.', why: error.message });
      return undefined;
    }
  }

  #countOne(): void {
    this.written += 1;
    if (this.written <= changesMax) return;
    throw new EngineError('LIMIT_EXCEEDED', `a snapshot has at most ${String(changesMax)} paths`, {
      hint: 'Do not trust this .skillmeat directory.',
    });
  }
}
