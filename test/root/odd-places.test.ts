import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import {
  isEngineError,
  openStore,
  type OpenStoreOptions,
  type Rule,
  type Store,
} from '../../src/engine/index.js';
import {
  expectedTrees,
  type NativeMode,
  nativeModes,
  requireRecovered,
} from '../crash/recovered-state.js';
import { transactions, writeBase } from '../crash/children/transactions.mjs';
import type { RunInput } from '../crash/children/run-and-die.mjs';
import { testify, testifyOfEachTest, testMachine } from '../support/evidence.js';
import { Child, cleanUp, describeTree, makeDirectory } from '../support/processes.js';
import { mountAt, mountFolding, mountImage, mountOverlay, remount, unmountAll } from './mounts.js';

/*
 * Roots on unusual file systems and mounts: the engine works in full, or refuses with a code that
 * says why, before it has changed anything.
 */

let expected: Awaited<ReturnType<typeof expectedTrees>>;
const oddPlace = {
  fault: 'odd place',
  operation: 'overlayfs, tmpfs, bind mounts, read-only mounts, folded names, moved roots',
  on: testMachine,
} as const;

beforeAll(async () => {
  expected = await expectedTrees();
  cleanUp();
});
afterEach(() => {
  unmountAll();
  cleanUp();
});

describe.each(nativeModes)('native %s', (native) => {
  testifyOfEachTest({ ...oddPlace, native });

  test('overlayfs, all in the upper layer: works in full', async () => {
    const { directory, source } = makePlace();
    const lower = path.join(directory, 'lower');
    fs.mkdirSync(lower);
    const root = path.join(mountOverlay(directory, lower), 'root');
    writeBase(root, path.join(directory, 'other'));
    expect(await workIn(root, source, native)).toEqual(['done', 'done', 'done', 'undone']);
  });

  test('overlayfs over a lower layer: a directory of it cannot be moved, and that is undone', async () => {
    const { root, source } = makeOverLowerLayer();
    expect(await workIn(root, source, native)).toEqual(['done', 'PATH_ON_OTHER_MOUNT']);
  });

  test('overlayfs over a lower layer: killed while it replaces files', async () => {
    for (const at of [1, 2, 3]) {
      const { root, source } = makeOverLowerLayer();
      await (await openStore(root, { create: true, native })).close();
      await killAt(root, { source, native, run: [0], die: { of: 'exchange', at, when: 'after' } });
      const { tree } = await requireRecovered(root, { native });
      expect([expected[0], expected[1]]).toContainEqual(tree);
      unmountAll();
    }
  });

  test('overlayfs over a lower layer: killed before it meets what cannot be moved', async () => {
    const { root, source } = makeOverLowerLayer();
    const first = await openStore(root, { create: true, native });
    await first.transact({}, (tx) => transactions[0]?.(tx, source));
    await first.close();
    const die = { of: 'exchange', at: 1, when: 'before' } as const;
    await killAt(root, { source, native, run: [1], die });
    await using store = await openStore(root, { native });
    // What is committed can be neither finished nor refused any more: a person decides.
    expect(await store.status()).toMatchObject({
      troubled: [{ id: 2, state: 'blocked', reason: expect.stringContaining('EXDEV') }],
    });
    await store.recover({ undo: 2 });
    expect(await store.status()).toMatchObject({ troubled: [] });
    expect(describeTree(root)).toEqual(expected[1]);
  });

  test('tmpfs: works in full, and doctor says that nothing of it outlives the machine', async () => {
    const { directory, source } = makePlace();
    const at = path.join(directory, 'mounted');
    fs.mkdirSync(at);
    mountAt(at, 'tmpfs', ['-t', 'tmpfs']);
    const root = path.join(at, 'root');
    writeBase(root, path.join(directory, 'other'));
    expect(await workIn(root, source, native)).toEqual(['done', 'done', 'done', 'undone']);
    await using store = await openStore(root, { native });
    expect((await store.diagnose()).fileSystem).toEqual({ name: 'tmpfs', support: 'volatile' });
  });

  test('a root that is a bind mount: works in full', async () => {
    const { directory, source } = makePlace();
    const real = path.join(directory, 'real');
    const root = path.join(directory, 'root');
    writeBase(real, path.join(directory, 'other'));
    fs.mkdirSync(root);
    mountAt(root, real, ['--bind']);
    expect(await workIn(root, source, native)).toEqual(['done', 'done', 'done', 'undone']);
  });

  test.each([
    ['a directory', 'docs', 'folder'],
    ['a file', 'docs/guide.md', 'a.txt'],
  ])(
    '%s of the same file system, mounted inside the root, is never changed',
    async (_, at, what) => {
      const { root } = makeOnDisk();
      await using store = await openStore(root, { create: true, native });
      mountAt(path.join(root, at), path.join(root, what), ['--bind']);
      const refused = [
        await attempt(store, () => store.transact({}, (tx) => tx.write('docs/guide.md', 'new'))),
        await attempt(store, () => store.transact({}, (tx) => tx.remove('docs'))),
        await attempt(store, () => store.transact({}, (tx) => tx.rename('docs', 'moved'))),
        await attempt(store, () => store.transact({}, (tx) => tx.chmod('docs/guide.md', 0o600))),
        await attempt(store, () =>
          store.transact({}, (tx) => tx.copyIn('docs', path.join(root, 'old'))),
        ),
      ];
      expect(refused).toEqual(refused.map(() => 'PATH_ON_OTHER_MOUNT'));
      expect(await attempt(store, () => store.transact({}, (tx) => tx.write('b.txt', 'new')))).toBe(
        'done',
      );
    },
  );

  test('a mount that appears between plan and apply undoes the transaction', async () => {
    const { root } = makeOnDisk();
    await using store = await openStore(root, { create: true, native });
    const rule: Rule = () => {
      mountAt(path.join(root, 'docs'), path.join(root, 'folder'), ['--bind']);
      return [];
    };
    const error = await store
      .transact({ rules: [rule] }, async (tx) => {
        await tx.write('a.txt', 'new');
        await tx.write('docs/guide.md', 'new');
      })
      .catch((reason: unknown) => reason);
    console.log(String(error));
    expect(isEngineError(error, 'PATH_ON_OTHER_MOUNT', 'DRIFT_DETECTED'), String(error)).toBe(true);
    expect(fs.readFileSync(path.join(root, 'a.txt'), 'utf8')).toBe('first a');
    expect(fs.readdirSync(path.join(root, 'folder'))).toEqual(['inside.txt']);
    expect(await store.status()).toMatchObject({ troubled: [] });
    unmountAll();
    expect(describeTree(root)).toEqual(expected[0]);
  });

  test('an engine directory on another mount is not trusted', async () => {
    const { root, directory } = makeOnDisk();
    await (await openStore(root, { create: true, native })).close();
    const own = path.join(root, '.skillmeat');
    const away = path.join(directory, 'away');
    fs.renameSync(own, away);
    fs.mkdirSync(own);
    mountAt(own, away, ['--bind']);
    await expect(openStore(root, { native, create: true })).rejects.toMatchObject({
      code: 'STORE_UNSAFE',
    });
  });

  test('a root that was moved goes on where it is, also while it is open', async () => {
    const { root, directory, source } = makeOnDisk();
    const store = await openStore(root, { create: true, native });
    await store.transact({}, (tx) => transactions[0]?.(tx, source));
    const moved = path.join(directory, 'moved');
    fs.renameSync(root, moved);
    await store.transact({}, (tx) => transactions[1]?.(tx, source));
    expect(fs.existsSync(root)).toBe(false);
    await store.close();
    await using again = await openStore(moved, { native });
    expect(describeTree(moved)).toEqual(expected[2]);
    await again.undo();
    expect(describeTree(moved)).toEqual(expected[1]);
  });

  test('a root that was moved to another file system is another one until it is adopted', async () => {
    const { root, directory, source } = makeOnDisk();
    const store = await openStore(root, { create: true, native });
    await store.transact({}, (tx) => transactions[0]?.(tx, source));
    await store.close();
    const at = path.join(directory, 'mounted');
    fs.mkdirSync(at);
    mountAt(at, 'tmpfs', ['-t', 'tmpfs']);
    execFileSync('mv', [root, at]);
    const moved = path.join(at, 'root');
    await expect(openStore(moved, { native })).rejects.toMatchObject({ code: 'STORE_DETACHED' });
    await using adopted = await openStore(moved, { native, adopt: true });
    await adopted.undo();
    expect(describeTree(moved)).toEqual(expected[0]);
  });

  test('a read-only mount: refuses, and leaves the rest for later', async () => {
    const { root, mount, source } = makeOnImage();
    remount(mount, 'ro');
    expect(await openingOf(root, { create: true, native })).toBe('READ_ONLY');
    expect(fs.existsSync(path.join(root, '.skillmeat'))).toBe(false);
    remount(mount, 'rw');
    const die = { of: 'exchange', at: 1, when: 'after' } as const;
    await killAt(root, { source, native, create: true, run: [0], die });
    remount(mount, 'ro');
    const before = describeTree(root);
    expect(await openingOf(root, { native })).toBe('READ_ONLY');
    // What a dead process left can be looked at, because its journal is still open, as it were.
    expect(await openingOf(root, { native, recover: 'never' })).toBe('1 in the log, READ_ONLY');
    expect(describeTree(root)).toEqual(before);
    remount(mount, 'rw');
    const { tree } = await requireRecovered(root, { native });
    expect(tree).toEqual(expected[1]);
    remount(mount, 'ro');
    expect(await openingOf(root, { native })).toBe('READ_ONLY');
  });

  test('a mount that turns read-only while the store is open', async () => {
    const { root, mount, source } = makeOnImage();
    const store = await openStore(root, { create: true, native });
    await store.transact({}, (tx) => transactions[0]?.(tx, source));
    // `ro` is refused while a file is open for writing, so the kernel is told that it is broken.
    remount(mount, 'abort');
    const outcome = await attempt(store, () => store.transact({}, (tx) => tx.write('x', 'x')));
    expect(outcome).toBe('READ_ONLY');
    await store.close();
    expect(describeTree(root)).toEqual(expected[1]);
  });
});

describe.each(nativeModes)('native %s', (native) => {
  testifyOfEachTest({ ...oddPlace, native });

  test('a file system that folds names: works, and refuses what differs in case alone', async (context) => {
    const { directory, source } = makePlace();
    const folding = mountFolding(directory);
    if (typeof folding === 'string') {
      console.warn(`\n!!! NOT RUN: a file system that folds names; ${folding}.\n`);
      testify({ fault: 'odd place', on: 'a file system that folds names', whyNot: folding });
      context.task.meta.whyNot = folding;
      context.skip();
      return;
    }
    const root = path.join(folding.at, 'root');
    writeBase(root, path.join(directory, 'other'));
    const options = { native, acceptFileSystem: true };
    console.log(`folding: ${folding.name}, native ${native}`);
    if (folding.name !== 'ext4') {
      expect(await openingOf(root, { native, create: true })).toBe('FILE_SYSTEM_UNSUPPORTED');
    }
    expect(await workIn(root, source, native, options)).toEqual(['done', 'done', 'done', 'undone']);
    await using store = await openStore(root, options);
    expect(await store.diagnose()).toMatchObject({ foldsNames: true });
    const refused = [
      await attempt(store, () => store.transact({}, (tx) => tx.write('B.TXT', 'new'))),
      await attempt(store, () => store.transact({}, (tx) => tx.remove('B.TXT'))),
      await attempt(store, () => store.transact({}, (tx) => tx.write('DOCS/guide.md', 'new'))),
      await attempt(store, () => store.transact({}, (tx) => tx.write('.SkillMeat/x', 'new'))),
    ];
    expect(refused).toEqual([
      'PATH_COLLISION',
      'PATH_COLLISION',
      'PATH_COLLISION',
      'PATH_IN_ENGINE_DIRECTORY',
    ]);
  });
});

/** A source to copy from, beside where the root will be. */
function makePlace(): { readonly directory: string; readonly source: string } {
  const directory = makeDirectory();
  const source = path.join(directory, 'source');
  writeBase(path.join(directory, 'unused'), source);
  return { directory, source };
}

function makeOverLowerLayer(): { readonly root: string; readonly source: string } {
  const { directory, source } = makePlace();
  const lower = path.join(directory, 'lower');
  writeBase(path.join(lower, 'root'), path.join(directory, 'other'));
  return { root: path.join(mountOverlay(directory, lower), 'root'), source };
}

function makeOnDisk(): {
  readonly root: string;
  readonly directory: string;
  readonly source: string;
} {
  const { directory, source } = makePlace();
  const root = path.join(directory, 'root');
  writeBase(root, path.join(directory, 'other'));
  return { root, directory, source };
}

/** On a file system of its own, so that it can be mounted read-only. */
function makeOnImage(): { readonly root: string; readonly mount: string; readonly source: string } {
  const { directory, source } = makePlace();
  const mount = mountImage(directory, ['mkfs.ext4', '-q', '-F'], 'loop');
  const root = path.join(mount, 'root');
  writeBase(root, path.join(directory, 'other'));
  return { root, mount, source };
}

/** @returns the code of why it does not open, or what the log holds and what a write meets. */
async function openingOf(root: string, options: OpenStoreOptions): Promise<string> {
  try {
    await using store = await openStore(root, options);
    const { length } = await store.log();
    const write = await attempt(store, () => store.transact({}, (tx) => tx.write('x', 'x')));
    return `${String(length)} in the log, ${write}`;
  } catch (error) {
    if (!isEngineError(error)) throw error;
    expect(error.hint).toBeDefined();
    return error.code;
  }
}

async function killAt(root: string, input: Omit<RunInput, 'root'>): Promise<void> {
  const child = new Child('run-and-die.mjs', { root, ...input });
  expect((await child.ended).signal).toBe('SIGKILL');
}

/**
 * Runs the three transactions and undoes the last: each is done as a whole, or refused.
 *
 * @returns what became of each.
 */
async function workIn(
  root: string,
  source: string,
  native: NativeMode,
  options: OpenStoreOptions = {},
): Promise<readonly string[]> {
  await using store = await openStore(root, { create: true, native, ...options });
  const outcomes: string[] = [];
  for (const [i, transaction] of transactions.entries()) {
    const outcome = await attempt(store, () => store.transact({}, (tx) => transaction(tx, source)));
    outcomes.push(outcome);
    if (outcome !== 'done') return outcomes;
    expect(describeTree(root)).toEqual(expected[i + 1]);
  }
  const outcome = await attempt(store, () => store.undo());
  outcomes.push(outcome === 'done' ? 'undone' : outcome);
  if (outcome === 'done') expect(describeTree(root)).toEqual(expected[2]);
  return outcomes;
}

/** @returns `done`, or the code of an error that changed nothing. */
async function attempt(store: Store, act: () => Promise<unknown>): Promise<string> {
  return attemptAt(store.root, act);
}

async function attemptAt(root: string, act: () => Promise<unknown>): Promise<string> {
  const before = describeTree(root);
  try {
    await act();
    return 'done';
  } catch (error) {
    if (!isEngineError(error)) throw error;
    expect(describeTree(root), String(error)).toEqual(before);
    console.log(`  ${error.code}: ${error.message}`);
    return error.code;
  }
}
