import { amount } from '../support/extent.js';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type DriftedPath, isEngineError, openStore, type Store } from '../../src/engine/index.js';
import { type Mode, modes, requireHealthy } from '../support/store.js';
import { readTree, type Tree } from '../support/tree.js';

/*
 * The model of rollback: the tree after every transaction. Rolling back to one gives its tree;
 * undoing that gives the tree before it. Where other programs wrote as well, a rollback happens
 * wholly or not at all, and an undo gives their bytes back. What was pruned cannot be rolled back to;
 * all that was not, can, also from packs.
 */

type Step =
  | { readonly do: 'transact'; readonly operations: readonly Operation[] }
  | { readonly do: 'edit'; readonly path: string; readonly text: string }
  | { readonly do: 'roll back'; readonly to: number; readonly isUndone: boolean }
  | {
      readonly do: 'prune';
      readonly keepLast: number;
      readonly keepRecords: number;
      readonly pack: boolean;
    }
  | { readonly do: 'undo' | 'reopen' };

interface Operation {
  readonly op: 'write' | 'remove' | 'chmod' | 'mkdir';
  readonly path: string;
  readonly text: string;
}

const path = fc.constantFrom('a', 'b', 'b/a', 'b/b', 'c/d/e', 'c/d');
const operation: fc.Arbitrary<Operation> = fc.record({
  op: fc.constantFrom('write', 'write', 'write', 'remove', 'remove', 'chmod', 'mkdir'),
  path,
  text: fc.constantFrom('1', '2', '3'),
});
const transact = fc.record({
  do: fc.constant('transact' as const),
  operations: fc.array(operation, { minLength: 1, maxLength: 4 }),
});
const rollBack = fc.record({
  do: fc.constant('roll back' as const),
  to: fc.nat(12),
  isUndone: fc.boolean(),
});
const other = fc.record({ do: fc.constantFrom('undo' as const, 'reopen' as const) });
const edit = fc.record({ do: fc.constant('edit' as const), path, text: fc.constantFrom('1', '9') });

const prune = fc.record({
  do: fc.constant('prune' as const),
  keepLast: fc.nat(4),
  keepRecords: fc.nat(6),
  pack: fc.boolean(),
});

const quietSteps: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: transact },
  { weight: 4, arbitrary: rollBack },
  { weight: 1, arbitrary: prune },
  { weight: 1, arbitrary: other },
);
const editedSteps: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: transact },
  { weight: 4, arbitrary: rollBack },
  { weight: 2, arbitrary: edit },
  { weight: 1, arbitrary: prune },
  { weight: 1, arbitrary: other },
);

async function attempt<T>(act: Promise<T>): Promise<T | undefined> {
  try {
    return await act;
  } catch (error) {
    if (!isEngineError(error)) throw error;
    return undefined;
  }
}

async function carryOut(store: Store, operations: readonly Operation[]): Promise<void> {
  await store.transact({}, async (tx) => {
    for (const { op, path: at, text } of operations) {
      if (op === 'write') await attempt(tx.write(at, text));
      if (op === 'remove') await attempt(tx.remove(at));
      if (op === 'chmod') await attempt(tx.chmod(at, 0o700));
      if (op === 'mkdir') await attempt(tx.mkdir(at));
    }
  });
}

function editFile(root: string, at: string, text: string): void {
  try {
    mkdirSync(dirname(join(root, at)), { recursive: true });
    writeFileSync(join(root, at), text);
  } catch {
    // Something of another kind is there.
  }
}

/** @param trees the tree after each transaction; `undefined` once other programs wrote. */
async function rollBackAndForth(
  store: Store,
  { to, isUndone }: Extract<Step, { do: 'roll back' }>,
  { trees, prunedThrough }: { readonly trees: readonly Tree[] | undefined; prunedThrough: number },
): Promise<void> {
  const { head } = await store.status();
  const transaction = to % (head + 1);
  const before = readTree(store.root);
  const options = { to: { transaction }, keepLocal: trees === undefined && to % 2 === 1 };
  const done = await attempt(store.rollback(options));
  if (trees !== undefined && (done !== undefined || transaction >= prunedThrough)) {
    expect(done?.conflicts).toEqual([]);
    expect(readTree(store.root)).toEqual(trees[transaction]);
  }
  const isWritten = (await store.status()).head > head;
  expect(isWritten).toBe(done !== undefined && done.transaction !== null);
  if (!isWritten) expect(readTree(store.root)).toEqual(before);
  if (!isWritten || !isUndone) return;
  await store.undo();
  expect(readTree(store.root)).toEqual(before);
}

async function check(mode: Mode, steps: readonly Step[]): Promise<void> {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'skillmeat-rollback-')));
  // Emptying the directory is another test's.
  writeFileSync(join(root, 'kept'), 'kept');
  // Later than it is: what was settled just now is a day old.
  let ahead = 0;
  const now = (): number => Date.now() + ahead;
  const open = (): Promise<Store> => openStore(root, { create: true, native: mode, now });
  let prunedThrough = 0;
  let store = await open();
  const trees = [readTree(root)];
  let isQuiet = true;
  try {
    for (const step of steps) {
      switch (step.do) {
        case 'transact':
          await carryOut(store, step.operations);
          break;
        case 'edit':
          isQuiet = false;
          editFile(root, step.path, step.text);
          break;
        case 'roll back':
          await rollBackAndForth(store, step, {
            trees: isQuiet ? trees : undefined,
            prunedThrough,
          });
          break;
        case 'prune': {
          ahead += 2 * 86_400_000;
          const before = readTree(root);
          const { keepLast, keepRecords, pack } = step;
          const drift = await store.drift();
          const pruned = await store.prune({ keepLast, keepRecords }, { pack });
          // Where there is nothing, nothing need be known.
          const isThere = ({ expected }: DriftedPath): boolean => expected.kind !== 'absent';
          expect((await store.drift()).filter(isThere)).toEqual(drift.filter(isThere));
          expect(readTree(root)).toEqual(before);
          const findings = [];
          for await (const { kind } of store.verify({ deep: true })) findings.push(kind);
          expect(findings.filter((kind) => kind !== 'drift')).toEqual([]);
          expect(pruned.prunedThrough).toBe(
            Math.max(prunedThrough, (await store.status()).head - Math.max(1, step.keepLast), 0),
          );
          ({ prunedThrough } = pruned);
          break;
        }
        case 'undo':
          await attempt(store.undo());
          break;
        case 'reopen':
          await store.close();
          store = await open();
      }
      // A rollback and its undo are two, and the tree between them is that of its target.
      const { head } = await store.status();
      if (isQuiet && step.do === 'roll back' && head === trees.length + 1) {
        trees.push(trees[step.to % trees.length] ?? {});
      }
      if (head === trees.length) trees.push(readTree(root));
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
  test.each([
    ['gives the tree after it, and an undo the tree before', quietSteps],
    ['where other programs write happens wholly or not at all, and can be undone', editedSteps],
  ])('a rollback to any transaction %s', async (_name, step) => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 14 }), (steps) =>
        check(mode, steps),
      ),
      { numRuns: runs, includeErrorInReport: true },
    );
  });
});
