// `npm run bench:memory`: peak memory for a large file and for many changes, each in a fresh process.
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { randomFillSync } from 'node:crypto';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { CaseName, Report, Task } from './memory-child.js';
import { makeScratch } from './scratch.js';

const mebibyte = 1_024 ** 2;
const largeBytes = 1_024 * mebibyte;
const manyFiles = 100_000;
const limits: Readonly<Record<CaseName, number>> = {
  stream: 150 * mebibyte,
  copyIn: 150 * mebibyte,
  from: 150 * mebibyte,
  plan: 700 * mebibyte,
  library: 700 * mebibyte,
};
const titles: Readonly<Record<CaseName, string>> = {
  stream: '1 GiB through a stream',
  copyIn: '1 GiB by copyIn',
  from: '1 GiB by "from" in a plan',
  plan: '100 000 files replaced by a plan in JSON Lines',
  library: '100 000 files replaced by the library',
};

const { values: options } = parseArgs({ options: { dir: { type: 'string' } } });
const scratch = makeScratch(options.dir);
const large = join(scratch, 'large');
const plan = join(scratch, 'plan.jsonl');

/** Other bytes in each MiB, so that nothing can be stored once for all of them. */
function makeLargeFile(): void {
  const piece = Buffer.alloc(mebibyte);
  const file = openSync(large, 'wx');
  for (let written = 0; written < largeBytes; written += piece.length) {
    writeSync(file, randomFillSync(piece));
  }
  closeSync(file);
}

function pathOf(index: number): string {
  return `${String(index % 100)}/${String(index)}.md`;
}

function makePlan(): void {
  const lines = Array.from({ length: manyFiles }, (_, index) =>
    JSON.stringify({
      op: 'write',
      path: pathOf(index),
      content: `new content of ${String(index)}`,
    }),
  );
  writeFileSync(plan, [JSON.stringify({ version: 1 }), ...lines, ''].join('\n'));
}

/** Files to be replaced: each becomes a unit of its own, with a before-image. */
function makeManyFiles(root: string): void {
  for (let index = 0; index < 100; index += 1) mkdirSync(join(root, String(index)));
  for (let index = 0; index < manyFiles; index += 1) {
    writeFileSync(join(root, pathOf(index)), 'old');
  }
}

function run(task: Task): Report {
  const child = join(import.meta.dirname, 'memory-child.js');
  const { status, stdout, stderr } = spawnSync(process.execPath, [child, JSON.stringify(task)], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`${task.name} failed: ${stderr}`);
  return JSON.parse(stdout) as Report;
}

function measure(name: CaseName, native: Task['native']): Report {
  const isMany = name === 'plan' || name === 'library';
  const root = join(scratch, 'root');
  mkdirSync(root);
  try {
    if (isMany) makeManyFiles(root);
    const source = name === 'plan' ? plan : large;
    const report = run({ name, native, root, source, files: manyFiles });
    requireDone(root, report.changes, isMany);
    return report;
  } finally {
    rmSync(root, { recursive: true });
  }
}

function requireDone(root: string, changes: number, isMany: boolean): void {
  const isDone = isMany
    ? changes === manyFiles &&
      readFileSync(join(root, pathOf(77_777)), 'utf8') === 'new content of 77777'
    : changes === 1 && statSync(join(root, 'large')).size === largeBytes;
  if (!isDone) throw new Error('the transaction did not do what it was told');
}

/** Cells of one width each, so that every line can be printed when it is known. */
function printRow([title = '', ...cells]: readonly string[]): void {
  console.log(`${title.padEnd(48)}${cells.map((cell) => cell.padStart(11)).join('')}`.trimEnd());
}

makeLargeFile();
makePlan();
printRow(['case', 'native', 'seconds', 'peak MiB', 'limit MiB']);
for (const name of Object.keys(titles) as CaseName[]) {
  for (const native of ['auto', 'off'] as const) {
    const { milliseconds, peakBytes } = measure(name, native);
    const isOver = peakBytes >= limits[name];
    if (isOver) process.exitCode = 1;
    printRow([
      titles[name],
      native,
      (milliseconds / 1_000).toFixed(2),
      (peakBytes / mebibyte).toFixed(0),
      (limits[name] / mebibyte).toFixed(0),
      isOver ? 'OVER' : 'pass',
    ]);
  }
}
console.log('\nPeak: the largest resident set of a fresh process that does nothing else.');
