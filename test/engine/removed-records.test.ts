import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { hashContent } from '../../src/engine/hash.js';
import { placesOf } from '../../src/engine/history.js';
import { rebuildStore, type Store } from '../../src/engine/index.js';
import { type RelativePath } from '../../src/engine/path.js';
import { noHead } from '../../src/engine/transaction-row.js';
import { openDatabase } from '../../src/engine/sqlite.js';
import { recordCrashes } from '../support/crash.js';
import { openJournal } from '../support/objects.js';
import { changeOwner, expectError, modes, requireHealthy, useSandbox } from '../support/store.js';
import { file, readTree } from '../support/tree.js';

/* The oldest records leave the log; what is left of it, and of what paths were, stays true. */

const day = 86_400_000;

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);
  let now = 0;

  /**
   * Transactions 1 to 6, a day apart, each of which replaces `a` and makes a file of its own; 2 makes
   * `gone`, which 3 removes. Pruned through 4.
   */
  async function prunedStore(options: Parameters<typeof sandbox.open>[0] = {}): Promise<Store> {
    now = Date.UTC(2026, 0, 1);
    sandbox.seed({ a: 'a0' });
    const store = await sandbox.open({ now: () => now, ...options });
    for (const n of [1, 2, 3, 4, 5, 6]) {
      await store.transact({ message: `no ${String(n)}` }, async (tx) => {
        await tx.write('a', `a${String(n)}`);
        await tx.write(`new-${String(n)}`, String(n));
        if (n === 2) await tx.write('gone', 'gone');
        if (n === 3) await tx.remove('gone');
      });
      now += day;
    }
    await store.prune({ keepLast: 2 });
    return store;
  }

  async function kindsFound(store: Store): Promise<readonly string[]> {
    const kinds: string[] = [];
    for await (const { kind, path } of store.verify({ deep: true })) kinds.push(`${kind} ${path}`);
    return kinds;
  }

  const idsIn = async (store: Store): Promise<unknown[]> => (await store.log()).map(({ id }) => id);

  const change = (statement: string): void => {
    const database = openDatabase(sandbox.at('.skillmeat/journal.db'));
    database.exec(statement);
    database.close();
  };

  test('what was pruned before leaves the log, as many as asked for stay', async () => {
    const store = await prunedStore();
    const dry = await store.prune({ keepRecords: 3 }, { dryRun: true });
    expect(dry.removedRecords).toBe(3);
    expect(await idsIn(store)).toEqual([6, 5, 4, 3, 2, 1]);
    expect((await store.prune({ keepRecords: 3 })).removedRecords).toBe(3);
    expect(await idsIn(store)).toEqual([6, 5, 4]);
    expect((await store.usage()).journal.transactions).toBe(3);
    // 5 and 6 still keep what they displaced.
    expect((await store.prune({ keepRecords: 0 })).removedRecords).toBe(1);
    expect((await store.prune({ keepRecords: 0 })).removedRecords).toBe(0);
    expect(await idsIn(store)).toEqual([6, 5]);
    expect(await kindsFound(store)).toEqual([]);
    await store.close();
    const again = await sandbox.open({ now: () => now });
    expect(await kindsFound(again)).toEqual([]);
    await again.transact({}, (tx) => tx.write('a', 'a7'));
    expect(await idsIn(again)).toEqual([7, 6, 5]);
  });

  test('a content is looked for beside what is removed meanwhile', async () => {
    now = Date.UTC(2026, 0, 1);
    sandbox.seed({ a: 'same' });
    const store = await sandbox.open({ now: () => now });
    for (const content of ['other', 'same', 'last', 'very last']) {
      await store.transact({}, (tx) => tx.write('a', content));
      now += day;
    }
    using journal = openJournal(store);
    const places = placesOf(hashContent(Buffer.from('same')), 'a' as RelativePath, journal);
    expect(places.next().value).toMatch(/^3-/);
    await store.prune({ keepLast: 2 });
    expect((await store.prune({ keepRecords: 2 })).removedRecords).toBe(2);
    expect(places.next()).toEqual({ done: true, value: undefined });
  });

  test('what is removed is not taken for what never was', async () => {
    const store = await prunedStore();
    await store.prune({ keepRecords: 3 });
    for (const act of [
      () => store.show(3),
      () => store.undo({ transaction: 3 }),
      () => store.redo({ transaction: 3 }),
      () => store.mark(3, { pin: true }),
      () => store.rollback({ to: { transaction: 2 } }),
      () => store.diff({ from: { kind: 'transaction', id: 2 } }),
      () => store.read('a', { kind: 'transaction', id: 0 }),
    ]) {
      await expectError(act, 'HISTORY_PRUNED', { message: /begins with 4/ });
    }
    await expectError(store.show(7), 'TRANSACTION_NOT_FOUND');
    await expectError(store.undo({ transaction: 4 }), 'HISTORY_PRUNED');
    const changed = await store.diff({ from: { kind: 'transaction', id: 3 } });
    expect(changed.map(({ path }) => path)).toEqual(['a', 'new-4', 'new-5', 'new-6']);
    await store.rollback({ to: { transaction: 4 }, paths: ['new-1', 'a', 'new-6'] });
    expect(sandbox.tree()).toMatchObject({ a: file('a4'), 'new-1': file('1') });
    expect(sandbox.tree()['new-6']).toBeUndefined();
    await expectError(
      store.rollback({ to: { transaction: 4 }, paths: ['gone'] }),
      'PATH_NOT_FOUND',
    );
  });

  test('drift of what only a removed transaction changed is seen, and adopted', async () => {
    const store = await prunedStore();
    await store.prune({ keepRecords: 3 });
    expect(await store.drift()).toEqual([]);
    writeFileSync(sandbox.at('new-1'), 'by hand');
    rmSync(sandbox.at('new-2'));
    expect((await store.drift()).map(({ path }) => path)).toEqual(['new-1', 'new-2']);
    expect(await kindsFound(store)).toEqual(['drift new-1', 'drift new-2']);
    await store.adopt();
    expect(await store.drift()).toEqual([]);
    await store.transact({}, (tx) => tx.write('new-2', 'again'));
    const blamed = (await store.lastChanges()).map(({ path, changedBy, transaction }) => {
      expect(transaction?.id).toBe(changedBy > 3 ? changedBy : undefined);
      return [path, changedBy];
    });
    expect(blamed).toEqual([
      ['a', 6],
      ['new-1', 7],
      ['new-2', 8],
      ['new-3', 3],
      ['new-4', 4],
      ['new-5', 5],
      ['new-6', 6],
    ]);
  });

  test('what is young, marked, in trouble or undone by what stays is not removed, nor what follows', async () => {
    const store = await prunedStore();
    const removable = async (): Promise<number> =>
      (await store.prune({ keepRecords: 0 }, { dryRun: true })).removedRecords;
    expect(await removable()).toBe(4);
    const journal = openJournal(store);
    const epoch = journal.epoch();
    journal.keeping.mark(3, { isPinned: true, tags: [] }, epoch);
    expect(await removable()).toBe(2);
    journal.keeping.drop([3], []);
    journal.update([{ id: 2, state: 'committed', trouble: 'blocked', reason: 'in the way' }]);
    expect(await removable()).toBe(1);
    journal.update([{ id: 2, state: 'settled' }]);
    now = Date.UTC(2026, 0, 3) + day / 2;
    expect(await removable()).toBe(2);
    now = Date.UTC(2026, 0, 8);
    expect(await removable()).toBe(4);
    journal[Symbol.dispose]();
  });

  test('of removed transactions the last row of each path stays, of those that took effect', async () => {
    const store = await prunedStore();
    const journal = openJournal(store);
    journal.update([{ id: 3, state: 'rolled-back', reason: 'as if' }]);
    const rows = (): readonly unknown[] =>
      journal.anchors.soundRows(journal.anchors.get().through).map(({ id, path }) => [id, path]);
    await store.prune({ keepRecords: 4 });
    expect(rows()).toEqual([
      [1, 'new-1'],
      [2, 'a'],
      [2, 'gone'],
      [2, 'new-2'],
    ]);
    await store.prune({ keepRecords: 2 });
    expect(rows()).toEqual([
      [1, 'new-1'],
      [2, 'gone'],
      [2, 'new-2'],
      [4, 'a'],
      [4, 'new-4'],
    ]);
    expect(journal.anchors.get()).toMatchObject({ through: 4, rowCount: 5 });
    journal.update([{ id: 5, state: 'settled' }]);
    journal[Symbol.dispose]();
  });

  test('an undo that stays keeps the record of what it undoes', async () => {
    now = Date.UTC(2026, 0, 1);
    const store = await sandbox.open({ now: () => now });
    for (const text of ['1', '2']) await store.transact({}, (tx) => tx.write('a', text));
    await store.undo();
    await store.transact({}, (tx) => tx.write('a', '4'));
    now += 2 * day;
    await store.prune({ keepLast: 1 });
    now += 2 * day;
    await store.prune({ keepLast: 1 });
    expect((await store.prune({ keepRecords: 2 })).removedRecords).toBe(1);
    expect((await store.history()).map(({ id, kind }) => [id, kind])).toEqual([
      [4, 'change'],
      [3, 'undo'],
      [2, 'change'],
    ]);
    expect((await store.prune({ keepRecords: 1 })).removedRecords).toBe(2);
  });

  test('a checkpoint removes records by itself when there are many more than asked for', async () => {
    const store = await prunedStore();
    await store.setHistoryPolicy({ keepLast: 1, keepRecords: 7 });
    const settle = async (text: string): Promise<void> => {
      await store.transact({}, (tx) => tx.write('a', text));
      await store.adopt();
    };
    await settle('a7');
    expect(await idsIn(store)).toHaveLength(7);
    await settle('a8');
    expect(await idsIn(store)).toEqual([8, 7, 6, 5, 4, 3, 2]);
    // 7 and one are not many more than 7 if 9 may be there.
    await store.setHistoryPolicy({ keepLast: 1, keepRecords: 8 });
    await settle('a9');
    await settle('a10');
    expect(await idsIn(store)).toHaveLength(9);
    expect(await kindsFound(store)).toEqual([]);
  });

  test('an owner record that is older than the anchor is no evidence of a loss, a wrong one is', async () => {
    const store = await prunedStore();
    const journal = openJournal(store);
    const [second, third] = [journal.headAt(2), journal.headAt(3)];
    await store.prune({ keepRecords: 3 });
    expect(journal.headAt(3)).toEqual(third);
    journal[Symbol.dispose]();
    await store.close();
    for (const head of [second, third]) {
      changeOwner(sandbox.root, { mark: { head: head ?? noHead, writes: 1 } });
      await (await sandbox.open({ now: () => now })).close();
    }
    changeOwner(sandbox.root, { mark: { head: { ...noHead, id: 3 }, writes: 1 } });
    await expectError(sandbox.open({ now: () => now }), 'JOURNAL_DAMAGED');
    await rebuildStore(sandbox.root, { native: mode, now: () => now });
    await (await sandbox.open({ now: () => now })).close();
  });

  test('killed at any call of removing records, the log is whole before or after', async () => {
    const recorder = recordCrashes(mode, sandbox.root, join(sandbox.directory, 'killed'));
    const store = await prunedStore({ fileSystem: recorder.files });
    const tree = sandbox.tree();
    recorder.start();
    await store.prune({ keepLast: 1, keepRecords: 3 });
    await store.prune({ keepRecords: 2 });
    recorder.stop();
    const found = new Set<string>();
    for (const { label, root } of recorder.points) {
      expect(readTree(root), label).toEqual(tree);
      const killed = await sandbox.openAt(root, { adopt: true, now: () => now });
      expect(await kindsFound(killed), label).toEqual([]);
      found.add((await idsIn(killed)).join());
      await killed.undo({ transaction: 6 });
      expect(readTree(root)['a'], label).toEqual(file('a5'));
      await killed.close();
      requireHealthy(root);
    }
    expect(found).toEqual(new Set(['6,5,4,3,2,1', '6,5,4', '6,5']));
  });

  test.each([
    ['of the anchor', "UPDATE meta SET value = replace(value, '1', '2') WHERE key = 'anchor'"],
    ['of a row before it', "UPDATE journal_change SET path = 'x' WHERE path = 'new-1'"],
    [
      'of a row before it, in what no hash covers,',
      "UPDATE journal_change SET superseded = 'x' WHERE path = 'new-1'",
    ],
    ['that a row before it is missing', "DELETE FROM journal_change WHERE path = 'new-1'"],
  ])('damage %s is found, and rebuilding keeps what can be believed', async (_what, statement) => {
    const store = await prunedStore();
    await store.prune({ keepRecords: 3 });
    await store.close();
    change(statement);
    sandbox.breaksStore();
    const damaged = await sandbox.open({ now: () => now, recover: 'never' });
    expect((await kindsFound(damaged))[0]).toBe('record-damaged null');
    await damaged.close();
    expect(await rebuildStore(sandbox.root, { native: mode, now: () => now })).toMatchObject({
      transactions: 6,
    });
    const rebuilt = await sandbox.open({ now: () => now });
    expect(await kindsFound(rebuilt)).toEqual([]);
    expect(await idsIn(rebuilt)).toEqual([6, 5, 4]);
    writeFileSync(sandbox.at('new-2'), 'by hand');
    expect((await rebuilt.drift()).map(({ path }) => path)).toEqual(['new-2']);
    await rebuilt.undo({ transaction: 6 });
    expect(sandbox.tree()['a']).toEqual(file('a5'));
    await expectError(rebuilt.show(3), 'HISTORY_PRUNED');
  });

  test('an anchor that speaks of nothing goes when the log is rebuilt', async () => {
    const store = await sandbox.open();
    await store.transact({}, (tx) => tx.write('a', 'a'));
    await store.close();
    change("INSERT INTO meta (key, value, checksum) VALUES ('anchor', 'nonsense', 0)");
    sandbox.breaksStore();
    await rebuildStore(sandbox.root, { native: mode });
    const rebuilt = await sandbox.open();
    expect(await kindsFound(rebuilt)).toEqual([]);
    expect(await idsIn(rebuilt)).toEqual([1]);
  });

  test('a mark on a removed transaction keeps nothing', async () => {
    const store = await prunedStore();
    await store.prune({ keepRecords: 3 });
    using journal = openJournal(store);
    journal.keeping.mark(2, { isPinned: true, tags: [] }, journal.epoch());
    const { transactions } = await store.prune({ keepLast: 2 });
    expect(transactions.map(({ transaction }) => transaction.id)).toEqual([6, 5]);
    journal.keeping.mark(2, { isPinned: false, tags: [] }, journal.epoch());
    expect(await idsIn(store)).toEqual([6, 5, 4]);
  });

  test('a log without any sound transaction goes on with the next number', async () => {
    const store = await prunedStore();
    await store.prune({ keepRecords: 3 });
    await store.close();
    change("UPDATE journal_transaction SET message = 'x' WHERE id = 4");
    sandbox.breaksStore();
    const rebuiltTo = await rebuildStore(sandbox.root, { native: mode, now: () => now });
    expect(rebuiltTo).toMatchObject({ transactions: 3, traces: 6 });
    const rebuilt = await sandbox.open({ now: () => now });
    expect(await idsIn(rebuilt)).toEqual([]);
    const { transaction } = await rebuilt.transact({}, (tx) => tx.write('b', 'b'));
    expect(transaction?.id).toBe(4);
    expect((await rebuilt.drift()).map(({ path }) => path)).toEqual(['a']);
  });
});
