// `npm run bench:collections`: what updating one artifact of a collection costs, fetching excluded.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  type AvailableUpdate,
  type Collection,
  openCollection,
  openFetcher,
} from '../src/collection/index.js';
import { NodeFileSystem } from '../src/engine/node-file-system.js';
import { updateAsPredecessor } from '../test/crash/children/predecessor.mjs';
import {
  fetchedStamped,
  plantStamped,
  stampedFacts,
  stampedHash,
  stampedNames,
} from '../test/crash/children/stamped.mjs';
import { milliseconds, spreadOf, table, timed } from './measure.js';
import { makeScratch } from './scratch.js';

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

const { values: options } = parseArgs({
  options: {
    dir: { type: 'string' },
    json: { type: 'boolean', default: false },
    files: { type: 'string', multiple: true },
    rounds: { type: 'string', default: '15' },
  },
});
const rounds = Number(options.rounds);
const warmUpRounds = 2;
const scratch = makeScratch(options.dir);

interface Row {
  readonly what: string;
  readonly files: number;
  readonly medianMs: number;
  readonly p10Ms: number;
  readonly p90Ms: number;
  readonly targetMs?: number;
}
const rows: Row[] = [];

function note(what: string, files: number, times: readonly number[], targetMs?: number): void {
  const { median, p10, p90 } = spreadOf(times.slice(warmUpRounds));
  const target = targetMs === undefined ? {} : { targetMs };
  rows.push({ what, files, medianMs: median, p10Ms: p10, p90Ms: p90, ...target });
}

/** The real file system, whose switch of the lock can be made to fail. */
function failingAtLock(): { readonly files: NodeFileSystem; fails: boolean } {
  const state = { files: new NodeFileSystem({ native: 'auto' }), fails: false };
  const exchange = state.files.exchange.bind(state.files);
  state.files.exchange = (ours, theirs) => {
    if (state.fails && theirs.name === 'collection.lock') {
      throw Object.assign(new Error('EACCES: refused by the bench'), { code: 'EACCES' });
    }
    exchange(ours, theirs);
  };
  return state;
}

/** Makes a collection of stamped skills in version 0, without a store. */
function plantCollection(root: string, artifacts: number): void {
  const facts = stampedFacts(0);
  const manifest = ['[collection]\nname = "bench"\nversion = "1.0.0"\n'];
  const lock = ['[lock]\nversion = "1.0.0"\n\n[lock.entries]\n'];
  const hash = stampedHash(0);
  const resolved =
    `upstream = "${facts.upstream}"\nresolved_sha = "${facts.resolvedSha}"\n` +
    `resolved_version = "${facts.resolvedVersion}"\n`;
  for (let index = 0; index < artifacts; index += 1) {
    const name = nameOf(index);
    plantStamped(join(root, 'skills', name), 0);
    manifest.push(
      `[[artifacts]]\nname = "${name}"\ntype = "skill"\npath = "skills/${name}"\norigin = "github"\n` +
        `added = "2026-01-01T00:00:00.000000"\nversion_spec = "latest"\n${resolved}`,
    );
    lock.push(
      `[lock.entries."${name}::skill"]\ncontent_hash = "${hash}"\n` +
        `fetched = "2026-01-01T00:00:00.000000"\n${resolved}`,
    );
  }
  writeFileSync(join(root, 'collection.toml'), manifest.join('\n'));
  writeFileSync(join(root, 'collection.lock'), lock.join('\n'));
}

function nameOf(index: number): string {
  return `skill-${String(index).padStart(5, '0')}`;
}

async function measureUpdates(files: number, targetMs: number): Promise<void> {
  const artifacts = files / stampedNames.length;
  const directory = join(scratch, `files-${String(files)}`);
  const root = join(directory, 'collection');
  mkdirSync(root, { recursive: true });
  plantCollection(root, artifacts);
  const home = join(directory, 'home');
  await using fetcher = await openFetcher({
    home,
    cache: join(home, 'cache'),
    pid: process.pid,
    environment: {},
    now: Date.now,
  });
  const seam = failingAtLock();
  await using collection = await openCollection(root, { create: true, fileSystem: seam.files });
  const [successes, failures]: [number[], number[]] = [[], []];
  for (let round = 1; round <= warmUpRounds + rounds; round += 1) {
    const name = nameOf((round * 7) % artifacts);
    const from = join(fetcher.makeDirectory(), 'x');
    const update = await available(collection, name, { from, version: round });
    const act = () => collection.update([update], { fetcher, strategy: 'overwrite' });
    seam.fails = true;
    failures.push(
      await timed(async () => {
        const outcome = await act().then(
          () => 'done',
          () => 'rolled back',
        );
        if (outcome === 'done') throw new Error('bug: the update was to fail');
      }),
    );
    seam.fails = false;
    successes.push(await timed(act));
  }
  note('update, 5 files', files, successes, targetMs);
  note('update that fails at the lock', files, failures);
  if (files <= predecessorFilesMax) measurePredecessor(root, { files, home });
}

async function available(
  collection: Collection,
  name: string,
  { from, version }: { readonly from: string; readonly version: number },
): Promise<AvailableUpdate> {
  const key = `${name}::skill` as const;
  const artifact = (await collection.reader.files()).manifest.get(key);
  if (artifact === undefined) throw new Error(`bug: ${key} is in the manifest`);
  const fetched = fetchedStamped(from, version);
  return { key, artifact, fetched, contentHash: stampedHash(version) };
}

/** On the same files, in a directory of their own: it would copy our history along. */
function measurePredecessor(
  root: string,
  { files, home }: { readonly files: number; readonly home: string },
): void {
  const copy = `${root}-copy`;
  mkdirSync(copy);
  plantCollection(copy, files / stampedNames.length);
  const [successes, failures]: [number[], number[]] = [[], []];
  for (let round = 1; round <= warmUpRounds + rounds; round += 1) {
    const from = join(home, `plain-${String(round)}`);
    plantStamped(from, round);
    for (const [times, fails] of [
      [failures, true],
      [successes, false],
    ] as const) {
      const began = performance.now();
      try {
        updateAsPredecessor({
          root: copy,
          archive: join(home, 'archive.gz'),
          artifact: `skills/${nameOf(round % (files / stampedNames.length))}`,
          from,
          manifest: (text) => `# ${String(round)}\n${text}`,
          lock: (text) => {
            if (fails) throw new Error('EACCES: refused by the bench');
            return `# ${String(round)}\n${text}`;
          },
        });
      } catch (error) {
        if (!fails) throw error;
      }
      times.push(performance.now() - began);
    }
  }
  note("predecessor's way", files, successes);
  note("predecessor's way, fails at the lock", files, failures);
}

function measureList(): void {
  const root = join(scratch, 'listed');
  mkdirSync(root);
  plantCollection(root, listedArtifacts);
  const [listing, nothing]: [number[], number[]] = [[], []];
  for (let round = 0; round < warmUpRounds + rounds; round += 1) {
    nothing.push(run(['-e', '0']));
    listing.push(run([command, 'list', '--json', '-C', root]));
  }
  const files = listedArtifacts * stampedNames.length;
  note(`process: list of ${String(listedArtifacts)} artifacts`, files, listing, listTargetMs);
  note('process: node -e 0', 0, nothing);
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
if (wanted === undefined) measureList();
if (readdirSync(scratch).length === 0) throw new Error('nothing was measured: see --files');

if (options.json) console.log(JSON.stringify({ rounds, rows }, null, 2));
else {
  const cells = rows.map(({ what, files, medianMs, p10Ms, p90Ms, targetMs }) => [
    what,
    String(files),
    milliseconds(medianMs),
    `${milliseconds(p10Ms)}–${milliseconds(p90Ms)}`,
    targetMs === undefined
      ? ''
      : `≤ ${String(targetMs)}: ${medianMs <= targetMs ? 'pass' : 'FAIL'}`,
  ]);
  console.log(table([['what', 'files', 'median ms', 'p10–p90', 'target'], ...cells]));
  console.log(`\nMedians of ${String(rounds)} rounds. With --json the same as JSON.`);
}
