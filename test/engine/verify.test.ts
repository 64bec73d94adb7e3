import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { type Finding, findingOf, openStore, type Store } from '../../src/engine/index.js';
import { recordCrashes } from '../support/crash.js';
import { damages, plantHistory, removePlanted } from '../support/damages.js';
import { faultyFileSystem, names } from '../support/faults.js';
import { storedObjects } from '../support/objects.js';
import { dumpJournal, expectError, listOwn, modes, useSandbox } from '../support/store.js';
import { readStats } from '../support/tree.js';
import { amount } from '../support/extent.js';

/** Enough for some of each kind of act. */
const transactionsMeanwhile = amount({ thorough: 40, otherwise: 15 });

afterAll(removePlanted);

const twoDays = 172_800_000;
const later = (): number => Date.now() + twoDays;

async function collect(store: Store, deep = true): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for await (const finding of store.verify({ deep })) findings.push(finding);
  return findings;
}

/** As the command does it: without recovery when that is what fails. */
async function findingsAt(
  root: string,
  options: NonNullable<Parameters<typeof openStore>[1]>,
  deep = true,
): Promise<readonly Finding[]> {
  for (const recover of [options.recover ?? 'auto', 'never'] as const) {
    try {
      await using store = await openStore(root, { now: later, ...options, recover });
      return await collect(store, deep);
    } catch (error) {
      const finding = findingOf(error);
      if (finding === undefined) throw error;
      if (recover === 'never') return [finding];
    }
  }
  return [];
}

const shape = ({ kind, path, place, transaction }: Finding): readonly [string, string] => [
  kind,
  path ?? place ?? String(transaction),
];

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);

  describe('verify', () => {
    test('a healthy store has no findings, and all of it was looked at', async () => {
      await plantHistory(sandbox);
      const store = await sandbox.open();
      for (const deep of [false, true]) {
        const verifying = store.verify({ deep });
        expect(await verifying.next()).toEqual({
          done: true,
          value: {
            transactions: 5,
            slots: 7,
            snapshots: 2,
            objects: 9,
            packs: 0,
            paths: 6,
            lost: 0,
          },
        });
      }
    });

    test('an empty store has no findings', async () => {
      expect(await collect(await sandbox.open())).toEqual([]);
    });

    // One mode, for the time it takes: the next test has what plain Node sees differently.
    test.each(mode === 'auto' ? damages : damages.slice(0, 5))('finds: $name', async (damage) => {
      await plantHistory(sandbox);
      damage.inflict(sandbox.root);
      sandbox.breaksStore();
      const options = {
        native: mode,
        recover: damage.isSeenBeforeRecovery === true ? 'never' : 'auto',
      } as const;
      const before = stateOf();
      const found = await findingsAt(sandbox.root, options);
      const shapes = found.map(shape);
      expect(shapes.length, JSON.stringify(found, undefined, 1)).toBe(damage.finds.length);
      damage.finds.forEach(([kind, where], i) => {
        expect(shapes[i]?.[0]).toBe(kind);
        expect(shapes[i]?.[1].startsWith(where), `${shapes[i]?.[1] ?? ''}: ${where}`).toBe(true);
      });
      const quick = await findingsAt(sandbox.root, options, false);
      expect(quick.map(shape)).toEqual(damage.needsDeep === true ? [] : shapes);
      expect(stateOf()).toEqual(before);
    });

    /** Everything that verifying must not touch. */
    function stateOf(): unknown {
      const at = join(sandbox.root, '.skillmeat');
      const read = (look: () => unknown): unknown => {
        try {
          return look();
        } catch (error) {
          return String(error);
        }
      };
      return [
        readStats(sandbox.root),
        read(() => dumpJournal(sandbox.root)),
        read(() => listOwn(sandbox.root, 'stage')),
        listOwn(sandbox.root, 'quarantine'),
        readStats(join(at, 'quarantine')),
        storedObjects(sandbox.root),
      ];
    }

    test('makes no call that changes anything, whatever it finds', async () => {
      await plantHistory(sandbox);
      const recorder = recordCrashes(mode, sandbox.root, join(sandbox.directory, 'killed'));
      const store = await sandbox.open({ fileSystem: recorder.files, now: later });
      for (const { inflict, finds } of damages) {
        const isRoot = finds.every(([kind]) => kind === 'drift' || kind.startsWith('object-'));
        if (isRoot) inflict(sandbox.root);
      }
      recorder.start();
      expect((await collect(store)).length).toBe(7);
      recorder.stop();
      expect(recorder.points).toEqual([]);
    });

    test('a file that cannot be read is named, and the rest is looked at', async () => {
      await plantHistory(sandbox);
      const faulty = faultyFileSystem(mode);
      const store = await sandbox.open({ fileSystem: faulty.files });
      const [slot = ''] = listOwn(sandbox.root, 'stage').filter((name) => name.startsWith('2-'));
      faulty.fail(
        'EIO',
        (call) =>
          call.method === 'openForReading' && ['long', slot].some((name) => names(call, name)),
      );
      writeFileSync(sandbox.at('seeded'), 'edited');
      const found = (await collect(store)).map(shape);
      expect(found).toEqual([
        ['slot-damaged', 'a'],
        ['path-unreadable', 'long'],
        ['drift', 'seeded'],
      ]);
    });

    test('what a late writer overwrote is in quarantine, and no finding', async () => {
      await plantHistory(sandbox);
      const store = await sandbox.open();
      const [slot = ''] = listOwn(sandbox.root, 'stage').filter((name) => name.startsWith('5-'));
      writeFileSync(join(sandbox.root, '.skillmeat/stage', slot), 'late');
      expect((await collect(store)).map(shape)).toEqual([['slot-damaged', 'long']]);
      await store.recover();
      expect(listOwn(sandbox.root, 'quarantine').length).toBe(2);
      expect(await collect(store)).toEqual([]);
    });

    test('a closed store and a stopped caller are named', async () => {
      await plantHistory(sandbox);
      const store = await sandbox.open();
      const stopped = AbortSignal.abort();
      await expectError(async () => {
        for await (const _ of store.verify({ deep: true, signal: stopped })) expect(_).toBe(null);
      }, 'ABORTED');
      await store.close();
      await expectError(() => store.verify().next(), 'STORE_CLOSED');
    });
  });

  describe('beside a writer', () => {
    test('a healthy store is verified while a transaction is being made', async () => {
      await plantHistory(sandbox);
      const store = await sandbox.open();
      const other = await sandbox.open();
      await store.recover();
      await store.transact({}, async (tx) => {
        await tx.write('a', 'a6');
        expect(await collect(other)).toEqual([]);
        // What seems wrong waits until it is certain.
        writeFileSync(sandbox.at('long'), 'edited');
        const verifying = other.verify({ lockWaitMs: 0 });
        await expectError(() => verifying.next(), 'STORE_LOCKED');
      });
      expect((await collect(other)).map(shape)).toEqual([['drift', 'long']]);
    });

    test('transactions, undos, snapshots and deletions meanwhile are no findings', async () => {
      await plantHistory(sandbox);
      const store = await sandbox.open();
      const other = await sandbox.open();
      const progress = { isDone: false, rounds: 0 };
      const writing = (async (): Promise<void> => {
        // As long as it takes until several rounds were in between.
        for (let i = 0; i < transactionsMeanwhile || progress.rounds < 2; i += 1) {
          await store.transact({}, async (tx) => {
            await tx.write('a', `a${String(i)}`);
            await tx.write(`many/${String(i % 3)}`, String(i));
          });
          if (i % 5 === 4) await store.undo();
          if (i % 7 === 6) await store.snapshots.create({ name: `s${String(i)}` });
          if (i % 14 === 13) await store.snapshots.delete(`s${String(i)}`);
          if (i % 10 === 9) await store.recover();
        }
        progress.isDone = true;
      })();
      const findings: Finding[] = [];
      try {
        while (!progress.isDone) {
          findings.push(...(await collect(other)));
          progress.rounds += 1;
        }
      } finally {
        progress.rounds = Infinity;
      }
      await writing;
      expect(findings).toEqual([]);
    });

    test('a store that another root moved into is verified as what it is', async () => {
      await plantHistory(sandbox);
      const store = await sandbox.open();
      rmSync(sandbox.at('long'));
      mkdirSync(sandbox.at('long'));
      expect((await collect(store)).map(shape)).toEqual([['drift', 'long']]);
    });
  });
});
