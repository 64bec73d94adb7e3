import { statSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Store } from '../../src/engine/index.js';
import { plantObject, storedObjects } from '../support/objects.js';
import { listOwn, modes, useSandbox } from '../support/store.js';

const day = 86_400_000;

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);
  let now = Date.now();

  function bytesBelow(path: string): number {
    return readdirSync(path, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
  }

  const own = (name: string): string => join(sandbox.root, '.skillmeat', name);

  async function open(): Promise<Store> {
    now = Date.now();
    sandbox.seed({ a: 'x'.repeat(1_000), b: 'both' });
    return sandbox.open({ now: () => now, compression: 'off' });
  }

  test('a store without a past costs its log', async () => {
    const store = await open();
    const usage = await store.usage();
    expect(usage).toEqual({
      bytes: bytesBelow(own('.')),
      journal: { transactions: 0, bytes: usage.journal.bytes },
      displaced: { bytes: 0, prunedThrough: 0, ranges: [] },
      packed: { packs: 0, contents: 0, bytes: 0 },
      snapshots: { bytes: 0, each: [] },
      trash: { bytes: 0, each: [] },
      unreferenced: { objects: 0, bytes: 0 },
      quarantine: { items: 0, bytes: 0 },
    });
    expect(usage.journal.bytes).toBeGreaterThan(4_096);
  });

  test('what transactions displaced is told by their age', async () => {
    const store = await open();
    await store.transact({}, (tx) => tx.write('a', 'y'.repeat(10)));
    now += 20 * day;
    await store.transact({}, (tx) => tx.write('a', 'z'));
    await store.transact({}, (tx) => tx.remove('b'));
    now += day / 2;
    const { displaced, journal, bytes } = await store.usage();
    expect(journal.transactions).toBe(3);
    expect(displaced.bytes).toBe(1_014);
    expect(displaced.ranges).toMatchObject([
      { age: 'day', from: 2, to: 3, transactions: 2, bytes: 14 },
      { age: 'month', from: 1, to: 1, transactions: 1, bytes: 1_000 },
    ]);
    expect(bytes).toBe(bytesBelow(own('.')));
    now += 200 * day;
    await store.prune({ keepLast: 1 });
    const after = (await store.usage()).displaced;
    expect(after).toMatchObject({
      bytes: 4,
      prunedThrough: 2,
      ranges: [{ age: 'older', from: 1 }],
    });
  });

  test('snapshots share what they share, and the trash is what nothing else needs', async () => {
    const store = await open();
    await store.snapshots.create({ name: 'one' });
    writeFileSync(sandbox.at('a'), 'y'.repeat(5_000));
    await store.snapshots.create({ name: 'two' });
    const before = await store.usage();
    const [two, one] = before.snapshots.each;
    expect([two?.snapshot.name, one?.snapshot.name]).toEqual(['two', 'one']);
    // Both hold `b`; each has a listing and an `a` of its own.
    expect((one?.bytes ?? 0) - (one?.ownBytes ?? 0)).toBe(4);
    expect(one?.ownBytes).toBeGreaterThan(1_000);
    expect(two?.ownBytes).toBeGreaterThan(5_000);
    expect(before.snapshots.bytes).toBe(bytesBelow(own('objects')));
    await store.snapshots.delete('one');
    const after = await store.usage();
    expect(after.trash).toMatchObject({
      bytes: one?.ownBytes,
      each: [{ ownBytes: one?.ownBytes }],
    });
    expect(after.snapshots.bytes).toBe(two?.bytes);
    expect(after.unreferenced).toEqual({ objects: 0, bytes: 0 });
    await store.snapshots.delete('one', { now: true });
    const gone = await store.usage();
    // They go a day after nothing has named them.
    expect(gone.unreferenced).toEqual({ objects: 2, bytes: one?.ownBytes });
    expect(gone.trash).toEqual({ bytes: 0, each: [] });
  });

  test('while a snapshot cannot be read nobody knows what it needs, and all else is told', async () => {
    const store = await open();
    await store.snapshots.create();
    rmSync(sandbox.at('b'));
    const { snapshot } = await store.snapshots.create();
    const listing = storedObjects(sandbox.root).find((name) =>
      name.replaceAll('/', '').endsWith(snapshot.sha256),
    );
    writeFileSync(listing ?? '', 'damaged');
    const { snapshots, unreferenced } = await store.usage();
    expect(
      snapshots.each.map(({ bytes, ownBytes }) => [bytes === null, ownBytes === null]),
    ).toEqual([
      [true, true],
      [false, false],
    ]);
    expect(unreferenced).toBeNull();
  });

  test('what lies in quarantine is counted, and so is an object of nobody', async () => {
    const store = await open();
    writeFileSync(own('quarantine/0-1'), 'set aside');
    writeFileSync(own('quarantine/0-1.json'), '{}');
    plantObject(sandbox.root, 'orphan', 'orphan');
    const usage = await store.usage();
    expect(usage.quarantine).toEqual({ items: 1, bytes: 11 });
    expect(usage.unreferenced).toEqual({ objects: 1, bytes: 6 });
    expect(listOwn(sandbox.root, 'quarantine')).toHaveLength(2);
  });
});
