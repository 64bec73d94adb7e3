import { strict as assert } from 'node:assert';
import fs from 'node:fs';
import path from 'node:path';
import {
  isEngineError,
  openStore,
  type OpenStoreOptions,
  rebuildStore,
  type Store,
} from '../../src/engine/index.js';
import { openDatabase } from '../../src/engine/sqlite.js';
import { damages } from '../support/damages.js';
import { describeTree, hashesBelow } from '../support/processes.js';
import { elsewhereOf, historyActs, rebuildingAct } from './children/history-acts.mjs';

/*
 * A store with history for each of the acts of children/history-acts.mjs, and what must hold when
 * one of these was cut off at any point: it is done or not begun, but for what goes step by step
 * (snapshots that are pruned, displaced files), and every step leaves a store without a finding.
 * A repair and a rebuilding are finished by the next one.
 */

export const historyActNames: readonly string[] = [...Object.keys(historyActs), rebuildingAct];

const packingAct = 'packing';
const lazyPackingAct = 'packing by itself';
export const elsewhereAct = 'restore elsewhere';
const packs = (act: string): boolean => act === packingAct || act === lazyPackingAct;

type Tree = readonly string[];

interface HistoryState {
  readonly tree: Tree;
  /** Numbers of transactions, newest first. */
  readonly log: readonly number[];
  /** Those that keep nothing any more. */
  readonly pruned: ReadonlySet<number>;
  /** Each snapshot's tree, by its number. */
  readonly snapshots: ReadonlyMap<number, Tree>;
  /** How each of these is pinned and tagged. */
  readonly marks: ReadonlyMap<number, string>;
  /** Numbers of snapshots in the trash. */
  readonly trash: readonly number[];
  /** What is where {@link elsewhereOf} says; `undefined`: nothing. */
  readonly elsewhere: Tree | undefined;
  /** What paths were after transactions that are kept; empty but for the acts of packing. */
  readonly past: Readonly<Record<string, string>>;
  /** Names of packs. */
  readonly packs: readonly string[];
}

export interface HistoryPlace {
  readonly root: string;
  /** A directory of its own, for what is restored elsewhere. */
  readonly scratch: string;
  readonly act: string;
}

/** What an act starts from and leads to. */
export interface Expected {
  /** `undefined`: the store is damaged. */
  readonly before: HistoryState | undefined;
  readonly after: HistoryState;
  /** SHA-256 of what must not get lost, wherever in the store it is. */
  readonly kept: readonly string[];
}

const dayMs = 86_400_000;

/** Some of what `verify` finds; of each kind of answer one. */
const harms: Readonly<Record<string, readonly string[]>> = {
  repair: [
    'a displaced directory is gone',
    'an object is gone',
    'a compressed object has a flipped byte',
    'something in quarantine has no note',
    'other programs changed files',
  ],
  [rebuildingAct]: ['the newest transaction is gone'],
};

/** Makes the store that an act begins with. Closed when this returns. */
export async function makeHistory(
  root: string,
  act: string,
  options: OpenStoreOptions,
): Promise<void> {
  const write = (name: string, content: string): void => {
    fs.mkdirSync(path.dirname(path.join(root, name)), { recursive: true });
    fs.writeFileSync(path.join(root, name), content);
  };
  for (const name of ['seeded', 'd/x', 'd/y']) write(name, `${name} as it was`);
  const longText = 'all work and no play\n'.repeat(1_000);
  await using store = await openStore(root, { create: true, ...options });
  await store.transact({}, async (tx) => {
    await tx.write('a', 'a1');
    await tx.write('d/x', 'x2');
  });
  await store.transact({}, async (tx) => {
    await tx.write('a', 'a2');
    await tx.write('long', longText);
  });
  await store.snapshots.create({ name: 'first' });
  await store.transact({}, (tx) => tx.remove('d'));
  await store.transact({}, (tx) => tx.write('a', 'a4'));
  await store.snapshots.create({ name: 'second' });
  await store.transact({}, async (tx) => {
    await tx.chmod('seeded', 0o600);
    await tx.write('long', 'short');
  });
  if (act === lazyPackingAct) {
    await store.setHistoryPolicy({ packFromBytes: 1 });
    await store.transact({}, (tx) => tx.write('large', longText.repeat(60)));
    for (const n of [5, 6, 7]) await store.transact({}, (tx) => tx.write('seeded', String(n)));
  }
  if (act === 'redo') await store.undo();
  if (act === 'undeleting a snapshot') await store.snapshots.delete('first');
  if (act === 'pruning snapshots by itself') {
    await store.snapshots.create();
    await store.snapshots.create({ tags: ['kept'] });
    await store.snapshots.create();
    await store.snapshots.setPolicy({ keepLast: 1 });
  }
  if (act === elsewhereAct) clearElsewhere(root);
  if (act === 'adopt' || act === 'snapshot') {
    write('a', 'by hand');
    write('new/by hand', 'by hand');
    fs.rmSync(path.join(root, 'long'));
  }
  await store.close();
  if (act === 'pruning') {
    const later = { ...options, now: () => Date.now() + 5 * dayMs };
    await using again = await openStore(root, later);
    await again.prune({ keepLast: 3 });
    leaveUnusedPages(root);
  }
  // Told of the store of damages.ts, which this one resembles.
  const own = harms[act] ?? [];
  for (const { name, inflict } of damages) if (own.includes(name)) inflict(root);
}

/** Makes the place where a snapshot is restored to as it was. */
export function clearElsewhere(root: string): void {
  const beside = path.dirname(elsewhereOf(root));
  fs.rmSync(beside, { recursive: true, force: true });
  fs.mkdirSync(beside);
}

const unusedBytes = 1_200_000;

/** So that pruning makes the journal smaller. */
function leaveUnusedPages(root: string): void {
  const database = openDatabase(path.join(root, '.skillmeat/journal.db'));
  database.exec(`INSERT INTO meta VALUES ('unused', zeroblob(${String(unusedBytes)}), 0)`);
  database.exec("DELETE FROM meta WHERE key = 'unused'");
  database.pragma('wal_checkpoint(TRUNCATE)');
  database.close();
}

/** Does all of an act in the store of {@link makeHistory}; `acknowledge` is called when it is done. */
export async function doToHistory(
  { root, act }: Pick<HistoryPlace, 'root' | 'act'>,
  options: OpenStoreOptions,
  acknowledge: () => void = () => undefined,
): Promise<void> {
  const { aheadMs = 0, run } = historyActs[act] ?? {};
  const ahead = { ...options, now: () => Date.now() + aheadMs };
  if (act === rebuildingAct) {
    await rebuildStore(root, ahead);
    acknowledge();
    return;
  }
  await using store = await openStore(root, ahead);
  await run?.(store);
  acknowledge();
}

/** Looks at a store, and asks for each of its snapshots and for a store without a finding. */
async function readHistory(
  { root, scratch, act }: HistoryPlace,
  options: OpenStoreOptions,
): Promise<HistoryState> {
  await using store = await openStore(root, options);
  for await (const finding of store.verify({ deep: true })) {
    // Some begin with edits by hand.
    if (finding.kind !== 'drift') assert.fail(JSON.stringify(finding));
  }
  // What was cut off in its flush stays in the log, and is not in effect.
  const log = (await store.log({ limit: 1_000 })).filter(({ state }) => state !== 'rolled-back');
  const snapshots = new Map<number, Tree>();
  const marks = new Map<number, string>();
  for (const { id, isPinned, tags } of await store.snapshots.list()) {
    snapshots.set(id ?? 0, await treeOf(store, id ?? 0, scratch));
    marks.set(id ?? 0, JSON.stringify({ isPinned, tags }));
  }
  const trash = (await store.snapshots.list({ deleted: true })).map(({ id }) => id ?? 0);
  const to = elsewhereOf(root);
  const elsewhere = act === elsewhereAct && fs.existsSync(to) ? describeTree(to) : undefined;
  const ids = log.map(({ id }) => id ?? 0);
  const pruned = log.filter(({ isPruned }) => isPruned).map(({ id }) => id ?? 0);
  const past = packs(act) ? await readPast(store, ids) : {};
  const objects = path.join(root, '.skillmeat/objects');
  const there = fs.readdirSync(objects).filter((name) => name.startsWith('pack-'));
  const tree = describeTree(root);
  const ofSnapshots = { snapshots, marks, trash, elsewhere };
  return { tree, log: ids, pruned: new Set(pruned), ...ofSnapshots, past, packs: there };
}

/** All that the transactions of {@link makeHistory} displaced. */
async function readPast(
  store: Store,
  ids: readonly number[],
): Promise<Readonly<Record<string, string>>> {
  const past: Record<string, string> = {};
  for (const id of [0, ...ids]) {
    for (const name of ['a', 'd/x', 'd/y', 'long']) {
      const moment = { kind: 'transaction', id } as const;
      const text = await store.read(name, moment).then(
        ({ bytes }) => Buffer.from(bytes).toString(),
        (error: unknown) => {
          if (isEngineError(error, 'PATH_NOT_FOUND')) return 'nothing';
          throw error;
        },
      );
      past[`${name} after ${String(id)}`] = text;
    }
  }
  return past;
}

async function treeOf(store: Store, snapshot: number, scratch: string): Promise<Tree> {
  const to = path.join(scratch, 'restored');
  const { notRestored } = await store.snapshots.restore(snapshot, { to });
  // What a repair found nowhere it has noted as lost.
  assert.deepEqual(notRestored, []);
  const tree = describeTree(to);
  fs.rmSync(to, { recursive: true });
  return tree;
}

/** Does an act in the store of {@link makeHistory}, and tells what that must lead to. */
export async function carryOut(place: HistoryPlace, options: OpenStoreOptions): Promise<Expected> {
  const { root, act } = place;
  const isHarmed = harms[act] !== undefined;
  const own = path.join(root, '.skillmeat');
  const kept = ['stage', 'quarantine'].flatMap((name) => [
    ...hashesBelow(path.join(own, name)).keys(),
  ]);
  const before = isHarmed ? undefined : await readHistory(place, options);
  await doToHistory(place, options);
  if (isHarmed) await repairAll(root, options);
  const after = await readHistory(place, options);
  if (packs(act)) requirePacked(place, options);
  assert.notDeepEqual(after, before);
  if (act === 'pruning') {
    assert.ok(after.log.length < (before?.log.length ?? 0), 'records are removed');
    assert.ok(fs.statSync(path.join(own, 'journal.db')).size < unusedBytes);
  }
  return { before, after, kept: isHarmed ? kept : [] };
}

/** Without the native part nobody sees whether slots have attributes. */
function requirePacked(
  { root, act }: HistoryPlace,
  { native, fileSystem }: OpenStoreOptions,
): void {
  const own = path.join(root, '.skillmeat');
  const hasNative = (fileSystem?.capabilities.native ?? native) !== 'off';
  const objects = fs.readdirSync(path.join(own, 'objects'), { recursive: true });
  const contents = objects.map(String).filter((name) => /[0-9a-f]{20}/.test(name));
  const hasPack = contents.some((name) => name.startsWith('pack-'));
  if (act === packingAct) assert.equal(contents.length, 1, contents.join());
  else assert.equal(hasPack, hasNative);
  const slots = fs.readdirSync(path.join(own, 'stage')).map((name) => Number(/^\d+/.exec(name)));
  // The newest transaction is never packed, and by itself the newest four are not.
  const packed = hasNative ? slots.filter((id) => id < (act === packingAct ? 5 : 7)) : [];
  assert.deepEqual(packed, []);
}

async function repairAll(root: string, options: OpenStoreOptions): Promise<void> {
  await using store = await openStore(root, options);
  const repairs = await store.repair({ deep: true });
  const left = repairs.filter(({ outcome }) => outcome !== 'done');
  assert.deepEqual(left, []);
}

/**
 * Checks a store in which an act was cut off.
 *
 * @param isAcknowledged then it must be done.
 */
export async function requireCutOff(
  place: HistoryPlace,
  { before, after, kept }: Expected,
  { isAcknowledged, options }: { isAcknowledged: boolean; options: OpenStoreOptions },
): Promise<void> {
  const { root, act } = place;
  if (before === undefined) {
    // Whoever opens it meets a damaged store, and finishes what was begun.
    if (act === rebuildingAct && !isAcknowledged) await rebuildStore(root, options);
    await repairAll(root, options);
  }
  const found = await readHistory(place, options);
  // Packing changes nothing that is read; one that a commit begins may have had no commit.
  if (act === packingAct) assert.deepEqual(found.past, after.past);
  for (const [moment, text] of Object.entries(found.past)) {
    assert.equal(text, after.past[moment], moment);
  }
  // What is covered may come back with the power: removing it is not synced.
  if (packs(act) && isAcknowledged) assert.deepEqual(found.packs, after.packs);
  const earlier = isAcknowledged ? after : (before ?? after);
  const isDone = found.log[0] === after.log[0];
  assert.ok(isDone || found.log[0] === earlier.log[0], `the newest is ${String(found.log[0])}`);
  assert.deepEqual(found.tree, isDone ? after.tree : earlier.tree);
  const logs = [earlier.log.join(), after.log.join()];
  assert.ok(logs.includes(found.log.join()), `in the log are ${found.log.join()}`);
  const isLeft = new Set(after.log);
  for (const id of found.pruned) assert.ok(after.pruned.has(id) || !isLeft.has(id));
  for (const id of earlier.pruned) assert.ok(found.pruned.has(id) || !found.log.includes(id));
  for (const [id, tree] of found.snapshots) {
    assert.deepEqual(tree, after.snapshots.get(id) ?? earlier.snapshots.get(id));
  }
  for (const id of earlier.snapshots.keys()) {
    assert.ok(
      found.snapshots.has(id) || !after.snapshots.has(id),
      `snapshot ${String(id)} is lost`,
    );
  }
  for (const [id, mark] of found.marks) {
    assert.ok([after.marks.get(id), earlier.marks.get(id)].includes(mark), mark);
  }
  const isThere = (id: number, at: HistoryState): boolean =>
    at.snapshots.has(id) || at.trash.includes(id);
  for (const id of [...earlier.snapshots.keys(), ...earlier.trash]) {
    assert.ok(isThere(id, found) || !isThere(id, after), `snapshot ${String(id)} is nowhere`);
  }
  // It has its name when it is whole, and not before.
  assert.deepEqual(
    found.elsewhere,
    isAcknowledged || found.elsewhere ? after.elsewhere : undefined,
  );
  const hashes = new Set(hashesBelow(path.join(root, '.skillmeat')).keys());
  assert.deepEqual(
    kept.filter((hash) => !hashes.has(hash)),
    [],
  );
  await using store = await openStore(root, options);
  await store.transact({}, (tx) => tx.write('goes on', 'goes on'));
  await store.undo();
  assert.deepEqual(describeTree(root), found.tree);
}
