/** @import { Store } from '../../../src/engine/index.js' */

const dayMs = 86_400_000;

/**
 * What people do with history, as the tests of killed processes and power cuts run it in the stores
 * of `history-stores.ts`. `aheadMs`: how far the clock is ahead then, so that things are old enough
 * to go.
 *
 * @type {Readonly<Record<string, { readonly aheadMs?: number, readonly run: (store: Store) => Promise<unknown> }>>}
 */
export const historyActs = {
  undo: { run: (store) => store.undo() },
  redo: { run: (store) => store.redo() },
  'rollback to a snapshot': { run: (store) => store.rollback({ to: { snapshot: 'first' } }) },
  restore: { run: (store) => store.snapshots.restore('first') },
  adopt: { run: (store) => store.adopt() },
  snapshot: { run: (store) => store.snapshots.create({ name: 'new' }) },
  'deleting a snapshot': {
    aheadMs: 2 * dayMs,
    run: (store) => store.snapshots.delete('first', { now: true }),
  },
  'pruning snapshots': {
    aheadMs: 10 * dayMs,
    run: (store) => store.snapshots.prune({ keepLast: 1 }),
  },
  pruning: {
    aheadMs: 10 * dayMs,
    run: (store) => store.prune({ keepLast: 1, keepRecords: 1 }),
  },
  packing: { aheadMs: 10 * dayMs, run: (store) => store.prune({}, { pack: true }) },
  // It displaces enough for a checkpoint, which packs what older transactions displaced; directories wait
  // for a day.
  'packing by itself': {
    aheadMs: 10 * dayMs,
    run: (store) => store.transact({}, (tx) => tx.write('large', 'short')),
  },
  repair: { run: (store) => store.repair({ deep: true }) },
};

/** It takes no open store: its journal cannot be opened. */
export const rebuildingAct = 'rebuilding a journal';
