import { closeSync, openSync, readdirSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Store } from '../../src/engine/index.js';
import { recordCrashes } from '../support/crash.js';
import { openJournal } from '../support/objects.js';
import {
  expectError,
  modes,
  readQuarantine,
  requireHealthy,
  stagedTransactions,
  useSandbox,
} from '../support/store.js';
import { file, readTree } from '../support/tree.js';

/* What old transactions displaced goes when it is asked for; all else of history stays true. */

const day = 86_400_000;

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);
  let now = 0;

  /** Transactions 1 to 5, a day apart, each of which replaces `a` and makes a file of its own. */
  async function fiveDays(options: Parameters<typeof sandbox.open>[0] = {}): Promise<Store> {
    now = Date.UTC(2026, 0, 1);
    sandbox.seed({ a: 'before' });
    const store = await sandbox.open({ now: () => now, ...options });
    for (const n of [1, 2, 3, 4, 5]) {
      await store.transact({ message: `no ${String(n)}` }, async (tx) => {
        await tx.write('a', `after ${String(n)}`);
        await tx.write(`new-${String(n)}`, String(n));
      });
      now += day;
    }
    return store;
  }

  test('a dry run tells what goes and why; pruning drops that, and undo says so', async () => {
    const store = await fiveDays();
    const policy = { keepLast: 2 };
    const planned = await store.prune(policy, { dryRun: true });
    expect(
      planned.transactions.map(({ transaction, isKept, reason, bytes }) => [
        transaction.id,
        isKept,
        reason,
        bytes,
      ]),
    ).toEqual([
      [5, true, 'the newest', 7],
      [4, true, 'one of the last 2', 7],
      [3, false, 'no rule keeps it', 7],
      [2, false, 'no rule keeps it', 7],
      [1, false, 'no rule keeps it', 6],
    ]);
    expect(planned).toMatchObject({ bytesBefore: 34, bytesAfter: 14, prunedThrough: 3 });
    expect((await store.status()).unsettled).toBe(5);
    expect(stagedTransactions(sandbox.root)).toEqual([1, 2, 3, 4, 5]);
    const tree = sandbox.tree();
    const pruned = await store.prune(policy);
    expect(pruned.transactions.map(({ isKept }) => isKept)).toEqual(
      planned.transactions.map(({ isKept }) => isKept),
    );
    expect(pruned).toMatchObject({ bytesBefore: 34, bytesAfter: 14, prunedThrough: 3 });
    expect(stagedTransactions(sandbox.root)).toEqual([4, 5]);
    expect(sandbox.tree()).toEqual(tree);
    const { message } = await expectError(store.undo({ transaction: 3 }), 'HISTORY_PRUNED');
    expect(message).toContain('the oldest that can be undone is 4');
    await expectError(store.rollback({ to: { transaction: 2 } }), 'HISTORY_PRUNED');
    await expectError(store.read('a', { kind: 'transaction', id: 2 }), 'HISTORY_PRUNED');
    // The log goes back to the first, and nothing is amiss.
    expect((await store.log()).map(({ id }) => id)).toEqual([5, 4, 3, 2, 1]);
    const findings = [];
    for await (const { kind } of store.verify({ deep: true })) findings.push(kind);
    expect(findings).toEqual([]);
    await store.rollback({ to: { transaction: 3 } });
    expect(sandbox.tree()['a']).toEqual(file('after 3'));
    // Again: nothing more to drop than what came since.
    expect((await store.prune({ keepLast: 9 })).transactions).toHaveLength(3);
  });

  test('the last transaction of each day is kept, can be undone and is in no way of what follows', async () => {
    const store = await fiveDays();
    now -= day / 2;
    // Of the fifth day as well.
    await store.transact({}, (tx) => tx.write('b', 'six'));
    now += 2 * day;
    const policy = { keepLast: 1, keepDaily: 3 };
    for (const _ of ['first', 'again']) {
      const { transactions, prunedThrough } = await store.prune(policy);
      expect(
        transactions.flatMap(({ transaction, isKept, reason }) =>
          isKept ? [[transaction.id, reason]] : [],
        ),
      ).toEqual([
        [6, 'the newest'],
        [4, 'daily'],
        [3, 'daily'],
      ]);
      expect(prunedThrough).toBe(5);
      expect(stagedTransactions(sandbox.root)).toEqual([3, 4]);
    }
    expect(
      (await store.log()).map(({ id, isPruned, isPinned }) => [id, isPruned, isPinned]),
    ).toEqual([
      [6, false, false],
      [5, true, false],
      [4, false, false],
      [3, false, false],
      [2, true, false],
      [1, true, false],
    ]);
    const findings = [];
    for await (const { kind } of store.verify({ deep: true })) findings.push(kind);
    expect(findings).toEqual([]);
    await store.close();
    const other = await sandbox.open({ now: () => now });
    await expectError(other.undo({ transaction: 5 }), 'HISTORY_PRUNED');
    await other.undo({ transaction: 3, force: true });
    expect(sandbox.tree()['a']).toEqual(file('after 2'));
    await other.setHistoryPolicy({ keepLast: 1, keepDaily: 1 });
    now += 2 * day;
    await other.prune();
    expect(stagedTransactions(sandbox.root)).toEqual([7]);
  });

  test('without a policy nothing goes that the store would not drop by itself', async () => {
    const store = await fiveDays();
    expect((await store.prune()).transactions.every(({ isKept }) => isKept)).toBe(true);
    expect(stagedTransactions(sandbox.root)).toEqual([1, 2, 3, 4, 5]);
  });

  test('what is not a day old goes at once when that is asked for, the newest never', async () => {
    const store = await fiveDays();
    now -= day;
    const { transactions } = await store.prune({ keepLast: 0 }, { now: true });
    expect(transactions.map(({ transaction: { id }, isKept }) => [id, isKept])).toEqual([
      [5, true],
      [4, false],
      [3, false],
      [2, false],
      [1, false],
    ]);
    expect(stagedTransactions(sandbox.root)).toEqual([5]);
  });

  test('what is not a day old is left alone by every pruning, what is in trouble for good', async () => {
    const store = await fiveDays();
    now -= day;
    // 5 is committed right now, 4 a day ago; the first time none of them is settled.
    for (const dropped of [[4, 3, 2, 1], []]) {
      await store.transact({}, (tx) => tx.write('b', dropped.join()));
      const pruned = await store.prune({ keepLast: 0 });
      expect(
        pruned.transactions.flatMap(({ transaction: { id }, isKept }) => (isKept ? [] : [id])),
      ).toEqual(dropped);
      expect(pruned.transactions).toContainEqual(
        expect.objectContaining({
          transaction: expect.objectContaining({ id: 5 }) as object,
          isKept: true,
          reason: 'not a day old',
        }),
      );
    }
    await store.undo({ transaction: 5 });
    await store.transact({}, (tx) => tx.write('a', 'after 6'));
    await store.transact({}, (tx) => tx.write('a', 'after 7'));
    const journal = openJournal(store);
    journal.update([{ id: 9, state: 'committed', trouble: 'blocked', reason: 'in the way' }]);
    now += 2 * day;
    const { transactions } = await store.prune({ keepLast: 0 });
    journal.update([{ id: 9, state: 'settled' }]);
    journal[Symbol.dispose]();
    expect(transactions.map(({ transaction, isKept }) => [transaction.id, isKept])).toEqual([
      [10, true],
      [9, true],
      [8, false],
      [7, false],
      [6, false],
      [5, false],
    ]);
    expect(stagedTransactions(sandbox.root)).toEqual([9, 10]);
  });

  test('what a program wrote to a displaced file goes to quarantine, not away', async () => {
    now = Date.UTC(2026, 0, 1);
    sandbox.seed({ a: 'before' });
    const store = await sandbox.open({ now: () => now });
    const editor = openSync(sandbox.at('a'), 'r+');
    for (const text of ['1', '2']) await store.transact({}, (tx) => tx.write('a', text));
    now += 2 * day;
    await store.prune();
    writeSync(editor, 'late write');
    closeSync(editor);
    await store.prune({ keepLast: 1 });
    expect(readQuarantine(sandbox.root)).toMatchObject([{ path: 'a', bytes: 'late write' }]);
  });

  test('killed at any call of pruning, what is kept can be undone, and the rest is swept', async () => {
    const recorder = recordCrashes(mode, sandbox.root, join(sandbox.directory, 'killed'));
    const store = await fiveDays({ fileSystem: recorder.files });
    const tree = sandbox.tree();
    recorder.start();
    await store.prune({ keepLast: 2 });
    recorder.stop();
    const found = new Set<string>();
    for (const { label, root } of recorder.points) {
      expect(readTree(root), label).toEqual(tree);
      const killed = await sandbox.openAt(root, { adopt: true, now: () => now });
      const findings = [];
      for await (const { kind } of killed.verify({ deep: true })) findings.push(kind);
      expect(findings, label).toEqual([]);
      found.add(stagedTransactions(root).join());
      await killed.rollback({ to: { transaction: 3 } });
      expect(readTree(root)['a'], label).toEqual(file('after 3'));
      await killed.close();
      requireHealthy(root);
    }
    expect(found).toEqual(new Set(['1,2,3,4,5', '4,5']));
    expect(readdirSync(sandbox.at('.skillmeat/quarantine'))).toEqual([]);
  });
});
