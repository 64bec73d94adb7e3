import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Transaction } from '../../src/engine/index.js';
import { recordCrashes } from '../support/crash.js';
import { type FileSystemCall, names, watchedFileSystem } from '../support/faults.js';
import { modes, readQuarantine, useSandbox } from '../support/store.js';
import { file, readTree, type Tree } from '../support/tree.js';

/* Another program writes while a recovery is at work, between its look at a path and its rename. */

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);

  /** A root whose newest transaction is committed, and not applied. */
  async function unapplied(change: (tx: Transaction) => Promise<unknown>): Promise<string> {
    const recorder = recordCrashes(mode, sandbox.root, join(sandbox.directory, 'killed'));
    const store = await sandbox.open({ fileSystem: recorder.files });
    await store.transact({}, (tx) => tx.write('first', '1'));
    recorder.start();
    await store.transact({}, change);
    recorder.stop();
    await store.close();
    const barrier = recorder.points.findIndex(({ label }) => label.includes('barrier'));
    return recorder.points[barrier + 1]?.root ?? '';
  }

  interface Raced {
    readonly tree: Tree;
    readonly superseded: readonly string[];
    readonly setAside: readonly string[];
  }

  /** Recovers, while `edit` is done once, right before a call that `isMoment`. */
  async function race(
    root: string,
    isMoment: (call: FileSystemCall) => boolean,
    edit: () => void,
  ): Promise<Raced> {
    let isDone = false;
    const fileSystem = watchedFileSystem(mode, (call) => {
      if (isDone || !isMoment(call)) return;
      isDone = true;
      edit();
    });
    const store = await sandbox.openAt(root, { fileSystem, adopt: true });
    expect(isDone).toBe(true);
    expect((await store.status()).troubled).toEqual([]);
    const { superseded } = await store.show(2);
    await store.close();
    return {
      tree: readTree(root),
      superseded: superseded.map(({ path }) => path),
      setAside: readQuarantine(root).map(({ path }) => path),
    };
  }

  const isSwitch =
    (name: string) =>
    (call: FileSystemCall): boolean =>
      ['exchange', 'moveNew'].includes(call.method) && names(call, name);

  test('an edit right before a whole unit is switched stays in place', async () => {
    sandbox.seed({ a: 'old' });
    const root = await unapplied((tx) => tx.write('a', 'new'));
    const { tree, superseded, setAside } = await race(root, isSwitch('a'), () => {
      writeFileSync(join(root, 'a'), 'foreign');
    });
    expect(tree['a']).toEqual(file('foreign'));
    expect(superseded).toEqual(['a']);
    expect(setAside).toEqual(['a']);
  });

  /** Replaces a directory with another program's file in it, so that no whole unit can be switched. */
  async function pathByPath(change: (tx: Transaction) => Promise<unknown>): Promise<string> {
    sandbox.seed({ 'd/x': 'old x', 'd/y': 'old y' });
    const root = await unapplied(async (tx) => {
      await tx.remove('d');
      await change(tx);
    });
    writeFileSync(join(root, 'd/theirs'), 'theirs');
    return root;
  }

  test('an edit right before a single path is exchanged stays in place', async () => {
    const root = await pathByPath((tx) => tx.write('d/x', 'new x'));
    const { tree, superseded } = await race(root, isSwitch('x'), () => {
      writeFileSync(join(root, 'd/x'), 'foreign');
    });
    expect(tree).toMatchObject({ 'd/x': file('foreign'), 'd/theirs': file('theirs') });
    expect(superseded).toContain('d/x');
  });

  test('an edit that does what the recovery was about to do supersedes nothing', async () => {
    const root = await pathByPath((tx) => tx.write('d/x', 'new x'));
    const { tree, superseded, setAside } = await race(root, isSwitch('x'), () => {
      writeFileSync(join(root, 'd/x'), 'new x');
    });
    expect(tree['d/x']).toEqual(file('new x'));
    expect(superseded).not.toContain('d/x');
    expect(setAside).toEqual([]);
  });

  test('an edit right before a single path is removed stays in place', async () => {
    const root = await pathByPath((tx) => tx.write('other', 'other'));
    const { tree, superseded } = await race(root, isSwitch('x'), () => {
      writeFileSync(join(root, 'd/x'), 'foreign');
    });
    expect(tree).toMatchObject({ 'd/x': file('foreign'), 'd/theirs': file('theirs') });
    expect(tree['d/y']).toBeUndefined();
    expect(superseded).toContain('d/x');
  });

  test('a file that comes right before its directory becomes one stays, with the directory', async () => {
    sandbox.seed({ 'd/x': 'old x', 'd/y': 'old y' });
    const root = await unapplied(async (tx) => {
      await tx.remove('d');
      await tx.write('d', 'a file now');
    });
    // Keeps the unit from being switched as a whole; goes before it would keep the directory.
    writeFileSync(join(root, 'd/theirs'), 'theirs');
    let isGone = false;
    const { tree, superseded } = await race(
      root,
      (call) => {
        if (!isGone && isSwitch('x')(call)) {
          rmSync(join(root, 'd/theirs'));
          isGone = true;
        }
        return isSwitch('d')(call);
      },
      () => {
        writeFileSync(join(root, 'd/late'), 'late');
      },
    );
    expect(tree['d/late']).toEqual(file('late'));
    expect(superseded).toContain('d');
  });

  test('a file that is replaced right before it gets its mode keeps what it has, and is told', async () => {
    sandbox.seed({ a: 'old' });
    const root = await unapplied((tx) => tx.chmod('a', 0o600));
    const { tree, superseded } = await race(
      root,
      ({ method }) => method === 'setModeOf',
      () => {
        writeFileSync(join(root, 'by-rename'), 'foreign', { mode: 0o644 });
        renameSync(join(root, 'by-rename'), join(root, 'a'));
      },
    );
    expect(tree['a']).toEqual(file('foreign'));
    expect(superseded).toEqual(['a']);
  });

  test('an edit after the rename, before the end of the recovery, is told', async () => {
    sandbox.seed({ a: 'old', b: 'old' });
    const root = await unapplied(async (tx) => {
      await tx.write('a', 'new');
      await tx.write('b', 'new');
    });
    const { tree, superseded } = await race(root, isSwitch('b'), () => {
      writeFileSync(join(root, 'a'), 'foreign');
    });
    expect(tree).toMatchObject({ a: file('foreign'), b: file('new') });
    expect(superseded).toEqual(['a']);
  });
});
