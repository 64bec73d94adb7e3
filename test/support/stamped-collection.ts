import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  type AvailableUpdate,
  type Collection,
  type Fetcher,
  openCollection,
  openFetcher,
} from '../../src/collection/index.js';
import { fetchedStamped, stampedFacts, stampedHash } from '../crash/children/stamped.mjs';
import type { Mode } from './store.js';

/** A collection of stamped skills, and fresh versions of them without a network. */
export interface StampedCollection extends AsyncDisposable {
  readonly collection: Collection;
  readonly fetcher: Fetcher;
  /** What an update of a skill brings, as if it had been fetched. */
  available(name: string, version: number): Promise<AvailableUpdate>;
}

/** Makes it in `<directory>/collection`, each skill in version 0. */
export async function openStamped(
  directory: string,
  names: readonly string[],
  native: Mode,
): Promise<StampedCollection> {
  const root = join(directory, 'collection');
  mkdirSync(root, { recursive: true });
  const collection = await openCollection(root, { create: true, native });
  const home = join(directory, 'home');
  const fetcher = await openFetcher({
    home,
    cache: join(home, 'cache'),
    pid: process.pid,
    environment: {},
    now: Date.now,
  });
  const copyOf = (version: number) => fetchedStamped(join(fetcher.makeDirectory(), 'x'), version);
  await collection.init('stamped');
  await collection.add(
    names.map((name) => ({
      ...stampedFacts(0),
      name,
      type: 'skill',
      path: `skills/${name}`,
      tags: [],
      from: copyOf(0).path,
    })),
  );
  return {
    collection,
    fetcher,
    available: async (name, version) => {
      const key = `${name}::skill` as const;
      const artifact = (await collection.reader.files()).manifest.get(key);
      if (artifact === undefined) throw new Error(`${key} is in the manifest`);
      return { key, artifact, fetched: copyOf(version), contentHash: stampedHash(version) };
    },
    [Symbol.asyncDispose]: async () => {
      await fetcher[Symbol.asyncDispose]();
      await collection.close();
    },
  };
}
