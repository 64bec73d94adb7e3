import { createHash } from 'node:crypto';
import { readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { openStore, type Store } from '../../src/engine/index.js';
import { Journal } from '../../src/engine/journal.js';
import { childPath } from '../../src/engine/snapshot-tree.js';
import type { RelativePath } from '../../src/engine/path.js';
import { damages, plantHistory, removePlanted } from '../support/damages.js';
import { systemError, type FileSystemCall, names, watchedFileSystem } from '../support/faults.js';
import { plantObject } from '../support/objects.js';
import { expectError, expectRefused, modes, useSandbox } from '../support/store.js';
import { file, readTree } from '../support/tree.js';

/*
 * Checks that no other test would miss, one example each: what is found is not what it must be, in a moment that only
 * another program, or an attacker, can bring about.
 */

afterAll(removePlanted);

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);

  const noise = (size: number): string => 'n0ise'.repeat(size / 5);

  describe('a snapshot of a file that is written to while it is read', () => {
    /** Runs `act` right after the first call of a kind that reads the file `f`, or after each. */
    function afterReading(act: () => void, timesMax = 1): ReturnType<typeof watchedFileSystem> {
      let isOpen = false;
      let times = 0;
      return watchedFileSystem(mode, (call, real) => {
        const { method, values } = call;
        if (method === 'openForReading') isOpen = names(call, 'f');
        if (!isOpen || (method !== 'readSync' && method !== 'read') || times >= timesMax) return;
        times += 1;
        const read = Reflect.get(real, method) as (...of: unknown[]) => unknown;
        return () => {
          const count = Reflect.apply(read, real, values);
          if (count instanceof Promise) return count.finally(act);
          act();
          return count;
        };
      });
    }

    test.each([
      ['small', 10],
      ['large', 3_000_000],
    ])('holds what it was at last: %s', async (_size, size) => {
      writeFileSync(sandbox.at('f'), noise(size));
      const files = afterReading(() => {
        writeFileSync(sandbox.at('f'), noise(size).toUpperCase());
      });
      const store = await sandbox.open({ fileSystem: files });
      await store.snapshots.create();
      const to = join(sandbox.directory, 'copy');
      await store.snapshots.restore(1, { to });
      expect(readTree(to)['f']?.kind === 'file' && readTree(to)).toEqual(sandbox.tree());
    });

    test('is told by a dry run as it was at last', async () => {
      const upper = noise(3_000_000).toUpperCase();
      writeFileSync(sandbox.at('f'), noise(3_000_000));
      const files = afterReading(() => {
        writeFileSync(sandbox.at('f'), upper);
      });
      const store = await sandbox.open({ fileSystem: files });
      const { snapshot: told } = await store.snapshots.create({ dryRun: true });
      const { snapshot } = await store.snapshots.create();
      expect(told.sha256).toBe(snapshot.sha256);
    });

    test('again and again is refused, and does not leave the file out', async () => {
      writeFileSync(sandbox.at('f'), 'a');
      let n = 0;
      const files = afterReading(() => {
        n += 1;
        writeFileSync(sandbox.at('f'), 'a'.repeat(n + 1));
      }, 1_000);
      const store = await sandbox.open({ fileSystem: files });
      const { message } = await expectError(store.snapshots.create(), 'SOURCE_CHANGED');
      expect(message).toContain('while it was read');
    });
  });

  test('a file that is there and cannot be found again and again is not left out of a snapshot', async () => {
    sandbox.seed({ f: 'f' });
    const files = watchedFileSystem(mode, (call) => {
      if (call.method === 'openForReading' && names(call, 'f')) throw systemError('ENOENT');
    });
    const store = await sandbox.open({ fileSystem: files });
    await expectError(store.snapshots.create(), 'SOURCE_CHANGED');
  });

  test.each([
    ['small', 10],
    ['large', 3_000_000],
  ])(
    'a %s object that is longer than its snapshot says is not read to its end',
    async (_size, size) => {
      writeFileSync(sandbox.at('f'), noise(size));
      const store = await sandbox.open({ compression: 'off' });
      await store.snapshots.create();
      writeFileSync(sandbox.at('f'), 'changed');
      plantObject(sandbox.root, noise(size), noise(size * 2));
      const { notRestored } = await store.snapshots.restore(1);
      expect(notRestored.map(({ why }) => why)).toEqual([expect.stringContaining('longer than')]);
      expect(sandbox.tree()['f']).toEqual(file('changed'));
    },
  );

  test('a large object with other bytes is brought back nowhere, and found by verify', async () => {
    writeFileSync(sandbox.at('f'), noise(3_000_000));
    const store = await sandbox.open({ compression: 'off' });
    await store.snapshots.create();
    plantObject(sandbox.root, noise(3_000_000), noise(3_000_000).toUpperCase());
    const to = join(sandbox.directory, 'copy');
    const { notRestored } = await store.snapshots.restore(1, { to });
    expect(notRestored.map(({ path }) => path)).toEqual(['f']);
    expect(readTree(to)).toEqual({});
    const kinds: string[] = [];
    for await (const { kind } of store.verify({ deep: true })) kinds.push(kind);
    expect(kinds).toContain('object-damaged');
  });

  test('a snapshot during which objects go again and again is refused', async () => {
    sandbox.seed({ f: 'f' });
    let collections = 0;
    const fileSystem = watchedFileSystem(mode, (call) => {
      if (call.method !== 'openForReading' || !names(call, 'f') || collections < 0) return;
      collections += 2;
      using journal = Journal.open(sandbox.at('.skillmeat/journal.db'));
      journal.setMeta({ object_collections: collections });
    });
    collections = -1;
    const store = await sandbox.open({ fileSystem });
    collections = 0;
    await expectError(store.snapshots.create(), 'SOURCE_CHANGED');
    expect(collections).toBeGreaterThanOrEqual(10);
    collections = -1;
  });

  test('an object of another length is found without reading it', async () => {
    sandbox.seed({ f: 'as it was' });
    const store = await sandbox.open();
    await store.snapshots.create();
    plantObject(sandbox.root, 'as it was', 'as it');
    const kinds: string[] = [];
    for await (const { kind } of store.verify()) kinds.push(kind);
    expect(kinds).toEqual(['object-damaged']);
  });

  test('an object store that is a link is not followed', async () => {
    sandbox.seed({ f: 'f' });
    const store = await sandbox.open();
    await store.snapshots.create();
    const objects = sandbox.at('.skillmeat/objects');
    renameSync(objects, join(sandbox.directory, 'elsewhere'));
    symlinkSync(join(sandbox.directory, 'elsewhere'), objects);
    sandbox.seed({ g: 'g' });
    const before = readdirSync(join(sandbox.directory, 'elsewhere'), { recursive: true }).length;
    await expectError(store.snapshots.create(), 'STORE_UNSAFE');
    expect(readdirSync(join(sandbox.directory, 'elsewhere'), { recursive: true })).toHaveLength(
      before,
    );
    rmSync(objects);
    renameSync(join(sandbox.directory, 'elsewhere'), objects);
  });

  /** A directory that is gone right after it was made, for who opens it. */
  const isGone =
    (isMeant: (call: FileSystemCall) => boolean) =>
    (call: FileSystemCall): (() => unknown) | undefined =>
      call.method === 'openDirectory' && isMeant(call) ? () => 'absent' : undefined;

  test('a restore elsewhere whose directory goes away is refused', async () => {
    sandbox.seed({ 'd/f': 'f' });
    let isRestoring = false;
    const files = watchedFileSystem(
      mode,
      isGone((call) => isRestoring && names(call, 'd')),
    );
    const store = await sandbox.open({ fileSystem: files });
    await store.snapshots.create();
    isRestoring = true;
    const to = join(sandbox.directory, 'copy');
    await expectError(store.snapshots.restore(1, { to }), 'DRIFT_DETECTED');
  });

  test('a staged directory that goes away stops the transaction', async () => {
    let isStaging = false;
    const files = watchedFileSystem(
      mode,
      isGone(({ values: [place] }) => {
        const isIt = isStaging && /^\d+-\w+\.\d+$/.test(nameIn(place));
        if (isIt) isStaging = false;
        return isIt;
      }),
    );
    const store = await sandbox.open({ fileSystem: files });
    await store.transact({}, (tx) => tx.write('first', '1'));
    isStaging = true;
    await expectRefused(
      sandbox.root,
      () => store.transact({}, (tx) => tx.write('d/f', 'f')),
      'STORE_REPLACED',
    );
    // What it met may have been another store: it does not say that it let go of this one in order.
    await store.close();
    await sandbox.open();
  });

  test('a file that changes between two reads of a transaction is told at the second', async () => {
    sandbox.seed({ f: 'f' });
    const store = await sandbox.open();
    let told: unknown;
    await store.transact({}, async (tx) => {
      await tx.read('f');
      writeFileSync(sandbox.at('f'), 'foreign');
      told = await tx.read('f').catch((error: unknown) => error);
    });
    expect(told).toMatchObject({ code: 'DRIFT_DETECTED' });
  });

  test('a file that goes away after its mode was asked for is told as drift', async () => {
    sandbox.seed({ f: 'f' });
    const store = await sandbox.open();
    const error = await expectError(
      store.transact({}, async (tx) => {
        await tx.chmod('f', 0o600);
        rmSync(sandbox.at('f'));
      }),
      'DRIFT_DETECTED',
    );
    expect(error.message).toContain('went away while');
  });

  describe('a content that repair looks for', () => {
    async function plantLoss(): Promise<void> {
      await plantHistory(sandbox);
      const name = 'a file of a displaced directory is gone';
      damages.find((damage) => damage.name === name)?.inflict(sandbox.root);
    }

    async function repaired(store: Store): Promise<readonly string[]> {
      await store.repair({ deep: true });
      const found: string[] = [];
      for await (const { kind } of store.verify({ deep: true })) found.push(kind);
      return found;
    }

    test('is not taken from a file that has other bytes by now', async () => {
      await plantLoss();
      sandbox.seed({ 'd/y': 'no longer y1' });
      const found = await repaired(await sandbox.open());
      expect(found).not.toContain('slot-missing');
      expect(found).not.toContain('slot-damaged');
    });

    test('is not put in place when it changed between two looks at it', async () => {
      await plantLoss();
      let reads = 0;
      const hash = createHash('sha256').update('y1').digest('hex').slice(2);
      const fileSystem = watchedFileSystem(mode, (call) => {
        if (call.method !== 'openForReading' || !names(call, hash)) return;
        reads += 1;
        if (reads === 3) plantObject(sandbox.root, 'y1', 'y2');
      });
      const found = await repaired(await sandbox.open({ fileSystem }));
      expect(reads).toBeGreaterThan(2);
      expect(found).not.toContain('slot-damaged');
    });
  });

  test('a store of another user is unsafe', async () => {
    await (await sandbox.open()).close();
    const fileSystem = watchedFileSystem(mode, ({ method }) =>
      method === 'processOwner' ? () => ({ owner: 4_242, group: 4_242 }) : undefined,
    );
    await expectError(openStore(sandbox.root, { fileSystem }), 'STORE_UNSAFE');
  });

  test.each([
    ['a lock file with something in it', 'lock'],
    ['a rollback journal beside the lock file', 'lock-journal'],
  ])('%s is not trusted', async (_what, name) => {
    const store = await sandbox.open();
    await store.close();
    writeFileSync(sandbox.at(`.skillmeat/${name}`), 'planted');
    const again = await sandbox.open();
    await expectError(
      again.transact({}, (tx) => tx.write('a', 'a')),
      'STORE_UNSAFE',
    );
    sandbox.breaksStore();
  });

  test('a rollback journal beside the journal is not trusted', async () => {
    await (await sandbox.open()).close();
    writeFileSync(sandbox.at('.skillmeat/journal.db-journal'), 'planted');
    await expectError(openStore(sandbox.root, { native: mode }), 'JOURNAL_FOREIGN');
    sandbox.breaksStore();
  });
});

test('a name of a listing makes no path deeper than a snapshot can have', () => {
  const deep = Array.from({ length: 128 }, () => 'd').join('/') as RelativePath;
  expect(() => childPath(deep, 'e')).toThrow('is deeper than any snapshot');
});

/** The name of a place. */
function nameIn(place: unknown): string {
  return typeof place === 'object' && place !== null && 'name' in place ? String(place.name) : '';
}
