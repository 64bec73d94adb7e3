import { utimesSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { OpenStoreOptions, Store } from '../../src/engine/index.js';
import { type Cost, costMeter, type Meter, useStoppedClock } from '../support/cost.js';
import { copyTree } from '../support/copier.js';
import { watchedFileSystem } from '../support/faults.js';
import { type Mode, modes, type Sandbox, useSandbox } from '../support/store.js';

/*
 * What fixed pieces of work cost, exactly: calls of the file system, waits for the disk, statements of
 * SQLite, bytes written. Nothing is timed. A number that changes is to be looked at: when the work has
 * become cheaper, or when a promise is worth the price, it is written down here anew.
 */

/** Half a minute: files of that age can be told by their time alone. */
const oldMs = 30_000;
const startMs = Date.now();

interface Workplace {
  readonly mode: Mode;
  readonly sandbox: Sandbox;
  readonly meter: Meter;
  readonly options: OpenStoreOptions;
  /** Has done one transaction. */
  readonly store: Store;
}

type Work = (place: Workplace) => Promise<Cost>;

const works: Readonly<Record<string, Work>> = {
  'a file replaced': replacing(1),
  '7 files replaced': replacing(7),
  '100 files replaced': replacing(100),
  '7 files created': ({ meter, store }) =>
    meter.cost(() => store.transact({}, (tx) => writeAll(tx, names(7, 'new')))),
  'a new tree of 4 directories and 12 files': ({ meter, store }) =>
    meter.cost(() =>
      store.transact({}, (tx) =>
        writeAll(
          tx,
          ['new', 'new/a', 'new/b', 'new/b/c'].flatMap((at) => names(3, `${at}/file`)),
        ),
      ),
    ),
  '7 files removed': ({ meter, sandbox, store }) => {
    seedOld(sandbox, names(7));
    return meter.cost(() =>
      store.transact({}, async (tx) => {
        for (const name of names(7)) await tx.remove(name);
      }),
    );
  },
  'nothing changed by 7 writes': ({ meter, sandbox, store }) => {
    seedOld(sandbox, names(7), newContent);
    return meter.cost(() => store.transact({}, (tx) => writeAll(tx, names(7))));
  },
  'an undo of 7 replacements': async (place) => {
    await replacing(7)(place);
    return place.meter.cost(() => place.store.undo());
  },
  'a first snapshot of 7 files': ({ meter, sandbox, store }) => {
    seedOld(sandbox, names(7));
    return meter.cost(() => store.snapshots.create());
  },
  'a snapshot of 7 files, 5 of them changed by hand since a transaction': async ({
    meter,
    sandbox,
    store,
  }) => {
    await store.transact({}, (tx) => writeAll(tx, names(7)));
    // Settles.
    await store.adopt();
    await store.snapshots.create();
    seedOld(sandbox, names(5), 'by hand\n');
    return meter.cost(() => store.snapshots.create());
  },
  'a snapshot of 8 files unchanged': async ({ meter, sandbox, store }) => {
    seedOld(sandbox, names(7));
    await store.snapshots.create();
    return meter.cost(() => store.snapshots.create());
  },
  'opening and closing': async ({ meter, options, sandbox, store }) => {
    await store.close();
    return meter.cost(async () => {
      await (await sandbox.open(options)).close();
    });
  },
  'a recovery of 7 replacements': async ({ meter, mode, options, sandbox, store }) => {
    await store.close();
    seedOld(sandbox, names(7));
    const killed = `${sandbox.root}.killed`;
    let isFirst = true;
    const fileSystem = watchedFileSystem(mode, ({ method }) => {
      if (method !== 'exchange' || !isFirst) return;
      isFirst = false;
      copyTree(sandbox.root, killed);
    });
    const dying = await sandbox.open({ ...options, fileSystem });
    await dying.transact({}, (tx) => writeAll(tx, names(7)));
    await dying.close();
    // A copy must be adopted; that is paid before.
    await (await sandbox.openAt(killed, { ...options, adopt: true, recover: 'never' })).close();
    return meter.cost(async () => {
      await (await sandbox.openAt(killed, options)).close();
    });
  },
  'a checkpoint of 7 replacements': async (place) => {
    await replacing(7)(place);
    return place.meter.cost(() => place.store.adopt());
  },
};

const newContent = 'new content\n';

function names(count: number, prefix = 'file'): readonly string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}-${String(index)}`);
}

function seedOld(sandbox: Sandbox, paths: readonly string[], content = 'old content\n'): void {
  sandbox.seed(Object.fromEntries(paths.map((path) => [path, content])));
  for (const path of paths) {
    utimesSync(join(sandbox.root, path), (startMs - oldMs) / 1_000, (startMs - oldMs) / 1_000);
  }
}

async function writeAll(
  tx: { write(path: string, content: string): Promise<void> },
  paths: readonly string[],
): Promise<void> {
  for (const path of paths) await tx.write(path, newContent);
}

function replacing(count: number): Work {
  return ({ meter, sandbox, store }) => {
    seedOld(sandbox, names(count));
    return meter.cost(() => store.transact({}, (tx) => writeAll(tx, names(count))));
  };
}

const budgets: Readonly<Record<string, Readonly<Record<Mode, Cost>>>> = {
  'a file replaced': {
    auto: {
      calls:
        'barrier 1, closeFile 1, closeWritten 1, createFile 1, exchange 1, keepExtendedAttributes 1, mountsBelow 1, openForReading 1, processOwner 1, readRecord 1, readSync 1, stat 9, statFile 1, tryLock 1, unlock 1, writeRecord 3, writeSync 1',
      flushes: 'syncfs 1, unsynced commit 1',
      statements: 'BEGIN 1, COMMIT 1, INSERT 3, PRAGMA 2, SELECT 6, UPDATE 1',
      bytes: 'log 12360, owner 3072, stage 12',
    },
    off: {
      calls:
        'barrier 1, closeFile 1, closeWritten 1, createFile 1, exchange 1, keepExtendedAttributes 1, mountsBelow 1, openForReading 1, processOwner 1, readRecord 1, readSync 1, setMode 1, stat 9, statFile 1, writeRecord 3, writeSync 1',
      flushes: 'commit 1, fsync 5',
      statements: 'BEGIN 2, COMMIT 1, INSERT 3, PRAGMA 1, ROLLBACK 1, SELECT 6, UPDATE 1',
      bytes: 'log 12360, owner 3072, stage 12',
    },
  },
  '7 files replaced': {
    auto: {
      calls:
        'barrier 1, closeFile 7, closeWritten 7, createFile 7, exchange 7, keepExtendedAttributes 1, mountsBelow 1, openForReading 7, processOwner 1, readRecord 1, readSync 7, stat 27, statFile 7, tryLock 1, unlock 1, writeRecord 3, writeSync 7',
      flushes: 'syncfs 1, unsynced commit 1',
      statements: 'BEGIN 1, COMMIT 1, INSERT 9, PRAGMA 2, SELECT 6, UPDATE 1',
      bytes: 'log 12360, owner 3072, stage 84',
    },
    off: {
      calls:
        'barrier 1, closeFile 7, closeWritten 7, createFile 7, exchange 7, keepExtendedAttributes 1, mountsBelow 1, openForReading 7, processOwner 1, readRecord 1, readSync 7, setMode 7, stat 27, statFile 7, writeRecord 3, writeSync 7',
      flushes: 'commit 1, fsync 17',
      statements: 'BEGIN 2, COMMIT 1, INSERT 9, PRAGMA 1, ROLLBACK 1, SELECT 6, UPDATE 1',
      bytes: 'log 12360, owner 3072, stage 84',
    },
  },
  '100 files replaced': {
    auto: {
      calls:
        'barrier 1, closeFile 100, closeWritten 100, createFile 100, exchange 100, keepExtendedAttributes 2, mountsBelow 1, openForReading 100, processOwner 1, readRecord 1, readSync 100, stat 306, statFile 100, tryLock 1, unlock 1, writeRecord 3, writeSync 100',
      flushes: 'syncfs 1, unsynced commit 1',
      statements: 'BEGIN 1, COMMIT 1, INSERT 102, PRAGMA 2, SELECT 6, UPDATE 1',
      bytes: 'log 32960, owner 3072, stage 1200',
    },
    off: {
      calls:
        'barrier 1, closeFile 100, closeWritten 100, createFile 100, exchange 100, keepExtendedAttributes 2, mountsBelow 1, openForReading 100, processOwner 1, readRecord 1, readSync 100, setMode 100, stat 306, statFile 100, writeRecord 3, writeSync 100',
      flushes: 'commit 1, fsync 203',
      statements: 'BEGIN 2, COMMIT 1, INSERT 102, PRAGMA 1, ROLLBACK 1, SELECT 6, UPDATE 1',
      bytes: 'log 32960, owner 3072, stage 1200',
    },
  },
  '7 files created': {
    auto: {
      calls:
        'barrier 1, closeWritten 7, createFile 7, keepExtendedAttributes 1, mountsBelow 1, moveNew 7, processOwner 1, readRecord 1, stat 20, statDirectory 1, tryLock 1, unlock 1, writeRecord 3, writeSync 7',
      flushes: 'syncfs 1, unsynced commit 1',
      statements: 'BEGIN 1, COMMIT 1, INSERT 9, PRAGMA 2, SELECT 6, UPDATE 1',
      bytes: 'log 12360, owner 3072, stage 84',
    },
    off: {
      calls:
        'barrier 1, closeWritten 7, createFile 7, keepExtendedAttributes 1, mountsBelow 1, moveNew 7, processOwner 1, readRecord 1, stat 20, statDirectory 1, writeRecord 3, writeSync 7',
      flushes: 'commit 1, fsync 10',
      statements: 'BEGIN 2, COMMIT 1, INSERT 9, PRAGMA 1, ROLLBACK 1, SELECT 6, UPDATE 1',
      bytes: 'log 12360, owner 3072, stage 84',
    },
  },
  'a new tree of 4 directories and 12 files': {
    auto: {
      calls:
        'barrier 1, closeDirectory 4, closeWritten 12, createFile 12, keepExtendedAttributes 5, makeDirectory 4, mountsBelow 1, moveNew 1, moveOwn 12, openDirectory 14, processOwner 1, readRecord 1, setMode 4, stat 8, statDirectory 1, tryLock 1, unlock 1, writeRecord 3, writeSync 12',
      flushes: 'syncfs 1, unsynced commit 1',
      statements: 'BEGIN 1, COMMIT 1, INSERT 18, PRAGMA 2, SELECT 6, UPDATE 1',
      bytes: 'log 12360, owner 3072, stage 144',
    },
    off: {
      calls:
        'barrier 1, closeDirectory 4, closeWritten 12, createFile 12, keepExtendedAttributes 5, makeDirectory 4, mountsBelow 1, moveNew 1, moveOwn 12, openDirectory 14, processOwner 1, readRecord 1, setMode 4, stat 8, statDirectory 1, writeRecord 3, writeSync 12',
      flushes: 'commit 1, fsync 23',
      statements: 'BEGIN 2, COMMIT 1, INSERT 18, PRAGMA 1, ROLLBACK 1, SELECT 6, UPDATE 1',
      bytes: 'log 12360, owner 3072, stage 144',
    },
  },
  '7 files removed': {
    auto: {
      calls:
        'barrier 1, closeFile 7, mountsBelow 1, moveNew 7, openForReading 7, processOwner 1, readRecord 1, readSync 7, stat 27, statFile 7, tryLock 1, unlock 1, writeRecord 3',
      flushes: 'syncfs 1, unsynced commit 1',
      statements: 'BEGIN 1, COMMIT 1, INSERT 9, PRAGMA 2, SELECT 6, UPDATE 1',
      bytes: 'log 12360, owner 3072',
    },
    off: {
      calls:
        'barrier 1, closeFile 7, mountsBelow 1, moveNew 7, openForReading 7, processOwner 1, readRecord 1, readSync 7, stat 27, statFile 7, writeRecord 3',
      flushes: 'commit 1, fsync 3',
      statements: 'BEGIN 2, COMMIT 1, INSERT 9, PRAGMA 1, ROLLBACK 1, SELECT 6, UPDATE 1',
      bytes: 'log 12360, owner 3072',
    },
  },
  'nothing changed by 7 writes': {
    auto: {
      calls:
        'closeFile 7, closeWritten 7, createFile 7, mountsBelow 1, openForReading 7, processOwner 1, readRecord 1, readSync 7, removeFile 7, stat 23, statFile 7, tryLock 1, unlock 1, writeRecord 2, writeSync 7',
      flushes: '',
      statements: 'SELECT 5',
      bytes: 'owner 2048, stage 84',
    },
    off: {
      calls:
        'closeFile 7, closeWritten 7, createFile 7, mountsBelow 1, openForReading 7, processOwner 1, readRecord 1, readSync 7, removeFile 7, stat 23, statFile 7, writeRecord 2, writeSync 7',
      flushes: '',
      statements: 'BEGIN 1, PRAGMA 1, ROLLBACK 1, SELECT 5',
      bytes: 'owner 2048, stage 84',
    },
  },
  'an undo of 7 replacements': {
    auto: {
      calls:
        'barrier 1, closeFile 21, closeWritten 7, createFile 7, exchange 7, keepExtendedAttributes 1, mountsBelow 1, openForReading 21, processOwner 1, readRecord 1, readSync 28, stat 48, statFile 21, tryLock 1, unlock 1, writeRecord 3, writeSync 7',
      flushes: 'syncfs 1, unsynced commit 1',
      statements: 'BEGIN 1, COMMIT 1, INSERT 9, PRAGMA 2, SELECT 16, UPDATE 1',
      bytes: 'log 12360, owner 3072, stage 84',
    },
    off: {
      calls:
        'barrier 1, closeFile 21, closeWritten 7, createFile 7, exchange 7, keepExtendedAttributes 1, mountsBelow 1, openForReading 21, processOwner 1, readRecord 1, readSync 28, setMode 7, stat 48, statFile 21, writeRecord 3, writeSync 7',
      flushes: 'commit 1, fsync 23',
      statements: 'BEGIN 2, COMMIT 1, INSERT 9, PRAGMA 1, ROLLBACK 1, SELECT 16, UPDATE 1',
      bytes: 'log 12360, owner 3072, stage 84',
    },
  },
  'a first snapshot of 7 files': {
    auto: {
      calls:
        'barrier 1, closeDirectory 4, closeFile 8, closeWritten 4, createFile 4, list 2, makeDirectory 4, moveNew 3, moveOwn 1, openDirectory 5, openForReading 8, processOwner 7, readRecord 1, readSync 8, stat 19, statDirectory 8, statFile 16, tryLock 1, typeOf 1, unlock 1, writeRecord 2, writeSync 5',
      flushes: 'commit 1, syncfs 1',
      statements: 'BEGIN 1, COMMIT 1, INSERT 4, PRAGMA 2, SELECT 28',
      bytes: 'log 8240, objects 752, owner 2048, scan-cache',
    },
    off: {
      calls:
        'barrier 1, closeDirectory 4, closeFile 8, closeWritten 4, createFile 4, list 2, makeDirectory 4, moveNew 3, moveOwn 1, openDirectory 5, openForReading 8, processOwner 7, readRecord 1, readSync 8, stat 19, statDirectory 8, statFile 16, typeOf 1, writeRecord 2, writeSync 5',
      flushes: 'commit 1, fsync 14',
      statements: 'BEGIN 2, COMMIT 1, INSERT 4, PRAGMA 3, ROLLBACK 1, SELECT 28',
      bytes: 'log 8240, objects 752, owner 2048, scan-cache',
    },
  },
  'a snapshot of 7 files, 5 of them changed by hand since a transaction': {
    auto: {
      calls:
        'barrier 1, closeDirectory 4, closeFile 13, closeWritten 3, createFile 3, list 2, makeDirectory 2, moveNew 2, moveOwn 1, mustReachDisk 5, openDirectory 4, openForReading 13, processOwner 4, readRecord 1, readSync 13, stat 27, statDirectory 5, statFile 17, tryLock 1, typeOf 1, unlock 1, writeRecord 2, writeSync 4',
      flushes: 'commit 1, syncfs 1',
      statements: 'BEGIN 1, COMMIT 1, INSERT 10, SELECT 28, UPDATE 1',
      bytes: 'log 16480, objects 737, owner 2048, scan-cache',
    },
    off: {
      calls:
        'barrier 1, closeDirectory 4, closeFile 13, closeWritten 3, createFile 3, list 2, makeDirectory 2, moveNew 2, moveOwn 1, mustReachDisk 5, openDirectory 4, openForReading 13, processOwner 4, readRecord 1, readSync 13, stat 27, statDirectory 5, statFile 17, typeOf 1, writeRecord 2, writeSync 4',
      flushes: 'commit 1, fsync 15',
      statements: 'BEGIN 2, COMMIT 1, INSERT 10, PRAGMA 1, ROLLBACK 1, SELECT 28, UPDATE 1',
      bytes: 'log 16480, objects 737, owner 2048, scan-cache',
    },
  },
  'a snapshot of 8 files unchanged': {
    auto: {
      calls:
        'closeDirectory 1, closeFile 1, closeWritten 1, createFile 1, moveOwn 1, openDirectory 1, openForReading 1, readRecord 1, readSync 1, stat 13, statDirectory 1, tryLock 1, typeOf 1, unlock 1, writeRecord 2, writeSync 2',
      flushes: 'commit 1',
      statements: 'BEGIN 1, COMMIT 1, INSERT 3, SELECT 19',
      bytes: 'log 8240, owner 2048, scan-cache',
    },
    off: {
      calls:
        'closeDirectory 1, closeFile 1, closeWritten 1, createFile 1, moveOwn 1, openDirectory 1, openForReading 1, readRecord 1, readSync 1, stat 13, statDirectory 1, typeOf 1, writeRecord 2, writeSync 2',
      flushes: 'commit 1',
      statements: 'BEGIN 2, COMMIT 1, INSERT 3, PRAGMA 1, ROLLBACK 1, SELECT 19',
      bytes: 'log 8240, owner 2048, scan-cache',
    },
  },
  'opening and closing': {
    auto: {
      calls:
        'bootId 1, close 1, closeDirectory 6, closeFile 2, makeDirectory 1, makeRoot 1, openDirectory 4, openForReading 2, openRoot 2, pathOf 3, processOwner 2, readRecord 2, roomForMapping 1, stat 19, statDirectory 5, typeOf 2',
      flushes: '',
      statements: 'PRAGMA 13, SELECT 16',
      bytes: '',
    },
    off: {
      calls:
        'bootId 1, close 1, closeDirectory 6, closeFile 2, makeDirectory 1, makeRoot 1, openDirectory 4, openForReading 2, openRoot 2, pathOf 3, processOwner 2, readRecord 2, roomForMapping 1, stat 19, statDirectory 5, typeOf 2',
      flushes: '',
      statements: 'PRAGMA 13, SELECT 16',
      bytes: '',
    },
  },
  'a recovery of 7 replacements': {
    auto: {
      calls:
        'barrier 1, bootId 1, close 1, closeDirectory 6, closeFile 40, exchange 7, list 3, makeDirectory 1, makeRoot 1, openDirectory 4, openForReading 38, openRecord 2, openRoot 2, pathOf 3, processOwner 2, readRecord 3, readSync 36, roomForMapping 1, stat 90, statDirectory 5, statFile 37, tryLock 1, typeOf 2, unlock 1, writeAnew 1, writeRecord 2',
      flushes: 'commit 2, fsync 1, syncfs 1',
      statements: 'BEGIN 2, COMMIT 2, INSERT 3, PRAGMA 15, REPLACE 2, SELECT 54, UPDATE 1',
      bytes: 'owner 2048',
    },
    off: {
      calls:
        'barrier 1, bootId 1, close 1, closeDirectory 6, closeFile 40, exchange 7, list 3, makeDirectory 1, makeRoot 1, mustReachDisk 17, openDirectory 4, openForReading 38, openRecord 2, openRoot 2, pathOf 4, processOwner 2, readRecord 3, readSync 36, roomForMapping 1, stat 90, statDirectory 5, statFile 37, typeOf 2, writeAnew 1, writeRecord 2',
      flushes: 'commit 2, fsync 19',
      statements:
        'BEGIN 3, COMMIT 2, INSERT 3, PRAGMA 16, REPLACE 2, ROLLBACK 1, SELECT 58, UPDATE 1',
      bytes: 'owner 2048',
    },
  },
  'a checkpoint of 7 replacements': {
    auto: {
      calls:
        'barrier 1, closeFile 15, openForReading 15, readRecord 1, readSync 15, stat 27, statFile 15, tryLock 1, unlock 1, writeRecord 2',
      flushes: 'commit 1, syncfs 1',
      statements: 'BEGIN 1, COMMIT 1, INSERT 2, PRAGMA 2, REPLACE 2, SELECT 34',
      bytes: 'log 8240, owner 2048',
    },
    off: {
      calls:
        'barrier 1, closeFile 15, mustReachDisk 16, openForReading 15, readRecord 1, readSync 15, stat 27, statFile 15, writeRecord 2',
      flushes: 'commit 1, fsync 17',
      statements: 'BEGIN 2, COMMIT 1, INSERT 2, PRAGMA 3, REPLACE 2, ROLLBACK 1, SELECT 38',
      bytes: 'log 8240, owner 2048',
    },
  },
};

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);

  useStoppedClock();

  test.for(Object.entries(works))('the cost of %s', async ([name, work]) => {
    const meter = costMeter(mode, sandbox.root);
    let ids = 0;
    const options: OpenStoreOptions = {
      fileSystem: meter.files,
      now: () => startMs + oldMs,
      newId: () => `00000000-0000-4000-8000-${String((ids += 1)).padStart(12, '0')}`,
      compression: 'off',
    };
    const store = await sandbox.open(options);
    await store.transact({}, (tx) => tx.write('first', 'first\n'));
    const cost = await work({ mode, sandbox, meter, options, store });
    // It names inodes in decimal, which may have a digit more or less.
    const bytes = cost.bytes.replace(/scan-cache \d+/, 'scan-cache');
    expect({ ...cost, bytes }).toEqual(budgets[name]?.[mode]);
  });
});
