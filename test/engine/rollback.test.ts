import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Annotations, Store, Transaction } from '../../src/engine/index.js';
import { watchedFileSystem, names, systemError } from '../support/faults.js';
import { storedObjects } from '../support/objects.js';
import {
  setInJournal,
  expectError,
  expectRefused,
  listOwn,
  modes,
  type Seed,
  useSandbox,
} from '../support/store.js';
import { file } from '../support/tree.js';

const seed: Seed = {
  'skill/SKILL.md': 'old skill\n',
  'skill/run.sh': { content: 'echo\n', mode: 0o755 },
  'skill/sub/deep': 'deep',
  'skill/link': { link: '/outside/of the root' },
  other: 'other',
};

async function write(store: Store, path: string, content: string): Promise<void> {
  await store.transact({ message: `write ${content}` }, (tx) => tx.write(path, content));
}

/** Transactions that go over the same paths again and again. */
const acts: readonly ((tx: Transaction) => Promise<void>)[] = [
  async (tx) => {
    await tx.write('skill/SKILL.md', 'new skill\n', { mode: 0o600 });
    await tx.remove('skill/link');
    await tx.write('made/a', 'a');
  },
  async (tx) => {
    await tx.rename('skill/sub', 'moved/sub');
    await tx.chmod('skill/run.sh', 0o700);
    await tx.remove('made');
    await tx.write('made', 'now a file');
  },
  async (tx) => {
    await tx.remove('skill');
    await tx.write('skill', 'a file in its place');
    await tx.write('moved/sub/deep', 'deeper');
  },
  async (tx) => {
    await tx.remove('skill');
    await tx.write('skill/SKILL.md', 'newer skill\n');
    await tx.remove('made');
    await tx.mkdir('made/empty', { mode: 0o750 });
  },
];

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);

  describe('rolling back', () => {
    test.each([0, 1, 2, 3])(
      'to transaction %i gives its tree; undo and redo walk from there',
      async (to) => {
        sandbox.seed(seed);
        const store = await sandbox.open({ by: 'me@desk' });
        const trees = [sandbox.tree()];
        for (const act of acts) {
          await store.transact({ message: 'act' }, act);
          trees.push(sandbox.tree());
        }
        const { transaction, paths, conflicts } = await store.rollback({ to: { transaction: to } });
        expect(sandbox.tree()).toEqual(trees[to]);
        expect(transaction).toMatchObject({
          id: 5,
          message: to === 0 ? 'roll back to 0' : `roll back to ${String(to)}: act`,
          annotations: { rollsBackTo: to, by: 'me@desk' } satisfies Annotations,
        });
        expect(conflicts).toEqual([]);
        const others = paths.filter(({ outcome }) => !['restored', 'unchanged'].includes(outcome));
        expect(others).toEqual([]);
        expect((await store.undo()).undone).toBe(5);
        expect(sandbox.tree()).toEqual(trees[4]);
        await store.redo();
        expect(sandbox.tree()).toEqual(trees[to]);
      },
    );

    test('to the newest transaction, or to what nothing has changed since, changes nothing', async () => {
      sandbox.seed({ a: 'old', other: 'other' });
      const store = await sandbox.open();
      await write(store, 'a', 'new');
      await write(store, 'b', 'new');
      expect(await store.rollback({ to: { transaction: 2 } })).toEqual({
        transaction: null,
        paths: [],
        conflicts: [],
        unmerged: [],
      });
      const only = await store.rollback({ to: { transaction: 1 }, paths: ['a'] });
      expect(only.transaction).toBeNull();
      expect(sandbox.tree()).toMatchObject({ a: file('new'), b: file('new') });
    });

    test('further changes go along in the same transaction, and not without it', async () => {
      sandbox.seed({ a: '0', b: '0', other: 'other' });
      const store = await sandbox.open();
      await write(store, 'a', '1');
      await store.snapshots.create({ name: 's' });
      await write(store, 'a', '2');
      const label = { verb: 'more', subjects: [{ name: 'x', to: '1' }] };
      const alongside = async (tx: Transaction): Promise<void> => {
        await tx.write('b', `after ${Buffer.from((await tx.read('a')) ?? []).toString()}`);
        await tx.describe(label);
      };
      for (const [to, text, rollsBackTo] of [
        [{ snapshot: 's' }, '1', 's'],
        [{ transaction: 0 }, '0', 0],
      ] as const) {
        const { transaction } = await store.rollback({ to, alongside });
        expect(transaction?.annotations).toEqual({ rollsBackTo, label });
        expect(sandbox.tree()).toMatchObject({ a: file(text), b: file(`after ${text}`) });
      }
      const failing = async (): Promise<void> => {
        throw new Error('no more');
      };
      const before = sandbox.tree();
      for (const to of [{ transaction: 1 }, { snapshot: 's' }]) {
        await expect(store.rollback({ to, alongside: failing })).rejects.toThrow('no more');
        expect(sandbox.tree()).toEqual(before);
      }
    });

    test('a label is kept with so many subjects, the others are counted', async () => {
      const store = await sandbox.open();
      const subjects = Array.from({ length: 130 }, (_, at) => ({ name: String(at) }));
      const { transaction } = await store.transact({}, async (tx) => {
        await tx.write('a', 'a');
        await tx.describe({ verb: 'first', subjects: [] });
        await tx.describe({ verb: 'much', subjects });
      });
      const label = { verb: 'much', subjects: subjects.slice(0, 100), more: 30 };
      expect(transaction?.annotations).toEqual({ label });
      expect((await store.history())[0]?.annotations).toEqual({ label });
    });

    test('a rollback can be rolled back, to before it and to after it', async () => {
      sandbox.seed({ a: '0', other: 'other' });
      const store = await sandbox.open();
      for (const content of ['1', '2', '3']) await write(store, 'a', content);
      const at = async (transaction: number): Promise<unknown> => {
        await store.rollback({ to: { transaction } });
        return sandbox.tree()['a'];
      };
      expect(await at(1)).toEqual(file('1'));
      expect(await at(3)).toEqual(file('3'));
      expect(await at(4)).toEqual(file('1'));
      expect(await at(0)).toEqual(file('0'));
    });

    test('only chosen paths, with the directories that they need', async () => {
      sandbox.seed({ 'd/a': 'a', 'd/b': 'b', c: 'c' });
      const store = await sandbox.open();
      await store.transact({}, async (tx) => {
        await tx.remove('d');
        await tx.write('c', 'changed');
      });
      await write(store, 'c', 'changed again');
      const { transaction } = await store.rollback({ to: { transaction: 0 }, paths: ['d/a'] });
      expect(transaction?.annotations).toEqual({ rollsBackTo: 0, paths: ['d/a'] });
      expect(sandbox.tree()).toMatchObject({ 'd/a': file('a'), c: file('changed again') });
      expect(sandbox.tree()).not.toHaveProperty('d/b');
    });

    test('what was rolled back when it failed does not count', async () => {
      sandbox.seed({ a: '0', b: '0', other: 'other' });
      let isFailing = false;
      const fileSystem = watchedFileSystem(mode, (call) => {
        const isSwitch = call.method === 'exchange' || call.method === 'moveNew';
        if (isFailing && isSwitch && names(call, 'b')) throw systemError('EACCES');
      });
      const store = await sandbox.open({ fileSystem });
      isFailing = true;
      await expectError(
        store.transact({}, async (tx) => {
          await tx.write('a', 'never');
          await tx.write('b', 'never');
        }),
        'PERMISSION_DENIED',
      );
      isFailing = false;
      await write(store, 'a', '2');
      const { paths } = await store.rollback({ to: { transaction: 0 } });
      expect(paths).toEqual([{ path: 'a', outcome: 'restored' }]);
      expect(sandbox.tree()['a']).toEqual(file('0'));
    });

    test('a dry run tells what would change, and changes nothing', async () => {
      sandbox.seed({ a: 'old', other: 'other' });
      const store = await sandbox.open();
      await write(store, 'a', '1');
      await write(store, 'b', '2');
      const stage = listOwn(sandbox.root, 'stage');
      const { transaction, paths } = await store.rollback({ to: { transaction: 0 }, dryRun: true });
      expect(transaction).toMatchObject({ id: null, state: 'planned', changeCount: 2 });
      expect(paths.map(({ outcome }) => outcome)).toEqual(['restored', 'restored']);
      expect(sandbox.tree()).toMatchObject({ a: file('1'), b: file('2') });
      expect(listOwn(sandbox.root, 'stage')).toEqual(stage);
    });
  });

  describe('what was changed by hand', () => {
    test('gives way, and is what an undo brings back', async () => {
      sandbox.seed({ a: 'old', other: 'other' });
      const store = await sandbox.open();
      await write(store, 'a', 'new');
      writeFileSync(sandbox.at('a'), 'by hand');
      writeFileSync(sandbox.at('other'), 'by hand');
      const { paths } = await store.rollback({ to: { transaction: 0 } });
      expect(paths).toEqual([{ path: 'a', outcome: 'overwritten' }]);
      // No transaction has touched that one.
      expect(sandbox.tree()).toEqual({ a: file('old'), other: file('by hand') });
      await store.undo();
      expect(sandbox.tree()['a']).toEqual(file('by hand'));
    });

    test('is merged by keepLocal where history has what it came from', async () => {
      const lines = (a: string, z: string): string => `${a}\n2\n3\n4\n5\n6\n7\n${z}\n`;
      sandbox.seed({ a: lines('old', 'z'), other: 'other' });
      const store = await sandbox.open();
      await write(store, 'a', lines('new', 'z'));
      await write(store, 'a', 'something else');
      await store.undo();
      writeFileSync(sandbox.at('a'), lines('new', 'mine'));
      const { paths } = await store.rollback({ to: { transaction: 0 }, keepLocal: true });
      expect(paths).toEqual([{ path: 'a', outcome: 'merged' }]);
      expect(sandbox.tree()['a']).toEqual(file(lines('old', 'mine')));
    });

    test('is named by keepLocal where it cannot be merged; a dry run lists it', async () => {
      sandbox.seed({ a: 'old', b: 'old', other: 'other' });
      const store = await sandbox.open();
      await write(store, 'a', 'new');
      await write(store, 'b', 'new');
      writeFileSync(sandbox.at('a'), 'by hand');
      const options = { to: { transaction: 0 }, keepLocal: true };
      const error = await expectRefused(
        sandbox.root,
        () => store.rollback(options),
        'UNDO_CONFLICT',
        {
          path: 'a',
          message: /^the directory cannot be rolled back to transaction 0/,
        },
      );
      const dry = await store.rollback({ ...options, dryRun: true });
      expect(dry.transaction).toBeNull();
      expect(dry.conflicts).toEqual(error.conflicts);
      expect(dry.paths).toEqual([
        { path: 'a', outcome: 'conflict' },
        { path: 'b', outcome: 'restored' },
      ]);
      const { paths } = await store.rollback({ ...options, force: true });
      expect(paths[0]).toEqual({ path: 'a', outcome: 'overwritten' });
      expect(sandbox.tree()).toMatchObject({ a: file('old'), b: file('old') });
    });

    test('is kept by keepLocal where transactions changed nothing on the whole', async () => {
      sandbox.seed({ a: 'old', other: 'other' });
      const store = await sandbox.open();
      await write(store, 'a', 'new');
      await write(store, 'd/x', 'new');
      await store.transact({}, (tx) => tx.remove('d/x'));
      await write(store, 'a', 'old');
      writeFileSync(sandbox.at('a'), 'by hand');
      writeFileSync(sandbox.at('d/x'), 'by hand');
      const to = { transaction: 0 };
      const { paths, transaction } = await store.rollback({ to, keepLocal: true });
      expect(paths).toEqual(['a', 'd', 'd/x'].map((path) => ({ path, outcome: 'kept' })));
      expect(transaction).toBeNull();
      await store.rollback({ to });
      expect(sandbox.tree()).toEqual({ a: file('old'), other: file('other') });
    });

    test('and was never in a transaction stays, with its directory', async () => {
      sandbox.seed({ other: 'other' });
      const store = await sandbox.open();
      await write(store, 'd/a', 'a');
      await write(store, 'e/sub/a', 'a');
      writeFileSync(sandbox.at('d/mine'), 'by hand');
      const { paths } = await store.rollback({ to: { transaction: 0 } });
      expect(paths).toContainEqual({ path: 'd', outcome: 'kept' });
      expect(Object.keys(sandbox.tree())).toEqual(['d', 'd/mine', 'other']);
    });

    test('and lies where a file comes back is refused; force takes it along', async () => {
      sandbox.seed({ d: 'a file', other: 'other' });
      const store = await sandbox.open();
      await store.transact({}, async (tx) => {
        await tx.remove('d');
        await tx.write('d/a', 'a');
      });
      writeFileSync(sandbox.at('d/mine'), 'by hand');
      const to = { transaction: 0 };
      await expectRefused(sandbox.root, () => store.rollback({ to }), 'UNDO_CONFLICT', {
        path: 'd',
        message: /"d\/mine", which no transaction since then put there/,
      });
      await store.rollback({ to, force: true });
      expect(sandbox.tree()).toMatchObject({ d: file('a file') });
      await store.undo();
      expect(sandbox.tree()).toMatchObject({ 'd/mine': file('by hand') });
    });

    test('and adopted since is what the newest transaction left', async () => {
      sandbox.seed({ a: 'old', other: 'other' });
      const store = await sandbox.open();
      await write(store, 'a', 'new');
      writeFileSync(sandbox.at('a'), 'by hand');
      await store.adopt();
      const { paths } = await store.rollback({ to: { transaction: 0 }, keepLocal: true });
      expect(paths).toEqual([{ path: 'a', outcome: 'restored' }]);
      expect(sandbox.tree()['a']).toEqual(file('old'));
    });
  });

  describe('is refused, before anything changed, when', () => {
    test('there is no such transaction, or no such path', async () => {
      sandbox.seed({ other: 'other' });
      const store = await sandbox.open();
      await write(store, 'a', '1');
      const to = { transaction: 0 };
      await expectRefused(
        sandbox.root,
        () => store.rollback({ to: { transaction: 2 } }),
        'TRANSACTION_NOT_FOUND',
      );
      await expectRefused(
        sandbox.root,
        () => store.rollback({ to, paths: ['other'] }),
        'PATH_NOT_FOUND',
        { path: 'other' },
      );
      for (const transaction of [-1, 0.5, Number.NaN]) {
        await expect(store.rollback({ to: { transaction } })).rejects.toThrow(TypeError);
      }
    });

    test('a before-image is no longer kept', async () => {
      sandbox.seed({ a: 'old', other: 'other' });
      const store = await sandbox.open();
      await write(store, 'a', '1');
      await write(store, 'a', '2');
      await write(store, 'b', '3');
      await store.close();
      setInJournal(sandbox.root, {
        states: [1, 2, 3].map((id) => ({ id, state: 'settled' })),
        meta: { pruned_through: 2 },
      });
      sandbox.breaksStore();
      const again = await sandbox.open();
      for (const transaction of [0, 1]) {
        await expectRefused(
          sandbox.root,
          () => again.rollback({ to: { transaction } }),
          'HISTORY_PRUNED',
          { path: 'a', message: /the oldest that can be rolled back to is 2/ },
        );
      }
      await again.rollback({ to: { transaction: 2 } });
      expect(sandbox.tree()).toEqual({ a: file('2'), other: file('other') });
      await again.rollback({ to: { transaction: 0 }, paths: ['b'] });
    });

    test('history does not hold what was there', async () => {
      sandbox.seed({ a: 'old', other: 'other' });
      const store = await sandbox.open();
      await write(store, 'a', '1');
      for (const name of listOwn(sandbox.root, 'stage')) {
        const at = `${sandbox.root}/.skillmeat/stage/${name}`;
        rmSync(at, { recursive: true });
        mkdirSync(at);
      }
      sandbox.breaksStore();
      await expectRefused(
        sandbox.root,
        () => store.rollback({ to: { transaction: 0 } }),
        'HISTORY_DAMAGED',
        { path: 'a' },
      );
    });

    test('it removes more than half of the files, unless force says so', async () => {
      const store = await sandbox.open();
      await write(store, 'a', '1');
      const to = { transaction: 0 };
      await expectRefused(sandbox.root, () => store.rollback({ to }), 'REMOVAL_TOO_LARGE');
      expect((await store.rollback({ to, dryRun: true })).transaction).not.toBeNull();
      await store.rollback({ to, force: true });
      expect(sandbox.tree()).toEqual({});
    });

    test('a rule says no', async () => {
      sandbox.seed({ a: 'old', other: 'other' });
      const store = await sandbox.open();
      await write(store, 'a', '1');
      const rules = [async () => [{ rule: 'never', message: 'no' }]];
      await expectRefused(
        sandbox.root,
        () => store.rollback({ to: { transaction: 0 }, rules }),
        'RULE_VIOLATED',
      );
    });
  });

  describe('to a snapshot', () => {
    test('gives all that it holds, stands in the history as such, and can be undone', async () => {
      // A link that leads out is what a snapshot cannot bring back.
      sandbox.seed({ ...seed, 'skill/link': { link: '../other' } });
      const store = await sandbox.open();
      await store.snapshots.create({ name: 'then' });
      const then = sandbox.tree();
      for (const act of acts) await store.transact({}, act);
      writeFileSync(sandbox.at('other'), 'by hand');
      const before = sandbox.tree();
      const dry = await store.rollback({ to: { snapshot: 'then' }, dryRun: true });
      expect(dry.transaction).toMatchObject({ id: null, state: 'planned' });
      expect(sandbox.tree()).toEqual(before);
      const paths = ['other'];
      await store.rollback({ to: { snapshot: 1 }, paths });
      expect(sandbox.tree()).toEqual({ ...before, other: then['other'] });
      await store.undo();
      await store.rollback({ to: { snapshot: 'latest' }, message: 'why' });
      expect(sandbox.tree()).toMatchObject({
        other: then['other'],
        'skill/run.sh': then['skill/run.sh'],
      });
      const [newest, , partial] = await store.history();
      expect(newest).toMatchObject({ kind: 'rollback', from: 6, to: 'then', message: 'why' });
      expect(partial).toMatchObject({ annotations: { rollsBackTo: 'then', paths } });
      await store.undo();
      expect(sandbox.tree()).toEqual(before);
    });

    test('keepLocal leaves alone, and names, what other programs changed and nobody can merge', async () => {
      sandbox.seed({ a: 'old', b: 'old', c: 'old', gone: 'old', other: 'other' });
      const store = await sandbox.open();
      await store.snapshots.create();
      for (const path of ['a', 'b', 'gone']) await write(store, path, 'new');
      await write(store, 'c', 'old');
      await store.transact({}, (tx) => tx.chmod('c', 0o600));
      writeFileSync(sandbox.at('a'), 'by hand');
      rmSync(sandbox.at('gone'));
      const to = { snapshot: 'latest' };
      const { paths, unmerged } = await store.rollback({ to, keepLocal: true });
      expect(paths).toEqual([
        { path: 'a', outcome: 'kept' },
        { path: 'b', outcome: 'restored' },
        { path: 'c', outcome: 'restored' },
        { path: 'gone', outcome: 'kept' },
      ]);
      expect(unmerged).toEqual([
        {
          path: 'a',
          why: 'its content as the newest transaction left it is not in history',
        },
        { path: 'gone', why: expect.stringMatching(/^it was left as .* and is /) as string },
      ]);
      expect(sandbox.tree()).toMatchObject({ a: file('by hand'), b: file('old'), c: file('old') });
      await store.rollback({ to });
      expect(sandbox.tree()).toMatchObject({ a: file('old'), gone: file('old') });
    });

    test('keepLocal merges what it can: three ways, from what the newest transaction left', async () => {
      const lines = (a: string, z: string): string => `${a}\n2\n3\n4\n5\n6\n7\n${z}\n`;
      sandbox.seed({
        a: lines('old', 'z'),
        b: 'old',
        both: lines('old', 'z'),
        c: 'same',
        d: 'old',
        e: 'old',
        other: 'other',
      });
      const store = await sandbox.open();
      await store.snapshots.create({ name: 'then' });
      for (const path of ['a', 'both']) await write(store, path, lines('new', 'z'));
      await store.transact({}, (tx) => tx.chmod('c', 0o600));
      for (const path of ['b', 'd', 'e']) await write(store, path, 'new');
      // Whoever writes over a file ends what was there; here a snapshot has it.
      await store.snapshots.create({ name: 'since' });
      writeFileSync(sandbox.at('a'), lines('new', 'mine'));
      writeFileSync(sandbox.at('both'), lines('mine', 'z'));
      writeFileSync(sandbox.at('c'), 'mine');
      chmodSync(sandbox.at('d'), 0o600);
      writeFileSync(sandbox.at('e'), 'old');
      const options = { to: { snapshot: 'then' }, keepLocal: true };
      const before = sandbox.tree();
      const planned = await store.rollback({ ...options, dryRun: true });
      expect(sandbox.tree()).toEqual(before);
      const { paths, unmerged, transaction } = await store.rollback(options);
      expect(paths).toEqual([
        { path: 'a', outcome: 'merged' },
        { path: 'b', outcome: 'restored' },
        { path: 'both', outcome: 'kept' },
        { path: 'c', outcome: 'merged' },
        { path: 'd', outcome: 'merged' },
        { path: 'e', outcome: 'unchanged' },
      ]);
      expect(unmerged).toEqual([
        { path: 'both', why: 'both sides changed it at line 1 of what was merged' },
      ]);
      expect([planned.paths, planned.unmerged]).toEqual([paths, unmerged]);
      expect(transaction?.changes.map(({ path }) => path)).toEqual(['a', 'b', 'c', 'd']);
      expect(sandbox.tree()).toEqual({
        a: file(lines('old', 'mine')),
        b: file('old'),
        both: file(lines('mine', 'z')),
        c: file('mine'),
        d: file('old', 0o600),
        e: file('old'),
        other: file('other'),
      });
      await store.undo();
      expect(sandbox.tree()).toEqual(before);
      const some = await store.rollback({ ...options, paths: ['b', 'both'] });
      expect(some.paths).toEqual([
        { path: 'b', outcome: 'restored' },
        { path: 'both', outcome: 'kept' },
      ]);
    });

    test('keepLocal goes no further where a listing of the snapshot is damaged', async () => {
      sandbox.seed({ 'd/x': 'old', other: 'other' });
      const store = await sandbox.open();
      await store.snapshots.create();
      const listing = Buffer.from('["x","file",');
      const objects = storedObjects(sandbox.root).filter((at) =>
        readFileSync(at).includes(listing),
      );
      await write(store, 'd/x', 'new');
      writeFileSync(sandbox.at('d/x'), 'by hand');
      expect(objects).toHaveLength(1);
      for (const at of objects) writeFileSync(at, 'damaged');
      sandbox.breaksStore();
      const options = { to: { snapshot: 'latest' }, keepLocal: true };
      const rollingBack = (): Promise<unknown> => store.rollback(options);
      await expectRefused(sandbox.root, rollingBack, 'UNDO_CONFLICT', { path: 'd' });
      expect((await store.rollback({ ...options, dryRun: true })).paths).toEqual([
        { path: 'd', outcome: 'conflict' },
        { path: 'd/x', outcome: 'kept' },
      ]);
    });

    test('keepLocal leaves alone what the snapshot left out', async () => {
      sandbox.seed({ a: 'old', 'x.log': 'old', other: 'other' });
      const store = await sandbox.open();
      await store.snapshots.create({ ignore: ['*.log'] });
      for (const path of ['a', 'x.log']) await write(store, path, 'new');
      writeFileSync(sandbox.at('x.log'), 'by hand');
      const to = { snapshot: 'latest' };
      const { paths, unmerged } = await store.rollback({ to, keepLocal: true });
      expect(paths).toEqual([
        { path: 'a', outcome: 'restored' },
        { path: 'x.log', outcome: 'kept' },
      ]);
      expect(unmerged).toEqual([]);
    });

    test('is whole or not at all', async () => {
      sandbox.seed({ a: 'old', d: 'a file', other: 'other' });
      const store = await sandbox.open();
      await store.snapshots.create();
      await store.transact({}, async (tx) => {
        await tx.write('a', 'new');
        await tx.remove('d');
        await tx.write('d/x', 'x');
      });
      writeFileSync(sandbox.at('d/x'), 'by hand');
      const options = { to: { snapshot: 'latest' }, keepLocal: true };
      const { conflicts } = await expectRefused(
        sandbox.root,
        () => store.rollback(options),
        'UNDO_CONFLICT',
        { path: 'd' },
      );
      expect((await store.rollback({ ...options, dryRun: true })).conflicts).toEqual(conflicts);
    });

    test('that removes more than half of the files asks for force, and keeps to rules', async () => {
      sandbox.seed({ other: 'other' });
      const store = await sandbox.open();
      await store.snapshots.create();
      await store.transact({}, async (tx) => {
        for (let at = 0; at < 30; at += 1) await tx.write(`f${String(at)}`, 'x');
      });
      const to = { snapshot: 'latest' };
      await expectRefused(sandbox.root, () => store.rollback({ to }), 'REMOVAL_TOO_LARGE');
      expect((await store.rollback({ to, dryRun: true })).transaction).not.toBeNull();
      const rules = [async () => [{ rule: 'never', message: 'no' }]];
      await expectRefused(
        sandbox.root,
        () => store.rollback({ to, rules, force: true }),
        'RULE_VIOLATED',
      );
      await store.rollback({ to, force: true });
      expect(sandbox.tree()).toEqual({ other: file('other') });
    });
  });

  test('modes that only another program can set come back by a rollback', async () => {
    sandbox.seed({ tool: { content: 'x', mode: 0o4755 }, 'd/x': 'x', other: 'other' });
    chmodSync(sandbox.at('d'), 0o2755);
    const store = await sandbox.open();
    const before = sandbox.tree();
    await store.transact({}, (tx) => tx.remove('d'));
    await store.transact({}, (tx) => tx.chmod('tool', 0o700));
    await write(store, 'd', 'a file');
    await store.rollback({ to: { transaction: 0 } });
    expect(sandbox.tree()).toEqual(before);
  });
});
