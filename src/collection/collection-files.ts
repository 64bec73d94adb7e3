import type { ReadableView } from '../engine/index.js';
import { CollectionError } from './errors.js';
import { LockFile, lockName } from './lock-file.js';
import { Manifest, manifestName } from './manifest.js';
import { decodeToml } from './toml/parse-toml.js';

/** The two files that say what a collection holds. */
export interface CollectionFiles {
  readonly manifest: Manifest;
  readonly lock: LockFile;
}

/** How often the two files are read again because somebody changes them. */
const readsMax = 20;

/**
 * Reads both files. Taking a large one apart is what a change of it costs, so one whose text is that
 * of `known` is not taken apart again.
 *
 * @throws {CollectionError} `COLLECTION_NOT_FOUND`, `TOML_INVALID`.
 */
export async function readFiles(
  view: ReadableView,
  root: string,
  known?: CollectionFiles,
): Promise<CollectionFiles> {
  const manifestBytes = await view.read(manifestName);
  if (manifestBytes === undefined) throw notFound(root);
  const lockBytes = await view.read(lockName);
  const manifest = decodeToml(manifestBytes, manifestName);
  const lock = lockBytes === undefined ? '' : decodeToml(lockBytes, lockName);
  return {
    manifest: known?.manifest.text === manifest ? known.manifest : new Manifest(manifest),
    lock: known?.lock.text === lock ? known.lock : new LockFile(lock),
  };
}

/** As {@link readFiles}, of a directory that somebody may be writing to: both files of one moment. */
export async function readFilesTogether(
  view: ReadableView,
  root: string,
): Promise<CollectionFiles> {
  let before = await view.read(manifestName);
  for (let reads = 0; ; reads += 1) {
    const files = await readFiles(view, root);
    const after = await view.read(manifestName);
    // A transaction may have come between the two: then the manifest has another `updated`.
    if (reads === readsMax || isSame(before, after)) return files;
    before = after;
  }
}

function isSame(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a !== undefined && b !== undefined && Buffer.compare(a, b) === 0;
}

function notFound(root: string): CollectionError {
  return new CollectionError('COLLECTION_NOT_FOUND', `${root} has no ${manifestName}`, {
    path: root,
    hint: 'Make a collection with: skillmeat init; or name one with --collection.',
  });
}
