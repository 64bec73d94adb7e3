import type { KnownParts, PartsUndone, UndoParts } from '../engine/index.js';
import { artifactTypes } from './artifact.js';
import { isCollectionError } from './errors.js';
import { LockFile, lockName } from './lock-file.js';
import { Manifest, manifestName } from './manifest.js';
import { decodeToml } from './toml/parse-toml.js';
import type { BeforeAndAfter, TakenBack } from './toml/take-back.js';

/*
 * Undoing a transaction that is not the newest one: nearly every later one changed the manifest and the
 * lock, too, so they never are as it left them. What it did to them is taken back entry by entry; what
 * they say of other artifacts stays. `updated` is the time of the undo.
 */

/** What the engine has to know for undoing in a collection. @param time as the files write it. */
export function knownParts(time: string): KnownParts {
  return {
    parts: new Map([
      [manifestName, undoManifest(time)],
      [lockName, undoLock],
    ]),
    sharedDirectories: new Set(Object.values(artifactTypes).map(({ directory }) => directory)),
  };
}

function undoManifest(time: string): UndoParts {
  return ({ before, after, now }, terms) => {
    if (before === undefined) return conflict('there was no manifest before it');
    return orConflict(() => {
      const current = readManifest(now).touch(time);
      const read = (bytes: Uint8Array): Manifest => readManifest(bytes, current).touch(time);
      const taken = current.takeBack({ before: read(before), after: read(after) }, terms);
      return answer(taken, taken.manifest.isSame(current) ? undefined : taken.manifest.bytes);
    });
  };
}

const undoLock: UndoParts = ({ before, after, now }, terms) =>
  orConflict(() => {
    const current = readLock(now);
    const left = readLock(after, current);
    const versions: BeforeAndAfter<LockFile> = {
      // A missing lock has no entries.
      before: before === undefined ? withoutEntries(left) : readLock(before, current),
      after: left,
    };
    const taken = current.takeBack(versions, terms);
    return answer(taken, taken.lock.isSame(current) ? undefined : taken.lock.bytes);
  });

/** @param bytes `undefined`: nothing changed. */
function answer(
  { conflicts, isForced }: Omit<TakenBack, 'text'>,
  bytes: Uint8Array | undefined,
): PartsUndone {
  if (conflicts.length > 0) return { kind: 'conflict', whys: conflicts };
  return bytes === undefined ? { kind: 'nothing' } : { kind: 'undone', bytes, isForced };
}

/** What cannot be taken apart is undone as a whole, or not at all. */
function orConflict(undo: () => PartsUndone): PartsUndone {
  try {
    return undo();
  } catch (error) {
    if (!isCollectionError(error, 'TOML_INVALID', 'TOML_LAYOUT_UNSUPPORTED')) throw error;
    return conflict(error.message);
  }
}

function conflict(why: string): PartsUndone {
  return { kind: 'conflict', whys: [why] };
}

function readManifest(bytes: Uint8Array, known?: Manifest): Manifest {
  return new Manifest(decodeToml(bytes, manifestName), known);
}

function readLock(bytes: Uint8Array, known?: LockFile): LockFile {
  return new LockFile(decodeToml(bytes, lockName), known);
}

function withoutEntries(lock: LockFile): LockFile {
  return lock.keys.reduce((rest, key) => rest.remove(key), lock);
}
