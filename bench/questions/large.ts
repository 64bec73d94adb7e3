import { spawnSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { closeSync, mkdirSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { openStore } from '../../src/engine/index.js';
import {
  atLeast,
  type Findings,
  type Point,
  type Question,
  ratiosOf,
  type Run,
} from '../question.js';
import { fileSystemSync } from '../scratch.js';
import { takeTurns } from '../turns.js';

const ours = 'skillmeat, copyIn';
const peer = 'cp, then sync';
const mebibyte = 1_024 ** 2;
/** Files, and bytes of each. */
const cases: readonly (readonly [files: number, bytes: number])[] = [
  [1, 1_024 * mebibyte],
  [100_000, 2_000],
];
const quickCases: typeof cases = [
  [1, 128 * mebibyte],
  [2_000, 2_000],
];
const filesPerDirectory = 100;

export const large: Question = {
  name: 'large',
  question: 'What does it cost to bring in one file of 1 GiB, and 100 000 files of 2 kB?',
  peers: 'cp -r --reflink=never, then a sync of the file system',
  unequal:
    'cp hashes nothing, keeps no record of what it made, and a kill leaves half of it. Blocks are not shared on either side. Peak memory is in bench:memory',
  xLabel: 'files',
  unit: 'ms',
  run,
};

async function run({ place, isQuick }: Run): Promise<Findings> {
  const points: Point[] = [];
  const flush = fileSystemSync(place.directory);
  for (const [files, bytes] of isQuick ? quickCases : cases) {
    const source = join(place.directory, `source-${String(files)}`);
    plantSource(source, files, bytes);
    const at = (name: string): string => join(place.directory, name);
    const fresh = (name: string): string => {
      rmSync(at(name), { recursive: true, force: true });
      mkdirSync(at(name));
      return at(name);
    };
    points.push(
      ...(await takeTurns(
        [
          {
            series: ours,
            x: files,
            prepare: async () => {
              const root = fresh('ours');
              const store = await openStore(root, { create: true });
              return async () => {
                await store.transact({}, (tx) => tx.copyIn('copy', source));
                await store.close();
              };
            },
          },
          {
            series: peer,
            x: files,
            prepare: () => {
              const to = fresh('cp');
              return () => {
                const line = ['-r', '--reflink=never', source, join(to, 'copy')];
                const { status, stderr } = spawnSync('cp', line, { encoding: 'utf8' });
                if (status !== 0) throw new Error(`cp failed: ${stderr}`);
                flush();
              };
            },
          },
        ],
        { rounds: isQuick ? 2 : 5, warmUpRounds: 1, flush },
      )),
    );
    for (const name of ['ours', 'cp']) rmSync(at(name), { recursive: true });
  }
  return {
    points,
    ratios: ratiosOf(points, [peer, ours], () => atLeast(0.7)),
    notes: isQuick ? ['quick: 128 MiB, and 2 000 files'] : [],
  };
}

/** Other bytes in each MiB, so that no file system stores them once for all. */
function plantSource(source: string, files: number, bytes: number): void {
  mkdirSync(source);
  if (files === 1) {
    const piece = Buffer.alloc(mebibyte);
    const file = openSync(join(source, 'large'), 'wx');
    for (let written = 0; written < bytes; written += piece.length) {
      writeSync(file, randomFillSync(piece));
    }
    closeSync(file);
    return;
  }
  const content = randomFillSync(Buffer.alloc(bytes));
  for (let index = 0; index < files; index += 1) {
    const directory = join(source, String(Math.floor(index / filesPerDirectory)));
    if (index % filesPerDirectory === 0) mkdirSync(directory);
    writeFileSync(join(directory, `${String(index)}.md`), content);
  }
}
