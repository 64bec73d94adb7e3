import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { sqliteDriver } from '../src/engine/sqlite.js';

/** What the numbers were measured on. */
export interface Machine {
  readonly date: string;
  readonly processor: string;
  readonly memoryGib: number;
  readonly kernel: string;
  readonly node: string;
  readonly sqlite: string;
  readonly commit: string;
  /** Of the last minute: another busy process is one that the numbers pay for. */
  readonly load: number;
}

export function describeMachine(): Machine {
  const [first] = cpus();
  const database = new (sqliteDriver())(':memory:');
  const sqlite = String(database.prepare('SELECT sqlite_version()').pluck().get());
  database.close();
  return {
    date: new Date().toISOString(),
    processor: `${String(cpus().length)} × ${first?.model ?? 'unknown'}`,
    memoryGib: Math.round(totalmem() / 1_024 ** 3),
    kernel: release(),
    node: process.versions.node,
    sqlite,
    commit: outputOf('git', ['-C', import.meta.dirname, 'rev-parse', '--short', 'HEAD']),
    load: loadavg()[0] ?? 0,
  };
}

/** The type of the file system that a directory is on, and its device. */
export function mountOf(directory: string): { readonly type: string; readonly device: string } {
  const found = readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([, at = '']) => `${directory}/`.startsWith(at === '/' ? '/' : `${at}/`))
    .toSorted(([, a = ''], [, b = '']) => a.length - b.length)
    .at(-1);
  return { type: found?.[2] ?? 'unknown', device: found?.[0] ?? 'unknown' };
}

function outputOf(program: string, args: readonly string[]): string {
  return spawnSync(program, args, { encoding: 'utf8' }).stdout?.trim() ?? '';
}
