import fs, { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { EngineError, type Store } from '../../src/engine/index.js';
import { Journal } from '../../src/engine/journal.js';
import { NodeFileSystem } from '../../src/engine/node-file-system.js';
import { openDatabase } from '../../src/engine/sqlite.js';
import { recordCrashes } from '../support/crash.js';
import { faultyFileSystem, type FaultyFileSystem, names, systemError } from '../support/faults.js';
import { expectError, listOwn, modes, openDescriptors, useSandbox } from '../support/store.js';
import { file, readTree } from '../support/tree.js';

/* What test/crash/errors-at-every-call.test.ts found, one example each. */

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);

  async function openFaulty(): Promise<[Store, FaultyFileSystem]> {
    const faulty = faultyFileSystem(mode);
    return [await sandbox.open({ fileSystem: faulty.files }), faulty];
  }

  /** What is committed then cannot be applied, and is undone by who cannot read all of it. */
  function failAfterFlush(
    faulty: FaultyFileSystem,
    { applying, reading }: { readonly applying: string; readonly reading: string },
  ): void {
    let isFlushed = false;
    faulty.fail('EACCES', (call) => {
      isFlushed ||= call.method === 'barrier';
      const isApplied = call.method === 'exchange' && names(call, applying);
      const isLookedAt = call.method === 'openForReading' && names(call, reading);
      return isFlushed && (isApplied || isLookedAt);
    });
  }

  test('a path that cannot be read while it is undone is not taken for another program’s', async () => {
    sandbox.seed({ a: 'old a', b: 'old b' });
    const before = sandbox.tree();
    const [store, faulty] = await openFaulty();
    failAfterFlush(faulty, { applying: 'b', reading: 'x' });
    await expectError(
      store.transact({}, async (tx) => {
        await tx.remove('a');
        await tx.write('a/x', 'new x');
        await tx.write('b', 'new b');
      }),
      'BLOCKED',
    );
    faulty.heal();
    await store.close();
    const again = await sandbox.open();
    expect(sandbox.tree()).toEqual(before);
    expect(await again.show(1)).toMatchObject({ state: 'rolled-back', superseded: [] });
  });

  test('what lay below a file that cannot be read while it is undone waits for its turn', async () => {
    sandbox.seed({ 'd/x': 'old x', z: 'old z' });
    const before = sandbox.tree();
    const [store, faulty] = await openFaulty();
    failAfterFlush(faulty, { applying: 'z', reading: 'd' });
    await expectError(
      store.transact({}, async (tx) => {
        await tx.remove('d');
        await tx.write('d', 'new d');
        await tx.write('z', 'new z');
      }),
      'BLOCKED',
    );
    expect(await store.show(1)).toMatchObject({ state: 'blocked', superseded: [] });
    faulty.heal();
    await store.close();
    const again = await sandbox.open();
    expect(sandbox.tree()).toEqual(before);
    expect(await again.show(1)).toMatchObject({ state: 'rolled-back', superseded: [] });
  });

  test('a directory that cannot be emptied keeps no later transaction from its place for good', async () => {
    sandbox.seed({ 'd/x': 'old x' });
    const recorder = recordCrashes(mode, sandbox.root, join(sandbox.directory, 'killed'));
    const dead = await sandbox.open({ fileSystem: recorder.files });
    recorder.start(/moveNew\(d/);
    // The first one goes alone; those that wait for it share a flush (never with plain Node's calls),
    // so a recovery may have to redo both.
    const sharesFlush = true;
    const newest = mode === 'auto' ? 3 : 2;
    await Promise.all([
      dead.transact({ sharesFlush }, (tx) => tx.write('first', 'first')),
      dead.transact({ sharesFlush }, (tx) => tx.remove('d')),
      dead.transact({ sharesFlush }, (tx) => tx.write('d', 'new d')),
    ]);
    recorder.stop();
    const root = recorder.points[0]?.root ?? '';
    const faulty = faultyFileSystem(mode);
    faulty.fail('EACCES', (call) => call.method === 'openForReading' && names(call, 'x'));
    const blocked = await sandbox.openAt(root, { adopt: true, fileSystem: faulty.files });
    expect(await blocked.show(newest)).toMatchObject({ state: 'blocked', superseded: [] });
    faulty.heal();
    await blocked.close();
    const again = await sandbox.openAt(root);
    expect(readTree(root)).toEqual({
      first: file('first'),
      ...(mode === 'auto' ? { d: file('new d') } : {}),
    });
    expect(await again.show(newest)).toMatchObject({ superseded: [] });
  });

  test('a checkpoint that failed stops the store, whoever asked for it', async () => {
    sandbox.seed({ a: 'old' });
    const [store, faulty] = await openFaulty();
    await store.transact({}, (tx) => tx.write('a', 'new'));
    writeFileSync(sandbox.at('a'), 'edited');
    faulty.fail('EIO', ({ method }) => method === 'barrier', 1);
    await expectError(store.adopt(), 'IO_FAILED');
    faulty.heal();
    await expectError(store.adopt(), 'STORE_POISONED');
    await store.close();
    await sandbox.open();
  });

  test('a flush of what a dead writer left that failed is not tried again', async () => {
    sandbox.seed({ a: 'old' });
    const recorder = recordCrashes(mode, sandbox.root, join(sandbox.directory, 'killed'));
    const dead = await sandbox.open({ fileSystem: recorder.files });
    recorder.start();
    await dead.transact({}, (tx) => tx.write('a', 'new'));
    recorder.stop();
    const point = recorder.points.find(({ label }) => label.includes('exchange'));
    const root = point?.root ?? '';
    const faulty = faultyFileSystem(mode);
    const options = { recover: 'never', adopt: true, fileSystem: faulty.files } as const;
    const store = await sandbox.openAt(root, options);
    faulty.fail('EIO', ({ method }) => method === 'barrier', 1);
    await expectError(
      store.transact({}, (tx) => tx.write('b', 'b')),
      'IO_FAILED',
    );
    faulty.heal();
    await expectError(
      store.transact({}, (tx) => tx.write('b', 'b')),
      'STORE_POISONED',
    );
    await store.close();
    await sandbox.openAt(root);
    expect(readTree(root)['a']).toEqual(file('new'));
  });

  test('staged contents that cannot be removed are swept by the next transaction', async () => {
    const [store, faulty] = await openFaulty();
    faulty.fail('EIO', ({ method }) => method === 'removeFile');
    await expect(
      store.transact({}, async (tx) => {
        await tx.write('a', 'a');
        throw new Error('not this time');
      }),
    ).rejects.toThrow('not this time');
    expect(listOwn(sandbox.root, 'stage')).toHaveLength(1);
    faulty.heal();
    await store.transact({}, (tx) => tx.write('b', 'b'));
    expect(listOwn(sandbox.root, 'stage')).toEqual([]);
  });

  test('a snapshot is deleted also when its objects cannot be looked at', async () => {
    sandbox.seed({ a: 'a' });
    const [store, faulty] = await openFaulty();
    await store.snapshots.create({ name: 'one' });
    faulty.fail('EIO', ({ method }) => method === 'list');
    const { collected } = await store.snapshots.delete('one', { now: true });
    faulty.heal();
    expect(collected).toMatchObject({ objects: 0, blocked: expect.stringContaining('EIO') });
    expect(await store.snapshots.list()).toEqual([]);
  });

  test('a restore elsewhere whose last sync fails does not take the name', async () => {
    sandbox.seed({ a: 'a' });
    const [store, faulty] = await openFaulty();
    await store.snapshots.create({ name: 'one' });
    const to = join(sandbox.directory, 'elsewhere');
    let barriers = 0;
    faulty.fail('EIO', ({ method }) => {
      barriers += method === 'barrier' ? 1 : 0;
      return method === 'barrier' && barriers === 2;
    });
    await expectError(store.snapshots.restore('one', { to }), 'IO_FAILED');
    expect(faulty.failures).toBe(1);
    faulty.heal();
    expect(existsSync(to)).toBe(false);
    expect(readdirSync(sandbox.directory)).toEqual(['root']);
    await store.snapshots.restore('one', { to });
    expect(existsSync(join(to, 'a'))).toBe(true);
  });

  test.each(['typeOf', 'statDirectory', 'pathOf', 'bootId', 'readRecord'] as const)(
    'a store that cannot be opened because of %s says so, and keeps nothing open',
    async (method) => {
      sandbox.seed({ a: 'a' });
      await (await sandbox.open()).transact({}, (tx) => tx.write('a', 'new'));
      const faulty = faultyFileSystem(mode);
      faulty.fail('EIO', (call) => call.method === method);
      // The sandbox looks for descriptors that were not closed.
      await expectError(sandbox.open({ create: false, fileSystem: faulty.files }), 'IO_FAILED');
      expect(sandbox.tree()['a']).toEqual(file('new'));
    },
  );

  test('a lock file that cannot be looked at is closed again', async () => {
    const [store, faulty] = await openFaulty();
    faulty.fail('EIO', ({ method }) => method === 'statFile');
    await expectError(
      store.transact({}, (tx) => tx.write('a', 'a')),
      'IO_FAILED',
    );
    faulty.heal();
    await store.transact({}, (tx) => tx.write('a', 'a'));
  });

  test('a restore elsewhere whose name the disk did not confirm says so when it cannot be taken back', async () => {
    sandbox.seed({ a: 'a' });
    const [store, faulty] = await openFaulty();
    await store.snapshots.create({ name: 'base' });
    const to = join(sandbox.directory, 'elsewhere');
    let isNamed = false;
    faulty.fail('EDQUOT', ({ method }) => {
      const fails = isNamed && (method === 'barrier' || method === 'moveNew');
      isNamed ||= method === 'moveNew';
      return fails;
    });
    await expectError(store.snapshots.restore('base', { to }), 'COMMIT_UNKNOWN');
    faulty.heal();
    expect(readTree(to)).toEqual(sandbox.tree());
  });

  test('a journal is not opened where the index of its log may find no room, and would end the process', async () => {
    class FullDisk extends NodeFileSystem {
      override roomForMapping(): number {
        return 65_536;
      }
    }
    const fileSystem = new FullDisk({ native: mode });
    await expectError(sandbox.open({ fileSystem }), 'DISK_FULL');
    expect(existsSync(sandbox.at('.skillmeat/journal.db.new'))).toBe(false);
    await (await sandbox.open()).close();
    await expectError(sandbox.open({ create: false, fileSystem }), 'DISK_FULL');
    await (await sandbox.open({ create: false })).close();
  });

  test('a journal that SQLite cannot open on a full disk is not said to have wrong rights', async () => {
    class FullDisk extends NodeFileSystem {
      override freeBytes(): number {
        return 20_480;
      }
    }
    await (await sandbox.open()).close();
    const open = vi.spyOn(Journal, 'open').mockImplementation(() => {
      throw new EngineError('PERMISSION_DENIED', 'unable to open', { hint: 'Look.' });
    });
    try {
      await expectError(sandbox.open({ create: false }), 'PERMISSION_DENIED');
      const fileSystem = new FullDisk({ native: mode });
      const failure = await expectError(sandbox.open({ create: false, fileSystem }), 'DISK_FULL');
      expect(failure.message).toContain('has 20 KiB left, and opening the journal needs 512');
    } finally {
      open.mockRestore();
    }
  });

  test('a directory that cannot be looked at is let go of', async () => {
    sandbox.seed({ 'docs/deep/page': 'page' });
    for (let failing = 1, hasFailed = true; hasFailed; failing += 1) {
      const files = new NodeFileSystem({ native: mode });
      const root = files.openRoot(sandbox.root);
      let looks = 0;
      hasFailed = false;
      const real = fs.fstatSync;
      const spy = vi.spyOn(fs, 'fstatSync').mockImplementation((...given: [number]) => {
        looks += 1;
        hasFailed ||= looks === failing;
        if (looks === failing) throw systemError('EIO');
        return real(...given);
      });
      const open = (): unknown => files.openDirectory({ directory: root, name: 'docs/deep/gone' });
      try {
        open();
      } catch (error) {
        expect(error).toMatchObject({ code: 'EIO' });
      }
      spy.mockRestore();
      files.closeDirectory(root);
      files.close();
      expect(openDescriptors(sandbox.root)).toEqual([]);
    }
  });

  test('a journal whose directory cannot be looked at fails with a name', () => {
    const open = (): unknown => openDatabase(join(sandbox.root, 'gone', 'journal.db'));
    expect(open).toThrow(expect.objectContaining({ code: 'IO_FAILED', name: 'EngineError' }));
  });
});
