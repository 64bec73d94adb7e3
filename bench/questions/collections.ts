import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { CollectionReader, openCollection } from '../../src/collection/index.js';
import { spreadOf, timed } from '../measure.js';
import { filesPerArtifact, plantCollection } from '../planted-collection.js';
import {
  atMost,
  type Findings,
  type Point,
  type Question,
  type Ratio,
  type Run,
} from '../question.js';
import { fileSystemSync } from '../scratch.js';
import { takeTurns } from '../turns.js';
import { openSides } from '../update-sides.js';

const command = join(import.meta.dirname, '../../dist/bin/skillmeat.js');
/** Files of a collection, and what an update of one artifact in it may take, in milliseconds. */
const updateTargets: readonly (readonly [files: number, targetMs: number])[] = [
  [100, 4],
  [1_000, 10],
  [10_000, 50],
  [50_000, 250],
];
const quickFilesMax = 1_000;
/** Collections for which copying all of it is measured, too. */
const predecessorFilesMax = 1_000;
const listedArtifacts = 2_000;
const listTargetMs = 150;

export const collections: Question = {
  name: 'collections',
  question:
    'What does updating one artifact of five files cost, fetching excluded, when it succeeds and when the lock cannot be written and all is rolled back? And looking at a large collection?',
  peers:
    "the engine's own transaction of the same files with a manifest of a few lines; the predecessor's way, re-implemented: an archive of everything, then in place (small collections only, without its TOML and Python's start); parsing and writing both TOML files as a whole, which the predecessor did as well",
  unequal:
    "ours flushes each update to disk and keeps a history, the predecessor's way flushes the two TOML files only",
  xLabel: 'files',
  unit: 'ms',
  run,
};

async function run({ place, isQuick, reference }: Run): Promise<Findings> {
  if (!existsSync(command)) throw new Error(`${command} is missing: run npm run build first`);
  const flush = fileSystemSync(place.directory);
  const points: Point[] = [];
  const ratios: Ratio[] = [];
  for (const [files, targetMs] of updateTargets) {
    if (isQuick && files > quickFilesMax) continue;
    const directory = join(place.directory, `files-${String(files)}`);
    mkdirSync(directory);
    await using sides = await openSides({
      directory,
      artifacts: files / filesPerArtifact,
      hasPredecessor: files <= predecessorFilesMax,
    });
    const measured = await takeTurns(
      sides.all.map(({ name, prepare }) => ({ series: name, x: files, prepare })),
      { rounds: isQuick ? 7 : 15, warmUpRounds: 3, flush },
    );
    points.push(...measured);
    const medianOf = (series: string): number =>
      measured.find((point) => point.series === series)?.spread.median ?? Number.NaN;
    for (const { name, role, yardstick } of sides.all) {
      if (role !== 'ours' || yardstick === undefined) continue;
      const value = medianOf(name);
      const limit = atMost(targetMs * reference.disk);
      ratios.push({ what: `${name}, ms`, x: files, value, unit: ' ms', limit });
      ratios.push({ what: `${name} ÷ ${yardstick}`, x: files, value: value / medianOf(yardstick) });
    }
    rmSync(directory, { recursive: true });
  }
  const looks = await lookAt(join(place.directory, 'listed'), isQuick);
  const limit = atMost(listTargetMs * reference.programs);
  const [list] = looks;
  const what = `${list.series}, ms`;
  ratios.push({ what, x: list.x, value: list.spread.median, unit: ' ms', limit });
  return {
    points: [...points, ...looks],
    ratios,
    notes: isQuick ? [`quick: no more than ${String(quickFilesMax)} files are updated among`] : [],
  };
}

/** The command, and looking at every file of the same collection. */
async function lookAt(root: string, isQuick: boolean): Promise<readonly [Point, ...Point[]]> {
  mkdirSync(root);
  plantCollection(root, listedArtifacts);
  const reader = new CollectionReader(root);
  const listing: number[] = [];
  const nothing: number[] = [];
  const status: number[] = [];
  const again: number[] = [];
  await using collection = await openCollection(root, { create: true });
  await collection.status();
  for (let round = 0; round < (isQuick ? 3 : 15); round += 1) {
    nothing.push(await timed(() => runNode(['-e', '0'])));
    listing.push(await timed(() => runNode([command, 'list', '--json', '-C', root])));
    status.push(await timed(() => reader.status()));
    again.push(await timed(() => collection.status()));
  }
  const x = listedArtifacts * filesPerArtifact;
  return [
    {
      series: `process: list of ${String(listedArtifacts)} artifacts`,
      x,
      spread: spreadOf(listing),
    },
    { series: 'process: node -e 0', x, spread: spreadOf(nothing) },
    { series: 'status: every file is read and hashed', x, spread: spreadOf(status) },
    { series: 'status: nothing changed since the last one', x, spread: spreadOf(again) },
  ];
}

function runNode(line: readonly string[]): void {
  const { status, stderr } = spawnSync(process.execPath, line, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${line.join(' ')} failed: ${stderr}`);
}
