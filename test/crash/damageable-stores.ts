import { openStore, type Store } from '../../src/engine/index.js';
import { systemError, watchedFileSystem } from '../support/faults.js';
import { transactions } from './children/transactions.mjs';
import { makePlace } from './recovered-state.js';
import { SavedStore } from './saved-store.js';

/** A store at rest with three transactions and two snapshots, then what `more` makes of it. */
async function makeHistory(
  take: (root: string) => void,
  { fileSystem }: { readonly fileSystem?: ReturnType<typeof watchedFileSystem> } = {},
): Promise<void> {
  const { root, source } = makePlace();
  const first = await openStore(root, { create: true });
  await first.snapshots.create({ name: 'early' });
  await run(first, source, 0);
  await run(first, source, 1);
  await first.snapshots.create({ name: 'late' });
  // The log begins anew here: what follows is only in it.
  await first.close();
  await using store = await openStore(root, fileSystem === undefined ? {} : { fileSystem });
  await run(store, source, 2).catch(() => undefined);
  take(root);
}

async function run(store: Store, source: string, index: number): Promise<void> {
  await store.transact({ message: `transaction ${String(index)}` }, (tx) =>
    transactions[index]?.(tx, source),
  );
}

/** What a process leaves that is killed while it applies the third transaction, or undoes it. */
export async function takeHalfDone(rename: number, refused?: number): Promise<SavedStore> {
  let saved: SavedStore | undefined;
  let at = '';
  let renames = 0;
  let isThird = false;
  const fileSystem = watchedFileSystem('auto', ({ method }) => {
    isThird ||= method === 'barrier';
    if (method !== 'exchange' && method !== 'moveNew') return;
    renames += 1;
    if (isThird && renames === rename) saved = SavedStore.take(at);
    if (renames === refused) throw systemError('EACCES');
  });
  const watched = new Proxy(fileSystem, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (name !== 'openRoot' || typeof value !== 'function') return value;
      return (root: string) => {
        at = root;
        return Reflect.apply(value, target, [root]) as unknown;
      };
    },
  });
  await makeHistory(() => undefined, { fileSystem: watched });
  if (saved === undefined) throw new Error('there were that many renames');
  return saved;
}

/** Stores of every kind, as a process leaves them. */
export const damageableStores: Readonly<Record<string, () => Promise<SavedStore>>> = {
  'closed in order': async () => {
    let root = '';
    await makeHistory((at) => {
      root = at;
    });
    return SavedStore.take(root);
  },
  'closed in order, packed': async () => {
    let root = '';
    await makeHistory((at) => {
      root = at;
    });
    await using store = await openStore(root, { now: () => Date.now() + 172_800_000 });
    await store.prune({}, { pack: true });
    await store.close();
    return SavedStore.take(root);
  },
  'killed at rest': async () => {
    let saved: SavedStore | undefined;
    await makeHistory((root) => {
      saved = SavedStore.take(root);
    });
    if (saved === undefined) throw new Error('it was taken');
    return saved;
  },
  'killed while it was applying': () => takeHalfDone(4),
  'killed while it was undoing': () => takeHalfDone(7, 5),
};
