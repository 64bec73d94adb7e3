import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { spreadOf } from '../measure.js';
import { plantCollection } from '../planted-collection.js';
import { atMost, type Findings, type Point, type Question, type Run } from '../question.js';

const command = join(import.meta.dirname, '../../dist/bin/skillmeat.js');
const warmUpRounds = 2;
/** The most that a process may cost over `node -e 0`, in milliseconds. */
const limitMs = 45;
const artifacts = 20;

export const start: Question = {
  name: 'start',
  question: 'What does a process of the command cost over one of Node that does nothing?',
  peers: 'node -e 0, right before each',
  unequal: 'nothing: the difference of the two is shown',
  xLabel: 'all',
  unit: 'ms',
  run,
};

interface Program {
  readonly name: string;
  readonly line: readonly string[];
  /** What it reads; other contents in each round. */
  readonly input?: (round: number) => string;
}

async function run({ place, isQuick, reference }: Run): Promise<Findings> {
  if (!existsSync(command)) throw new Error(`${command} is missing: run npm run build first`);
  const root = join(place.directory, 'collection');
  mkdirSync(root);
  plantCollection(root, artifacts);
  const at = ['-C', root];
  const apply = [command, 'txn', 'apply', '-', ...at, '--init'];
  const programs: readonly Program[] = [
    { name: 'txn apply, five files', line: apply, input: fiveFiles },
    { name: 'txn status', line: [command, 'txn', 'status', ...at] },
    { name: 'txn log', line: [command, 'txn', 'log', ...at] },
    { name: `list, ${String(artifacts)} artifacts`, line: [command, 'list', ...at] },
  ];
  const nothing: Program = { name: 'node -e 0', line: ['-e', '0'] };
  const wholes: number[] = [];
  const differences = new Map<string, number[]>(programs.map(({ name }) => [name, []]));
  for (let round = 0; round < warmUpRounds + (isQuick ? 5 : 25); round += 1) {
    for (const program of programs) {
      const base = time(nothing, round);
      const whole = time(program, round);
      if (round < warmUpRounds) continue;
      wholes.push(base);
      differences.get(program.name)?.push(whole - base);
    }
  }
  const base: Point = { series: nothing.name, x: 1, spread: spreadOf(wholes) };
  const points = [...differences].map(([name, values]) => ({
    series: `${name}, over that`,
    x: 1,
    spread: spreadOf(values),
  }));
  const ratios = points.flatMap(({ series, spread }) => [
    {
      what: series,
      x: 1,
      value: spread.median,
      unit: ' ms',
      limit: atMost(limitMs * reference.programs),
    },
    { what: `${series} ÷ ${nothing.name}`, x: 1, value: spread.median / base.spread.median },
  ]);
  return { points: [base, ...points], ratios, notes: [] };
}

function fiveFiles(round: number): string {
  const operations = Array.from({ length: 5 }, (_, index) => ({
    op: 'write',
    path: `notes/file-${String(index)}.md`,
    content: `${String(round)} and ${String(index)}\n`.repeat(200),
  }));
  return JSON.stringify({ version: 1, operations });
}

/** Runs the program and returns how long it took, in milliseconds. */
function time({ name, line, input }: Program, round: number): number {
  const began = performance.now();
  const { status, stderr } = spawnSync(process.execPath, line, {
    input: input?.(round) ?? '',
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`${name} failed: ${stderr}`);
  return performance.now() - began;
}
