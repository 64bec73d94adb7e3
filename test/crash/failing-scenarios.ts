import fs from 'node:fs';
import path from 'node:path';
import { type OpenStoreOptions, openStore, type Store } from '../../src/engine/index.js';
import { Child, describeTree } from '../support/processes.js';
import { transactions } from './children/transactions.mjs';
import { makePlace, makeStore, type NativeMode, type Place } from './recovered-state.js';

/** Something that the engine is asked for, during which calls fail. */
export interface Scenario {
  readonly name: string;
  /** Makes what it starts from. */
  readonly prepare: (native: NativeMode) => Promise<Place>;
  /** With a store that was opened before; without: it opens one itself. */
  readonly act?: (store: Store, place: Place) => Promise<unknown>;
  /** How far the clock is ahead, in milliseconds. */
  readonly aheadMs?: number;
  /** What must hold besides, however it ended. */
  readonly check?: (store: Store) => Promise<void>;
  /** For a scenario that opens the store: how. */
  readonly opens?: OpenStoreOptions;
  /** Whether a sync that failed stops the store until it is opened again. */
  readonly poisonedByBarrier?: boolean;
  /** Which exchange is refused in any case. */
  readonly refuseExchange?: number;
}

/** What one can see of a store from outside, and whether the transaction happened. */
export interface Observed {
  readonly tree: readonly string[];
  /** What lies beside the root. */
  readonly beside: readonly string[];
  readonly transactions: readonly string[];
  readonly snapshots: readonly string[];
}

/** The message of the transaction that shows that the store still works. */
export const nextMessage = 'next';
export const nextPath = 'next.txt';

export const scenarios: readonly Scenario[] = [
  ...transactions.map(
    (transaction, index): Scenario => ({
      name: `transaction ${String(index + 1)}`,
      prepare: (native) => prepared(native, index),
      poisonedByBarrier: true,
      act: (store, place) => store.transact({}, (tx) => transaction(tx, place.source)),
    }),
  ),
  {
    name: 'a transaction that is rolled back',
    prepare: (native) => prepared(native, 1),
    refuseExchange: 3,
    poisonedByBarrier: true,
    act: (store, place) => store.transact({}, async (tx) => transactions[1]?.(tx, place.source)),
  },
  {
    name: 'undo',
    prepare: (native) => prepared(native, 2),
    poisonedByBarrier: true,
    act: (store) => store.undo(),
  },
  {
    name: 'adopt',
    prepare: async (native) => {
      const place = await prepared(native, 2);
      fs.writeFileSync(path.join(place.root, 'b.txt'), 'edited by hand');
      return place;
    },
    poisonedByBarrier: true,
    act: (store) => store.adopt(),
  },
  {
    name: 'snapshot',
    prepare: makeStore,
    act: (store) => store.snapshots.create({ name: 'taken' }),
  },
  {
    name: 'restore',
    prepare: withSnapshot,
    poisonedByBarrier: true,
    act: async (store) => {
      const { notRestored } = await store.snapshots.restore('base');
      if (notRestored.length > 0) throw new Partly();
    },
  },
  {
    name: 'restore elsewhere',
    prepare: withSnapshot,
    act: async (store, place) => {
      const to = path.join(place.directory, 'elsewhere');
      const { notRestored } = await store.snapshots.restore('base', { to });
      if (notRestored.length > 0) throw new Partly();
    },
  },
  {
    name: 'deletion of a snapshot',
    prepare: withSnapshot,
    act: (store) => store.snapshots.delete('base', { now: true }),
  },
  {
    name: 'packing',
    prepare: withSnapshot,
    aheadMs: 172_800_000,
    poisonedByBarrier: true,
    act: (store) => store.prune({}, { pack: true }),
    check: requireNoFinding,
  },
  {
    name: 'first initialisation',
    prepare: async () => makePlace(),
    opens: { create: true },
  },
  {
    name: 'recovery of a transaction',
    prepare: (native) => killed(native, 'exchange', 2),
    opens: {},
  },
  {
    name: 'recovery of a rolled-back transaction',
    prepare: (native) => killed(native, 'journal COMMIT', 2, 3),
    opens: {},
  },
];

/** Some paths were not restored, and were named: neither success nor failure. */
export class Partly extends Error {}

async function prepared(native: NativeMode, count: number): Promise<Place> {
  const place = await makeStore(native);
  await using store = await openStore(place.root, { native });
  for (const [i, transaction] of transactions.slice(0, count).entries()) {
    await store.transact({ message: String(i) }, (tx) => transaction(tx, place.source));
  }
  return place;
}

async function withSnapshot(native: NativeMode): Promise<Place> {
  const place = await makeStore(native);
  await using store = await openStore(place.root, { native });
  await store.snapshots.create({ name: 'base' });
  for (const transaction of transactions) {
    await store.transact({}, (tx) => transaction(tx, place.source));
  }
  return place;
}

/** Everything that is kept hashes to its name. */
async function requireNoFinding(store: Store): Promise<void> {
  for await (const finding of store.verify({ deep: true })) {
    throw new Error(JSON.stringify(finding));
  }
  await store.rollback({ to: { transaction: 0 }, dryRun: true, force: true });
}

/** A store whose process was killed in the third transaction, or in undoing it. */
async function killed(
  native: NativeMode,
  of: string,
  at: number,
  refuseExchange?: number,
): Promise<Place> {
  const place = await prepared(native, 2);
  const child = new Child('run-and-die.mjs', {
    ...place,
    native,
    run: [2],
    die: { of, at, when: 'after' },
    refuseExchange,
  });
  const { signal, errors } = await child.ended;
  if (signal === 'SIGKILL') return place;
  throw new Error(`the child was to be killed: ${String(signal)} ${errors}`);
}

/** What a restore elsewhere writes until it is whole; stays when nothing can be removed. */
const draftPrefix = '.skillmeat-restore-';

/** Looks at a store that nobody disturbs. */
export async function observe(store: Store, place: Place): Promise<Observed> {
  const log = await store.log({ limit: 10_000 });
  const kept = log.filter(
    ({ message, state }) => message !== nextMessage && state !== 'rolled-back',
  );
  const beside = fs
    .readdirSync(place.directory)
    .filter((name) => name !== 'root' && !name.startsWith(draftPrefix));
  return {
    tree: describeTree(place.root).filter((line) => !line.startsWith(`${nextPath} `)),
    beside: beside.flatMap((name) => [name, ...describeTree(path.join(place.directory, name))]),
    transactions: kept.map(({ message }) => message),
    snapshots: (await store.snapshots.list()).map(({ name }) => String(name)),
  };
}
