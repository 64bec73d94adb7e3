import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { Place } from '../../src/engine/file-system.js';
import type { Store } from '../../src/engine/index.js';
import { Journal } from '../../src/engine/journal.js';
import { smallContentBytesMax } from '../../src/engine/limits.js';
import { openDatabase } from '../../src/engine/sqlite.js';
import { damages, plantHistory, removePlanted } from '../support/damages.js';
import { failSqlite } from '../support/failing-sqlite.js';
import { storedObjects } from '../support/objects.js';
import { faultyFileSystem, names, systemError, watchedFileSystem } from '../support/faults.js';
import { changeOwner, expectError, modes, readOwnerFile, useSandbox } from '../support/store.js';
import { file } from '../support/tree.js';

/*
 * I10: what a failed sync was to cover, a second one says nothing of. So it stops the store, and what
 * the disk may have failed to write of the journal's log stays where the next opening looks for it.
 */

afterAll(removePlanted);

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);

  function logBytes(): number | undefined {
    return statSync(sandbox.at('.skillmeat/journal.db-wal'), { throwIfNoEntry: false })?.size;
  }

  /** Leaves the store as one whose flush failed. */
  async function stop(): Promise<void> {
    const faulty = faultyFileSystem(mode);
    const store = await sandbox.open({ fileSystem: faulty.files });
    await store.transact({}, (tx) => tx.write('a', '1'));
    faulty.fail('EIO', ({ method }) => method === 'barrier', 1);
    await expectError(
      store.transact({}, (tx) => tx.write('a', '2')),
      'IO_FAILED',
    );
    await store.close();
    expect(logBytes()).toBeGreaterThan(0);
  }

  const acts: Readonly<Record<string, (store: Store) => Promise<unknown>>> = {
    'a snapshot': (store) => store.snapshots.create(),
    'a mark': (store) => store.mark(1, { pin: true }),
    'a policy': (store) => store.setHistoryPolicy({ keepLast: 5 }),
  };

  test.each(Object.keys(acts))(
    'a sync of the journal that fails for %s stops the store',
    async (name) => {
      sandbox.breaksStore();
      const store = await sandbox.open();
      await store.transact({}, (tx) => tx.write('a', '1'));
      const heal = failSqlite('SQLITE_IOERR_FSYNC', 'COMMIT');
      try {
        await expectError(async () => acts[name]?.(store), 'IO_FAILED');
      } finally {
        heal();
      }
      await expectError(
        store.transact({}, (tx) => tx.write('a', '2')),
        'STORE_POISONED',
      );
      const before = logBytes();
      await store.close();
      expect(logBytes()).toBe(before);
    },
  );

  test('who only reads leaves the log of a store that stopped', async () => {
    sandbox.breaksStore();
    await stop();
    const written: string[] = [];
    const fileSystem = watchedFileSystem(mode, ({ method }) => {
      if (method === 'writeAnew') written.push(method);
    });
    const reader = await sandbox.open({ create: false, recover: 'never', fileSystem });
    await reader.status();
    await reader.close();
    expect(written).toEqual([]);
    expect(logBytes()).toBeGreaterThan(0);
  });

  test('an opening that could not write the log anew leaves it', async () => {
    sandbox.breaksStore();
    await stop();
    const fileSystem = watchedFileSystem(mode, ({ method }) => {
      if (method === 'writeAnew') throw systemError('EIO');
    });
    await expectError(sandbox.open({ create: false, fileSystem }), 'IO_FAILED');
    expect(logBytes()).toBeGreaterThan(0);
  });

  test('closing a store that a link took the place of touches nothing where that leads', async () => {
    sandbox.breaksStore();
    const outside = join(sandbox.directory, 'outside');
    mkdirSync(outside);
    const database = openDatabase(join(outside, 'journal.db'));
    database.pragma('journal_mode = WAL');
    database.exec('CREATE TABLE meta (x)');
    database.close();
    const before = readdirSync(outside);
    const store = await sandbox.open();
    await store.transact({}, (tx) => tx.write('a', '1'));
    renameSync(sandbox.at('.skillmeat'), join(sandbox.directory, 'moved'));
    symlinkSync(outside, sandbox.at('.skillmeat'));
    await expectError(
      store.transact({}, (tx) => tx.write('a', '2')),
      'STORE_REPLACED',
    );
    await store.close();
    expect(readdirSync(outside)).toEqual(before);
  });

  test.each([
    ['snapshot', 'by hand'],
    // So much is flushed before the lock is taken.
    ['large snapshot', randomBytes(smallContentBytesMax).toString('base64')],
  ])(
    'a sync that fails for a %s stops the store: the next one would say nothing of others',
    async (_, edited) => {
      const faulty = faultyFileSystem(mode);
      const store = await sandbox.open({ fileSystem: faulty.files });
      await store.transact({}, (tx) => tx.write('a', '1'));
      writeFileSync(sandbox.at('a'), edited);
      const { unsettled } = await store.status();
      faulty.fail('EIO', ({ method }) => method === 'barrier', 1);
      await expectError(store.snapshots.create(), 'IO_FAILED');
      const made: string[] = [];
      faulty.fail('EIO', ({ method }) => method === 'createFile' && made.push(method) < 0);
      await expectError(store.snapshots.create(), 'STORE_POISONED');
      expect(made).toEqual([]);
      // Nothing was settled behind it, and the next opening looks at the log.
      expect(unsettled).toBe(1);
      expect((await store.status()).unsettled).toBe(unsettled);
      expect(storedObjects(sandbox.root)).toEqual([]);
      expect(readOwnerFile(sandbox.root)?.isReleased).toBe(false);
      await store.close();
      expect(logBytes()).toBeGreaterThan(0);
      await (await sandbox.open()).close();
      expect(sandbox.tree()['a']).toEqual(file(edited));
    },
  );

  test('what another snapshot has named meanwhile stays when the sync of who stored it fails', async () => {
    // So much is flushed before the lock is taken.
    writeFileSync(sandbox.at('large'), randomBytes(smallContentBytesMax + 1));
    writeFileSync(sandbox.at('a'), 'the only copy');
    const other = await sandbox.open();
    const { files } = faultyFileSystem(mode);
    let isFirst = true;
    const failing = new Proxy(files, {
      get: (target, name) =>
        name === 'barrier'
          ? async (...values: Parameters<typeof target.barrier>) => {
              if (!isFirst) return target.barrier(...values);
              isFirst = false;
              await other.snapshots.create({ name: 'of the other' });
              throw systemError('EIO');
            }
          : (Reflect.get(target, name, target) as unknown),
    });
    const store = await sandbox.open({ fileSystem: failing });
    await expectError(store.snapshots.create(), 'IO_FAILED');
    expect(await other.snapshots.read('of the other', 'a')).toEqual(Buffer.from('the only copy'));
    await store.close();
    await (await sandbox.open()).close();
  });

  test.each(['an object is gone', 'an object has other bytes of the same length'])(
    'a sync that fails for a repair stops the store, which keeps nothing that it was to cover: %s',
    async (damage) => {
      await plantHistory(sandbox);
      damages.find(({ name }) => name === damage)?.inflict(sandbox.root);
      const objects = storedObjects(sandbox.root);
      const faulty = faultyFileSystem(mode);
      const store = await sandbox.open({ fileSystem: faulty.files });
      faulty.fail('EIO', ({ method }) => method === 'barrier', 1);
      await expectError(store.repair({ deep: true }), 'IO_FAILED');
      expect(storedObjects(sandbox.root)).toEqual(objects);
      await expectError(
        store.transact({}, (tx) => tx.write('a', '2')),
        'STORE_POISONED',
      );
      await store.close();
      const again = await sandbox.open();
      const outcomes = (await again.repair({ deep: true })).map(({ outcome }) => outcome);
      expect(new Set(outcomes)).toEqual(new Set(['done']));
    },
  );

  test('a store that stopped leaves the log also where nobody can see whether it is still there', async () => {
    sandbox.breaksStore();
    const faulty = faultyFileSystem(mode);
    const store = await sandbox.open({ fileSystem: faulty.files });
    await store.transact({}, (tx) => tx.write('a', '1'));
    faulty.fail('EIO', ({ method }) => method === 'barrier' || method === 'stat');
    await expectError(
      store.transact({}, (tx) => tx.write('a', '2')),
      'IO_FAILED',
    );
    await store.close();
    expect(logBytes()).toBeGreaterThan(0);
  });

  test('a store that stopped and cannot say so leaves the log', async () => {
    // So much is flushed before the lock is taken.
    writeFileSync(sandbox.at('a'), randomBytes(smallContentBytesMax + 1));
    const faulty = faultyFileSystem(mode);
    const store = await sandbox.open({ fileSystem: faulty.files });
    await store.transact({}, (tx) => tx.write('b', '1'));
    faulty.fail('EIO', ({ method }) => method === 'barrier' || method === 'writeRecord');
    await expectError(store.snapshots.create(), 'IO_FAILED');
    expect(readOwnerFile(sandbox.root)?.isReleased).toBe(true);
    await store.close();
    expect(logBytes()).toBeGreaterThan(0);
  });

  test('the log of a store that never comes to rest does not grow with each opening', async () => {
    sandbox.breaksStore();
    await (await sandbox.open()).close();
    writeFileSync(sandbox.at('.skillmeat/stage/1-abcdef01.1'), 'left');
    const fileSystem = watchedFileSystem(mode, (call) => {
      const isRemoval = call.method === 'removeFile' || call.method === 'moveNew';
      if (isRemoval && names(call, '1-abcdef01.1')) throw systemError('EPERM');
    });
    const sizes: number[] = [];
    for (let opening = 0; opening < 12; opening += 1) {
      await (await sandbox.open({ create: false, fileSystem })).close();
      sizes.push(logBytes() ?? 0);
    }
    expect(Math.max(...sizes)).toBe(sizes[0]);
  });

  /** Leaves a late write in a displaced directory that nobody may write in. */
  async function writeLate(after: (store: Store) => Promise<void>): Promise<void> {
    sandbox.seed({ 'd/m/log': 'start ', x: 'x' });
    chmodSync(sandbox.at('d/m'), 0o555);
    const store = await sandbox.open();
    const descriptor = openSync(sandbox.at('d/m/log'), 'a');
    await store.transact({}, (tx) => tx.remove('d'));
    await after(store);
    writeSync(descriptor, 'late');
    closeSync(descriptor);
  }

  test('a sync that fails in the sweep stops the store before anything is acknowledged', async () => {
    await writeLate(async (first) => {
      await first.transact({}, (tx) => tx.write('x', 'y'));
      await first.adopt();
      await first.close();
      // Killed while it pruned.
      using journal = Journal.open(sandbox.at('.skillmeat/journal.db'));
      journal.keeping.drop([1], [2]);
      changeOwner(sandbox.root, { isReleased: false });
    });
    const faulty = faultyFileSystem(mode);
    const store = await sandbox.open({ create: false, recover: 'never', fileSystem: faulty.files });
    let barriers = 0;
    faulty.fail('EIO', ({ method }) => {
      if (method === 'barrier') barriers += 1;
      // The first is of the recovery, which has nothing to do.
      return method === 'barrier' && barriers === 2;
    });
    await expectError(store.setHistoryPolicy({ keepLast: 5 }), 'STORE_POISONED');
    expect((await store.historyPolicy()).isDefault).toBe(true);
    await store.close();
    await (await sandbox.open()).close();
  });

  test('the barrier before a mode covers what an earlier opening displaced', async () => {
    await writeLate((first) => first.close());
    const calls: string[] = [];
    const fileSystem = watchedFileSystem(mode, (call) => {
      const { method, values } = call;
      if (method === 'setModeOf' && names(call, 'm')) calls.push('mode');
      else if (method === 'barrier') calls.push('barrier');
      else if (method === 'mustReachDisk') calls.push(`cover ${(values[0] as Place).name}`);
    });
    const store = await sandbox.open({ create: false, fileSystem });
    await store.adopt();
    const before = calls.slice(0, calls.indexOf('mode'));
    expect(before.at(-1)).toBe('barrier');
    expect(before.includes('cover d')).toBe(mode === 'off');
  });
});
