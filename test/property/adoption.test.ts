import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isEngineError, openStore, type Store } from '../../src/engine/index.js';
import { type Mode, modes } from '../support/store.js';

/*
 * A snapshot compares only what changed since drift was adopted last. The model is the comparison of
 * everything: what it adopts is what `drift` finds, but for what it leaves out.
 */

type Step =
  | { readonly do: 'edit' | 'transact' | 'delete'; readonly path: string; readonly text: string }
  | { readonly do: 'chmod'; readonly path: string; readonly mode: number }
  | { readonly do: 'snapshot'; readonly ignore: string | undefined; readonly adopt: boolean }
  | { readonly do: 'undo' | 'prune' | 'lose the listings' };

const path = fc.constantFrom('a', 'b', 'b/a', 'b/b', 'c/d', 'c/d/e', 'c/f');
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    do: fc.constantFrom('edit' as const, 'transact' as const, 'delete' as const),
    path,
    text: fc.constantFrom('1', '2'),
  }),
  fc.record({ do: fc.constant('chmod' as const), path, mode: fc.constantFrom(0o700, 0o755) }),
  fc.record({
    do: fc.constant('snapshot' as const),
    ignore: fc.constantFrom(undefined, undefined, 'b', 'c/', 'c/d'),
    adopt: fc.constantFrom(true, true, true, false),
  }),
  fc.record({
    do: fc.constantFrom('undo' as const, 'prune' as const, 'lose the listings' as const),
  }),
);

async function take(root: string, store: Store, one: Step): Promise<void> {
  switch (one.do) {
    case 'transact':
      await store.transact({}, (tx) => tx.write(one.path, one.text));
      return;
    case 'edit':
      mkdirSync(dirname(join(root, one.path)), { recursive: true });
      writeFileSync(join(root, one.path), one.text);
      return;
    case 'delete':
      rmSync(join(root, one.path), { recursive: true });
      return;
    case 'chmod':
      chmodSync(join(root, one.path), one.mode);
      return;
    case 'undo':
      await store.undo();
      return;
    case 'prune':
      await store.prune({ keepLast: 1, keepRecords: 1 });
      return;
    case 'lose the listings':
      rmSync(join(root, '.skillmeat/objects'), { recursive: true });
      return;
    case 'snapshot':
      await takeSnapshot(store, one);
  }
}

async function takeSnapshot(
  store: Store,
  { ignore, adopt }: Extract<Step, { do: 'snapshot' }>,
): Promise<void> {
  const drift = (await store.drift()).map(({ path: at }) => at);
  const ignored = ignore === undefined ? [] : [ignore];
  const { adopted, leftOut } = await store.snapshots.create({ ignore: ignored, adopt });
  const isLeftOut = (at: string): boolean =>
    leftOut.some(({ path: top }) => at === top || at.startsWith(`${top}/`));
  const expected = adopt ? drift.filter((at) => !isLeftOut(at)) : [];
  expect((adopted?.changes ?? []).map(({ path: at }) => at)).toEqual(expected);
}

/** What cannot be done on this tree is passed over: nothing is there, or something is in the way. */
async function tryTake(root: string, store: Store, one: Step): Promise<void> {
  try {
    await take(root, store, one);
  } catch (error) {
    const isSystem = error instanceof Error && 'syscall' in error;
    if (!isSystem && !isEngineError(error)) throw error;
    expect(isEngineError(error, 'IO_FAILED', 'JOURNAL_DAMAGED')).toBe(false);
  }
}

async function run(mode: Mode, steps: readonly Step[]): Promise<void> {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'skillmeat-adoption-')));
  try {
    const store = await openStore(root, { create: true, native: mode });
    for (const one of steps) await tryTake(root, store, one);
    await takeSnapshot(store, { do: 'snapshot', ignore: undefined, adopt: true });
    expect(await store.drift()).toEqual([]);
    await store.close();
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

describe.each(modes)('native %s', (mode) => {
  test('a snapshot adopts all the drift that there is', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 14 }), (steps) =>
        run(mode, steps),
      ),
      { numRuns: 60 },
    );
  });
});
