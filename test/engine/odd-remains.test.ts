import { chmodSync, linkSync, mkdirSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Store, Transaction } from '../../src/engine/index.js';
import type { RelativePath } from '../../src/engine/path.js';
import { obstacleError } from '../../src/engine/root-tree.js';
import { recordCrashes } from '../support/crash.js';
import { faultyFileSystem, names, watchedFileSystem } from '../support/faults.js';
import { plantObject } from '../support/objects.js';
import {
  changeOwner,
  expectError,
  listOwn,
  readQuarantine,
  setInJournal,
  useSandbox,
} from '../support/store.js';
import { file, readTree } from '../support/tree.js';

/*
 * Branches of the protocol that are taken only when what lies in `.skillmeat` is not what one process
 * by itself leaves there: after power cuts, late writers, strangers (scripts/test-coverage.js asks for each).
 */

const sandbox = useSandbox('auto');

/** Makes transactions, and leaves them to be recovered, as a process does that dies. */
async function dies(...changes: ((tx: Transaction) => Promise<unknown>)[]): Promise<void> {
  const dead = await sandbox.open();
  for (const change of changes) await dead.transact({}, change);
  await dead.close();
  changeOwner(sandbox.root, { isReleased: false });
}

/** Absolute path of what a transaction keeps as its first slot. */
function slotOf(id: number): string {
  const name = listOwn(sandbox.root, 'stage').find((one) => one.startsWith(`${String(id)}-`));
  return sandbox.at(`.skillmeat/stage/${name ?? 'none'}`);
}

describe('what lies in a slot and is neither what the transaction brought nor what it displaced', () => {
  /** Two transactions on `a` whose slots hold `old` and `new`, and one more on another path. */
  async function twoOn(): Promise<Store> {
    sandbox.seed({ a: 'old', b: 'old b' });
    const store = await sandbox.open();
    await store.transact({}, (tx) => tx.write('b', 'new b'));
    await store.transact({}, async (tx) => {
      await tx.write('a', 'new');
      await tx.write('made', 'made');
    });
    await store.transact({}, (tx) => tx.write('a', 'newer'));
    return store;
  }

  const settle = async (store: Store): Promise<unknown> => {
    await store.adopt();
    expect((await store.show(3)).state).toBe('settled');
    return readQuarantine(sandbox.root).map(({ path, bytes }) => [path, bytes]);
  };

  test('goes back to the earlier slot that it was taken from', async () => {
    const store = await twoOn();
    rmSync(slotOf(2));
    writeFileSync(slotOf(3), 'old');
    expect(await settle(store)).toEqual([]);
    await store.undo({ transaction: 2, force: true });
    expect(sandbox.tree()['a']).toEqual(file('old'));
  });

  test('is removed where it is a second name of what the earlier slot holds', async () => {
    const store = await twoOn();
    const later = slotOf(3);
    unlinkSync(later);
    linkSync(slotOf(2), later);
    expect(await settle(store)).toEqual([]);
    expect(listOwn(sandbox.root, 'stage').filter((name) => name.startsWith('3-'))).toEqual([]);
  });

  test('goes to quarantine where the earlier slot holds a file of its own', async () => {
    const store = await twoOn();
    writeFileSync(slotOf(3), 'old');
    expect(await settle(store)).toEqual([['a', 'old']]);
  });

  test('goes to quarantine where no earlier transaction displaced it', async () => {
    const store = await twoOn();
    rmSync(slotOf(2));
    writeFileSync(slotOf(3), 'nobody’s');
    expect(await settle(store)).toEqual([['a', 'nobody’s']]);
  });

  test('goes to quarantine where the directory is gone that had held it', async () => {
    sandbox.seed({ 'd/x': 'old' });
    const store = await sandbox.open();
    await store.transact({}, (tx) => tx.remove('d'));
    mkdirSync(sandbox.at('d'));
    await store.transact({}, (tx) => tx.write('d/x', 'one'));
    await store.transact({}, (tx) => tx.write('d/x', 'two'));
    rmSync(slotOf(1), { recursive: true });
    writeFileSync(slotOf(3), 'old');
    expect(await settle(store)).toEqual([['d/x', 'old']]);
  });
});

describe('when a dead writer’s transactions are recovered', () => {
  test('what lies in quarantine without a note speaks for its own content only', async () => {
    sandbox.seed({ a: 'old' });
    await dies((tx) => tx.write('a', 'new'));
    setInJournal(sandbox.root, { states: [{ id: 1, state: 'undoing', reason: 'it failed' }] });
    unlinkSync(slotOf(1));
    writeFileSync(sandbox.at('.skillmeat/quarantine/1-1'), 'of another path');
    const store = await sandbox.open();
    expect((await store.show(1)).state).toBe('damaged');
    expect(sandbox.tree()).toEqual({ a: file('new') });
    await store.close();
    sandbox.breaksStore();
  });

  test('what lies in quarantine without a note and is what was lost has been set aside before', async () => {
    sandbox.seed({ a: 'old' });
    await dies((tx) => tx.write('a', 'new'));
    setInJournal(sandbox.root, { states: [{ id: 1, state: 'undoing', reason: 'it failed' }] });
    unlinkSync(slotOf(1));
    writeFileSync(sandbox.at('.skillmeat/quarantine/1-1'), 'old');
    const store = await sandbox.open();
    expect((await store.show(1)).state).toBe('rolled-back');
    expect(sandbox.tree()).toEqual({ a: file('new') });
  });

  test('a directory that is there again, with a file, stays; its lost slot is no copy of it', async () => {
    sandbox.seed({ d: { directory: 0o755 } });
    await dies(
      (tx) => tx.remove('d'),
      (tx) => tx.mkdir('d'),
      (tx) => tx.remove('d'),
    );
    // Neither what the first displaced nor what it left: its slot says nothing.
    chmodSync(slotOf(1), 0o711);
    mkdirSync(sandbox.at('d'));
    chmodSync(sandbox.at('d'), 0o755);
    writeFileSync(sandbox.at('d/theirs'), 'theirs');
    const store = await sandbox.open();
    expect((await store.status()).troubled).toEqual([]);
    expect(sandbox.tree()['d/theirs']).toEqual(file('theirs'));
  });

  test('a displaced directory that cannot be looked into is taken for one that holds something', async () => {
    sandbox.seed({ 'd/x': 'old' });
    const recorder = recordCrashes('auto', sandbox.root, join(sandbox.directory, 'killed'));
    const dead = await sandbox.open({ fileSystem: recorder.files });
    recorder.start(/^exchange\(/);
    await dead.transact({}, async (tx) => {
      await tx.remove('d');
      await tx.write('d', 'a file');
    });
    recorder.stop();
    await dead.close();
    const root = recorder.points[0]?.root ?? '';
    // Keeps the directory from being switched as a whole, and is gone when it is the only thing left.
    writeFileSync(join(root, 'd/theirs'), 'theirs');
    let isSwitched = false;
    let looks = 0;
    const fileSystem = watchedFileSystem('auto', (call) => {
      if (!isSwitched && call.method === 'exchange' && names(call, 'd')) {
        isSwitched = true;
        rmSync(join(root, 'd/theirs'), { force: true });
      }
      if (!isSwitched || call.method !== 'openDirectory' || looks > 0) return undefined;
      looks += 1;
      return () => 'absent';
    });
    const store = await sandbox.openAt(root, { adopt: true, fileSystem });
    expect(looks).toBe(1);
    expect((await store.show(1)).superseded).toMatchObject([{ path: 'd' }]);
    expect(readTree(root)['d']).toMatchObject({ kind: 'directory' });
  });

  test('what no transaction would call so stays in the stage directory', async () => {
    await dies((tx) => tx.write('a', 'a'));
    const odd = sandbox.at('.skillmeat/stage/odd');
    writeFileSync(odd, 'somebody’s');
    writeFileSync(sandbox.at('.skillmeat/stage/2-0123abcd.1'), 'of a dead writer');
    await (await sandbox.open()).recover();
    expect(listOwn(sandbox.root, 'stage').filter((name) => !name.startsWith('1-'))).toEqual([
      'odd',
    ]);
    rmSync(odd);
  });
});

test('a displaced directory that nobody may write in is pruned with what is in it', async () => {
  let now = Date.UTC(2026, 0, 1);
  sandbox.seed({ 'd/closed/x': 'x', 'd/closed': { directory: 0o555 }, a: 'a' });
  const store = await sandbox.open({ now: () => now });
  await store.transact({}, (tx) => tx.remove('d'));
  await store.transact({}, (tx) => tx.write('a', 'new'));
  now += 3 * 86_400_000;
  await store.prune({ keepLast: 1 });
  now += 3 * 86_400_000;
  await store.prune({ keepLast: 1 });
  expect(listOwn(sandbox.root, 'stage').filter((name) => name.startsWith('1-'))).toEqual([]);
});

test('who may not look while somebody writes is told so', async () => {
  const one = await sandbox.open();
  const two = await sandbox.open();
  await one.transact({}, async (tx) => {
    await tx.write('a', 'a');
    writeFileSync(sandbox.at('.skillmeat/quarantine/odd'), 'odd');
    await expectError(async () => {
      for await (const _ of two.verify({ lockWaitMs: 0 })) continue;
    }, 'STORE_LOCKED');
  });
});

test('nothing is written into what another program mounted meanwhile', async () => {
  sandbox.seed({ 'd/x': 'old' });
  let isMounted = false;
  const fileSystem = watchedFileSystem('auto', (call) =>
    isMounted && call.method === 'openDirectory' && names(call, 'd')
      ? () => 'other-mount'
      : undefined,
  );
  const store = await sandbox.open({ fileSystem });
  isMounted = true;
  await expectError(
    store.transact({}, (tx) => tx.write('d/x', 'new')),
    'PATH_ON_OTHER_MOUNT',
    { path: 'd/x' },
  );
});

test('a way that is gone when a place is asked for is not found', () => {
  const at = 'd/e' as RelativePath;
  const error = obstacleError('d/e/x' as RelativePath, { obstacle: 'absent', at });
  expect(error.code).toBe('PATH_NOT_FOUND');
  expect(error.message).toContain('"d/e" does not exist');
});

test('a message that is no text, and the root of a file system as a source, are refused', async () => {
  const store = await sandbox.open();
  const message = 5 as unknown as string;
  await expect(store.transact({ message }, (tx) => tx.write('a', 'a'))).rejects.toThrow(TypeError);
  await expect(store.transact({}, (tx) => tx.copyIn('d', '/'))).rejects.toThrow(
    /the root of a file system/,
  );
  expect(sandbox.tree()).toEqual({});
});

describe('a content that only a snapshot has', () => {
  /** `a` was overwritten by another program, which a snapshot saw, as another had seen it before. */
  async function overwritten(
    options: Parameters<typeof sandbox.open>[0],
    content: string,
  ): Promise<Store> {
    sandbox.seed({ a: '' });
    const store = await sandbox.open({ compression: 'off', ...options });
    await store.transact({}, (tx) => tx.write('a', content));
    await store.snapshots.create();
    writeFileSync(sandbox.at('a'), 'over it');
    await store.snapshots.create();
    return store;
  }

  test('is not to be had when it is damaged', async () => {
    const store = await overwritten({}, 'content');
    plantObject(sandbox.root, 'content', 'CONTENT');
    await expectError(store.read('a', { kind: 'transaction', id: 1 }), 'HISTORY_DAMAGED', {
      path: 'a',
    });
  });

  test('is not called damaged when the disk fails while it is put back', async () => {
    const faulty = faultyFileSystem('auto');
    const store = await overwritten({ fileSystem: faulty.files }, 'content');
    faulty.fail('EIO', ({ method }) => method === 'createFile');
    await expectError(store.undo(), 'IO_FAILED');
    expect(faulty.failures).toBeGreaterThan(0);
    faulty.heal();
    expect(sandbox.tree()['a']).toEqual(file('over it'));
    await store.undo();
    expect(sandbox.tree()['a']).toEqual(file('content'));
  });
});
