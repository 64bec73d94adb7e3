import { strict as assert } from 'node:assert';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { isEngineError, openStore, type Store } from '../../../src/engine/index.js';
import type { RunInput } from '../../crash/children/run-and-die.mjs';
import { transactions, writeBase } from '../../crash/children/transactions.mjs';
import { requireRecovered } from '../../crash/recovered-state.js';
import { Child, describeTree, removeDirectory } from '../../support/processes.js';
import { type FileSystemVariant, makeFileSystem, writeUntilFull } from '../disk/file-systems.js';
import { mount, run } from '../disk/recording-disk.js';

/*
 * Runs operations on a file system that has only so much room left, then makes room and looks:
 * what was said must be true, and everything must work again. Runs in a namespace of its own.
 */

export type FullDiskOperation = 'transaction' | 'first opening' | 'snapshot' | 'undo' | 'recovery';

export interface FullDiskCase {
  readonly operation: FullDiskOperation;
  /** What is left on the disk when the operation begins. */
  readonly freeKibibytes: number;
}

export interface FullDiskInput {
  readonly variant: FileSystemVariant;
  /** For `mkfs`. */
  readonly makeOptions: readonly string[];
  readonly imageBytes: number;
  readonly directory: string;
  readonly cases: readonly FullDiskCase[];
  /** A child before this one was killed in the first case: only look at what it left. */
  readonly isKilled: boolean;
}

export interface FullDiskOutcome extends FullDiskCase {
  /** A code, `done`, or the signal that ended the process. */
  readonly said: string;
  readonly violation: string | undefined;
}

const input = JSON.parse(process.argv[2] ?? '') as FullDiskInput;
const { variant, directory } = input;
const { native } = variant;
const image = path.join(directory, 'disk.img');
const mountPoint = path.join(directory, 'mounted');
const place = {
  directory: path.join(mountPoint, 'place'),
  root: path.join(mountPoint, 'place', 'root'),
  source: path.join(directory, 'source'),
};
const ballast = path.join(mountPoint, 'ballast');
/** What the operations may use at most, and what is filled by writing. */
const roomBytes = (variant.type === 'btrfs' ? 32 : 8) * 1_048_576;
const unknown = ['COMMIT_UNKNOWN', 'BLOCKED'];
const second = transactions[1];

async function main(): Promise<void> {
  if (!input.isKilled) makeFileSystem(image, variant, input.imageBytes, input.makeOptions);
  mount(image, mountPoint, variant.mountOptions);
  takeWhatNobodyNeeds();
  for (const [i, { operation, freeKibibytes }] of input.cases.entries()) {
    const said = i === 0 && input.isKilled ? 'SIGBUS' : await tryOne(operation, freeKibibytes);
    const violation = await look(operation, said);
    say('OUTCOME', { operation, freeKibibytes, said, violation } satisfies FullDiskOutcome);
  }
}

/** One synchronous call: what was said was said, whatever happens next. */
function say(word: string, what: unknown): void {
  fs.writeSync(1, `${word} ${JSON.stringify(what)}\n`);
}

async function tryOne(operation: FullDiskOperation, freeKibibytes: number): Promise<string> {
  const store = await prepare(operation);
  leaveFree(freeKibibytes);
  let said: string;
  try {
    await act(operation, store);
    said = 'done';
  } catch (error) {
    // Every failure has a name, and says what to do.
    assert.ok(isEngineError(error), error instanceof Error ? error.stack : String(error));
    assert.notEqual(error.hint ?? '', '');
    said = error.code;
  }
  makeRoom();
  // Who failed goes on where there is room again, or says that it wants to be opened anew.
  try {
    await store?.transact({}, (tx) => tx.write('next.txt', 'next'));
  } catch (error) {
    assert.ok(isEngineError(error, 'STORE_POISONED'), String(error));
  }
  await store?.close();
  return said;
}

/** @returns the open store; none for an operation that opens it itself. */
async function prepare(operation: FullDiskOperation): Promise<Store | undefined> {
  removeDirectory(place.directory);
  removeDirectory(place.source);
  writeBase(place.root, place.source);
  const store = await openStore(place.root, { create: true, native });
  await store.transact({}, async (tx) => transactions[0]?.(tx, place.source));
  if (operation === 'transaction' || operation === 'snapshot' || operation === 'undo') return store;
  await store.close();
  if (operation === 'first opening') return undefined;
  const die: RunInput['die'] =
    native === 'auto'
      ? { of: 'barrier', at: 1, when: 'after' }
      : { of: 'journal COMMIT', at: 1, when: 'after' };
  const child = new Child('run-and-die.mjs', { ...place, native, run: [1], die });
  assert.equal((await child.ended).signal, 'SIGKILL');
  return undefined;
}

async function act(operation: FullDiskOperation, store: Store | undefined): Promise<void> {
  switch (operation) {
    case 'transaction':
      await store?.transact({}, async (tx) => second?.(tx, place.source));
      break;
    case 'snapshot':
      await store?.snapshots.create({ name: 'taken' });
      break;
    case 'undo':
      await store?.undo();
      break;
    case 'first opening': {
      await using opened = await openStore(place.root, { native });
      await opened.transact({}, async (tx) => second?.(tx, place.source));
      break;
    }
    case 'recovery':
      await (await openStore(place.root, { native })).close();
      break;
  }
}

/** @returns what is wrong. */
async function look(operation: FullDiskOperation, said: string): Promise<string | undefined> {
  makeRoom();
  try {
    const { tree } = await requireRecovered(place.root, { native });
    const found = tree.filter((line) => !line.startsWith('next.txt '));
    const [before, after] = await expectedTrees(operation);
    const isUnsure = said.startsWith('SIG') || unknown.includes(said);
    // What a dead process committed is finished once it can be.
    const isAfter = said === 'done' || operation === 'recovery';
    if (isUnsure && !isAfter) assert.ok([before, after].some((expected) => same(expected, found)));
    else assert.deepEqual(found, isAfter ? after : before);
    if (operation !== 'snapshot') return undefined;
    await using store = await openStore(place.root, { native });
    const names = (await store.snapshots.list()).map(({ name }) => name);
    if (!isUnsure) assert.deepEqual(names, said === 'done' ? ['taken'] : []);
    return undefined;
  } catch (error) {
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
}

function same(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

type Tree = readonly string[];
const trees: Tree[] = [];

/** Before and after, as they are where nothing fails. */
async function expectedTrees(operation: FullDiskOperation): Promise<readonly [Tree, Tree]> {
  if (trees.length === 0) {
    const at = path.join(directory, 'expected');
    const source = path.join(directory, 'expected-source');
    // A child before this one may have been killed.
    for (const made of [at, source]) removeDirectory(made);
    writeBase(at, source);
    trees.push(describeTree(at));
    await using store = await openStore(at, { create: true });
    for (const transaction of transactions.slice(0, 2)) {
      await store.transact({}, (tx) => transaction(tx, source));
      trees.push(describeTree(at));
    }
  }
  const [base = [], first = [], last = []] = trees;
  if (operation === 'undo') return [first, base];
  return operation === 'snapshot' ? [first, first] : [first, last];
}

/** Large file systems cannot be made small: a file without contents takes the rest. */
function takeWhatNobodyNeeds(): void {
  const { bavail, bsize } = fs.statfsSync(mountPoint);
  const bytes = bavail * bsize - roomBytes;
  const rest = path.join(mountPoint, 'rest');
  if (bytes > 0 && !fs.existsSync(rest)) run('fallocate', ['-l', String(bytes), rest]);
}

/** Takes every byte that is free, but for what is given back. */
function leaveFree(kibibytes: number): void {
  // Cutting off the ballast instead would need room on a full btrfs; removing a file does not.
  const given = path.join(mountPoint, 'given-back');
  fs.writeFileSync(given, Buffer.alloc(kibibytes * 1_024, 1), { flush: true });
  const file = fs.openSync(ballast, 'a');
  writeUntilFull(file);
  fs.closeSync(file);
  spawnSync('sync', ['-f', mountPoint]);
  fs.rmSync(given);
  spawnSync('sync', ['-f', mountPoint]);
}

function makeRoom(): void {
  fs.rmSync(ballast, { force: true });
  run('sync', ['-f', mountPoint]);
}

await main();
