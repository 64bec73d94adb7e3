import { chmodSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Moment, Store } from '../../src/engine/index.js';
import { names, systemError, watchedFileSystem } from '../support/faults.js';
import { changeJournal, expectError, listOwn, modes, useSandbox } from '../support/store.js';

const after = (id: number): Moment => ({ kind: 'transaction', id });
const now: Moment = { kind: 'now' };

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);

  /** Transactions 1 to 4 over `d/a`, `b` and a link, and an edit by hand. */
  async function openWithHistory(): Promise<Store> {
    sandbox.seed({ 'd/a': 'a0\n', untouched: 'u' });
    const store = await sandbox.open();
    await store.transact({ message: 'one' }, (tx) => tx.write('d/a', 'a1\n'));
    await store.transact({ message: 'two' }, async (tx) => {
      await tx.write('b', 'b2\n');
      await tx.symlink('l', 'd/a');
    });
    await store.transact({ message: 'three' }, (tx) => tx.remove('d'));
    await store.transact({ message: 'four' }, (tx) => tx.write('d/a', 'a4\n'));
    writeFileSync(sandbox.at('b'), 'by hand\n');
    return store;
  }

  const read = async (store: Store, path: string, at?: Moment): Promise<string> =>
    Buffer.from((await store.read(path, at)).bytes).toString();

  test('a file is read as it was after each transaction', async () => {
    const store = await openWithHistory();
    expect(await read(store, 'd/a', after(0))).toBe('a0\n');
    expect(await read(store, 'd/a', after(1))).toBe('a1\n');
    expect(await read(store, 'd/a', after(2))).toBe('a1\n');
    await expectError(store.read('d/a', after(3)), 'PATH_NOT_FOUND');
    expect(await read(store, 'd/a', after(4))).toBe('a4\n');
    expect(await read(store, 'd/a')).toBe('a4\n');
    expect(await read(store, 'b', now)).toBe('by hand\n');
    // No transaction ever touched it: it is taken to have been as it is.
    expect(await read(store, 'untouched', after(1))).toBe('u');
  });

  test('what is not a file, not there, or no longer kept is refused by name', async () => {
    const store = await openWithHistory();
    await expectError(store.read('d', after(1)), 'PATH_IS_DIRECTORY', { path: 'd' });
    await expectError(store.read('l', after(2)), 'PATH_IS_LINK');
    await expectError(store.read('b', after(1)), 'PATH_NOT_FOUND');
    await expectError(store.read('d/a', after(5)), 'TRANSACTION_NOT_FOUND');
    await expectError(store.read('../x', now), 'PATH_ESCAPES_ROOT');
    await expectError(store.read('b', after(2)), 'HISTORY_PRUNED', { path: 'b' });
    await expectError(store.read('.skillmeat/owner', now), 'PATH_IN_ENGINE_DIRECTORY');
  });

  test('a slot that was written to is never shown as history', async () => {
    const store = await openWithHistory();
    for (const name of listOwn(sandbox.root, 'stage')) {
      if (!name.startsWith('1-')) continue;
      writeFileSync(join(sandbox.root, '.skillmeat/stage', name), 'XX\n');
    }
    await expectError(store.read('d/a', after(0)), 'HISTORY_DAMAGED', { path: 'd/a' });
    expect(await read(store, 'd/a', after(1))).toBe('a1\n');
  });

  test('a slot that goes while it is opened is told as any that is lost', async () => {
    await (await openWithHistory()).close();
    const slot = listOwn(sandbox.root, 'stage').find((name) => name.startsWith('1-')) ?? '';
    const fileSystem = watchedFileSystem(mode, (call) => {
      if (call.method === 'openForReading' && names(call, slot)) {
        rmSync(join(sandbox.root, '.skillmeat/stage', slot));
      }
    });
    const store = await sandbox.open({ fileSystem });
    await expectError(store.read('d/a', after(0)), 'HISTORY_DAMAGED', { path: 'd/a' });
  });

  test('a slot that cannot be opened is told by what the disk said', async () => {
    await (await openWithHistory()).close();
    const slot = listOwn(sandbox.root, 'stage').find((name) => name.startsWith('1-')) ?? '';
    const fileSystem = watchedFileSystem(mode, (call) => {
      if (call.method === 'openForReading' && names(call, slot)) throw systemError('EIO');
    });
    const store = await sandbox.open({ fileSystem });
    await expectError(store.read('d/a', after(0)), 'IO_FAILED');
  });

  test('a difference between two transactions, either way round', async () => {
    const store = await openWithHistory();
    const paths = async (from: Moment, to: Moment): Promise<unknown> =>
      (await store.diff({ from, to })).map(({ path, before, after: then }) => [
        path,
        before.kind,
        then.kind,
      ]);
    expect(await paths(after(0), after(1))).toEqual([['d/a', 'file', 'file']]);
    expect(await paths(after(1), after(3))).toEqual([
      ['b', 'absent', 'file'],
      ['d', 'directory', 'absent'],
      ['d/a', 'file', 'absent'],
      ['l', 'absent', 'symlink'],
    ]);
    expect(await paths(after(3), after(1))).toEqual([
      ['b', 'file', 'absent'],
      ['d', 'absent', 'directory'],
      ['d/a', 'absent', 'file'],
      ['l', 'symlink', 'absent'],
    ]);
    expect(await paths(after(2), after(2))).toEqual([]);
    expect(await paths(now, now)).toEqual([]);
  });

  test('what differs now from the newest transaction is what was changed by hand', async () => {
    const store = await openWithHistory();
    expect((await store.diff()).map(({ path }) => path)).toEqual(['b']);
    chmodSync(sandbox.at('d/a'), 0o600);
    rmSync(sandbox.at('l'));
    symlinkSync('elsewhere', sandbox.at('l'));
    expect((await store.diff()).map(({ path }) => path)).toEqual(['b', 'd/a', 'l']);
    expect((await store.diff({ paths: ['d'] })).map(({ path }) => path)).toEqual(['d/a']);
  });

  test('with the text of what differs', async () => {
    const store = await openWithHistory();
    const [change] = await store.diff({ from: after(0), to: after(1), text: true });
    expect(change?.diff).toEqual({
      text: 'diff --git a/d/a b/d/a\n--- a/d/a\n+++ b/d/a\n@@ -1 +1 @@\n-a0\n+a1\n',
      omitted: null,
    });
    const [kept] = await store.diff({ from: after(2), to: now, paths: ['b'], text: true });
    expect(kept?.diff?.omitted).toBe('not kept');
    expect((await store.diff({ from: after(0), to: after(1) }))[0]?.diff).toBeNull();
  });

  test('the log of a path has what changed it, or something below it', async () => {
    const store = await openWithHistory();
    const ids = async (path: string, limit = 9): Promise<unknown> =>
      (await store.log({ path, limit })).map(({ id }) => id);
    expect(await ids('d/a')).toEqual([4, 3, 1]);
    expect(await ids('d')).toEqual([4, 3, 1]);
    expect(await ids('d', 1)).toEqual([4]);
    expect(await ids('b')).toEqual([2]);
    expect(await ids('untouched')).toEqual([]);
    expect((await store.log({ path: 'd', before: 4 })).map(({ id }) => id)).toEqual([3, 1]);
    await expectError(store.log({ path: '/abs' }), 'PATH_ESCAPES_ROOT');
  });

  test('a path beside one, with the same beginning, is not below it', async () => {
    const store = await sandbox.open();
    await store.transact({}, (tx) => tx.write('d/a', '1'));
    await store.transact({}, (tx) => tx.write('d-', '1'));
    await store.transact({}, (tx) => tx.write('d0', '1'));
    expect((await store.log({ path: 'd' })).map(({ id }) => id)).toEqual([1]);
    expect((await store.lastChanges({ paths: ['d'] })).map(({ path }) => path)).toEqual([
      'd',
      'd/a',
    ]);
  });

  test('of each path it is known which transaction changed it last', async () => {
    const store = await openWithHistory();
    await store.undo({ paths: ['d'] });
    expect(
      (await store.lastChanges()).map(({ path, image, changedBy, transaction }) => {
        expect(transaction?.id).toBe(changedBy);
        return [path, image.kind, changedBy];
      }),
    ).toEqual([
      ['b', 'file', 2],
      ['d', 'absent', 5],
      ['d/a', 'absent', 5],
      ['l', 'symlink', 2],
    ]);
    expect((await store.lastChanges({ paths: ['b', 'l'] })).length).toBe(2);
  });

  test('a journal row that was tampered with is noticed before it is believed', async () => {
    const store = await openWithHistory();
    changeJournal(sandbox.root, "UPDATE journal_change SET path = '../x' WHERE path = 'b'");
    await expectError(store.diff(), 'JOURNAL_DAMAGED');
    sandbox.breaksStore();
  });

  test('an abort stops it', async () => {
    const store = await openWithHistory();
    const signal = AbortSignal.abort();
    await expectError(store.undo({ signal }), 'ABORTED');
  });
});
