import { afterEach, beforeAll, expect, test } from 'vitest';
import { type Evidence, testify, testMachine } from '../support/evidence.js';
import { isExhaustive, sampled } from '../support/extent.js';
import { Child, cleanUp, inParallel, removeDirectory } from '../support/processes.js';
import { skippedBecause } from '../support/skipped.js';
import { whyNoStrace } from '../support/strace.js';
import type { RunInput, RunReport } from './children/run-and-die.mjs';
import { sharing } from './children/transactions.mjs';
import {
  expectedTrees,
  firstFew,
  makeStore,
  type NativeMode,
  type Place,
  requireRecovered,
} from './recovered-state.js';
import { countDeaths, dieAt, fileOf, opening, requireDead } from './system-call-deaths.js';

/*
 * SIGKILL at every call of four transactions that share a flush, and of the recovery of what they
 * leave. A run that is not thorough kills at every sixteenth.
 */

const native = 'auto';
const input: Omit<RunInput, 'root' | 'source'> = { native, isTogether: true };

let trees: readonly (readonly string[])[] = [];

beforeAll(async () => {
  trees = await expectedTrees(sharing);
});
afterEach(cleanUp);

type Death = NonNullable<RunInput['die']>;

async function countCalls(
  place: Place,
  given: Omit<RunInput, 'root' | 'source'>,
): Promise<RunReport> {
  const child = new Child('run-and-die.mjs', { ...place, ...given });
  await child.succeeded();
  return JSON.parse(child.said('REPORT')[0] ?? '') as RunReport;
}

/** @returns how many were acknowledged. */
async function kill(
  place: Place,
  given: Omit<RunInput, 'root' | 'source'>,
  die: Death,
): Promise<number> {
  const child = new Child('run-and-die.mjs', { ...place, ...given, die });
  expect(await child.ended).toEqual({ code: null, signal: 'SIGKILL', errors: '' });
  return child.said('ACK').length;
}

/** Each is done or not begun, in order, and every acknowledged one is done. */
async function requireOrdered(
  { root, directory }: Place,
  acknowledged: number,
  recoverer: NativeMode,
): Promise<number> {
  const { tree, log } = await requireRecovered(root, { native: recoverer });
  expect(log.map(({ message }) => message)).toEqual(log.map((_, n) => `transaction ${String(n)}`));
  expect(log.map(({ state }) => state === 'rolled-back')).not.toContain(true);
  expect(log.length).toBeGreaterThanOrEqual(acknowledged);
  expect(tree).toEqual(trees[log.length]);
  removeDirectory(directory);
  return log.length;
}

async function forEach<T>(
  deaths: readonly T[],
  about: Pick<Evidence, 'fault' | 'operation'>,
  run: (death: T) => Promise<unknown>,
): Promise<void> {
  const failures: string[] = [];
  await inParallel(deaths, async (death) => {
    try {
      await run(death);
    } catch (error) {
      failures.push(`${JSON.stringify(death)}: ${String(error)}`);
    }
  });
  const [states, violations] = [deaths.length, failures.length];
  testify({ on: testMachine, native, ...about, states, violations });
  console.log(`${about.fault}, ${String(about.operation)}: ${String(states)} processes killed`);
  expect(firstFew(failures)).toEqual([]);
}

function deathsAt(calls: readonly string[]): readonly Death[] {
  return calls.flatMap((name, i): Death[] => {
    const at = i + 1;
    const isAfterToo = at === calls.length || name.startsWith('journal') || name === 'barrier';
    return [{ at, when: 'before' }, ...(isAfterToo ? [{ at, when: 'after' } as const] : [])];
  });
}

/** Either kind of process must be able to recover what a native one left. */
function recovererOf({ at }: Death): NativeMode {
  return at % 2 === 0 ? 'auto' : 'off';
}

test('a process killed at any call of transactions that share a flush leaves each done or not begun', async () => {
  const { calls } = await countCalls(await makeStore(native), input);
  // One is that of the first recovery.
  expect(calls.filter((name) => name === 'barrier').length).toBeLessThan(1 + sharing.length);
  const found = new Set<number>();
  const deaths = sampled(deathsAt(calls), 32);
  const about = {
    fault: 'killed at a call',
    operation: 'transactions that share a flush',
  } as const;
  await forEach(deaths, about, async (die) => {
    const place = await makeStore(native);
    const acknowledged = await kill(place, input, die);
    found.add(await requireOrdered(place, acknowledged, recovererOf(die)));
  });
  expect(found).toContain(0);
  expect(found).toContain(4);
});

test('a process killed at any call of recovering a group leaves the rest of it to the next', async () => {
  const { calls, phases } = await countCalls(await makeStore(native), input);
  const flush = calls.lastIndexOf('barrier') + 1;
  // Before the flush; after it; with one applied and the next half applied.
  const moments: readonly Death[] = [
    { at: flush, when: 'before' },
    { at: flush, when: 'after' },
    { at: (phases['applied 1'] ?? 0) + 3, when: 'before' },
  ];
  for (const die of moments) {
    const counted = await makeStore(native);
    await kill(counted, input, die);
    const { calls: recovering } = await countCalls(counted, { native });
    const deaths = sampled(deathsAt(recovering), 48);
    const about = { fault: 'killed at a call', operation: 'a recovery of a group' } as const;
    await forEach(deaths, about, async (again) => {
      const place = await makeStore(native);
      const acknowledged = await kill(place, input, die);
      await kill(place, { native }, again);
      expect(await requireOrdered(place, acknowledged, recovererOf(again))).toBe(4);
    });
  }
});

const whyNot = whyNoStrace();

test(
  'a process killed at any system call of transactions that share a flush leaves each done or not begun',
  skippedBecause(whyNot && `strace: ${whyNot}`),
  async () => {
    const victim = ({ root, source }: Place) => ({
      script: 'run-and-die.mjs',
      input: { root, source, ...input, isTraced: true },
    });
    const isTaken = (call: string, line: string): boolean => {
      if (isExhaustive) return true;
      if (opening.includes(call)) return false;
      const file = fileOf(call, line);
      return file === undefined || (file.includes('/skillmeat-') && !file.endsWith('-shm'));
    };
    const deaths = sampled(await countDeaths(victim(await makeStore(native)), isTaken), 32);
    const survived: string[] = [];
    const about = {
      fault: 'killed at a system call',
      operation: 'transactions that share a flush',
    } as const;
    await forEach(deaths, about, async (death) => {
      const place = await makeStore(native);
      const { isDead, acknowledged } = await dieAt(death, victim(place));
      if (!isDead) survived.push(`${death.call} ${String(death.at)}`);
      await requireOrdered(place, acknowledged, native);
    });
    requireDead(survived, deaths, native);
  },
);
