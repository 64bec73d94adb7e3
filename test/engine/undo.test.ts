import { chmodSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Place } from '../../src/engine/file-system.js';
import type { Store, UndoParts } from '../../src/engine/index.js';
import { Journal } from '../../src/engine/journal.js';
import { chooseUndo } from '../../src/engine/undo-choice.js';
import {
  setInJournal,
  expectError,
  expectRefused,
  listOwn,
  modes,
  plant,
  type Seed,
  useSandbox,
} from '../support/store.js';
import { watchedFileSystem } from '../support/faults.js';
import { mkfifoSync } from '../support/sources.js';
import { directory, file, symlink } from '../support/tree.js';

const seed: Seed = {
  'skill/SKILL.md': 'old skill\n',
  'skill/run.sh': { content: 'echo\n', mode: 0o755 },
  'skill/sub/deep': 'deep',
  'skill/link': { link: '/outside/of the root' },
  other: 'other',
};

/** Line n of a text with `lines` lines that nobody has changed, but for those in `changed`. */
function text(lines: number, changed: Readonly<Record<number, string>> = {}): string {
  return Array.from(
    { length: lines },
    (_, i) => `${changed[i + 1] ?? `line ${String(i + 1)}`}\n`,
  ).join('');
}

async function write(store: Store, path: string, content: string): Promise<number> {
  const { transaction } = await store.transact({}, (tx) => tx.write(path, content));
  return transaction?.id ?? 0;
}

/** Knows the words of a file: takes back those that came, if they are still there. */
const undoWords: UndoParts = ({ before = Buffer.of(), after, now }, { forces }) => {
  const words = (bytes: Uint8Array): string[] => Buffer.from(bytes).toString().split(' ');
  const [was, is] = [words(before), words(now)];
  const added = words(after).filter((word) => !was.includes(word));
  const gone = added.filter((word) => !is.includes(word));
  if (gone.length > 0 && !forces) {
    return { kind: 'conflict', whys: gone.map((word) => `${word} is gone`) };
  }
  if (gone.length === added.length) return { kind: 'nothing' };
  const bytes = Buffer.from(is.filter((word) => !added.includes(word)).join(' '));
  return { kind: 'undone', bytes, isForced: gone.length > 0 };
};

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);

  describe('a whole transaction', () => {
    test('comes back to the byte, mode and link; a redo brings it forth again', async () => {
      sandbox.seed(seed);
      const store = await sandbox.open();
      const before = sandbox.tree();
      await store.transact({ message: 'much' }, async (tx) => {
        await tx.write('skill/SKILL.md', 'new skill\n', { mode: 0o600 });
        await tx.chmod('skill/run.sh', 0o700);
        await tx.remove('skill/link');
        await tx.rename('skill/sub', 'moved/sub');
        await tx.mkdir('empty', { mode: 0o750 });
        await tx.symlink('fresh', 'other');
      });
      const after = sandbox.tree();
      const undo = await store.undo();
      expect(sandbox.tree()).toEqual(before);
      expect(undo).toMatchObject({
        undone: 1,
        transaction: { id: 2, message: 'undo 1: much', annotations: { undoes: 1 } },
      });
      expect(undo.paths.every(({ outcome }) => outcome === 'restored')).toBe(true);
      const redo = await store.redo();
      expect(redo).toMatchObject({ undone: 2, transaction: { message: 'redo 1: much' } });
      expect(sandbox.tree()).toEqual(after);
      expect((await store.undo({ transaction: 3 })).transaction?.message).toBe('undo 1: much');
      expect(sandbox.tree()).toEqual(before);
    });

    test.each([
      ['a file becomes a directory', { f: 'was a file' }, 'f'],
      ['a directory becomes a file', { 'f/a': 'a', 'f/b/c': 'c' }, 'f'],
      ['a link becomes a file', { f: { link: 'away' } }, 'f'],
    ] as const)('when %s', async (_name, seeded, path) => {
      sandbox.seed(seeded);
      const store = await sandbox.open();
      const before = sandbox.tree();
      await store.transact({}, async (tx) => {
        const isFile = (await tx.stat(path))?.kind === 'file';
        await tx.remove(path);
        await tx.write(isFile ? `${path}/below` : path, 'now');
      });
      const after = sandbox.tree();
      await store.undo();
      expect(sandbox.tree()).toEqual(before);
      await store.redo();
      expect(sandbox.tree()).toEqual(after);
    });

    test('of a tree that was replaced by a copy', async () => {
      sandbox.seed({ ...seed, '../source/SKILL.md': 'copied', '../source/new/n': 'n' });
      const store = await sandbox.open();
      const before = sandbox.tree();
      await store.transact({}, (tx) => tx.copyIn('skill', join(sandbox.directory, 'source')));
      const after = sandbox.tree();
      await store.undo();
      expect(sandbox.tree()).toEqual(before);
      await store.redo();
      expect(sandbox.tree()).toEqual(after);
    });

    test('modes that no plan may ask for come back', async () => {
      sandbox.seed({ tool: { content: 'x', mode: 0o4755 }, 'd/x': 'x' });
      chmodSync(sandbox.at('d'), 0o2755);
      const store = await sandbox.open();
      const before = sandbox.tree();
      await store.transact({}, async (tx) => {
        await tx.remove('tool');
        await tx.remove('d');
      });
      await store.undo();
      expect(sandbox.tree()).toEqual(before);
      await store.transact({}, (tx) => tx.chmod('tool', 0o700));
      await store.undo();
      expect(sandbox.tree()).toEqual(before);
    });

    test('an older one, when a newer one is not in its way', async () => {
      const store = await sandbox.open();
      await write(store, 'a', '1');
      await write(store, 'b', '2');
      const { transaction } = await store.undo({ transaction: 1, message: 'mine' });
      expect(transaction?.message).toBe('mine');
      expect(sandbox.tree()).toEqual({ b: file('2') });
    });

    test('what is as it was before is left alone, and is a success', async () => {
      sandbox.seed({ a: 'old', b: 'old' });
      const store = await sandbox.open();
      await store.transact({}, async (tx) => {
        await tx.write('a', 'new');
        await tx.write('b', 'new');
      });
      writeFileSync(sandbox.at('a'), 'old');
      const { ino } = statSync(sandbox.at('a'));
      const { paths, transaction } = await store.undo();
      expect(paths).toEqual([
        { path: 'a', outcome: 'unchanged' },
        { path: 'b', outcome: 'restored' },
      ]);
      expect(transaction?.changeCount).toBe(1);
      expect(statSync(sandbox.at('a')).ino).toBe(ino);
      expect((await store.undo({ transaction: 1 })).transaction).toBeNull();
    });

    test('a dry run tells what would change, and changes nothing', async () => {
      sandbox.seed({ a: 'old' });
      const store = await sandbox.open();
      await write(store, 'a', 'new');
      const stage = listOwn(sandbox.root, 'stage');
      const { transaction } = await store.undo({ dryRun: true });
      expect(transaction).toMatchObject({ id: null, state: 'planned', annotations: { undoes: 1 } });
      expect(sandbox.tree()).toEqual({ a: file('new') });
      expect(listOwn(sandbox.root, 'stage')).toEqual(stage);
    });

    test('survives being opened again, settled, and recovered', async () => {
      sandbox.seed(seed);
      let store = await sandbox.open();
      const before = sandbox.tree();
      await store.transact({}, (tx) => tx.remove('skill'));
      await store.close();
      store = await sandbox.open();
      await store.undo();
      await store.recover();
      expect(sandbox.tree()).toEqual(before);
      expect((await store.log())[0]?.annotations).toEqual({ undoes: 1 });
    });
  });

  describe('which one', () => {
    test('undoing again walks further back, and redoing walks forth', async () => {
      sandbox.seed({ other: 'other' });
      const store = await sandbox.open();
      for (const content of ['1', '2', '3']) await write(store, 'a', content);
      const content = (): unknown => sandbox.tree()['a'];
      const undone = async (): Promise<number> => (await store.undo()).undone;
      expect([await undone(), content()]).toEqual([3, file('2')]);
      expect([await undone(), content()]).toEqual([2, file('1')]);
      await store.redo();
      expect(content()).toEqual(file('2'));
      expect([await undone(), content()]).toEqual([2, file('1')]);
      expect([await undone(), content()]).toEqual([1, undefined]);
      await expectRefused(sandbox.root, () => store.undo(), 'NOTHING_TO_UNDO');
      for (const expected of ['1', '2', '3']) {
        await store.redo();
        expect(content()).toEqual(file(expected));
      }
      await expectRefused(sandbox.root, () => store.redo(), 'NOTHING_TO_UNDO');
    });

    test('another change ends what can be redone without a number, not with one', async () => {
      sandbox.seed({ other: 'other' });
      const store = await sandbox.open();
      await write(store, 'a', '1');
      await store.undo();
      await write(store, 'b', '2');
      await expectRefused(sandbox.root, () => store.redo(), 'NOTHING_TO_UNDO');
      await store.redo({ transaction: 1 });
      expect(sandbox.tree()).toEqual({ a: file('1'), b: file('2'), other: file('other') });
      await expectRefused(sandbox.root, () => store.redo({ transaction: 1 }), 'NOTHING_TO_UNDO');
    });

    test('a redo takes the number of the undo as well', async () => {
      sandbox.seed({ a: 'old' });
      const store = await sandbox.open();
      await write(store, 'a', 'new');
      await store.undo();
      await store.redo({ transaction: 2 });
      expect(sandbox.tree()).toEqual({ a: file('new') });
    });

    test('what is being rolled back cannot be undone', async () => {
      const store = await sandbox.open();
      await write(store, 'a', '1');
      await store.close();
      setInJournal(sandbox.root, { states: [{ id: 1, state: 'undoing', reason: 'it failed' }] });
      using journal = Journal.open(join(sandbox.root, '.skillmeat/journal.db'));
      expect(() => chooseUndo(journal, 1)).toThrow(/is undoing: it is neither done nor undone/);
      setInJournal(sandbox.root, { states: [{ id: 1, state: 'committed' }] });
    });

    test('a number that no transaction has is refused', async () => {
      const store = await sandbox.open();
      await expectRefused(sandbox.root, () => store.undo(), 'NOTHING_TO_UNDO');
      await expectRefused(
        sandbox.root,
        () => store.undo({ transaction: 7 }),
        'TRANSACTION_NOT_FOUND',
      );
      await expectRefused(
        sandbox.root,
        () => store.redo({ transaction: 7 }),
        'TRANSACTION_NOT_FOUND',
      );
    });

    test('what was rolled back or pruned is refused by name', async () => {
      const store = await sandbox.open();
      await write(store, 'a', '1');
      await write(store, 'a', '2');
      setInJournal(sandbox.root, {
        states: [1, 2].map((id) => ({ id, state: 'settled' })),
        meta: { pruned_through: 1 },
      });
      const { message } = await expectError(store.undo({ transaction: 1 }), 'HISTORY_PRUNED');
      expect(message).toContain('the oldest that can be undone is 2');
      setInJournal(sandbox.root, { states: [{ id: 2, state: 'rolled-back' }] });
      await expectError(store.undo({ transaction: 2 }), 'NOTHING_TO_UNDO');
      setInJournal(sandbox.root, {
        states: [{ id: 2, state: 'committed', trouble: 'blocked' }],
      });
      await expectError(store.undo({ transaction: 2 }), 'BLOCKED');
      sandbox.breaksStore();
    });
  });

  describe('some paths', () => {
    test('only they, and what is below them', async () => {
      sandbox.seed(seed);
      const store = await sandbox.open();
      await store.transact({}, async (tx) => {
        await tx.remove('skill');
        await tx.write('other', 'new');
      });
      const { transaction } = await store.undo({ paths: ['skill/sub'] });
      expect(transaction?.annotations).toEqual({ undoes: 1, paths: ['skill/sub'] });
      expect(sandbox.tree()).toEqual({
        skill: directory(),
        'skill/sub': directory(),
        'skill/sub/deep': file('deep'),
        other: file('new'),
      });
      // A part does not make it undone.
      expect((await store.undo()).undone).toBe(1);
      expect(sandbox.tree()['other']).toEqual(file('other'));
      expect(sandbox.tree()['skill/link']).toEqual(symlink('/outside/of the root'));
    });

    test('a path that it did not change, or that leaves the root, is refused', async () => {
      sandbox.seed(seed);
      const store = await sandbox.open();
      await write(store, 'other', 'new');
      const undo = (path: string) => () => store.undo({ paths: [path] });
      await expectRefused(sandbox.root, undo('skill'), 'PATH_NOT_FOUND', { path: 'skill' });
      await expectRefused(sandbox.root, undo('../x'), 'PATH_ESCAPES_ROOT');
      await expectRefused(sandbox.root, undo('.skillmeat/stage'), 'PATH_IN_ENGINE_DIRECTORY');
    });

    test('the others go on when one is in conflict', async () => {
      const store = await sandbox.open();
      await store.transact({}, async (tx) => {
        await tx.write('a', '1');
        await tx.write('b', '1');
      });
      writeFileSync(sandbox.at('a'), 'edited');
      await expectRefused(sandbox.root, () => store.undo(), 'UNDO_CONFLICT', { path: 'a' });
      await store.undo({ paths: ['b'] });
      expect(sandbox.tree()).toEqual({ a: file('edited') });
    });
  });

  describe('a path that is not as it was left', () => {
    const edits: Readonly<Record<string, () => void>> = {
      'was edited': () => writeFileSync(sandbox.at('skill/SKILL.md'), 'by hand'),
      'was removed': () => rmSync(sandbox.at('skill/SKILL.md')),
      'has another mode': () => chmodSync(sandbox.at('skill/SKILL.md'), 0o600),
      'became a directory': () => {
        rmSync(sandbox.at('skill/SKILL.md'));
        mkdirSync(sandbox.at('skill/SKILL.md'));
      },
      'lost its parent': () => rmSync(sandbox.at('skill'), { recursive: true }),
      'has a file for a parent': () => {
        rmSync(sandbox.at('skill'), { recursive: true });
        writeFileSync(sandbox.at('skill'), 'file');
      },
    };
    test.each(Object.keys(edits))('because it %s is refused, and named', async (name) => {
      sandbox.seed(seed);
      const store = await sandbox.open();
      await write(store, 'skill/SKILL.md', 'new');
      edits[name]?.();
      const error = await expectRefused(sandbox.root, () => store.undo(), 'UNDO_CONFLICT', {
        path: 'skill/SKILL.md',
      });
      expect(error.conflicts).toEqual([
        { path: 'skill/SKILL.md', why: expect.stringMatching(/^it was left as .* and is /) },
      ]);
    });

    test('is overwritten by force, and the present bytes stay in history', async () => {
      sandbox.seed({ a: 'old' });
      const store = await sandbox.open();
      await write(store, 'a', 'new');
      writeFileSync(sandbox.at('a'), 'precious');
      const { paths } = await store.undo({ force: true });
      expect(paths).toEqual([{ path: 'a', outcome: 'overwritten' }]);
      expect(sandbox.tree()).toEqual({ a: file('old') });
      await store.undo({ transaction: 2 });
      expect(sandbox.tree()).toEqual({ a: file('precious') });
    });

    test('every one is named', async () => {
      const store = await sandbox.open();
      await store.transact({}, async (tx) => {
        for (const name of ['a', 'b', 'c']) await tx.write(name, '1');
      });
      for (const name of ['a', 'c']) writeFileSync(sandbox.at(name), 'edited');
      const { conflicts, message } = await expectError(store.undo(), 'UNDO_CONFLICT');
      expect(conflicts.map(({ path }) => path)).toEqual(['a', 'c']);
      expect(message).toMatch(/"a".*and 1 more/);
    });

    test('of many every one is named, and the log is searched for the first ones only', async () => {
      const store = await sandbox.open();
      const paths = Array.from({ length: 22 }, (_, n) => `f${String(n).padStart(2, '0')}`);
      await store.transact({}, async (tx) => {
        for (const name of paths) await tx.write(name, '1');
      });
      for (const name of paths) writeFileSync(sandbox.at(name), 'edited');
      const { conflicts } = await expectError(store.undo(), 'UNDO_CONFLICT');
      expect(conflicts.map(({ path }) => path)).toEqual(paths);
      const whys = conflicts.map(({ why }) => why);
      expect(whys[0]).toContain('another program changed it since');
      expect(whys[21]).toContain('(changed since)');
    });

    test('a special file is never overwritten', async () => {
      const store = await sandbox.open();
      await write(store, 'a', '1');
      rmSync(sandbox.at('a'));
      mkfifoSync(sandbox.at('a'));
      await expectRefused(sandbox.root, () => store.undo({ force: true }), 'UNDO_CONFLICT');
    });
  });

  describe('a directory that would go', () => {
    test('with something in it that the transaction did not make is refused', async () => {
      const store = await sandbox.open();
      await write(store, 'skill/sub/SKILL.md', '1');
      writeFileSync(sandbox.at('skill/sub/notes'), 'mine');
      const error = await expectRefused(sandbox.root, () => store.undo(), 'UNDO_CONFLICT');
      expect(error.conflicts).toEqual([
        { path: 'skill/sub', why: expect.stringContaining('"skill/sub/notes"') },
      ]);
    });

    test('stays when merging, with what is in it', async () => {
      sandbox.seed({ other: 'o' });
      const store = await sandbox.open();
      await write(store, 'skill/sub/SKILL.md', '1');
      writeFileSync(sandbox.at('skill/sub/notes'), 'mine');
      await store.undo({ merge: true });
      expect(sandbox.tree()).toEqual({
        other: file('o'),
        skill: directory(),
        'skill/sub': directory(),
        'skill/sub/notes': file('mine'),
      });
    });

    test('is not taken with what came into it while the undo was prepared', async () => {
      sandbox.seed({ a: 'old' });
      let isUndoing = false;
      const files = watchedFileSystem(mode, ({ method }) => {
        if (isUndoing && method === 'createFile') writeFileSync(sandbox.at('skill/late'), 'late');
      });
      const store = await sandbox.open({ fileSystem: files });
      await store.transact({}, async (tx) => {
        await tx.write('a', 'new');
        await tx.write('skill/SKILL.md', '1');
      });
      isUndoing = true;
      await expectError(store.undo(), 'DRIFT_DETECTED', { path: 'skill/late' });
      isUndoing = false;
      expect(sandbox.tree()).toMatchObject({ a: file('new'), 'skill/late': file('late') });
    });

    test('goes by force, and what was in it is history', async () => {
      sandbox.seed({ other: 'o' });
      const store = await sandbox.open();
      await write(store, 'skill/SKILL.md', '1');
      writeFileSync(sandbox.at('skill/notes'), 'mine');
      await store.undo({ force: true });
      expect(sandbox.tree()).toEqual({ other: file('o') });
      await store.undo({ transaction: 2 });
      expect(sandbox.tree()['skill/notes']).toEqual(file('mine'));
    });
  });

  describe('merging', () => {
    const merge = { transaction: 1, merge: true };

    async function textChangedTwice(second: string): Promise<Store> {
      sandbox.seed({ t: text(20) });
      const store = await sandbox.open();
      await write(store, 't', text(20, { 3: 'changed first' }));
      await write(store, 't', second);
      return store;
    }

    test('keeps what was changed since elsewhere in the text', async () => {
      const store = await textChangedTwice(text(20, { 3: 'changed first', 15: 'since' }));
      const { paths } = await store.undo(merge);
      expect(paths).toEqual([{ path: 't', outcome: 'merged' }]);
      expect(sandbox.tree()).toEqual({ t: file(text(20, { 15: 'since' })) });
    });

    test('keeps an edit by hand on top of a later transaction', async () => {
      const store = await textChangedTwice(text(20, { 3: 'changed first', 15: 'since' }));
      writeFileSync(sandbox.at('t'), text(20, { 3: 'changed first', 15: 'since', 18: 'hand' }));
      await store.undo(merge);
      expect(sandbox.tree()).toEqual({ t: file(text(20, { 15: 'since', 18: 'hand' })) });
    });

    test('leaves line ends, a byte order mark and a missing last line end alone', async () => {
      const make = (first: string, last: string): string =>
        `\ufeff${first}\r\n${text(9).replaceAll('\n', '\r\n')}${last}`;
      sandbox.seed({ t: make('one', 'end') });
      const store = await sandbox.open();
      await write(store, 't', make('two', 'end'));
      await write(store, 't', make('two', 'END'));
      await store.undo(merge);
      expect(sandbox.tree()).toEqual({ t: file(make('one', 'END')) });
    });

    test.each([
      ['the same line', text(20, { 3: 'changed again' }), /line 3/],
      ['a binary file', `${text(20)}\0`, /not a text/],
    ])('%s is a conflict', async (_name, second, why) => {
      const store = await textChangedTwice(second);
      const error = await expectRefused(sandbox.root, () => store.undo(merge), 'UNDO_CONFLICT');
      expect(error.conflicts[0]?.why).toMatch(why);
      await store.undo({ ...merge, force: true });
      expect(sandbox.tree()).toEqual({ t: file(text(20)) });
    });

    test('what only the mode and only the content of differ in is merged', async () => {
      sandbox.seed({ a: 'old', b: 'old' });
      const store = await sandbox.open();
      await store.transact({}, async (tx) => {
        await tx.write('a', 'new');
        await tx.chmod('b', 0o600);
      });
      chmodSync(sandbox.at('a'), 0o700);
      writeFileSync(sandbox.at('b'), 'edited');
      await store.undo(merge);
      expect(sandbox.tree()).toEqual({ a: file('old', 0o700), b: file('edited') });
    });

    test('without the content as it was before there is nothing to merge with', async () => {
      sandbox.seed({ 'd/t': text(20), '../source/t': text(20, { 3: 'changed' }) });
      const store = await sandbox.open();
      await store.transact({}, (tx) => tx.copyIn('d', join(sandbox.directory, 'source')));
      await write(store, 'd/t', text(20));
      await store.undo();
      writeFileSync(sandbox.at('d/t'), text(20, { 3: 'changed', 15: 'hand' }));
      // What the first displaced is a whole directory, and it is gone.
      for (const name of listOwn(sandbox.root, 'stage')) {
        if (name.startsWith('1-') || name.startsWith('3-')) {
          rmSync(join(sandbox.root, '.skillmeat/stage', name), { recursive: true });
        }
      }
      const why = { ...merge, transaction: 1 };
      const error = await expectRefused(sandbox.root, () => store.undo(why), 'UNDO_CONFLICT');
      expect(error.conflicts[0]?.why).toContain('as it was before is not in history');
      sandbox.breaksStore();
    });

    test('without the content as it was left there is nothing to merge with', async () => {
      sandbox.seed({ t: text(20) });
      const store = await sandbox.open();
      await write(store, 't', text(20, { 3: 'changed' }));
      writeFileSync(sandbox.at('t'), text(20, { 3: 'changed', 15: 'hand' }));
      const error = await expectRefused(sandbox.root, () => store.undo(merge), 'UNDO_CONFLICT');
      expect(error.conflicts[0]?.why).toContain('as the transaction left it is not in history');
    });
  });

  describe('what looks like a mistake', () => {
    async function addFiles(count: number): Promise<Store> {
      const store = await sandbox.open();
      await store.transact({}, async (tx) => {
        for (let n = 0; n < count; n += 1) await tx.write(`made/${String(n)}`, 'x');
      });
      return store;
    }

    test('removing more than half of the files needs force', async () => {
      sandbox.seed(
        Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`old/${String(i)}`, 'x'])),
      );
      const store = await addFiles(21);
      await expectRefused(sandbox.root, () => store.undo(), 'REMOVAL_TOO_LARGE');
      // Who is told to look at it first can.
      const planned = await store.undo({ dryRun: true });
      expect(planned.transaction?.changes.length).toBeGreaterThan(20);
      expect(planned.needsForce).toBe('21 of 41 files would be removed');
      expect(await store.undo({ dryRun: true, force: true })).not.toHaveProperty('needsForce');
      await store.undo({ force: true });
      expect(sandbox.tree()['made']).toBeUndefined();
    });

    test('removing half of the files, or no more than twenty, does not', async () => {
      sandbox.seed(
        Object.fromEntries(Array.from({ length: 21 }, (_, i) => [`old/${String(i)}`, 'x'])),
      );
      const store = await addFiles(21);
      await store.undo();
      expect(Object.keys(sandbox.tree())).toHaveLength(22);
      for (let n = 2; n < 21; n += 1) rmSync(sandbox.at(`old/${String(n)}`));
      await store.transact({}, async (tx) => {
        for (let n = 0; n < 20; n += 1) await tx.write(`made/${String(n)}`, 'x');
      });
      await store.undo();
      expect(sandbox.tree()['made']).toBeUndefined();
    });

    test('emptying the directory needs force', async () => {
      const store = await addFiles(1);
      await expectRefused(sandbox.root, () => store.undo(), 'REMOVAL_TOO_LARGE');
      await store.undo({ force: true });
      expect(sandbox.tree()).toEqual({});
    });
  });

  describe('history that is not whole', () => {
    test.each([
      ['was written to', (slot: string) => writeFileSync(slot, 'OLD')],
      ['is gone', (slot: string) => rmSync(slot)],
      [
        'is a FIFO',
        (slot: string) => {
          rmSync(slot);
          mkfifoSync(slot);
        },
      ],
    ] as const)('a slot that %s is never restored from', async (_name, damage) => {
      sandbox.seed({ a: 'old' });
      const store = await sandbox.open();
      await store.transact({}, async (tx) => {
        await tx.write('a', 'new');
        await tx.write('b', 'new');
      });
      damage(join(sandbox.root, '.skillmeat/stage', listOwn(sandbox.root, 'stage')[0] ?? ''));
      const error = await expectRefused(sandbox.root, () => store.undo(), 'HISTORY_DAMAGED');
      expect(error.conflicts.map(({ path }) => path)).toEqual(['a']);
      await store.undo({ paths: ['b'] });
      expect(sandbox.tree()).toEqual({ a: file('new') });
    });

    test('another place in history that holds the same content will do', async () => {
      sandbox.seed({ a: 'old' });
      const store = await sandbox.open();
      await write(store, 'a', 'new');
      const [first] = listOwn(sandbox.root, 'stage');
      await store.undo();
      await write(store, 'a', 'third');
      rmSync(join(sandbox.root, '.skillmeat/stage', first ?? ''));
      await store.undo({ transaction: 1, force: true });
      expect(sandbox.tree()).toEqual({ a: file('old') });
    });
  });

  describe('a file whose parts the caller knows', () => {
    const parts = new Map([['words', undoWords]]);

    test('is undone part by part where it was changed since', async () => {
      const store = await sandbox.open();
      await write(store, 'words', 'a b');
      await write(store, 'words', 'a b c d');
      await write(store, 'words', 'a b c d e');
      chmodSync(join(sandbox.root, 'words'), 0o600);
      const { paths } = await store.undo({ transaction: 2, parts });
      expect(paths).toEqual([{ path: 'words', outcome: 'merged' }]);
      expect(sandbox.tree()['words']).toEqual(file('a b e', 0o600));
      // Of a file that was not there before.
      await store.undo({ transaction: 1, parts });
      expect(sandbox.tree()['words']).toEqual(file('e', 0o600));
      // There is nothing left of it.
      expect(await store.undo({ transaction: 2, parts, force: true })).toMatchObject({
        transaction: null,
        paths: [{ path: 'words', outcome: 'kept' }],
      });
    });

    test('is undone as a whole where it was not changed, is no file, or nobody keeps it', async () => {
      sandbox.seed({ other: 'other' });
      const store = await sandbox.open();
      await write(store, 'words', 'a b');
      const never: UndoParts = () => {
        throw new Error('nobody asks');
      };
      const undo = { transaction: 1, parts: new Map([['words', never]]) };
      await store.undo(undo);
      expect(sandbox.tree()).toEqual({ other: file('other') });
      mkdirSync(join(sandbox.root, 'words'));
      await expectError(store.undo(undo), 'UNDO_CONFLICT');
      rmSync(join(sandbox.root, 'words'), { recursive: true });
      const transaction = await write(store, 'words', 'a b c');
      writeFileSync(join(sandbox.root, 'words'), 'other');
      const undoing = store.undo({ ...undo, transaction });
      const { conflicts } = await expectError(undoing, 'UNDO_CONFLICT');
      expect(conflicts.map(({ why }) => why)).toEqual([
        'its content as the transaction left it is not in history',
      ]);
    });

    test('is undone in part only where that is meant, though nothing changed it since', async () => {
      const store = await sandbox.open();
      await write(store, 'words', 'a b');
      await write(store, 'words', 'a b c d');
      const undoC: UndoParts = ({ now }) => {
        const words = Buffer.from(now).toString();
        if (!words.includes(' c')) return { kind: 'conflict', whys: ['c is gone'] };
        return { kind: 'undone', bytes: Buffer.from(words.replace(' c', '')), isForced: false };
      };
      const undo = {
        transaction: 2,
        paths: ['words'],
        parts: new Map([['words', undoC]]),
        choosesParts: true,
      };
      await store.undo(undo);
      expect(sandbox.tree()['words']).toEqual(file('a b d'));
      // Force does not undo all of it instead.
      await expectError(store.undo({ ...undo, force: true }), 'UNDO_CONFLICT');
      expect(sandbox.tree()['words']).toEqual(file('a b d'));
    });

    test('names each part that is in the way; force overwrites it, or all of the file', async () => {
      const store = await sandbox.open();
      await write(store, 'words', 'a b');
      await write(store, 'words', 'a b c d');
      await write(store, 'words', 'a b');
      await write(store, 'words', 'a b e');
      const { conflicts } = await expectError(
        store.undo({ transaction: 2, parts }),
        'UNDO_CONFLICT',
      );
      expect(conflicts).toEqual([
        { path: 'words', why: 'c is gone' },
        { path: 'words', why: 'd is gone' },
      ]);
      await write(store, 'words', 'a b c e');
      const { paths } = await store.undo({ transaction: 2, parts, force: true });
      expect(paths).toEqual([{ path: 'words', outcome: 'overwritten' }]);
      expect(sandbox.tree()['words']).toEqual(file('a b e'));
      const never: UndoParts = () => ({ kind: 'conflict', whys: ['no'] });
      await store.undo({ transaction: 2, parts: new Map([['words', never]]), force: true });
      expect(sandbox.tree()['words']).toEqual(file('a b'));
    });
  });

  test('a shared directory stays when it holds what the transaction did not put there', async () => {
    sandbox.seed({ other: 'other' });
    const store = await sandbox.open();
    const other = file('other');
    await write(store, 'shared/a', '1');
    await write(store, 'shared/b', '2');
    await expectError(store.undo({ transaction: 1 }), 'UNDO_CONFLICT');
    const shared = { transaction: 1, sharedDirectories: new Set(['shared']) };
    // Nor does force remove what is not the transaction's.
    await store.undo({ ...shared, force: true });
    expect(sandbox.tree()).toEqual({ other, shared: directory(), 'shared/b': file('2') });
    await store.undo({ transaction: 2 });
    expect(sandbox.tree()).toEqual({ other, shared: directory() });
    // An empty one goes.
    await store.undo(shared);
    expect(sandbox.tree()).toEqual({ other });
  });

  test('what an undo costs does not depend on what else is in the directory', async () => {
    const costs: number[] = [];
    // Whether a file is hashed once more depends on how much older it is than this.
    const began = Date.now();
    for (const count of [3, 300]) {
      const root = join(sandbox.directory, `with-${String(count)}`);
      const others = Array.from({ length: count }, (_, i) => [`f${String(i)}`, 'x'] as const);
      plant(root, Object.fromEntries([...others, ['gone', 'g'], ['d/a', 'a']]));
      const isCounted = new Set<string>(['list', 'stat', 'openForReading', 'openDirectory']);
      // Different ones: on a busy machine a place is opened again after each pause.
      const looks = new Set<string>();
      const files = watchedFileSystem(mode, ({ method, values }) => {
        const [place] = values as readonly [Partial<Place> | undefined];
        if (isCounted.has(method)) looks.add(`${method} ${place?.name ?? ''}`);
      });
      const store = await sandbox.openAt(root, { fileSystem: files, now: () => began });
      await store.transact({}, async (tx) => {
        await tx.write('d/a', 'a2');
        await tx.remove('gone');
        for (const name of ['1', '2', '3']) await tx.write(`made${name}`, name);
      });
      looks.clear();
      await store.undo();
      costs.push(looks.size);
    }
    expect(costs[0]).toBeGreaterThan(0);
    expect(costs[1]).toBe(costs[0]);
  });

  test('inside of a transaction of the same store it is refused', async () => {
    const store = await sandbox.open();
    await write(store, 'a', '1');
    await expectError(
      store.transact({}, (tx) => tx.write('x', 'y').then(() => store.undo())),
      'TRANSACTION_NESTED',
    );
  });
});
