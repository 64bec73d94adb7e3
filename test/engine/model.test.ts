import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isEngineError, openStore, type Transaction } from '../../src/engine/index.js';
import { expectReceipt, modes, openDescriptors, plant, requireHealthy } from '../support/store.js';
import { directory, file, readTree, symlink, type Tree, type TreeEntry } from '../support/tree.js';
import { amount } from '../support/extent.js';

/*
 * A trivial model of the root: a map from path to what is there. Each operation says what it does
 * to the map, or that it is refused; whole transactions must agree with it.
 */

type Model = ReadonlyMap<string, TreeEntry>;

type Operation =
  | { readonly op: 'write'; readonly path: string; readonly text: string; readonly mode?: number }
  | { readonly op: 'copyIn'; readonly path: string; readonly source: string }
  | { readonly op: 'remove'; readonly path: string }
  | { readonly op: 'rename'; readonly from: string; readonly to: string; readonly replace: boolean }
  | { readonly op: 'mkdir'; readonly path: string }
  | { readonly op: 'chmod'; readonly path: string; readonly mode: number }
  | { readonly op: 'symlink'; readonly path: string; readonly target: string };

interface Step {
  readonly operations: readonly Operation[];
  readonly end: 'commit' | 'throw' | 'dry run' | 'reopen';
}

const sources: Readonly<Record<string, Tree>> = {
  file: { '': file('copied') },
  tree: {
    '': directory(),
    a: file('tree a'),
    b: directory(),
    'b/c': file('tree c', 0o700),
    l: symlink('a'),
  },
  empty: { '': directory() },
};

/** Returns the model after the operation, `undefined` when it is refused. */
function act(model: Model, operation: Operation): Model | undefined {
  switch (operation.op) {
    case 'write': {
      const before = model.get(operation.path);
      if (before !== undefined && before.kind !== 'file') return undefined;
      const mode = operation.mode?.toString(8) ?? before?.mode ?? '644';
      return put(model, operation.path, [['', { ...file(operation.text), mode }]]);
    }
    case 'copyIn': {
      if (model.get(operation.path)?.kind === 'symlink') return undefined;
      const made = Object.entries(sources[operation.source] ?? {});
      return put(without(model, operation.path), operation.path, made);
    }
    case 'remove':
      if (hasFileAbove(model, operation.path) || !model.has(operation.path)) return undefined;
      return without(model, operation.path);
    case 'rename':
      return rename(model, operation);
    case 'mkdir': {
      const before = model.get(operation.path);
      if (before?.kind === 'directory') return model;
      return before === undefined ? put(model, operation.path, [['', directory()]]) : undefined;
    }
    case 'chmod': {
      const before = model.get(operation.path);
      if (before === undefined || before.kind === 'symlink') return undefined;
      const changed = { ...before, mode: operation.mode.toString(8) };
      return new Map([...model, [operation.path, changed]]);
    }
    case 'symlink': {
      const kind = model.get(operation.path)?.kind;
      if (kind === 'file' || kind === 'directory') return undefined;
      return put(model, operation.path, [['', symlink(operation.target)]]);
    }
  }
}

function rename(
  model: Model,
  { from, to, replace }: Extract<Operation, { op: 'rename' }>,
): Model | undefined {
  if (hasFileAbove(model, from) || !model.has(from)) return undefined;
  if (from === to) return model;
  if (to.startsWith(`${from}/`) || hasFileAbove(model, to)) return undefined;
  if (model.has(to) && !replace) return undefined;
  const moved = [...model]
    .filter(([path]) => path === from || path.startsWith(`${from}/`))
    .map(([path, entry]): [string, TreeEntry] => [path.slice(from.length + 1), entry]);
  return put(without(without(model, from), to), to, moved);
}

function without(model: Model, path: string): Model {
  return new Map([...model].filter(([at]) => at !== path && !at.startsWith(`${path}/`)));
}

function hasFileAbove(model: Model, path: string): boolean {
  return parentsOf(path).some((at) => model.has(at) && model.get(at)?.kind !== 'directory');
}

function parentsOf(path: string): string[] {
  const segments = path.split('/');
  return segments.slice(1).map((_, i) => segments.slice(0, i + 1).join('/'));
}

/** Puts entries (by their path below `path`) in, with the parents that miss. */
function put(
  model: Model,
  path: string,
  entries: readonly (readonly [string, TreeEntry])[],
): Model | undefined {
  if (hasFileAbove(model, path)) return undefined;
  const result = new Map(model);
  for (const parent of parentsOf(path)) if (!result.has(parent)) result.set(parent, directory());
  for (const [below, entry] of entries) {
    result.set(below === '' ? path : `${path}/${below}`, entry);
  }
  return result;
}

function toTree(model: Model): Tree {
  return Object.fromEntries([...model].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

// --- random transactions ------------------------------------------------------------------------

// 'b-' sorts between 'b' and what is below it for whoever compares whole paths.
const segments = ['a', 'b', 'b-'];
/** Every path of up to three names. */
const everyPath = segments.flatMap((one) => [
  one,
  ...segments.flatMap((two) => [
    `${one}/${two}`,
    ...segments.map((three) => `${one}/${two}/${three}`),
  ]),
]);
const segment = fc.constantFrom(...segments);
const path = fc.array(segment, { minLength: 1, maxLength: 3 }).map((names) => names.join('/'));
const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .record({
        path,
        text: fc.constantFrom('', 'one', 'two', 'three'),
        mode: fc.constantFrom(undefined, 0o600, 0o755),
      })
      .map(({ path: at, text, mode }) => ({
        op: 'write' as const,
        path: at,
        text,
        ...(mode === undefined ? {} : { mode }),
      })),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant('copyIn' as const),
      path,
      source: fc.constantFrom(...Object.keys(sources)),
    }),
  },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('remove' as const), path }) },
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constant('rename' as const),
      from: path,
      to: path,
      replace: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('mkdir' as const), path }) },
  {
    weight: 1,
    arbitrary: fc.record({
      op: fc.constant('chmod' as const),
      path,
      mode: fc.constantFrom(0o700, 0o755, 0o744),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      op: fc.constant('symlink' as const),
      path,
      target: fc.constantFrom('a', 'b/c'),
    }),
  },
);
const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.record({
    operations: fc.array(operation, { minLength: 1, maxLength: 8 }),
    end: fc.constantFrom('commit', 'commit', 'commit', 'throw', 'dry run', 'reopen'),
  }),
  { minLength: 1, maxLength: 6 },
);

function run(tx: Transaction, step: Operation, sourceDirectory: string): Promise<void> {
  switch (step.op) {
    case 'write':
      return tx.write(step.path, step.text, { mode: step.mode });
    case 'copyIn':
      return tx.copyIn(step.path, join(sourceDirectory, step.source));
    case 'remove':
      return tx.remove(step.path);
    case 'rename':
      return tx.rename(step.from, step.to, { replace: step.replace });
    case 'mkdir':
      return tx.mkdir(step.path);
    case 'chmod':
      return tx.chmod(step.path, step.mode);
    case 'symlink':
      return tx.symlink(step.path, step.target);
  }
}

/** Runs the operations; each must do, or refuse, what the model does. Returns the model after. */
async function runAll(
  tx: Transaction,
  operations: readonly Operation[],
  start: Model,
  sourceDirectory: string,
): Promise<Model> {
  let model = start;
  for (const one of operations) {
    const next = act(model, one);
    let refusal: unknown;
    try {
      await run(tx, one, sourceDirectory);
    } catch (error) {
      if (!isEngineError(error)) throw error;
      refusal = error;
    }
    const outcome = refusal === undefined ? 'done' : 'refused';
    expect(outcome, `${JSON.stringify(one)}: ${String(refusal)}`).toBe(
      next === undefined ? 'refused' : 'done',
    );
    model = next ?? model;
    for (const at of new Set([...everyPath, ...model.keys()])) {
      // Below a file or a link there is nothing to ask for.
      if (hasFileAbove(model, at)) continue;
      expect((await tx.stat(at))?.kind, `${JSON.stringify(one)}, then ${at}`).toBe(
        model.get(at)?.kind,
      );
    }
  }
  const seen = new Set((await tx.list())?.map(({ name }) => name));
  expect(seen).toEqual(new Set([...model.keys()].map((at) => at.split('/')[0] ?? '')));
  return model;
}

const changedMind = new Error('changed my mind');

async function check(mode: (typeof modes)[number], transactions: readonly Step[]): Promise<void> {
  const sandbox = realpathSync(mkdtempSync(join(tmpdir(), 'skillmeat-model-')));
  const root = join(sandbox, 'root');
  plant(sandbox, {
    file: 'copied',
    'tree/a': 'tree a',
    'tree/b/c': { content: 'tree c', mode: 0o700 },
    'tree/l': { link: 'a' },
    empty: { directory: 0o755 },
    tree: { directory: 0o755 },
  });
  const open = (): ReturnType<typeof openStore> => openStore(root, { create: true, native: mode });
  let store = await open();
  try {
    let model: Model = new Map();
    let count = 0;
    for (const { operations, end } of transactions) {
      let after: Model = model;
      const before = toTree(model);
      const dryRun = end === 'dry run';
      const acting = store.transact({ dryRun }, async (tx) => {
        after = await runAll(tx, operations, model, sandbox);
        if (end === 'throw') throw changedMind;
      });
      if (end === 'throw') await expect(acting).rejects.toBe(changedMind);
      else expectReceipt(await acting, before, toTree(after));
      const isDone = end !== 'throw' && !dryRun;
      if (isDone && JSON.stringify(toTree(after)) !== JSON.stringify(before)) count += 1;
      if (isDone) model = after;
      expect(readTree(root)).toEqual(toTree(model));
      expect((await store.status()).head).toBe(count);
      if (end === 'reopen') {
        await store.close();
        store = await open();
        expect(store.recoveryOnOpen).toBeUndefined();
        expect(readTree(root)).toEqual(toTree(model));
      }
    }
    await store.close();
    requireHealthy(root);
    expect(openDescriptors(sandbox)).toEqual([]);
  } finally {
    await store.close();
    rmSync(sandbox, { recursive: true, force: true });
  }
}

describe.each(modes)('native %s', (mode) => {
  test('any sequence of transactions does what a map would do', async () => {
    await fc.assert(
      fc.asyncProperty(steps, (transactions) => check(mode, transactions)),
      { numRuns: amount({ thorough: 60, otherwise: 15 }), includeErrorInReport: true },
    );
  });
});
