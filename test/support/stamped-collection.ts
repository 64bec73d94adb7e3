import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  type AvailableUpdate,
  type Collection,
  type Fetcher,
  openCollection,
  openFetcher,
  type UpdateChange,
} from '../../src/collection/index.js';
import type { OpenStoreOptions } from '../../src/engine/index.js';
import { fetchedStamped, stampedFacts, stampedHash } from '../crash/children/stamped.mjs';
import type { Mode } from './store.js';

/** A collection of stamped skills, and fresh versions of them without a network. */
export interface StampedCollection extends AsyncDisposable {
  readonly collection: Collection;
  readonly fetcher: Fetcher;
  /** What an update of a skill brings, as if it had been fetched. */
  available(name: string, version: number): Promise<AvailableUpdate>;
  /** Brings a version in, whatever is there. */
  update(name: string, version: number): Promise<UpdateChange>;
}

/** Makes it in `<directory>/collection`, each skill in version 0. */
export async function openStamped(
  directory: string,
  names: readonly string[],
  native: Mode,
): Promise<StampedCollection> {
  mkdirSync(join(directory, 'collection'), { recursive: true });
  const stamped = await reopenStamped(directory, { create: true, native });
  const { collection, fetcher } = stamped;
  await collection.init('stamped');
  const { path: from } = fetchedStamped(join(fetcher.makeDirectory(), 'x'), 0);
  await collection.add(
    names.map((name) => ({
      ...stampedFacts(0),
      name,
      type: 'skill',
      path: `skills/${name}`,
      tags: [],
      from,
    })),
  );
  return stamped;
}

/** Opens one that is there. */
export async function reopenStamped(
  directory: string,
  options: OpenStoreOptions,
): Promise<StampedCollection> {
  const collection = await openCollection(join(directory, 'collection'), options);
  const home = join(directory, 'home');
  const fetcher = await openFetcher({
    home,
    cache: join(home, 'cache'),
    pid: process.pid,
    environment: {},
    now: Date.now,
  });
  const available = async (name: string, version: number): Promise<AvailableUpdate> => {
    const key = `${name}::skill` as const;
    const artifact = (await collection.reader.files()).manifest.get(key);
    if (artifact === undefined) throw new Error(`${key} is in the manifest`);
    const fetched = fetchedStamped(join(fetcher.makeDirectory(), 'x'), version);
    return { key, artifact, fetched, contentHash: stampedHash(version) };
  };
  return {
    collection,
    fetcher,
    available,
    update: async (name, version) =>
      collection.update([await available(name, version)], { fetcher, strategy: 'overwrite' }),
    [Symbol.asyncDispose]: async () => {
      await fetcher[Symbol.asyncDispose]();
      await collection.close();
    },
  };
}
