import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { isEngineError, type Store } from '../../src/engine/index.js';
import { recordCrashes } from '../support/crash.js';
import { faultyFileSystem, type FileSystemCall, type FileSystemMethod } from '../support/faults.js';
import { storedObjects } from '../support/objects.js';
import { modes, requireHealthy, useSandbox } from '../support/store.js';
import { readTree, type Tree } from '../support/tree.js';
import { testifyOf, testMachine } from '../support/evidence.js';

/*
 * Killed, or out of room, at any call: every snapshot that is listed is whole, and the root is what
 * it was before or what it is afterwards.
 */

const day = 86_400_000;

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);
  const killed = { fault: 'killed at a call', on: testMachine, native: mode } as const;

  /** Opens what a killed process left, and brings back each of its snapshots elsewhere. */
  async function requireWhole(
    root: string,
    { label, trees }: { readonly label: string; readonly trees: readonly Tree[] },
  ): Promise<readonly number[]> {
    const store = await sandbox.openAt(root, { adopt: true });
    const ids = (await store.snapshots.list()).map(({ id }) => id ?? 0);
    for (const id of ids) await requireRestorable(store, id, { label, tree: trees[id - 1] });
    // The next snapshot relies on whatever lies about.
    const { snapshot } = await store.snapshots.create();
    const next = { label: `${label}, then another`, tree: readTree(root) };
    await requireRestorable(store, snapshot.id ?? 0, next);
    await store.close();
    requireHealthy(root);
    return ids;
  }

  async function requireRestorable(
    store: Store,
    id: number,
    { label, tree }: { readonly label: string; readonly tree: Tree | undefined },
  ): Promise<void> {
    const to = join(sandbox.directory, 'restored');
    const { notRestored } = await store.snapshots.restore(id, { to });
    expect(notRestored, label).toEqual([]);
    expect(readTree(to), label).toEqual(tree);
    rmSync(to, { recursive: true });
  }

  /** Two states: the root has the second. */
  async function plantTwo(store: Store): Promise<readonly Tree[]> {
    sandbox.seed({ a: 'one', 'd/b': 'both', 'd/gone': 'gone' });
    const first = sandbox.tree();
    await store.snapshots.create();
    writeFileSync(sandbox.at('a'), 'two');
    rmSync(sandbox.at('d/gone'));
    sandbox.seed({ 'new/c': 'new' });
    return [first, sandbox.tree()];
  }

  test('a snapshot killed at any call is whole or not there', async () => {
    await testifyOf({ ...killed, operation: 'a snapshot' }, async () => {
      const recorder = recordCrashes(mode, sandbox.root, join(sandbox.directory, 'killed'));
      const store = await sandbox.open({ fileSystem: recorder.files });
      const trees = await plantTwo(store);
      recorder.start();
      await store.snapshots.create();
      recorder.stop();
      const found = new Set<string>();
      for (const { label, root } of recorder.points) {
        expect(readTree(root), label).toEqual(trees[1]);
        found.add(String(await requireWhole(root, { label, trees })));
      }
      expect(found).toEqual(new Set(['1', '2,1']));
      expect(recorder.points.length).toBeGreaterThan(20);
      return recorder.points.length;
    });
  });

  test('a restore killed at any call leaves everything as before or as restored', async () => {
    await testifyOf({ ...killed, operation: 'a restore' }, async () => {
      const recorder = recordCrashes(mode, sandbox.root, join(sandbox.directory, 'killed'));
      const store = await sandbox.open({ fileSystem: recorder.files });
      const trees = await plantTwo(store);
      recorder.start();
      await store.snapshots.restore(1);
      recorder.stop();
      expect(sandbox.tree()).toEqual(trees[0]);
      const found = new Set<Tree | undefined>();
      for (const { label, root } of recorder.points) {
        await requireWhole(root, { label, trees });
        const tree = JSON.stringify(readTree(root));
        const state = trees.find((one) => JSON.stringify(one) === tree);
        expect(state, label).toBeDefined();
        found.add(state);
      }
      expect(found.size).toBe(2);
      expect(recorder.points.length).toBeGreaterThan(10);
      return recorder.points.length;
    });
  });

  test('a delete killed at any call leaves the other snapshots whole', async () => {
    await testifyOf({ ...killed, operation: 'deleting a snapshot' }, async () => {
      const recorder = recordCrashes(mode, sandbox.root, join(sandbox.directory, 'killed'));
      let now = Date.now();
      const store = await sandbox.open({ fileSystem: recorder.files, now: () => now });
      const trees = await plantTwo(store);
      await store.snapshots.create();
      now += 2 * day;
      recorder.start();
      const { collected } = await store.snapshots.delete(1, { now: true });
      recorder.stop();
      expect(collected.objects).toBeGreaterThan(2);
      const found = new Set<string>();
      for (const { label, root } of recorder.points) {
        found.add(String(await requireWhole(root, { label, trees })));
      }
      expect(found).toEqual(new Set(['2,1', '2']));
      return recorder.points.length;
    });
  });

  test('a restore elsewhere killed at any call never shows half a snapshot', async () => {
    await testifyOf({ ...killed, operation: 'a restore elsewhere' }, async () => {
      // Everything is recorded, the place where the restore goes to as well.
      const directory = join(sandbox.root, 'both');
      const recorder = recordCrashes(mode, directory, join(sandbox.directory, 'killed'));
      const store = await sandbox.openAt(join(directory, 'root'), { fileSystem: recorder.files });
      writeFileSync(join(directory, 'root/a'), 'a');
      writeFileSync(join(directory, 'root/b'), 'b');
      await store.snapshots.create();
      recorder.start();
      await store.snapshots.restore(1, { to: join(directory, 'to') });
      recorder.stop();
      const whole = readTree(join(directory, 'root'));
      const seen = new Set<boolean>();
      for (const { label, root } of recorder.points) {
        const isThere = readTree(root)['to'] !== undefined;
        seen.add(isThere);
        if (isThere) expect(readTree(join(root, 'to')), label).toEqual(whole);
      }
      expect(seen).toEqual(new Set([false, true]));
      return recorder.points.length;
    });
  });

  const needingRoom: ReadonlySet<FileSystemMethod> = new Set<FileSystemMethod>([
    'barrier',
    'createFile',
    'makeDirectory',
    'moveNew',
    'moveOwn',
    'write',
    'writeSync',
  ]);
  const needsRoom = ({ method }: FileSystemCall): boolean => needingRoom.has(method);

  test.each([
    ['ENOSPC', 'DISK_FULL'],
    ['EIO', 'IO_FAILED'],
  ])('%s at any call of a snapshot leaves it whole or not there', async (errno, code) => {
    let failed = 0;
    for (let at = 0; ; at += 1) {
      const root = join(sandbox.directory, `root-${String(at)}`);
      const faulty = faultyFileSystem(mode);
      const store = await sandbox.openAt(root, { fileSystem: faulty.files });
      writeFileSync(join(root, 'a'), 'a');
      writeFileSync(join(root, 'b'), 'b');
      let calls = 0;
      faulty.fail(errno, (call) => needsRoom(call) && calls++ === at, 1);
      const outcome = await store.snapshots.create().catch((error: unknown) => error);
      const isOver = faulty.failures === 0;
      faulty.heal();
      await store.close();
      const label = `${errno} at call ${String(at)}`;
      const hasFailed = outcome instanceof Error;
      if (hasFailed) expect(isEngineError(outcome) ? outcome.code : outcome, label).toBe(code);
      const again = await requireWhole(root, { label, trees: [readTree(root)] });
      expect(again, label).toEqual(hasFailed ? [] : [1]);
      failed += Number(hasFailed);
      if (isOver) break;
    }
    expect(failed).toBeGreaterThan(5);
  });

  test('what a failed flush was to cover is not relied upon by the next snapshot', async () => {
    const faulty = faultyFileSystem(mode);
    const store = await sandbox.open({ fileSystem: faulty.files });
    sandbox.seed({ a: 'a' });
    faulty.fail('EIO', ({ method }) => method === 'barrier', 1);
    await expect(store.snapshots.create()).rejects.toMatchObject({ code: 'IO_FAILED' });
    expect(storedObjects(sandbox.root)).toEqual([]);
  });
});
