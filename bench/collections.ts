/*
 * `npm run bench:collections`
 *
 * Question: what does updating one artifact of five files cost, fetching excluded, in a collection of
 * 100 to 50 000 files, when it succeeds and when the lock cannot be written and all is rolled back?
 * And what do looking at a large collection and listing it cost?
 *
 * Sides, one after the other in each round, in another order each time:
 * - the engine's own transaction of the same files with a manifest of a few lines: the floor;
 * - ours, through the library, in an open collection; and the first update after opening, when
 *   manifest and lock have to be taken apart;
 * - the predecessor's way, re-implemented: an archive of everything, then in place. Small collections
 *   only; its TOML is not counted, nor is Python's start;
 * - reading and writing both TOML files as a whole, which the predecessor did as well.
 *
 * Not equal: ours flushes each update to disk and keeps a history, the predecessor's way flushes the
 * two TOML files only. Ratios are to the engine's transaction of the same run, and are what a loaded
 * machine can still tell; milliseconds are only good on a quiet one.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { CollectionReader } from '../src/collection/index.js';
import { milliseconds, spreadOf, table } from './measure.js';
import { filesPerArtifact, plantCollection } from './planted-collection.js';
import { makeScratch } from './scratch.js';
import { openSides, type Side } from './update-sides.js';

const command = join(import.meta.dirname, '../dist/bin/skillmeat.js');
/** Files of a collection, and what updating one artifact of five files in it may take, in milliseconds. */
const updateTargets: readonly (readonly [files: number, targetMs: number])[] = [
  [100, 4],
  [1_000, 10],
  [10_000, 50],
  [50_000, 250],
];
/** Collections for which copying all of it is measured, too. */
const predecessorFilesMax = 1_000;
const listedArtifacts = 2_000;
const listTargetMs = 150;
const warmUpRounds = 3;

const { values: options } = parseArgs({
  options: {
    dir: { type: 'string' },
    json: { type: 'boolean', default: false },
    files: { type: 'string', multiple: true },
    rounds: { type: 'string', default: '15' },
  },
});
const rounds = Number(options.rounds);
const scratch = makeScratch(options.dir);

interface Row {
  readonly what: string;
  readonly files: number;
  readonly medianMs: number;
  readonly p10Ms: number;
  readonly p90Ms: number;
  /** Of this process, user and system; `null` where another process did the work. */
  readonly cpuMs: number | null;
  /** Median by median, to the engine's transaction of the same files that ends in the same way. */
  readonly ratio: number | null;
  readonly targetMs: number | null;
}
const rows: Row[] = [];

interface Times {
  readonly wall: number[];
  readonly cpu: number[];
}

interface NoteOptions {
  readonly files: number;
  readonly targetMs?: number | undefined;
  readonly engineMs?: number | undefined;
}

function note(
  what: string,
  { wall, cpu }: Times,
  { files, targetMs, engineMs }: NoteOptions,
): void {
  const { median, p10, p90 } = spreadOf(wall);
  rows.push({
    what,
    files,
    medianMs: median,
    p10Ms: p10,
    p90Ms: p90,
    cpuMs: cpu.length === 0 ? null : spreadOf(cpu).median,
    ratio: engineMs === undefined ? null : median / engineMs,
    targetMs: targetMs ?? null,
  });
}

async function measured(times: Times, act: () => unknown): Promise<void> {
  const [cpu, wall] = [process.cpuUsage(), performance.now()];
  await act();
  times.wall.push(performance.now() - wall);
  const { user, system } = process.cpuUsage(cpu);
  times.cpu.push((user + system) / 1000);
}

async function measureUpdates(files: number, targetMs: number): Promise<void> {
  const directory = join(scratch, `files-${String(files)}`);
  mkdirSync(directory);
  const artifacts = files / filesPerArtifact;
  const hasPredecessor = files <= predecessorFilesMax;
  await using sides = await openSides({ directory, artifacts, hasPredecessor });
  const times = new Map<Side, Times>(sides.all.map((side) => [side, { wall: [], cpu: [] }]));
  for (let round = 1; round <= warmUpRounds + rounds; round += 1) {
    const at = round % sides.all.length;
    for (const side of [...sides.all.slice(at), ...sides.all.slice(0, at)]) {
      const act = await side.prepare(round);
      await measured(round > warmUpRounds ? timesOf(times, side) : { wall: [], cpu: [] }, act);
    }
  }
  const [engine, engineFailing] = sides.all.map(
    (side) => spreadOf(timesOf(times, side).wall).median,
  );
  for (const side of sides.all) {
    const isFailure = side.name.includes('fails');
    const engineMs = side.role === 'peer' ? undefined : isFailure ? engineFailing : engine;
    const hasTarget = side.role === 'ours';
    note(side.name, timesOf(times, side), {
      files,
      engineMs,
      targetMs: hasTarget ? targetMs : undefined,
    });
  }
}

function timesOf(times: ReadonlyMap<Side, Times>, side: Side): Times {
  const found = times.get(side);
  if (found === undefined) throw new Error(`bug: ${side.name} is measured`);
  return found;
}

/** The command, and looking at every file of the same collection. */
async function measureLooks(): Promise<void> {
  const root = join(scratch, 'listed');
  mkdirSync(root);
  plantCollection(root, listedArtifacts);
  const files = listedArtifacts * filesPerArtifact;
  const [listing, nothing, status]: [Times, Times, Times] = [empty(), empty(), empty()];
  const reader = new CollectionReader(root);
  for (let round = 0; round < rounds; round += 1) {
    nothing.wall.push(run(['-e', '0']));
    listing.wall.push(run([command, 'list', '--json', '-C', root]));
    await measured(status, () => reader.status());
  }
  const what = `process: list of ${String(listedArtifacts)} artifacts`;
  note(what, listing, { files, targetMs: listTargetMs });
  note('process: node -e 0', nothing, { files: 0 });
  note('status: every file is read and hashed', status, { files });
}

function empty(): Times {
  return { wall: [], cpu: [] };
}

function run(line: readonly string[]): number {
  const began = performance.now();
  const { status, stderr } = spawnSync(process.execPath, line, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${line.join(' ')} failed: ${stderr}`);
  return performance.now() - began;
}

if (!existsSync(command)) throw new Error(`${command} is missing: run npm run build first`);
const wanted = options.files?.map(Number);
for (const [files, targetMs] of updateTargets) {
  if (wanted === undefined || wanted.includes(files)) await measureUpdates(files, targetMs);
}
if (wanted === undefined) await measureLooks();
if (rows.length === 0) throw new Error('nothing was measured: see --files');

const load = loadavg()[0] ?? 0;
if (options.json) console.log(JSON.stringify({ rounds, load, rows }, null, 2));
else {
  const cells = rows.map(({ what, files, medianMs, p10Ms, p90Ms, cpuMs, ratio, targetMs }) => [
    what,
    String(files),
    milliseconds(medianMs),
    `${milliseconds(p10Ms)}–${milliseconds(p90Ms)}`,
    cpuMs === null ? '' : milliseconds(cpuMs),
    ratio === null ? '' : `${ratio.toFixed(1)} ×`,
    targetMs === null ? '' : `≤ ${String(targetMs)}: ${medianMs <= targetMs ? 'pass' : 'FAIL'}`,
  ]);
  const header = ['what', 'files', 'median ms', 'p10–p90', 'CPU ms', 'engine', 'target'];
  console.log(table([header, ...cells]));
  console.log(
    `\nMedians of ${String(rounds)} rounds; load average at the end ${load.toFixed(1)}. With --json the same as JSON.`,
  );
}
