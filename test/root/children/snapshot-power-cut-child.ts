import { strict as assert } from 'node:assert';
import fs from 'node:fs';
import path from 'node:path';
import { openStore, type Store } from '../../../src/engine/index.js';
import { describeTree, seededRandom } from '../../support/processes.js';
import type { Promised } from '../disk/chosen-states.js';
import { giveReport, lookAtCuts } from '../disk/cut-in-steps.js';
import { DiskImage } from '../disk/disk-image.js';
import { EarlierBoot } from '../disk/earlier-boot.js';
import { makeFileSystem } from '../disk/file-systems.js';
import { readLog } from '../disk/recorded-log.js';
import { mount, RecordingDisk, unmount } from '../disk/recording-disk.js';
import type { PowerCutInput } from './power-cut-child.js';

/*
 * As power-cut-child.ts, for snapshots: edits by hand, which nobody syncs, snapshots, and deletes
 * that remove contents. After the cut every acknowledged snapshot is there, each gives the tree of
 * then, and the next snapshot gives the tree of now.
 *
 * Runs in a namespace of its own.
 */

export interface SnapshotCutReport {
  readonly possible: number;
  readonly states: number;
  /** In how many of them there was a snapshot, which was brought back. */
  readonly restored: number;
  readonly violations: readonly string[];
}

type Tree = readonly string[];
/** The trees of the snapshots that there are, by number. */
type Kept = ReadonlyMap<number, Tree>;

const { directory, program, states, variant } = JSON.parse(process.argv[2] ?? '') as PowerCutInput;
const { native } = variant;
const image = path.join(directory, 'disk.img');
const mountPoint = path.join(directory, 'mounted');
const root = path.join(mountPoint, 'root');
const twoDaysMs = 2 * 86_400_000;
let restored = 0;
let restoreCount = 0;

const steps: readonly {
  readonly name: string;
  readonly run: (store: Store, at: Clock) => Promise<unknown>;
}[] = [
  { name: 'first', run: (store) => store.snapshots.create() },
  edited('edited', () => {
    fs.writeFileSync(path.join(root, 'a.txt'), 'a second time');
    fs.writeFileSync(path.join(root, 'big.bin'), Buffer.alloc(300_000, 'big '));
  }),
  edited('many', () => {
    fs.mkdirSync(path.join(root, 'many'));
    for (let n = 0; n < 20; n += 1) {
      fs.writeFileSync(path.join(root, `many/${String(n)}`), `${String(n)} `.repeat(900));
    }
  }),
  { name: 'unchanged', run: (store) => store.snapshots.create() },
  { name: 'delete', run: (store, at) => deleteAll(store, at, [2, 3]) },
  edited('back again', () => {
    fs.rmSync(path.join(root, 'many'), { recursive: true });
    fs.writeFileSync(path.join(root, 'a.txt'), 'first');
    fs.appendFileSync(path.join(root, 'big.bin'), 'and more');
  }),
  { name: 'delete all', run: (store, at) => deleteAll(store, at, [1, 4, 5]) },
  { name: 'after the deletes', run: (store) => store.snapshots.create() },
];

interface Clock {
  aheadMs: number;
}

function edited(name: string, edit: () => void): (typeof steps)[number] {
  return {
    name,
    run: (store) => {
      edit();
      return store.snapshots.create();
    },
  };
}

/** Far in the future, so that contents are old enough to go. */
async function deleteAll(store: Store, at: Clock, ids: readonly number[]): Promise<void> {
  at.aheadMs = twoDaysMs;
  for (const id of ids) await store.snapshots.delete(id, { now: true });
  at.aheadMs = 0;
}

async function main(): Promise<void> {
  makeFileSystem(image, variant);
  mount(image, mountPoint, variant.mountOptions);
  fs.mkdirSync(path.join(root, 'd'), { recursive: true });
  fs.writeFileSync(path.join(root, 'a.txt'), 'first');
  fs.writeFileSync(path.join(root, 'd/b.txt'), 'b '.repeat(4_000));
  await (await openStore(root, { create: true, native })).close();
  unmount(mountPoint);
  const base = DiskImage.read(image);
  const kept = await record();
  const log = readLog(path.join(directory, 'disk.log'));
  const random = seededRandom(`snapshots ${variant.name}`);
  const { possible, chosen, violations } = await lookAtCuts(
    { base, log },
    {
      variant,
      image,
      mountPoint,
      count: states,
      random,
      requireKept: (promised) => requireKept(promised, kept),
    },
  );
  const report: SnapshotCutReport = { possible, states: chosen, restored, violations };
  giveReport(report);
}

/** @returns what there is before the first step and after each. */
async function record(): Promise<readonly Kept[]> {
  const disk = await RecordingDisk.start({
    program,
    image,
    log: path.join(directory, 'disk.log'),
    mountPoint: path.join(directory, 'fuse'),
  });
  mount(disk.file, mountPoint, variant.mountOptions);
  const kept: Kept[] = [new Map()];
  const at: Clock = { aheadMs: 0 };
  const now = (): number => Date.now() + at.aheadMs;
  const trees = new Map<number, Tree>();
  const store = await openStore(root, { fileSystem: new EarlierBoot({ native }), now });
  for (const [index, { name, run }] of steps.entries()) {
    disk.mark(`begin ${String(index + 1)} ${name}`);
    await run(store, at);
    disk.mark(`ack ${String(index + 1)}`);
    const present = await idsIn(store);
    for (const id of present) if (!trees.has(id)) trees.set(id, describeTree(root));
    kept.push(new Map(present.map((id) => [id, trees.get(id) ?? []])));
  }
  await store.close();
  unmount(mountPoint);
  await disk.stop();
  return kept;
}

async function requireKept({ least, most }: Promised, kept: readonly Kept[]): Promise<void> {
  await using store = await openStore(root, { native });
  const present = await idsIn(store);
  const must = [...(kept[least]?.keys() ?? [])];
  const may = kept[most] ?? new Map<number, Tree>();
  const trees = new Map([...(kept[least] ?? []), ...may]);
  // A step makes one snapshot, or deletes some.
  for (const id of must) assert.ok(present.includes(id) || !may.has(id), `${String(id)} is lost`);
  for (const id of present) {
    const tree = trees.get(id);
    assert.ok(tree !== undefined, `${String(id)} was deleted, or never made`);
    await requireRestorable(store, id, tree);
    restored += 1;
  }
  const { snapshot } = await store.snapshots.create();
  await requireRestorable(store, snapshot.id ?? 0, describeTree(root));
}

async function requireRestorable(store: Store, id: number, tree: Tree): Promise<void> {
  restoreCount += 1;
  const to = path.join(directory, `restored-${String(restoreCount)}`);
  const { notRestored } = await store.snapshots.restore(id, { to });
  assert.deepEqual(notRestored, []);
  assert.deepEqual(describeTree(to), tree);
  fs.rmSync(to, { recursive: true });
}

async function idsIn(store: Store): Promise<readonly number[]> {
  return (await store.snapshots.list()).map(({ id }) => id ?? 0).toReversed();
}

await main();
