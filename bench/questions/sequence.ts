import fs from 'node:fs';
import { join } from 'node:path';
import { openStore } from '../../src/engine/index.js';
import { plant } from '../contents.js';
import { Floor } from '../floor.js';
import { spreadOf, timed } from '../measure.js';
import {
  atLeast,
  type Findings,
  type Point,
  type Question,
  type Ratio,
  ratiosOf,
  type Run,
} from '../question.js';
import type { Reference } from '../reference.js';
import { fileSystemSync } from '../scratch.js';

const ours = 'skillmeat';
const floor = 'floor with one flush';
const disk = 'disk: append 4 KiB, fdatasync';
/** Callers, and how many transactions a second they are to get done together. */
const targets: ReadonlyMap<number, number> = new Map([
  [1, 600],
  [4, 1_500],
  [16, 3_000],
]);
const transactionsPerTurn = 80;

export const sequence: Question = {
  name: 'sequence',
  question:
    'How many small transactions (manifest, lock and one file) get done in a second by one process, with 1, 4 and 16 callers at once?',
  peers:
    'the floor with one flush, one after the other; the rate at which the disk flushes an append',
  unequal:
    "the floor checks nothing and keeps no history. The disk's rate is one small write and one flush each time: no transaction of its own flush can be faster",
  xLabel: 'callers',
  unit: 'transactions per second',
  run,
};

async function run({ place, isQuick, reference }: Run): Promise<Findings> {
  const rounds = isQuick ? 2 : 42;
  const rates = new Map<string, { series: string; x: number; values: number[] }>();
  const note = (series: string, x: number, milliseconds: number): void => {
    const key = `${series} ${String(x)}`;
    const row = rates.get(key) ?? { series, x, values: [] };
    row.values.push((transactionsPerTurn * 1_000) / milliseconds);
    rates.set(key, row);
  };
  const [root, floorRoot] = [join(place.directory, 'ours'), join(place.directory, 'floor')];
  const names = ['collection.toml', 'collection.lock', ...filesOf(16)];
  const contentOf = (name: string, round: number): Buffer =>
    Buffer.from(`${name} ${String(round)}\n`.repeat(60));
  for (const at of [root, floorRoot]) {
    plant(
      at,
      names.map((name) => ({ name, content: contentOf(name, -1) })),
    );
  }
  await using store = await openStore(root, { create: true });
  using lowest = new Floor(floorRoot, 'one flush');
  const flush = fileSystemSync(place.directory);
  const log = fs.openSync(join(place.directory, 'log'), 'a');
  const page = Buffer.alloc(4_096, 1);
  let round = 0;
  const threeOf = (caller: number): readonly string[] => {
    const [manifest = '', lock = ''] = names;
    return [manifest, lock, `skills/${String(caller)}/SKILL.md`];
  };
  const callers = async (count: number): Promise<void> => {
    const one = async (caller: number): Promise<void> => {
      for (let index = 0; index < transactionsPerTurn / count; index += 1) {
        round += 1;
        const at = round;
        await store.transact({ sharesFlush: true }, async (tx) => {
          for (const name of threeOf(caller)) await tx.write(name, contentOf(name, at));
        });
      }
    };
    await Promise.all(Array.from({ length: count }, (_, caller) => one(caller)));
  };
  for (let turn = -1; turn < rounds; turn += 1) {
    const measured = async (series: string, x: number, act: () => unknown): Promise<void> => {
      flush();
      const time = await timed(act);
      if (turn >= 0) note(series, x, time);
    };
    for (const count of targets.keys()) await measured(ours, count, () => callers(count));
    await measured(floor, 1, () => {
      for (let index = 0; index < transactionsPerTurn; index += 1) {
        round += 1;
        lowest.replace(
          ['collection.toml', 'collection.lock', 'SKILL.md'].map((name) => ({
            name,
            content: contentOf(name, round),
          })),
        );
      }
    });
    await measured(disk, 1, () => {
      for (let index = 0; index < transactionsPerTurn; index += 1) {
        fs.writeSync(log, page);
        fs.fdatasyncSync(log);
      }
    });
  }
  fs.closeSync(log);
  const points: readonly Point[] = [...rates.values()].map(({ series, x, values }) => ({
    series,
    x,
    spread: spreadOf(values),
  }));
  return { points, ratios: ratiosIn(points, reference), notes: [] };
}

function filesOf(callers: number): readonly string[] {
  return [
    ...Array.from({ length: callers }, (_, caller) => `skills/${String(caller)}/SKILL.md`),
    'SKILL.md',
  ];
}

function ratiosIn(points: readonly Point[], reference: Reference): readonly Ratio[] {
  const flushes = points.find(({ series }) => series === disk)?.spread.median ?? Number.NaN;
  const rates = points.filter(({ series }) => series === ours);
  return [
    ...rates.map(({ x, spread }) => ({
      what: 'skillmeat, a second',
      x,
      value: spread.median,
      unit: '/s',
      limit: atLeast((targets.get(x) ?? 0) / reference.disk),
    })),
    ...rates.map(({ x, spread }) => ({
      what: `${ours} ÷ flushes of the disk`,
      x,
      value: spread.median / flushes,
    })),
    ...ratiosOf(points, [floor, ours]),
  ];
}
