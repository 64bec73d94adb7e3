import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  type EngineErrorCode,
  isEngineError,
  type OpenStoreOptions,
  type Store,
  type Transaction,
} from '../../src/engine/index.js';
import {
  faultyFileSystem,
  type FaultyFileSystem,
  type FileSystemCall,
  type FileSystemMethod,
  names,
} from '../support/faults.js';
import { recordCrashes } from '../support/crash.js';
import { argumentsFor } from '../support/programs.js';
import { plantSource } from '../support/sources.js';
import {
  changeJournal,
  changeOwner,
  dumpJournal,
  expectError,
  expectRefused,
  listOwn,
  modes,
  readOwnerFile,
  readQuarantine,
  useSandbox,
} from '../support/store.js';
import { file, readTree } from '../support/tree.js';
import { sampled } from '../support/extent.js';

const meanings: readonly (readonly [string, EngineErrorCode])[] = [
  ['ENOSPC', 'DISK_FULL'],
  ['EDQUOT', 'QUOTA_EXCEEDED'],
  ['EROFS', 'READ_ONLY'],
  ['EMFILE', 'TOO_MANY_OPEN_FILES'],
  ['ENFILE', 'TOO_MANY_OPEN_FILES'],
  ['EIO', 'IO_FAILED'],
  ['EBUSY', 'PATH_BUSY'],
  ['EACCES', 'PERMISSION_DENIED'],
  ['EPERM', 'PERMISSION_DENIED'],
  ['EFBIG', 'LIMIT_EXCEEDED'],
];

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);

  async function openFaulty(options: OpenStoreOptions = {}): Promise<[Store, FaultyFileSystem]> {
    const faulty = faultyFileSystem(mode);
    return [await sandbox.open({ fileSystem: faulty.files, ...options }), faulty];
  }

  /** Something of every kind. */
  async function change(tx: Transaction): Promise<void> {
    await tx.write('a', 'new a');
    await tx.copyIn('tree', join(sandbox.directory, 'copied'));
    await tx.write('made/x', 'x');
    await tx.remove('gone');
    await tx.chmod('mode', 0o600);
    await tx.symlink('link', 'a');
    await tx.rename('m1', 'm2');
  }

  function seedAll(): void {
    sandbox.seed({
      a: 'old a',
      'tree/x': 'old x',
      'tree/y/z': 'old z',
      gone: 'gone',
      mode: 'mode',
      m1: 'm1',
      z: 'z',
      '../copied/x': 'new x',
      '../copied/new/n': 'n',
    });
  }

  test.each(meanings)('%s while staging is %s, and nothing has happened', async (errno, code) => {
    seedAll();
    const [store, faulty] = await openFaulty();
    const staging: readonly FileSystemMethod[] = [
      'createFile',
      'writeSync',
      'makeLink',
      'makeDirectory',
      'moveOwn',
    ];
    for (const method of staging) {
      faulty.fail(errno, (call) => call.method === method);
      await expectRefused(sandbox.root, () => store.transact({}, change), code);
      expect(faulty.failures, method).toBeGreaterThan(0);
      faulty.heal();
    }
    // The same store goes on as if nothing had been.
    await store.transact({}, change);
    expect(sandbox.tree()['a']).toEqual(file('new a'));
  });

  test('a failure at any call before the commit leaves nothing behind', async () => {
    seedAll();
    const [store, faulty] = await openFaulty();
    const changing: readonly FileSystemMethod[] = [
      'createFile',
      'writeSync',
      'makeLink',
      'makeDirectory',
      'moveOwn',
      'setMode',
      'setOwner',
      'openForReading',
      'readSync',
      'list',
      'openDirectory',
      'stat',
      'readLink',
      'statDirectory',
    ];
    const raw = new Set<string>();
    let isReached = true;
    for (let n = 1; isReached; n += 1) {
      let calls = 0;
      let isCommitted = false;
      let failed = '';
      faulty.fail('EIO', ({ method }) => {
        // From the barrier on it is the commit's business.
        isCommitted ||= method === 'barrier';
        if (isCommitted || !changing.includes(method)) return false;
        calls += 1;
        if (calls === n) failed = method;
        return calls === n;
      });
      const before = [sandbox.tree(), dumpJournal(sandbox.root)];
      const act = store.transact({ dryRun: true }, change);
      await act.catch((error: unknown) => {
        const isOurs = isEngineError(error, 'IO_FAILED', 'SOURCE_UNREADABLE');
        if (!isOurs) raw.add(`${failed}: ${String(error)}`);
      });
      isReached = faulty.failures > 0;
      faulty.heal();
      expect([sandbox.tree(), dumpJournal(sandbox.root)], `call ${String(n)}`).toEqual(before);
      expect(listOwn(sandbox.root, 'stage'), `call ${String(n)}`).toEqual([]);
    }
    expect([...raw], 'errors that came out as they were').toEqual([]);
    await store.transact({}, change);
  });

  test.each(meanings)('%s while applying is %s, and all of it is undone', async (errno, code) => {
    seedAll();
    const [store, faulty] = await openFaulty();
    await store.transact({}, (tx) => tx.write('first', '1'));
    const before = sandbox.tree();
    let id = 1;
    for (const path of sampled(['a', 'tree', 'made', 'gone', 'mode', 'link', 'm1', 'm2'], 3)) {
      let isCommitted = false;
      faulty.fail(errno, (call) => {
        isCommitted ||= call.method === 'barrier';
        const isApplying = ['exchange', 'moveNew', 'setModeOf'].includes(call.method);
        return isCommitted && isApplying && names(call, path);
      });
      const error = await expectError(store.transact({}, change), code, { path });
      expect(faulty.failures, `${path}: ${error.message}`).toBeGreaterThan(0);
      faulty.heal();
      expect(sandbox.tree(), path).toEqual(before);
      id += 1;
      expect(await store.show(id)).toMatchObject({ id, state: 'rolled-back', superseded: [] });
      expect((await store.show(id)).reason, 'why it was rolled back').toContain(path);
      expect((await store.status()).troubled).toEqual([]);
    }
    await store.transact({}, change);
    expect(sandbox.tree()['a']).toEqual(file('new a'));
  });

  test('a busy path is tried again', async () => {
    sandbox.seed({ a: 'old' });
    const [store, faulty] = await openFaulty();
    faulty.fail('EBUSY', ({ method }) => method === 'exchange', 3);
    await store.transact({}, (tx) => tx.write('a', 'new'));
    expect(faulty.failures).toBe(3);
    expect(sandbox.tree()['a']).toEqual(file('new'));
  });

  test('bytes that appear while the commit is applied are kept, and all of it is undone', async () => {
    sandbox.seed({ a: 'old a', 'd/x': 'old x', z: 'old z' });
    const races: readonly (readonly [string, () => void])[] = [
      ['z', () => writeFileSync(sandbox.at('z'), 'foreign')],
      ['new', () => writeFileSync(sandbox.at('new'), 'foreign')],
      ['d/x', () => writeFileSync(sandbox.at('d/x'), 'foreign')],
      ['d/extra', () => writeFileSync(sandbox.at('d/extra'), 'foreign')],
    ];
    for (const [path, race] of races) {
      let isArmed = false;
      const faulty = faultyFileSystem(mode);
      const store = await sandbox.open({ fileSystem: faulty.files });
      // Recovers, if it is the first one: that has a barrier of its own.
      await store.transact({}, (tx) => tx.mkdir(`before-${path}`));
      const before = sandbox.tree();
      faulty.fail('never', ({ method }) => {
        if (method === 'barrier' && !isArmed) {
          isArmed = true;
          race();
        }
        return false;
      });
      const error = await expectError(
        store.transact({}, async (tx) => {
          await tx.write('a', 'new a');
          await tx.remove('d');
          await tx.write('d/x', 'new x');
          await tx.write('new', 'new');
          await tx.write('z', 'new z');
        }),
        'DRIFT_DETECTED',
      );
      expect(error.message).toContain(path);
      expect(sandbox.tree(), path).toEqual({ ...before, [path]: file('foreign') });
      expect((await store.status()).troubled).toEqual([]);
      await store.close();
      spawnSync('rm', [sandbox.at(path)]);
      sandbox.seed({ [path]: 'old again' });
    }
  });

  test.each<[string, (call: FileSystemCall) => boolean]>([
    ['the barrier', ({ method }) => method === 'barrier'],
    ['reading', ({ method }) => method === 'readSync'],
    ['renaming', ({ method }) => method === 'exchange' || method === 'moveNew'],
    ['removing what is left', ({ method }) => method === 'removeFile'],
    ['saying who holds the lock', ({ method }) => method === 'writeRecord'],
  ])('recovery that fails at %s is done by the next open', async (_name, isHit) => {
    sandbox.seed({ a: 'old a', b: 'old b' });
    const recorder = recordCrashes(mode, sandbox.root, join(sandbox.directory, 'killed'));
    const first = await sandbox.open({ fileSystem: recorder.files });
    recorder.start();
    await first.transact({}, async (tx) => {
      await tx.write('a', 'new a');
      await tx.write('b', 'new b');
      await tx.write('c', 'new c');
    });
    recorder.stop();
    await first.close();
    const after = sandbox.tree();
    const before = { ...after, a: file('old a'), b: file('old b') };
    const points = recorder.points.filter(({ label }) =>
      /(?:exchange|moveNew|writeRecord)\([^:]*$/.test(label),
    );
    expect(points.length).toBeGreaterThan(3);
    for (const point of points.slice(-4)) {
      const faulty = faultyFileSystem(mode);
      faulty.fail('EIO', isHit);
      const opening = sandbox.openAt(point.root, { adopt: true, fileSystem: faulty.files });
      const store = await opening.catch((error: unknown) => {
        expect(isEngineError(error), String(error)).toBe(true);
        return undefined;
      });
      faulty.heal();
      await store?.close();
      const again = await sandbox.openAt(point.root, { adopt: true });
      const { head, troubled } = await again.status();
      expect(troubled, point.label).toEqual([]);
      if (head === 1) expect(readTree(point.root), point.label).toEqual(after);
      else {
        const { a, b } = before;
        expect(readTree(point.root), point.label).toEqual({ a, b });
      }
      await again.close();
    }
  });

  test('a lock record that cannot be written does not keep the lock', async () => {
    const [store, faulty] = await openFaulty({ lockWaitMs: 200 });
    await store.transact({}, (tx) => tx.write('a', 'a'));
    let writes = 0;
    faulty.fail('EIO', ({ method }) => {
      if (method !== 'writeRecord') return false;
      writes += 1;
      return writes === 2;
    });
    await store.transact({}, (tx) => tx.write('b', 'b')).catch(() => undefined);
    faulty.heal();
    await store.close();
    const again = await sandbox.open({ lockWaitMs: 200 });
    await again.transact({}, (tx) => tx.write('c', 'c'));
    expect(Object.keys(sandbox.tree())).toEqual(['a', 'b', 'c']);
  });

  describe('when applying fails and undoing fails', () => {
    /** Leaves transaction 2 half done: `b` cannot be written, and `a` cannot be put back. */
    async function block(): Promise<[Store, FaultyFileSystem]> {
      sandbox.seed({ a: 'old a', b: 'old b', other: 'old' });
      const [store, faulty] = await openFaulty();
      await store.transact({}, (tx) => tx.write('first', '1'));
      let isApplied = false;
      faulty.fail('EACCES', (call) => {
        if (call.method !== 'exchange' && call.method !== 'moveNew') return false;
        if (names(call, 'b')) return true;
        if (!names(call, 'a')) return false;
        const isFirst = !isApplied;
        isApplied = true;
        return !isFirst;
      });
      await expectError(
        store.transact({ message: 'half' }, async (tx) => {
          await tx.write('a', 'new a');
          await tx.write('b', 'new b');
        }),
        'BLOCKED',
      );
      return [store, faulty];
    }

    test('the transaction is blocked and named', async () => {
      const [store] = await block();
      const { troubled, head } = await store.status();
      expect(head).toBe(2);
      expect(troubled).toMatchObject([{ id: 2, state: 'blocked', message: 'half' }]);
      expect(troubled[0]?.reason).toContain('a');
      expect(await store.show(2)).toMatchObject({ state: 'blocked' });
      expect(sandbox.tree()).toMatchObject({ a: file('new a'), b: file('old b') });
    });

    test('its paths are refused, and others usable meanwhile', async () => {
      const [store] = await block();
      await expectRefused(
        sandbox.root,
        () => store.transact({}, (tx) => tx.write('a', 'x')),
        'BLOCKED',
        { path: 'a' },
      );
      await store.transact({}, (tx) => tx.write('other', 'new'));
      expect(sandbox.tree()['other']).toEqual(file('new'));
    });

    test('reopening on a healthy file system undoes it', async () => {
      const [store, faulty] = await block();
      await store.transact({}, (tx) => tx.write('other', 'new'));
      await store.close();
      faulty.heal();
      const again = await sandbox.open();
      expect(again.recoveryOnOpen).toMatchObject({ transactions: [2], unresolved: [] });
      expect((await again.status()).troubled).toEqual([]);
      expect(sandbox.tree()).toMatchObject({
        a: file('old a'),
        b: file('old b'),
        other: file('new'),
      });
      expect((await again.show(2)).state).toBe('rolled-back');
      await again.transact({}, (tx) => tx.write('a', 'x'));
    });

    test('reopening on a file system that still fails keeps it blocked, never a loop', async () => {
      const [store, faulty] = await block();
      await store.close();
      const again = await sandbox.open({ fileSystem: faulty.files });
      expect(again.recoveryOnOpen).toMatchObject({ transactions: [2] });
      expect((await again.status()).troubled).toMatchObject([{ id: 2, state: 'blocked' }]);
      await again.close();
      faulty.heal();
      await sandbox.open();
      expect(sandbox.tree()).toMatchObject({ a: file('old a'), b: file('old b') });
    });

    test('recover tries again', async () => {
      const [store, faulty] = await block();
      expect((await store.recover()).unresolved).toMatchObject([{ id: 2 }]);
      faulty.heal();
      expect(await store.recover()).toMatchObject({ transactions: [2], unresolved: [] });
      expect(sandbox.tree()).toMatchObject({ a: file('old a'), b: file('old b') });
    });

    test('recover({redo}) finishes it', async () => {
      const [store, faulty] = await block();
      faulty.heal();
      expect(await store.recover({ redo: 2 })).toMatchObject({ unresolved: [] });
      expect(sandbox.tree()).toMatchObject({ a: file('new a'), b: file('new b') });
      expect((await store.show(2)).state).toBe('settled');
      expect((await store.status()).troubled).toEqual([]);
    });

    test('recover({redo}) and recover({undo}) reach it when all others are settled', async () => {
      for (const decided of ['redo', 'undo'] as const) {
        const [store, faulty] = await block();
        await store.close();
        // The next holder looks at everything again, and settles what it can.
        rmSync(sandbox.at('.skillmeat/owner'));
        const again = await sandbox.open({ fileSystem: faulty.files });
        expect((await again.log()).map(({ id, state }) => [id, state])).toEqual([
          [2, 'blocked'],
          [1, 'settled'],
        ]);
        faulty.heal();
        expect(await again.recover({ [decided]: 2 })).toMatchObject({
          transactions: [2],
          unresolved: [],
        });
        const is = decided === 'redo' ? 'new' : 'old';
        expect(sandbox.tree()).toMatchObject({ a: file(`${is} a`), b: file(`${is} b`) });
        await again.close();
        spawnSync('rm', ['-rf', sandbox.root]);
        mkdirSync(sandbox.root);
      }
    });

    test('recover({undo}) undoes it', async () => {
      const [store, faulty] = await block();
      await store.transact({}, (tx) => tx.write('other', 'new'));
      faulty.heal();
      expect(await store.recover({ undo: 2 })).toMatchObject({ unresolved: [] });
      expect(sandbox.tree()).toMatchObject({ a: file('old a'), b: file('old b') });
      expect((await store.show(2)).state).toBe('rolled-back');
    });

    test('recover({redo}) on a file system that still fails leaves it blocked', async () => {
      const [store, faulty] = await block();
      expect((await store.recover({ redo: 2 })).unresolved).toMatchObject([{ id: 2 }]);
      expect((await store.status()).troubled).toMatchObject([{ id: 2, state: 'blocked' }]);
      await store.close();
      faulty.heal();
      await sandbox.open();
      expect(sandbox.tree()).toMatchObject({ a: file('new a'), b: file('new b') });
    });

    test('recover takes the number of a troubled transaction only', async () => {
      const [store] = await block();
      for (const id of [1, 3]) {
        await expectError(store.recover({ redo: id }), 'TRANSACTION_NOT_FOUND');
        await expectError(store.recover({ undo: id }), 'TRANSACTION_NOT_FOUND');
      }
    });
  });

  describe('when bytes that belong to a transaction are damaged', () => {
    async function damage(): Promise<string> {
      sandbox.seed({ a: 'old a', b: 'old b', other: 'old' });
      const recorder = recordCrashes(mode, sandbox.root, join(sandbox.directory, 'killed'));
      const store = await sandbox.open({ fileSystem: recorder.files });
      await store.transact({}, (tx) => tx.write('first', '1'));
      recorder.start();
      await store.transact({ message: 'torn' }, async (tx) => {
        await tx.write('a', 'new a');
        await tx.write('b', 'new b');
      });
      recorder.stop();
      await store.close();
      const point = recorder.points.find(({ label }) => /exchange\([^:]*$/.test(label));
      const root = point?.root ?? '';
      const stage = readdirSync(join(root, '.skillmeat/stage')).toSorted();
      const staged = stage.findLast((name) => name.startsWith('2-')) ?? '';
      writeFileSync(join(root, '.skillmeat/stage', staged), 'torn!');
      // It had been acknowledged: only the renames were lost with the power.
      changeOwner(sandbox.root, { bootId: 'another' }, root);
      return root;
    }

    test('the transaction is parked, the evidence kept and the store read-only', async () => {
      const root = await damage();
      const before = readTree(root);
      const store = await sandbox.openAt(root, { adopt: true });
      const isParked = expect.objectContaining({ id: 2, state: 'damaged' }) as unknown;
      expect(store.recoveryOnOpen?.unresolved.map(({ id }) => id)).toContain(2);
      expect((await store.status()).troubled).toContainEqual(isParked);
      expect(readTree(root)).toEqual(before);
      await expectRefused(
        root,
        () => store.transact({}, (tx) => tx.write('unrelated', 'x')),
        'DAMAGED',
      );
      expect((await store.show(2)).state).toBe('damaged');
      expect(readTree(root)).toEqual(before);
      await store.close();
      const again = await sandbox.openAt(root);
      expect((await again.status()).troubled).toContainEqual(isParked);
      expect(readTree(root)).toEqual(before);
    });

    test('recover({undo}) takes it back', async () => {
      const root = await damage();
      const store = await sandbox.openAt(root, { adopt: true });
      expect((await store.recover({ undo: 2 })).unresolved).toEqual([]);
      expect(readTree(root)).toMatchObject({ a: file('old a'), b: file('old b') });
      await store.transact({}, (tx) => tx.write('unrelated', 'x'));
    });

    test('recover({redo}) does what can be done, and says what was lost', async () => {
      const root = await damage();
      const store = await sandbox.openAt(root, { adopt: true });
      expect((await store.recover({ redo: 2 })).unresolved).toEqual([]);
      expect(readTree(root)).toMatchObject({ a: file('new a'), b: file('old b') });
      expect((await store.show(2)).superseded).toMatchObject([{ path: 'b' }]);
      expect(readQuarantine(root).map(({ bytes }) => bytes)).toEqual(['torn!']);
      await store.transact({}, (tx) => tx.write('unrelated', 'x'));
    });
  });

  test('a commit whose sync fails is unknown, and reopening tells which', async () => {
    // A limit on file sizes makes SQLite's own write fail where no seam reaches.
    const child = join(import.meta.dirname, '../support/commit-unknown-child.ts');
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [...argumentsFor(child), sandbox.root, mode],
      { encoding: 'utf8' },
    );
    expect(stderr).toBe('');
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toEqual({
      code: 'COMMIT_UNKNOWN',
      hasHint: true,
      next: 'STORE_POISONED',
    });
    expect(readOwnerFile(sandbox.root)?.isReleased).toBe(false);
    const store = await sandbox.open();
    const { head } = await store.status();
    expect(sandbox.tree()['a']).toEqual(file(head === 2 ? 'new' : 'old'));
    await store.transact({}, (tx) => tx.write('b', 'b'));
    changeJournal(sandbox.root, 'SELECT 1');
  });

  test('a source that is replaced while it is read is refused', async () => {
    const source = plantSource(sandbox.directory, { f: 'f', g: 'g' });
    const [store, faulty] = await openFaulty();
    let isSwapped = false;
    faulty.fail('never', (call) => {
      if (call.method !== 'openForReading' || isSwapped || !names(call, 'f')) return false;
      isSwapped = true;
      spawnSync('mv', [join(source, 'g'), join(source, 'f')]);
      return false;
    });
    await expectRefused(
      sandbox.root,
      () => store.transact({}, (tx) => tx.copyIn('a', join(source, 'f'))),
      'SOURCE_CHANGED',
      { path: join(source, 'f') },
    );
  });
});
