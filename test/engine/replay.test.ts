import { chmodSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  directoriesOf,
  emptyTree,
  isLink,
  isTreeOf,
  planBetween,
  readTrace,
  treeAfter,
  type TraceTree,
} from '../../bench/trace.js';
import { TreeComparison } from '../../bench/trace-on-disk.js';
import { modes, useSandbox } from '../support/store.js';

// 28 commits of a git repository that was made for this: each of them is one kind of change.
const trace = readTrace(join(import.meta.dirname, '../fixtures/trace.jsonl'));

function statesOf(commits: typeof trace): readonly TraceTree[] {
  const states = [emptyTree];
  for (const commit of commits) states.push(treeAfter(states.at(-1) ?? emptyTree, commit));
  return states;
}

const states = statesOf(trace);

test('the states of the trace are those that git had', () => {
  expect(trace.map((commit, index) => isTreeOf(commit, states[index + 1] ?? emptyTree))).toEqual(
    trace.map(() => true),
  );
});

test('the trace has every kind of change', () => {
  const kindAt = (tree: TraceTree, path: string): string => {
    const file = tree.get(path);
    if (file !== undefined) return isLink(file) ? 'link' : 'file';
    return directoriesOf(tree).has(path) ? 'directory' : 'absent';
  };
  const changes = trace.flatMap((_, index) => {
    const [before = emptyTree, after = emptyTree] = states.slice(index, index + 2);
    const paths = [before, after].flatMap((tree) => [...tree.keys(), ...directoriesOf(tree)]);
    return paths.map((path) => `${kindAt(before, path)} → ${kindAt(after, path)}`);
  });
  const kinds = ['absent', 'file', 'link', 'directory'];
  const pairs = kinds.flatMap((from) => kinds.map((to) => `${from} → ${to}`));
  expect(new Set(changes)).toEqual(new Set(pairs.filter((pair) => pair !== 'absent → absent')));
  const operations = states
    .slice(1)
    .flatMap((after, index) => planBetween(states[index] ?? emptyTree, after, '').operations);
  expect(new Set(operations.map(({ op }) => op))).toEqual(
    new Set(['write', 'remove', 'rename', 'chmod', 'symlink']),
  );
});

describe.each(modes)('with the native part %s', (mode) => {
  const sandbox = useSandbox(mode);

  test('a whole history leads through every state of it', async () => {
    const store = await sandbox.open();
    const comparison = new TreeComparison(sandbox.root);
    for (const [index, after] of states.slice(1).entries()) {
      const plan = planBetween(states[index] ?? emptyTree, after, trace[index]?.commit ?? '');
      const { transaction } = await store.apply(plan);
      const found = { index, differences: comparison.differences(after) };
      expect(found).toEqual({ index, differences: [] });
      expect(transaction === null).toBe(plan.operations.length === 0);
    }
    const commits = await store.log();
    expect(commits.map(({ message }) => message).toReversed()).toEqual(
      trace.flatMap(({ commit, ops }) => (ops.length === 0 ? [] : [commit])),
    );
  });

  test('a history can be jumped through, backwards and any distance at once', async () => {
    const store = await sandbox.open();
    const comparison = new TreeComparison(sandbox.root);
    let before = emptyTree;
    for (let step = 0; step < states.length; step += 1) {
      const after = states[states.length - 1 - ((step * 11) % states.length)] ?? emptyTree;
      await store.apply(planBetween(before, after, String(step)));
      const found = { step, differences: comparison.differences(after) };
      expect(found).toEqual({ step, differences: [] });
      before = after;
    }
  });
});

describe('the comparison', () => {
  const sandbox = useSandbox('auto');
  const tree = states[8] ?? emptyTree;

  test.each<[string, (at: (path: string) => string) => void]>([
    ['README.md: has other bytes', (at) => writeFileSync(at('README.md'), '')],
    ['README.md: has mode 600', (at) => chmodSync(at('README.md'), 0o600)],
    ['README.md: is missing', (at) => rmSync(at('README.md'))],
    ['new: should not be there', (at) => writeFileSync(at('new'), '')],
    ['skills/empty: should not be there', (at) => mkdirSync(at('skills/empty'))],
    ['skills: has mode 700, not 755', (at) => chmodSync(at('skills'), 0o700)],
    ['AGENTS.md: leads to elsewhere', (at) => replace(at('AGENTS.md'), 'elsewhere')],
    ['README.md: should be a file', (at) => replace(at('README.md'), 'elsewhere')],
    [
      'skills: should be a directory',
      (at) => {
        renameSync(at('skills'), join(sandbox.directory, 'skills'));
        symlinkSync('../skills', at('skills'));
      },
    ],
  ])('sees “%s”', async (difference, change) => {
    const store = await sandbox.open();
    await store.apply(planBetween(emptyTree, tree, ''));
    const comparison = new TreeComparison(sandbox.root);
    expect(comparison.differences(tree)).toEqual([]);
    change((path) => sandbox.at(path));
    expect(comparison.differences(tree)).toContain(difference);
  });

  function replace(path: string, target: string): void {
    rmSync(path);
    symlinkSync(target, path);
  }
});
