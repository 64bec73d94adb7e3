import { describe, expect, test } from 'vitest';
import { costMeter, type Cost, useStoppedClock } from '../support/cost.js';
import {
  openStamped,
  reopenStamped,
  type StampedCollection,
} from '../support/stamped-collection.js';
import { type Mode, modes, useSandbox } from '../support/store.js';

/* What changes of a collection cost, exactly, as test/engine/budgets.test.ts has it for the engine. */

const oldMs = 30_000;
const names = ['one', 'three', 'two'];

/** Prepares something, and returns the work that costs. */
type Work = (stamped: StampedCollection) => Promise<() => unknown>;

const works: Readonly<Record<string, Work>> = {
  'an update of an artifact of 5 files': async (stamped) => {
    const { collection, fetcher } = stamped;
    const update = await stamped.available('one', 1);
    return () => collection.update([update], { fetcher, strategy: 'overwrite' });
  },
  'a tag':
    async ({ collection }) =>
    () =>
      collection.tag(['one'], { add: ['new'] }),
  'removing an artifact of 5 files':
    async ({ collection }) =>
    () =>
      collection.remove(['one']),
};

const budgets: Readonly<Record<string, Readonly<Record<Mode, Cost>>>> = {
  'an update of an artifact of 5 files': {
    auto: {
      calls:
        'barrier 1, closeDirectory 8, closeFile 28, closeWritten 7, createFile 7, exchange 3, keepExtendedAttributes 2, list 5, makeDirectory 1, mountsBelow 1, moveOwn 5, openDirectory 7, openForReading 28, openRoot 1, processOwner 1, readRecord 1, readSync 33, resolveLinks 1, setMode 1, stat 60, statFile 28, tryLock 1, unlock 1, writeRecord 3, writeSync 7',
      flushes: 'syncfs 1, unsynced commit 1',
      statements: 'BEGIN 1, COMMIT 1, INSERT 10, PRAGMA 2, SELECT 6, UPDATE 1',
      bytes: 'log 24720, owner 3072, stage 18787',
    },
    off: {
      calls:
        'barrier 1, closeDirectory 8, closeFile 28, closeWritten 7, createFile 7, exchange 3, keepExtendedAttributes 2, list 5, makeDirectory 1, mountsBelow 1, moveOwn 5, openDirectory 7, openForReading 28, openRoot 1, processOwner 1, readRecord 1, readSync 33, resolveLinks 1, setMode 8, stat 60, statFile 28, writeRecord 3, writeSync 7',
      flushes: 'commit 1, fsync 21',
      statements: 'BEGIN 2, COMMIT 1, INSERT 10, PRAGMA 1, ROLLBACK 1, SELECT 6, UPDATE 1',
      bytes: 'log 24720, owner 3072, stage 18787',
    },
  },
  'a tag': {
    auto: {
      calls:
        'barrier 1, closeDirectory 2, closeFile 10, closeWritten 1, createFile 1, exchange 1, keepExtendedAttributes 1, list 1, mountsBelow 1, openDirectory 2, openForReading 10, processOwner 1, readRecord 1, readSync 10, stat 27, statFile 10, tryLock 1, unlock 1, writeRecord 3, writeSync 1',
      flushes: 'syncfs 1, unsynced commit 1',
      statements: 'BEGIN 1, COMMIT 1, INSERT 3, PRAGMA 2, SELECT 6, UPDATE 1',
      bytes: 'log 12360, owner 3072, stage 1088',
    },
    off: {
      calls:
        'barrier 1, closeDirectory 2, closeFile 10, closeWritten 1, createFile 1, exchange 1, keepExtendedAttributes 1, list 1, mountsBelow 1, openDirectory 2, openForReading 10, processOwner 1, readRecord 1, readSync 10, setMode 1, stat 27, statFile 10, writeRecord 3, writeSync 1',
      flushes: 'commit 1, fsync 7',
      statements: 'BEGIN 2, COMMIT 1, INSERT 3, PRAGMA 1, ROLLBACK 1, SELECT 6, UPDATE 1',
      bytes: 'log 12360, owner 3072, stage 1088',
    },
  },
  'removing an artifact of 5 files': {
    auto: {
      calls:
        'barrier 1, closeDirectory 5, closeFile 16, closeWritten 2, createFile 2, exchange 2, keepExtendedAttributes 1, list 3, mountsBelow 1, moveNew 1, openDirectory 5, openForReading 16, processOwner 1, readRecord 1, readSync 16, stat 40, statFile 16, tryLock 1, unlock 1, writeRecord 3, writeSync 2',
      flushes: 'syncfs 1, unsynced commit 1',
      statements: 'BEGIN 1, COMMIT 1, INSERT 10, PRAGMA 2, SELECT 6, UPDATE 1',
      bytes: 'log 24720, owner 3072, stage 1349',
    },
    off: {
      calls:
        'barrier 1, closeDirectory 5, closeFile 16, closeWritten 2, createFile 2, exchange 2, keepExtendedAttributes 1, list 3, mountsBelow 1, moveNew 1, openDirectory 5, openForReading 16, processOwner 1, readRecord 1, readSync 16, setMode 2, stat 40, statFile 16, writeRecord 3, writeSync 2',
      flushes: 'commit 1, fsync 9',
      statements: 'BEGIN 2, COMMIT 1, INSERT 10, PRAGMA 1, ROLLBACK 1, SELECT 6, UPDATE 1',
      bytes: 'log 24720, owner 3072, stage 1349',
    },
  },
};

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);

  useStoppedClock();

  async function measure(work: Work): Promise<Cost> {
    await (await openStamped(sandbox.directory, names, mode))[Symbol.asyncDispose]();
    const meter = costMeter(mode, `${sandbox.directory}/collection`);
    const now = Date.now() + oldMs;
    await using stamped = await reopenStamped(sandbox.directory, {
      fileSystem: meter.files,
      now: () => now,
      compression: 'off',
    });
    await stamped.update('two', 1);
    return await meter.cost(await work(stamped));
  }

  test.for(Object.entries(works))('what it costs: %s', async ([name, work]) => {
    const cost = await measure(work);
    expect(cost).toEqual(budgets[name]?.[mode]);
  });
});
