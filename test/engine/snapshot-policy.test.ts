import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Store } from '../../src/engine/index.js';
import { recordCrashes } from '../support/crash.js';
import { testify, testMachine } from '../support/evidence.js';
import { expectError, modes, requireHealthy, useSandbox } from '../support/store.js';
import { readTree } from '../support/tree.js';

/* A store's own policy prunes snapshots when one is taken; without one none goes by itself. */

const day = 86_400_000;

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);
  let now = 0;

  /** Snapshots 1 to 6, a day apart, each with a content of its own: one has a name, one a tag, one a pin. */
  async function sixDays(options: Parameters<typeof sandbox.open>[0] = {}): Promise<Store> {
    now = Date.UTC(2026, 0, 1);
    sandbox.seed({ changing: '' });
    const store = await sandbox.open({ now: () => now, compression: 'off', ...options });
    for (const given of [{ name: 'named' }, { tags: ['tagged'] }, { pin: true }, {}, {}, {}]) {
      await takeNext(store, given);
    }
    return store;
  }

  async function takeNext(
    store: Store,
    given: Parameters<Store['snapshots']['create']>[0] = {},
  ): ReturnType<Store['snapshots']['create']> {
    writeFileSync(sandbox.at('changing'), String(now).repeat(1_000));
    const created = await store.snapshots.create(given);
    now += day;
    return created;
  }

  async function ids(store: Store, deleted = false): Promise<readonly (number | null)[]> {
    return (await store.snapshots.list({ deleted })).map(({ id }) => id);
  }

  test('those without name, tag and pin that no rule keeps go into the trash when one is taken', async () => {
    const store = await sixDays();
    expect(await store.snapshots.setPolicy({ keepLast: 2 })).toEqual({
      policy: { keepLast: 2 },
      isDefault: false,
    });
    expect(await ids(store)).toEqual([6, 5, 4, 3, 2, 1]);
    const planned = await store.snapshots.create({ dryRun: true });
    expect(planned.pruned).toEqual({ snapshots: [], blocked: null });
    const { pruned } = await takeNext(store);
    expect(pruned).toEqual({
      snapshots: await store.snapshots.list({ deleted: true }),
      blocked: null,
    });
    expect(await ids(store, true)).toEqual([5, 4]);
    expect(await ids(store)).toEqual([7, 6, 3, 2, 1]);
    await store.snapshots.undelete(4);
    expect((await takeNext(store)).pruned.snapshots.map(({ id }) => id)).toEqual([6, 4]);
    // Another program keeps to it as well, and a week later the trash is emptied.
    await store.close();
    const other = await sandbox.open({ now: () => now });
    now += 8 * day;
    expect((await takeNext(other)).pruned.snapshots.map(({ id }) => id)).toEqual([7]);
    expect(await ids(other, true)).toEqual([7]);
  });

  test('a limit of size spares what has a name, a tag or a pin, and the newest', async () => {
    const store = await sixDays();
    await store.snapshots.setPolicy({ keepLast: 99, sizeBytesMax: 70_000 });
    expect((await takeNext(store)).pruned.snapshots.map(({ id }) => id)).toEqual([5, 4]);
    await store.snapshots.setPolicy({ keepLast: 99, sizeBytesMax: 0 });
    await takeNext(store);
    expect(await ids(store)).toEqual([8, 3, 2, 1]);
  });

  test('without a policy of its own none goes by itself, and prune keeps to the default', async () => {
    const store = await sixDays();
    const byDefault = { keepLast: 10, keepWithinMs: 30 * day, keepWeekly: 8, keepMonthly: 12 };
    expect(await store.snapshots.policy()).toEqual({ policy: byDefault, isDefault: true });
    now += 4_000 * day;
    expect((await takeNext(store)).pruned).toEqual({ snapshots: [], blocked: null });
    expect(await ids(store)).toHaveLength(7);
    await store.snapshots.setPolicy({ keepLast: 1 });
    // Who asks for it prunes what has a name as well.
    await store.snapshots.prune();
    expect(await ids(store)).toEqual([7, 3, 2]);
    expect(await store.snapshots.setPolicy(undefined)).toEqual({
      policy: byDefault,
      isDefault: true,
    });
    await takeNext(store);
    await store.snapshots.prune();
    expect(await ids(store)).toEqual([8, 7, 3, 2]);
  });

  test('a policy is made of known rules and whole numbers, and keeps something', async () => {
    const store = await sandbox.open();
    for (const policy of [
      {},
      { sizeBytesMax: 1 },
      { keepLast: undefined },
      { keepLast: -1 },
      { keepWeekly: 1.5 },
      { keepNamed: 1 },
      null,
    ]) {
      await expect(store.snapshots.setPolicy(policy as never)).rejects.toThrow(/keepMonthly/);
    }
    expect((await store.snapshots.policy()).isDefault).toBe(true);
    await store.close();
    await expectError(() => store.snapshots.policy(), 'STORE_CLOSED');
    await expectError(() => store.snapshots.setPolicy(undefined), 'STORE_CLOSED');
  });

  test('the snapshot is taken, and nothing goes, where it cannot be pruned', async () => {
    const store = await sixDays();
    await store.snapshots.setPolicy({ keepLast: 1, sizeBytesMax: 1 });
    const { sha256 } = await store.snapshots.show(5);
    const listing = `.skillmeat/objects/${sha256.slice(0, 2)}/${sha256.slice(2)}`;
    rmSync(sandbox.at(listing));
    const { snapshot, pruned } = await takeNext(store);
    expect(snapshot.id).toBe(7);
    expect(pruned).toEqual({
      snapshots: [],
      blocked: expect.stringContaining(sha256.slice(0, 8)) as string,
    });
    expect(await ids(store)).toEqual([7, 6, 5, 4, 3, 2, 1]);
    sandbox.breaksStore();
  });

  test('killed at any call, what goes is whole or in the trash, and the next one goes on', async () => {
    const recorder = recordCrashes(mode, sandbox.root, join(sandbox.directory, 'killed'));
    const store = await sixDays({ fileSystem: recorder.files });
    await store.snapshots.setPolicy({ keepLast: 1 });
    const tree = sandbox.tree();
    recorder.start();
    await store.snapshots.create();
    recorder.stop();
    const violations: string[] = [];
    const found = new Set<string>();
    for (const { label, root } of recorder.points) {
      const killed = await sandbox.openAt(root, { adopt: true, now: () => now });
      const here = [...(await ids(killed)), ...(await ids(killed, true))];
      for (const id of [1, 2, 3, 4, 5, 6]) {
        if (!here.includes(id)) violations.push(`${label}: ${String(id)} is gone`);
      }
      found.add((await ids(killed)).join());
      for await (const { kind } of killed.verify({ deep: true })) {
        violations.push(`${label}: ${kind}`);
      }
      await killed.snapshots.create();
      const left = await ids(killed);
      if (left.length !== 4) violations.push(`${label}: then ${left.join()}`);
      expect(readTree(root), label).toEqual(tree);
      await killed.close();
      requireHealthy(root);
    }
    testify({
      fault: 'killed at a call',
      operation: 'pruning snapshots by itself',
      on: testMachine,
      native: mode,
      states: recorder.points.length,
      violations: violations.length,
    });
    expect(violations).toEqual([]);
    expect(found).toContain('6,5,4,3,2,1');
    expect(found).toContain('7,3,2,1');
  });
});
