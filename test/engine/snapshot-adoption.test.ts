import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Store } from '../../src/engine/index.js';
import { recordCrashes } from '../support/crash.js';
import { faultyFileSystem, type FileSystemCall, watchedFileSystem } from '../support/faults.js';
import { openJournal, plantObject } from '../support/objects.js';
import { expectError, modes, requireHealthy, useSandbox } from '../support/store.js';
import { file, readTree } from '../support/tree.js';

/* What other programs changed becomes a transaction when a snapshot sees it, and can be undone. */

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);

  async function openWithFiles(options: Parameters<typeof sandbox.open>[0] = {}): Promise<Store> {
    sandbox.seed({ unknown: 'u', 'd/a': 'a', 'd/b': 'b', gone: 'g' });
    const store = await sandbox.open(options);
    await store.transact({}, async (tx) => {
      await tx.write('d/a', 'a2');
      await tx.write('d/b', 'b2');
      await tx.chmod('d', 0o700);
      await tx.remove('gone');
    });
    return store;
  }

  function editByHand(): void {
    writeFileSync(sandbox.at('d/a'), 'by hand');
    rmSync(sandbox.at('d/b'));
    // Not what it was before the transaction: recovery would take that for one that was not applied.
    chmodSync(sandbox.at('d'), 0o750);
    symlinkSync('unknown', sandbox.at('gone'));
    writeFileSync(sandbox.at('unknown'), 'no transaction knows it');
  }

  test('a snapshot records what other programs changed, and stands after that', async () => {
    const store = await openWithFiles();
    editByHand();
    const tree = sandbox.tree();
    const { adopted, notAdopted, snapshot } = await store.snapshots.create({ name: 'seen' });
    expect(notAdopted).toBeNull();
    expect(adopted).toMatchObject({
      id: 2,
      state: 'settled',
      message: 'changes by other programs, seen by snapshot seen',
      annotations: { adopts: true },
    });
    expect(adopted?.changes.map(({ path, after }) => [path, after.kind])).toEqual([
      ['d', 'directory'],
      ['d/a', 'file'],
      ['d/b', 'absent'],
      ['gone', 'symlink'],
    ]);
    expect(snapshot.head).toBe(2);
    expect(sandbox.tree()).toEqual(tree);
    expect(await store.drift()).toEqual([]);
    const [newest] = await store.history();
    expect(newest).toMatchObject({ id: 2, kind: 'adopt' });
  });

  test('a snapshot of what only transactions changed records nothing', async () => {
    const store = await openWithFiles();
    writeFileSync(sandbox.at('unknown'), 'no transaction knows it');
    for (const _ of [1, 2]) {
      expect(await store.snapshots.create()).toMatchObject({ adopted: null, notAdopted: null });
    }
    expect((await store.status()).head).toBe(1);
    expect((await store.status()).unsettled).toBe(1);
  });

  test('a snapshot of what the last one saw does not look for drift again', async () => {
    const store = await openWithFiles();
    const { snapshot } = await store.snapshots.create();
    using journal = openJournal(store);
    const noted = `1 ${journal.head().chain} ${snapshot.sha256}`;
    expect(journal.meta('drift_adopted')).toBe(noted);
    // A lie: it would be found out by looking.
    editByHand();
    const { snapshot: edited } = await store.snapshots.create({ adopt: false });
    journal.setMeta({ drift_adopted: `1 ${journal.head().chain} ${edited.sha256}` });
    expect((await store.snapshots.create()).adopted).toBeNull();
    // Of another log, or of another state, it says nothing.
    journal.setMeta({ drift_adopted: `1 ${'0'.repeat(64)} ${edited.sha256}` });
    expect((await store.snapshots.create({ dryRun: true })).adopted?.changeCount).toBe(4);
    journal.setMeta({ drift_adopted: noted });
    expect((await store.snapshots.create()).adopted?.changeCount).toBe(4);
    expect(journal.meta('drift_adopted')).toBe(`2 ${journal.head().chain} ${edited.sha256}`);
    expect((await store.snapshots.create()).adopted).toBeNull();
  });

  test('a dry run of a snapshot says what it would adopt, and one may leave it', async () => {
    const store = await openWithFiles();
    editByHand();
    const planned = await store.snapshots.create({ dryRun: true });
    expect(planned.adopted).toMatchObject({ id: null, state: 'planned', changeCount: 4 });
    const left = await store.snapshots.create({ adopt: false });
    expect(left).toMatchObject({ adopted: null, notAdopted: null });
    expect((await store.status()).head).toBe(1);
    expect(await store.drift()).toHaveLength(4);
    expect((await store.snapshots.create({ dryRun: true, adopt: false })).adopted).toBeNull();
    // The next one sees it all the same.
    expect((await store.snapshots.create()).adopted?.changeCount).toBe(4);
  });

  test('what a snapshot leaves out it does not adopt, nor what lies below it', async () => {
    const store = await openWithFiles();
    editByHand();
    const { adopted } = await store.snapshots.create({ ignore: ['d/'] });
    expect(adopted?.changes.map(({ path }) => path)).toEqual(['gone']);
    const next = await store.snapshots.create({ ignore: ['d/a'] });
    expect(next.adopted?.changes.map(({ path }) => path)).toEqual(['d', 'd/b']);
  });

  test('when the listings of the last adoption are gone, all is compared', async () => {
    const store = await openWithFiles();
    await store.snapshots.create();
    rmSync(sandbox.at('.skillmeat/objects'), { recursive: true });
    editByHand();
    expect((await store.snapshots.create()).adopted?.changeCount).toBe(4);
    expect(await store.drift()).toEqual([]);
  });

  test('a file that is edited again after the scan waits for the next snapshot', async () => {
    let hasEdited = false;
    const files = watchedFileSystem(mode, ({ method }) => {
      if (method !== 'barrier' || hasEdited) return;
      hasEdited = true;
      writeFileSync(sandbox.at('d/a'), 'by hand, after the scan');
    });
    sandbox.seed({ 'd/a': 'a', b: 'b' });
    const before = await sandbox.open();
    await before.transact({}, async (tx) => {
      await tx.write('d/a', 'a2');
      await tx.write('b', 'b2');
    });
    await before.close();
    writeFileSync(sandbox.at('d/a'), 'by hand');
    writeFileSync(sandbox.at('b'), 'by hand');
    const store = await sandbox.open({ fileSystem: files });
    const { adopted } = await store.snapshots.create();
    expect(hasEdited).toBe(true);
    expect(adopted?.changes.map(({ path }) => path)).toEqual(['b']);
    const next = await store.snapshots.create();
    expect(next.adopted?.changes.map(({ path }) => path)).toEqual(['d/a']);
  });

  test('what transactions change between the scan and the lock is not taken for drift', async () => {
    sandbox.seed({ a: 'a' });
    const other = await sandbox.open();
    await other.transact({}, (tx) => tx.write('a', 'a2'));
    let writing: Promise<unknown> | undefined;
    const files = watchedFileSystem(mode, ({ method }) => {
      // The scan is over, and the lock not taken.
      if (method === 'barrier') writing ??= other.transact({}, (tx) => tx.write('a', 'a3'));
    });
    const store = await sandbox.open({ fileSystem: files });
    writeFileSync(sandbox.at('new'), 'makes the snapshot flush');
    const { adopted } = await store.snapshots.create();
    await writing;
    expect(adopted).toBeNull();
    expect(sandbox.tree()['a']).toEqual(file('a3'));
    expect(await store.drift()).toEqual([]);
  });

  test('while a transaction is blocked a snapshot is taken, and nothing adopted', async () => {
    const store = await openWithFiles();
    editByHand();
    const journal = openJournal(store);
    journal.update([{ id: 1, state: 'committed', trouble: 'blocked', reason: 'in the way' }]);
    const told = { adopted: null, notAdopted: 'transaction 1 is blocked' };
    expect(await store.snapshots.create({ dryRun: true })).toMatchObject(told);
    const { adopted, notAdopted, snapshot } = await store.snapshots.create();
    journal.update([{ id: 1, state: 'settled' }]);
    journal[Symbol.dispose]();
    expect([adopted, notAdopted, snapshot.id]).toEqual([null, 'transaction 1 is blocked', 1]);
  });

  test('a snapshot whose adoption is not known to be on disk fails, and poisons the store', async () => {
    const faulty = faultyFileSystem(mode);
    const store = await openWithFiles({ fileSystem: faulty.files });
    // Objects have a barrier of their own, of so many bytes.
    const isOfSettling = ({ method, values }: FileSystemCall): boolean =>
      method === 'barrier' && values[1] === Number.POSITIVE_INFINITY;
    await store.snapshots.create();
    rmSync(sandbox.at('d/b'));
    const listings = await store.snapshots.create({ adopt: false });
    expect(listings.adopted).toBeNull();
    faulty.fail('EIO', isOfSettling, 1);
    await expectError(store.snapshots.create(), 'IO_FAILED');
    faulty.heal();
    await expectError(store.snapshots.create(), 'STORE_POISONED');
    await store.close();
    const again = await sandbox.open();
    expect(await again.snapshots.list()).toHaveLength(2);
    expect((await again.snapshots.create()).adopted?.changeCount).toBe(1);
  });

  test('a snapshot that adopts, killed at any call, is there with what it adopts, or neither is', async () => {
    const recorder = recordCrashes(mode, sandbox.root, join(sandbox.directory, 'killed'));
    const store = await openWithFiles({ fileSystem: recorder.files });
    editByHand();
    const tree = sandbox.tree();
    recorder.start();
    await store.snapshots.create();
    recorder.stop();
    const found = new Set<string>();
    for (const { label, root } of recorder.points) {
      expect(readTree(root), label).toEqual(tree);
      const killed = await sandbox.openAt(root, { adopt: true });
      const snapshots = await killed.snapshots.list();
      const { head } = await killed.status();
      found.add(`${String(head)} ${String(snapshots.length)}`);
      expect(await killed.drift(), label).toHaveLength(head === 1 ? 4 : 0);
      for (const snapshot of snapshots) expect(snapshot.head, label).toBe(2);
      const again = await killed.snapshots.create();
      expect(again.adopted?.changeCount ?? 0, label).toBe(head === 1 ? 4 : 0);
      await killed.close();
      expect(readTree(root), label).toEqual(tree);
      requireHealthy(root);
    }
    expect(found).toEqual(new Set(['1 0', '2 1']));
  });

  describe('undoing what was adopted', () => {
    const large = 'large '.repeat(100_000);

    test('brings back from a snapshot what an editor wrote over', async () => {
      sandbox.seed({ 'd/small': 's', 'd/large': 'l', 'd/tool': { content: 't', mode: 0o755 } });
      const store = await sandbox.open({ compression: 'off' });
      await store.transact({}, async (tx) => {
        await tx.write('d/small', 'small');
        await tx.write('d/large', large);
        await tx.chmod('d/tool', 0o700);
      });
      await store.snapshots.create();
      const before = sandbox.tree();
      writeFileSync(sandbox.at('d/small'), 'over it');
      writeFileSync(sandbox.at('d/large'), 'over it');
      rmSync(sandbox.at('d/tool'));
      const { adopted } = await store.snapshots.create();
      const after = sandbox.tree();
      expect(adopted?.changeCount).toBe(3);
      const text = await store.read('d/small', { kind: 'transaction', id: 1 });
      expect(Buffer.from(text.bytes).toString()).toBe('small');
      const undone = await store.undo();
      expect(undone.undone).toBe(adopted?.id);
      expect(sandbox.tree()).toEqual(before);
      await store.redo();
      expect(sandbox.tree()).toEqual(after);
    });

    test('merges with what a snapshot has', async () => {
      sandbox.seed({ a: '' });
      const store = await sandbox.open();
      await store.transact({}, (tx) => tx.write('a', '1\n2\n3\n4\n5\n'));
      await store.snapshots.create();
      writeFileSync(sandbox.at('a'), '1\n2\n3\n4\nFIVE\n');
      await store.snapshots.create();
      writeFileSync(sandbox.at('a'), 'ONE\n2\n3\n4\nFIVE\n');
      await store.undo({ merge: true });
      expect(sandbox.tree()['a']).toEqual(file('ONE\n2\n3\n4\n5\n'));
    });

    test.each([
      ['small', 'small'],
      ['large', large],
    ])('does nothing when the %s content in the snapshot is damaged', async (_size, content) => {
      sandbox.seed({ a: '' });
      const store = await sandbox.open({ compression: 'off' });
      await store.transact({}, (tx) => tx.write('a', content));
      await store.snapshots.create();
      writeFileSync(sandbox.at('a'), 'over it');
      await store.snapshots.create();
      plantObject(sandbox.root, content, content.toUpperCase());
      await expectError(store.undo(), 'HISTORY_DAMAGED', { path: 'a' });
      expect(sandbox.tree()['a']).toEqual(file('over it'));
      plantObject(sandbox.root, content, undefined);
      await expectError(store.undo(), 'HISTORY_DAMAGED', { path: 'a' });
      plantObject(sandbox.root, content, content);
      await store.undo();
      expect(sandbox.tree()['a']).toEqual(file(content));
    });
  });

  test('a directory that a person emptied and filled again is adopted as it is', async () => {
    const store = await openWithFiles();
    rmSync(sandbox.at('d'), { recursive: true });
    writeFileSync(sandbox.at('d'), 'a file');
    const { adopted } = await store.snapshots.create();
    expect(adopted?.changes.map(({ path, after }) => [path, after.kind])).toEqual([
      ['d', 'file'],
      ['d/a', 'absent'],
      ['d/b', 'absent'],
    ]);
    rmSync(sandbox.at('d'));
    mkdirSync(sandbox.at('d'));
    const next = await store.snapshots.create();
    expect(next.adopted?.changes.map(({ path }) => path)).toEqual(['d']);
  });
});
