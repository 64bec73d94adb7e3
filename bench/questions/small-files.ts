import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import writeFileAtomic from 'write-file-atomic';
import { openStore } from '../../src/engine/index.js';
import { newFiles, plant } from '../contents.js';
import { Floor, type NewFile } from '../floor.js';
import {
  atLeast,
  atMost,
  type Findings,
  type Limit,
  type Point,
  type Question,
  ratiosOf,
  type Run,
} from '../question.js';
import { fileSystemSync } from '../scratch.js';
import { type Side, takeTurns } from '../turns.js';

const ours = 'skillmeat';
const oneByOne = 'write-file-atomic, one by one';
const allAtOnce = 'write-file-atomic, all at once';
const floor = 'floor';
const floorOfOneFlush = 'floor with one flush';

/** How often, and what is wanted against write-file-atomic, one by one, and against the floor. */
interface Case {
  readonly files: number;
  readonly rounds: number;
  readonly peer?: number;
  /** On XFS and btrfs, where a sync of one file costs more. */
  readonly peerOn?: Readonly<Record<string, number>>;
  readonly floor?: number;
}
const cases: readonly Case[] = [
  { files: 1, rounds: 100 },
  { files: 2, rounds: 100, peer: 2, floor: 1.6 },
  { files: 7, rounds: 80, peer: 2.6, floor: 1.5 },
  { files: 25, rounds: 50 },
  { files: 100, rounds: 30, peer: 4, peerOn: { xfs: 5, btrfs: 15 }, floor: 1.3 },
  { files: 1_000, rounds: 10, peer: 4, peerOn: { xfs: 5, btrfs: 15 }, floor: 1.3 },
];
const warmUpRounds = 3;
const quickFilesMax = 100;

export const smallFiles: Question = {
  name: 'small-files',
  question: 'What does a transaction cost that replaces small files (0.5 to 7.5 kB)?',
  peers:
    'write-file-atomic, each file awaited before the next, as its callers mostly do, and all started at once; the floor (bench/floor.ts), with two flushes and with one',
  unequal:
    'write-file-atomic syncs each file but no directory, so a replacement can be lost with the power; nothing ties the files together, the old contents are gone. The floor is durable and all or nothing by a record that nobody could verify: it hashes nothing, and does not notice other writers. A checkpoint of ours in every 128th transaction is in the p90',
  xLabel: 'files',
  unit: 'ms',
  run,
};

async function run({ place, isQuick }: Run): Promise<Findings> {
  const points: Point[] = [];
  const flush = fileSystemSync(place.directory);
  for (const { files: count, rounds } of cases) {
    if (isQuick && count > quickFilesMax) continue;
    const directory = join(place.directory, String(count));
    const at = (name: string): string => join(directory, name.replaceAll(/\W+/g, '-'));
    for (const name of [ours, oneByOne, allAtOnce, floor, floorOfOneFlush]) {
      mkdirSync(at(name), { recursive: true });
      plant(at(name), newFiles(count, -1));
    }
    await using store = await openStore(at(ours), { create: true });
    using twoFlushes = new Floor(at(floor), 'two flushes');
    using oneFlush = new Floor(at(floorOfOneFlush), 'one flush');
    const side = (name: string, replace: (files: readonly NewFile[]) => unknown): Side => ({
      series: name,
      x: count,
      prepare: (round) => {
        if (round > 0) requireWritten(at(name), newFiles(count, round - 1));
        const files = newFiles(count, round);
        return () => replace(files);
      },
    });
    const write = (to: string, { name, content }: NewFile): Promise<unknown> =>
      writeFileAtomic(join(to, name), Buffer.from(content));
    const sides = [
      side(ours, (files) =>
        store.transact({}, async (tx) => {
          for (const { name, content } of files) await tx.write(name, content);
        }),
      ),
      side(oneByOne, async (files) => {
        for (const file of files) await write(at(oneByOne), file);
      }),
      side(allAtOnce, (files) => Promise.all(files.map((file) => write(at(allAtOnce), file)))),
      side(floor, (files) => {
        twoFlushes.replace(files);
      }),
      side(floorOfOneFlush, (files) => {
        oneFlush.replace(files);
      }),
    ];
    const turns = { rounds: isQuick ? Math.max(3, rounds / 10) : rounds, warmUpRounds, flush };
    points.push(...(await takeTurns(sides, turns)));
  }
  const caseOf = (x: number): Case | undefined => cases.find(({ files }) => files === x);
  const peerLimit = (x: number): Limit | undefined => {
    const found = caseOf(x);
    const wanted = found?.peerOn?.[place.fileSystem] ?? found?.peer;
    return wanted === undefined ? undefined : atLeast(wanted);
  };
  const floorLimit = (x: number): Limit | undefined => {
    const wanted = caseOf(x)?.floor;
    return wanted === undefined ? undefined : atMost(wanted);
  };
  const ratios = [
    ...ratiosOf(points, [oneByOne, ours], peerLimit),
    ...ratiosOf(points, [allAtOnce, ours]),
    ...ratiosOf(points, [ours, floor], floorLimit),
    ...ratiosOf(points, [ours, floorOfOneFlush]),
  ];
  const notes = isQuick ? [`quick: no more than ${String(quickFilesMax)} files`] : [];
  return { points, ratios, notes };
}

function requireWritten(directory: string, files: readonly NewFile[]): void {
  for (const { name, content } of files) {
    if (readFileSync(join(directory, name)).equals(content)) continue;
    throw new Error(`${directory}: ${name} was not written`);
  }
}
