import { isEngineError, type RollbackOptions, type Store } from '../engine/index.js';
import { addressOf, type ArtifactKey } from './artifact.js';
import { type CollectionFiles, readFiles } from './collection-files.js';
import { Draft } from './draft.js';
import { CollectionError, isCollectionError } from './errors.js';
import { isInside } from './findings.js';
import { labelOf } from './label.js';
import { LiveView } from './live-view.js';
import { LockFile, lockName } from './lock-file.js';
import { Manifest, manifestName } from './manifest.js';
import { resolveArtifact } from './resolve-artifact.js';
import { decodeToml } from './toml/parse-toml.js';

/*
 * Rolling back an artifact: its files are rolled back by the engine, as paths are. What both files
 * say of it comes from the manifest and the lock of then, line by line, into those of now: what they
 * say of other artifacts stays. All of it is one transaction.
 *
 * An artifact that was not there then goes; one that is not there any more comes back. A renamed one
 * is two: the old name comes back, the new one goes, each if it is named.
 */

/** The target of a rollback. */
export type RollbackTarget = RollbackOptions['to'];

/** What `--only` names: artifacts, and paths that belong to none. */
export interface Selection {
  readonly artifacts: readonly ArtifactKey[];
  readonly paths: readonly string[];
}

/** Both files at both moments; `undefined` where there was no collection that can be read. */
export interface TwoMoments {
  readonly past: CollectionFiles | undefined;
  readonly now: CollectionFiles | undefined;
}

/** What the engine has to do for a rollback of artifacts. */
export type ArtifactRollback = Required<Pick<RollbackOptions, 'paths' | 'alongside'>>;

/** @throws {CollectionError} `TOML_INVALID`, and what `Store.read` throws. */
export async function readMoments(store: Store, to: RollbackTarget): Promise<TwoMoments> {
  const view = new LiveView(store.root);
  const past = filesOf(
    await readThen(store, to, manifestName),
    await readThen(store, to, lockName),
  );
  try {
    return { past, now: await readFiles(view, store.root) };
  } catch (error) {
    if (!isCollectionError(error, 'COLLECTION_NOT_FOUND', 'TOML_INVALID')) throw error;
    return { past, now: undefined };
  }
}

/**
 * Tells artifacts from paths: the path of an artifact is the artifact, any other path that is there
 * is a path, a name of an artifact of now or then is the artifact, and all else is a path.
 */
export async function sortSelection(
  only: readonly string[],
  { past, now }: TwoMoments,
  root: string,
): Promise<Selection> {
  const view = new LiveView(root);
  const artifacts = new Set<ArtifactKey>();
  const paths: string[] = [];
  for (const text of only) {
    const bare = text.replace(/\/$/, '');
    // No artifact, and to go back although it cannot be read: somebody broke it.
    if (bare === manifestName || bare === lockName) {
      paths.push(bare);
      continue;
    }
    const placed = [now, past].flatMap((files) => keysAt(files, bare));
    const isPath = placed.length === 0 && isInside(bare) && (await view.stat(bare)) !== undefined;
    const named = placed.length > 0 || isPath ? placed : namedKeys(text, { past, now });
    for (const key of named) artifacts.add(key);
    if (named.length === 0) paths.push(text);
  }
  return { artifacts: [...artifacts], paths };
}

/** @throws {CollectionError} `MANIFEST_CHANGED` when somebody moved one of them meanwhile. */
export async function planArtifactRollback(
  store: Store,
  { artifacts, paths }: Selection,
  {
    moments,
    to,
    time,
  }: { readonly moments: TwoMoments; readonly to: RollbackTarget; readonly time: string },
): Promise<ArtifactRollback> {
  const { past, now } = moments;
  const places = artifacts.flatMap((key) =>
    [past, now].flatMap((files) => files?.manifest.get(key)?.path ?? []),
  );
  const own = new Set(places.filter(isInside).map((path) => path.replace(/\/$/, '')));
  const known: string[] = [];
  for (const path of own) if (await isKnown(store, to, path)) known.push(path);
  return {
    paths: [...paths, ...known],
    alongside: async (tx) => {
      const files = await readFiles(tx, store.root);
      for (const key of artifacts) {
        if (files.manifest.get(key)?.path !== now?.manifest.get(key)?.path) throw moved(key);
      }
      const draft = new Draft(tx, files, time);
      for (const key of artifacts) draft.putBack(key, past);
      await draft.save(false);
      await tx.describe(labelOf('rollback', draft, artifacts));
    },
  };
}

async function readThen(
  store: Store,
  to: RollbackTarget,
  path: string,
): Promise<Uint8Array | undefined> {
  if ('snapshot' in to) return store.snapshots.read(to.snapshot, path);
  try {
    return (await store.read(path, { kind: 'transaction', id: to.transaction })).bytes;
  } catch (error) {
    if (isEngineError(error, 'PATH_NOT_FOUND')) return undefined;
    throw error;
  }
}

function filesOf(
  manifest: Uint8Array | undefined,
  lock: Uint8Array | undefined,
): CollectionFiles | undefined {
  if (manifest === undefined) return undefined;
  return {
    manifest: new Manifest(decodeToml(manifest, manifestName)),
    lock: new LockFile(lock === undefined ? '' : decodeToml(lock, lockName)),
  };
}

function keysAt(files: CollectionFiles | undefined, path: string): readonly ArtifactKey[] {
  if (files === undefined) return [];
  const found = files.manifest.all().filter((one) => one.path.replace(/\/$/, '') === path);
  return found.map(({ name, type }) => `${name}::${type}` as const);
}

function namedKeys(text: string, { past, now }: TwoMoments): readonly ArtifactKey[] {
  for (const files of [now, past]) {
    if (files === undefined) continue;
    try {
      return [resolveArtifact(files.manifest, text)];
    } catch (error) {
      if (!isCollectionError(error, 'ARTIFACT_NOT_FOUND')) throw error;
    }
  }
  return [];
}

/** The engine refuses a path that it has never heard of; such files are as they were. */
async function isKnown(store: Store, to: RollbackTarget, path: string): Promise<boolean> {
  if ('snapshot' in to) {
    if ((await new LiveView(store.root).stat(path)) !== undefined) return true;
    for await (const found of store.snapshots.paths(to.snapshot)) {
      if (found.path === path) return true;
    }
    return false;
  }
  return (await store.log({ path, limit: 1 })).length > 0;
}

function moved(key: ArtifactKey): CollectionError {
  return new CollectionError('MANIFEST_CHANGED', `${addressOf(key)} was moved meanwhile`, {
    path: addressOf(key),
    hint: 'Run the rollback again.',
  });
}
