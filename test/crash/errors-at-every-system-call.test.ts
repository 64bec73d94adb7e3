import fs from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { testify, testMachine } from '../support/evidence.js';
import {
  Child,
  cleanUp,
  describeTree,
  inParallel,
  makeDirectory,
  type Random,
  removeDirectory,
  seededRandom,
} from '../support/processes.js';
import { skippedBecause } from '../support/skipped.js';
import { whyNoStrace } from '../support/strace.js';
import type { RunInput } from './children/run-and-die.mjs';
import type { RunWithErrorsInput } from './children/run-with-errors.mjs';
import { systemErrors } from './failing-calls.js';
import {
  firstFew,
  copyPlace,
  makePlace,
  makeStore,
  type NativeMode,
  nativeModes,
  type Place,
  requireRecovered,
} from './recovered-state.js';
import { listSystemCalls, type SystemCall } from './system-calls.js';
import { amount, isExhaustive } from '../support/extent.js';

/*
 * Every system call on the store or the root fails, as strace sees to: SQLite's own and those inside
 * of one call of the seam among them. What the engine says of it must be true, as in
 * errors-at-every-call.test.ts:
 *
 * - success: a fresh open finds the after-image, and no sync before the acknowledgement has failed;
 * - failure: a fresh open finds what was there before, `COMMIT_UNKNOWN` and `BLOCKED`: one of the two;
 * - always: an error of ours that says what to do, and no descriptor is left.
 *
 * `npm test` takes one scenario, and SKILLMEAT_SYSTEM_CALLS of its kinds of call and file, one call of
 * each and the next error; SKILLMEAT_EXHAUSTIVE=1 takes every call, once and, of those that change something, also
 * from then on.
 */

/** Each of them may fail from some moment on; Node itself does not depend on these. */
const lasting = [
  'pwrite64',
  'fsync',
  'fdatasync',
  'syncfs',
  'ftruncate',
  'fallocate',
  'rename',
  'renameat2',
  'link',
  'unlink',
  'mkdir',
  'rmdir',
  'symlink',
  'fchmod',
  'chmod',
  'fchown',
  'lsetxattr',
];
const passing = [
  'openat',
  'openat2',
  'close',
  'read',
  'pread64',
  'write',
  'fcntl',
  'fstat',
  'newfstatat',
  'statx',
  'lstat',
  'stat',
  'statfs',
  'fstatfs',
  'getdents64',
  'readlink',
  'mmap',
  'lchown',
  'access',
  'ioctl',
  'llistxattr',
  'lgetxattr',
];
const traced = [...lasting, ...passing].map((call) => `?${call}`);
const strace = ['strace', '-f', '--seccomp-bpf', '-qq'];
const syncs = ['fsync', 'fdatasync', 'syncfs'];
const environment = { UV_THREADPOOL_SIZE: '1', UV_USE_IO_URING: '0' };
const sampledMax = Number(
  process.env['SKILLMEAT_SYSTEM_CALLS'] ?? amount({ thorough: 3, otherwise: 1 }),
);
const unknown = ['COMMIT_UNKNOWN', 'BLOCKED'];
const random: Random = seededRandom('errors at every system call');

const whyNot = whyNoStrace();
if (whyNot !== undefined) {
  console.warn(
    `\n!!! NOT RUN: errors at every system call need strace, and ${whyNot}.\n!!! Install it (apt-get install strace) to test this.\n`,
  );
  testify({ fault: 'error at a system call', on: testMachine, whyNot: `strace: ${whyNot}` });
}

afterEach(cleanUp);

interface SystemFault extends SystemCall {
  readonly errno: string;
  readonly isLasting: boolean;
}

interface Scenario {
  readonly name: string;
  readonly prepare: (native: NativeMode) => Promise<Place>;
  readonly input: Pick<RunWithErrorsInput, 'create' | 'run'>;
}

/** Both end with the transaction that has removals, a swap, a replaced directory, a link and a mode. */
const scenarios: readonly Scenario[] = [
  {
    name: 'the first initialisation and a transaction',
    prepare: async () => makePlace(),
    input: { create: true, run: 1 },
  },
  {
    name: 'a recovery and a transaction',
    prepare: killedInTransaction,
    input: { run: 1 },
  },
];

describe.each(nativeModes)('native %s', skippedBecause(whyNot), (native) => {
  const one = random.below(scenarios.length);
  test.each(isExhaustive ? scenarios : scenarios.slice(one, one + 1))(
    'whatever system call fails, what is said is true: $name',
    async (scenario) => {
      const template = await scenario.prepare(native);
      const before = await treeBefore(template, native);
      const counted = copyPlace(template);
      const calls = await listCalls(counted, native, scenario);
      const after = describeTree(counted.root);
      expect(after).not.toEqual(before);
      const faults = chooseFaults(calls);
      const violations: string[] = [];
      const said = new Map<string, number>();
      await inParallel(faults, async (fault) => {
        const place = copyPlace(template);
        try {
          const code = await runWith(fault, place, native, scenario);
          said.set(code, (said.get(code) ?? 0) + 1);
          const isMade = code === 'done' || scenario.input.create !== true;
          const options = { native, create: !isMade, adopt: true };
          const { tree } = await requireRecovered(place.root, options);
          if (code === 'done') expect(tree).toEqual(after);
          else if (!unknown.includes(code)) expect(tree).toEqual(before);
          else expect([before, after]).toContainEqual(tree);
        } catch (error) {
          const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
          violations.push(`${JSON.stringify(fault)}: ${message.slice(0, 1_500)}`);
        }
        removeDirectory(place.directory);
      });
      testify({
        fault: 'error at a system call',
        on: testMachine,
        native,
        states: faults.length,
        violations: violations.length,
        seed: random.seed,
        operation: scenario.name,
      });
      const counts = [...said].map(([code, count]) => `${code} ${String(count)}`).join(', ');
      console.log(
        `errors at every system call, native ${native}, ${scenario.name}: ${String(calls.length)} calls, ${String(faults.length)} faults: ${counts}`,
      );
      expect(firstFew(violations)).toEqual([]);
    },
  );
});

/** What the scenario's transaction starts from. */
async function treeBefore(template: Place, native: NativeMode): Promise<readonly string[]> {
  const { root, directory } = copyPlace(template);
  const { tree } = await requireRecovered(root, { native, create: true, adopt: true });
  removeDirectory(directory);
  return tree;
}

/** A store whose process was killed right after the commit. */
async function killedInTransaction(native: NativeMode): Promise<Place> {
  const place = await makeStore(native);
  const die: RunInput['die'] = {
    at: 1,
    of: native === 'auto' ? 'barrier' : 'journal COMMIT',
    when: 'after',
  };
  const child = new Child('run-and-die.mjs', { ...place, native, run: [0], die });
  const { signal, errors } = await child.ended;
  if (signal === 'SIGKILL') return place;
  throw new Error(`the child was to be killed: ${String(signal)} ${errors}`);
}

async function listCalls(
  place: Place,
  native: NativeMode,
  { input }: Scenario,
): Promise<readonly SystemCall[]> {
  const logDirectory = makeDirectory();
  const log = path.join(logDirectory, 'strace.log');
  const child = new Child(
    'run-with-errors.mjs',
    { ...place, ...input, native },
    {
      under: [...strace, '-y', '-o', log, '-e', `trace=${traced.join(',')}`],
      environment,
    },
  );
  expect(await child.ended).toEqual({ code: null, signal: 'SIGKILL', errors: '' });
  expect(child.said('SAID')).toEqual(['done']);
  expect(child.said('LEFT')).toEqual(['[]']);
  const calls = listSystemCalls(fs.readFileSync(log, 'utf8'), place.root);
  removeDirectory(logDirectory);
  expect(calls.length).toBeGreaterThan(0);
  return calls;
}

function chooseFaults(calls: readonly SystemCall[]): readonly SystemFault[] {
  let turn = random.below(systemErrors.length);
  const next = (given: SystemCall, isLasting: boolean): SystemFault => {
    // What is interrupted for ever never ends: SQLite tries again by itself.
    const errnos = isLasting ? systemErrors.filter((errno) => errno !== 'EINTR') : systemErrors;
    turn += 1;
    return { ...given, errno: errnos[turn % errnos.length] ?? 'EIO', isLasting };
  };
  if (isExhaustive) {
    return calls.flatMap((call) =>
      [false, ...(lasting.includes(call.call) ? [true] : [])].map((isLasting) =>
        next(call, isLasting),
      ),
    );
  }
  const kinds = new Map<string, SystemCall[]>();
  for (const call of calls) {
    const kind = `${call.call} ${call.on}`;
    kinds.set(kind, [...(kinds.get(kind) ?? []), call]);
  }
  const all = [...kinds.values()];
  const first = random.below(all.length);
  return Array.from({ length: Math.min(sampledMax, all.length) }, (_, n) => {
    // Not neighbours, which are much alike.
    const kind = all[(first + n * 7) % all.length] ?? calls;
    const call = kind[random.below(kind.length)];
    if (call === undefined) throw new Error('a kind has calls');
    return next(call, lasting.includes(call.call) && random.below(2) === 0);
  });
}

/** @returns `done`, or the code of the error. */
async function runWith(
  { call, at, errno, isLasting, isAcknowledged, isUnheard }: SystemFault,
  place: Place,
  native: NativeMode,
  { input }: Scenario,
): Promise<string> {
  const inject = `inject=${call}:error=${errno}:when=${String(at)}${isLasting ? '+' : ''}`;
  const child = new Child(
    'run-with-errors.mjs',
    { ...place, ...input, native },
    {
      under: [...strace, '-o', '/dev/null', '-e', `trace=${call}`, '-e', inject],
      environment,
    },
  );
  expect(await child.ended).toEqual({ code: null, signal: 'SIGKILL', errors: '' });
  const [said = ''] = child.said('SAID');
  expect(said).not.toMatch(/^RAW/);
  const left = JSON.parse(child.said('LEFT')[0] ?? '') as readonly string[];
  // strace keeps the call from the kernel; a real close() lets go also when it fails.
  expect(left.slice(call === 'close' ? 1 : 0)).toEqual([]);
  const mustHear = syncs.includes(call) && !isAcknowledged && !isUnheard;
  if (mustHear) expect(said, 'after a failed sync').not.toBe('done');
  return said.split(' ', 1)[0] ?? '';
}
