import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { NodeFileSystem } from '../../src/engine/node-file-system.js';
import { type Evidence, testify, testMachine } from '../support/evidence.js';
import { Child, cleanUp, describeTree, inParallel, removeDirectory } from '../support/processes.js';
import type { RunInput, RunReport } from './children/run-and-die.mjs';
import { lookingCalls, mutatingCalls } from './children/watched-file-system.mjs';
import {
  expectedTrees,
  firstFew,
  makePlace,
  makeStore,
  type NativeMode,
  nativeModes,
  type Place,
  requireRecovered,
} from './recovered-state.js';
import { amount, isExhaustive, sampled } from '../support/extent.js';

/*
 * SIGKILL at every call that changes something: a run that is left alone counts the calls, then one
 * process for each of them dies right before and one right after it. What opens the store next
 * must find every transaction wholly done or not at all, and every acknowledged one done. A run
 * that is not thorough kills at every fortieth, or sixth.
 */

type Input = Omit<RunInput, 'root' | 'source'>;
type Death = NonNullable<RunInput['die']>;

let trees: readonly (readonly string[])[] = [];

beforeAll(async () => {
  trees = await expectedTrees();
});
afterEach(cleanUp);

test('every call of the seam either counts as changing something or only looks', () => {
  const known = [...mutatingCalls, ...lookingCalls].toSorted();
  const methods = Object.entries(Object.getOwnPropertyDescriptors(NodeFileSystem.prototype))
    .filter(([name, { value }]) => typeof value === 'function' && name !== 'constructor')
    .map(([name]) => name);
  expect(methods.toSorted()).toEqual(known);
});

describe.each(nativeModes)('native %s', (native) => {
  test('a process killed at any call of three transactions leaves each done or not begun', async () => {
    const input: Input = { native, run: [0, 1, 2] };
    const { calls } = await countCalls(await makeStore(native), input);
    const deaths = everyDeath(calls);
    await forEachDeath({ native, operation: 'transactions' }, deaths, async (die) => {
      const place = await makeStore(native);
      const { acknowledged } = await runUntilDeath(place, { ...input, die });
      await requireDoneOrNot(place, acknowledged, recovererOf(die, native));
    });
    report(native, 'three transactions', calls.length, deaths.length);
  });

  test('a process killed at any call of undoing a transaction leaves it done or undone', async () => {
    const input: Input = { native, run: [0], refuseExchange: 3 };
    const { calls } = await countCalls(await makeStore(native), input);
    // Few lie between the commit and the undoing.
    const deaths = everyDeath(calls, 6);
    const outcomes = await forEachDeath(
      { native, operation: 'undoing a transaction that failed' },
      deaths,
      async (die) => {
        const place = await makeStore(native);
        const { hasFailed } = await runUntilDeath(place, { ...input, die });
        const { tree, log } = await requireRecovered(place.root, {
          native: recovererOf(die, native),
        });
        const isDone = log[0] !== undefined && log[0].state !== 'rolled-back';
        expect({ hasFailed, isDone }).not.toEqual({ hasFailed: true, isDone: true });
        expect(tree).toEqual(trees[isDone ? 1 : 0]);
        removeDirectory(place.directory);
        return log[0]?.state ?? 'none';
      },
    );
    expect(new Set(outcomes)).toEqual(new Set(['none', 'settled', 'rolled-back']));
    report(native, 'undoing', calls.length, deaths.length);
  });

  test('a process killed at any call of the first initialisation leaves it to the next', async () => {
    const input: Input = { native, create: true };
    const { calls } = await countCalls(makePlace(), input);
    const deaths = everyDeath(calls);
    await forEachDeath({ native, operation: 'a first initialisation' }, deaths, async (die) => {
      const place = makePlace();
      await runUntilDeath(place, { ...input, die });
      expect(describeTree(place.root)).toEqual(trees[0]);
      const { tree, log } = await requireRecovered(place.root, {
        create: true,
        native: recovererOf(die, native),
      });
      expect(log).toEqual([]);
      expect(tree).toEqual(trees[0]);
      removeDirectory(place.directory);
    });
    report(native, 'first initialisation', calls.length, deaths.length);
  });

  test('a process killed at any call of a recovery leaves the rest of it to the next', async () => {
    const states = await statesToRecover(native);
    let callCount = 0;
    let deathCount = 0;
    for (const { prepare, log: expectedLog, tree: expectedTree } of states) {
      const counted = await makeStore(native);
      await runUntilDeath(counted, prepare);
      const { calls } = await countCalls(counted, { native });
      expect(calls).toContain('journal COMMIT');
      const deaths = everyDeath(calls);
      await forEachDeath({ native, operation: 'a recovery' }, deaths, async (die) => {
        const place = await makeStore(native);
        await runUntilDeath(place, prepare);
        await runUntilDeath(place, { native, die });
        const recoverer = recovererOf(die, native);
        const { tree, log } = await requireRecovered(place.root, { native: recoverer });
        expect(log.map(({ state }) => state)).toEqual(expectedLog);
        expect(tree).toEqual(expectedTree);
        removeDirectory(place.directory);
      });
      callCount += calls.length;
      deathCount += deaths.length;
    }
    report(native, `${String(states.length)} recoveries`, callCount, deathCount);
  });
});

describe.each(nativeModes)('native %s', (native) => {
  test('a recovery that fails at any call is finished by the next open', async () => {
    const [state] = await statesToRecover(native);
    if (state === undefined) throw new Error('there is such a state');
    const { prepare } = state;
    const counted = await makeStore(native);
    const { acknowledged } = await runUntilDeath(counted, prepare);
    const { calls } = await countCalls(counted, { native });
    const all = calls.flatMap((name, i) => (name.startsWith('journal') ? [] : [i + 1]));
    const failing = sampled(all, 80);
    await forEachDeath(
      { fault: 'error at a call', native, operation: 'a recovery of what was killed' },
      failing.map((at) => ({ at, when: 'before' })),
      async ({ at }) => {
        const place = await makeStore(native);
        await runUntilDeath(place, prepare);
        const child = new Child('run-and-die.mjs', { ...place, native, refuse: at });
        const { signal } = await child.ended;
        expect(signal).toBe(null);
        await requireDoneOrNot(place, acknowledged, native);
      },
    );
    report(native, 'a failing recovery', calls.length, failing.length);
  });
});

/** Runs that end with a transaction that is committed and not, or half, applied, or half undone. */
async function statesToRecover(native: NativeMode): Promise<readonly StateToRecover[]> {
  const all: Input = { native, run: [0, 1, 2] };
  const { phases } = await countCalls(await makeStore(native), all);
  const undone: Input = { native, run: [0], refuseExchange: 3 };
  const { calls, phases: undoing } = await countCalls(await makeStore(native), undone);
  const middle = (id: number): number =>
    Math.ceil(
      ((phases[`committed ${String(id)}`] ?? 0) + (phases[`applied ${String(id)}`] ?? 0)) / 2,
    );
  const undoingStarts = calls.indexOf('journal COMMIT', undoing['committed 1']) + 1;
  expect(undoingStarts).toBeGreaterThan(1);
  const settled = (count: number): Omit<StateToRecover, 'prepare'> => ({
    log: Array.from({ length: count }, () => 'settled'),
    tree: trees[count] ?? [],
  });
  const unapplied = phases['committed 1'] ?? 0;
  const more: readonly StateToRecover[] = [
    { prepare: { ...all, die: { at: unapplied, when: 'after' } }, ...settled(1) },
    { prepare: { ...all, die: { at: middle(2), when: 'after' } }, ...settled(2) },
  ];
  // What the modes do otherwise lies below the seam, where killed-at-every-system-call looks.
  const isMoreTaken =
    isExhaustive || (native === 'auto' && amount({ thorough: true, otherwise: false }));
  return [
    ...(isMoreTaken ? more : []),
    { prepare: { ...all, die: { at: middle(3), when: 'after' } }, ...settled(3) },
    {
      prepare: { ...undone, die: { at: undoingStarts, when: 'after' } },
      log: ['rolled-back'],
      tree: trees[0] ?? [],
    },
  ];
}

interface StateToRecover {
  readonly prepare: Input;
  /** What recovery must make of it. */
  readonly log: readonly string[];
  readonly tree: readonly string[];
}

async function countCalls(place: Place, input: Input): Promise<RunReport> {
  const child = new Child('run-and-die.mjs', { ...place, ...input });
  await child.succeeded();
  return JSON.parse(child.said('REPORT')[0] ?? '') as RunReport;
}

/**
 * Right before each call, and right after the last. Right after a call is the same as right before
 * the next, as long as nothing that is not counted happens in between: SQLite does more at its own.
 */
function everyDeath(calls: readonly string[], nth = 80): readonly Death[] {
  const deaths = calls.flatMap((name, i): Death[] => {
    const at = i + 1;
    const isAfterToo = isExhaustive || at === calls.length || name.startsWith('journal');
    return [{ at, when: 'before' }, ...(isAfterToo ? [{ at, when: 'after' } as const] : [])];
  });
  return sampled(deaths, nth);
}

/** Runs every case, then fails with all that failed and where each died. */
async function forEachDeath<T>(
  about: Pick<Evidence, 'native' | 'operation'> & Partial<Pick<Evidence, 'fault'>>,
  deaths: readonly Death[],
  run: (die: Death) => Promise<T>,
): Promise<readonly T[]> {
  const failures: string[] = [];
  const results = await inParallel(deaths, async (die) => {
    try {
      return [await run(die)];
    } catch (error) {
      failures.push(`died ${die.when} call ${String(die.at)}: ${String(error)}`);
      return [];
    }
  });
  const [states, violations] = [deaths.length, failures.length];
  testify({ fault: 'killed at a call', on: testMachine, ...about, states, violations });
  expect(firstFew(failures)).toEqual([]);
  return results.flat();
}

/** Either kind of process must be able to recover what the other left. */
function recovererOf({ at }: Death, native: NativeMode): NativeMode {
  if (at % 2 === 0) return native;
  return native === 'auto' ? 'off' : 'auto';
}

async function runUntilDeath(
  place: Place,
  input: Input,
): Promise<{ readonly acknowledged: number; readonly hasFailed: boolean }> {
  const child = new Child('run-and-die.mjs', { ...place, ...input });
  const end = await child.ended;
  expect(end).toEqual({
    code: null,
    signal: 'SIGKILL',
    errors: '',
  });
  return { acknowledged: child.said('ACK').length, hasFailed: child.said('FAILED').length > 0 };
}

async function requireDoneOrNot(
  { root, directory }: Place,
  acknowledged: number,
  native: NativeMode,
): Promise<void> {
  const { tree, log } = await requireRecovered(root, { native });
  expect(log.map(({ state }) => state === 'rolled-back')).not.toContain(true);
  expect([acknowledged, acknowledged + 1]).toContain(log.length);
  expect(tree).toEqual(trees[log.length]);
  removeDirectory(directory);
}

function report(native: NativeMode, what: string, calls: number, deaths: number): void {
  console.log(
    `killed at every call, native ${native}, ${what}: ${String(calls)} calls, ${String(deaths)} processes killed`,
  );
}
