import {
  chmodSync,
  existsSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Store, Transaction } from '../../src/engine/index.js';
import { openDirectoriesMax } from '../../src/engine/limits.js';
import { Unsynced } from '../../src/engine/unsynced.js';
import { recordCrashes } from '../support/crash.js';
import {
  faultyFileSystem,
  type FileSystemCall,
  names,
  systemError,
  watchedFileSystem,
} from '../support/faults.js';
import {
  changeOwner,
  expectError,
  listOwn,
  modes,
  openDescriptors,
  readOwnerFile,
  readQuarantine,
  setInJournal,
  useSandbox,
} from '../support/store.js';
import { file, readTree } from '../support/tree.js';

/*
 * Branches of the protocol that are taken only when another program, or a call that fails, comes in between at one
 * certain moment (scripts/test-coverage.js asks for each).
 */

/** More than the engine keeps open. */
const manyDirectories = openDirectoriesMax + 10;

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);

  /** Opens the store with `act` called once, right before the first call that `isMoment` from `start()` on. */
  async function openWatched(
    isMoment: (call: FileSystemCall) => boolean,
    act: () => void,
  ): Promise<{
    readonly store: Store;
    readonly start: () => void;
    readonly isDone: () => boolean;
  }> {
    let state: 'waiting' | 'started' | 'done' = 'waiting';
    const fileSystem = watchedFileSystem(mode, (call) => {
      if (state !== 'started' || !isMoment(call)) return;
      state = 'done';
      act();
    });
    const store = await sandbox.open({ fileSystem });
    const start = (): void => {
      state = 'started';
    };
    return { store, start, isDone: () => state === 'done' };
  }

  /** A root whose newest transaction is committed, and not applied. */
  async function unapplied(change: (tx: Transaction) => Promise<unknown>): Promise<string> {
    const recorder = recordCrashes(mode, sandbox.root, join(sandbox.directory, 'killed'));
    const store = await sandbox.open({ fileSystem: recorder.files });
    recorder.start(/^(?:exchange|moveNew|setModeOf)\(/);
    await store.transact({}, change);
    recorder.stop();
    await store.close();
    return recorder.points[0]?.root ?? '';
  }

  function slotsOf(root: string, id: number): readonly string[] {
    const stage = join(root, '.skillmeat/stage');
    return readdirSync(stage)
      .filter((name) => name.startsWith(`${String(id)}-`))
      .map((name) => join(stage, name));
  }

  describe('while a transaction is planned', () => {
    test.each([
      ['goes away', 'DRIFT_DETECTED'],
      ['becomes a link', 'PATH_IS_LINK'],
    ] as const)('a directory that %s is noticed', async (what, code) => {
      sandbox.seed({ 'd/x': 'old', '../outside/x': 'outside' });
      const store = await sandbox.open();
      for (let n = 0; n < manyDirectories; n += 1) mkdirSync(sandbox.at(`e${String(n)}`));
      await expectError(
        store.transact({}, async (tx) => {
          await tx.write('d/x', 'new');
          // So many that those of the way to `d/x` are opened again.
          for (let n = 0; n < manyDirectories; n += 1) await tx.write(`e${String(n)}/x`, 'x');
          renameSync(sandbox.at('d'), join(sandbox.directory, 'moved'));
          if (what === 'becomes a link') symlinkSync('../outside', sandbox.at('d'));
        }),
        code,
      );
      expect(readTree(join(sandbox.directory, 'moved'))).toEqual({ x: file('old') });
      expect(readTree(join(sandbox.directory, 'outside'))).toEqual({ x: file('outside') });
      expect(existsSync(sandbox.at('d/x'))).toBe(what === 'becomes a link');
    });

    test('a file that goes away while it is read is drift', async () => {
      sandbox.seed({ a: 'old' });
      const { store, start, isDone } = await openWatched(
        (call) => call.method === 'openForReading' && names(call, 'a'),
        () => {
          unlinkSync(sandbox.at('a'));
        },
      );
      await expectError(
        store.transact({}, async (tx) => {
          await tx.read('a');
          start();
          await tx.write('a', 'new');
        }),
        'DRIFT_DETECTED',
      );
      expect(isDone()).toBe(true);
      expect(sandbox.tree()).toEqual({});
    });

    test('a file that becomes a directory while it is read is nobody’s to replace', async () => {
      sandbox.seed({ a: 'old' });
      const { store, start, isDone } = await openWatched(
        (call) => call.method === 'openForReading' && names(call, 'a'),
        () => {
          unlinkSync(sandbox.at('a'));
          mkdirSync(sandbox.at('a'));
          writeFileSync(sandbox.at('a/theirs'), 'theirs');
        },
      );
      await expect(
        store.transact({}, async (tx) => {
          await tx.write('a', 'new');
          start();
        }),
      ).rejects.toThrow(/"a"/);
      expect(isDone()).toBe(true);
      expect(sandbox.tree()['a/theirs']).toEqual(file('theirs'));
    });

    test('a directory that goes away while it is listed is noticed', async () => {
      sandbox.seed({ 'd/x': 'old' });
      const { store, start, isDone } = await openWatched(
        (call) => call.method === 'openDirectory' && names(call, 'd'),
        () => {
          renameSync(sandbox.at('d'), join(sandbox.directory, 'moved'));
        },
      );
      await expectError(
        store.transact({}, async (tx) => {
          await tx.remove('d');
          start();
        }),
        'DRIFT_DETECTED',
      );
      expect(isDone()).toBe(true);
      expect(readTree(join(sandbox.directory, 'moved'))).toEqual({ x: file('old') });
    });

    test('a directory with a store in it is not taken along', async () => {
      sandbox.seed({ 'd/x': 'old' });
      const store = await sandbox.open();
      await expectError(
        store.transact({}, async (tx) => {
          await tx.remove('d');
          mkdirSync(sandbox.at('d/.skillmeat'));
        }),
        'PATH_IN_ENGINE_DIRECTORY',
      );
      expect(sandbox.tree()['d/x']).toEqual(file('old'));
    });
  });

  describe('while a transaction is arranged', () => {
    /** Renames `a` to `b`; between plan and arranging, `edit` is done. */
    async function editBeforeArranging(edit: () => void): Promise<void> {
      const rule = (): readonly [] => {
        edit();
        return [];
      };
      const store = await sandbox.open({ rules: [rule] });
      await expectError(
        store.transact({}, (tx) => tx.rename('d/a', 'b')),
        'DRIFT_DETECTED',
      );
    }

    test('the directory of what keeps its owner may go', async () => {
      sandbox.seed({ 'd/a': 'old' });
      await editBeforeArranging(() => {
        renameSync(sandbox.at('d'), join(sandbox.directory, 'moved'));
      });
      expect(sandbox.tree()).toEqual({});
      expect(readTree(join(sandbox.directory, 'moved'))).toEqual({ a: file('old') });
    });

    test('what keeps its owner may become something else', async () => {
      sandbox.seed({ 'd/a': 'old' });
      await editBeforeArranging(() => {
        unlinkSync(sandbox.at('d/a'));
        symlinkSync('x', sandbox.at('d/a'));
      });
      expect(sandbox.tree()['b']).toBeUndefined();
      expect(sandbox.tree()['d/a']).toMatchObject({ target: 'x' });
    });

    /** Takes this process for one of another user, to whom setting an owner ends as `outcome` says. */
    async function asAnother(
      outcome: 'done' | 'EPERM' | 'EIO',
      change: (tx: Transaction) => Promise<unknown>,
    ): Promise<readonly string[]> {
      const given: string[] = [];
      let isAnother = false;
      const fileSystem = watchedFileSystem(mode, (call, real) => {
        if (!isAnother) return undefined;
        if (call.method === 'processOwner') return () => ({ owner: 54_321, group: 54_321 });
        if (call.method !== 'setOwner') return undefined;
        if (outcome !== 'done') throw systemError(outcome);
        const [, owner, group] = call.values;
        const ours = real.processOwner();
        expect({ owner, group }).not.toEqual({ owner: 54_321, group: 54_321 });
        given.push(group === ours?.group ? 'of what is there' : String(group));
        return () => undefined;
      });
      const store = await sandbox.open({ fileSystem });
      isAnother = true;
      await store.transact({}, change);
      return given;
    }

    test('what replaces a file of somebody else becomes his', async () => {
      sandbox.seed({ a: { content: 'old', mode: 0o600 } });
      const given = await asAnother('done', (tx) => tx.write('a', 'new'));
      expect(given).toEqual(['of what is there']);
      expect(sandbox.tree()).toEqual({ a: file('new', 0o600) });
    });

    test('a link in a directory that gives its group gets it', async () => {
      chmodSync(sandbox.root, 0o2755);
      const given = await asAnother('done', (tx) => tx.symlink('a', 'target'));
      expect(given).toEqual(['of what is there']);
      expect(sandbox.tree()).toMatchObject({ a: { target: 'target' } });
    });

    test.each([
      ['EPERM', 'METADATA_NOT_KEPT'],
      ['EIO', 'IO_FAILED'],
    ] as const)('an owner that cannot be kept (%s) is refused', async (failure, code) => {
      sandbox.seed({ a: 'old' });
      await expectError(
        asAnother(failure, (tx) => tx.write('a', 'new')),
        code,
      );
      expect(sandbox.tree()).toEqual({ a: file('old') });
      expect(listOwn(sandbox.root, 'stage')).toEqual([]);
    });

    test('an attribute that cannot be kept is refused', async () => {
      sandbox.seed({ a: 'old' });
      const fileSystem = watchedFileSystem(mode, ({ method, values }) => {
        if (method !== 'keepExtendedAttributes') return undefined;
        const [pair] = values[0] as readonly unknown[];
        return () => (pair === undefined ? [] : [{ pair, lost: 'user.kept' }]);
      });
      const store = await sandbox.open({ fileSystem });
      await expectError(
        store.transact({}, (tx) => tx.write('a', 'new')),
        'METADATA_NOT_KEPT',
        { message: /user\.kept/ },
      );
      expect(sandbox.tree()).toEqual({ a: file('old') });
    });

    test.each(['makeLink', 'removeFile'] as const)(
      'a mistake of ours in %s is told as it is',
      async (method) => {
        const fileSystem = watchedFileSystem(mode, (call) => {
          if (call.method === method) throw new Error('bug: simulated');
        });
        const store = await sandbox.open({ fileSystem });
        const change = store.transact({ dryRun: true }, async (tx) => {
          await tx.symlink('a', 'target');
          await tx.write('b', 'b');
        });
        await expect(change).rejects.toThrow('bug: simulated');
        await store.close();
        await sandbox.open();
        await (await sandbox.open()).transact({}, (tx) => tx.write('b', 'b'));
        expect(sandbox.tree()).toEqual({ b: file('b') });
      },
    );

    test('a dry run leaves nothing of a directory that nobody may write in', async () => {
      sandbox.seed({ '../source/x': 'x', '../source': { directory: 0o555 } });
      const store = await sandbox.open();
      await store.transact({ dryRun: true }, (tx) =>
        tx.copyIn('d', join(sandbox.directory, 'source')),
      );
      expect(listOwn(sandbox.root, 'stage')).toEqual([]);
      expect(sandbox.tree()).toEqual({});
    });

    test('where files have no owners, nobody is asked for one', async () => {
      sandbox.seed({ a: 'old' });
      const calls: string[] = [];
      const fileSystem = watchedFileSystem(mode, ({ method }) => {
        calls.push(method);
        return method === 'processOwner' ? () => undefined : undefined;
      });
      const store = await sandbox.open({ fileSystem });
      await store.transact({}, async (tx) => {
        await tx.write('a', 'new');
        await tx.write('d/b', 'b');
      });
      expect(sandbox.tree()).toMatchObject({ a: file('new'), 'd/b': file('b') });
      expect(calls).toContain('processOwner');
      expect(calls).not.toContain('setOwner');
    });
  });

  describe('while a transaction is applied', () => {
    test('another link of the same size and time is noticed', async () => {
      const plant = (target: string): void => {
        symlinkSync(target, sandbox.at('a'));
        lutimesSync(sandbox.at('a'), 1_000_000_000, 1_000_000_000);
      };
      plant('old');
      const { store, start, isDone } = await openWatched(
        ({ method }) => method === 'exchange',
        () => {
          // The old one stays: its inode must not come back with the new one.
          renameSync(sandbox.at('a'), join(sandbox.directory, 'old'));
          plant('odd');
        },
      );
      start();
      await expectError(
        store.transact({}, (tx) => tx.symlink('a', 'new')),
        'DRIFT_DETECTED',
      );
      expect(isDone()).toBe(true);
      expect(sandbox.tree()['a']).toMatchObject({ target: 'odd' });
    });

    test('a link that became a file is noticed', async () => {
      symlinkSync('old', sandbox.at('a'));
      const { store, start } = await openWatched(
        ({ method }) => method === 'exchange',
        () => {
          unlinkSync(sandbox.at('a'));
          writeFileSync(sandbox.at('a'), 'theirs');
        },
      );
      start();
      await expectError(
        store.transact({}, (tx) => tx.symlink('a', 'new')),
        'DRIFT_DETECTED',
      );
      expect(sandbox.tree()).toEqual({ a: file('theirs') });
    });

    test('what is no failure of a file stops the store, and the next opening finishes', async () => {
      let phase: 'idle' | 'staging' | 'applying' = 'idle';
      let closed = 0;
      const fileSystem = watchedFileSystem(mode, ({ method }) => {
        if (phase === 'staging' && method === 'barrier') phase = 'applying';
        // The first of the directories that are too many cannot be closed.
        if (phase !== 'applying' || method !== 'closeDirectory' || closed > 0) return;
        closed += 1;
        throw new Error('bug: simulated');
      });
      const store = await sandbox.open({ fileSystem });
      await store.transact({}, (tx) => tx.write('first', '1'));
      for (let n = 0; n < manyDirectories; n += 1) mkdirSync(sandbox.at(`d${String(n)}`));
      phase = 'staging';
      const change = store.transact({}, async (tx) => {
        for (let n = 0; n < manyDirectories; n += 1) await tx.write(`d${String(n)}/x`, 'x');
      });
      await expectError(change, 'BLOCKED', { message: /half applied/ });
      expect(closed).toBe(1);
      await expectError(
        store.transact({}, (tx) => tx.write('b', 'b')),
        'STORE_POISONED',
      );
      await store.close();
      await sandbox.open();
      const written = Object.keys(sandbox.tree()).filter((path) => path.endsWith('/x'));
      expect(written).toHaveLength(manyDirectories);
    });

    test('a disk that fails and cannot tell who writes does not keep it from being undone', async () => {
      sandbox.seed({ a: 'old a', b: 'old b' });
      const before = sandbox.tree();
      let left = 0;
      const fileSystem = watchedFileSystem(mode, (call) => {
        if (call.method === 'exchange' && names(call, 'b') && left === 2) {
          left = 1;
          throw systemError('EACCES');
        }
        // The next look at the store is that for the fence.
        if (call.method === 'stat' && names(call, 'lock') && left === 1) {
          left = 0;
          throw systemError('EIO');
        }
      });
      const store = await sandbox.open({ fileSystem });
      left = 2;
      await expectError(
        store.transact({}, async (tx) => {
          await tx.write('a', 'new a');
          await tx.write('b', 'new b');
        }),
        'PERMISSION_DENIED',
      );
      expect(left).toBe(0);
      expect(sandbox.tree()).toEqual(before);
      expect((await store.show(1)).state).toBe('rolled-back');
    });
  });

  test('a belief that does not hold after the flush stops the store, and the next opening finishes', async () => {
    sandbox.seed({ a: 'old' });
    let phase: 'idle' | 'staging' | 'flushed' = 'idle';
    const fileSystem = watchedFileSystem(mode, ({ method }) => {
      if (phase === 'staging' && method === 'barrier') phase = 'flushed';
      if (phase === 'flushed' && method === 'writeRecord') throw new Error('bug: simulated');
    });
    const store = await sandbox.open({ fileSystem });
    await store.transact({}, (tx) => tx.write('first', '1'));
    phase = 'staging';
    await expect(store.transact({}, (tx) => tx.write('a', 'new'))).rejects.toThrow(
      'bug: simulated',
    );
    await expectError(
      store.transact({}, (tx) => tx.write('b', 'b')),
      'STORE_POISONED',
    );
    await store.close();
    await sandbox.open();
    expect(sandbox.tree()).toMatchObject({ a: file('new') });
  });

  test('a disk that cannot say whether the store is still there does not hide what failed', async () => {
    const faulty = faultyFileSystem(mode);
    const store = await sandbox.open({ fileSystem: faulty.files });
    faulty.fail('EIO', ({ method }) => method === 'createFile' || method === 'stat');
    const error = await expectError(
      store.transact({}, (tx) => tx.write('a', 'a')),
      'IO_FAILED',
    );
    expect(error.message).toContain('EIO');
    faulty.heal();
    await store.transact({}, (tx) => tx.write('a', 'a'));
  });

  test('a store whose lock file may not be written is looked at all the same', async () => {
    sandbox.seed({ a: 'a' });
    await (await sandbox.open()).close();
    const faulty = faultyFileSystem(mode);
    // Something to find: only then does anybody want the lock.
    writeFileSync(join(sandbox.root, '.skillmeat/quarantine/odd'), 'odd');
    const store = await sandbox.open({ fileSystem: faulty.files, recover: 'never' });
    faulty.fail('EROFS', (call) => call.method === 'openRecord' && names(call, 'lock'));
    const findings = [];
    for await (const finding of store.verify()) findings.push(finding);
    expect(findings).toHaveLength(1);
    expect(faulty.failures).toBeGreaterThan(0);
    faulty.heal();
  });

  test('a dry run whose contents cannot be removed leaves them to the next sweep', async () => {
    const faulty = faultyFileSystem(mode);
    const store = await sandbox.open({ fileSystem: faulty.files });
    faulty.fail('EIO', ({ method }) => method === 'removeFile');
    await store.transact({ dryRun: true }, (tx) => tx.write('a', 'a'));
    expect(listOwn(sandbox.root, 'stage')).toHaveLength(1);
    faulty.heal();
    await store.transact({}, (tx) => tx.write('b', 'b'));
    expect(listOwn(sandbox.root, 'stage')).toEqual([]);
  });

  test('of two that open what a dead writer left, the second finds it in good order', async () => {
    sandbox.seed({ a: 'old' });
    const root = await unapplied((tx) => tx.write('a', 'new'));
    const options = { adopt: true } as const;
    const stores = await Promise.all([
      sandbox.openAt(root, options),
      sandbox.openAt(root, options),
    ]);
    for (const store of stores) expect((await store.show(1)).state).toBe('settled');
    expect(readTree(root)).toEqual({ a: file('new') });
  });

  test.each(['blocked', 'damaged'] as const)(
    'a transaction that is %s without a reason keeps its paths',
    async (trouble) => {
      const store = await sandbox.open();
      await store.transact({}, (tx) => tx.write('a', 'a'));
      await store.close();
      setInJournal(sandbox.root, { states: [{ id: 1, state: 'committed', trouble }] });
      const again = await sandbox.open({ recover: 'never' });
      await expectError(
        again.transact({}, (tx) => tx.write('a', 'b')),
        trouble === 'blocked' ? 'BLOCKED' : 'DAMAGED',
        { message: /the journal does not say why/ },
      );
      await again.close();
      sandbox.breaksStore();
    },
  );

  describe('while a dead writer’s transaction is recovered', () => {
    test('a log that cannot be written anew is told, and nothing else is done', async () => {
      sandbox.seed({ a: 'old' });
      const root = await unapplied((tx) => tx.write('a', 'new'));
      const faulty = faultyFileSystem(mode);
      faulty.fail('EIO', ({ method }) => method === 'writeAnew');
      const given = { adopt: true, fileSystem: faulty.files };
      await expectError(sandbox.openAt(root, given), 'IO_FAILED');
      expect(readTree(root)).toEqual({ a: file('old') });
      faulty.heal();
      await sandbox.openAt(root, { adopt: true });
      expect(readTree(root)).toEqual({ a: file('new') });
    });

    test('a new file whose directory went away is set aside', async () => {
      sandbox.seed({ 'd/old': 'old' });
      const root = await unapplied((tx) => tx.write('d/new', 'new'));
      rmSync(join(root, 'd'), { recursive: true });
      const store = await sandbox.openAt(root, { adopt: true });
      expect((await store.show(1)).superseded).toMatchObject([{ path: 'd/new' }]);
      expect(readTree(root)).toEqual({});
      expect(readQuarantine(root)).toMatchObject([{ path: 'd/new', bytes: 'new' }]);
    });

    test('a directory that lost a file in its slot is not switched as a whole', async () => {
      sandbox.seed({ 'd/same': 'same', 'd/x': 'old', '../source/same': 'same' });
      sandbox.seed({ '../source/x': 'new' });
      const root = await unapplied((tx) => tx.copyIn('d', join(sandbox.directory, 'source')));
      const [slot = ''] = slotsOf(root, 1);
      unlinkSync(join(slot, 'same'));
      const store = await sandbox.openAt(root, { adopt: true });
      expect((await store.status()).troubled).toEqual([]);
      expect(readTree(root)).toMatchObject({ 'd/same': file('same'), 'd/x': file('new') });
    });

    test('a file that goes away right before it gets its mode stays away', async () => {
      sandbox.seed({ a: 'old' });
      const root = await unapplied((tx) => tx.chmod('a', 0o600));
      let looks = 0;
      const fileSystem = watchedFileSystem(mode, (call) => {
        if (call.method !== 'stat' || !names(call, 'a')) return;
        looks += 1;
        if (looks === 2) unlinkSync(join(root, 'a'));
      });
      const store = await sandbox.openAt(root, { adopt: true, fileSystem });
      expect(looks).toBeGreaterThan(1);
      expect((await store.show(1)).superseded).toMatchObject([{ path: 'a' }]);
      expect(readTree(root)).toEqual({});
    });

    test('a directory that cannot be removed now is removed by the next recovery', async () => {
      sandbox.seed({ 'd/x': 'old' });
      const root = await unapplied((tx) => tx.remove('d'));
      // Keeps the directory from being moved as a whole.
      writeFileSync(join(root, 'd/theirs'), 'theirs');
      const faulty = faultyFileSystem(mode);
      faulty.fail('EBUSY', (call) => {
        if (call.method !== 'removeDirectory' || !names(call, 'd')) return false;
        rmSync(join(root, 'd/theirs'), { force: true });
        return true;
      });
      const options = { adopt: true, fileSystem: faulty.files } as const;
      const store = await sandbox.openAt(root, options);
      expect((await store.show(1)).state).toBe('blocked');
      expect(faulty.failures).toBeGreaterThan(0);
      faulty.heal();
      await store.recover();
      expect((await store.show(1)).state).toBe('settled');
      expect(readTree(root)).toEqual({});
    });

    test('a path that cannot be read has nothing to do with another that was edited', async () => {
      sandbox.seed({ 'd/x': 'old', z: 'old z' });
      const root = await unapplied(async (tx) => {
        await tx.remove('d');
        await tx.write('z', 'new z');
      });
      writeFileSync(join(root, 'd/theirs'), 'theirs');
      const faulty = faultyFileSystem(mode);
      faulty.fail('EIO', (call) => call.method === 'openForReading' && names(call, 'z'));
      const store = await sandbox.openAt(root, { adopt: true, fileSystem: faulty.files });
      expect((await store.status()).troubled).toHaveLength(1);
      expect(readTree(root)).toMatchObject({ 'd/theirs': file('theirs'), z: file('old z') });
      faulty.heal();
      await store.recover();
      expect((await store.show(1)).state).toBe('settled');
      expect(readTree(root)).toMatchObject({ 'd/theirs': file('theirs'), z: file('new z') });
    });

    test('a belief that does not hold is told, and settles nothing', async () => {
      sandbox.seed({ a: 'old' });
      const root = await unapplied((tx) => tx.write('a', 'new'));
      const fileSystem = watchedFileSystem(mode, (call) => {
        if (call.method === 'exchange' && names(call, 'a')) throw new Error('bug: simulated');
      });
      await expect(sandbox.openAt(root, { adopt: true, fileSystem })).rejects.toThrow(
        'bug: simulated',
      );
      expect(readTree(root)).toEqual({ a: file('old') });
      await sandbox.openAt(root, { adopt: true });
      expect(readTree(root)).toEqual({ a: file('new') });
    });

    /** A root as it is when the newest record is written, not flushed, and the content of `a` is lost. */
    async function neverFlushed(): Promise<string> {
      sandbox.seed({ a: 'old a', b: 'old b' });
      // Only the native part writes a record before its contents are flushed; either may recover it.
      const recorder = recordCrashes('auto', sandbox.root, join(sandbox.directory, 'killed'));
      const dead = await sandbox.open({ fileSystem: recorder.files });
      await dead.transact({}, (tx) => tx.write('first', '1'));
      recorder.start(/^(?:exchange|moveNew|writeRecord)\(/);
      await dead.transact({}, async (tx) => {
        await tx.write('a', 'new a');
        await tx.write('b', 'new b');
        await tx.write('made/deep', 'deep');
      });
      recorder.stop();
      await dead.close();
      const { points } = recorder;
      const rename = points.findIndex(({ label }) => /(?:exchange|moveNew)\([^:]*$/.test(label));
      const named = points.slice(0, rename).findLastIndex(({ label }) => /writeRecord/.test(label));
      const root = points[named]?.root ?? '';
      const [lost = ''] = slotsOf(root, 2).toSorted();
      truncateSync(lost, 0);
      return root;
    }

    test('a transaction of which a path cannot be read is not judged to be never flushed', async () => {
      const root = await neverFlushed();
      const faulty = faultyFileSystem(mode);
      faulty.fail('EIO', (call) => call.method === 'openForReading' && names(call, 'b'));
      const store = await sandbox.openAt(root, { adopt: true, fileSystem: faulty.files });
      expect((await store.show(2)).state).toBe('damaged');
      expect(readTree(root)).toMatchObject({ a: file('old a'), b: file('old b') });
      expect(slotsOf(root, 2)).toHaveLength(3);
      faulty.heal();
      await store.close();
      sandbox.breaksStore();
    });

    test('a mistake of ours while a transaction is left out is told, and the next opening ends it', async () => {
      const root = await neverFlushed();
      const fileSystem = watchedFileSystem(mode, ({ method }) => {
        if (method === 'removeDirectory') throw new Error('bug: simulated');
      });
      await expect(sandbox.openAt(root, { adopt: true, fileSystem })).rejects.toThrow(
        'bug: simulated',
      );
      const store = await sandbox.openAt(root, { adopt: true });
      expect((await store.show(2)).state).toBe('rolled-back');
      expect(readTree(root)).toEqual({ a: file('old a'), b: file('old b'), first: file('1') });
    });

    test('an undo whose displaced file is lost is damage, and what is there stays', async () => {
      sandbox.seed({ a: 'old' });
      const dead = await sandbox.open();
      await dead.transact({}, (tx) => tx.write('a', 'new'));
      await dead.close();
      setInJournal(sandbox.root, { states: [{ id: 1, state: 'undoing', reason: 'it failed' }] });
      changeOwner(sandbox.root, { isReleased: false });
      for (const slot of slotsOf(sandbox.root, 1)) unlinkSync(slot);
      const store = await sandbox.open();
      expect((await store.show(1)).state).toBe('damaged');
      expect(sandbox.tree()).toEqual({ a: file('new') });
      await store.close();
      sandbox.breaksStore();
    });

    test('what cannot be swept by hand is swept by the next writer', async () => {
      const faulty = faultyFileSystem(mode);
      const store = await sandbox.open({ fileSystem: faulty.files });
      await store.transact({}, (tx) => tx.write('a', 'a'));
      writeFileSync(join(sandbox.root, '.skillmeat/stage/2-00000000.1'), 'left by a dead writer');
      faulty.fail('EIO', ({ method }) => method === 'removeFile');
      await store.recover();
      expect(faulty.failures).toBeGreaterThan(0);
      faulty.heal();
      await store.transact({}, (tx) => tx.write('b', 'b'));
      expect(listOwn(sandbox.root, 'stage').filter((name) => name.startsWith('2-0'))).toEqual([]);
    });

    test('a journal that was written to less often than its owner knows is damaged', async () => {
      const dead = await sandbox.open();
      await dead.transact({}, (tx) => tx.write('a', 'a'));
      await dead.close();
      const mark = readOwnerFile(sandbox.root)?.mark;
      if (mark === undefined) throw new Error('the store has an owner record');
      changeOwner(sandbox.root, { mark: { ...mark, writes: mark.writes + 1 } });
      await expectError(sandbox.open(), 'JOURNAL_DAMAGED', { message: /written to/ });
      sandbox.breaksStore();
    });

    async function killBesideDone(): Promise<string> {
      sandbox.seed({ a: 'old a', b: 'old b' });
      const recorder = recordCrashes(mode, sandbox.root, join(sandbox.directory, 'killed'));
      const dead = await sandbox.open({ fileSystem: recorder.files });
      await dead.transact({}, (tx) => tx.write('a', 'new a'));
      recorder.start(/^exchange\(/);
      await dead.transact({}, (tx) => tx.write('b', 'new b'));
      recorder.stop();
      await dead.close();
      const isSwitch = /exchange\([^:]*$/;
      const root = recorder.points.find(({ label }) => isSwitch.test(label))?.root ?? '';
      // The power took the content of the second.
      for (const slot of slotsOf(root, 2)) truncateSync(slot, 0);
      return root;
    }

    test('what waits for a damaged transaction is blocked, and nothing is touched', async () => {
      const root = await killBesideDone();
      // It took the rename of the first, too.
      const [first = ''] = slotsOf(root, 1);
      renameSync(join(root, 'a'), join(root, 'new'));
      renameSync(first, join(root, 'a'));
      renameSync(join(root, 'new'), first);
      const store = await sandbox.openAt(root, { adopt: true });
      const states = (await store.log()).map(({ state }) => state);
      expect(states).toEqual(['damaged', 'blocked']);
      expect(readTree(root)).toEqual({ a: file('old a'), b: file('old b') });
      await store.close();
      sandbox.breaksStore();
    });

    test('what cannot be looked at beside a damaged transaction is not taken for done', async () => {
      const root = await killBesideDone();
      const faulty = faultyFileSystem(mode);
      faulty.fail('EACCES', (call) => call.method === 'openForReading' && names(call, 'a'));
      const store = await sandbox.openAt(root, { adopt: true, fileSystem: faulty.files });
      const log = await store.log();
      expect(log.map(({ state }) => state)).toEqual(['damaged', 'blocked']);
      expect(log[1]?.reason).toContain('EACCES');
      await store.close();
      sandbox.breaksStore();
    });
  });
});

test('a sync of everything by another program tells how it ended', () => {
  const directory = mkdtempSync(join(tmpdir(), 'skillmeat-sync-'));
  const unsynced = new Unsynced();
  unsynced.needsWholeSync = true;
  try {
    unsynced.addFile(openSync(join(directory, 'a'), 'w'));
    unsynced.sync();
    unsynced.throwFailure();
    expect(openDescriptors(directory)).toEqual([]);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

/** Only plain Node has a moment between the two halves of an exchange. */
describe('native off only', () => {
  const sandbox = useSandbox('off');

  test('a file that takes the place of one that is being replaced keeps it, and the old one is kept', async () => {
    sandbox.seed({ a: 'old' });
    const recorder = recordCrashes('off', sandbox.root, join(sandbox.directory, 'killed'));
    const dead = await sandbox.open({ fileSystem: recorder.files });
    recorder.start(/^exchange\(/);
    await dead.transact({}, (tx) => tx.write('a', 'new'));
    recorder.stop();
    await dead.close();
    const root = recorder.points.find(({ label }) => label.endsWith(': displaced'))?.root ?? '';
    writeFileSync(join(root, 'a'), 'theirs');
    const store = await sandbox.openAt(root, { adopt: true });
    expect((await store.status()).troubled).toEqual([]);
    expect(readTree(root)).toEqual({ a: file('theirs') });
    const kept = readQuarantine(root).map(({ bytes }) => bytes);
    expect(kept.toSorted()).toEqual(['new', 'old']);
  });
});
