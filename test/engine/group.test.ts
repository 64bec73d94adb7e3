import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import {
  isEngineError,
  type Receipt,
  type Store,
  type Transaction,
  type TransactOptions,
} from '../../src/engine/index.js';
import type { FileSystem } from '../../src/engine/file-system.js';
import { costMeter } from '../support/cost.js';
import { failSqlite } from '../support/failing-sqlite.js';
import { faultyFileSystem, watchedFileSystem } from '../support/faults.js';
import { expectError, modes, readQuarantine, useSandbox } from '../support/store.js';
import { directory, file } from '../support/tree.js';

/*
 * Transactions of one store that wait for the lock together share a flush: what each of them sees, and
 * what becomes of the others when one is refused, fails or waits for something else.
 */

type Act = (tx: Transaction) => unknown;

/** The first finds the lock free, the others wait for it together. */
function together(
  store: Store,
  acts: readonly Act[],
  optionsOf: (n: number) => TransactOptions = () => ({}),
): readonly Promise<Receipt>[] {
  return acts.map((act, n) =>
    store.transact({ message: String(n), sharesFlush: true, ...optionsOf(n) }, act),
  );
}

/** How each ended: `done`, a code, or a message. */
async function endings(all: readonly Promise<Receipt>[]): Promise<readonly string[]> {
  return (await Promise.allSettled(all)).map((one) => {
    if (one.status === 'fulfilled') return 'done';
    const error: unknown = one.reason;
    return isEngineError(error) ? error.code : String(error);
  });
}

/** Adds a line to the file that all of them write, and makes a file of its own. */
function adding(name: string): Act {
  return async (tx) => {
    const lines = Buffer.from((await tx.read('manifest')) ?? '').toString();
    await tx.write('manifest', `${lines}${name}\n`);
    await tx.write(`own/${name}`, name);
  };
}

function writing(path: string, content: string): Act {
  return (tx) => tx.write(path, content);
}

function numbers(count: number): readonly string[] {
  return Array.from({ length: count }, (_, n) => String(n));
}

async function allOf<T>(all: AsyncIterable<T>): Promise<readonly T[]> {
  const found = [];
  for await (const one of all) found.push(one);
  return found;
}

const lines = (names: readonly string[]): string => names.map((name) => `${name}\n`).join('');

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);
  const shares = mode === 'auto';

  /** A store whose first transaction is over: before that one it is recovered. */
  async function opened(fileSystem?: FileSystem): Promise<Store> {
    const store = await sandbox.open(fileSystem && { fileSystem });
    await store.transact({}, (tx) => tx.write('first', ''));
    return store;
  }

  /** A store with what the transactions need, and how often it waited for the disk since. */
  async function metered(): Promise<{
    store: Store;
    flushes: (act: () => unknown) => Promise<string>;
  }> {
    sandbox.seed({ manifest: '', 'own/x': 'x', a: 'old a', b: 'old b', 'tree/f': 'f' });
    const meter = costMeter(mode, sandbox.root);
    const store = await opened(meter.files);
    return { store, flushes: async (act) => (await meter.cost(act)).flushes };
  }

  test.for([4, 16])('%i callers that wait together share flushes', async (count) => {
    const { store, flushes } = await metered();
    const found = await flushes(() => Promise.all(together(store, numbers(count).map(adding))));
    expect(found.replace(/fsync \d+/, 'fsync')).toBe(
      shares ? `syncfs 1, unsynced commit ${String(count)}` : `commit ${String(count)}, fsync`,
    );
    expect(sandbox.tree()).toMatchObject({ manifest: file(lines(numbers(count))) });
    const log = (await store.log()).toReversed();
    expect(log.map(({ id, message }) => [id, message]).slice(1)).toEqual(
      numbers(count).map((n) => [Number(n) + 2, n]),
    );
    expect(await allOf(store.verify({ deep: true }))).toEqual([]);
  });

  test('callers that do not say that they may share do not', async () => {
    const { store, flushes } = await metered();
    const seen: string[] = [];
    const act: Act = async (tx) => {
      // What the disk says by itself is what was acknowledged before.
      seen.push(readFileSync(sandbox.at('manifest'), 'utf8'));
      await adding(String(seen.length))(tx);
    };
    const found = await flushes(() => Promise.all([1, 2, 3].map(() => store.transact({}, act))));
    expect(found).toContain(shares ? 'syncfs 3' : 'commit 3');
    expect(seen).toEqual(['', '1\n', '1\n2\n']);
  });

  test('what was recorded before is read, listed, replaced and removed as if it were in place', async () => {
    const { store, flushes } = await metered();
    const found: unknown[] = [];
    const acts: readonly Act[] = [
      async (tx) => {
        await tx.write('a', 'new a', { mode: 0o600 });
        await tx.write('made/deep/f', 'made');
        await tx.remove('b');
        await tx.remove('tree');
        await tx.symlink('link', 'a');
      },
      async (tx) => {
        found.push(String(await tx.read('a')), await tx.read('b'), await tx.stat('tree/f'));
        found.push((await tx.stat('a'))?.mode, (await tx.stat('link'))?.target);
        found.push((await tx.list())?.map(({ name }) => name));
        found.push((await tx.list('made/deep'))?.map(({ name }) => name));
        found.push(await tx.list('tree'));
        await expectError(tx.write('a/below', 'x'), 'PATH_NOT_DIRECTORY');
        await expectError(tx.write('made/deep/f/x', 'x'), 'PATH_NOT_DIRECTORY');
        await tx.write('a', 'newer a');
        await tx.write('b', 'b again');
        await tx.symlink('link', 'b');
      },
      async (tx) => {
        found.push(
          String(await tx.read('a')),
          String(await tx.read('b')),
          (await tx.stat('link'))?.target,
        );
      },
    ];
    const count = await flushes(() => Promise.all(together(store, acts)));
    expect(count).toContain(shares ? 'syncfs 1' : 'commit 2');
    expect(found).toEqual([
      'new a',
      undefined,
      undefined,
      0o600,
      'a',
      ['a', 'first', 'link', 'made', 'manifest', 'own'],
      ['f'],
      undefined,
      'newer a',
      'b again',
      'b',
    ]);
    const { tree, ...rest } = sandbox.tree();
    expect(tree).toBeUndefined();
    expect(rest).toMatchObject({
      a: file('newer a', 0o600),
      b: file('b again'),
      'made/deep/f': file('made'),
    });
    await store.undo({ transaction: 3 });
    expect(sandbox.tree()).toMatchObject({ a: file('new a', 0o600), link: { target: 'a' } });
    await store.undo({ transaction: 2 });
    expect(sandbox.tree()).toMatchObject({
      a: file('old a'),
      b: file('old b'),
      'tree/f': file('f'),
    });
  });

  /** The second of two cannot share: it waits until the first is in place, and is flushed by itself. */
  test.for<[string, Act, Act]>([
    ['brings back what was there', writing('a', 'new'), writing('a', 'old a')],
    ['removes what was made', writing('new', 'new'), (tx) => tx.remove('new')],
    [
      'replaces the directory of what was written',
      writing('tree/f', 'new'),
      async (tx) => {
        await tx.remove('tree');
        await tx.write('tree/g', 'g');
      },
    ],
    ['writes into a directory that was made', writing('made/f', 'f'), writing('made/g', 'g')],
    ['follows a change of mode', (tx) => tx.chmod('a', 0o600), writing('b', 'new')],
    ['renames', writing('a', 'new'), (tx) => tx.rename('a', 'c')],
    [
      'writes what comes bit by bit',
      writing('a', 'new'),
      (tx) =>
        tx.write(
          'c',
          (async function* () {
            yield await Promise.resolve('c');
          })(),
        ),
    ],
    [
      'copies what is in the root',
      writing('a', 'new'),
      (tx) => tx.copyIn('c', join(sandbox.root, 'a')),
    ],
  ])('who %s waits until the one before is in place', async ([, first, second]) => {
    const { store, flushes } = await metered();
    const found = await flushes(async () => {
      expect(await endings(together(store, [first, second, writing('last', 'last')]))).toEqual([
        'done',
        'done',
        'done',
      ]);
    });
    // The last one shares with the second.
    expect(found).toContain(shares ? 'syncfs 2' : 'commit 3');
    const { c } = sandbox.tree();
    if (c !== undefined) expect(['new', 'c']).toContain(c.bytes);
    for (const transaction of [4, 3, 2]) await store.undo({ transaction });
    expect(sandbox.tree()).toMatchObject({ a: file('old a'), 'tree/f': file('f') });
    expect(sandbox.tree()['c']).toBeUndefined();
  });

  test.for<[string, Act, Act]>([
    ['what was written', writing('a', 'new'), (tx) => tx.chmod('a', 0o600)],
    [
      'the directory of what was written',
      writing('tree/f', 'new'),
      (tx) => tx.chmod('tree', 0o700),
    ],
  ])('who changes the mode of %s waits until that is in place', async ([, first, second]) => {
    const { store, flushes } = await metered();
    const found = await flushes(() => Promise.all(together(store, [first, second])));
    expect(found).toContain(shares ? 'syncfs 2' : 'commit 2');
  });

  test('what is copied from outside and small shares', async () => {
    const { store, flushes } = await metered();
    sandbox.seed({ '../source/f': 'f', '../source/deep/g': 'g' });
    const copying: Act = (tx) => tx.copyIn('copied', join(sandbox.directory, 'source'));
    const found = await flushes(() => Promise.all(together(store, [adding('1'), copying])));
    expect(found).toContain(shares ? 'syncfs 1' : 'commit 2');
    expect(sandbox.tree()).toMatchObject({ 'copied/deep/g': file('g') });
  });

  test('a callback that pauses for a moment still shares, and copying a lot does not', async () => {
    const { store, flushes } = await metered();
    const many = Object.fromEntries(numbers(70).map((n) => [`../source/${n}`, n]));
    sandbox.seed(many);
    const pausing: Act = async (tx) => {
      await setImmediate();
      await tx.list('own');
      await setImmediate();
      await setImmediate();
      await adding('1')(tx);
    };
    const copying: Act = (tx) => tx.copyIn('copied', join(sandbox.directory, 'source'));
    const found = await flushes(() =>
      Promise.all(together(store, [adding('0'), pausing, copying])),
    );
    // A machine that is busy may let the pause be long enough.
    expect(found).toMatch(shares ? /syncfs [23]/ : /commit 3/);
    expect(sandbox.tree()).toMatchObject({ manifest: file('0\n1\n'), 'copied/69': file('69') });
  });

  test('an undo waits until what it undoes is in place', async () => {
    const { store } = await metered();
    let begin = (): void => undefined;
    const begun = new Promise<void>((resolve) => {
      begin = resolve;
    });
    const waiting = store.undo({ sharesFlush: true, lockWaitMs: 1 }).catch(() => undefined);
    const all = together(store, [
      (tx) => begun.then(() => writing('a', 'new')(tx)),
      writing('b', 'new'),
    ]);
    // Until it is loaded, and waits for the lock behind the two.
    await waiting;
    const undone = store.undo({ sharesFlush: true });
    await setTimeout(20);
    begin();
    await Promise.all(all);
    expect((await undone).undone).toBe(3);
    expect(sandbox.tree()).toMatchObject({ a: file('new'), b: file('old b') });
  });

  describe('a refusal is that of one caller only', () => {
    const cases: readonly (readonly [string, Act, TransactOptions, string])[] = [
      [
        'that throws',
        async (tx) => {
          await tx.write('a', 'never');
          throw new Error('mine');
        },
        {},
        'Error: mine',
      ],
      ['that does what cannot be', (tx) => tx.remove('manifest/x'), {}, 'PATH_NOT_DIRECTORY'],
      [
        'that breaks a rule',
        writing('a', 'never'),
        {
          rules: [
            async (view) => [
              { rule: 'R', message: String(await view.read('manifest')), path: 'a' },
            ],
          ],
        },
        'RULE_VIOLATED',
      ],
      ['that is stopped', writing('a', 'never'), { signal: AbortSignal.abort() }, 'ABORTED'],
    ];

    test.for(cases)('one %s', async ([, act, options, expected]) => {
      const { store } = await metered();
      const acts = [adding('0'), act, adding('2'), adding('3')];
      const ended = await endings(together(store, acts, (n) => (n === 1 ? options : {})));
      expect(ended).toEqual(['done', expected, 'done', 'done']);
      expect(sandbox.tree()).toMatchObject({
        manifest: file(lines(['0', '2', '3'])),
        a: file('old a'),
      });
      expect(await store.log()).toHaveLength(4);
    });

    test('one that does not want to wait any longer', async () => {
      const { store } = await metered();
      let over = (): void => undefined;
      const isOver = new Promise<void>((resolve) => {
        over = resolve;
      });
      const acts = [
        (tx: Transaction) => isOver.then(() => adding('0')(tx)),
        adding('1'),
        adding('2'),
      ];
      const all = together(store, acts, (n) => (n === 1 ? { lockWaitMs: 1 } : {}));
      await expectError(all[1] ?? Promise.resolve(), 'STORE_LOCKED');
      over();
      expect(await endings(all)).toEqual(['done', 'STORE_LOCKED', 'done']);
      expect(sandbox.tree()).toMatchObject({ manifest: file(lines(['0', '2'])) });
    });

    test('one for which there is no room', async () => {
      sandbox.seed({ manifest: '', 'own/x': 'x' });
      const faulty = faultyFileSystem(mode);
      const store = await opened(faulty.files);
      const acts: readonly Act[] = [
        adding('0'),
        async (tx) => {
          faulty.fail('ENOSPC', ({ method }) => method === 'writeSync', 1);
          await adding('1')(tx);
        },
        adding('2'),
      ];
      expect(await endings(together(store, acts))).toEqual(['done', 'DISK_FULL', 'done']);
      expect(sandbox.tree()).toMatchObject({ manifest: file(lines(['0', '2'])) });
    });

    test('one for which the journal has no room', async () => {
      sandbox.seed({ manifest: '', 'own/x': 'x' });
      const store = await opened();
      let heal = (): void => undefined;
      const acts: readonly Act[] = [
        adding('0'),
        async (tx) => {
          await adding('1')(tx);
          heal = failSqlite('SQLITE_FULL', 'COMMIT');
        },
        async (tx) => {
          heal();
          await adding('2')(tx);
        },
      ];
      expect(await endings(together(store, acts))).toEqual(['done', 'DISK_FULL', 'done']);
      expect(sandbox.tree()).toMatchObject({ manifest: file(lines(['0', '2'])) });
    });
  });

  test('a callback that waits for something else does not keep the others waiting', async () => {
    const { store } = await metered();
    let release = (): void => undefined;
    const waited = new Promise<void>((resolve) => {
      release = resolve;
    });
    const [first, second, third] = together(store, [
      adding('0'),
      async (tx) => {
        await tx.read('manifest');
        await waited;
        await adding('1')(tx);
      },
      adding('2'),
    ]);
    await first;
    expect(sandbox.tree()).toMatchObject({ manifest: file('0\n') });
    release();
    await Promise.all([second, third]);
    expect(sandbox.tree()).toMatchObject({ manifest: file(lines(['0', '1', '2'])) });
  });

  test('who plans, or has nothing to do, waits for what it was shown', async () => {
    const { store } = await metered();
    const ended: string[] = [];
    const [first, planned, nothing] = together(
      store,
      [adding('0'), adding('1'), writing('manifest', '0\n')],
      (n) => ({ dryRun: n === 1 }),
    );
    const noting = first?.finally(() => ended.push('first'));
    expect((await planned)?.transaction?.state).toBe('planned');
    expect(ended).toEqual(['first']);
    await noting;
    expect(await nothing).toEqual({ transaction: null });
    expect(sandbox.tree()).toMatchObject({ manifest: file('0\n') });
  });

  describe('another program writes before a transaction is applied', () => {
    /** Runs `acts` with `edit` right after the flush that is the last before anything is applied. */
    async function racing(
      acts: readonly Act[],
      edit: () => void,
      optionsOf?: (n: number) => TransactOptions,
    ): Promise<{ store: Store; ended: readonly string[] }> {
      sandbox.seed({ manifest: '', 'own/x': 'x', a: 'old a', b: 'old b' });
      let isArmed = false;
      const fileSystem = watchedFileSystem(mode, ({ method }) => {
        if (!isArmed || (method !== 'exchange' && method !== 'moveNew')) return;
        isArmed = false;
        edit();
      });
      const store = await opened(fileSystem);
      isArmed = true;
      return { store, ended: await endings(together(store, acts, optionsOf)) };
    }

    test('to what the first has: those built upon it go with it, the others stay', async () => {
      const { store, ended } = await racing(
        [
          adding('0'),
          adding('1'),
          writing('a', 'new a'),
          async (tx) => {
            // Knows of the second, and by it of the first.
            await tx.write('b', String((await tx.read('own/1'))?.length));
          },
        ],
        () => {
          writeFileSync(sandbox.at('manifest'), 'theirs');
        },
      );
      const lost = shares ? 'DRIFT_DETECTED' : 'done';
      expect(ended).toEqual(['DRIFT_DETECTED', lost, 'done', lost]);
      const tree = sandbox.tree();
      expect(tree).toMatchObject({
        a: file('new a'),
        manifest: file(shares ? 'theirs' : 'theirs1\n'),
      });
      if (!shares) return;
      expect(tree).toMatchObject({ b: file('old b') });
      expect(tree['own/1']).toBeUndefined();
      const log = (await store.log()).toReversed();
      expect(log.map(({ state }) => state)).toEqual([
        'committed',
        'rolled-back',
        'rolled-back',
        'committed',
        'rolled-back',
      ]);
      expect(log[2]?.reason).toContain('built upon transaction 2');
      // The store goes on, and forgets nothing.
      await store.transact({}, adding('again'));
      expect(await allOf(store.verify())).toEqual([]);
      expect(readQuarantine(sandbox.root)).toEqual([]);
    });

    test('to what only the second has: the first stays', async () => {
      const { ended } = await racing(
        [writing('a', 'new a'), writing('b', 'new b'), writing('manifest', 'new')],
        () => {
          writeFileSync(sandbox.at('b'), 'theirs');
        },
      );
      expect(ended).toEqual(['done', shares ? 'DRIFT_DETECTED' : 'done', 'done']);
      expect(sandbox.tree()).toMatchObject({
        a: file('new a'),
        b: file(shares ? 'theirs' : 'new b'),
        manifest: file('new'),
      });
    });

    test('who planned upon it is told, and who found nothing to do', async () => {
      const { ended } = await racing(
        [adding('0'), adding('1'), writing('manifest', '0\n')],
        () => {
          writeFileSync(sandbox.at('manifest'), 'theirs');
        },
        (n) => ({ dryRun: n === 1 }),
      );
      const lost = shares ? 'DRIFT_DETECTED' : 'done';
      expect(ended).toEqual(['DRIFT_DETECTED', lost, lost]);
    });

    test('who goes on after the group was ended is refused, whatever it catches', async () => {
      const { ended } = await racing(
        [
          adding('0'),
          async (tx) => {
            await tx.read('manifest');
            await tx.rename('a', 'c').catch(() => undefined);
            await tx.write('b', 'upon what never was');
          },
        ],
        () => {
          writeFileSync(sandbox.at('manifest'), 'theirs');
        },
      );
      expect(ended).toEqual(['DRIFT_DETECTED', shares ? 'DRIFT_DETECTED' : 'done']);
      if (shares) expect(sandbox.tree()).toMatchObject({ b: file('old b') });
    });
  });

  test('when undoing one fails, the rest are committed, and done by the next open', async () => {
    if (!shares) return;
    sandbox.seed({ manifest: '', 'own/x': 'x', a: 'old a' });
    let isArmed = false;
    let heal = (): void => undefined;
    const fileSystem = watchedFileSystem(mode, ({ method }) => {
      if (!isArmed || method !== 'exchange') return;
      isArmed = false;
      writeFileSync(sandbox.at('manifest'), 'theirs');
      heal = failSqlite('SQLITE_IOERR', 'COMMIT');
    });
    const store = await opened(fileSystem);
    isArmed = true;
    try {
      const ended = await endings(together(store, [adding('0'), writing('a', 'new a')]));
      expect(ended).toEqual(['BLOCKED', 'BLOCKED']);
      expect(sandbox.tree()).toMatchObject({ a: file('old a'), manifest: file('theirs') });
    } finally {
      heal();
    }
    await store.close();
    await sandbox.open();
    expect(sandbox.tree()).toMatchObject({ a: file('new a'), manifest: file('theirs') });
  });

  describe('the disk fails the flush', () => {
    const untouched = {
      first: file(''),
      manifest: file(''),
      own: directory(),
      'own/x': file('x'),
    };

    test('none of the group has happened', async () => {
      sandbox.seed({ manifest: '', 'own/x': 'x' });
      const faulty = faultyFileSystem(mode);
      const store = await opened(faulty.files);
      faulty.fail('EIO', ({ method }) => method === 'barrier');
      const ended = await endings(together(store, [adding('0'), adding('1'), adding('2')]));
      expect(ended).toEqual(
        shares
          ? ['IO_FAILED', 'IO_FAILED', 'IO_FAILED']
          : ['IO_FAILED', 'STORE_POISONED', 'STORE_POISONED'],
      );
      expect(sandbox.tree()).toEqual(untouched);
      faulty.heal();
      await store.close();
      const again = await sandbox.open();
      const states = (await again.log()).map(({ state }) => state);
      expect(states.slice(0, -1)).toEqual(
        shares ? ['rolled-back', 'rolled-back', 'rolled-back'] : [],
      );
      expect(sandbox.tree()).toEqual(untouched);
    });

    test('and the journal too: all of the group is unknown, and recovery finds none of it', async () => {
      if (!shares) return;
      sandbox.seed({ manifest: '', 'own/x': 'x' });
      const faulty = faultyFileSystem(mode);
      const store = await opened(faulty.files);
      let heal = (): void => undefined;
      faulty.fail('EIO', ({ method }) => {
        if (method === 'barrier') heal = failSqlite('SQLITE_IOERR', 'COMMIT');
        return method === 'barrier';
      });
      try {
        const ended = await endings(together(store, [adding('0'), adding('1')]));
        expect(ended).toEqual(['COMMIT_UNKNOWN', 'COMMIT_UNKNOWN']);
      } finally {
        heal();
      }
      await store.close();
      await sandbox.open();
      expect(sandbox.tree()).toEqual(untouched);
    });
  });

  test('a group whose lock was taken over applies nothing', async () => {
    if (!shares) return;
    sandbox.seed({ manifest: '', 'own/x': 'x', a: 'old a' });
    let onFlush = (): void => undefined;
    const fileSystem = watchedFileSystem(mode, ({ method }) => {
      if (method === 'barrier') onFlush();
    });
    const store = await opened(fileSystem);
    const lock = join(sandbox.root, '.skillmeat/lock');
    onFlush = () => {
      renameSync(lock, `${lock}.gone`);
      writeFileSync(lock, '');
    };
    const ended = await endings(together(store, [adding('0'), writing('a', 'new')]));
    expect(ended).toEqual(['STORE_REPLACED', 'STORE_REPLACED']);
    expect(sandbox.tree()).toMatchObject({ manifest: file(''), a: file('old a') });
    await store.close();
    rmSync(`${lock}.gone`);
    // The next open finishes what was committed.
    await sandbox.open();
    expect(sandbox.tree()).toMatchObject({ manifest: file('0\n'), a: file('new') });
  });

  test('closing waits for a whole group', async () => {
    const { store } = await metered();
    const all = together(store, numbers(6).map(adding));
    await Promise.resolve();
    await store.close();
    expect(await endings(all)).toEqual(numbers(6).map(() => 'done'));
    expect(existsSync(sandbox.at('own/5'))).toBe(true);
  });

  test('a checkpoint comes after a group, not within', async () => {
    if (!shares) return;
    const { store } = await metered();
    for (let round = 0; round < 5; round += 1) {
      await Promise.all(
        together(
          store,
          numbers(32).map((n) => writing(`own/${n}`, String(round))),
        ),
      );
    }
    const { unsettled } = await store.status();
    expect(unsettled).toBe(32);
  });
});
