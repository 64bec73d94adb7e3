import { existsSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Transaction } from '../../src/engine/index.js';
import { recordCrashes } from '../support/crash.js';
import { names, systemError } from '../support/faults.js';
import {
  listOwn,
  modes,
  requireHealthy,
  type Sandbox,
  type Seed,
  useSandbox,
} from '../support/store.js';
import { readStats, readTree, type Tree } from '../support/tree.js';
import { sampled } from '../support/extent.js';

interface Scenario {
  readonly name: string;
  readonly seed: Seed;
  readonly change: (tx: Transaction, sandbox: Sandbox) => Promise<void>;
}

const tree: Seed = {
  'skill/SKILL.md': 'old skill',
  'skill/gone.md': 'only old',
  'skill/same.md': 'same',
  'skill/scripts/run.sh': { content: 'old run', mode: 0o755 },
  'skill/link': { link: 'SKILL.md' },
};

const scenarios: readonly Scenario[] = [
  {
    name: 'two files',
    seed: { 'lock.json': 'old lock' },
    change: async (tx) => {
      await tx.write('lock.json', 'new lock');
      await tx.write('manifest.toml', 'new manifest');
    },
  },
  {
    name: 'a tree that is made',
    seed: { other: 'x' },
    change: async (tx) => {
      await tx.write('skill/SKILL.md', 'new');
      await tx.write('skill/deep/er/file', 'new', { mode: 0o600 });
      await tx.mkdir('skill/empty', { mode: 0o750 });
      await tx.symlink('skill/link', 'deep/er/file');
    },
  },
  {
    name: 'a tree that is replaced',
    seed: {
      ...tree,
      '../source/SKILL.md': 'new skill',
      '../source/same.md': 'same',
      '../source/new/n': 'n',
    },
    change: (tx, { directory }) => tx.copyIn('skill', join(directory, 'source')),
  },
  { name: 'a tree that is removed', seed: tree, change: (tx) => tx.remove('skill') },
  {
    name: 'a swap',
    seed: { a: 'was a', b: 'was b' },
    change: async (tx) => {
      await tx.rename('a', 'c');
      await tx.rename('b', 'a');
      await tx.rename('c', 'b');
    },
  },
  {
    name: 'modes of a file and a directory',
    seed: { 'd/f': 'f', 'd/g': 'g' },
    change: async (tx) => {
      await tx.chmod('d/f', 0o600);
      await tx.chmod('d', 0o700);
      await tx.write('d/g', 'new g');
    },
  },
  {
    name: 'a file that becomes a directory, and the other way round',
    seed: { f: 'file', 'd/x/y': 'below' },
    change: async (tx) => {
      await tx.remove('f');
      await tx.write('f/below', 'now below');
      await tx.remove('d');
      await tx.write('d', 'now a file');
    },
  },
  {
    name: 'links',
    seed: { link: { link: 'a' }, a: 'a', b: 'b' },
    change: async (tx) => {
      await tx.symlink('link', 'b');
      await tx.symlink('fresh', 'a');
      await tx.remove('a');
    },
  },
  {
    name: 'everything at once',
    seed: { ...tree, 'keep/me': 'kept', swap1: '1', swap2: '2' },
    change: async (tx) => {
      await tx.rename('skill', 'renamed/skill');
      await tx.write('renamed/skill/SKILL.md', 'new');
      await tx.remove('renamed/skill/gone.md');
      await tx.rename('swap1', 'swap3');
      await tx.rename('swap2', 'swap1');
      await tx.chmod('keep/me', 0o600);
      await tx.write('skill', 'a file where the tree was');
      await tx.symlink('keep/link', 'me');
    },
  },
];

interface Killed {
  readonly before: Tree;
  readonly after: Tree;
  readonly head: number;
}

/** Opens what a killed process left; returns whether the transaction was there. */
async function recoverAndCheck(
  sandbox: Sandbox,
  point: { readonly label: string; readonly root: string },
  { before, after, head }: Killed,
): Promise<boolean> {
  const store = await sandbox.openAt(point.root, { adopt: true });
  const { head: found, unsettled, troubled } = await store.status();
  const isCommitted = found > head;
  const shown = isCommitted ? await store.show(found) : undefined;
  const isRolledBack = shown?.state === 'rolled-back';
  await store.close();
  expect(troubled, point.label).toEqual([]);
  expect(shown?.superseded ?? [], point.label).toEqual([]);
  expect(readTree(point.root), point.label).toEqual(isCommitted && !isRolledBack ? after : before);
  expect(listOwn(point.root, 'quarantine'), point.label).toEqual([]);
  requireHealthy(point.root);

  const stats = readStats(point.root);
  const again = await sandbox.openAt(point.root);
  expect(again.recoveryOnOpen, point.label).toBeUndefined();
  expect((await again.status()).unsettled, point.label).toBe(unsettled);
  await again.close();
  expect(readStats(point.root), `${point.label}: a second recovery writes nothing`).toEqual(stats);
  return isCommitted;
}

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);

  test.each(scenarios)('a kill at any step of $name leaves before or after', async (scenario) => {
    sandbox.seed(scenario.seed);
    const recorder = recordCrashes(mode, sandbox.root, join(sandbox.directory, 'killed'));
    const store = await sandbox.open({ fileSystem: recorder.files });
    await store.transact({}, (tx) => tx.write('first', 'an earlier transaction'));
    const before = sandbox.tree();
    recorder.start();
    await store.transact({}, (tx) => scenario.change(tx, sandbox));
    recorder.stop();
    const after = sandbox.tree();
    await store.close();
    expect(after).not.toEqual(before);

    const outcomes = new Set<boolean>();
    for (const point of sampled(recorder.points, 3)) {
      outcomes.add(await recoverAndCheck(sandbox, point, { before, after, head: 1 }));
    }
    expect(outcomes, 'killed both before and after the commit').toEqual(new Set([false, true]));
  });

  test('a kill at any step of undoing leaves before or after', async () => {
    sandbox.seed({ a: 'old a', 'd/x': 'old x', 'd/y': 'old y', z: 'old z' });
    sandbox.seed({ '../source/x': 'new x' });
    let isFailing = false;
    const recorder = recordCrashes(
      mode,
      sandbox.root,
      join(sandbox.directory, 'killed'),
      (call) => {
        const isHit = call.method === 'exchange' && names(call, 'z');
        if (isFailing && isHit) throw systemError('EACCES');
      },
    );
    const store = await sandbox.open({ fileSystem: recorder.files });
    const before = sandbox.tree();
    recorder.start();
    isFailing = true;
    await expect(
      store.transact({}, async (tx) => {
        await tx.write('a', 'new a');
        await tx.copyIn('d', join(sandbox.directory, 'source'));
        await tx.write('n', 'made');
        await tx.write('z', 'new z');
      }),
    ).rejects.toMatchObject({ code: 'PERMISSION_DENIED' });
    recorder.stop();
    isFailing = false;
    expect(sandbox.tree()).toEqual(before);
    const after = { ...before };
    const expected = await sandbox.openAt(join(sandbox.directory, 'killed/0'), { adopt: true });
    await expected.transact({}, async (tx) => {
      await tx.write('a', 'new a');
      await tx.copyIn('d', join(sandbox.directory, 'source'));
      await tx.write('n', 'made');
      await tx.write('z', 'new z');
    });
    await expected.close();
    Object.assign(after, readTree(join(sandbox.directory, 'killed/0')));
    delete after['d/y'];

    for (const point of sampled(recorder.points.slice(1), 6)) {
      await recoverAndCheck(sandbox, point, { before, after, head: 0 });
    }
  });

  test('recovery can itself be killed at any step, and again', async () => {
    sandbox.seed({ 'd/x': 'old x', 'd/y': 'old y', a: 'was a', b: 'was b' });
    sandbox.seed({ '../source/x': 'new x' });
    const recorder = recordCrashes(mode, sandbox.root, join(sandbox.directory, 'killed'));
    const store = await sandbox.open({ fileSystem: recorder.files });
    await store.transact({}, (tx) => tx.write('first', '1'));
    const before = sandbox.tree();
    recorder.start();
    await store.transact({}, async (tx) => {
      await tx.copyIn('d', join(sandbox.directory, 'source'));
      await tx.rename('a', 'c');
      await tx.rename('b', 'a');
    });
    recorder.stop();
    const after = sandbox.tree();
    await store.close();

    // Before the commit there is little to recover: a few points of that are enough.
    const barrier = recorder.points.findIndex(({ label }) => label.includes('barrier'));
    for (const [i, point] of sampled(recorder.points.slice(barrier - 1), 6).entries()) {
      const second = recordCrashes(mode, point.root, join(sandbox.directory, `again-${String(i)}`));
      second.start();
      const recovered = await sandbox.openAt(point.root, { adopt: true, fileSystem: second.files });
      const isCommitted = (await recovered.status()).head === 2;
      await recovered.close();
      for (const again of sampled(second.points, 2)) {
        const label = `${point.label}, then ${again.label}`;
        const wasCommitted = await recoverAndCheck(
          sandbox,
          { ...again, label },
          { before, after, head: 1 },
        );
        expect(wasCommitted, label).toBe(isCommitted);
      }
    }
  });

  test('a kill at any step of making a store leaves a directory that can become one', async () => {
    sandbox.seed({ a: 'a' });
    const before = sandbox.tree();
    const recorder = recordCrashes(mode, sandbox.root, join(sandbox.directory, 'killed'));
    recorder.start();
    const store = await sandbox.open({ fileSystem: recorder.files });
    await store.close();
    for (const { root, label } of recorder.points) {
      const again = await sandbox.openAt(root, { adopt: true });
      expect(again.recoveryOnOpen, label).toBeUndefined();
      await again.transact({}, (tx) => tx.write('b', 'b'));
      await again.close();
      expect(Object.keys(readTree(root)), label).toEqual([...Object.keys(before), 'b']);
    }
  });

  test('a kill at any step of a checkpoint loses nothing', async () => {
    const recorder = recordCrashes(mode, sandbox.root, join(sandbox.directory, 'killed'));
    const store = await sandbox.open({ fileSystem: recorder.files });
    for (let n = 1; n < 128; n += 1) {
      await store.transact({}, (tx) => tx.write(`f${String(n % 7)}`, String(n)));
    }
    expect((await store.status()).unsettled).toBe(127);
    const before = sandbox.tree();
    recorder.start();
    await store.transact({}, (tx) => tx.write('last', 'x'));
    recorder.stop();
    expect((await store.status()).unsettled).toBe(0);
    const after = sandbox.tree();
    await store.close();
    for (const point of sampled(recorder.points, 8)) {
      await recoverAndCheck(sandbox, point, { before, after, head: 127 });
    }
  });

  test('a killed process is recovered by the first writer when opening only looks', async () => {
    sandbox.seed({ a: 'old' });
    const recorder = recordCrashes(mode, sandbox.root, join(sandbox.directory, 'killed'));
    const store = await sandbox.open({ fileSystem: recorder.files });
    recorder.start();
    await store.transact({}, async (tx) => {
      await tx.write('a', 'new');
      await tx.write('b', 'new');
    });
    recorder.stop();
    await store.close();
    const point = recorder.points.find(({ label }) => /(?:exchange|moveNew)\(/.test(label));
    const root = point?.root ?? '';
    const looking = await sandbox.openAt(root, { adopt: true, recover: 'never' });
    expect((await looking.status()).unsettled).toBe(1);
    expect(readTree(root)['a']?.bytes).toBe('old');
    await looking.transact({}, (tx) => tx.write('c', 'c'));
    expect(Object.entries(readTree(root)).map(([path, { bytes }]) => [path, bytes])).toEqual([
      ['a', 'new'],
      ['b', 'new'],
      ['c', 'c'],
    ]);
  });

  test('a first transaction that died is swept, though the power took the note of its writer', async () => {
    await (await sandbox.open()).close();
    writeFileSync(sandbox.at('.skillmeat/stage/1-0123abcd.0'), 'staged');
    writeFileSync(sandbox.at('.skillmeat/owner'), '');
    await sandbox.open();
    expect(readdirSync(sandbox.at('.skillmeat/stage'))).toEqual([]);
  });

  test('a root can be moved between a kill and recovery', async () => {
    sandbox.seed({ a: 'old' });
    const recorder = recordCrashes(mode, sandbox.root, join(sandbox.directory, 'killed'));
    const store = await sandbox.open({ fileSystem: recorder.files });
    recorder.start();
    await store.transact({}, (tx) => tx.write('a', 'new'));
    recorder.stop();
    await store.close();
    const point = recorder.points.find(({ label }) => label.includes('exchange('));
    const moved = join(sandbox.directory, 'moved');
    renameSync(point?.root ?? '', moved);
    await sandbox.openAt(moved, { adopt: true });
    expect(readTree(moved)['a']?.bytes).toBe('new');
    expect(existsSync(point?.root ?? '')).toBe(false);
  });
});
