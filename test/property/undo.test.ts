import { amount } from '../support/extent.js';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isEngineError, openStore, type Store } from '../../src/engine/index.js';
import { modes, requireHealthy, type Mode } from '../support/store.js';
import { directory, readTree, type Tree, type TreeEntry } from '../support/tree.js';

/*
 * A model of undo and redo: two stacks, and what each transaction changed, as the trees before and
 * after it say. What a transaction itself does is another model's (model.test.ts).
 */

type Step =
  | { readonly do: 'transact'; readonly operations: readonly Operation[] }
  | { readonly do: 'edit'; readonly path: string; readonly text: string }
  | { readonly do: 'undo' | 'redo' }
  | { readonly do: 'undo older'; readonly back: number }
  | { readonly do: 'reopen' };

type Operation =
  | { readonly op: 'write'; readonly path: string; readonly text: string }
  | { readonly op: 'remove'; readonly path: string }
  | { readonly op: 'chmod'; readonly path: string };

/** What a path was and became. */
type Delta = ReadonlyMap<
  string,
  { readonly before: TreeEntry | undefined; readonly after: TreeEntry | undefined }
>;

interface Model {
  readonly deltas: Map<number, Delta>;
  /** Changes that stand, by number. */
  done: number[];
  /** Undos that can be redone, the newest last, with the change that each took back. */
  undone: { readonly undo: number; readonly change: number }[];
}

function deltaOf(before: Tree, after: Tree): Delta {
  const paths = new Set([...Object.keys(before), ...Object.keys(after)]);
  return new Map(
    [...paths]
      .filter((path) => !isSame(before[path], after[path]))
      .map((path) => [path, { before: before[path], after: after[path] }]),
  );
}

function isSame(a: TreeEntry | undefined, b: TreeEntry | undefined): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** Returns the tree after undoing `delta` in `tree`, `undefined` when that must be refused. */
function undoIn(tree: Tree, delta: Delta): Tree | undefined {
  const result: Record<string, TreeEntry> = { ...tree };
  for (const [path, { before, after }] of delta) {
    const found = tree[path];
    if (isSame(found, before)) continue;
    if (!isSame(found, after)) return undefined;
    if (found?.kind === 'directory' && before?.kind !== 'directory') {
      const isForeign = Object.keys(tree).some((at) => dirname(at) === path && !delta.has(at));
      if (isForeign) return undefined;
    }
    if (before === undefined) delete result[path];
    else result[path] = before;
  }
  for (const path of Object.keys(result)) {
    for (let at = dirname(path); at !== '.'; at = dirname(at)) {
      result[at] ??= directory();
      if (result[at]?.kind !== 'directory') return undefined;
    }
  }
  return result;
}

const paths = ['a', 'b', 'b/a', 'b/b', 'c/d/e', 'c/d'] as const;
const path = fc.constantFrom(...paths);
const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constant('write' as const),
      path,
      text: fc.constantFrom('1', '2', '3'),
    }),
  },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('remove' as const), path }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('chmod' as const), path }) },
);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('transact' as const),
      operations: fc.array(operation, { minLength: 1, maxLength: 4 }),
    }),
  },
  { weight: 5, arbitrary: fc.record({ do: fc.constantFrom('undo' as const, 'redo' as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('undo older' as const), back: fc.nat(3) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('edit' as const),
      path,
      text: fc.constantFrom('1', '9'),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ do: 'reopen' as const }) },
);

async function attempt<T>(act: Promise<T>): Promise<T | undefined> {
  try {
    return await act;
  } catch (error) {
    if (!isEngineError(error)) throw error;
    return undefined;
  }
}

async function transact(store: Store, operations: readonly Operation[]): Promise<number | null> {
  const { transaction } = await store.transact({}, async (tx) => {
    for (const one of operations) {
      if (one.op === 'write') await attempt(tx.write(one.path, one.text));
      if (one.op === 'remove') await attempt(tx.remove(one.path));
      if (one.op === 'chmod') await attempt(tx.chmod(one.path, 0o700));
    }
  });
  return transaction?.id ?? null;
}

function edit(root: string, at: string, text: string): void {
  try {
    mkdirSync(dirname(join(root, at)), { recursive: true });
    writeFileSync(join(root, at), text);
  } catch {
    // Something of another kind is there.
  }
}

async function takeBack(
  store: Store,
  root: string,
  {
    model,
    kind,
    change,
  }: { readonly model: Model; readonly kind: 'undo' | 'redo'; readonly change: number | undefined },
): Promise<void> {
  const tree = readTree(root);
  const next =
    kind === 'undo'
      ? { undo: change ?? model.done.at(-1), change: change ?? model.done.at(-1) }
      : model.undone.at(-1);
  const delta = next?.undo === undefined ? undefined : model.deltas.get(next.undo);
  const expected = delta === undefined ? undefined : undoIn(tree, delta);
  const receipt = await attempt(store[kind](change === undefined ? {} : { transaction: change }));
  const now = readTree(root);
  expect(receipt === undefined ? 'refused' : 'done').toBe(
    expected === undefined ? 'refused' : 'done',
  );
  expect(now).toEqual(expected ?? tree);
  if (receipt === undefined || next?.undo === undefined || next.change === undefined) return;
  expect(receipt.undone).toBe(next.undo);
  const { transaction } = receipt;
  expect(transaction === null).toBe(deltaOf(tree, now).size === 0);
  if (transaction?.id === null || transaction === null) return;
  model.deltas.set(transaction.id, deltaOf(tree, now));
  const { change: target } = next;
  if (kind === 'undo') {
    model.done = model.done.filter((id) => id !== target);
    model.undone.push({ undo: transaction.id, change: target });
  } else {
    model.undone.pop();
    model.done = [...model.done, target].toSorted((a, b) => a - b);
  }
}

async function check(mode: Mode, steps: readonly Step[]): Promise<void> {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'skillmeat-undo-')));
  // Emptying the directory is another test's.
  writeFileSync(join(root, 'kept'), 'kept');
  const open = (): Promise<Store> => openStore(root, { create: true, native: mode });
  let store = await open();
  const model: Model = { deltas: new Map(), done: [], undone: [] };
  try {
    for (const one of steps) {
      const before = readTree(root);
      switch (one.do) {
        case 'transact': {
          const id = await transact(store, one.operations);
          if (id === null) break;
          model.deltas.set(id, deltaOf(before, readTree(root)));
          model.done.push(id);
          model.undone = [];
          break;
        }
        case 'edit':
          edit(root, one.path, one.text);
          break;
        case 'undo':
        case 'redo':
          await takeBack(store, root, { model, kind: one.do, change: undefined });
          break;
        case 'undo older': {
          const change = model.done.at(-1 - one.back);
          if (change !== undefined) await takeBack(store, root, { model, kind: 'undo', change });
          break;
        }
        case 'reopen':
          await store.close();
          store = await open();
      }
    }
    await store.close();
    requireHealthy(root);
  } finally {
    await store.close();
    rmSync(root, { recursive: true, force: true });
  }
}

const runs = Number(process.env['SKILLMEAT_UNDO_RUNS'] ?? amount({ thorough: 16, otherwise: 8 }));

describe.each(modes)('native %s', (mode) => {
  test('any sequence of transactions, edits, undos and redos does what two stacks would do', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 14 }), (steps) =>
        check(mode, steps),
      ),
      { numRuns: runs, includeErrorInReport: true },
    );
  });
});
