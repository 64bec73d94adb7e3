import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  isEngineError,
  rebuildStore,
  type Finding,
  type PackedHistory,
  type Store,
} from '../../src/engine/index.js';
import { openDatabase } from '../../src/engine/sqlite.js';
import { recordCrashes } from '../support/crash.js';
import { testify, testMachine } from '../support/evidence.js';
import { faultyFileSystem, type FileSystemMethod } from '../support/faults.js';
import { openJournal } from '../support/objects.js';
import { sampled } from '../support/extent.js';
import { skippedBecause } from '../support/skipped.js';
import {
  expectError,
  listOwn,
  modes,
  requireHealthy,
  stagedTransactions,
  useSandbox,
} from '../support/store.js';
import { readTree, type Tree } from '../support/tree.js';

/*
 * What is packed is read as before; a content is where it was or in a pack that was read back,
 * whenever packing ends; and nothing wrong comes out of a damaged pack.
 */

function run(program: string, ...values: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(program, values, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program} failed: ${stderr}`);
  return stdout;
}

const attributes = 'setfattr';
const whyNoAttributes =
  spawnSync(attributes, ['--version']).status === 0 ? undefined : 'setfattr is not installed';
if (whyNoAttributes !== undefined) {
  console.warn(`\n!!! NOT RUN: packing beside attributes; ${whyNoAttributes}.\n`);
}

const day = 86_400_000;
const later = (): number => Date.now() + 2 * day;

const long = (version: number): string =>
  Array.from({ length: 300 }, (_, line) =>
    line % 12 === version
      ? `line ${String(line)} of version ${String(version)}`
      : `line ${String(line)}`,
  ).join('\n');

function packsOf(root: string): readonly string[] {
  return readdirSync(join(root, '.skillmeat/objects')).filter((name) => name.startsWith('pack-'));
}

/** Objects with files of their own. */
function looseOf(root: string): number {
  const objects = join(root, '.skillmeat/objects');
  return readdirSync(objects, { recursive: true, withFileTypes: true }).filter(
    (entry) => entry.isFile() && entry.parentPath !== objects,
  ).length;
}

async function findings(store: Store, deep = true): Promise<readonly Finding[]> {
  const found: Finding[] = [];
  for await (const finding of store.verify({ deep })) found.push(finding);
  return found;
}

const kinds = (found: readonly Finding[]): readonly string[] => [
  ...new Set(found.map(({ kind }) => kind)),
];

const pack = async (store: Store, options: { dryRun?: boolean } = {}): Promise<PackedHistory> => {
  const { packed } = await store.prune({}, { pack: true, ...options });
  if (packed === null) throw new Error('packing was asked for');
  return packed;
};

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);
  /** Without the native part nobody sees whether displaced files have attributes. */
  const packsSlots = mode === 'auto';

  /** Transactions 1 to 6 and two snapshots. @returns the tree before and after each transaction. */
  async function makeHistory(
    options: Parameters<typeof sandbox.open>[0] = {},
  ): Promise<readonly Tree[]> {
    sandbox.seed({
      a: long(0),
      empty: '',
      'd/x': { content: 'x of the directory', mode: 0o755 },
      'd/sub/y': long(5),
      'd/link': { link: '../a' },
      'd/hollow': { directory: 0o700 },
    });
    const trees = [sandbox.tree()];
    const store = await sandbox.open(options);
    const act = async (...values: Parameters<Store['transact']>): Promise<void> => {
      await store.transact(...values);
      trees.push(sandbox.tree());
    };
    await act({}, (tx) => tx.write('a', long(1)));
    await act({}, async (tx) => {
      await tx.write('a', long(2));
      await tx.write('empty', 'no longer');
    });
    await store.snapshots.create({ name: 'early' });
    await act({}, (tx) => tx.remove('d'));
    await act({}, (tx) => tx.write('a', long(3)));
    await store.snapshots.create({ name: 'late' });
    await act({}, (tx) => tx.remove('empty'));
    await act({}, (tx) => tx.write('a', long(4)));
    await store.close();
    return trees;
  }

  /** Everything that history is read for. */
  async function requirePast(store: Store, trees: readonly Tree[], label = ''): Promise<void> {
    for (const [id, tree] of trees.entries()) {
      for (const path of ['a', 'd/x', 'd/sub/y', 'empty']) {
        const entry = tree[path];
        if (entry === undefined) continue;
        const { bytes } = await store.read(path, { kind: 'transaction', id });
        expect(Buffer.from(bytes).toString('latin1'), `${label} ${path} as of ${String(id)}`).toBe(
          entry.bytes,
        );
      }
    }
    for (const name of ['early', 'late']) {
      const to = join(sandbox.directory, `restored-${name}`);
      const { notRestored } = await store.snapshots.restore(name, { to });
      expect(notRestored, label).toEqual([]);
      expect(readTree(to), label).toEqual(name === 'early' ? trees[2] : trees[4]);
      rmSync(to, { recursive: true });
    }
    await store.rollback({ to: { transaction: 0 } });
    expect(readTree(store.root), label).toEqual(trees[0]);
    await store.undo();
    expect(readTree(store.root), label).toEqual(trees.at(-1));
  }

  test('everything that reads history reads packs, and packing again does nothing', async () => {
    const trees = await makeHistory();
    const store = await sandbox.open({ now: later });
    const planned = await pack(store, { dryRun: true });
    expect(packsOf(sandbox.root)).toEqual([]);
    const before = await store.usage();
    const packed = await pack(store);
    expect(planned).toMatchObject({ contents: packed.contents, packs: null, bytesAfter: null });
    expect(packed).toMatchObject({ packs: 1, blocked: null, bytesBefore: planned.bytesBefore });
    expect(packed.bytesAfter).toBeLessThan(packed.bytesBefore / 3);
    expect(looseOf(sandbox.root)).toBe(0);
    expect(stagedTransactions(sandbox.root)).toEqual(packsSlots ? [6] : [1, 2, 3, 4, 5, 6]);
    expect(packed.left.map(({ reason }) => reason)).toEqual(
      packsSlots
        ? ['the newest transaction']
        : ['the newest transaction', 'with an owner or attributes of its own'],
    );
    const usage = await store.usage();
    expect(usage.packed).toMatchObject({ packs: 1, bytes: packed.bytesAfter });
    if (packsSlots) expect(usage.bytes).toBeLessThan(before.bytes);
    expect(usage.snapshots.bytes).toBeLessThanOrEqual(usage.packed.bytes);
    expect(usage.unreferenced).toEqual({ objects: 0, bytes: 0 });
    expect(kinds(await findings(store))).toEqual([]);
    expect(kinds(await findings(store, false))).toEqual([]);
    const again = await pack(store);
    expect(again).toMatchObject({ contents: 0, packs: 0, bytesAfter: 0, bytesBefore: 0 });
    await requirePast(store, trees);
    expect(kinds(await findings(store))).toEqual([]);
  });

  test('a snapshot relies on what is packed, and stores nothing anew', async () => {
    await makeHistory();
    const store = await sandbox.open({ now: later });
    await pack(store);
    await store.snapshots.restore('late');
    const { added } = await store.snapshots.create({ name: 'again' });
    expect(added).toEqual({ objects: 0, bytes: 0 });
    expect((await store.snapshots.list())[0]?.sha256).toBe(
      (await store.snapshots.list()).find(({ name }) => name === 'late')?.sha256,
    );
    expect(kinds(await findings(store))).toEqual([]);
  });

  test('what is young, pinned, tagged or written to stays as it is, and is named', async () => {
    await makeHistory();
    const store = await sandbox.open({ now: later });
    await store.mark(1, { pin: true });
    await store.mark(2, { addTags: ['kept'] });
    await store.prune({});
    const slot = listOwn(sandbox.root, 'stage').find((name) => name.startsWith('4-')) ?? '';
    const late = long(7).slice(0, long(2).length);
    const at = join(sandbox.root, '.skillmeat/stage', slot);
    writeFileSync(at, late.padEnd(statSync(at).size, '.'));
    const { left } = await pack(store);
    const reasons = Object.fromEntries(left.map(({ reason, slots }) => [reason, slots]));
    expect(reasons).toEqual({
      'the newest transaction': 1,
      pinned: 1,
      tagged: 2,
      ...(packsSlots
        ? { 'not as it was displaced': 1 }
        : { 'with an owner or attributes of its own': 3 }),
    });
    expect(stagedTransactions(sandbox.root)).toEqual(
      packsSlots ? [1, 2, 4, 6] : [1, 2, 3, 4, 5, 6],
    );
    expect(readFileSync(at, 'utf8')).toContain('of version 7');
    const young = await sandbox.openAt(join(sandbox.directory, 'young'));
    await young.transact({}, (tx) => tx.write('a', 'one'));
    await young.transact({}, (tx) => tx.write('a', 'two'));
    await young.transact({}, (tx) => tx.write('a', 'three'));
    expect((await pack(young)).left.map(({ reason }) => reason)).toContain('not a day old');
    expect(stagedTransactions(young.root)).toEqual([2, 3]);
    sandbox.breaksStore();
  });

  test('packs go when nothing needs them, and are written anew when little of them is needed', async () => {
    await makeHistory();
    const store = await sandbox.open({ now: later });
    await pack(store);
    const [first] = packsOf(sandbox.root);
    // Less than half of it is needed by what stays.
    await store.snapshots.delete('late', { now: true });
    await store.snapshots.delete('early', { now: true });
    await store.prune({ keepLast: 3 });
    // Packs know contents and not who needs them: two are of slots that were not packed, too.
    expect(packsOf(sandbox.root)).toEqual([first]);
    const { packs } = await pack(store);
    if (packsSlots) {
      expect(packs).toBe(1);
      expect(packsOf(sandbox.root)).not.toContain(first);
    }
    expect(kinds(await findings(store))).toEqual([]);
    await store.undo({ transaction: 5 });
    expect(sandbox.tree()['empty']?.bytes).toBe('no longer');
    await store.prune({ keepLast: 1 });
    expect(packsOf(sandbox.root)).toEqual([]);
    expect(kinds(await findings(store))).toEqual([]);
  });

  test('small packs are put together', async () => {
    const trees = await makeHistory();
    const store = await sandbox.open({ now: later });
    await pack(store);
    await store.transact({}, (tx) => tx.write('a', 'short'));
    await store.snapshots.create({ name: 'newer' });
    await store.transact({}, (tx) => tx.write('a', long(4)));
    await store.close();
    const again = await sandbox.open({ now: () => later() + 2 * day });
    const { contents } = await pack(again);
    expect(contents).toBeGreaterThan(0);
    expect(packsOf(sandbox.root)).toHaveLength(1);
    expect(kinds(await findings(again))).toEqual([]);
    await requirePast(again, trees);
  });

  test('killed at any call of packing, all of the past is there, and packing goes on', async () => {
    const trees = await makeHistory();
    const recorder = recordCrashes(mode, sandbox.root, join(sandbox.directory, 'killed'));
    const store = await sandbox.open({ fileSystem: recorder.files, now: later });
    recorder.start();
    await pack(store);
    recorder.stop();
    const steps = new Set<string>();
    const looked = sampled(recorder.points, packsSlots ? 10 : 24);
    for (const { label, root } of looked) {
      const killed = await sandbox.openAt(root, { adopt: true, now: later });
      expect(kinds(await findings(killed)), label).toEqual([]);
      steps.add(`${String(packsOf(root).length)} ${String(stagedTransactions(root).length)}`);
      await requirePast(killed, trees, label);
      await pack(killed);
      expect(kinds(await findings(killed)), `${label}, then on`).toEqual([]);
      expect(looseOf(root), label).toBe(0);
      await killed.close();
      requireHealthy(root);
    }
    testify({
      fault: 'killed at a call',
      operation: 'packing',
      on: testMachine,
      native: mode,
      states: looked.length,
      violations: 0,
    });
    expect(recorder.points.length).toBeGreaterThan(packsSlots ? 20 : 10);
    expect(steps.size).toBeGreaterThan(packsSlots ? 3 : 1);
  });

  test.each([
    ['ENOSPC', 'DISK_FULL'],
    ['EIO', 'IO_FAILED'],
  ])('%s at any call of packing: nothing is removed, or all is packed', async (errno, code) => {
    const trees = await makeHistory();
    const writes: ReadonlySet<FileSystemMethod> = new Set<FileSystemMethod>([
      'barrier',
      'createFile',
      'moveOwn',
      'write',
      'writeSync',
    ]);
    const before = [looseOf(sandbox.root), listOwn(sandbox.root, 'stage')];
    let failed = 0;
    for (let at = 0; ; at += 1) {
      const faulty = faultyFileSystem(mode);
      const store = await sandbox.open({ fileSystem: faulty.files, now: later });
      // What settles comes first, and is not what this is about.
      await store.prune({});
      let calls = 0;
      faulty.fail(errno, ({ method }) => writes.has(method) && calls++ === at, 1);
      const outcome = await pack(store).catch((error: unknown) => error);
      const isOver = faulty.failures === 0;
      faulty.heal();
      if (outcome instanceof Error) {
        const label = `${errno} at call ${String(at)}`;
        expect(isEngineError(outcome) ? outcome.code : outcome, label).toBe(code);
        expect([looseOf(sandbox.root), listOwn(sandbox.root, 'stage')], label).toEqual(before);
        expect(readdirSync(join(sandbox.root, '.skillmeat/objects')).join(), label).not.toContain(
          '.new',
        );
        expect(packsOf(sandbox.root), label).toEqual([]);
        await store.close();
        const again = await sandbox.open({ now: later });
        expect(kinds(await findings(again)), label).toEqual([]);
        await again.close();
        failed += 1;
      }
      if (isOver) {
        await requirePast(store, trees);
        break;
      }
      await store.close();
    }
    expect(failed).toBeGreaterThanOrEqual(5);
  });

  /** A store of which all that can be is packed, closed. @returns the pack. */
  async function makePacked(): Promise<{ readonly trees: readonly Tree[]; readonly at: string }> {
    const trees = await makeHistory();
    const store = await sandbox.open({ now: later });
    await pack(store);
    await store.close();
    const at = join(sandbox.root, '.skillmeat/objects', packsOf(sandbox.root)[0] ?? '');
    return { trees, at };
  }

  test('a pack that is damaged anywhere is found, and nothing wrong comes out of it', async () => {
    const { trees, at } = await makePacked();
    const sound = readFileSync(at);
    const places = sampled([...sound.keys()], 400, 50);
    // Its beginning, length, checksum, index and first chunk are few.
    const harms: (readonly [string, Buffer])[] = [0, 9, 20, 44, 50, 60, 90, ...places].map(
      (place) => {
        const bytes = Buffer.from(sound);
        bytes[place] = (bytes[place] ?? 0) ^ 0x40;
        return [`byte ${String(place)}`, bytes] as const;
      },
    );
    for (const length of [0, 8, 43, 44, 100, sound.length - 1]) {
      harms.push([`cut to ${String(length)}`, sound.subarray(0, length)]);
    }
    harms.push(['longer', Buffer.concat([sound, Buffer.from('x')])]);
    const outcomes = new Set<string>();
    // What a pack is read with is the same without the native part, and slower.
    const inflicted = packsSlots ? sampled(harms, 4) : sampled(harms, 10, 4);
    for (const [label, bytes] of inflicted) {
      writeFileSync(at, bytes);
      const store = await sandbox.open({ now: later });
      const found = await findings(store);
      expect(kinds(found), label).toContain('pack-damaged');
      const before = sandbox.tree();
      for (const path of ['a', 'd/sub/y']) {
        const then = await store
          .read(path, { kind: 'transaction', id: 0 })
          .catch((error: unknown) => error);
        if (!(then instanceof Error)) {
          const { bytes: past } = then as { readonly bytes: Uint8Array };
          expect(Buffer.from(past).toString('latin1'), label).toBe(trees[0]?.[path]?.bytes);
          outcomes.add('read');
        } else outcomes.add(isEngineError(then) ? then.code : String(then));
      }
      const undone = await store.undo({ transaction: 3 }).catch((error: unknown) => error);
      if (undone instanceof Error) {
        expect(isEngineError(undone) ? undone.code : undone, label).toBe('HISTORY_DAMAGED');
        expect(sandbox.tree(), label).toEqual(before);
      } else {
        expect(sandbox.tree()['d/sub/y'], label).toEqual(trees[0]?.['d/sub/y']);
        await store.transact({}, (tx) => tx.remove('d'));
      }
      await store.close();
      writeFileSync(at, sound);
    }
    expect([...outcomes].toSorted()).toEqual(packsSlots ? ['HISTORY_DAMAGED', 'read'] : ['read']);
  });

  test('what a damaged pack held is named, repaired from elsewhere or noted as lost', async () => {
    const { trees, at } = await makePacked();
    const bytes = readFileSync(at);
    // Within the compressed contents, which are the end of it.
    bytes.fill(0xff, bytes.length - 400);
    writeFileSync(at, bytes);
    const store = await sandbox.open({ now: later });
    const found = await findings(store);
    const damaged = found.find(({ kind }) => kind === 'pack-damaged');
    expect(damaged?.message).toMatch(
      /needed by transactions (1, )?2, 3, 4, 5, 6, by snapshots 1, 2$/,
    );
    if (packsSlots) {
      const { message } = await expectError(store.undo({ transaction: 3 }), 'HISTORY_DAMAGED');
      expect(message).toContain('the pack objects/pack-');
    }
    // A list was to be read, to look for what it names.
    expect(kinds(await findings(store, false))).toEqual(['object-damaged']);
    // One of them is in the root again.
    sandbox.seed({ 'd/sub/y': long(5) });
    const repairs = await store.repair({ deep: true });
    expect(repairs.filter(({ outcome }) => outcome !== 'done')).toEqual([]);
    expect(kinds(await findings(store))).toEqual([]);
    expect(existsSync(at)).toBe(false);
    expect(listOwn(sandbox.root, 'quarantine').length).toBeGreaterThan(0);
    if (packsSlots) {
      const { bytes: then } = await store.read('d/sub/y', { kind: 'transaction', id: 0 });
      expect(Buffer.from(then).toString('latin1')).toBe(trees[0]?.['d/sub/y']?.bytes);
    }
  });

  test('a damaged pack of which everything is elsewhere becomes what it was', async () => {
    await makeHistory();
    const early = await sandbox.open({ now: later });
    // Nothing is removed but objects that are still in the root.
    await early.snapshots.restore('late');
    await early.close();
    const store = await sandbox.open({ now: () => later() + 2 * day });
    await pack(store);
    const [name = ''] = packsOf(sandbox.root);
    const at = join(sandbox.root, '.skillmeat/objects', name);
    const bytes = readFileSync(at);
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    writeFileSync(at, bytes);
    await store.repair({ deep: true });
    await store.repair({ deep: true });
    expect(kinds(await findings(store))).toEqual([]);
  });

  test('a missing pack is found without reading any, with who needs it, and answered', async () => {
    const { at } = await makePacked();
    rmSync(at);
    const store = await sandbox.open({ now: later });
    const found = await findings(store, false);
    expect(kinds(found)).toEqual(
      packsSlots
        ? ['pack-missing', 'slot-missing', 'object-missing']
        : ['pack-missing', 'object-missing'],
    );
    if (packsSlots) {
      const needing = found.filter(({ kind }) => kind === 'slot-missing');
      expect(new Set(needing.map(({ transaction }) => transaction))).toEqual(
        new Set([1, 2, 3, 4, 5]),
      );
      await expectError(store.undo({ transaction: 3 }), 'HISTORY_DAMAGED');
    }
    expect(await pack(store)).toMatchObject({ blocked: expect.any(String) as string });
    const repairs = await store.repair();
    expect(repairs.filter(({ outcome }) => outcome !== 'done')).toEqual([]);
    expect(kinds(await findings(store))).toEqual([]);
  });

  test('a pack that the journal does not know is read, and noted by the next packing', async () => {
    const { trees } = await makePacked();
    const store = await sandbox.open({ now: later });
    {
      using journal = openJournal(store);
      journal.packs.remove([...journal.packs.list().keys()], journal.epoch());
      expect(journal.packs.list().size).toBe(0);
    }
    await requirePast(store, trees);
    expect(kinds(await findings(store))).toEqual([]);
    await pack(store);
    using journal = openJournal(store);
    expect(journal.packs.list().size).toBe(1);
  });

  test('what was packed for transactions that a rebuilt journal lost goes to quarantine', async () => {
    const trees = await makeHistory();
    const first = await sandbox.open({ now: later });
    await first.snapshots.delete('late', { now: true });
    await first.snapshots.delete('early', { now: true });
    await pack(first);
    await first.close();
    const database = openDatabase(sandbox.at('.skillmeat/journal.db'));
    database.exec("UPDATE journal_transaction SET message = 'other' WHERE id = 2");
    database.close();
    const rebuilt = await rebuildStore(sandbox.root, { native: mode, now: later });
    expect(rebuilt).toMatchObject({ transactions: 1, traces: 6 });
    const store = await sandbox.open({ now: () => later() + 2 * day });
    await store.prune({});
    const kept = readdirSync(sandbox.at('.skillmeat/quarantine'), {
      recursive: true,
      withFileTypes: true,
    })
      .filter((entry) => entry.isFile())
      .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'));
    for (const content of [long(1), long(2), long(3), long(5), 'x of the directory', 'no longer']) {
      expect(kept).toContain(content);
    }
    // The first is there still.
    const { bytes } = await store.read('a', { kind: 'transaction', id: 0 });
    expect(Buffer.from(bytes).toString('latin1')).toBe(trees[0]?.['a']?.bytes);
    await store.repair({ deep: true });
    expect(kinds(await findings(store))).toEqual([]);
  });

  test('a writer that lost its lock packs nothing', async () => {
    await makeHistory();
    const store = await sandbox.open({ now: later });
    using journal = openJournal(store);
    const [name] = [...journal.packs.list().keys()];
    expect(name).toBeUndefined();
    const sha256 = 'ab'.repeat(32) as Parameters<typeof journal.packs.add>[0];
    await expectError(async () => {
      journal.packs.add(sha256, 1, journal.epoch() + 1);
    }, 'FENCED');
    await expectError(async () => {
      journal.packs.remove([sha256], journal.epoch() + 1);
    }, 'FENCED');
  });
});

describe('attributes', skippedBecause(whyNoAttributes), () => {
  const sandbox = useSandbox('auto');

  test('what has attributes of its own stays, and comes back with them', async () => {
    sandbox.seed({ a: 'one', 'd/b': 'b' });
    run(attributes, '-n', 'user.note', '-v', 'mine', sandbox.at('d/b'));
    const first = await sandbox.open();
    await first.transact({}, (tx) => tx.remove('d'));
    await first.transact({}, (tx) => tx.write('a', 'two'));
    await first.transact({}, (tx) => tx.write('a', 'three'));
    await first.close();
    const store = await sandbox.open({ now: later });
    const { left } = await pack(store);
    expect(left.map(({ reason }) => reason)).toContain('with an owner or attributes of its own');
    expect(stagedTransactions(sandbox.root)).toEqual([1, 3]);
    await store.undo({ transaction: 1 });
    const note = run('getfattr', '--absolute-names', '-n', 'user.note', sandbox.at('d/b'));
    expect(note).toContain('user.note="mine"');
  });
});
