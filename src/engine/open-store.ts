import { resolve } from 'node:path';
import { requireCompressionLevel } from './compression.js';
import { fromSystemError, fromSystemErrorOnly } from './errors.js';
import type { FileSystem } from './file-system.js';
import { checksumReady, randomId } from './hash.js';
import { Journal } from './journal.js';
import { lockWaitMsDefault } from './limits.js';
import { holderOf } from './lock-holder.js';
import { NodeFileSystem } from './node-file-system.js';
import type { Rebuilt } from './repair/rebuild.js';
import {
  closeStoreDirectory,
  detached,
  explainUnopened,
  journalPath,
  makeStoreDirectory,
  openStoreDirectory,
  requireRoomForIndex,
  type RootIdentity,
  rootIdentity,
  type StoreDirectory,
} from './store-directory.js';
import type { OpenStoreOptions } from './store-options.js';
import { Store } from './store.js';
import { WriterLock } from './writer-lock.js';

/**
 * Opens the store of a directory, recovering first what a dead process left.
 *
 * @param root the directory; absolute, or relative to the working directory.
 * @throws {EngineError} `STORE_NOT_FOUND`, `STORE_UNSAFE`, `STORE_DETACHED`, `STORE_FORMAT_NEWER`,
 * `STORE_LOCKED`, `JOURNAL_FOREIGN`, `JOURNAL_DAMAGED`, `FILE_SYSTEM_UNSUPPORTED`,
 * `SQLITE_UNSUITABLE`, `PERMISSION_DENIED`, `DISK_FULL`.
 */
export async function openStore(root: string, options: OpenStoreOptions = {}): Promise<Store> {
  if (typeof root !== 'string' || root === '') throw new TypeError('root must be a path');
  requireCompressionLevel(options.compression);
  await checksumReady;
  const files = options.fileSystem ?? new NodeFileSystem({ native: options.native ?? 'auto' });
  const given = { files, rootPath: resolve(root) };
  try {
    return await open(given, options);
  } catch (error) {
    files.close();
    throw fromSystemErrorOnly(error, 'open', given.rootPath);
  }
}

async function open(
  given: { readonly files: FileSystem; readonly rootPath: string },
  options: OpenStoreOptions,
): Promise<Store> {
  const acceptsFileSystem = options.acceptFileSystem ?? false;
  if (options.create === true) await create({ ...given, acceptsFileSystem }, options);
  const store = openParts(openStoreDirectory({ ...given, acceptsFileSystem }), options);
  try {
    if (options.recover !== 'never') await store.recoverOnOpen();
    return store;
  } catch (error) {
    await store.close();
    throw error;
  }
}

function openParts(directory: StoreDirectory, options: OpenStoreOptions): Store {
  let journal: Journal | undefined;
  try {
    requireRoomForIndex(directory);
    journal = Journal.open(journalPath(directory));
    requireSameRoot(directory, journal, options.adopt ?? false);
    return new Store(directory, journal, options);
  } catch (error) {
    journal?.[Symbol.dispose]();
    const failure = explainUnopened(error, directory);
    closeStoreDirectory(directory);
    throw failure;
  }
}

/**
 * Builds the journal of a store anew from what can be believed of it: transactions as far as the hash
 * chain holds, snapshots, and, when those cannot be read, what their contents tell. The old journal and
 * what lost transactions displaced go to quarantine; no file of the root is touched. Nobody may have the
 * store open. The next opening recovers.
 *
 * @throws {EngineError} `STORE_NOT_FOUND`, `STORE_UNSAFE`, `STORE_LOCKED`, `STORE_DETACHED` for a journal
 * that is not known to be of this directory (unless `adopt`), `JOURNAL_FOREIGN` for a
 * journal that is no plain file, `DISK_FULL`, ….
 */
export async function rebuildStore(
  root: string,
  { dryRun = false, ...options }: OpenStoreOptions & { readonly dryRun?: boolean } = {},
): Promise<Rebuilt> {
  if (typeof root !== 'string' || root === '') throw new TypeError('root must be a path');
  await checksumReady;
  const { rebuild } = await import('./repair/rebuild.js');
  const files = options.fileSystem ?? new NodeFileSystem({ native: options.native ?? 'auto' });
  const acceptsFileSystem = options.acceptFileSystem ?? false;
  const rootPath = resolve(root);
  const made: string[] = [];
  const onMissing = (name: string): void => {
    made.push(name);
  };
  const directory = openStoreDirectory({ files, rootPath, acceptsFileSystem, onMissing });
  const { now = Date.now, newId = randomId } = options;
  const holder = holderOf(options.command);
  try {
    using lock = new WriterLock({ files, directory: directory.store, holder, now });
    const waitMs = options.lockWaitMs ?? lockWaitMsDefault;
    await lock.acquire({ waitMs, signal: options.signal });
    const bootId = files.bootId() ?? `process-${newId()}`;
    const accepted = { isDryRun: dryRun, adopts: options.adopt ?? false };
    return await rebuild({ directory, lock, bootId, now, newId, ...accepted });
  } catch (error) {
    throw fromSystemErrorOnly(error, 'rebuild the journal of', rootPath);
  } finally {
    const { store } = directory;
    // A dry run leaves everything as it was.
    if (dryRun) for (const name of made) files.removeDirectory({ directory: store, name });
    files.close();
    closeStoreDirectory(directory);
  }
}

async function create(
  given: {
    readonly files: FileSystem;
    readonly rootPath: string;
    readonly acceptsFileSystem: boolean;
  },
  options: OpenStoreOptions,
): Promise<void> {
  const { files, rootPath } = given;
  try {
    files.makeRoot(rootPath);
  } catch (error) {
    throw fromSystemError(error, 'make the directory', rootPath);
  }
  const now = options.now ?? Date.now;
  const holder = holderOf(options.command);
  await makeStoreDirectory({
    ...given,
    meta: (identity) => ({
      uuid: (options.newId ?? randomId)(),
      created_at: now(),
      epoch: 1,
      pruned_through: 0,
      settled_through: 0,
      ...identityMeta(identity),
    }),
    exclusively: async (directory, make) => {
      using lock = new WriterLock({ files, directory, holder, now });
      await lock.acquire({
        waitMs: options.lockWaitMs ?? lockWaitMsDefault,
        signal: options.signal,
      });
      await make();
    },
  });
}

function identityMeta({ inode, born }: RootIdentity): Readonly<Record<string, string>> {
  return { root_inode: inode, root_born: born };
}

/**
 * A journal is instructions: one that came with a copied or cloned directory is not followed until
 * somebody says so.
 */
function requireSameRoot(directory: StoreDirectory, journal: Journal, adopt: boolean): void {
  const { inode, born } = rootIdentity(directory);
  // guard: same-root [if true]
  if (journal.meta('root_inode') === inode && journal.meta('root_born') === born) return;
  if (adopt) {
    journal.setMeta(identityMeta({ inode, born }));
    return;
  }
  // A page that lost its rows says nothing of the root.
  journal.quickCheck();
  // guard: same-root-or-adopted
  throw detached(directory);
}
