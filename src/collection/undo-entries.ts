import type { KnownParts, PartsUndone, Store, UndoParts } from '../engine/index.js';
import { addressOf, type ArtifactKey, artifactTypes } from './artifact.js';
import { CollectionError, isCollectionError } from './errors.js';
import { LockFile, lockName } from './lock-file.js';
import { Manifest, manifestName } from './manifest.js';
import { readMoments, sortSelection } from './rollback-artifacts.js';
import { decodeToml } from './toml/parse-toml.js';
import type { BeforeAndAfter, TakenBack } from './toml/take-back.js';

/*
 * Undoing a transaction that is not the newest one: nearly every later one changed the manifest and the
 * lock, too, so they never are as it left them. What it did to them is taken back entry by entry; what
 * they say of other artifacts stays. `updated` is the time of the undo.
 */

/**
 * What the engine has to know for undoing in a collection.
 *
 * @param time as the files write it.
 * @param keys only these artifacts.
 */
export function knownParts(time: string, keys?: ReadonlySet<ArtifactKey>): KnownParts {
  return {
    parts: new Map([
      [manifestName, undoManifest(time, keys)],
      [lockName, undoLock(keys)],
    ]),
    choosesParts: keys !== undefined,
    sharedDirectories: new Set(Object.values(artifactTypes).map(({ directory }) => directory)),
  };
}

function undoManifest(time: string, keys: ReadonlySet<ArtifactKey> | undefined): UndoParts {
  return ({ before, after, now }, terms) => {
    if (before === undefined && keys === undefined) {
      return conflict('there was no manifest before it');
    }
    return orConflict(() => {
      const current = readManifest(now).touch(time);
      const read = (bytes: Uint8Array): Manifest => readManifest(bytes, current).touch(time);
      const left = read(after);
      const versions: BeforeAndAfter<Manifest> = {
        before: before === undefined ? withoutArtifacts(left) : read(before),
        after: left,
      };
      const taken = current.takeBack(versions, { ...terms, keys });
      return answer(taken, taken.manifest.isSame(current) ? undefined : taken.manifest.bytes);
    });
  };
}

function undoLock(keys: ReadonlySet<ArtifactKey> | undefined): UndoParts {
  return ({ before, after, now }, terms) =>
    orConflict(() => {
      const current = readLock(now);
      const left = readLock(after, current);
      const versions: BeforeAndAfter<LockFile> = {
        // A missing lock has no entries.
        before: before === undefined ? withoutEntries(left) : readLock(before, current),
        after: left,
      };
      const taken = current.takeBack(versions, { ...terms, keys });
      return answer(taken, taken.lock.isSame(current) ? undefined : taken.lock.bytes);
    });
}

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

function withoutArtifacts(manifest: Manifest): Manifest {
  return [...manifest.keys].reduce((rest, key) => rest.remove(key), manifest);
}

function withoutEntries(lock: LockFile): LockFile {
  return lock.keys.reduce((rest, key) => rest.remove(key), lock);
}

/** The part of a transaction that is about some artifacts, for undoing it alone. */
export interface ChosenPart {
  readonly keys: ReadonlySet<ArtifactKey>;
  /** All that it changed of them, both files among it. */
  readonly paths: readonly string[];
}

/**
 * Finds what a transaction did to artifacts: `only` names them, and paths, as that of a rollback does.
 *
 * @throws {CollectionError} `ARTIFACT_AMBIGUOUS`, `ARTIFACT_NOT_FOUND` when it changed nothing of one.
 */
export async function choosePart(
  store: Store,
  id: number,
  only: readonly string[],
): Promise<ChosenPart> {
  const { changes } = await store.show(id);
  const before = (await readMoments(store, { transaction: id - 1 })).past;
  const after = (await readMoments(store, { transaction: id })).past;
  const moments = { past: before, now: after };
  const { artifacts, paths } = await sortSelection(only, moments, store.root);
  const places = artifacts.flatMap((key) => {
    const own = [before, after].flatMap((files) => files?.manifest.get(key)?.path ?? []);
    const changed = own.filter((place) =>
      changes.some(({ path }) => path === place || path.startsWith(`${place}/`)),
    );
    const isNamed =
      before?.manifest.textOf(key) !== after?.manifest.textOf(key) ||
      before?.lock.textOf(key) !== after?.lock.textOf(key);
    if (changed.length === 0 && !isNamed) throw notChanged(key, id);
    return changed;
  });
  const files = [manifestName, lockName].filter(
    (name) => artifacts.length > 0 && changes.some(({ path }) => path === name),
  );
  return {
    keys: new Set(artifacts),
    paths: [...new Set([...paths, ...places, ...files])],
  };
}

function notChanged(key: ArtifactKey, id: number): CollectionError {
  const message = `transaction ${String(id)} changed nothing of ${addressOf(key)}`;
  return new CollectionError('ARTIFACT_NOT_FOUND', message, {
    path: addressOf(key),
    hint: `See what it changed: skillmeat txn show ${String(id)}`,
  });
}
