import fs from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import type { Evidence } from '../support/evidence.js';
import { Child, makeDirectory, removeDirectory } from '../support/processes.js';

/*
 * Deaths by SIGKILL at a system call, as the kernel sees them: SQLite's own and those inside of one
 * call of the seam among them. strace counts the calls of a run that is left alone, then kills one
 * process at each. It counts every kind of call for itself, so a death is a kind and a number.
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
export const opening: readonly string[] = ['openat', 'close'];

const environment = { UV_THREADPOOL_SIZE: '1', UV_USE_IO_URING: '0' };

export interface Death {
  readonly call: string;
  /** Counted from the start of the process. */
  readonly at: number;
}

/** A script of `test/crash/children` that says START when its calls begin to count, and its input. */
export interface Victim {
  readonly script: string;
  readonly input: object;
}

/** Every kind of call with every number that it has after START, of those that `isTaken` takes. */
export async function countDeaths(
  { script, input }: Victim,
  isTaken: (call: string, line: string) => boolean,
): Promise<readonly Death[]> {
  const logDirectory = makeDirectory();
  const log = path.join(logDirectory, 'strace.log');
  // -y: each descriptor with the path that it stands for.
  const under = ['strace', '-f', '-y', '--seccomp-bpf', '-qq', '-o', log];
  const traced = ['-e', `trace=${[...changing, ...opening].join(',')}`];
  const child = new Child(script, input, { under: [...under, ...traced], environment });
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
  return deaths;
}

/** What the descriptor of a call stands for; `undefined`: it names paths, as renames do. */
export function fileOf(call: string, line: string): string | undefined {
  if (call === 'renameat2') return undefined;
  return /^\d+ +\w+\(\d+<([^>]*)>/.exec(line)?.[1];
}

/** How often a call is made before START differs a little from run to run. */
const earlyMax = 24;

/**
 * Runs a victim that dies, or a process of `cp` or `tar` that it started, where it needs these: then
 * the engine notices.
 */
export async function dieAt(
  { call, at }: Death,
  { script, input }: Victim,
): Promise<{
  readonly isAcknowledged: boolean;
  /** How many were. */
  readonly acknowledged: number;
  readonly isDead: boolean;
}> {
  for (let early = 0; early < earlyMax; early += 1) {
    // Not with --seccomp-bpf: strace 6.1 then injects errors, but no signal.
    const under = ['strace', '-f', '-qq', '-o', '/dev/null', '-e', `trace=${call}`];
    const inject = ['-e', `inject=${call}:signal=KILL:when=${String(at + early)}`];
    const child = new Child(script, input, { under: [...under, ...inject], environment });
    const { signal, code, errors } = await child.ended;
    const isDead = signal === 'SIGKILL';
    if (isDead && child.said('START').length === 0) continue;
    expect({ hasEnded: isDead || code === 0, errors }).toEqual({ hasEnded: true, errors: '' });
    const acknowledged = child.said('ACK').length;
    return { isAcknowledged: acknowledged === 1, acknowledged, isDead };
  }
  throw new Error(`it died before it started, at ${call} up to ${String(at + earlyMax - 1)}`);
}

/** Without the native part, `cp` or `tar` may make the call first; else few may come too late. */
export function requireDead(
  survived: readonly string[],
  deaths: readonly Death[],
  native: Evidence['native'],
): void {
  const survivedMax = Math.ceil(deaths.length / (native === 'auto' ? 16 : 4));
  expect(survived.length, `not killed: ${survived.join(', ')}`).toBeLessThanOrEqual(survivedMax);
  expect(survived.length, 'all of them survived').toBeLessThan(deaths.length);
}
