import { randomBytes } from 'node:crypto';
import {
  existsSync,
  renameSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { hashContent, type SnapshotPath, type Store } from '../../src/engine/index.js';
import {
  openJournal,
  parseHash,
  plantObject,
  readObject,
  storedObjects,
} from '../support/objects.js';
import { smallContentBytesMax } from '../../src/engine/limits.js';
import type { Place } from '../../src/engine/file-system.js';
import type { Directory } from '../../src/engine/file-system.js';
import { faultyFileSystem, names, watchedFileSystem } from '../support/faults.js';
import { frozenTimes } from '../support/frozen-times.js';
import {
  changeJournal,
  expectError,
  expectReceipt,
  expectRefused,
  listOwn,
  modes,
  useSandbox,
} from '../support/store.js';
import { readTree } from '../support/tree.js';

const past = new Date('2020-01-01T00:00:00.5Z');

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);

  async function pathsOf(
    store: Store,
    reference: string | number,
  ): Promise<readonly SnapshotPath[]> {
    const paths: SnapshotPath[] = [];
    for await (const path of store.snapshots.paths(reference)) paths.push(path);
    return paths;
  }

  function plantAll(): void {
    sandbox.seed({
      a: 'a',
      empty: '',
      'tool.sh': { content: '#!/bin/sh\n', mode: 0o755 },
      'deep/er/x': 'x',
      'deep/er/same': 'a',
      bare: { directory: 0o750 },
      link: { link: 'deep/er' },
      '-ü 😀': 'odd',
    });
  }

  test('a file is read as a snapshot has it', async () => {
    plantAll();
    const store = await sandbox.open();
    await store.snapshots.create({ name: 's' });
    await store.transact({}, (tx) => tx.write('deep/er/x', 'changed'));
    const read = async (path: string): Promise<string | undefined> => {
      const bytes = await store.snapshots.read('s', path);
      return bytes === undefined ? undefined : Buffer.from(bytes).toString();
    };
    expect(await read('deep/er/x')).toBe('x');
    expect(await read('empty')).toBe('');
    for (const path of ['deep', 'link', 'none', 'a/b']) expect(await read(path)).toBeUndefined();
    await expectError(read('../x'), 'PATH_ESCAPES_ROOT');
    await expectError(store.snapshots.read('none', 'a'), 'SNAPSHOT_NOT_FOUND');
    await store.close();
    await expectError(read('a'), 'STORE_CLOSED');
  });

  test('a snapshot holds everything with its kind, mode and content', async () => {
    plantAll();
    const store = await sandbox.open();
    const { snapshot, added } = await store.snapshots.create({
      name: 'first',
      message: 'why',
      tags: ['t', 't'],
      pin: true,
    });
    expect(snapshot).toMatchObject({
      id: 1,
      name: 'first',
      message: 'why',
      tags: ['t'],
      isPinned: true,
      head: 0,
      files: 6,
      directories: 3,
      links: 1,
      leftOut: 0,
    });
    expect(added.objects).toBe(storedObjects(sandbox.root).length);
    const paths = await pathsOf(store, 'first');
    expect(paths.map(({ path }) => path)).toEqual(Object.keys(sandbox.tree()).toSorted());
    expect(paths.find(({ path }) => path === 'tool.sh')).toMatchObject({ mode: 0o755, size: 10 });
    expect(paths.find(({ path }) => path === 'link')).toMatchObject({ target: 'deep/er' });
    const again = await store.snapshots.show(1);
    expect(again).toEqual(snapshot);
    expect(await store.snapshots.list()).toEqual([snapshot]);
  });

  test('a snapshot of an unchanged directory stores nothing', async () => {
    plantAll();
    const store = await sandbox.open();
    const first = await store.snapshots.create();
    const objects = storedObjects(sandbox.root);
    const second = await store.snapshots.create();
    expect(second.added).toEqual({ objects: 0, bytes: 0 });
    expect(second.snapshot).toMatchObject({ id: 2, sha256: first.snapshot.sha256 });
    expect(storedObjects(sandbox.root)).toEqual(objects);
  });

  test('a snapshot of a changed directory stores what has changed', async () => {
    plantAll();
    const store = await sandbox.open();
    await store.snapshots.create();
    writeFileSync(sandbox.at('deep/er/x'), 'y');
    const { added } = await store.snapshots.create();
    // The file, and the listings of deep/er, deep and the root.
    expect(added.objects).toBe(4);
  });

  test('a restore makes the directory what it was, in one transaction that can be told', async () => {
    plantAll();
    const store = await sandbox.open();
    await store.snapshots.create({ name: 'then' });
    const then = sandbox.tree();
    rmSync(sandbox.at('deep'), { recursive: true });
    rmSync(sandbox.at('link'));
    sandbox.seed({
      deep: 'a file now',
      'link/inner': 'a directory now',
      'new/x': 'new',
      a: 'changed',
    });
    rmSync(sandbox.at('empty'));
    const before = sandbox.tree();
    const dry = await store.snapshots.restore('then', { dryRun: true });
    expect(dry.transaction?.id).toBeNull();
    expect(sandbox.tree()).toEqual(before);
    const restored = await store.snapshots.restore('then');
    expect(restored.notRestored).toEqual([]);
    expect(sandbox.tree()).toEqual(then);
    expectReceipt({ transaction: restored.transaction }, before, then);
    expect((await store.snapshots.restore('then')).transaction).toBeNull();
  });

  test('a level of compression that there is not is refused', async () => {
    const store = await sandbox.open();
    for (const compression of [12, -1, 1.5, 'zstd', null] as never[]) {
      await expect(store.snapshots.create({ compression })).rejects.toThrow(TypeError);
      await expect(sandbox.open({ compression })).rejects.toThrow(/from 0 to 11/);
    }
    expect(await store.snapshots.list()).toEqual([]);
    writeFileSync(sandbox.at('long'), 'again and '.repeat(10_000));
    const { added } = await store.snapshots.create({ compression: 'off' });
    expect(added.bytes).toBeGreaterThan(100_000);
    writeFileSync(sandbox.at('long'), 'again, and '.repeat(10_000));
    expect((await store.snapshots.create({ compression: 0 })).added.bytes).toBeLessThan(10_000);
  });

  test('a restore that removes more than half of the files, or all, asks for force', async () => {
    const store = await sandbox.open();
    await store.snapshots.create({ name: 'nothing' });
    writeFileSync(sandbox.at('other'), 'other');
    const all = (): Promise<unknown> => store.snapshots.restore('nothing');
    await expectRefused(sandbox.root, all, 'REMOVAL_TOO_LARGE', { message: /everything/ });
    await store.snapshots.create({ name: 'one' });
    for (let at = 0; at < 21; at += 1) writeFileSync(sandbox.at(`f${String(at)}`), 'x');
    const most = (): Promise<unknown> => store.snapshots.restore('one');
    const { hint, message } = await expectRefused(sandbox.root, most, 'REMOVAL_TOO_LARGE');
    expect([message, hint]).toEqual([
      '21 of 22 files would be removed',
      'See what, with --dry-run; if it is meant, add --force.',
    ]);
    const planned = await store.snapshots.restore('one', { dryRun: true });
    expect(planned).toMatchObject({
      transaction: { id: null, changeCount: 21 },
      needsForce: message,
    });
    const forced = await store.snapshots.restore('one', { dryRun: true, force: true });
    expect(forced.needsForce).toBeUndefined();
    // 20 are not many, and elsewhere nothing is removed.
    await store.snapshots.restore('one', { to: join(sandbox.directory, 'elsewhere') });
    const paths = Array.from({ length: 20 }, (_, at) => `f${String(at)}`);
    expect((await store.snapshots.restore('one', { paths })).needsForce).toBeUndefined();
    expect(Object.keys(sandbox.tree())).toEqual(['f20', 'other']);
    await store.snapshots.restore('nothing', { force: true });
    expect(sandbox.tree()).toEqual({});
    await store.undo();
    expect(Object.keys(sandbox.tree())).toEqual(['f20', 'other']);
  });

  test('a restore of some paths leaves the others', async () => {
    sandbox.seed({ 'a/x': '1', 'a/y': '1', 'b/x': '1', c: '1' });
    const store = await sandbox.open();
    await store.snapshots.create();
    for (const path of ['a/x', 'a/y', 'b/x', 'c', 'a/new']) writeFileSync(sandbox.at(path), '2');
    await store.snapshots.restore('latest', { paths: ['a', '*/x'] });
    const contents = Object.entries(sandbox.tree()).map(([path, { bytes }]) => [path, bytes]);
    expect(Object.fromEntries(contents)).toMatchObject({
      'a/x': '1',
      'a/y': '1',
      'b/x': '1',
      c: '2',
    });
    expect(existsSync(sandbox.at('a/new'))).toBe(false);
  });

  test('paths that are nowhere, or outside, are refused', async () => {
    sandbox.seed({ a: 'a' });
    const store = await sandbox.open();
    await store.snapshots.create();
    const restore = (path: string) => () => store.snapshots.restore(1, { paths: [path] });
    await expectRefused(sandbox.root, restore('none'), 'PATH_NOT_FOUND');
    await expectRefused(sandbox.root, restore('none*'), 'PATH_NOT_FOUND');
    // What matches is as it was: nothing to do, and no mistake.
    expect((await restore('a*')()).transaction).toBeNull();
    writeFileSync(sandbox.at('new'), 'new');
    expect((await restore('n*')()).transaction?.changes).toHaveLength(1);
    const to = join(sandbox.directory, 'elsewhere');
    await expectError(() => store.snapshots.restore(1, { paths: ['n*'], to }), 'PATH_NOT_FOUND');
    await expectRefused(sandbox.root, restore('../a'), 'PATH_ESCAPES_ROOT');
    await expectRefused(sandbox.root, restore('.skillmeat/x'), 'PATH_IN_ENGINE_DIRECTORY');
  });

  test('a restore elsewhere writes everything, and never into what exists', async () => {
    plantAll();
    const store = await sandbox.open();
    await store.snapshots.create();
    const to = join(sandbox.directory, 'elsewhere');
    const then = sandbox.tree();
    writeFileSync(sandbox.at('a'), 'changed');
    const restored = await store.snapshots.restore(1, { to });
    expect(restored).toMatchObject({ to, transaction: null, notRestored: [] });
    expect(restored.written).toBe(Object.keys(then).length);
    expect(readTree(to)).toEqual(then);
    expect(sandbox.tree()).not.toEqual(then);
    await expectRefused(sandbox.root, () => store.snapshots.restore(1, { to }), 'PATH_EXISTS');
    const inner = sandbox.at('.skillmeat/new');
    await expectError(() => store.snapshots.restore(1, { to: inner }), 'PATH_IN_ENGINE_DIRECTORY');
    expect(readdirSync(sandbox.directory).toSorted()).toEqual(['elsewhere', 'root']);
  });

  test('what is ignored is neither stored nor restored nor removed', async () => {
    sandbox.seed({
      '.skillmeatignore': '# dependencies\nnode_modules/\n*.log\n!keep.log\n',
      'node_modules/m': 'm',
      'a.log': 'log',
      'keep.log': 'kept',
      'x/b.log': 'log',
      big: 'x'.repeat(100),
      tmp: 'tmp',
    });
    const store = await sandbox.open();
    const { leftOut, snapshot } = await store.snapshots.create({
      ignore: ['/tmp'],
      fileBytesMax: 50,
    });
    expect(leftOut).toEqual([
      { path: 'a.log', why: 'ignored' },
      { path: 'big', why: 'too-large' },
      { path: 'node_modules', why: 'ignored' },
      { path: 'tmp', why: 'ignored' },
      { path: 'x/b.log', why: 'ignored' },
    ]);
    expect(snapshot).toMatchObject({ files: 2, leftOut: 5 });
    const before = sandbox.tree();
    writeFileSync(sandbox.at('keep.log'), 'changed');
    writeFileSync(sandbox.at('later.log'), 'ignored too');
    await store.snapshots.restore(1);
    rmSync(sandbox.at('later.log'));
    expect(sandbox.tree()).toEqual(before);
  });

  test.each([['/'], ['..'], ['a/../b'], ['']])('the pattern %j is refused', async (pattern) => {
    const store = await sandbox.open();
    await expectRefused(
      sandbox.root,
      () => store.snapshots.create({ ignore: [pattern] }),
      'SNAPSHOT_INVALID',
    );
  });

  test.each([[''], ['12'], ['latest'], ['-x'], ['a/b'], ['a\nb'], ['x'.repeat(101)]])(
    'the name %j is refused',
    async (name) => {
      const store = await sandbox.open();
      await expectRefused(sandbox.root, () => store.snapshots.create({ name }), 'SNAPSHOT_INVALID');
    },
  );

  test('a name is given once, and a number never again', async () => {
    const store = await sandbox.open();
    await store.snapshots.create({ name: 'n' });
    await expectError(() => store.snapshots.create({ name: 'n' }), 'SNAPSHOT_EXISTS');
    await expectError(() => store.snapshots.create({ name: 'n', dryRun: true }), 'SNAPSHOT_EXISTS');
    await store.snapshots.delete('n');
    await expectError(() => store.snapshots.show('n'), 'SNAPSHOT_NOT_FOUND');
    expect((await store.snapshots.create({ name: 'n' })).snapshot.id).toBe(2);
  });

  test('a pinned snapshot is deleted by force only', async () => {
    const store = await sandbox.open();
    await store.snapshots.create({ pin: true });
    await expectRefused(sandbox.root, () => store.snapshots.delete(1), 'SNAPSHOT_PINNED');
    await store.snapshots.delete(1, { force: true, dryRun: true });
    expect(await store.snapshots.list()).toHaveLength(1);
    await store.snapshots.delete(1, { force: true });
    expect(await store.snapshots.list()).toEqual([]);
  });

  test('a dry run of create stores nothing', async () => {
    plantAll();
    const store = await sandbox.open();
    const { snapshot, added } = await store.snapshots.create({ dryRun: true });
    expect(snapshot).toMatchObject({ id: null, files: 6 });
    expect(added.objects).toBe(0);
    expect(existsSync(sandbox.at('.skillmeat/objects'))).toBe(false);
    expect(await store.snapshots.list()).toEqual([]);
  });

  test('contents that no snapshot names for a day go with the next delete, others stay', async () => {
    sandbox.seed({ a: 'of the first', b: 'of both' });
    let now = Date.now();
    const store = await sandbox.open({ now: () => now });
    await store.snapshots.create();
    writeFileSync(sandbox.at('a'), 'of the second');
    await store.snapshots.create();
    const before = storedObjects(sandbox.root).length;
    // A file's age is the disk's, so the program is ahead of it.
    expect((await store.snapshots.delete(1, { now: true })).collected).toEqual({
      objects: 0,
      blocked: null,
    });
    expect(storedObjects(sandbox.root)).toHaveLength(before);
    await store.snapshots.create();
    now += 2 * 86_400_000;
    expect((await store.snapshots.delete(3, { now: true })).collected).toEqual({
      objects: 2,
      blocked: null,
    });
    const then = sandbox.tree();
    rmSync(sandbox.at('a'));
    rmSync(sandbox.at('b'));
    await store.snapshots.restore(2);
    expect(sandbox.tree()).toEqual(then);
  });

  test('what the cache said of contents that were collected is forgotten', async () => {
    sandbox.seed({ a: 'a', 'd/b': 'b' });
    let now = Date.now() + 10_000;
    const store = await sandbox.open({ now: () => now });
    await store.snapshots.create();
    now += 2 * 86_400_000;
    expect((await store.snapshots.delete(1, { now: true })).collected.objects).toBe(4);
    expect(storedObjects(sandbox.root)).toEqual([]);
    await store.snapshots.create();
    const to = join(sandbox.directory, 'copy');
    expect((await store.snapshots.restore('latest', { to })).notRestored).toEqual([]);
    expect(readTree(to)).toEqual(sandbox.tree());
  });

  test('a collection during a snapshot makes it begin again', async () => {
    sandbox.seed({ a: 'old' });
    let now = Date.now();
    let onBarrier = async (): Promise<void> => undefined;
    const other = await sandbox.open({ now: () => now });
    await other.snapshots.create();
    await other.snapshots.delete(1, { now: true });
    const faulty = faultyFileSystem(mode);
    // The object of `a` is there, unnamed, and about to be relied upon.
    const files = new Proxy(faulty.files, {
      get: (target, name) =>
        name === 'barrier'
          ? async (...values: Parameters<typeof target.barrier>) => {
              const act = onBarrier;
              onBarrier = async () => undefined;
              await act();
              return target.barrier(...values);
            }
          : (Reflect.get(target, name, target) as unknown),
    });
    const store = await sandbox.open({ fileSystem: files });
    // So much is flushed before the lock is taken.
    writeFileSync(sandbox.at('large'), randomBytes(smallContentBytesMax + 1));
    onBarrier = async () => {
      await other.transact({}, (tx) => tx.write('b', 'b'));
      const { snapshot } = await other.snapshots.create({ ignore: ['*'] });
      now += 2 * 86_400_000;
      const { collected } = await other.snapshots.delete(snapshot.id ?? 0, { now: true });
      expect(collected.objects).toBeGreaterThan(0);
    };
    const { snapshot } = await store.snapshots.create();
    const to = join(sandbox.directory, 'copy');
    expect((await store.snapshots.restore(snapshot.id ?? 0, { to })).notRestored).toEqual([]);
    expect(readTree(to)).toEqual(sandbox.tree());
  });

  test('a directory that is emptied while it is scanned is whole in the snapshot, and in the next', async () => {
    sandbox.seed({ 'd/x': 'x', keep: 'k' });
    let isArmed = false;
    const fileSystem = watchedFileSystem(mode, (call) => {
      if (!isArmed || call.method !== 'stat' || !names(call, 'x')) return;
      isArmed = false;
      rmSync(sandbox.at('d/x'));
    });
    const now = (): number => Date.now() + 3_600_000;
    const store = await sandbox.open({ fileSystem, now });
    await store.snapshots.create({ name: 'before' });
    isArmed = true;
    await store.snapshots.create({ name: 'meanwhile' });
    await store.snapshots.create({ name: 'after' });
    for (const name of ['meanwhile', 'after']) {
      const paths: string[] = [];
      for await (const { path } of store.snapshots.paths(name)) paths.push(path);
      expect(paths, name).toEqual(['d', 'keep']);
    }
  });

  test('a damaged or missing content is named, and everything else is restored', async () => {
    sandbox.seed({ a: 'first', b: 'second', c: 'third' });
    const store = await sandbox.open();
    await store.snapshots.create();
    const then = sandbox.tree();
    for (const path of ['a', 'b', 'c']) writeFileSync(sandbox.at(path), 'changed');
    plantObject(sandbox.root, 'first', 'f1rst');
    plantObject(sandbox.root, 'second', undefined);
    const { notRestored } = await store.snapshots.restore(1);
    expect(notRestored.map(({ path }) => path)).toEqual(['a', 'b']);
    expect(sandbox.tree()).toEqual({
      ...then,
      a: { ...then['a'], bytes: 'changed' },
      b: { ...then['b'], bytes: 'changed' },
    });
    const to = join(sandbox.directory, 'copy');
    const elsewhere = await store.snapshots.restore(1, { to });
    expect(elsewhere.notRestored.map(({ path }) => path)).toEqual(['a', 'b']);
    expect(Object.keys(readTree(to))).toEqual(['c']);
  });

  test('a glob is no reason to stop at a damaged listing', async () => {
    sandbox.seed({ 'a/x': 'x', z: 'z' });
    const store = await sandbox.open();
    await store.snapshots.create();
    const listing = `["x","file",420,1,"${hashContent('x')}"]\n`;
    plantObject(sandbox.root, listing, undefined);
    writeFileSync(sandbox.at('a/x'), 'changed');
    writeFileSync(sandbox.at('z'), 'changed');
    const { transaction } = await store.snapshots.restore(1, { paths: ['z*'] });
    expect(transaction?.changes.map(({ path }) => path)).toEqual(['z']);
  });

  test.each([
    ['small', 10],
    ['large', 3_000_000],
  ])('a directory that stands where a damaged %s file was stays', async (_size, size) => {
    writeFileSync(sandbox.at('a'), noise(size));
    const store = await sandbox.open({ compression: 'off' });
    await store.snapshots.create();
    rmSync(sandbox.at('a'));
    sandbox.seed({ 'a/inner': 'precious' });
    plantObject(sandbox.root, noise(size), noise(size + 1).subarray(1));
    const before = sandbox.tree();
    expect((await store.snapshots.restore(1)).notRestored).toHaveLength(1);
    expect(sandbox.tree()).toEqual(before);
  });

  test('a damaged content is stored again by the next snapshot that needs it', async () => {
    sandbox.seed({ a: 'first' });
    const store = await sandbox.open();
    await store.snapshots.create();
    plantObject(sandbox.root, 'first', 'f1rst');
    // Another file with the content makes it be looked at.
    sandbox.seed({ b: 'first' });
    await store.snapshots.create();
    expect(readObject(sandbox.root, 'first')).toBe('first');
  });

  test.each([
    ['["..","file",420,1,HASH]\n'],
    ['["a/b","file",420,1,HASH]\n'],
    ['["/a","file",420,1,HASH]\n'],
    [`[".skillmeat","file",420,1,HASH]\n`],
    ['[".SkillMeat","directory",493,HASH]\n'],
    ['["a","file",420,1,HASH]\n["a","symlink","x"]\n'],
    ['["b","file",420,1,HASH]\n["a","file",420,1,HASH]\n'],
    ['["a","file",420,-1,HASH]\n'],
    ['["a","file",99999,1,HASH]\n'],
    ['["a","device",1]\n'],
    ['not JSON\n'],
    ['["a\\u0000","symlink","x"]\n'],
  ])('the hostile listing %j leads nowhere', async (text) => {
    sandbox.seed({ x: 'x', y: 'y' });
    const store = await sandbox.open();
    await store.snapshots.create();
    const content = Object.values(sandbox.tree())[0];
    expect(content).toBeDefined();
    const listing = text.replaceAll(
      'HASH',
      '"2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"',
    );
    const sha256 = plantObject(sandbox.root, listing, listing);
    changeSnapshot(store, sha256);
    const before = sandbox.tree();
    const { notRestored } = await store.snapshots.restore(2);
    expect(notRestored.map(({ path }) => path)).toEqual(['.']);
    expect(sandbox.tree()).toEqual(before);
    const to = join(sandbox.directory, 'copy');
    await store.snapshots.restore(2, { to });
    expect(readTree(to)).toEqual({});
    await expectError(() => pathsOf(store, 2), 'HISTORY_DAMAGED');
  });

  /** Adds a snapshot as somebody would who can write the journal. */
  function changeSnapshot(store: Store, sha256: string): void {
    using journal = openJournal(store);
    const first = journal.snapshots.list().find(({ id }) => id === 1);
    if (first === undefined) throw new Error('the snapshot was taken');
    const { id: _id, ...row } = first;
    journal.snapshots.add({ ...row, sha256: parseHash(sha256) }, journal.epoch());
  }

  test('a flipped row is refused', async () => {
    sandbox.seed({ a: 'a' });
    const store = await sandbox.open();
    await store.snapshots.create({ message: 'one' });
    changeJournal(sandbox.root, `UPDATE snapshot SET message = 'two'`);
    await expectError(() => store.snapshots.list(), 'JOURNAL_DAMAGED');
  });

  test('an edit of the same size and time is seen', async () => {
    sandbox.seed({ a: 'one' });
    utimesSync(sandbox.at('a'), past, past);
    // Long enough ago for the cache to speak of it.
    const store = await sandbox.open({ now: () => Date.now() + 10_000 });
    await store.snapshots.create();
    writeFileSync(sandbox.at('a'), 'two');
    utimesSync(sandbox.at('a'), past, past);
    await store.snapshots.create();
    expect((await pathsOf(store, 1))[0]?.sha256).not.toBe((await pathsOf(store, 2))[0]?.sha256);
  });

  test.each([
    { by: 'its size', edit: (at: string) => writeFileSync(at, 'three') },
    {
      by: 'its inode',
      edit: (at: string): void => {
        writeFileSync(`${at}~`, 'two');
        renameSync(`${at}~`, at);
      },
    },
    {
      by: 'when it was modified',
      keepsModified: true,
      edit: (at: string): void => {
        writeFileSync(at, 'two');
        utimesSync(at, past, new Date('2020-01-01T00:00:01.5Z'));
      },
    },
  ])('an edit is seen by $by where no change time is kept', async ({ edit, keepsModified }) => {
    sandbox.seed({ a: 'one' });
    utimesSync(sandbox.at('a'), past, past);
    const fileSystem = frozenTimes(mode, past.getTime(), keepsModified);
    const store = await sandbox.open({ fileSystem });
    await store.snapshots.create();
    edit(sandbox.at('a'));
    await store.snapshots.create();
    expect((await pathsOf(store, 1))[0]?.sha256).not.toBe((await pathsOf(store, 2))[0]?.sha256);
  });

  test('names that came, went or changed since a directory was listed are seen', async () => {
    sandbox.seed({ 'a/b': 'b', 'a/gone': 'g', 'a/d/e': 'e', top: 't' });
    // Long enough ago for the cache to speak of the directories.
    const store = await sandbox.open({ now: () => Date.now() + 10_000 });
    await store.snapshots.create();
    sandbox.seed({ 'a/d/new': 'n', 'new/er': 'e', last: 'l' });
    rmSync(sandbox.at('a/gone'));
    renameSync(sandbox.at('a/b'), sandbox.at('a/c'));
    await store.snapshots.create();
    const paths = await pathsOf(store, 2);
    expect(paths.map(({ path }) => path).toSorted()).toEqual(
      ['a', 'a/c', 'a/d', 'a/d/e', 'a/d/new', 'last', 'new', 'new/er', 'top'].toSorted(),
    );
  });

  test('a directory is listed only when its times changed', async () => {
    sandbox.seed({ 'a/b': 'b', 'c/d': 'd' });
    let listed = 0;
    const fileSystem = watchedFileSystem(mode, ({ method }) => {
      if (method === 'list') listed += 1;
      return method === 'typeOf' ? () => ({ name: 'ext4', support: 'supported' }) : undefined;
    });
    const store = await sandbox.open({ fileSystem, now: () => Date.now() + 10_000 });
    const listings = async (): Promise<number> => {
      listed = 0;
      await store.snapshots.create();
      return listed;
    };
    await listings();
    expect(await listings()).toBe(0);
    sandbox.seed({ 'a/new': 'n' });
    // `a`, and the shards of objects that its listing and the new file are looked for in.
    expect(await listings()).toBeGreaterThan(0);
    expect(await listings()).toBe(0);
  });

  test('a directory is listed where its times tell nothing', async () => {
    sandbox.seed({ 'a/b': 'b' });
    const listed: string[] = [];
    const fileSystem = watchedFileSystem(mode, ({ method }) => {
      if (method === 'list') listed.push(method);
      return method === 'typeOf' ? () => ({ name: 'overlay', support: 'supported' }) : undefined;
    });
    const store = await sandbox.open({ fileSystem, now: () => Date.now() + 10_000 });
    await store.snapshots.create();
    listed.length = 0;
    await store.snapshots.create();
    expect(listed).toHaveLength(2);
  });

  test('names that change without their directory, as encrypted ones do, are looked for', async () => {
    sandbox.seed({ 'a/b': 'b', 'a/c': 'c', 'a/kBq2': 'c' });
    let isLocked = false;
    const isHidden = (name: string): boolean =>
      isLocked ? name === 'b' || name === 'c' : name === 'kBq2';
    const fileSystem = watchedFileSystem(mode, (call, real) => {
      if (call.method === 'list') {
        return () => real.list(call.values[0] as Directory).filter(({ name }) => !isHidden(name));
      }
      const isOfHidden = ['b', 'c', 'kBq2'].some((name) => isHidden(name) && names(call, name));
      return call.method === 'stat' && isOfHidden ? () => undefined : undefined;
    });
    const store = await sandbox.open({ fileSystem, now: () => Date.now() + 10_000 });
    const seen = async (): Promise<readonly string[]> => {
      const { snapshot } = await store.snapshots.create();
      return (await pathsOf(store, snapshot.id ?? 0)).map(({ path }) => path);
    };
    expect(await seen()).toEqual(['a', 'a/b', 'a/c']);
    isLocked = true;
    expect(await seen()).toEqual(['a', 'a/kBq2']);
    isLocked = false;
    expect(await seen()).toEqual(['a', 'a/b', 'a/c']);
  });

  test('a name that goes while its directory is looked at is looked for the next time', async () => {
    sandbox.seed({ 'a/b': 'b', 'a/c': 'c' });
    let hidden = 'b';
    const fileSystem = watchedFileSystem(mode, (call) => {
      const isHidden = call.method === 'stat' && names(call, hidden);
      return isHidden ? () => undefined : undefined;
    });
    const store = await sandbox.open({ fileSystem, now: () => Date.now() + 10_000 });
    await store.snapshots.create();
    hidden = '';
    await store.snapshots.create();
    expect((await pathsOf(store, 2)).map(({ path }) => path)).toEqual(['a', 'a/b', 'a/c']);
  });

  test('a name that comes within the tick of the clock is seen', async () => {
    const now = Date.now();
    const store = await sandbox.open({ fileSystem: frozenTimes(mode, now), now: () => now });
    sandbox.seed({ 'a/b': 'b' });
    await store.snapshots.create();
    // By now the file system gives the same times to the directory.
    sandbox.seed({ 'a/c': 'c' });
    await store.snapshots.create();
    expect((await pathsOf(store, 2)).map(({ path }) => path)).toContain('a/c');
  });

  test('an edit within the tick of the clock is seen', async () => {
    const now = Date.now();
    const store = await sandbox.open({ fileSystem: frozenTimes(mode, now), now: () => now });
    sandbox.seed({ a: 'one' });
    await store.snapshots.create();
    // By now the file system gives the same size, inode and times to both.
    writeFileSync(sandbox.at('a'), 'two');
    await store.snapshots.create();
    expect((await pathsOf(store, 1))[0]?.sha256).not.toBe((await pathsOf(store, 2))[0]?.sha256);
  });

  test.each([['scan-cache'], ['objects']])('a snapshot does without %s', async (name) => {
    sandbox.seed({ 'a/b': 'b', c: 'c' });
    const store = await sandbox.open();
    await store.snapshots.create();
    rmSync(sandbox.at(`.skillmeat/${name}`), { recursive: true });
    const { snapshot } = await store.snapshots.create();
    const then = sandbox.tree();
    rmSync(sandbox.at('a'), { recursive: true });
    expect((await store.snapshots.restore(snapshot.id ?? 0)).notRestored).toEqual([]);
    expect(sandbox.tree()).toEqual(then);
  });

  test('a cache of another boot is not believed', async () => {
    sandbox.seed({ a: 'one' });
    const now = (): number => Date.now() + 10_000;
    const reads: number[] = [];
    for (const boot of ['1', '1', '2']) {
      let count = 0;
      const files = watchedFileSystem(mode, ({ method, values }) => {
        if (method === 'bootId') return () => boot;
        if (method === 'openForReading' && isNamed(values[0], 'a')) count += 1;
        return undefined;
      });
      const store = await sandbox.open({ fileSystem: files, now });
      await store.snapshots.create();
      await store.close();
      reads.push(count);
    }
    expect(reads).toEqual([1, 0, 1]);
  });

  test('neither a snapshot nor a restore reads what the cache knows', async () => {
    sandbox.seed({ a: 'one', b: 'one' });
    const read: string[] = [];
    const files = watchedFileSystem(mode, ({ method, values }) => {
      const name = ['a', 'b'].find((one) => isNamed(values[0], one));
      if (method === 'openForReading' && name !== undefined) read.push(name);
      return undefined;
    });
    const store = await sandbox.open({ fileSystem: files, now: () => Date.now() + 10_000 });
    await store.snapshots.create();
    read.length = 0;
    await store.snapshots.create();
    await store.snapshots.create({ dryRun: true });
    await store.snapshots.restore(1);
    expect(read).toEqual([]);
    writeFileSync(sandbox.at('b'), 'two');
    await store.snapshots.restore(1);
    expect(new Set(read)).toEqual(new Set(['b']));
  });

  test('a torn cache is not believed', async () => {
    sandbox.seed({ 'a/b': 'b' });
    const store = await sandbox.open();
    const { snapshot } = await store.snapshots.create();
    const at = sandbox.at('.skillmeat/scan-cache');
    writeFileSync(at, Buffer.alloc(statSync(at).size, 7));
    expect((await store.snapshots.create()).snapshot.sha256).toBe(snapshot.sha256);
  });

  test('large contents are stored in pieces, compressed when that pays, and come back', async () => {
    writeFileSync(sandbox.at('text'), 'a line of text\n'.repeat(400_000));
    writeFileSync(sandbox.at('noise'), noise(3_000_000));
    const then = sandbox.tree();
    const store = await sandbox.open();
    const { added } = await store.snapshots.create();
    expect(added.bytes).toBeLessThan(4_000_000);
    rmSync(sandbox.at('text'));
    rmSync(sandbox.at('noise'));
    expect((await store.snapshots.restore(1)).notRestored).toEqual([]);
    expect(sandbox.tree()).toEqual(then);
  });

  test.each([
    ['createFile', false],
    ['barrier', true],
  ] as const)('an edit at the %s of a restore is not lost', async (at, isRefused) => {
    let isRestoring = false;
    const files = watchedFileSystem(mode, ({ method }) => {
      if (!isRestoring || method !== at) return undefined;
      isRestoring = false;
      writeFileSync(sandbox.at('a'), 'edited meanwhile');
      return undefined;
    });
    sandbox.seed({ a: 'one' });
    const store = await sandbox.open({ fileSystem: files });
    await store.snapshots.create();
    writeFileSync(sandbox.at('a'), 'two');
    isRestoring = true;
    const restoring = store.snapshots.restore(1);
    if (isRefused) {
      await expectError(restoring, 'DRIFT_DETECTED');
      expect(sandbox.tree()['a']?.bytes).toBe('edited meanwhile');
      return;
    }
    // It came before the commit: it is what the transaction displaced.
    const { transaction } = await restoring;
    expect(sandbox.tree()['a']?.bytes).toBe('one');
    expect(transaction?.changes[0]?.before).toMatchObject({ size: 16 });
    const displaced = listOwn(sandbox.root, 'stage').map((name) =>
      readFileSync(sandbox.at(`.skillmeat/stage/${name}`), 'utf8'),
    );
    expect(displaced).toContain('edited meanwhile');
  });

  test('a store that is closed, or in a transaction, takes no snapshot', async () => {
    sandbox.seed({ a: 'a' });
    const store = await sandbox.open();
    await store.snapshots.create();
    await store.transact({}, async () => {
      await expectError(() => store.snapshots.create(), 'TRANSACTION_NESTED');
      await expectError(() => store.snapshots.restore(1), 'TRANSACTION_NESTED');
      await expectError(() => store.snapshots.delete(1), 'TRANSACTION_NESTED');
      await expectError(() => store.snapshots.undelete(1), 'TRANSACTION_NESTED');
    });
    // Closing waits for what runs.
    const running = store.snapshots.create();
    await store.close();
    expect((await running).snapshot.id).toBe(2);
    await expectError(() => store.snapshots.create(), 'STORE_CLOSED');
    await expectError(() => store.snapshots.list(), 'STORE_CLOSED');
    await expectError(() => store.snapshots.show(1), 'STORE_CLOSED');
    await expectError(() => pathsOf(store, 1), 'STORE_CLOSED');
    await expectError(() => store.snapshots.restore(1), 'STORE_CLOSED');
    await expectError(() => store.snapshots.restore(1, { to: 'x' }), 'STORE_CLOSED');
    await expectError(() => store.snapshots.delete(1), 'STORE_CLOSED');
    await expectError(() => store.snapshots.undelete(1), 'STORE_CLOSED');
  });

  test('a stopped snapshot leaves none', async () => {
    sandbox.seed({ a: 'a' });
    const store = await sandbox.open();
    const signal = AbortSignal.abort();
    await expectError(() => store.snapshots.create({ signal }), 'ABORTED');
    await store.snapshots.create();
    const to = join(sandbox.directory, 'copy');
    await expectError(() => store.snapshots.restore(1, { to, signal }), 'ABORTED');
    expect(existsSync(to)).toBe(false);
    expect(await store.snapshots.list()).toHaveLength(1);
  });

  test('names that no transaction can make are kept, and named when they cannot be restored', async () => {
    sandbox.seed({ aux: 'reserved', 'a:b': 'odd', 'dir/c.': 'dot', plain: 'plain' });
    const then = sandbox.tree();
    const store = await sandbox.open();
    await store.snapshots.create();
    const to = join(sandbox.directory, 'copy');
    expect((await store.snapshots.restore(1, { to })).notRestored).toEqual([]);
    expect(readTree(to)).toEqual(then);
    for (const path of ['aux', 'plain']) writeFileSync(sandbox.at(path), 'changed');
    const { notRestored } = await store.snapshots.restore(1);
    expect(notRestored.map(({ path }) => path)).toEqual(['aux']);
    expect(sandbox.tree()).toEqual({ ...then, aux: { ...then['aux'], bytes: 'changed' } });
  });

  test('special files and links are told, not followed', async () => {
    sandbox.seed({ '../outside/secret': 'secret', out: { link: '../outside' } });
    const store = await sandbox.open();
    const { snapshot } = await store.snapshots.create();
    expect(snapshot).toMatchObject({ files: 0, links: 1 });
    rmSync(sandbox.at('out'));
    // A transaction makes no link that leads out of the root.
    expect((await store.snapshots.restore(1)).notRestored.map(({ path }) => path)).toEqual(['out']);
  });
});

function isNamed(value: unknown, name: string): boolean {
  return (value as Place | undefined)?.name === name;
}

/** The same bytes each time, which no compression makes smaller. */
function noise(size: number): Buffer {
  const bytes = Buffer.alloc(size);
  let state = 1;
  for (let i = 0; i < size; i += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}
