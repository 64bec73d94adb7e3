import { afterEach, describe, expect, test } from 'vitest';
import { Child, cleanUp, describeTree, inParallel, removeDirectory } from '../support/processes.js';
import { whyNoStrace } from '../support/strace.js';
import type { RunInput } from './children/run-and-die.mjs';
import {
  firstFew,
  makeStore,
  type NativeMode,
  nativeModes,
  type Place,
  requireRecovered,
} from './recovered-state.js';
import { skippedBecause } from '../support/skipped.js';
import { type Evidence, testify, testMachine } from '../support/evidence.js';
import {
  countDeaths,
  type Death,
  dieAt,
  fileOf,
  opening,
  requireDead,
  type Victim,
} from './system-call-deaths.js';
import { isExhaustive, sampled } from '../support/extent.js';

/*
 * SIGKILL at every system call (system-call-deaths.ts).
 *
 * Calls that change the store or the root are all taken, but for those to SQLite's shared index,
 * which the next process makes anew. Who dies at one that only opens or closes leaves what the one
 * leaves that dies at the next change. SKILLMEAT_EXHAUSTIVE=1 takes all of these too. A run that is not
 * thorough kills at every eightieth.
 */

/** The second transaction has removals, a swap, a replaced directory, a link and a mode. */
const transaction: Pick<RunInput, 'run'> = { run: [1] };

const whyNot = whyNoStrace();
if (whyNot !== undefined) {
  console.warn(
    `\n!!! NOT RUN: SIGKILL at every system call needs strace, and ${whyNot}.\n!!! Install it (apt-get install strace) to test this.\n`,
  );
  testify({ fault: 'killed at a system call', on: testMachine, whyNot: `strace: ${whyNot}` });
}

afterEach(cleanUp);

describe.each(nativeModes)('native %s', skippedBecause(whyNot), (native) => {
  test('a process killed at any system call of a transaction leaves it done or not begun', async () => {
    const input = { native, ...transaction };
    const counted = await makeStore(native);
    const before = describeTree(counted.root);
    const deaths = sampled(await countDeaths(victim(counted, input), isTaken), 80);
    const after = describeTree(counted.root);
    expect(after).not.toEqual(before);
    await forEachDeath(deaths, { native, operation: 'a transaction' }, async (death) => {
      const place = await makeStore(native);
      const { isAcknowledged, isDead } = await dieAt(death, victim(place, input));
      const { tree, log } = await requireRecovered(place.root, { native });
      expect(log.length).toBeGreaterThanOrEqual(isAcknowledged ? 1 : 0);
      expect(tree).toEqual(log.length === 1 ? after : before);
      removeDirectory(place.directory);
      return isDead;
    });
  });

  test('a process killed at any system call of a recovery leaves the rest to the next', async () => {
    const prepare = { native, ...transaction };
    const at = await countSeamCallsToCommit(native);
    const prepared = async (): Promise<Place> => {
      const place = await makeStore(native);
      const die: RunInput['die'] = { at, when: 'after' };
      const child = new Child('run-and-die.mjs', { ...place, ...prepare, die });
      expect((await child.ended).signal).toBe('SIGKILL');
      return place;
    };
    const counted = await prepared();
    const before = describeTree(counted.root);
    const deaths = sampled(await countDeaths(victim(counted, { native }), isTaken), 80);
    const after = describeTree(counted.root);
    expect(after).not.toEqual(before);
    await forEachDeath(deaths, { native, operation: 'a recovery' }, async (death) => {
      const place = await prepared();
      const { isDead } = await dieAt(death, victim(place, { native }));
      const { tree, log } = await requireRecovered(place.root, { native });
      expect(log.length).toBe(1);
      expect(tree).toEqual(after);
      removeDirectory(place.directory);
      return isDead;
    });
  });
});

type Input = Omit<RunInput, 'root' | 'source'>;

function victim({ root, source }: Place, input: Input): Victim {
  return { script: 'run-and-die.mjs', input: { root, source, ...input, isTraced: true } };
}

function isTaken(call: string, line: string): boolean {
  if (isExhaustive) return true;
  if (opening.includes(call)) return false;
  const file = fileOf(call, line);
  return file === undefined || (file.includes('/skillmeat-') && !file.endsWith('-shm'));
}

/** Number of the seam's calls up to the moment when nothing of the commit is applied yet. */
async function countSeamCallsToCommit(native: NativeMode): Promise<number> {
  const child = new Child('run-and-die.mjs', {
    ...(await makeStore(native)),
    native,
    ...transaction,
  });
  await child.succeeded();
  const { phases } = JSON.parse(child.said('REPORT')[0] ?? '') as {
    phases: Record<string, number>;
  };
  return phases['committed 1'] ?? 0;
}

async function forEachDeath(
  deaths: readonly Death[],
  about: Pick<Evidence, 'native' | 'operation'>,
  /** Tells whether the process died. */
  run: (death: Death) => Promise<boolean>,
): Promise<void> {
  const failures: string[] = [];
  const survived: string[] = [];
  await inParallel(deaths, async (death) => {
    try {
      if (!(await run(death))) survived.push(`${death.call} ${String(death.at)}`);
    } catch (error) {
      failures.push(`killed at ${death.call} ${String(death.at)}: ${String(error)}`);
    }
  });
  const [states, violations] = [deaths.length - survived.length, failures.length];
  console.log(
    `killed at every system call of ${String(about.operation)}, native ${about.native}: ${String(states)} of ${String(deaths.length)} processes killed`,
  );
  testify({ fault: 'killed at a system call', on: testMachine, ...about, states, violations });
  expect(firstFew(failures)).toEqual([]);
  requireDead(survived, deaths, about.native);
}
