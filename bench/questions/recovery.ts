import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openStore } from '../../src/engine/index.js';
import { spreadOf } from '../measure.js';
import {
  atMost,
  type Findings,
  type Point,
  type Question,
  ratiosOf,
  type Run,
} from '../question.js';
import type { Life, Report } from '../recovery-child.js';
import { fileSystemSync } from '../scratch.js';

const recovery = 'recovery';
const whole = 'the transaction itself';
const applying = '… of that, its renames';
/** Changes pending, and rounds. */
const cases: readonly (readonly [changes: number, rounds: number])[] = [
  [1, 10],
  [1_000, 5],
  [100_000, 2],
];
const quickCases: typeof cases = [
  [1, 3],
  [100, 3],
  [1_000, 2],
];

export const pendingChanges: Question = {
  name: 'recovery',
  question: 'How long does opening take after a kill right before the first rename?',
  peers: 'the same transaction when nobody kills it, in a process of its own, too',
  unequal:
    'recovery hashes what is in place and in the slots before and after, because another program may have been there, and waits for the disk once more; the transaction hashes, too, but knows what it wrote',
  xLabel: 'changes pending',
  unit: 'ms',
  run,
};

async function run({ place, isQuick }: Run): Promise<Findings> {
  const points: Point[] = [];
  const flush = fileSystemSync(place.directory);
  const root = join(place.directory, 'root');
  for (const [changes, rounds] of isQuick ? quickCases : cases) {
    const times: Record<string, number[]> = { [recovery]: [], [whole]: [], [applying]: [] };
    const paths = Array.from(
      { length: changes },
      (_, index) => `${String(index % 100)}/${String(index)}.md`,
    );
    const inFreshRoot = async (act: () => void): Promise<void> => {
      for (const path of paths) {
        mkdirSync(join(root, path, '..'), { recursive: true });
        writeFileSync(join(root, path), 'old content\n');
      }
      await (await openStore(root, { create: true })).close();
      flush();
      act();
      rmSync(root, { recursive: true });
    };
    for (let round = 0; round < rounds; round += 1) {
      await inFreshRoot(() => {
        const report = live({ kind: 'whole', root, paths });
        times[whole]?.push(report.milliseconds);
        times[applying]?.push(report.applying);
      });
      await inFreshRoot(() => {
        spawnSync(process.execPath, lineOf(place.directory, { kind: 'killed', root, paths }));
        flush();
        const report = live({ kind: 'recovery', root });
        if (report.changed !== changes) throw new Error('it did not recover what was pending');
        times[recovery]?.push(report.milliseconds);
      });
    }
    for (const [series, values] of Object.entries(times)) {
      points.push({ series, x: changes, spread: spreadOf(values) });
    }
  }
  const ratios = [
    ...ratiosOf(points, [recovery, whole], () => atMost(1.5)),
    ...ratiosOf(points, [recovery, applying]),
  ];
  return { points, ratios, notes: [] };

  function live(life: Life): Report {
    const { status, stdout, stderr } = spawnSync(process.execPath, lineOf(place.directory, life), {
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(`${life.kind} failed: ${stderr}`);
    return JSON.parse(stdout) as Report;
  }
}

/** What is asked is longer than an argument may be. */
function lineOf(directory: string, life: Life): readonly string[] {
  const request = join(directory, 'life.json');
  writeFileSync(request, JSON.stringify(life));
  return [join(import.meta.dirname, '../recovery-child.js'), request];
}
