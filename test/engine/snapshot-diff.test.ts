import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { DiffRequest, Moment, Store } from '../../src/engine/index.js';
import { plantObject } from '../support/objects.js';
import { expectError, modes, useSandbox } from '../support/store.js';

/* A snapshot is a moment like any other: `diff` compares it, `read` reads it. */

const of = (snapshot: string | number): Moment => ({ kind: 'snapshot', snapshot });
const after = (id: number): Moment => ({ kind: 'transaction', id });
const now: Moment = { kind: 'now' };

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);

  /** Two snapshots with edits by hand between them, a transaction, and an edit. */
  async function openWithSnapshots(): Promise<Store> {
    sandbox.seed({ a: 'a1\n', 'd/same': 's', 'd/gone': 'g', kind: 'file', unknown: 'u' });
    const store = await sandbox.open();
    await store.snapshots.create({ name: 'first' });
    writeFileSync(sandbox.at('a'), 'a2\n');
    rmSync(sandbox.at('d/gone'));
    chmodSync(sandbox.at('d'), 0o700);
    rmSync(sandbox.at('kind'));
    mkdirSync(sandbox.at('kind'));
    writeFileSync(sandbox.at('kind/new'), 'n');
    symlinkSync('a', sandbox.at('link'));
    await store.snapshots.create({ name: 'second' });
    await store.transact({}, (tx) => tx.write('a', 'a3\n'));
    writeFileSync(sandbox.at('unknown'), 'by hand');
    return store;
  }

  const betweenThem = ['M a', 'M d', 'D d/gone', 'M kind', 'A kind/new', 'A link'];

  async function diff(store: Store, request: DiffRequest): Promise<readonly string[]> {
    const changes = await store.diff(request);
    return changes.map(({ path, before, after: is }) => {
      const letter = before.kind === 'absent' ? 'A' : is.kind === 'absent' ? 'D' : 'M';
      return `${letter} ${path}`;
    });
  }

  test('two snapshots are compared by what they hold', async () => {
    const store = await openWithSnapshots();
    expect(await diff(store, { from: of('first'), to: of('second') })).toEqual(betweenThem);
    expect(await diff(store, { from: of(2), to: of('latest') })).toEqual([]);
    expect(await diff(store, { from: of(1), to: of(2), paths: ['d', 'link'] })).toEqual([
      'M d',
      'D d/gone',
      'A link',
    ]);
  });

  test('a snapshot is compared with now, paths that no transaction knows included', async () => {
    const store = await openWithSnapshots();
    expect(await diff(store, { from: of('second') })).toEqual(['M a', 'M unknown']);
    expect(await diff(store, { from: now, to: of('second') })).toEqual(['M a', 'M unknown']);
    const [a] = await store.diff({ from: of('first'), paths: ['a'], text: true });
    expect(a?.diff?.text).toContain('-a1\n+a3\n');
  });

  test('a snapshot is compared with a transaction: what no transaction knows is as it is now', async () => {
    const store = await openWithSnapshots();
    expect(await diff(store, { from: after(1), to: of('second') })).toEqual(['M a', 'M unknown']);
    expect(await diff(store, { from: after(0), to: of('second') })).toEqual(['M unknown']);
    expect(await diff(store, { from: of('first'), to: after(1), paths: ['a', 'd'] })).toEqual([
      'M a',
      'M d',
      'D d/gone',
    ]);
  });

  test('what a snapshot left out differs from nothing', async () => {
    sandbox.seed({ a: 'a', 'out/x': 'x', late: 'l' });
    const store = await sandbox.open();
    await store.snapshots.create({ name: 'some', ignore: ['out', 'late'] });
    await store.transact({}, async (tx) => {
      await tx.write('out/x', 'x2');
      await tx.write('a', 'a2');
    });
    await store.snapshots.create({ name: 'all' });
    expect(await diff(store, { from: of('some') })).toEqual(['M a']);
    expect(await diff(store, { from: of('some'), to: after(1) })).toEqual(['M a']);
    expect(await diff(store, { from: of('some'), to: of('all') })).toEqual(['M a']);
    await expectError(store.read('out/x', of('some')), 'PATH_NOT_FOUND', { path: 'out/x' });
  });

  test('a file is read as a snapshot has it', async () => {
    const store = await openWithSnapshots();
    const text = async (path: string, at: Moment): Promise<string> =>
      Buffer.from((await store.read(path, at)).bytes).toString();
    expect(await text('a', of('first'))).toBe('a1\n');
    expect(await text('kind', of(1))).toBe('file');
    expect(await text('kind/new', of(2))).toBe('n');
    await expectError(store.read('kind', of(2)), 'PATH_IS_DIRECTORY');
    await expectError(store.read('link', of(2)), 'PATH_IS_LINK');
    await expectError(store.read('kind/new', of(1)), 'PATH_NOT_FOUND');
    await expectError(store.read('a/b', of(1)), 'PATH_NOT_FOUND');
    await expectError(store.read('a', of('no such')), 'SNAPSHOT_NOT_FOUND');
    await expectError(store.diff({ from: of(9) }), 'SNAPSHOT_NOT_FOUND');
  });

  test('a content of a snapshot that is damaged is named, not called pruned', async () => {
    const store = await openWithSnapshots();
    plantObject(sandbox.root, 'a1\n', 'XX\n');
    await expectError(store.read('a', of('first')), 'HISTORY_DAMAGED', { path: 'a' });
    const [a] = await store.diff({ from: of('first'), paths: ['a'], text: true });
    expect(a?.diff).toMatchObject({ omitted: 'not kept' });
    sandbox.breaksStore();
  });
});
