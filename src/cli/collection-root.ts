import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import {
  Collection,
  CollectionError,
  type CollectionFiles,
  CollectionReader,
  type CollectionStatus,
} from '../collection/index.js';
import { isEngineError, type Store } from '../engine/index.js';
import type { Context } from './context.js';
import type { GlobalOptions } from './global-options.js';
import { activeName, collectionDirectory, isCollection, namedCollection } from './home.js';
import { openForCommand, openForReading, openOrMake, withHint } from './open-store.js';
import { workingDirectory } from './store-root.js';

/**
 * Returns the collection at hand: the one that `--collection` or `-C` names, or else the nearest one
 * from the working directory upwards, or else the one in use.
 *
 * @throws {CollectionError} `COLLECTION_NOT_FOUND`.
 */
export function findCollection(options: Pick<GlobalOptions, 'root' | 'collection'>): string {
  const given = givenCollection(options);
  const root = given ?? nearestCollection(workingDirectory()) ?? collectionDirectory(activeName());
  if (isCollection(root)) return root;
  const hint =
    given === undefined
      ? 'Make one with: skillmeat init'
      : 'See: skillmeat collection list; or make one with: skillmeat init';
  throw new CollectionError('COLLECTION_NOT_FOUND', `there is no collection in ${root}`, {
    path: root,
    hint,
  });
}

/** Returns the directory that `--collection` or `-C` names. */
export function givenCollection({
  root,
  collection,
}: Pick<GlobalOptions, 'root' | 'collection'>): string | undefined {
  if (collection !== undefined) return namedCollection(collection);
  return root === undefined ? undefined : resolve(workingDirectory(), root);
}

/** Returns the collection in use, if there is one: what a command falls back to. */
export function collectionInUse(): string | undefined {
  const root = collectionDirectory(activeName());
  return isCollection(root) ? root : undefined;
}

/** Returns the collection that the working directory is in. */
export function collectionAtHand(): string | undefined {
  return nearestCollection(workingDirectory());
}

function nearestCollection(start: string): string | undefined {
  for (let directory = start; ; directory = dirname(directory)) {
    if (isCollection(directory)) return directory;
    if (directory === dirname(directory)) return undefined;
  }
}

/**
 * Opens the collection at hand for a change; its store is made by the first one.
 *
 * @throws {EngineError} `STORE_NOT_FOUND` for a dry run where there is none yet: it makes nothing.
 */
export async function openCollectionForChange(
  context: Context,
  flags: { readonly dryRun?: boolean } = {},
): Promise<Collection> {
  return openCollectionAt(context, findCollection(context.options), flags);
}

/** As {@link openCollectionForChange}, for a directory that is a collection or becomes one. */
export async function openCollectionAt(
  context: Context,
  root: string,
  { dryRun = false }: { readonly dryRun?: boolean } = {},
): Promise<Collection> {
  if (!dryRun) return new Collection((await openOrMake(context, { root })).store);
  try {
    return new Collection(await openForCommand(context, { root }));
  } catch (error) {
    throw withHint(error, `A dry run makes no store. Run first: skillmeat txn init ${root}`);
  }
}

/**
 * Reads the collection at hand, after recovering what a dead process left in its store. One that
 * may not be written to cannot be recovered, and can be read all the same.
 */
export async function readCollection(context: Context): Promise<CollectionReader> {
  const root = findCollection(context.options);
  const store = await openStoreOf(context, root);
  await store?.close();
  return new CollectionReader(root);
}

/** A collection that was compared with its lock. */
export interface CollectionAtHand {
  readonly root: string;
  readonly reader: CollectionReader;
  readonly files: CollectionFiles;
  readonly status: CollectionStatus;
}

/** As {@link readCollection}; the store's memory of what did not change spares reading it. */
export async function readCollectionStatus(context: Context): Promise<CollectionAtHand> {
  const root = findCollection(context.options);
  await using store = await openStoreOf(context, root);
  const collection = store === undefined ? undefined : new Collection(store);
  const reader = collection?.reader ?? new CollectionReader(root);
  const status = await (collection ?? reader).status();
  return { root, reader, files: await reader.files(), status };
}

/** Opens the store of a collection, recovering it; `undefined` where there is none, or it cannot be. */
async function openStoreOf(context: Context, root: string): Promise<Store | undefined> {
  if (!existsSync(join(root, '.skillmeat'))) return undefined;
  try {
    const options = { ...context.options, root };
    return (await openForReading({ ...context, options })).store;
  } catch (error) {
    if (!isEngineError(error, 'PERMISSION_DENIED', 'READ_ONLY')) throw error;
    context.output.warn(`${error.message}; the collection is shown as it is on the disk`);
    return undefined;
  }
}
