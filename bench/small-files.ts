// `npm run bench`: replacing small files in one transaction, against write-file-atomic.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import writeFileAtomic from 'write-file-atomic';
import { openStore, type Store } from '../src/engine/index.js';
import { loopFileSystems, mountLoop } from './loop-file-systems.js';
import { milliseconds, type Spread, spreadOf, table, timed } from './measure.js';
import { fileSystemSync, makeScratch } from './scratch.js';

const { values: options } = parseArgs({
  options: {
    dir: { type: 'string' },
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    /** As root: also on file systems of their own. */
    loop: { type: 'boolean', default: false },
    native: { type: 'string', default: 'auto' },
  },
});

/** Files, rounds, and how many times faster than write-file-atomic we want to be. */
const cases: readonly {
  readonly files: number;
  readonly rounds: number;
  readonly target?: number;
}[] = [
  { files: 1, rounds: 200 },
  { files: 2, rounds: 200, target: 1.5 },
  { files: 7, rounds: 150, target: 2 },
  { files: 25, rounds: 100 },
  { files: 100, rounds: 60, target: 3 },
  { files: 1_000, rounds: 20, target: 3 },
];
const warmUpRounds = 3;

/** One way to replace files; each has a directory of its own. */
interface Side {
  readonly name: SideName;
  readonly directory: string;
  readonly replace: (files: readonly NewFile[]) => Promise<unknown>;
}
const sideNames = ['skillmeat', 'one by one', 'all at once'] as const;
type SideName = (typeof sideNames)[number];

interface NewFile {
  readonly name: string;
  readonly content: Buffer;
}

interface Result {
  readonly files: number;
  readonly spreads: Readonly<Record<SideName, Spread>>;
  /** Median of write-file-atomic, used in that way, over ours. */
  readonly ratios: Readonly<Record<'one by one' | 'all at once', number>>;
  /** For the ratio to one by one. */
  readonly target: number | undefined;
}

/** 512 to 7 679 bytes; other bytes in each round, so that every file really changes. */
function newFiles(count: number, round: number): readonly NewFile[] {
  return Array.from({ length: count }, (_, index) => {
    const outputLength = 512 + ((index * 2_579) % 7_168);
    const content = createHash('shake256', { outputLength })
      .update(`${String(index)} ${String(round)}`)
      .digest();
    return { name: `file-${String(index)}.md`, content };
  });
}

function sidesIn(scratch: string, store: Store): readonly Side[] {
  const directory = (name: SideName): string => join(scratch, name.replaceAll(' ', '-'));
  const [ours, oneByOne, allAtOnce] = sideNames;
  const at = (name: SideName, file: NewFile): string => join(directory(name), file.name);
  return [
    {
      name: ours,
      directory: store.root,
      replace: (files) =>
        store.transact({}, async (tx) => {
          for (const { name, content } of files) await tx.write(name, content);
        }),
    },
    {
      name: oneByOne,
      directory: directory(oneByOne),
      replace: async (files) => {
        for (const file of files) await writeFileAtomic(at(oneByOne, file), file.content);
      },
    },
    {
      name: allAtOnce,
      directory: directory(allAtOnce),
      replace: (files) =>
        Promise.all(files.map((file) => writeFileAtomic(at(allAtOnce, file), file.content))),
    },
  ];
}

async function measure(
  { files: count, rounds, target }: (typeof cases)[number],
  scratch: string,
): Promise<Result> {
  const native = options.native === 'off' ? 'off' : 'auto';
  await using store = await openStore(join(scratch, 'skillmeat'), { create: true, native });
  const sides = sidesIn(scratch, store);
  const flush = fileSystemSync(scratch);
  for (const { directory } of sides) {
    mkdirSync(directory, { recursive: true });
    for (const { name, content } of newFiles(count, -1)) {
      writeFileSync(join(directory, name), content);
    }
  }
  const times: Record<SideName, number[]> = { skillmeat: [], 'one by one': [], 'all at once': [] };
  const roundsRun = warmUpRounds + (options.quick ? Math.ceil(rounds / 10) : rounds);
  for (let round = 0; round < roundsRun; round += 1) {
    const files = newFiles(count, round);
    // Each begins as often as the others.
    for (let turn = 0; turn < sides.length; turn += 1) {
      const side = sides[(round + turn) % sides.length];
      if (side === undefined) continue;
      // Nobody pays for what another one left unwritten.
      flush();
      const time = await timed(() => side.replace(files));
      if (round >= warmUpRounds) times[side.name].push(time);
    }
    requireWritten(sides, files);
  }
  const spreads = {
    skillmeat: spreadOf(times.skillmeat),
    'one by one': spreadOf(times['one by one']),
    'all at once': spreadOf(times['all at once']),
  };
  const ratioTo = (side: SideName): number => spreads[side].median / spreads.skillmeat.median;
  const ratios = { 'one by one': ratioTo('one by one'), 'all at once': ratioTo('all at once') };
  return { files: count, spreads, ratios, target };
}

function requireWritten(sides: readonly Side[], files: readonly NewFile[]): void {
  for (const { directory, name: side } of sides) {
    for (const { name, content } of files) {
      if (readFileSync(join(directory, name)).equals(content)) continue;
      throw new Error(`${side}: ${name} was not written`);
    }
  }
}

async function measureAll(directory: string): Promise<readonly Result[]> {
  const results: Result[] = [];
  for (const [index, each] of cases.entries()) {
    const scratch = join(directory, String(index));
    mkdirSync(scratch);
    results.push(await measure(each, scratch));
  }
  return results;
}

function describe(results: readonly Result[]): string {
  const cell = ({ median, p10, p90 }: Spread): string =>
    `${milliseconds(median)} (${milliseconds(p10)}–${milliseconds(p90)})`;
  const rows = results.map(({ files, spreads, ratios, target }) => [
    String(files),
    cell(spreads.skillmeat),
    cell(spreads['one by one']),
    `${ratios['one by one'].toFixed(2)}×`,
    verdict(ratios['one by one'], target),
    cell(spreads['all at once']),
    `${ratios['all at once'].toFixed(2)}×`,
  ]);
  const head = ['files', 'skillmeat', 'one by one', 'ratio', 'target', 'all at once', 'ratio'];
  return table([head, ...rows]);
}

function verdict(ratio: number, target: number | undefined): string {
  if (target === undefined) return '';
  return `≥ ${target.toFixed(1)}×: ${ratio >= target ? 'pass' : 'FAIL'}`;
}

const notes = `
Milliseconds per transaction: median (p10–p90) of rounds in which the three take turns. write-file-atomic is
used in two ways: each file awaited before the next one, as its callers mostly do, and all started at once;
the ratios are those of the medians, the targets are for the first way. The file system is synced before
each turn, outside of the measured time.

What is not equal:
  write-file-atomic syncs each file; it syncs no directory, so a replacement can be lost with the power; nothing
  ties the files together; the old contents are gone.
  skillmeat makes all files appear or none; it syncs contents, names and journal before it answers; it hashes
  old and new contents, notices foreign writes, keeps the old contents as history. A checkpoint in every
  128th transaction, or after 4 096 changes, is in its p90 and mean rather than in its median.`;

const scratch = makeScratch(options.dir);
const places = new Map([[options.dir ?? 'the temporary directory', scratch]]);
if (options.loop) {
  for (const name of loopFileSystems) {
    const mounted = mountLoop(name, scratch);
    if ('mount' in mounted) places.set(`${name}, loop-mounted`, mounted.mount);
    else console.error(`${name} is left out: ${mounted.problem}`);
  }
}
const all: Record<string, readonly Result[]> = {};
for (const [name, directory] of places) {
  all[name] = await measureAll(directory);
  if (!options.json) console.log(`${name}:\n${describe(all[name])}\n`);
}
console.log(options.json ? JSON.stringify(all, undefined, 2) : notes.trim());
