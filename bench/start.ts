// `npm run bench:start`: what a process of the command costs over one of Node that does nothing.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { milliseconds, type Spread, spreadOf, table } from './measure.js';
import { makeScratch } from './scratch.js';

const command = join(import.meta.dirname, '../dist/bin/skillmeat.js');
const rounds = 25;
const warmUpRounds = 2;
/** The most that applying five small files may cost over `node -e 0`, in milliseconds. */
const applyTargetMs = 70;

const { values: options } = parseArgs({ options: { dir: { type: 'string' } } });
const root = join(makeScratch(options.dir), 'root');

interface Program {
  readonly name: string;
  readonly line: readonly string[];
  /** What it reads; other contents in each round. */
  readonly input?: (round: number) => string;
}

const nothing: Program = { name: 'node -e 0', line: ['-e', '0'] };
const programs: readonly Program[] = [
  {
    name: 'txn apply, five files',
    line: [command, 'txn', 'apply', '-', '-C', root, '--init'],
    input: fiveFiles,
  },
  { name: 'txn status', line: [command, 'txn', 'status', '-C', root] },
  { name: 'txn log', line: [command, 'txn', 'log', '-C', root] },
];

function fiveFiles(round: number): string {
  const operations = Array.from({ length: 5 }, (_, index) => ({
    op: 'write',
    path: `skills/review/file-${String(index)}.md`,
    content: `${String(round)} and ${String(index)}\n`.repeat(200),
  }));
  return JSON.stringify({ version: 1, operations });
}

/** Runs the program and returns how long it took, in milliseconds. */
function run({ name, line, input }: Program, round: number): number {
  const start = performance.now();
  const { status, stderr } = spawnSync(process.execPath, line, {
    input: input?.(round) ?? '',
    encoding: 'utf8',
  });
  const time = performance.now() - start;
  if (status !== 0) throw new Error(`${name} failed: ${stderr}`);
  return time;
}

/** Runs nothing and then `program` in each round. */
function measure(program: Program): { readonly whole: Spread; readonly difference: Spread } {
  const whole: number[] = [];
  const differences: number[] = [];
  for (let round = 0; round < warmUpRounds + rounds; round += 1) {
    const base = run(nothing, round);
    const time = run(program, round);
    if (round < warmUpRounds) continue;
    whole.push(time);
    differences.push(time - base);
  }
  return { whole: spreadOf(whole), difference: spreadOf(differences) };
}

if (!existsSync(command)) throw new Error(`${command} is missing: run npm run build first`);

const rows = [['process', 'whole ms', `over ${nothing.name}`, 'p10–p90', 'target']];
for (const program of programs) {
  const { whole, difference } = measure(program);
  const isFine = difference.median <= applyTargetMs;
  const verdict = `≤ ${String(applyTargetMs)}: ${isFine ? 'pass' : 'FAIL'}`;
  rows.push([
    program.name,
    milliseconds(whole.median),
    milliseconds(difference.median),
    `${milliseconds(difference.p10)}–${milliseconds(difference.p90)}`,
    program.input === undefined ? '' : verdict,
  ]);
}
console.log(table(rows));
console.log(
  `\nMedians of ${String(rounds)} rounds; in each, ${nothing.name} runs right before the command, and the\n` +
    'difference of the two is taken.',
);
