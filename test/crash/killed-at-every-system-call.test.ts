import fs from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import {
  Child,
  cleanUp,
  describeTree,
  inParallel,
  makeDirectory,
  removeDirectory,
} from '../support/processes.js';
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
import { isExhaustive, sampled } from '../support/extent.js';

/*
 * SIGKILL at every system call, as the kernel sees them: SQLite's own and those inside of one call
 * of the seam among them. strace counts the calls of a run that is left alone, then kills one
 * process at each. It counts every kind of call for itself, so a death is a kind and a number.
 *
 * Calls that change the store or the root are all taken, but for those to SQLite's shared index,
 * which the next process makes anew. Who dies at one that only opens or closes leaves what the one
 * leaves that dies at the next change. A native recovery makes one system call for each call of the
 * seam, where killed-at-every-call.test.ts kills it. SKILLMEAT_EXHAUSTIVE=1 takes all of these too.
 * A run that is not thorough kills at every twenty-fourth.
 */

const changing = [
  'write',
  'pwrite64',
  'fsync',
  'fdatasync',
  'syncfs',
  'rename',
  'renameat',
  'renameat2',
  'link',
  'linkat',
  'unlink',
  'unlinkat',
  'mkdir',
  'rmdir',
  'ftruncate',
  'fchmod',
  'chmod',
  'lchown',
  'symlink',
];
const opening = ['openat', 'close'];

/** The second transaction has removals, a swap, a replaced directory, a link and a mode. */
const transaction: Pick<RunInput, 'run'> = { run: [1] };
const environment = { UV_THREADPOOL_SIZE: '1', UV_USE_IO_URING: '0' };

const whyNot = whyNoStrace();
if (whyNot !== undefined) {
  console.warn(
    `\n!!! NOT RUN: SIGKILL at every system call needs strace, and ${whyNot}.\n!!! Install it (apt-get install strace) to test this.\n`,
  );
  testify({ fault: 'killed at a system call', on: testMachine, whyNot: `strace: ${whyNot}` });
}

afterEach(cleanUp);

interface Death {
  readonly call: string;
  /** Counted from the start of the process. */
  readonly at: number;
}

describe.each(nativeModes)('native %s', skippedBecause(whyNot), (native) => {
  test('a process killed at any system call of a transaction leaves it done or not begun', async () => {
    const input = { native, ...transaction };
    const counted = await makeStore(native);
    const before = describeTree(counted.root);
    const deaths = await countDeaths(counted, input);
    const after = describeTree(counted.root);
    expect(after).not.toEqual(before);
    await forEachDeath(deaths, { native, operation: 'a transaction' }, async (death) => {
      const place = await makeStore(native);
      const { isAcknowledged } = await dieAt(death, place, input);
      const { tree, log } = await requireRecovered(place.root, { native });
      expect(log.length).toBeGreaterThanOrEqual(isAcknowledged ? 1 : 0);
      expect(tree).toEqual(log.length === 1 ? after : before);
      removeDirectory(place.directory);
    });
  });

  const isCovered = native === 'auto' && !isExhaustive;
  const whyNotHere =
    'a native recovery makes one system call for each call of the seam, and is killed there; SKILLMEAT_EXHAUSTIVE=1 runs it';
  test(
    'a process killed at any system call of a recovery leaves the rest to the next',
    skippedBecause(isCovered ? whyNotHere : undefined),
    async () => {
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
      const deaths = await countDeaths(counted, { native });
      const after = describeTree(counted.root);
      expect(after).not.toEqual(before);
      await forEachDeath(deaths, { native, operation: 'a recovery' }, async (death) => {
        const place = await prepared();
        await dieAt(death, place, { native });
        const { tree, log } = await requireRecovered(place.root, { native });
        expect(log.length).toBe(1);
        expect(tree).toEqual(after);
        removeDirectory(place.directory);
      });
    },
  );
});

type Input = Omit<RunInput, 'root' | 'source'>;

/** Every kind of call with every number that it has after the store began to be opened. */
async function countDeaths(place: Place, input: Input): Promise<readonly Death[]> {
  const logDirectory = makeDirectory();
  const log = path.join(logDirectory, 'strace.log');
  // -y: each descriptor with the path that it stands for.
  const under = ['strace', '-f', '-y', '--seccomp-bpf', '-qq', '-o', log];
  const traced = ['-e', `trace=${[...changing, ...opening].join(',')}`];
  const child = new Child(
    'run-and-die.mjs',
    { ...place, ...input, isTraced: true },
    { under: [...under, ...traced], environment },
  );
  await child.succeeded();
  const lines = fs.readFileSync(log, 'utf8').split('\n');
  const main = lines[0]?.split(' ', 1)[0] ?? '';
  const counts = new Map<string, number>();
  const deaths: Death[] = [];
  let isStarted = false;
  for (const line of lines) {
    // "1234  rename("a", "b") = 0"; what another thread cut in two begins once only.
    const [, thread, call] = /^(\d+) +(\w+)\(/.exec(line) ?? [];
    if (thread !== main || call === undefined) continue;
    const at = (counts.get(call) ?? 0) + 1;
    counts.set(call, at);
    if (line.includes('"START\\n"')) isStarted = true;
    else if (isStarted && isTaken(call, line)) deaths.push({ call, at });
  }
  expect(isStarted).toBe(true);
  removeDirectory(logDirectory);
  return sampled(deaths, 24);
}

function isTaken(call: string, line: string): boolean {
  if (isExhaustive) return true;
  if (opening.includes(call)) return false;
  const [, descriptor] = /^\d+ +\w+\(\d+<([^>]*)>/.exec(line) ?? [];
  // Calls with names instead of a descriptor in front are renames and the like.
  if (descriptor === undefined || call === 'renameat2') return true;
  return descriptor.includes('/skillmeat-') && !descriptor.endsWith('-shm');
}

async function dieAt(
  { call, at }: Death,
  place: Place,
  input: Input,
): Promise<{ readonly isAcknowledged: boolean }> {
  const under = ['strace', '-f', '--seccomp-bpf', '-qq', '-o', '/dev/null'];
  const inject = ['-e', `trace=${call}`, '-e', `inject=${call}:signal=KILL:when=${String(at)}`];
  const child = new Child(
    'run-and-die.mjs',
    { ...place, ...input, isTraced: true },
    { under: [...under, ...inject], environment },
  );
  const { signal, code, errors } = await child.ended;
  // Without the native part a process of `cp` may be the one that dies; then the engine notices.
  const hasEnded = signal === 'SIGKILL' || code === 0;
  expect({ hasEnded, errors, started: child.said('START').length }).toEqual({
    hasEnded: true,
    errors: '',
    started: 1,
  });
  return { isAcknowledged: child.said('ACK').length === 1 };
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
  run: (death: Death) => Promise<void>,
): Promise<void> {
  const failures: string[] = [];
  await inParallel(deaths, async (death) => {
    try {
      await run(death);
    } catch (error) {
      failures.push(`killed at ${death.call} ${String(death.at)}: ${String(error)}`);
    }
  });
  const [states, violations] = [deaths.length, failures.length];
  console.log(
    `killed at every system call of ${String(about.operation)}, native ${about.native}: ${String(states)} processes killed`,
  );
  testify({ fault: 'killed at a system call', on: testMachine, ...about, states, violations });
  expect(firstFew(failures)).toEqual([]);
}
