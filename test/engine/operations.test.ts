import { mkfifoSync, plantSource } from '../support/sources.js';
import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Receipt, Transaction } from '../../src/engine/index.js';
import {
  dumpJournal,
  expectError,
  expectReceipt,
  expectRefused,
  listOwn,
  modes,
  type Seed,
  useSandbox,
} from '../support/store.js';
import { directory, file, readTree, symlink, type Tree } from '../support/tree.js';

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);

  /** Runs one transaction on a root made of `seed` and compares the tree and the receipt. */
  async function check(
    seed: Seed,
    change: (tx: Transaction) => unknown,
    expected: Tree,
  ): Promise<Receipt> {
    sandbox.seed(seed);
    const store = await sandbox.open();
    const before = sandbox.tree();
    const receipt = await store.transact({ message: 'why' }, change);
    expect(sandbox.tree()).toEqual(expected);
    expectReceipt(receipt, before, expected);
    const id = receipt.transaction?.id;
    expect(await store.show(id ?? 0)).toEqual(receipt.transaction);
    return receipt;
  }

  describe('write', () => {
    test('makes a file with its parents', () =>
      check({}, (tx) => tx.write('a/b/c', 'text'), {
        a: directory(),
        'a/b': directory(),
        'a/b/c': file('text'),
      }));

    test('gives the mode it was asked for', () =>
      check({}, (tx) => tx.write('run.sh', '#!', { mode: 0o755 }), {
        'run.sh': file('#!', 0o755),
      }));

    test('keeps the mode of the file it replaces', () =>
      check({ f: { content: 'old', mode: 0o640 } }, (tx) => tx.write('f', 'new'), {
        f: file('new', 0o640),
      }));

    test('takes bytes as they are', () =>
      check({}, (tx) => tx.write('f', Uint8Array.of(0, 255, 10)), {
        f: { kind: 'file', bytes: '\u0000\u00ff\n', mode: '644' },
      }));

    test('takes a stream of strings and bytes', () =>
      check(
        {},
        (tx) =>
          tx.write(
            'f',
            (async function* () {
              yield 'ä';
              yield Buffer.from('b');
              yield new Uint8Array(0);
              yield 'c';
            })(),
          ),
        { f: file('äbc') },
      ));

    test('takes a content larger than what is read in one piece', async () => {
      const big = Buffer.alloc(3_000_001, 'abcdefg');
      sandbox.seed({ f: 'small' });
      const store = await sandbox.open();
      const before = sandbox.tree();
      const receipt = await store.transact({}, (tx) => tx.write('f', big));
      expect(sandbox.tree()['f']?.bytes === big.toString('latin1')).toBe(true);
      expectReceipt(receipt, before, sandbox.tree());
      const again = await store.transact({}, (tx) => tx.rename('f', 'g'));
      expectReceipt(again, { ...before, f: file(big.toString('latin1')) }, sandbox.tree());
    });

    test('of a stream that fails leaves nothing', async () => {
      sandbox.seed({ f: 'old' });
      const store = await sandbox.open();
      const failure = new Error('the network is gone');
      const before = [sandbox.tree(), dumpJournal(sandbox.root)];
      const act = store.transact({}, async (tx) => {
        await tx.write('new/first', 'x');
        await tx.write(
          'f',
          (async function* () {
            yield 'half';
            throw failure;
          })(),
        );
      });
      await expect(act).rejects.toBe(failure);
      expect([sandbox.tree(), dumpJournal(sandbox.root)]).toEqual(before);
      expect(listOwn(sandbox.root, 'stage')).toEqual([]);
    });

    test('of a stream that gives something else is a TypeError', async () => {
      const store = await sandbox.open();
      const numbers = (async function* () {
        yield 5 as unknown as string;
      })();
      await expect(store.transact({}, (tx) => tx.write('f', numbers))).rejects.toThrow(TypeError);
      await expect(
        store.transact({}, (tx) => tx.write('f', 5 as unknown as string)),
      ).rejects.toThrow(TypeError);
      expect(sandbox.tree()).toEqual({});
      expect(listOwn(sandbox.root, 'stage')).toEqual([]);
    });

    test('of the same bytes changes nothing and writes no transaction', async () => {
      sandbox.seed({ f: 'same', 'd/x': 'x' });
      const store = await sandbox.open();
      const journal = dumpJournal(sandbox.root);
      const receipt = await store.transact({}, async (tx) => {
        await tx.write('f', 'same');
        await tx.mkdir('d');
        await tx.chmod('d/x', 0o644);
        await tx.remove('nothing', { ifPresent: true });
        await tx.write('passing', 'x');
        await tx.remove('passing');
      });
      expect(receipt).toEqual({ transaction: null });
      expect(dumpJournal(sandbox.root)).toEqual(journal);
      expect(listOwn(sandbox.root, 'stage')).toEqual([]);
    });

    test('twice to one path: the last one counts', () =>
      check(
        { f: 'old' },
        async (tx) => {
          await tx.write('f', 'first');
          await tx.write('f', 'second', { mode: 0o600 });
          await tx.write('f', 'third');
        },
        { f: file('third', 0o600) },
      ));
  });

  describe('copyIn', () => {
    test('copies a file with its permission bits, not its set-id bits', async () => {
      const source = plantSource(sandbox.directory, {
        tool: { content: 'tool', mode: 0o4755 },
      });
      await check({}, (tx) => tx.copyIn('bin/tool', join(source, 'tool')), {
        bin: directory(),
        'bin/tool': file('tool', 0o755),
      });
    });

    test('copies a directory with everything below', async () => {
      const source = plantSource(sandbox.directory, {
        'SKILL.md': 'skill',
        'scripts/run': { content: 'run', mode: 0o755 },
        empty: { directory: 0o750 },
        link: { link: 'scripts/run' },
        closed: { directory: 0o500 },
      });
      await check({}, (tx) => tx.copyIn('skills/a', source), {
        skills: directory(),
        'skills/a': directory(),
        'skills/a/SKILL.md': file('skill'),
        'skills/a/closed': directory(0o700),
        'skills/a/empty': directory(0o750),
        'skills/a/link': symlink('scripts/run'),
        'skills/a/scripts': directory(),
        'skills/a/scripts/run': file('run', 0o755),
      });
    });

    test('replaces a directory as a whole', async () => {
      const source = plantSource(sandbox.directory, {
        same: 'same',
        changed: 'new',
        'sub/added': 'x',
      });
      await check(
        { 'a/same': 'same', 'a/changed': 'old', 'a/gone': 'x', 'a/sub': 'was a file', b: 'b' },
        (tx) => tx.copyIn('a', source),
        {
          a: directory(),
          'a/changed': file('new'),
          'a/same': file('same'),
          'a/sub': directory(),
          'a/sub/added': file('x'),
          b: file('b'),
        },
      );
    });

    test('replaces a directory by a file and a file by a directory', async () => {
      const source = plantSource(sandbox.directory, { f: 'f', 'd/x': 'x' });
      await check(
        { 'was/dir': '1', file: '2' },
        async (tx) => {
          await tx.copyIn('was', join(source, 'f'));
          await tx.copyIn('file', join(source, 'd'));
        },
        { file: directory(), 'file/x': file('x'), was: file('f') },
      );
    });

    test('follows a link that the caller names as the source', async () => {
      const source = plantSource(sandbox.directory, { 'real/x': 'x', top: { link: 'real' } });
      await check({}, (tx) => tx.copyIn('a', join(source, 'top')), {
        a: directory(),
        'a/x': file('x'),
      });
    });

    test.each([
      ['absolute', '/etc/passwd'],
      ['through the parents', '../../../outside'],
    ])('refuses a link that leads outside: %s', async (_name, target) => {
      const source = plantSource(sandbox.directory, { 'deep/link': { link: target } });
      const store = await sandbox.open();
      await expectRefused(
        sandbox.root,
        () => store.transact({}, (tx) => tx.copyIn('a', source)),
        'PATH_ESCAPES_ROOT',
        { path: 'a/deep/link' },
      );
    });

    test('refuses a FIFO in the source', async () => {
      const source = plantSource(sandbox.directory, { a: 'a' });
      mkfifoSync(join(source, 'pipe'));
      const store = await sandbox.open();
      await expectRefused(
        sandbox.root,
        () => store.transact({}, (tx) => tx.copyIn('a', source)),
        'PATH_SPECIAL',
        { path: join(source, 'pipe') },
      );
    });

    test('refuses a source that is not there, and a relative one', async () => {
      const store = await sandbox.open();
      const missing = join(sandbox.directory, 'missing');
      await expectRefused(
        sandbox.root,
        () => store.transact({}, (tx) => tx.copyIn('a', missing)),
        'SOURCE_UNREADABLE',
        { path: missing },
      );
      await expect(store.transact({}, (tx) => tx.copyIn('a', 'relative'))).rejects.toThrow(
        TypeError,
      );
    });

    test('refuses a name in the source that a path of the root must not have', async () => {
      const source = plantSource(sandbox.directory, { 'a:b': 'x' });
      const store = await sandbox.open();
      await expectRefused(
        sandbox.root,
        () => store.transact({}, (tx) => tx.copyIn('a', source)),
        'PATH_RESERVED',
        { path: 'a/a:b' },
      );
    });

    test("refuses the engine's own directory as the source", async () => {
      const store = await sandbox.open();
      await expectRefused(
        sandbox.root,
        () => store.transact({}, (tx) => tx.copyIn('a', sandbox.at('.skillmeat'))),
        'PATH_IN_ENGINE_DIRECTORY',
      );
      await expectRefused(
        sandbox.root,
        () => store.transact({}, (tx) => tx.copyIn('a', sandbox.root)),
        'PATH_IN_ENGINE_DIRECTORY',
      );
    });

    test('a refused copy leaves what was there, in a transaction that goes on', async () => {
      const source = plantSource(sandbox.directory, { a: 'a', z: { link: '/outside' } });
      await check(
        { 'd/old': 'old' },
        async (tx) => {
          await expectError(tx.copyIn('d', source), 'PATH_ESCAPES_ROOT');
          await tx.write('other', 'x');
        },
        { d: directory(), 'd/old': file('old'), other: file('x') },
      );
    });
  });

  describe('remove', () => {
    test('removes a file, a link and a directory with all that is in it', () =>
      check(
        { f: 'f', l: { link: 'f' }, 'd/e/f': 'x', 'd/l': { link: 'nowhere' }, keep: 'k' },
        async (tx) => {
          await tx.remove('f');
          await tx.remove('l');
          await tx.remove('d');
        },
        { keep: file('k') },
      ));

    test('of nothing is refused unless it may be absent', async () => {
      const store = await sandbox.open();
      await expectRefused(
        sandbox.root,
        () => store.transact({}, (tx) => tx.remove('a')),
        'PATH_NOT_FOUND',
        { path: 'a' },
      );
      const receipt = await store.transact({}, (tx) => tx.remove('a/b', { ifPresent: true }));
      expect(receipt.transaction).toBeNull();
    });

    test('of a link does not touch what it leads to', async () => {
      const seed: Seed = { '../outside/f': 'outside', l: { link: '../outside' } };
      await check(seed, (tx) => tx.remove('l'), {});
      expect(readTree(join(sandbox.directory, 'outside'))).toEqual({ f: file('outside') });
    });
  });

  describe('rename', () => {
    test('moves a file with its mode', () =>
      check({ a: { content: 'a', mode: 0o600 } }, (tx) => tx.rename('a', 'd/b'), {
        d: directory(),
        'd/b': file('a', 0o600),
      }));

    test('moves a directory with everything below', () =>
      check(
        {
          'a/x': 'x',
          'a/sub/y': { content: 'y', mode: 0o755 },
          'a/l': { link: 'x' },
          a: { directory: 0o750 },
        },
        (tx) => tx.rename('a', 'b/c'),
        {
          b: directory(),
          'b/c': directory(0o750),
          'b/c/l': symlink('x'),
          'b/c/sub': directory(),
          'b/c/sub/y': file('y', 0o755),
          'b/c/x': file('x'),
        },
      ));

    test('replaces only when told to', async () => {
      const seed: Seed = { a: 'a', 'b/x': 'x' };
      sandbox.seed(seed);
      const store = await sandbox.open();
      await expectRefused(
        sandbox.root,
        () => store.transact({}, (tx) => tx.rename('a', 'b')),
        'PATH_EXISTS',
        { path: 'b' },
      );
      const before = sandbox.tree();
      const receipt = await store.transact({}, (tx) => tx.rename('a', 'b', { replace: true }));
      expect(sandbox.tree()).toEqual({ b: file('a') });
      expectReceipt(receipt, before, sandbox.tree());
    });

    test('of nothing, and into itself, is refused', async () => {
      sandbox.seed({ 'a/x': 'x' });
      const store = await sandbox.open();
      await expectRefused(
        sandbox.root,
        () => store.transact({}, (tx) => tx.rename('no', 'b')),
        'PATH_NOT_FOUND',
        { path: 'no' },
      );
      await expectRefused(
        sandbox.root,
        () => store.transact({}, (tx) => tx.rename('a', 'a/b')),
        'PLAN_CONTRADICTS',
        { path: 'a/b' },
      );
    });

    test('to itself changes nothing', async () => {
      sandbox.seed({ a: 'a' });
      const store = await sandbox.open();
      expect(await store.transact({}, (tx) => tx.rename('a', 'a'))).toEqual({ transaction: null });
    });

    test('swaps two files', () =>
      check(
        { a: 'was a', b: { content: 'was b', mode: 0o600 } },
        async (tx) => {
          await tx.rename('a', 'tmp');
          await tx.rename('b', 'a');
          await tx.rename('tmp', 'b');
        },
        { a: file('was b', 0o600), b: file('was a') },
      ));

    test('swaps two directories', () =>
      check(
        { 'a/1': '1', 'b/2': '2', 'b/1': 'one' },
        async (tx) => {
          await tx.rename('a', 'tmp');
          await tx.rename('b', 'a');
          await tx.rename('tmp', 'b');
        },
        {
          a: directory(),
          'a/1': file('one'),
          'a/2': file('2'),
          b: directory(),
          'b/1': file('1'),
        },
      ));

    test('makes a chain', () =>
      check(
        { a: 'a', b: 'b', c: 'c' },
        async (tx) => {
          await tx.rename('c', 'd');
          await tx.rename('b', 'c');
          await tx.rename('a', 'b');
        },
        { b: file('a'), c: file('b'), d: file('c') },
      ));

    test('along a path: a to b to c', () =>
      check(
        { a: 'a' },
        async (tx) => {
          await tx.rename('a', 'b');
          await tx.rename('b', 'c');
        },
        { c: file('a') },
      ));

    test('changes nothing but case', () =>
      check({ 'dir/Skill.md': 's' }, (tx) => tx.rename('dir/Skill.md', 'dir/SKILL.md'), {
        dir: directory(),
        'dir/SKILL.md': file('s'),
      }));

    test('puts a directory in the place of its own parent', () =>
      check({ 'a/b/c': 'c', 'a/d': 'd' }, (tx) => tx.rename('a/b', 'a', { replace: true }), {
        a: directory(),
        'a/c': file('c'),
      }));

    test('keeps staged contents', () =>
      check(
        { 'd/old': 'old' },
        async (tx) => {
          await tx.write('d/new', 'new');
          await tx.remove('d/old');
          await tx.rename('d', 'e');
          await tx.write('e/more', 'more');
        },
        { e: directory(), 'e/more': file('more'), 'e/new': file('new') },
      ));

    test('that is refused changes nothing, in a transaction that goes on', () =>
      check(
        { a: 'a', blocked: 'a file' },
        async (tx) => {
          await tx.write('fresh', 'staged');
          await expectError(tx.rename('a', 'blocked/a'), 'PATH_NOT_DIRECTORY');
          await expectError(tx.rename('fresh', 'blocked/fresh'), 'PATH_NOT_DIRECTORY');
          await tx.write('other', 'x');
        },
        { a: file('a'), blocked: file('a file'), fresh: file('staged'), other: file('x') },
      ));
  });

  describe('mkdir, chmod and symlink', () => {
    test('mkdir makes parents and leaves what is there alone', () =>
      check(
        { d: { directory: 0o750 } },
        async (tx) => {
          await tx.mkdir('d', { mode: 0o700 });
          await tx.mkdir('d/e/f', { mode: 0o711 });
        },
        { d: directory(0o750), 'd/e': directory(), 'd/e/f': directory(0o711) },
      ));

    test('chmod of a file and of a directory leaves their contents', () =>
      check(
        { 'd/f': 'f', 'd/g': 'g' },
        async (tx) => {
          await tx.chmod('d', 0o700);
          await tx.chmod('d/f', 0o444);
        },
        { d: directory(0o700), 'd/f': file('f', 0o444), 'd/g': file('g') },
      ));

    test('chmod of a directory goes with changes in it', () =>
      check(
        { 'd/f': 'f', 'd/g': 'g' },
        async (tx) => {
          await tx.chmod('d', 0o500);
          await tx.write('d/f', 'new');
          await tx.remove('d/g');
        },
        { d: directory(0o500), 'd/f': file('new') },
      ));

    test('chmod of what was just written', () =>
      check(
        {},
        async (tx) => {
          await tx.write('d/f', 'f');
          await tx.chmod('d/f', 0o600);
          await tx.chmod('d', 0o711);
        },
        { d: directory(0o711), 'd/f': file('f', 0o600) },
      ));

    test('symlink makes a link and gives one another target', () =>
      check(
        { l: { link: 'a' }, a: 'a' },
        async (tx) => {
          await tx.symlink('l', 'd/e');
          await tx.symlink('d/up', '../a');
          await tx.symlink('dangling', 'nowhere');
        },
        {
          a: file('a'),
          d: directory(),
          'd/up': symlink('../a'),
          dangling: symlink('nowhere'),
          l: symlink('d/e'),
        },
      ));

    test.each([
      ['absolute', '/etc'],
      ['up too far', '../x'],
      ['up and down', 'a/../../x'],
    ])('symlink refuses a target outside of the root: %s', async (_name, target) => {
      const store = await sandbox.open();
      await expectRefused(
        sandbox.root,
        () => store.transact({}, (tx) => tx.symlink('l', target)),
        'PATH_ESCAPES_ROOT',
        { path: 'l' },
      );
    });

    test('symlink does not replace a file or a directory', async () => {
      sandbox.seed({ f: 'f', 'd/x': 'x' });
      const store = await sandbox.open();
      for (const path of ['f', 'd']) {
        await expectRefused(
          sandbox.root,
          () => store.transact({}, (tx) => tx.symlink(path, 'x')),
          'PATH_EXISTS',
          { path },
        );
      }
    });
  });

  describe('several operations on one place', () => {
    test('a file becomes a directory', () =>
      check(
        { a: 'file' },
        async (tx) => {
          await tx.remove('a');
          await tx.write('a/b', 'below');
        },
        { a: directory(), 'a/b': file('below') },
      ));

    test('a directory becomes a file', () =>
      check(
        { 'a/b/c': 'deep', 'a/d': 'd' },
        async (tx) => {
          await tx.remove('a');
          await tx.write('a', 'file');
        },
        { a: file('file') },
      ));

    test('a directory becomes a link, and a link a directory', () =>
      check(
        { 'a/b': 'b', l: { link: 'a' } },
        async (tx) => {
          await tx.remove('a');
          await tx.symlink('a', 'l');
          await tx.remove('l');
          await tx.write('l/x', 'x');
        },
        { a: symlink('l'), l: directory(), 'l/x': file('x') },
      ));

    test('a directory that is made anew shows nothing of the old one', () =>
      check(
        { 'a/old': 'old', 'a/sub/old': 'old' },
        async (tx) => {
          await tx.remove('a');
          await tx.mkdir('a/sub');
          await tx.write('a/new', 'new');
        },
        { a: directory(), 'a/new': file('new'), 'a/sub': directory() },
      ));

    test('what was written in a directory on disk goes with the directory', () =>
      check(
        { 'd/x/y': 'old', 'e/x/y': 'old', 'f/x/y': 'old', 'g/x/y': 'old', '../empty/z': 'z' },
        async (tx) => {
          for (const path of ['d/x/y', 'e/x/y', 'f/x/y', 'g/x/y']) await tx.write(path, 'new');
          await tx.remove('d');
          expect(await tx.stat('d/x/y')).toBeUndefined();
          await tx.mkdir('d/x');
          expect(await tx.stat('d/x/y')).toBeUndefined();
          await tx.copyIn('e', join(sandbox.directory, 'empty'));
          expect(await tx.stat('e/x/y')).toBeUndefined();
          await tx.write('e/x', 'a file now');
          await tx.rename('f', 'f2');
          expect(await tx.stat('f/x/y')).toBeUndefined();
          await tx.mkdir('f/x');
          await tx.rename('f2/x', 'g', { replace: true });
          expect(await tx.stat('g/x/y')).toBeUndefined();
        },
        {
          d: directory(),
          'd/x': directory(),
          e: directory(),
          'e/x': file('a file now'),
          'e/z': file('z'),
          f: directory(),
          'f/x': directory(),
          f2: directory(),
          g: directory(),
          'g/y': file('new'),
        },
      ));

    test('a path below what was just made a file is refused', async () => {
      sandbox.seed({ 'd/x': 'x' });
      const store = await sandbox.open();
      await expectRefused(
        sandbox.root,
        () =>
          store.transact({}, async (tx) => {
            await tx.write('f', 'file');
            await tx.write('f/x', 'below');
          }),
        'PLAN_CONTRADICTS',
        { path: 'f/x' },
      );
    });

    test('everything at once', async () => {
      const source = plantSource(sandbox.directory, { s: 's', 't/u': 'u' });
      await check(
        { a: 'a', b: 'b', 'd/1': '1', 'd/2': '2', 'old/x': 'x', l: { link: 'a' }, m: 'm' },
        async (tx) => {
          await tx.copyIn('in', source);
          await tx.rename('a', 'z');
          await tx.rename('b', 'a');
          await tx.remove('old');
          await tx.chmod('m', 0o600);
          await tx.write('d/1', 'one');
          await tx.mkdir('d/3');
          await tx.symlink('l', 'z');
          await tx.rename('in/t', 'd/t');
          await tx.remove('in/s');
        },
        {
          a: file('b'),
          d: directory(),
          'd/1': file('one'),
          'd/2': file('2'),
          'd/3': directory(),
          'd/t': directory(),
          'd/t/u': file('u'),
          in: directory(),
          l: symlink('z'),
          m: file('m', 0o600),
          z: file('a'),
        },
      );
    });
  });

  describe('reads', () => {
    test("see the transaction's own changes", async () => {
      sandbox.seed({
        f: 'old',
        'd/gone': 'x',
        'd/stays': 'x',
        moved: { content: 'm', mode: 0o600 },
      });
      symlinkSync('f', sandbox.at('l'));
      const store = await sandbox.open();
      await store.transact({}, async (tx) => {
        const text = async (path: string): Promise<string | undefined> => {
          const bytes = await tx.read(path);
          return bytes === undefined ? undefined : Buffer.from(bytes).toString();
        };
        expect(await text('f')).toBe('old');
        expect(await tx.stat('f')).toEqual({ kind: 'file', size: 3, mode: 0o644 });
        await tx.write('f', 'longer', { mode: 0o600 });
        expect(await text('f')).toBe('longer');
        expect(await tx.stat('f')).toEqual({ kind: 'file', size: 6, mode: 0o600 });
        expect(await tx.stat('l')).toEqual({ kind: 'symlink', size: 0, mode: 0, target: 'f' });
        expect(await tx.stat('d')).toEqual({ kind: 'directory', size: 0, mode: 0o755 });
        expect(await tx.stat('nothing/at/all')).toBeUndefined();
        expect(await text('nothing')).toBeUndefined();

        await tx.remove('d/gone');
        await tx.write('d/new/file', 'n');
        await tx.rename('moved', 'd/moved');
        expect(await tx.list('d')).toEqual([
          { name: 'moved', kind: 'file' },
          { name: 'new', kind: 'directory' },
          { name: 'stays', kind: 'file' },
        ]);
        expect(await text('d/moved')).toBe('m');
        expect(await text('d/gone')).toBeUndefined();
        expect(await tx.list()).toEqual(await tx.list('.'));
        expect((await tx.list())?.map(({ name }) => name)).toEqual(['d', 'f', 'l']);
        expect(await tx.list('f')).toBeUndefined();
        expect(await tx.list('nothing')).toBeUndefined();

        await tx.remove('d');
        expect(await tx.list('d')).toBeUndefined();
        expect(await tx.stat('d/stays')).toBeUndefined();
        await tx.mkdir('d');
        expect(await tx.list('d')).toEqual([]);
        expect(await text('d/stays')).toBeUndefined();
      });
      expect(sandbox.tree()).toEqual({ d: directory(), f: file('longer', 0o600), l: symlink('f') });
    });

    test('calls that nobody waited for are done in order before the commit', async () => {
      const store = await sandbox.open();
      await store.transact({}, (tx) => {
        void tx.write('a', '1');
        void tx.rename('a', 'b');
        void tx.write('a', '2');
      });
      expect(sandbox.tree()).toEqual({ a: file('2'), b: file('1') });
    });

    test('a failed call that nobody waited for fails the transaction', async () => {
      const store = await sandbox.open();
      await expectRefused(
        sandbox.root,
        () =>
          store.transact({}, (tx) => {
            void tx.write('a', '1').catch(() => undefined);
            tx.remove('missing').catch(() => undefined);
          }),
        'PATH_NOT_FOUND',
        { path: 'missing' },
      );
    });
  });

  test('a refused write leaves no parents, in a transaction that goes on', () =>
    check(
      {},
      async (tx) => {
        const failing = (async function* () {
          yield 'half';
          throw new Error('cut');
        })();
        await expect(tx.write('made/for/it', failing)).rejects.toThrow('cut');
        await expectError(tx.copyIn('also/made', '/nowhere/at/all'), 'SOURCE_UNREADABLE');
        await tx.write('other', 'x');
      },
      { other: file('x') },
    ));

  test('a throw from the callback comes out as it is, and ends the calls that still run', async () => {
    const store = await sandbox.open();
    const failure = new Error('changed my mind');
    let late: Promise<unknown> | undefined;
    const act = store.transact({}, async (tx) => {
      const slow = (async function* () {
        yield 'a';
        await new Promise((resolve) => setTimeout(resolve, 20));
        yield 'b';
      })();
      late = Promise.allSettled([tx.write('slow', slow), tx.write('d/after', 'x')]);
      await Promise.resolve();
      throw failure;
    });
    await expect(act).rejects.toBe(failure);
    await late;
    expect(sandbox.tree()).toEqual({});
    expect(listOwn(sandbox.root, 'stage')).toEqual([]);
    expect((await store.status()).head).toBe(0);
  });

  test('of calls made together, one that fails leaves nothing of the others', async () => {
    sandbox.seed({ blocked: 'file' });
    const store = await sandbox.open();
    let calls: Promise<void>[] = [];
    const act = store.transact({}, (tx) => {
      calls = ['a', 'blocked/b', 'c', 'd', 'e'].map((path) =>
        tx.write(path, Buffer.alloc(300_000)),
      );
      return Promise.all(calls);
    });
    await expectError(act, 'PATH_NOT_DIRECTORY');
    await Promise.allSettled(calls);
    await store.transact({}, (tx) => tx.write('next', 'x'));
    expect(Object.keys(sandbox.tree())).toEqual(['blocked', 'next']);
    expect((await store.status()).head).toBe(1);
    expect(listOwn(sandbox.root, 'stage').length, 'leftovers').toBe(0);
  });

  test('a dry run tells what would change, and changes nothing', async () => {
    sandbox.seed({ a: 'a', 'd/x': 'x' });
    const store = await sandbox.open();
    const before = sandbox.tree();
    const journal = dumpJournal(sandbox.root);
    const change = async (tx: Transaction): Promise<void> => {
      await tx.write('a', 'new');
      await tx.remove('d');
    };
    const planned = await store.transact({ dryRun: true, message: 'try' }, change);
    expect(planned.transaction).toMatchObject({
      id: null,
      uuid: null,
      state: 'planned',
      message: 'try',
      committedAt: null,
      changeCount: 3,
    });
    expect(sandbox.tree()).toEqual(before);
    expect(dumpJournal(sandbox.root)).toEqual(journal);
    expect(listOwn(sandbox.root, 'stage')).toEqual([]);
    const done = await store.transact({}, change);
    expect(done.transaction?.changes).toEqual(planned.transaction?.changes);
  });

  test('modes of new files and directories come from the options, whatever the umask', async () => {
    const umask = process.umask(0o077);
    try {
      const store = await sandbox.open({ fileMode: 0o664, directoryMode: 0o775 });
      await store.transact({}, (tx) => tx.write('d/f', 'f'));
      expect(sandbox.tree()).toEqual({ d: directory(0o775), 'd/f': file('f', 0o664) });
    } finally {
      process.umask(umask);
    }
  });

  test('the log lists transactions with what was given', async () => {
    const store = await sandbox.open({ now: () => 86_400_000 });
    for (const n of ['1', '2', '3']) {
      await store.transact({ message: `m${n}` }, (tx) => tx.write('f', n));
    }
    const log = await store.log();
    expect(log.map(({ id, message }) => [id, message])).toEqual([
      [3, 'm3'],
      [2, 'm2'],
      [1, 'm1'],
    ]);
    expect(log[0]).toMatchObject({
      state: 'committed',
      committedAt: '1970-01-02T00:00:00.000Z',
      changeCount: 1,
      reason: null,
      annotations: {},
    });
    expect((await store.log({ limit: 1, before: 3 })).map(({ id }) => id)).toEqual([2]);
    expect(await store.log({ before: 1 })).toEqual([]);
    await expectError(store.show(4), 'TRANSACTION_NOT_FOUND');
  });

  test('a plan does what the calls do', async () => {
    const source = plantSource(sandbox.directory, { f: 'from', 'd/x': 'x' });
    sandbox.seed({ gone: 'g', a: 'a', m: 'm' });
    const store = await sandbox.open();
    const before = sandbox.tree();
    const receipt = await store.apply(
      {
        version: 1,
        message: 'planned',
        operations: [
          { op: 'write', path: 'w', content: 'text' },
          { op: 'write', path: 'b64', contentBase64: 'AAE=' },
          { op: 'write', path: 'from', from: 'f', mode: '0600' },
          { op: 'copy', path: 'c', from: 'd' },
          { op: 'remove', path: 'gone' },
          { op: 'rename', from: 'a', to: 'b' },
          { op: 'mkdir', path: 'empty' },
          { op: 'chmod', path: 'm', mode: '0600' },
          { op: 'symlink', path: 'l', target: 'b' },
        ],
      } as never,
      { baseDirectory: source },
    );
    expect(sandbox.tree()).toEqual({
      b: file('a'),
      b64: { kind: 'file', bytes: '\u0000\u0001', mode: '644' },
      c: directory(),
      'c/x': file('x'),
      empty: directory(),
      from: file('from', 0o600),
      l: symlink('b'),
      m: file('m', 0o600),
      w: file('text'),
    });
    expectReceipt(receipt, before, sandbox.tree());
    expect(receipt.transaction?.message).toBe('planned');
  });
});
