import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { rebuildStore, type Store } from '../../src/engine/index.js';
import { openDatabase } from '../../src/engine/sqlite.js';
import { recordCrashes } from '../support/crash.js';
import {
  expectError,
  modes,
  requireHealthy,
  stagedTransactions,
  useSandbox,
} from '../support/store.js';
import { file, readTree } from '../support/tree.js';

/* What somebody pins, tags or sets as the store's policy decides which history stays. */

const day = 86_400_000;

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);
  let now = 0;

  /** Transactions 1 to 5, a day apart, each of which replaces `a` and `b`. */
  async function fiveDays(options: Parameters<typeof sandbox.open>[0] = {}): Promise<Store> {
    now = Date.UTC(2026, 0, 1);
    sandbox.seed({ a: 'a0', b: 'b0' });
    const store = await sandbox.open({ now: () => now, ...options });
    for (const n of [1, 2, 3, 4, 5]) {
      await store.transact({ message: `no ${String(n)}` }, async (tx) => {
        await tx.write('a', `a${String(n)}`);
        await tx.write('b', `b${String(n)}`);
      });
      now += day;
    }
    return store;
  }

  async function kindsFound(store: Store): Promise<readonly string[]> {
    const kinds: string[] = [];
    for await (const { kind } of store.verify({ deep: true })) kinds.push(kind);
    return kinds;
  }

  const marksIn = async (store: Store): Promise<unknown[]> =>
    (await store.log()).map(({ id, isPruned, isPinned, tags }) => [id, isPruned, isPinned, tags]);

  test('what is pinned or tagged is kept by every pruning, can be undone, and is told as such', async () => {
    const store = await fiveDays();
    expect(await store.mark(2, { pin: true })).toMatchObject({ id: 2, isPinned: true, tags: [] });
    await store.mark(1, { addTags: ['good', 'v1 of it', 'good'] });
    const pruned = await store.prune({ keepLast: 1 });
    expect(
      pruned.transactions.map(({ transaction, isKept, reason }) => [
        transaction.id,
        isKept,
        reason,
      ]),
    ).toEqual([
      [5, true, 'the newest'],
      [4, false, 'no rule keeps it'],
      [3, false, 'no rule keeps it'],
      [2, true, 'pinned'],
      [1, true, 'tagged good, v1 of it'],
    ]);
    expect(pruned.prunedThrough).toBe(4);
    expect(stagedTransactions(sandbox.root)).toEqual([1, 2, 5]);
    expect(await marksIn(store)).toEqual([
      [5, false, false, []],
      [4, true, false, []],
      [3, true, false, []],
      [2, false, true, []],
      [1, false, false, ['good', 'v1 of it']],
    ]);
    expect(await store.show(3)).toMatchObject({ isPruned: true });
    expect((await store.history()).map(({ isPruned }) => isPruned)).toEqual(
      (await store.log()).map(({ isPruned }) => isPruned),
    );
    expect(await kindsFound(store)).toEqual([]);
    await expectError(store.undo({ transaction: 3 }), 'HISTORY_PRUNED');
    // What 2 displaced is what 1 had left.
    expect((await store.read('a', { kind: 'transaction', id: 1 })).bytes.toString()).toBe('a1');
    await expectError(store.read('a', { kind: 'transaction', id: 2 }), 'HISTORY_PRUNED');
    await store.undo({ transaction: 2, force: true });
    expect(sandbox.tree()).toEqual({ a: file('a1'), b: file('b1') });
    await store.rollback({ to: { transaction: 0 } });
    expect(sandbox.tree()).toEqual({ a: file('a0'), b: file('b0') });
    // Again, and by a checkpoint.
    now += 2 * day;
    expect((await store.prune({ keepLast: 1 })).transactions.map(({ isKept }) => isKept)).toEqual([
      true,
      false,
      false,
      true,
      true,
    ]);
    await store.close();
    await (await sandbox.open({ now: () => now })).close();
    expect(stagedTransactions(sandbox.root)).toEqual([1, 2, 7]);
  });

  test('what is no longer marked stays until it is pruned, and goes then', async () => {
    const store = await fiveDays();
    await store.mark(1, { pin: true, addTags: ['x'] });
    await store.mark(5, { pin: true });
    await store.prune({ keepLast: 1 });
    expect(await store.mark(1, { pin: false })).toMatchObject({ isPinned: false, tags: ['x'] });
    expect(await store.mark(1, { removeTags: ['x', 'none'] })).toMatchObject({
      isPruned: false,
      isPinned: false,
      tags: [],
    });
    await store.mark(5, { pin: false });
    expect(stagedTransactions(sandbox.root)).toEqual([1, 5]);
    expect(await kindsFound(store)).toEqual([]);
    expect((await store.prune({ keepLast: 1 })).transactions).toMatchObject([
      { transaction: { id: 5 }, isKept: true },
      { transaction: { id: 1, isPruned: true }, isKept: false },
    ]);
    expect(stagedTransactions(sandbox.root)).toEqual([5]);
    await expectError(store.undo({ transaction: 1 }), 'HISTORY_PRUNED');
    expect((await store.prune({ keepLast: 1 })).prunedThrough).toBe(4);
  });

  test('only what can still be undone can be marked, with tags that can be printed', async () => {
    const store = await fiveDays();
    await expectError(store.mark(6, { pin: true }), 'TRANSACTION_NOT_FOUND');
    for (const tag of ['', ' x', '-x', 'a\nb', 'x'.repeat(101)]) {
      const { hint } = await expectError(store.mark(1, { addTags: [tag] }), 'TAG_INVALID');
      expect(hint).toContain('neither a space nor a dash');
    }
    const many = Array.from({ length: 65 }, (_, at) => String(at));
    await expectError(store.mark(1, { addTags: many }), 'TAG_INVALID');
    await store.prune({ keepLast: 1 });
    await expectError(store.mark(2, { pin: true }), 'HISTORY_PRUNED');
    await expectError(store.mark(2, { addTags: ['x'] }), 'HISTORY_PRUNED');
    expect(await store.mark(2, { pin: false })).toMatchObject({ isPruned: true, isPinned: false });
    expect(await marksIn(store)).toContainEqual([2, true, false, []]);
  });

  test('killed at any call of pruning and of taking the mark back, what is marked can be undone', async () => {
    const recorder = recordCrashes(mode, sandbox.root, join(sandbox.directory, 'killed'));
    const store = await fiveDays({ fileSystem: recorder.files });
    await store.mark(2, { pin: true });
    recorder.start();
    await store.prune({ keepLast: 1 });
    await store.mark(2, { pin: false });
    await store.prune({ keepLast: 1 });
    recorder.stop();
    const found = new Set<string>();
    for (const { label, root } of recorder.points) {
      const killed = await sandbox.openAt(root, { adopt: true, now: () => now });
      expect(await kindsFound(killed), label).toEqual([]);
      found.add(stagedTransactions(root).join());
      const { isPruned } = await killed.show(2);
      if (isPruned) await expectError(killed.undo({ transaction: 2 }), 'HISTORY_PRUNED');
      else {
        await killed.undo({ transaction: 2, force: true });
        expect(readTree(root), label).toEqual({ a: file('a1'), b: file('b1') });
      }
      await killed.close();
      requireHealthy(root);
    }
    expect(found).toEqual(new Set(['1,2,3,4,5', '2,5', '5']));
  });

  test('marks and the policy outlive a rebuilding of the journal, those of lost transactions do not', async () => {
    const store = await fiveDays();
    await store.mark(2, { pin: true });
    await store.mark(5, { addTags: ['lost'] });
    await store.setHistoryPolicy({ keepLast: 3 });
    await store.snapshots.setPolicy({ keepLast: 4 });
    await store.prune({ keepLast: 2 });
    await store.close();
    const journal = openDatabase(sandbox.at('.skillmeat/journal.db'));
    journal.exec("UPDATE journal_transaction SET message = 'x' WHERE id = 5");
    journal.close();
    rmSync(sandbox.at('.skillmeat/owner'));
    sandbox.breaksStore();
    await rebuildStore(sandbox.root, { native: mode, now: () => now });
    const rebuilt = await sandbox.open({ now: () => now });
    expect(await marksIn(rebuilt)).toEqual([
      [4, false, false, []],
      [3, true, false, []],
      [2, false, true, []],
      [1, true, false, []],
    ]);
    await rebuilt.transact({}, (tx) => tx.write('c', 'new'));
    expect(await marksIn(rebuilt)).toContainEqual([5, false, false, []]);
    expect(await rebuilt.historyPolicy()).toEqual({ policy: { keepLast: 3 }, isDefault: false });
    expect((await rebuilt.snapshots.policy()).policy).toEqual({ keepLast: 4 });
    await rebuilt.undo({ transaction: 2, force: true });
    expect(sandbox.tree()['a']).toEqual(file('a1'));
  });

  test('the store keeps to its own policy, without being asked and in every program', async () => {
    const store = await fiveDays();
    const byDefault = {
      keepLast: 1_000,
      sizeBytesMax: 2_147_483_648,
      keepRecords: 10_000,
      packFromBytes: 1_048_576,
    };
    expect(await store.historyPolicy()).toEqual({ policy: byDefault, isDefault: true });
    await store.setHistoryPolicy({ keepWithinMs: 3.5 * day });
    await store.mark(1, { addTags: ['kept'] });
    await store.close();
    const other = await sandbox.open({ now: () => now });
    expect(await other.historyPolicy()).toEqual({
      policy: { keepWithinMs: 3.5 * day },
      isDefault: false,
    });
    expect((await other.prune(undefined, { dryRun: true })).prunedThrough).toBe(2);
    // By itself: what one checkpoint has settled the next one prunes. Adopting settles.
    for (const text of ['1', '2', '3']) {
      await other.transact({}, (tx) => tx.write('c', text));
      await other.adopt();
    }
    expect(stagedTransactions(sandbox.root).slice(0, 3)).toEqual([1, 3, 4]);
    expect(await other.setHistoryPolicy(undefined)).toEqual({ policy: byDefault, isDefault: true });
    expect((await other.prune(undefined, { dryRun: true })).prunedThrough).toBe(2);
  });

  test('by itself the last of each day is kept as well, where the policy says so', async () => {
    const store = await fiveDays();
    await store.setHistoryPolicy({ keepLast: 1, keepDaily: 3 });
    for (const text of ['1', '2', '3']) {
      await store.transact({}, (tx) => tx.write('c', text));
      await store.adopt();
    }
    // When 8 came, the last ones of three days that were settled were 7, 5 and 4.
    expect(stagedTransactions(sandbox.root)).toEqual([4, 5, 7, 8]);
    expect(await kindsFound(store)).toEqual([]);
    expect((await store.log()).map(({ isPruned }) => isPruned)).toEqual(
      [8, 7, 6, 5, 4, 3, 2, 1].map((id) => ![4, 5, 7, 8].includes(id)),
    );
    await store.undo({ transaction: 4, force: true });
    expect(sandbox.tree()['a']).toEqual(file('a3'));
  });

  test('a policy is made of known rules and whole numbers', async () => {
    const store = await sandbox.open();
    for (const policy of [{ keepLast: -1 }, { keepLast: 1.5 }, { keepFirst: 1 }, null]) {
      await expect(store.setHistoryPolicy(policy as never)).rejects.toThrow(/keepRecords/);
    }
    expect((await store.historyPolicy()).isDefault).toBe(true);
  });
});
