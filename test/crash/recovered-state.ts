import fs from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import {
  type OpenStoreOptions,
  openStore,
  type Store,
  type Transaction,
} from '../../src/engine/index.js';
import { Journal } from '../../src/engine/journal.js';
import { NodeFileSystem } from '../../src/engine/node-file-system.js';
import { describeTree, describeWrites, makeDirectory } from '../support/processes.js';
import { transactions, writeBase } from './children/transactions.mjs';
import { watchFileSystem } from './children/watched-file-system.mjs';
import { isExhaustive } from '../support/extent.js';

export type NativeMode = 'auto' | 'off';
export const nativeModes: readonly NativeMode[] = ['auto', 'off'];

/** A directory with the base tree, beside the source that transactions copy from. */
export interface Place {
  /** Holds both; for `removeDirectory`. */
  readonly directory: string;
  readonly root: string;
  readonly source: string;
}

export function makePlace(): Place {
  const directory = makeDirectory({ inMemory: !isExhaustive });
  const place = {
    directory,
    root: path.join(directory, 'root'),
    source: path.join(directory, 'source'),
  };
  writeBase(place.root, place.source);
  return place;
}

/** The same again; a store in it wants to be adopted. */
export function copyPlace(from: Place): Place {
  const directory = makeDirectory({ inMemory: !isExhaustive });
  fs.cpSync(from.directory, directory, { recursive: true, verbatimSymlinks: true });
  return {
    directory,
    root: path.join(directory, 'root'),
    source: path.join(directory, 'source'),
  };
}

/** As {@link makePlace}, with a store in it. */
export async function makeStore(native: NativeMode): Promise<Place> {
  const place = makePlace();
  await (await openStore(place.root, { create: true, native })).close();
  return place;
}

/** What the tree is before the first, and after each of the transactions. */
export async function expectedTrees(
  all: readonly ((tx: Transaction, source: string) => Promise<void>)[] = transactions,
): Promise<readonly (readonly string[])[]> {
  const { root, source } = await makeStore('auto');
  const trees = [describeTree(root)];
  await using store = await openStore(root);
  for (const transaction of all) {
    await store.transact({}, (tx) => transaction(tx, source));
    trees.push(describeTree(root));
  }
  expect(new Set(trees.map((tree) => tree.join('\n'))).size).toBe(trees.length);
  return trees;
}

/**
 * Opens a store that a process died in, and checks everything that recovery promises besides
 * which transactions there are.
 *
 * @returns the tree that recovery made, and the transactions, oldest first.
 */
export async function requireRecovered(
  root: string,
  options: OpenStoreOptions,
): Promise<{
  readonly tree: readonly string[];
  readonly log: Awaited<ReturnType<Store['log']>>;
  readonly wasRecovered: boolean;
}> {
  const first = await openStore(root, options);
  const log = (await first.log({ limit: 10_000 })).toReversed();
  const status = await first.status();
  const wasRecovered = first.recoveryOnOpen !== undefined;
  // Nobody else wrote anything here, so nothing can have been superseded.
  for (const { id } of log) expect((await first.show(id ?? 0)).superseded).toEqual([]);
  await first.close();
  const tree = describeTree(root);
  expect(status).toMatchObject({ head: log.length, troubled: [] });
  expect(setAside(root).filter((id) => !wasNeverFlushed(log, id))).toEqual([]);
  if (wasRecovered) expect(status.unsettled).toBe(0);
  requireNoOrphans(root, log);
  await requireNothingLeftToDo(root, options, { tree, log, wasRecovered });
  return { tree, log, wasRecovered };
}

/** The numbers of the transactions that something lies in quarantine of. */
function setAside(root: string): readonly number[] {
  const names = fs.readdirSync(path.join(root, '.skillmeat', 'quarantine'));
  return names.map((name) => Number.parseInt(name, 10));
}

/** Torn bytes of a content that the power cut off cannot be told from an edit, and so are kept. */
function wasNeverFlushed(log: Awaited<ReturnType<Store['log']>>, id: number): boolean {
  const found = log.find((transaction) => transaction.id === id);
  const reason = 'the power failed before its contents were on disk';
  return found?.state === 'rolled-back' && found.reason === reason;
}

/** `stage` holds what the transactions displaced, undone ones too, each in its slot; nothing else. */
function requireNoOrphans(root: string, log: Awaited<ReturnType<Store['log']>>): void {
  const history = new Set(log.map(({ id, uuid }) => `${String(id)}-${String(uuid).slice(0, 8)}`));
  const orphans = fs.readdirSync(path.join(root, '.skillmeat', 'stage')).filter((name) => {
    // A third number names the first transaction of a group.
    const [, prefix = '', slot = ''] = /^(\d+-[^.-]+)(?:-\d+)?\.(.+)$/.exec(name) ?? [];
    return !history.has(prefix) || !/^\d+$/.test(slot);
  });
  expect(orphans).toEqual([]);
}

/** I7: a second open finds nothing to do, and so writes nothing at all; then the store works. */
async function requireNothingLeftToDo(
  root: string,
  options: OpenStoreOptions,
  before: {
    readonly tree: readonly string[];
    readonly log: readonly unknown[];
    readonly wasRecovered: boolean;
  },
): Promise<void> {
  const writes = describeWrites(root);
  const calls: string[] = [];
  const files = new NodeFileSystem({ native: options.native ?? 'auto' });
  const fileSystem = watchFileSystem(files, (name, call) => {
    calls.push(name);
    return call();
  });
  const store = await openStore(root, { ...options, create: false, fileSystem });
  expect(store.recoveryOnOpen).toBeUndefined();
  expect((await store.log({ limit: 10_000 })).toReversed()).toEqual(before.log);
  // Where nobody died while writing, taking the lock for a look leaves its note in `owner`.
  const written = before.wasRecovered ? calls : calls.filter((name) => !name.endsWith('Record'));
  expect(written).toEqual([]);
  expect(describeWrites(root)).toEqual(writes);
  expect(describeTree(root)).toEqual(before.tree);

  const { transaction } = await store.transact({ lockWaitMs: 0 }, (tx) =>
    tx.write('after-the-crash.txt', 'here'),
  );
  expect(transaction?.id).toBe(before.log.length + 1);
  expect(fs.readFileSync(path.join(root, 'after-the-crash.txt'), 'utf8')).toBe('here');
  await store.close();
  requireChain(root);
}

/** I5: every transaction in the journal matches its own hash and that of the one before. */
export function requireChain(root: string): number {
  using journal = Journal.open(path.join(root, '.skillmeat', 'journal.db'));
  const { id: head } = journal.head();
  for (let id = 1; id <= head; id += 1) journal.verifyChain(id);
  return head;
}

/** As many failures as one can read. */
export function firstFew(failures: readonly string[]): readonly string[] {
  const few = 8;
  const rest = failures.length - few;
  return rest <= 0 ? failures : [...failures.slice(0, few), `and ${String(rest)} more`];
}
