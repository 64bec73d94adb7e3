import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Store, Transaction } from '../../src/engine/index.js';
import { recordCrashes } from '../support/crash.js';
import { testify, testMachine } from '../support/evidence.js';
import { sampled } from '../support/extent.js';
import { names, systemError } from '../support/faults.js';
import {
  listOwn,
  modes,
  requireHealthy,
  type Sandbox,
  type Seed,
  useSandbox,
} from '../support/store.js';
import { readTree, type Tree } from '../support/tree.js';

const seed: Seed = {
  other: 'other',
  replaced: 'old',
  mode: { content: 'm', mode: 0o755 },
  'tree/a': 'a',
  'tree/sub/b': 'b',
  'tree/link': { link: '../other' },
  turned: 'was a file',
};

async function change(tx: Transaction): Promise<void> {
  await tx.write('replaced', 'new');
  await tx.chmod('mode', 0o600);
  await tx.remove('tree');
  await tx.remove('turned');
  await tx.write('turned/below', 'now a directory');
  await tx.write('made/one', '1');
}

const acts = {
  undo: (store: Store) => store.undo(),
  redo: (store: Store) => store.redo(),
  rollback: (store: Store) => store.rollback({ to: { transaction: 0 } }),
  'rollback to a snapshot': (store: Store) => store.rollback({ to: { snapshot: 'then' } }),
};

/** Runs `act` recorded, and returns every place where it could have been killed. */
async function killedWhile(
  sandbox: Sandbox,
  act: (store: Store) => Promise<unknown>,
): Promise<{
  readonly before: Tree;
  readonly after: Tree;
  readonly points: readonly { label: string; root: string }[];
}> {
  const recorder = recordCrashes(sandbox.mode, sandbox.root, join(sandbox.directory, 'killed'));
  const store = await sandbox.open({ fileSystem: recorder.files });
  const before = sandbox.tree();
  recorder.start();
  await act(store);
  recorder.stop();
  const after = sandbox.tree();
  await store.close();
  return { before, after, points: recorder.points };
}

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);

  test.each(['undo', 'redo', 'rollback', 'rollback to a snapshot'] as const)(
    'a kill at any step of %s leaves before or after, from where it goes on',
    async (kind) => {
      sandbox.seed(seed);
      const original = sandbox.tree();
      const first = await sandbox.open();
      if (kind === 'rollback to a snapshot') await first.snapshots.create({ name: 'then' });
      await first.transact({}, change);
      if (kind === 'redo') await first.undo();
      if (kind === 'rollback') {
        await first.transact({}, (tx) => tx.rename('made', 'tree/made'));
      }
      const head = (await first.status()).head;
      await first.close();
      const { before, after, points } = await killedWhile(sandbox, (store) => acts[kind](store));
      expect(after).not.toEqual(before);
      expect(kind === 'redo' ? before : after).toEqual(original);

      const outcomes = new Set<boolean>();
      const violations: string[] = [];
      const looked = sampled(points, kind === 'rollback to a snapshot' ? 24 : 8);
      for (const { label, root } of looked) {
        const store = await sandbox.openAt(root, { adopt: true });
        const isCommitted = (await store.status()).head > head;
        outcomes.add(isCommitted);
        const found = readTree(root);
        const expected = isCommitted ? after : before;
        if (JSON.stringify(found) !== JSON.stringify(expected)) violations.push(label);
        // Whichever it is, the other one is a step away.
        const back = kind === 'undo' ? 'redo' : 'undo';
        await acts[isCommitted ? back : kind](store);
        const other = isCommitted ? before : after;
        const isThere = JSON.stringify(readTree(root)) === JSON.stringify(other);
        if (!isThere) violations.push(`${label}, then on`);
        await store.close();
        if (listOwn(root, 'quarantine').length > 0) violations.push(`${label}: quarantine`);
        requireHealthy(root);
      }
      testify({
        fault: 'killed at a call',
        operation: kind,
        on: testMachine,
        native: mode,
        states: looked.length,
        violations: violations.length,
      });
      expect(violations).toEqual([]);
      expect(outcomes, 'killed both before and after the commit').toEqual(new Set([false, true]));
    },
  );

  test('an undo that fails half-way leaves everything as it was', async () => {
    sandbox.seed(seed);
    let isFailing = false;
    const recorder = recordCrashes(mode, sandbox.root, join(sandbox.directory, 'never'), (call) => {
      const isSwitch = call.method === 'exchange' || call.method === 'moveNew';
      if (isFailing && isSwitch && names(call, 'turned')) throw systemError('EACCES');
    });
    const store = await sandbox.open({ fileSystem: recorder.files });
    const old = sandbox.tree();
    await store.transact({}, change);
    const before = sandbox.tree();
    isFailing = true;
    await expect(store.undo()).rejects.toMatchObject({ code: 'PERMISSION_DENIED' });
    expect(sandbox.tree()).toEqual(before);
    isFailing = false;
    // The one that was rolled back does not count.
    expect((await store.undo()).undone).toBe(1);
    expect(sandbox.tree()).toEqual(old);
  });
});
