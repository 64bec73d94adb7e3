import path from 'node:path';

/** @import { Store } from '../../../src/engine/index.js' */

/**
 * Where a snapshot of the store of a root is restored to, in a directory of its own beside it.
 *
 * @param {string} root
 */
export function elsewhereOf(root) {
  return path.join(path.dirname(root), 'beside', 'restored');
}

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
  'rollback to a transaction': { run: (store) => store.rollback({ to: { transaction: 1 } }) },
  'rollback to a snapshot': { run: (store) => store.rollback({ to: { snapshot: 'first' } }) },
  restore: { run: (store) => store.snapshots.restore('first') },
  'restore elsewhere': {
    run: (store) => store.snapshots.restore('first', { to: elsewhereOf(store.root) }),
  },
  adopt: { run: (store) => store.adopt() },
  snapshot: { run: (store) => store.snapshots.create({ name: 'new' }) },
  'deleting a snapshot': {
    aheadMs: 2 * dayMs,
    run: (store) => store.snapshots.delete('first', { now: true }),
  },
  'deleting a snapshot into the trash': { run: (store) => store.snapshots.delete('first') },
  'undeleting a snapshot': { run: (store) => store.snapshots.undelete('first') },
  'marking a snapshot': {
    run: (store) => store.snapshots.mark('first', { pin: true, addTags: ['good', 'v1'] }),
  },
  'pruning snapshots': {
    aheadMs: 10 * dayMs,
    run: (store) => store.snapshots.prune({ keepLast: 1 }),
  },
  // A snapshot is taken, and what the policy of the store does not keep goes.
  'pruning snapshots by itself': { run: (store) => store.snapshots.create() },
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
