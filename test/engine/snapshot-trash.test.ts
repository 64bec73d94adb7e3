import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Store } from '../../src/engine/index.js';
import { recordCrashes } from '../support/crash.js';
import { storedObjects } from '../support/objects.js';
import { expectError, expectRefused, modes, requireHealthy, useSandbox } from '../support/store.js';
import { readTree } from '../support/tree.js';

/* A deleted snapshot is in the trash for a week. */

const day = 86_400_000;

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);
  let now = Date.now();

  /** Two snapshots, `one` and `two`, each with a content of its own. */
  async function openWithTwo(options: Parameters<typeof sandbox.open>[0] = {}): Promise<Store> {
    now = Date.now();
    sandbox.seed({ a: 'of one', both: 'of both' });
    const store = await sandbox.open({ now: () => now, ...options });
    await store.snapshots.create({ name: 'one', tags: ['t'], pin: true, message: 'why' });
    writeFileSync(sandbox.at('a'), 'of two');
    await store.snapshots.create({ name: 'two' });
    return store;
  }

  async function names(store: Store, deleted = false): Promise<readonly (string | null)[]> {
    return (await store.snapshots.list({ deleted })).map(({ name }) => name);
  }

  test('a deleted snapshot is out of sight, and comes back as it was', async () => {
    const store = await openWithTwo();
    const before = await store.snapshots.show('one');
    const { snapshot } = await store.snapshots.delete('one', { force: true });
    expect(snapshot).toEqual({
      ...before,
      deletedAt: new Date(now).toISOString(),
      keptUntil: new Date(now + 7 * day).toISOString(),
    });
    expect([await names(store), await names(store, true)]).toEqual([['two'], ['one']]);
    expect(await store.snapshots.list({ deleted: true })).toEqual([snapshot]);
    for (const reference of ['one', 1]) {
      const error = await expectError(store.snapshots.show(reference), 'SNAPSHOT_NOT_FOUND');
      expect(error.hint).toContain(`snapshot undelete ${String(reference)}`);
    }
    now += 6 * day;
    expect((await store.snapshots.delete('two')).collected.objects).toBe(0);
    expect(await store.snapshots.undelete('one', { dryRun: true })).toEqual(before);
    expect(await names(store)).toEqual([]);
    expect(await store.snapshots.undelete('one')).toEqual(before);
    expect(await store.snapshots.list()).toEqual([before]);
    expect((await store.snapshots.restore('one')).notRestored).toEqual([]);
    expect(Object.keys(sandbox.tree())).toEqual(['a', 'both']);
    await expectError(store.snapshots.undelete('one'), 'SNAPSHOT_NOT_FOUND', {
      message: /not deleted/,
    });
    await expectError(store.snapshots.undelete('none'), 'SNAPSHOT_NOT_FOUND');
  });

  test.each(['delete', 'prune', 'create'] as const)(
    'a week later a %s takes it away',
    async (what) => {
      const store = await openWithTwo();
      const stored = storedObjects(sandbox.root).length;
      await store.snapshots.delete('one', { force: true });
      const act = async (): Promise<void> => {
        if (what === 'create') await store.snapshots.create();
        else if (what === 'prune') await store.snapshots.prune();
        else {
          const { snapshot } = await store.snapshots.create();
          await store.snapshots.delete(snapshot.id ?? 0);
        }
      };
      now += 7 * day - 1;
      await act();
      expect(storedObjects(sandbox.root)).toHaveLength(stored);
      expect(await names(store, true)).toContain('one');
      now += 1;
      await act();
      // Its listing, and the one content that no other has.
      expect(storedObjects(sandbox.root)).toHaveLength(stored - 2);
      await expectError(store.snapshots.undelete('one'), 'SNAPSHOT_NOT_FOUND');
      expect((await store.snapshots.restore('two')).notRestored).toEqual([]);
    },
  );

  test('for good means at once, also from the trash, and pins hold there too', async () => {
    const store = await openWithTwo();
    const stored = storedObjects(sandbox.root).length;
    now += 2 * day;
    await store.snapshots.delete('one', { force: true });
    const forGood = { now: true };
    await expectRefused(
      sandbox.root,
      () => store.snapshots.delete('one', forGood),
      'SNAPSHOT_PINNED',
    );
    await expectError(store.snapshots.delete('one', { force: true }), 'SNAPSHOT_NOT_FOUND');
    const { collected, snapshot } = await store.snapshots.delete('one', { now: true, force: true });
    expect([collected.objects, snapshot.name]).toEqual([2, 'one']);
    expect(storedObjects(sandbox.root)).toHaveLength(stored - 2);
    expect([await names(store), await names(store, true)]).toEqual([['two'], []]);
    await store.snapshots.prune({ keepLast: 0 }, forGood);
    expect(await names(store, true)).toEqual([]);
  });

  test('a name is free once its snapshot is deleted, and taken when that comes back', async () => {
    const store = await openWithTwo();
    await store.snapshots.delete('two');
    await store.snapshots.create({ name: 'two' });
    await expectRefused(sandbox.root, () => store.snapshots.undelete('two'), 'SNAPSHOT_EXISTS');
    await expectError(store.snapshots.undelete('two', { name: '7' }), 'SNAPSHOT_INVALID');
    expect(await store.snapshots.undelete('two', { name: 'older' })).toMatchObject({ id: 2 });
    expect(await names(store)).toEqual(['two', 'older', 'one']);
    // Of several with the same name, the one that was deleted last.
    await store.snapshots.delete('two');
    await store.snapshots.create({ name: 'two' });
    now += 1;
    await store.snapshots.delete('two');
    expect((await store.snapshots.undelete('two')).id).toBe(4);
  });

  test('what goes for good may lie in more directories than are kept open', async () => {
    sandbox.seed(
      Object.fromEntries(Array.from({ length: 400 }, (_, n) => [`f${String(n)}`, String(n)])),
    );
    now = Date.now();
    const store = await sandbox.open({ now: () => now });
    await store.snapshots.create({ name: 'one' });
    now += 2 * day;
    const { collected } = await store.snapshots.delete('one', { now: true });
    expect(collected).toEqual({ objects: 401, blocked: null });
    expect(storedObjects(sandbox.root)).toEqual([]);
  });

  test('verify looks at what is in the trash, and takes it for no leftover', async () => {
    const store = await openWithTwo();
    await store.snapshots.delete('one', { force: true });
    now += 2 * day;
    const findings = [];
    for await (const { kind } of store.verify({ deep: true })) findings.push(kind);
    expect(findings).toEqual([]);
    rmSync(sandbox.at('.skillmeat/objects'), { recursive: true });
    for await (const { snapshot } of store.verify()) findings.push(snapshot);
    expect(new Set(findings)).toEqual(new Set([1, 2]));
  });

  test('killed at any call of emptying the trash, what is left is whole', async () => {
    const recorder = recordCrashes(mode, sandbox.root, join(sandbox.directory, 'killed'));
    const store = await openWithTwo({ fileSystem: recorder.files });
    const two = sandbox.tree();
    await store.snapshots.delete('one', { force: true });
    now += 8 * day;
    recorder.start();
    await store.snapshots.prune();
    recorder.stop();
    for (const { label, root } of recorder.points) {
      const killed = await sandbox.openAt(root, { adopt: true, now: () => now });
      for (const name of await names(killed, true)) await killed.snapshots.undelete(name ?? '');
      for (const name of await names(killed)) {
        const to = join(sandbox.directory, 'restored');
        expect((await killed.snapshots.restore(name ?? '', { to })).notRestored, label).toEqual([]);
        if (name === 'two') expect(readTree(to), label).toEqual(two);
        rmSync(to, { recursive: true });
      }
      expect(await names(killed), label).toContain('two');
      await killed.close();
      requireHealthy(root);
    }
    expect(recorder.points.length).toBeGreaterThan(2);
  });
});
