import { strict as assert } from 'node:assert';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { openStore } from '../../../src/engine/index.js';
import { requireRecovered } from '../../crash/recovered-state.js';
import { describeTree, seededRandom } from '../../support/processes.js';
import { type ChosenState, chooseStates, type Promised } from '../disk/chosen-states.js';
import { giveReport, promisedInSteps } from '../disk/cut-in-steps.js';
import { DiskImage } from '../disk/disk-image.js';
import { EarlierBoot } from '../disk/earlier-boot.js';
import { type FileSystemVariant, makeFileSystem, toolsOf } from '../disk/file-systems.js';
import { describeCut, type PowerCut, PowerCutReplay } from '../disk/power-cuts.js';
import { type LogEntry, readLog } from '../disk/recorded-log.js';
import { mount, RecordingDisk, unmount, unmountLazily } from '../disk/recording-disk.js';
import { placesIn, workload, writeBase } from './workload.js';

/*
 * Cuts the power of one file system, many times:
 *
 * 1. Record what a workload does to a disk, with a mark before each transaction and one after each
 *    acknowledgement.
 * 2. Choose among the states that a power cut could have left, the same number for every kind of
 *    transaction.
 * 3. Mount each, recover, and compare: every acknowledged transaction is there, one that was not
 *    begun is not, and the tree is what it was after the last that is there.
 * 4. For some of them, record the recovery and a transaction after it, and cut the power again.
 *
 * Runs in a namespace of its own.
 */

export interface PowerCutInput {
  readonly variant: FileSystemVariant;
  /** Holds whatever is made here. */
  readonly directory: string;
  /** The compiled recording-disk.c. */
  readonly program: string;
  /** How many states to look at, at most. */
  readonly states: number;
  /** In how many of them the recovery is recorded, and how many states of each are looked at. */
  readonly recoveries: number;
  readonly statesPerRecovery: number;
}

export interface PowerCutReport {
  readonly transactions: number;
  readonly writes: number;
  readonly flushes: number;
  /** Different disks that a cut could have left and that were listed. */
  readonly possible: number;
  readonly states: number;
  readonly secondStates: number;
  readonly violations: readonly string[];
  /** States that the file system itself could not mount. */
  readonly unmountable: readonly string[];
  /** The same, where a write was torn within a block: a disk that does that can ruin XFS itself. */
  readonly tornBeyondMounting: number;
}

/** A disk before some work, what reached it then, and the trees that the transactions make. */
interface Recording {
  readonly base: DiskImage;
  readonly log: readonly LogEntry[];
  readonly trees: readonly Tree[];
}

type Tree = readonly string[];

const input = JSON.parse(process.argv[2] ?? '') as PowerCutInput;
const { variant, directory } = input;
const { native } = variant;
const random = seededRandom(variant.name);
const image = path.join(directory, 'disk.img');
const mountPoint = path.join(directory, 'mounted');
const { root, source } = placesIn(mountPoint);
const violations: string[] = [];
const unmountable: string[] = [];
let tornBeyondMounting = 0;

async function main(): Promise<void> {
  const recording = await recordWorkload(await expectedTrees());
  const { states: count } = input;
  const { possible, chosen } = chooseStates(recording, {
    count,
    random,
    promisedBy: promisedInSteps,
  });
  const found = await lookAt(recording, chosen);
  const secondStates = await cutRecoveries(recording, chosen, found);
  const countOf = (kind: LogEntry['kind']): number =>
    recording.log.filter((entry) => entry.kind === kind).length;
  const report: PowerCutReport = {
    transactions: workload.length,
    writes: countOf('write'),
    flushes: countOf('flush'),
    possible,
    states: chosen.length,
    secondStates,
    violations,
    unmountable,
    tornBeyondMounting,
  };
  giveReport(report);
}

/** Cuts the power again while some of the states are recovered. @returns how many times. */
async function cutRecoveries(
  recording: Recording,
  chosen: readonly ChosenState[],
  found: readonly (number | undefined)[],
): Promise<number> {
  const replay = new PowerCutReplay(recording.log, recording.base.fork());
  const every = Math.ceil(chosen.length / Math.max(1, input.recoveries));
  let count = 0;
  for (const [index, { cut }] of chosen.entries()) {
    const transactions = found[index];
    if (index % every !== every - 1 || transactions === undefined) continue;
    const trees = recording.trees.slice(0, transactions + 1);
    const recovery = await recordRecovery(replay.imageAfter(cut), trees);
    const { chosen: again } = chooseStates(recovery, {
      count: input.statesPerRecovery,
      random,
      promisedBy: (marks) => promisedInRecovery(marks, transactions),
    });
    await lookAt(recovery, again);
    count += again.length;
  }
  return count;
}

// --- recording ---------------------------------------------------------------------------------

async function expectedTrees(): Promise<readonly Tree[]> {
  const expected = placesIn(path.join(directory, 'expected'));
  writeBase(expected.root, expected.source);
  const trees: Tree[] = [describeTree(expected.root)];
  await using store = await openStore(expected.root, { create: true });
  for (const step of workload) {
    await store.transact({}, (tx) => step.run(tx, expected.source));
    trees.push(describeTree(expected.root));
  }
  return trees;
}

async function recordWorkload(trees: readonly Tree[]): Promise<Recording> {
  makeFileSystem(image, variant);
  mount(image, mountPoint, variant.mountOptions);
  writeBase(root, source);
  unmount(mountPoint);
  return record(DiskImage.read(image), async (disk) => {
    disk.mark('begin 0 first initialisation');
    const fileSystem = new EarlierBoot({ native });
    await using store = await openStore(root, { create: true, fileSystem });
    disk.mark('ack 0');
    for (const [index, step] of workload.entries()) {
      disk.mark(`begin ${String(index + 1)} ${step.name}`);
      await store.transact({}, (tx) => step.run(tx, source));
      disk.mark(`ack ${String(index + 1)}`);
    }
    return trees;
  });
}

async function recordRecovery(base: DiskImage, trees: readonly Tree[]): Promise<Recording> {
  base.save(image);
  return record(base, async (disk) => {
    disk.mark('begin recovery');
    const fileSystem = new EarlierBoot({ native });
    await using store = await openStore(root, { create: true, fileSystem });
    disk.mark('recovered');
    await store.transact({}, (tx) => tx.write('after-the-first-cut.txt', 'here'));
    disk.mark('ack');
    return [...trees, describeTree(root)];
  });
}

/** Records what `work` does to the disk that is in the image now. */
async function record(
  base: DiskImage,
  work: (disk: RecordingDisk) => Promise<readonly Tree[]>,
): Promise<Recording> {
  const log = path.join(directory, 'disk.log');
  const disk = await RecordingDisk.start({
    program: input.program,
    image,
    log,
    mountPoint: path.join(directory, 'fuse'),
  });
  mount(disk.file, mountPoint, variant.mountOptions);
  const trees = await work(disk);
  unmount(mountPoint);
  await disk.stop();
  return { base, log: readLog(log), trees };
}

// --- what is promised --------------------------------------------------------------------------

/** What a recovery found is acknowledged by it; the transaction after it is one more. */
function promisedInRecovery(marks: readonly string[], found: number): Promised {
  const least = found + (marks.includes('ack') ? 1 : 0);
  const most = found + (marks.includes('recovered') ? 1 : 0);
  return { least, most, during: marks.at(-1) ?? '' };
}

// --- looking -----------------------------------------------------------------------------------

/** @returns how many transactions each state had, `undefined` where it broke a promise. */
async function lookAt(
  { base, log, trees }: Recording,
  chosen: readonly ChosenState[],
): Promise<readonly (number | undefined)[]> {
  const replay = new PowerCutReplay(log, base.fork());
  const found: (number | undefined)[] = [];
  for (const { cut, promised } of chosen) {
    replay.imageAfter(cut).save(image);
    found.push(await lookAtImage(promised, trees, cut));
  }
  return found;
}

async function lookAtImage(
  promised: Promised,
  trees: readonly Tree[],
  cut: PowerCut,
): Promise<number | undefined> {
  const where = `${promised.during}: ${describeCut(cut)}`;
  try {
    mount(image, mountPoint, variant.mountOptions);
  } catch (error) {
    if (cut.isTorn) tornBeyondMounting += 1;
    else unmountable.push(`${where}: ${String(error)}`);
    return undefined;
  }
  try {
    return await requirePromised(promised, trees);
  } catch (error) {
    violations.push(`${where}: ${describeFailure(error)}`);
    return undefined;
  } finally {
    // A check that failed may have left the store open.
    unmountLazily(mountPoint);
  }
}

/** @returns how many transactions there are. */
async function requirePromised({ least, most }: Promised, trees: readonly Tree[]): Promise<number> {
  const { log, tree } = await requireRecovered(root, { native: variant.native, create: true });
  // One that was cut off in its flush stays in the log, and is not in effect.
  const count = log.filter(({ state }) => state !== 'rolled-back').length;
  assert.ok(count >= least, `${String(count)} of ${String(least)} acknowledged`);
  assert.ok(count <= most, `${String(count)} of ${String(most)} begun`);
  assert.deepEqual(tree, trees[count]);
  return count;
}

/** With what the file system's own check says: it may be the one to blame. */
function describeFailure(error: unknown): string {
  const [program, ...rest] = toolsOf[variant.type].check;
  const { status, stdout } = spawnSync(program, [...rest, image], { encoding: 'utf8' });
  const check = status === 0 ? 'finds nothing' : `says ${stdout.slice(0, 400)}`;
  return `${error instanceof Error ? (error.stack ?? error.message) : String(error)}; ${program} ${check}`;
}

await main();
