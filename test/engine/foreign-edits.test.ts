import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Transaction } from '../../src/engine/index.js';
import { recordCrashes } from '../support/crash.js';
import { names, systemError, watchedFileSystem } from '../support/faults.js';
import { mkfifoSync } from '../support/sources.js';
import {
  expectError,
  modes,
  readQuarantine,
  requireHealthy,
  useSandbox,
} from '../support/store.js';
import { directory, file, readStats, readTree, symlink, type Tree } from '../support/tree.js';
import { testifyOfEachTest, testMachine } from '../support/evidence.js';

describe.each(modes)('native %s', (mode) => {
  testifyOfEachTest({
    fault: 'edit of another program at a chosen moment',
    operation: 'before a recovery',
    on: testMachine,
    native: mode,
  });

  const sandbox = useSandbox(mode);

  interface Killed {
    /** Committed, and nothing applied yet. */
    readonly unapplied: string;
    /** Everything applied, but nobody knows. */
    readonly applied: string;
    readonly before: Tree;
    readonly after: Tree;
  }

  async function kill(change: (tx: Transaction) => unknown): Promise<Killed> {
    const recorder = recordCrashes(mode, sandbox.root, join(sandbox.directory, 'killed'));
    const store = await sandbox.open({ fileSystem: recorder.files });
    await store.transact({}, (tx) => tx.write('first', '1'));
    const before = sandbox.tree();
    recorder.start();
    await store.transact({}, change);
    recorder.stop();
    const after = sandbox.tree();
    await store.close();
    const barrier = recorder.points.findIndex(({ label }) => label.includes('barrier'));
    const afterCommit = recorder.points.slice(barrier + 1);
    return {
      unapplied: afterCommit[0]?.root ?? '',
      applied: afterCommit.findLast(({ label }) => label.includes('writeRecord'))?.root ?? '',
      before,
      after,
    };
  }

  interface Found {
    readonly tree: Tree;
    readonly superseded: readonly { readonly path: string; readonly why: string }[];
    readonly quarantine: readonly { readonly path: string; readonly bytes: string }[];
  }

  /** Opens what is left, twice: the second time finds nothing to do. */
  async function recover(root: string): Promise<Found> {
    const store = await sandbox.openAt(root, { adopt: true });
    const { superseded } = await store.show(2);
    const reported = store.recoveryOnOpen?.superseded.map(({ transaction, path, why }) => {
      expect(transaction).toBe(2);
      return { path, why };
    });
    expect(new Set(reported?.map(({ path }) => path))).toEqual(
      new Set(superseded.map(({ path }) => path)),
    );
    expect((await store.status()).troubled).toEqual([]);
    expect((await store.status()).quarantined).toBe(readQuarantine(root).length);
    await store.close();
    const stats = readStats(root);
    const again = await sandbox.openAt(root);
    expect(again.recoveryOnOpen).toBeUndefined();
    await again.close();
    expect(readStats(root)).toEqual(stats);
    requireHealthy(root);
    const quarantine = readQuarantine(root).map(({ path, bytes }) => ({ path, bytes }));
    return { tree: readTree(root), superseded, quarantine };
  }

  test('without edits, both sides of the kill become the after-state, with nothing superseded', async () => {
    sandbox.seed({ a: 'old a', 'd/x/y': 'y', f: 'f' });
    const killed = await kill(async (tx) => {
      await tx.write('a', 'new a');
      await tx.remove('d');
      await tx.write('d', 'a file now');
      await tx.remove('f');
      await tx.write('f/g', 'a directory now');
    });
    for (const root of [killed.unapplied, killed.applied]) {
      expect(await recover(root)).toEqual({ tree: killed.after, superseded: [], quarantine: [] });
    }
  });

  test('a foreign edit of a replaced file wins', async () => {
    sandbox.seed({ a: 'old a', b: 'old b' });
    const killed = await kill(async (tx) => {
      await tx.write('a', 'new a');
      await tx.write('b', 'new b');
    });
    for (const root of [killed.unapplied, killed.applied]) {
      writeFileSync(join(root, 'a'), 'foreign');
      expect(await recover(root)).toEqual({
        tree: { ...killed.after, a: file('foreign') },
        superseded: [{ path: 'a', why: 'edited' }],
        quarantine: root === killed.unapplied ? [{ path: 'a', bytes: 'new a' }] : [],
      });
    }
  });

  test('a foreign change of mode wins', async () => {
    sandbox.seed({ a: 'old a' });
    const killed = await kill((tx) => tx.write('a', 'new a'));
    for (const root of [killed.unapplied, killed.applied]) {
      chmodSync(join(root, 'a'), 0o600);
      const { tree, superseded, quarantine } = await recover(root);
      const bytes = root === killed.unapplied ? 'old a' : 'new a';
      expect(tree['a']).toEqual(file(bytes, 0o600));
      expect(superseded.map(({ path }) => path)).toEqual(['a']);
      expect(quarantine.map((one) => one.bytes)).toEqual(
        root === killed.unapplied ? ['new a'] : [],
      );
    }
  });

  test('a foreign file where a new one shall be wins', async () => {
    const killed = await kill((tx) => tx.write('new', 'ours'));
    writeFileSync(join(killed.unapplied, 'new'), 'theirs');
    expect(await recover(killed.unapplied)).toEqual({
      tree: { ...killed.before, new: file('theirs') },
      superseded: [{ path: 'new', why: expect.any(String) as string }],
      quarantine: [{ path: 'new', bytes: 'ours' }],
    });
  });

  test('a foreign delete wins', async () => {
    sandbox.seed({ a: 'old a', b: 'old b' });
    const killed = await kill(async (tx) => {
      await tx.write('a', 'new a');
      await tx.write('b', 'new b');
    });
    for (const root of [killed.unapplied, killed.applied]) {
      unlinkSync(join(root, 'a'));
      const { a: _gone, ...rest } = killed.after;
      expect(await recover(root)).toEqual({
        tree: rest,
        superseded: [{ path: 'a', why: 'deleted' }],
        quarantine: root === killed.unapplied ? [{ path: 'a', bytes: 'new a' }] : [],
      });
    }
  });

  test('a foreign edit of a file that shall be removed wins', async () => {
    sandbox.seed({ a: 'old a', b: 'b' });
    const killed = await kill(async (tx) => {
      await tx.remove('a');
      await tx.write('b', 'new b');
    });
    for (const root of [killed.unapplied, killed.applied]) {
      writeFileSync(join(root, 'a'), 'foreign');
      const { tree, superseded, quarantine } = await recover(root);
      expect(tree).toEqual({ ...killed.after, a: file('foreign') });
      expect(superseded.map(({ path }) => path)).toEqual(['a']);
      expect(quarantine).toEqual([]);
    }
  });

  test.each<[string, (at: string) => void, Tree]>([
    [
      'a directory',
      (at) => {
        mkdirSync(at);
        chmodSync(at, 0o755);
        writeFileSync(join(at, 'theirs'), 'theirs');
      },
      { a: directory(), 'a/theirs': file('theirs') },
    ],
    ['a link', (at) => symlinkSync('nowhere', at), { a: symlink('nowhere') }],
    ['a FIFO', (at) => mkfifoSync(at), { a: { kind: 'special' } }],
  ])('%s that took the place of a file stays', async (_name, put, expected) => {
    sandbox.seed({ a: 'old a', b: 'old b' });
    const killed = await kill(async (tx) => {
      await tx.write('a', 'new a');
      await tx.write('b', 'new b');
    });
    for (const root of [killed.unapplied, killed.applied]) {
      unlinkSync(join(root, 'a'));
      put(join(root, 'a'));
      expect(await recover(root)).toEqual({
        tree: { ...killed.after, ...expected },
        superseded: [{ path: 'a', why: 'type changed' }],
        quarantine: root === killed.unapplied ? [{ path: 'a', bytes: 'new a' }] : [],
      });
    }
  });

  test('a link that took the place of a directory leads nothing of ours outside', async () => {
    sandbox.seed({ 'd/x': 'old x', '../outside/x': 'outside' });
    const killed = await kill((tx) => tx.write('d/x', 'new x'));
    for (const root of [killed.unapplied, killed.applied]) {
      renameSync(join(root, 'd'), join(root, 'moved'));
      symlinkSync('../../outside', join(root, 'd'));
      const { tree, superseded } = await recover(root);
      expect(readTree(join(sandbox.directory, 'outside'))).toEqual({ x: file('outside') });
      expect(tree['d']).toEqual(symlink('../../outside'));
      expect(superseded.map(({ path }) => path)).toEqual(['d/x']);
    }
  });

  describe('in a directory', () => {
    const seed = {
      'd/a': 'old a',
      'd/b': 'old b',
      'd/sub/c': 'old c',
    };

    test('that is replaced, an edited file stays and the rest is replaced', async () => {
      sandbox.seed({ ...seed, '../source/a': 'new a', '../source/b': 'new b', '../source/n': 'n' });
      const killed = await kill((tx) => tx.copyIn('d', join(sandbox.directory, 'source')));
      for (const root of [killed.unapplied, killed.applied]) {
        appendFileSync(join(root, 'd/a'), ' foreign');
        const is = root === killed.unapplied ? 'old a foreign' : 'new a foreign';
        expect(await recover(root)).toEqual({
          tree: { ...killed.after, 'd/a': file(is) },
          superseded: [{ path: 'd/a', why: 'edited' }],
          quarantine: root === killed.unapplied ? [{ path: 'd/a', bytes: 'new a' }] : [],
        });
      }
    });

    test('that is replaced, a foreign file stays', async () => {
      sandbox.seed({ ...seed, '../source/a': 'new a' });
      const killed = await kill((tx) => tx.copyIn('d', join(sandbox.directory, 'source')));
      for (const root of [killed.unapplied, killed.applied]) {
        writeFileSync(join(root, 'd/extra'), 'theirs');
        const { tree, quarantine } = await recover(root);
        expect(tree).toEqual({ ...killed.after, 'd/extra': file('theirs') });
        expect(quarantine).toEqual([]);
      }
    });

    test('that is replaced, what no transaction can have stays, and is no hindrance', async () => {
      sandbox.seed({ ...seed, '../source/a': 'new a' });
      const killed = await kill((tx) => tx.copyIn('d', join(sandbox.directory, 'source')));
      const nameless = Buffer.concat([Buffer.from(join(killed.unapplied, 'd/a')), Buffer.of(0xff)]);
      writeFileSync(nameless, 'theirs');
      mkdirSync(join(killed.unapplied, 'd/.skillmeat'));
      const store = await sandbox.openAt(killed.unapplied, { adopt: true });
      expect((await store.status()).troubled).toEqual([]);
      expect(readFileSync(join(killed.unapplied, 'd/a'), 'utf8')).toBe('new a');
      expect(readFileSync(nameless, 'utf8')).toBe('theirs');
      expect(existsSync(join(killed.unapplied, 'd/.skillmeat'))).toBe(true);
      expect(readQuarantine(killed.unapplied)).toEqual([]);
    });

    test('that is replaced, an empty directory stays where something was mounted on it', async () => {
      sandbox.seed({ 'd/a': 'old a', '../source/a': 'new a' });
      mkdirSync(sandbox.at('d/empty'));
      const { unapplied } = await kill((tx) => tx.copyIn('d', join(sandbox.directory, 'source')));
      const fileSystem = watchedFileSystem(mode, (call) => {
        if (call.method === 'removeDirectory' && names(call, 'empty')) throw systemError('EBUSY');
        const isMount = call.method === 'openDirectory' && names(call, 'empty');
        return isMount ? () => 'other-mount' : undefined;
      });
      const store = await sandbox.openAt(unapplied, { adopt: true, fileSystem });
      expect((await store.status()).troubled).toHaveLength(1);
      expect(statSync(join(unapplied, 'd/empty')).isDirectory()).toBe(true);
    });

    test('that is empty and removed, a foreign file keeps it', async () => {
      mkdirSync(sandbox.at('d'));
      const { unapplied } = await kill((tx) => tx.remove('d'));
      writeFileSync(join(unapplied, 'd/theirs'), 'theirs');
      const { tree, quarantine } = await recover(unapplied);
      expect(tree).toMatchObject({ 'd/theirs': file('theirs') });
      expect(quarantine).toEqual([]);
    });

    /** A removal of `d` that was not applied, and a file that somebody made in it since. */
    async function removalWithForeignFile(): Promise<string> {
      sandbox.seed(seed);
      const { unapplied } = await kill((tx) => tx.remove('d'));
      writeFileSync(join(unapplied, 'd/theirs'), 'theirs');
      return unapplied;
    }

    test('that is removed, its files are safe before a directory of them goes', async () => {
      const root = await removalWithForeignFile();
      const calls: string[] = [];
      const fileSystem = watchedFileSystem(mode, (call) => {
        if (call.method === 'moveNew' && names(call, 'c')) calls.push('c moves');
        if (call.method === 'barrier') calls.push('barrier');
        if (call.method === 'removeDirectory' && names(call, 'sub')) calls.push('sub goes');
      });
      await sandbox.openAt(root, { adopt: true, fileSystem });
      const moved = calls.indexOf('c moves');
      expect(calls.slice(moved, moved + 3)).toEqual(['c moves', 'barrier', 'sub goes']);
    });

    test('that is removed, a sync that fails in between ends the recovery; the next one does it', async () => {
      const root = await removalWithForeignFile();
      let [isMoved, hasFailed] = [false, false];
      const fileSystem = watchedFileSystem(mode, (call) => {
        isMoved ||= call.method === 'moveNew' && names(call, 'c');
        if (hasFailed && call.method === 'removeDirectory') throw new Error('after a failed sync');
        if (!isMoved || hasFailed || call.method !== 'barrier') return;
        // A second one would say nothing of it.
        hasFailed = true;
        throw systemError('EIO');
      });
      await expectError(sandbox.openAt(root, { adopt: true, fileSystem }), 'IO_FAILED');
      expect(statSync(join(root, 'd/sub')).isDirectory()).toBe(true);
      const { tree } = await recover(root);
      expect(tree).toMatchObject({ 'd/theirs': file('theirs') });
      expect(tree['d/sub']).toBeUndefined();
    });

    test('that is removed, a foreign file keeps its directories', async () => {
      sandbox.seed({ ...seed, other: 'o' });
      const killed = await kill((tx) => tx.remove('d'));
      writeFileSync(join(killed.unapplied, 'd/sub/extra'), 'theirs');
      const { tree, superseded, quarantine } = await recover(killed.unapplied);
      expect(tree).toEqual({
        ...killed.after,
        d: directory(),
        'd/sub': directory(),
        'd/sub/extra': file('theirs'),
      });
      expect(superseded.map(({ path }) => path).toSorted()).toEqual(['d', 'd/sub']);
      expect(quarantine).toEqual([]);
    });

    test('that is removed, an edited file keeps its directories', async () => {
      sandbox.seed({ ...seed, other: 'o' });
      const killed = await kill((tx) => tx.remove('d'));
      writeFileSync(join(killed.unapplied, 'd/sub/c'), 'theirs');
      const { tree, superseded } = await recover(killed.unapplied);
      expect(tree).toEqual({
        ...killed.after,
        d: directory(),
        'd/sub': directory(),
        'd/sub/c': file('theirs'),
      });
      expect(superseded.map(({ path }) => path).toSorted()).toEqual(['d', 'd/sub', 'd/sub/c']);
    });

    test('that was removed and made again by somebody else, their files stay', async () => {
      sandbox.seed(seed);
      const killed = await kill((tx) => tx.remove('d'));
      mkdirSync(join(killed.applied, 'd'));
      chmodSync(join(killed.applied, 'd'), 0o755);
      writeFileSync(join(killed.applied, 'd/theirs'), 'theirs');
      const { tree } = await recover(killed.applied);
      expect(tree).toEqual({ ...killed.after, d: directory(), 'd/theirs': file('theirs') });
    });

    test('that becomes a file, a foreign file in it stays', async () => {
      sandbox.seed(seed);
      const killed = await kill(async (tx) => {
        await tx.remove('d');
        await tx.write('d', 'file');
      });
      writeFileSync(join(killed.unapplied, 'd/extra'), 'theirs');
      const { tree, superseded, quarantine } = await recover(killed.unapplied);
      expect(tree['d/extra']).toEqual(file('theirs'));
      expect(tree['d']).toEqual(directory());
      expect(superseded.map(({ path }) => path)).toContain('d');
      expect(quarantine).toContainEqual({ path: 'd', bytes: 'file' });
    });

    test('that is made, a foreign directory of that name stays and is filled', async () => {
      const killed = await kill(async (tx) => {
        await tx.write('d/a', 'ours');
        await tx.write('d/b', 'ours');
      });
      mkdirSync(join(killed.unapplied, 'd'));
      chmodSync(join(killed.unapplied, 'd'), 0o755);
      writeFileSync(join(killed.unapplied, 'd/a'), 'theirs');
      writeFileSync(join(killed.unapplied, 'd/c'), 'theirs');
      const { tree, quarantine } = await recover(killed.unapplied);
      expect(tree).toEqual({ ...killed.after, 'd/a': file('theirs'), 'd/c': file('theirs') });
      expect(quarantine).toEqual([{ path: 'd/a', bytes: 'ours' }]);
    });

    test('that was moved away, the move stays', async () => {
      sandbox.seed(seed);
      const killed = await kill((tx) => tx.write('d/a', 'new a'));
      renameSync(join(killed.unapplied, 'd'), join(killed.unapplied, 'elsewhere'));
      const { tree, superseded, quarantine } = await recover(killed.unapplied);
      expect(tree['elsewhere/a']).toEqual(file('old a'));
      expect(tree['d']).toBeUndefined();
      expect(superseded).toEqual([{ path: 'd/a', why: 'deleted' }]);
      expect(quarantine).toEqual([{ path: 'd/a', bytes: 'new a' }]);
    });
  });

  test('a swap with one side edited keeps the edit, and both old contents', async () => {
    sandbox.seed({ a: 'was a', b: 'was b' });
    const killed = await kill(async (tx) => {
      await tx.rename('a', 't');
      await tx.rename('b', 'a');
      await tx.rename('t', 'b');
    });
    writeFileSync(join(killed.unapplied, 'a'), 'foreign');
    const { tree, superseded, quarantine } = await recover(killed.unapplied);
    expect(tree).toEqual({ ...killed.after, a: file('foreign'), b: file('was a') });
    expect(superseded.map(({ path }) => path)).toEqual(['a']);
    expect(quarantine).toEqual([{ path: 'a', bytes: 'was b' }]);
  });

  test('several transactions that wait are recovered to the last one', async () => {
    sandbox.seed({ a: '0', 'd/x': '0' });
    const recorder = recordCrashes(mode, sandbox.root, join(sandbox.directory, 'killed'));
    const store = await sandbox.open({ fileSystem: recorder.files });
    for (const n of ['1', '2', '3']) {
      await store.transact({}, async (tx) => {
        await tx.write('a', n);
        await tx.write(`f${n}`, n);
      });
    }
    recorder.start();
    await store.transact({}, (tx) => tx.write('a', '4'));
    recorder.stop();
    await store.close();
    const point = recorder.points.find(({ label }) => /exchange\([^:]*$/.test(label));
    const root = point?.root ?? '';
    rmSync(join(root, 'f2'));
    writeFileSync(join(root, 'f3'), 'foreign');
    const again = await sandbox.openAt(root, { adopt: true });
    expect(again.recoveryOnOpen?.transactions).toEqual([1, 2, 3, 4]);
    expect(readTree(root)).toEqual({
      ...sandbox.tree(),
      a: file('4'),
      f2: undefined,
      f3: file('foreign'),
    });
    expect((await again.show(2)).superseded).toEqual([{ path: 'f2', why: 'deleted' }]);
    expect((await again.show(3)).superseded).toEqual([{ path: 'f3', why: 'edited' }]);
    expect((await again.show(4)).superseded).toEqual([]);
  });
});
