import type { ReadableView } from '../engine/index.js';
import type { Artifact } from './artifact.js';
import { CollectionError } from './errors.js';
import { LockFile, lockName } from './lock-file.js';
import { artifactsIn, Manifest, manifestName } from './manifest.js';
import { decodeToml } from './toml/parse-toml.js';

/** The two files that say what a collection holds. */
export interface CollectionFiles {
  readonly manifest: Manifest;
  readonly lock: LockFile;
}

/**
 * What was last read or written of a collection. Only spares work: what is read is compared with it,
 * byte for byte.
 */
export interface SeenFiles {
  last?: CollectionFiles | undefined;
}

/** How often the two files are read again because somebody changes them. */
const readsMax = 20;

/**
 * Reads both files. Taking a large one apart is what a change of it costs, so what is as in `known` is
 * taken from there.
 *
 * @throws {CollectionError} `COLLECTION_NOT_FOUND`, `TOML_INVALID`.
 */
export async function readFiles(
  view: ReadableView,
  root: string,
  known?: CollectionFiles,
): Promise<CollectionFiles> {
  const manifest = await view.read(manifestName);
  if (manifest === undefined) throw notFound(root);
  return parseFiles(manifest, await view.read(lockName), known);
}

/** Returns the manifest's artifacts, in its order. @throws as {@link readFiles}. */
export async function readArtifacts(
  view: ReadableView,
  root: string,
): Promise<readonly Artifact[]> {
  const manifest = await view.read(manifestName);
  if (manifest === undefined) throw notFound(root);
  return artifactsIn(decodeToml(manifest, manifestName));
}

/** As {@link readFiles}, of a directory that somebody may be writing to: both files of one moment. */
export async function readFilesTogether(
  view: ReadableView,
  root: string,
  known?: CollectionFiles,
): Promise<CollectionFiles> {
  let manifest = await view.read(manifestName);
  for (let reads = 0; ; reads += 1) {
    if (manifest === undefined) throw notFound(root);
    const lock = await view.read(lockName);
    const after = await view.read(manifestName);
    // A transaction may have come between the two: then the manifest has another `updated`.
    if (reads === readsMax || (after !== undefined && isSame(manifest, after))) {
      return parseFiles(manifest, lock, known);
    }
    manifest = after;
  }
}

function parseFiles(
  manifest: Uint8Array,
  lock: Uint8Array = new Uint8Array(),
  known?: CollectionFiles,
): CollectionFiles {
  const isManifestKnown = known !== undefined && isSame(known.manifest.bytes, manifest);
  const isLockKnown = known !== undefined && isSame(known.lock.bytes, lock);
  return {
    manifest: isManifestKnown
      ? known.manifest
      : new Manifest(decodeToml(manifest, manifestName), known?.manifest),
    lock: isLockKnown ? known.lock : new LockFile(decodeToml(lock, lockName), known?.lock),
  };
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

function notFound(root: string): CollectionError {
  return new CollectionError('COLLECTION_NOT_FOUND', `${root} has no ${manifestName}`, {
    path: root,
    hint: 'Make a collection with: skillmeat init; or name one with --collection.',
  });
}
