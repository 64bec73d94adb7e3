import { strict as assert } from 'node:assert';
import { spawnSync } from 'node:child_process';
import { subscribe } from 'node:diagnostics_channel';
import fs from 'node:fs';
import path from 'node:path';
import { isEngineError, openStore, type Store } from '../../../src/engine/index.js';
import { requireRecovered } from '../../crash/recovered-state.js';
import { describeTree } from '../../support/processes.js';
import { type FileSystemVariant, makeFileSystem, writeUntilFull } from '../disk/file-systems.js';
import { EarlierBoot } from '../disk/earlier-boot.js';
import { mount, RecordingDisk, run, unmountLazily } from '../disk/recording-disk.js';

/*
 * Breaks the disk of one file system at one point of a transaction, and mends it again:
 *
 * 1. One transaction succeeds.
 * 2. From the point on the disk has its fault; a second transaction is tried, and a checkpoint.
 * 3. The fault goes, the file system is mounted anew, and the store opened: every acknowledged
 *    transaction must be there, and each as a whole.
 *
 * Runs in a namespace of its own.
 */

/** `content`: what the second transaction writes cannot be written back. */
export type Fault = 'content' | 'writes' | 'flushes' | 'full' | 'stopped';

/** Who hears of a failed write-back first: nobody, nobody and the pages go, another process. */
export type Witness = 'kept' | 'evicted' | 'consumed';

export type FaultPoint = 'staged' | 'committed' | 'acknowledged' | 'checkpoint' | 'recovery';

export interface DiskFaultInput {
  readonly variant: FileSystemVariant;
  readonly directory: string;
  readonly program: string;
  readonly faults: readonly FaultCase[];
  /** Only look at the disk that a child left that was killed after so many acknowledgements. */
  readonly acknowledged?: number;
}

export interface FaultCase {
  readonly fault: Fault;
  readonly point: FaultPoint | Witness;
}

export interface DiskFaultOutcome extends FaultCase {
  /** What the second transaction and the checkpoint said: a code, or `done`. */
  readonly said: readonly string[];
  /** How many transactions were found afterwards. */
  readonly found: number | undefined;
  readonly violation: string | undefined;
}

const input = JSON.parse(process.argv[2] ?? '') as DiskFaultInput;
const { variant, directory, program } = input;
const { native } = variant;
const image = path.join(directory, 'disk.img');
const mountPoint = path.join(directory, 'mounted');
const root = path.join(mountPoint, 'root');
const ballast = path.join(mountPoint, 'ballast');
const marker = 'THE DISK CANNOT WRITE THIS';
const poison = Buffer.alloc(64 * 1_024, Buffer.alloc(4_096, `${marker} `));

/** Called with the phase of the running transaction. */
let onPhase: (phase: string) => void = () => undefined;
subscribe('skillmeat:transaction', (message) => {
  onPhase((message as { phase: string }).phase);
});

async function main(): Promise<void> {
  if (input.acknowledged !== undefined) await look(await expectedTrees(), input.acknowledged);
  for (const fault of input.faults) {
    say('TRYING', fault);
    say('OUTCOME', await runCase(fault));
  }
}

/** One synchronous call: what was said was said, whatever happens next. */
function say(word: string, what: unknown): void {
  fs.writeSync(1, `${word} ${JSON.stringify(what)}\n`);
}

async function runCase({ fault, point }: FaultCase): Promise<DiskFaultOutcome> {
  makeFileSystem(image, variant);
  const log = path.join(directory, 'disk.log');
  const fuse = path.join(directory, 'fuse');
  const disk = await RecordingDisk.start({ program, image, log, mountPoint: fuse });
  const options = variant.type === 'ext4' ? ['errors=remount-ro'] : variant.mountOptions;
  mount(disk.file, mountPoint, options);
  writeFirst(root);
  // What another program wrote and did not sync is not the engine's to save.
  run('sync', ['-f', root]);
  const inject = (): void => {
    breakDisk(disk, fault);
  };
  const said: string[] = [];
  const store = await openStore(root, { create: true, fileSystem: new EarlierBoot({ native }) });
  await store.transact({}, (tx) => tx.write('kept.txt', 'second'));
  say('ACK', 1);
  onPhase = (phase) => {
    if (phase === point || (point === 'recovery' && phase === 'committed')) inject();
  };
  said.push(await outcomeOf(() => writeSecond(store, point, inject)));
  onPhase = () => undefined;
  const acknowledged = said[0] === 'done' ? 2 : 1;
  say('ACK', acknowledged);
  if (point === 'acknowledged' || point === 'checkpoint') inject();
  if (point === 'checkpoint') said.push(await outcomeOf(() => store.recover()));
  if (point === 'recovery') said.push(await outcomeOf(() => openStore(root, { native })));
  if (fault === 'full') fs.rmSync(ballast, { force: true });
  await store.close();
  // What is still in memory meets the fault now, and is lost.
  unmountLazily(mountPoint);
  await disk.discard();
  try {
    const found = await look(await expectedTrees(), acknowledged);
    return { fault, point, said, found, violation: undefined };
  } catch (error) {
    const violation = error instanceof Error ? (error.stack ?? '') : String(error);
    return { fault, point, said, found: undefined, violation };
  }
}

function writeFirst(at: string): void {
  fs.mkdirSync(at);
  fs.writeFileSync(path.join(at, 'kept.txt'), 'first');
}

/** What the transactions make of the tree, where nothing fails. */
async function expectedTrees(): Promise<readonly (readonly string[])[]> {
  const at = path.join(directory, 'expected');
  fs.rmSync(at, { recursive: true, force: true });
  writeFirst(at);
  const trees = [describeTree(at)];
  await using store = await openStore(at, { create: true });
  await store.transact({}, (tx) => tx.write('kept.txt', 'second'));
  trees.push(describeTree(at));
  await writeSecond(store, 'staged', () => undefined);
  return [...trees, describeTree(at)];
}

async function writeSecond(
  store: Store,
  point: FaultCase['point'],
  inject: () => void,
): Promise<void> {
  await store.transact({}, async (tx) => {
    // Before anything is written: the kernel may write back at any time, as for the `sync` of another case.
    if (isWitness(point)) inject();
    await tx.write('kept.txt', poison);
    await tx.write('new/poison.bin', poison);
    await tx.symlink('link', 'kept.txt');
    if (point === 'evicted' || point === 'consumed') meetFailure(point);
  });
}

function isWitness(point: FaultCase['point']): point is Witness {
  return point === 'kept' || point === 'evicted' || point === 'consumed';
}

/** Makes the kernel write back what was staged, and forget that it could not. */
function meetFailure(witness: 'evicted' | 'consumed'): void {
  const stage = path.join(root, '.skillmeat', 'stage');
  const staged = fs.readdirSync(stage).map((name) => path.join(stage, name));
  // `sync` of everything tells nobody of an error; `sync` of a file reports it, and it is gone.
  const rest = witness === 'evicted' ? [] : staged;
  spawnSync('sync', rest);
  fs.writeFileSync('/proc/sys/vm/drop_caches', '3');
}

function breakDisk(disk: RecordingDisk, fault: Fault): void {
  switch (fault) {
    case 'content':
      disk.fail(`writes-of ${marker}`);
      break;
    case 'writes':
    case 'flushes':
      disk.fail(fault);
      break;
    case 'full':
      fillUp();
      break;
    case 'stopped':
      stopFileSystem();
      break;
  }
}

/** Takes every byte that is free. */
function fillUp(): void {
  const file = fs.openSync(ballast, 'a');
  writeUntilFull(file);
  try {
    fs.fsyncSync(file);
  } finally {
    fs.closeSync(file);
  }
}

/** As an error of its own would: ext4 becomes read-only, XFS shuts down. */
function stopFileSystem(): void {
  if (variant.type === 'xfs') {
    run('xfs_io', ['-x', '-c', 'shutdown', mountPoint]);
    return;
  }
  const device = run('findmnt', ['-n', '-o', 'SOURCE', mountPoint]).trim();
  fs.writeFileSync(`/sys/fs/ext4/${path.basename(device)}/trigger_fs_error`, '1');
}

async function outcomeOf(act: () => Promise<unknown>): Promise<string> {
  try {
    await act();
    return 'done';
  } catch (error) {
    // Every failure has a name.
    assert.ok(isEngineError(error), error instanceof Error ? error.stack : String(error));
    return error.code;
  }
}

async function look(trees: readonly (readonly string[])[], acknowledged: number): Promise<number> {
  mount(image, mountPoint, variant.mountOptions);
  fs.rmSync(ballast, { force: true });
  // btrfs gives back what was removed with its next commit only.
  run('sync', ['-f', mountPoint]);
  try {
    const { log, tree } = await requireRecovered(root, { native });
    const applied = log.filter(({ state }) => state !== 'rolled-back').length;
    assert.ok(
      log.length >= acknowledged,
      `${String(log.length)} of ${String(acknowledged)} acknowledged`,
    );
    assert.deepEqual(tree, trees[applied]);
    return applied;
  } finally {
    unmountLazily(mountPoint);
  }
}

await main();
