import fs from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { testify } from '../support/evidence.js';
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
import { whyNoStrace } from '../support/strace.js';
import type { RunInput } from './children/run-and-die.mjs';
import type { RunWithErrorsInput } from './children/run-with-errors.mjs';
import { systemErrors } from './failing-calls.js';
import {
  firstFew,
  isExhaustive,
  makePlace,
  makeStore,
  type NativeMode,
  nativeModes,
  type Place,
  requireRecovered,
} from './recovered-state.js';

/*
 * Every system call on the store or the root fails, as strace sees to: SQLite's own and those inside
 * of one call of the seam among them. What the engine says of it must be true, as in
 * errors-at-every-call.test.ts.
 *
 * `npm test` takes SKILLMEAT_SYSTEM_CALLS of the kinds of call and file, one call of each and the next
 * error; SKILLMEAT_EXHAUSTIVE=1 takes every call with two errors, once and, of those that
 * change something, also from then on.
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
];
const environment = { UV_THREADPOOL_SIZE: '1', UV_USE_IO_URING: '0' };
const sampledMax = Number(process.env['SKILLMEAT_SYSTEM_CALLS'] ?? 8);
const unknown = ['COMMIT_UNKNOWN', 'BLOCKED'];
const random: Random = seededRandom('errors at every system call');

const whyNot = whyNoStrace();
if (whyNot !== undefined) {
  console.warn(
    `\n!!! NOT RUN: errors at every system call need strace, and ${whyNot}.\n!!! Install it (apt-get install strace) to test this.\n`,
  );
  testify({ fault: 'error at a system call', on: 'the test machine', whyNot });
}

afterEach(cleanUp);

interface SystemCall {
  readonly call: string;
  /** Counted from the start of the process. */
  readonly at: number;
  /** What it is done to: `journal.db-wal`, `stage`, … */
  readonly on: string;
}

interface SystemFault extends SystemCall {
  readonly errno: string;
  readonly isLasting: boolean;
}

interface Scenario {
  readonly name: string;
  readonly prepare: (native: NativeMode) => Promise<Place>;
  readonly input: Omit<RunWithErrorsInput, 'root' | 'source' | 'native'>;
  /** Opening finishes what is there, whatever failed before. */
  readonly isRecovery?: true;
}

const scenarios: readonly Scenario[] = [
  { name: 'a transaction', prepare: makeStore, input: { run: [1] } },
  { name: 'the first initialisation', prepare: async () => makePlace(), input: { create: true } },
  { name: 'a recovery', prepare: killedInTransaction, input: {}, isRecovery: true },
];

describe.skipIf(whyNot !== undefined).each(nativeModes)('native %s', (native) => {
  test.each(scenarios)(
    'whatever system call fails, what is said is true: $name',
    async (scenario) => {
      const counted = await scenario.prepare(native);
      const before = describeTree(counted.root);
      const calls = await listCalls(counted, native, scenario);
      const after = describeTree(counted.root);
      const faults = chooseFaults(calls);
      const violations: string[] = [];
      const said = new Map<string, number>();
      await inParallel(faults, async (fault) => {
        const place = await scenario.prepare(native);
        try {
          const code = await runWith(fault, place, native, scenario);
          said.set(code, (said.get(code) ?? 0) + 1);
          const isMade = code === 'done' || scenario.input.create !== true;
          const { tree } = await requireRecovered(place.root, { native, create: !isMade });
          if (code === 'done' || scenario.isRecovery === true) expect(tree).toEqual(after);
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
        on: 'the test machine',
        native,
        states: faults.length,
        violations: violations.length,
        seed: random.seed,
        note: scenario.name,
      });
      const counts = [...said].map(([code, count]) => `${code} ${String(count)}`).join(', ');
      console.log(
        `errors at every system call, native ${native}, ${scenario.name}: ${String(calls.length)} calls, ${String(faults.length)} faults: ${counts}`,
      );
      expect(firstFew(violations)).toEqual([]);
    },
  );

  test('a journal whose checkpoint fails while it is made is never taken for one', async () => {
    const input = { create: true };
    const scenario: Scenario = { name: '', prepare: async () => makePlace(), input };
    const calls = await listCalls(makePlace(), native, scenario);
    const first = calls.find(({ call, on }) => call === 'pwrite64' && on === 'journal.db.new');
    const checkpoint = calls.findLast(
      ({ call, on }) => call === 'pwrite64' && on === 'journal.db.new',
    );
    if (first === undefined || checkpoint === undefined) throw new Error('SQLite writes it');
    // The last pages are those of the checkpoint.
    expect(checkpoint.at).toBeGreaterThan(first.at);
    const place = makePlace();
    const fault = { ...checkpoint, errno: 'ENOSPC', isLasting: true };
    expect(await runWith(fault, place, native, scenario)).toBe('DISK_FULL');
    const store = path.join(place.root, '.skillmeat');
    expect(fs.existsSync(path.join(store, 'journal.db'))).toBe(false);
    await requireRecovered(place.root, { native, create: true });
  });
});

/** A store whose process was killed right after the commit. */
async function killedInTransaction(native: NativeMode): Promise<Place> {
  const place = await makeStore(native);
  const die: RunInput['die'] = {
    at: 2,
    of: native === 'auto' ? 'barrier' : 'journal COMMIT',
    when: 'after',
  };
  const child = new Child('run-and-die.mjs', { ...place, native, run: [1], die });
  const { signal, errors } = await child.ended;
  if (signal === 'SIGKILL') return place;
  throw new Error(`the child was to be killed: ${String(signal)} ${errors}`);
}

/** The system calls on the store and the root, in order, of a run that is left alone. */
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
      under: [
        ...['strace', '-f', '-y', '--seccomp-bpf', '-qq', '-o', log],
        ...['-e', `trace=${[...lasting, ...passing].map((call) => `?${call}`).join(',')}`],
      ],
      environment,
    },
  );
  await child.succeeded();
  expect(child.said('SAID')).toEqual(['done']);
  expect(child.said('LEFT')).toEqual(['[]']);
  const lines = fs.readFileSync(log, 'utf8').split('\n');
  const main = lines[0]?.split(' ', 1)[0] ?? '';
  const counts = new Map<string, number>();
  const calls: SystemCall[] = [];
  let isStarted = false;
  for (const line of lines) {
    const [, thread, call] = /^(\d+) +(\w+)\(/.exec(line) ?? [];
    if (thread !== main || call === undefined) continue;
    const at = (counts.get(call) ?? 0) + 1;
    counts.set(call, at);
    isStarted ||= line.includes('"START\\n"');
    if (line.includes('"SAID ')) break;
    const on = isStarted ? kindOfFile(line, place.root) : undefined;
    if (on !== undefined) calls.push({ call, at, on });
  }
  expect(calls.length).toBeGreaterThan(0);
  removeDirectory(logDirectory);
  return calls;
}

/** Which kind of file a line of strace is about; `undefined`: none of the store or the root. */
function kindOfFile(line: string, root: string): string | undefined {
  const at = line.indexOf(root);
  if (at < 0) return undefined;
  const [below = ''] = /^[^<>",]*/.exec(line.slice(at + root.length)) ?? [];
  const [, first, second] = below.split('/');
  if (first === undefined) return 'root';
  return first === '.skillmeat' ? (second ?? first) : 'a file';
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
    return calls.flatMap((call) => {
      const once = [next(call, false), next(call, false)];
      return lasting.includes(call.call) ? [...once, next(call, true), next(call, true)] : once;
    });
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
  { call, at, errno, isLasting }: SystemFault,
  place: Place,
  native: NativeMode,
  { input }: Scenario,
): Promise<string> {
  const when = `${String(at)}${isLasting ? '+' : ''}`;
  const child = new Child(
    'run-with-errors.mjs',
    { ...place, ...input, native },
    {
      under: [
        ...['strace', '-f', '--seccomp-bpf', '-qq', '-o', '/dev/null'],
        ...['-e', `trace=${call}`, '-e', `inject=${call}:error=${errno}:when=${when}`],
      ],
      environment,
    },
  );
  const { code, signal, errors } = await child.ended;
  expect({ code, signal, errors }).toEqual({ code: 0, signal: null, errors: '' });
  const [said = ''] = child.said('SAID');
  expect(said).not.toMatch(/^RAW/);
  expect(child.said('LEFT')).toEqual(['[]']);
  return said.split(' ', 1)[0] ?? '';
}
