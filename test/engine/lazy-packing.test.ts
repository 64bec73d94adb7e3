import { randomBytes } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { HistoryPolicy, OpenStoreOptions, Store } from '../../src/engine/index.js';
import { hashContent } from '../../src/engine/hash.js';
import { readKept } from '../../src/engine/history.js';
import { packedAtOnceBytesMax, unpackedTransactionsMin } from '../../src/engine/limits.js';
import { NodeFileSystem } from '../../src/engine/node-file-system.js';
import { Pace } from '../../src/engine/pace.js';
import { RootTree } from '../../src/engine/root-tree.js';
import { copyTree } from '../support/copier.js';
import { recordCrashes } from '../support/crash.js';
import { testify, testMachine } from '../support/evidence.js';
import { sampled } from '../support/extent.js';
import { failSqlite } from '../support/failing-sqlite.js';
import {
  faultyFileSystem,
  type FileSystemCall,
  type FileSystemMethod,
  watchedFileSystem,
} from '../support/faults.js';
import { openJournal } from '../support/objects.js';
import {
  bumpEpoch,
  expectError,
  listOwn,
  type Mode,
  modes,
  requireHealthy,
  stagedTransactions,
  useSandbox,
} from '../support/store.js';
import { readTree } from '../support/tree.js';

/*
 * What is packed that nobody asked for: after which commits, how much of it, and that no commit fails
 * for it. What packing itself promises is in packing.test.ts.
 */

const day = 86_400_000;
const size = 280_000;
/** Four of these make a checkpoint due. */
const text = (version: number): string =>
  Array.from(
    { length: size / 14 },
    (_, line) => `${String(line % 700 === version ? version : line).padStart(13)}\n`,
  ).join('');

function packsOf(root: string): readonly string[] {
  const objects = join(root, '.skillmeat/objects');
  if (!existsSync(objects)) return [];
  return readdirSync(objects).filter((name) => name.startsWith('pack-'));
}

function useStore(mode: Mode) {
  const sandbox = useSandbox(mode);

  const open = async (
    options: OpenStoreOptions = {},
    policy?: HistoryPolicy,
  ): Promise<{ readonly store: Store; readonly write: (n: number) => Promise<void> }> => {
    const store = await sandbox.open(options);
    if (policy !== undefined) await store.setHistoryPolicy(policy);
    return {
      store,
      write: async (n) => void (await store.transact({}, (tx) => tx.write('a', text(n)))),
    };
  };

  /** Transactions 1 to 8, each of which displaces the version before; the last one packs. */
  async function replaceEightTimes(
    options: OpenStoreOptions = {},
    policy?: HistoryPolicy,
  ): Promise<Store> {
    sandbox.seed({ a: text(0) });
    const { store, write } = await open(options, policy);
    for (let n = 1; n <= 8; n += 1) await write(n);
    return store;
  }

  async function kinds(store: Store): Promise<readonly string[]> {
    const found = new Set<string>();
    for await (const { kind } of store.verify({ deep: true })) found.add(kind);
    return [...found];
  }

  async function requirePast(store: Store, label = ''): Promise<void> {
    for (let id = 0; id < 8; id += 1) {
      const { bytes } = await store.read('a', { kind: 'transaction', id });
      expect(Buffer.from(bytes).toString() === text(id), `${label}: after ${String(id)}`).toBe(
        true,
      );
    }
    expect(await kinds(store), label).toEqual([]);
  }

  return { sandbox, open, replaceEightTimes, kinds, requirePast };
}

const isPacking = ({ method, values }: FileSystemCall): boolean =>
  method === 'createFile' && (values[0] as { name: string }).name.startsWith('.new-');

describe.each(modes)('native %s', (mode) => {
  const { sandbox, open, replaceEightTimes, kinds, requirePast } = useStore(mode);
  /** Without the native part nobody sees whether displaced files have attributes. */
  const packsSlots = mode === 'auto';

  test('what was displaced is packed when it is enough, but for the newest few transactions', async () => {
    const store = await replaceEightTimes();
    expect(stagedTransactions(sandbox.root)).toEqual(
      packsSlots ? [5, 6, 7, 8] : [1, 2, 3, 4, 5, 6, 7, 8],
    );
    expect(packsOf(sandbox.root)).toHaveLength(packsSlots ? 1 : 0);
    await requirePast(store);
    await store.rollback({ to: { transaction: 2 } });
    expect(sandbox.tree()['a']?.bytes).toBe(text(2));
  });

  test('nothing is packed before it is enough, nor where that is switched off', async () => {
    const first = await replaceEightTimes({}, { packFromBytes: 5 * size });
    expect(packsOf(sandbox.root)).toEqual([]);
    await first.setHistoryPolicy({ packFromBytes: 0 });
    await first.close();
    const { store, write } = await open();
    for (let n = 9; n <= 16; n += 1) await write(n);
    expect(packsOf(sandbox.root)).toEqual([]);
    await store.setHistoryPolicy(undefined);
    for (let n = 17; n <= 20; n += 1) await write(n);
    expect(packsOf(sandbox.root)).toHaveLength(packsSlots ? 1 : 0);
  });

  test('killed at any call of a commit that packs, all of the past is there, and packing goes on', async () => {
    sandbox.seed({ a: text(0) });
    const recorder = recordCrashes(mode, sandbox.root, join(sandbox.directory, 'killed'));
    const { write } = await open({ fileSystem: recorder.files });
    for (let n = 1; n <= 7; n += 1) await write(n);
    recorder.start();
    await write(8);
    recorder.stop();
    const looked = sampled(recorder.points, packsSlots ? 3 : 24);
    const steps = new Set<string>();
    for (const { label, root } of looked) {
      const killed = await sandbox.openAt(root, { adopt: true });
      steps.add(`${String(packsOf(root).length)} ${String(stagedTransactions(root).length)}`);
      expect(await kinds(killed), label).toEqual([]);
      for (let n = 8; n <= 12; n += 1) {
        await killed.transact({}, (tx) => tx.write('a', text(n)));
      }
      await requirePast(killed, label);
      if (packsSlots) expect(stagedTransactions(root)[0], label).toBeGreaterThan(4);
      await killed.close();
      requireHealthy(root);
    }
    testify({
      fault: 'killed at a call',
      operation: 'packing by itself',
      on: testMachine,
      native: mode,
      states: looked.length,
      violations: 0,
    });
    expect(steps.size).toBeGreaterThan(packsSlots ? 3 : 0);
  });
});

describe('a piece', () => {
  const { sandbox, open, replaceEightTimes, kinds, requirePast } = useStore('auto');

  test.each(['ENOSPC', 'EIO'])(
    '%s at any call of packing: the commit stands, and nothing is lost',
    async (errno) => {
      sandbox.seed({ a: text(0) });
      const methods: ReadonlySet<FileSystemMethod> = new Set<FileSystemMethod>([
        'barrier',
        'createFile',
        'moveOwn',
        'removeFile',
        'write',
        'writeSync',
      ]);
      const { store, write } = await open();
      for (let n = 1; n <= 7; n += 1) await write(n);
      await store.close();
      for (let at = 0; ; at += 1) {
        const root = join(sandbox.directory, `failing ${String(at)}`);
        copyTree(sandbox.root, root);
        const faulty = faultyFileSystem('auto');
        const failing = await sandbox.openAt(root, { fileSystem: faulty.files, adopt: true });
        let [calls, isUnderWay] = [0, false];
        const isHit = (call: FileSystemCall): boolean => {
          isUnderWay ||= isPacking(call);
          return isUnderWay && methods.has(call.method) && calls++ === at;
        };
        faulty.fail(errno, isHit, 1);
        await failing.transact({}, (tx) => tx.write('a', text(8)));
        const isOver = faulty.failures === 0;
        faulty.heal();
        await failing.close();
        const again = await sandbox.openAt(root);
        const label = `${errno} at call ${String(at)}`;
        expect((await again.log())[0]?.id, label).toBe(8);
        await requirePast(again, label);
        await again.close();
        requireHealthy(root);
        if (isOver) {
          expect(at).toBeGreaterThanOrEqual(7);
          break;
        }
      }
    },
  );

  /** A directory of three texts is displaced, then a file eight times. */
  async function displaceDirectory(
    laterMs: number,
    {
      meanwhile,
      ...options
    }: OpenStoreOptions & {
      /** After it was settled. */
      readonly meanwhile?: () => void;
    } = {},
  ): Promise<void> {
    sandbox.seed({ 'd/x': text(100), 'd/p/y': text(200), 'd/q/z': text(300), a: text(0) });
    sandbox.seed({ 'd/p/link in p': { link: 'y' }, 'd/q/link in q': { link: 'z' } });
    let now = Date.now();
    const { store, write } = await open({ ...options, now: () => now });
    await store.transact({}, (tx) => tx.remove('d'));
    now += laterMs;
    // Settles it.
    await store.adopt();
    meanwhile?.();
    for (let n = 1; n <= 8; n += 1) await write(n);
  }

  test('of a directory waits for a day: somebody may still write by the names in it', async () => {
    await displaceDirectory(0);
    expect(packsOf(sandbox.root)).toEqual([]);
  });

  test('of a directory is made when that is a day old', async () => {
    await displaceDirectory(2 * day);
    expect(stagedTransactions(sandbox.root)).not.toContain(1);
  });

  test('leaves what somebody makes in a directory while that is removed', async () => {
    let made: string | undefined;
    const files = watchedFileSystem('auto', ({ method, values }) => {
      if (method !== 'removeFile' || made !== undefined) return;
      const { name } = values[0] as { readonly name: string };
      if (!name.startsWith('link in ')) return;
      const [slot = ''] = listOwn(sandbox.root, 'stage');
      // The other directory has been looked at, and its turn is next.
      const other = name.endsWith('p') ? 'q' : 'p';
      made = sandbox.at(`.skillmeat/stage/${slot}/${other}/new`);
      writeFileSync(made, 'made late');
    });
    await displaceDirectory(2 * day, { fileSystem: files });
    expect(readFileSync(made ?? '', 'utf8')).toBe('made late');
  });

  test('passes by a slot that cannot be looked at', async () => {
    const meanwhile = (): void => {
      const [slot = ''] = listOwn(sandbox.root, 'stage');
      mkdirSync(sandbox.at(`.skillmeat/stage/${slot}/.skillmeat`));
    };
    await displaceDirectory(2 * day, { meanwhile });
    expect(stagedTransactions(sandbox.root)).toContain(1);
    expect(packsOf(sandbox.root).length).toBeGreaterThan(0);
  });

  test('of what is young is not made where leases tell little', async () => {
    const files = watchedFileSystem('auto', ({ method }) =>
      method === 'typeOf' ? () => ({ name: 'overlay', support: 'supported' }) : undefined,
    );
    await replaceEightTimes({ fileSystem: files });
    expect(packsOf(sandbox.root)).toEqual([]);
  });

  test('whose note the journal could not sync stops the store', async () => {
    let heal = (): void => undefined;
    let isOver = false;
    const files = watchedFileSystem('auto', (call) => {
      if (isOver || !isPacking(call)) return;
      isOver = true;
      heal = failSqlite('SQLITE_IOERR_FSYNC', 'COMMIT');
    });
    const store = await replaceEightTimes({ fileSystem: files });
    heal();
    expect(isOver).toBe(true);
    await expectError(
      store.transact({}, (tx) => tx.write('b', 'b')),
      'STORE_POISONED',
    );
    sandbox.breaksStore();
  });

  test('is no more than that at a time, and the next commit goes on', async () => {
    const files = Object.fromEntries(
      Array.from({ length: 60 }, (_, n) => [`d/${String(n)}`, text(n).slice(0, 60_000)]),
    );
    sandbox.seed({ ...files, 'd/sub/one': 'one', 'd/link': { link: 'sub/one' } });
    let laterMs = 0;
    const { store } = await open({ now: () => Date.now() + laterMs });
    const before = sandbox.tree();
    await store.transact({}, (tx) => tx.remove('d'));
    laterMs = 2 * day;
    const unpacked = async (): Promise<number> => (await store.usage()).displaced.bytes;
    const all = await unpacked();
    const left: number[] = [];
    let half: string | undefined;
    for (let n = 0; n < 8; n += 1) {
      await store.transact({}, (tx) => tx.write('a', String(n)));
      left.push(await unpacked());
      const isHalf = (left.at(-1) ?? 0) < all - 60_000 && half === undefined;
      if (!isHalf) continue;
      half = join(sandbox.directory, 'half');
      copyTree(sandbox.root, half);
      const again = await sandbox.openAt(half, { adopt: true });
      expect(await kinds(again)).toEqual([]);
      await again.undo({ transaction: 1 });
      expect(readTree(half)).toMatchObject(before);
    }
    expect(half).toBeDefined();
    expect(await kinds(store)).toEqual([]);
    const first = left.findIndex((bytes) => bytes < all - 60_000);
    const [one = 0, two = 0] = left.slice(first);
    expect(all - one).toBeGreaterThanOrEqual(packedAtOnceBytesMax);
    expect(all - one).toBeLessThan(packedAtOnceBytesMax + 60_000);
    expect(one - two).toBeGreaterThanOrEqual(packedAtOnceBytesMax);
    expect(stagedTransactions(sandbox.root)).not.toContain(1);
    expect(await kinds(store)).toEqual([]);
    await store.undo({ transaction: 1 });
    expect(sandbox.tree()).toMatchObject(before);
  });

  test('leaves large files that become no smaller, and dedupes those that lie twice', async () => {
    const [noise, rest] = [randomBytes(size), randomBytes(size)];
    const { store } = await open();
    const write = async (content: Uint8Array | string): Promise<void> =>
      void (await store.transact({}, (tx) => tx.write('a', content)));
    // 2 displaces noise, 3 rest, 4 a text, 5 noise again, 6 to 9 texts.
    for (const content of [noise, rest, text(1), noise]) await write(content);
    for (let n = 2; n <= 10; n += 1) await write(text(n));
    expect(stagedTransactions(sandbox.root).filter((id) => id < 9)).toEqual([3]);
    expect(await kinds(store)).toEqual([]);
    for (const [id, content] of [
      [1, noise],
      [2, rest],
      [4, noise],
    ] as const) {
      const { bytes } = await store.read('a', { kind: 'transaction', id });
      expect(Buffer.from(bytes).equals(content)).toBe(true);
    }
    // One copy of what does not become smaller, and texts that do.
    const { bytes } = (await store.usage()).packed;
    expect(bytes).toBeGreaterThan(size);
    expect(bytes).toBeLessThan(size * 1.5);
  });

  test('does not contain what a program has open, though it has not written yet', async () => {
    sandbox.seed({ a: text(0) });
    const { store, write } = await open();
    const descriptor = openSync(sandbox.at('a'), 'r+');
    for (let n = 1; n <= 8; n += 1) await write(n);
    expect(stagedTransactions(sandbox.root)).toContain(1);
    writeSync(descriptor, 'written late', 0);
    closeSync(descriptor);
    for (let n = 9; n <= 16; n += 1) await write(n);
    const [slot = ''] = listOwn(sandbox.root, 'stage').filter((name) => name.startsWith('1-'));
    expect(readFileSync(sandbox.at(`.skillmeat/stage/${slot}`), 'utf8')).toContain('written late');
    expect(await kinds(store)).toEqual(['slot-damaged']);
    sandbox.breaksStore();
  });

  test('does not contain what was opened while it was written', async () => {
    let descriptor: number | undefined;
    const files = watchedFileSystem('auto', (call) => {
      if (descriptor !== undefined || !isPacking(call)) return;
      const [slot = ''] = listOwn(sandbox.root, 'stage').filter((name) => name.startsWith('2-'));
      descriptor = openSync(sandbox.at(`.skillmeat/stage/${slot}`), 'r+');
    });
    const store = await replaceEightTimes({ fileSystem: files });
    expect(stagedTransactions(sandbox.root)).toEqual([2, 5, 6, 7, 8]);
    if (descriptor !== undefined) closeSync(descriptor);
    await requirePast(store);
  });

  test('does not contain what was written to while it was written', async () => {
    let isDone = false;
    const files = watchedFileSystem('auto', (call) => {
      if (isDone || !isPacking(call)) return;
      isDone = true;
      const [slot = ''] = listOwn(sandbox.root, 'stage').filter((name) => name.startsWith('2-'));
      writeFileSync(sandbox.at(`.skillmeat/stage/${slot}`), 'written late');
    });
    await replaceEightTimes({ fileSystem: files });
    expect(stagedTransactions(sandbox.root)).toEqual([2, 5, 6, 7, 8]);
    sandbox.breaksStore();
  });

  test('leaves a file that could not be packed where it is', async () => {
    sandbox.seed({ a: text(0) });
    const { write } = await open();
    for (let n = 1; n <= 4; n += 1) await write(n);
    const [slot = ''] = listOwn(sandbox.root, 'stage').filter((name) => name.startsWith('2-'));
    const at = sandbox.at(`.skillmeat/stage/${slot}`);
    // While it is read to be packed it is another one.
    let isPacked = false;
    const files = watchedFileSystem('auto', (call) => {
      if (!isPacking(call)) return;
      isPacked = true;
      writeFileSync(at, text(1));
    });
    const again = await open({ fileSystem: files });
    for (let n = 5; n <= 7; n += 1) await again.write(n);
    writeFileSync(at, text(30));
    await again.write(8);
    expect(isPacked).toBe(true);
    expect(stagedTransactions(sandbox.root)).toEqual([2, 5, 6, 7, 8]);
    await requirePast(again.store);
  });

  test('waits a day where nobody can see who has a file open', async () => {
    const files = watchedFileSystem('auto', ({ method }) =>
      method === 'hasWriter' ? () => undefined : undefined,
    );
    const store = await replaceEightTimes({ fileSystem: files });
    expect(packsOf(sandbox.root)).toEqual([]);
    await store.close();
    const later = await open({ fileSystem: files, now: () => Date.now() + 2 * day });
    for (let n = 9; n <= 12; n += 1) await later.write(n);
    expect(stagedTransactions(sandbox.root)[0]).toBeGreaterThan(unpackedTransactionsMin);
    await requirePast(later.store);
  });

  test('passes by what is pinned', async () => {
    sandbox.seed({ a: text(0) });
    const { store, write } = await open();
    for (let n = 1; n <= 3; n += 1) await write(n);
    await store.mark(2, { pin: true });
    for (let n = 4; n <= 8; n += 1) await write(n);
    expect(stagedTransactions(sandbox.root)).toEqual([2, 5, 6, 7, 8]);
  });

  test('is packed by processes of one commit each', async () => {
    sandbox.seed({ a: text(0) });
    for (let n = 1; n <= 8; n += 1) {
      const { store, write } = await open();
      await write(n);
      await store.close();
    }
    expect(stagedTransactions(sandbox.root)).toEqual([5, 6, 7, 8]);
  });

  test('is followed by the next one in the next process', async () => {
    const first = await open();
    for (let n = 0; n < 5; n += 1) {
      await first.store.transact({}, async (tx) => {
        for (let m = 0; m < 8; m += 1) await tx.write(`a${String(m)}`, text(n * 8 + m));
      });
    }
    await first.store.close();
    const left = [];
    for (let n = 0; n < 6; n += 1) {
      const { store } = await open();
      await store.transact({}, (tx) => tx.write('b', String(n)));
      left.push(stagedTransactions(sandbox.root).filter((id) => id < 5).length);
      await store.close();
    }
    expect(left.at(-1)).toBe(0);
  });

  test('goes with what was pruned, also when nobody asks for that', async () => {
    const store = await replaceEightTimes({}, { keepLast: 8 });
    const [first] = packsOf(sandbox.root);
    expect(first).toBeDefined();
    for (let n = 9; n <= 20; n += 1) await store.transact({}, (tx) => tx.write('a', text(n)));
    expect(packsOf(sandbox.root)).not.toContain(first);
    expect(packsOf(sandbox.root).length).toBeGreaterThan(0);
    expect(await kinds(store)).toEqual([]);
    const { bytes } = await store.read('a', { kind: 'transaction', id: 14 });
    expect(Buffer.from(bytes).toString() === text(14)).toBe(true);
  });

  test('does not go with it when the writer was overtaken', async () => {
    let isArmed = false;
    const files = watchedFileSystem('auto', ({ method, values }) => {
      const isCheckpoint = method === 'barrier' && values[1] === Number.POSITIVE_INFINITY;
      if (!isArmed || !isCheckpoint) return;
      isArmed = false;
      bumpEpoch(sandbox.root);
    });
    const store = await replaceEightTimes({ fileSystem: files });
    const packs = packsOf(sandbox.root);
    await store.setHistoryPolicy({ keepLast: 1 });
    for (let n = 9; n <= 11; n += 1) await store.transact({}, (tx) => tx.write('a', text(n)));
    isArmed = true;
    await store.transact({}, (tx) => tx.write('a', text(12)));
    expect(isArmed).toBe(false);
    await expectError(
      store.transact({}, (tx) => tx.write('a', 'b')),
      'STORE_POISONED',
    );
    expect(packsOf(sandbox.root)).toEqual(packs);
    sandbox.breaksStore();
  });

  test('is found by who looked at packs before it was there', async () => {
    sandbox.seed({ a: text(0) });
    const { store, write } = await open();
    for (let n = 1; n <= 7; n += 1) await write(n);
    using objects = store.snapshots.openObjects();
    expect(objects.packs.list()).toEqual([]);
    await write(8);
    const files = new NodeFileSystem({ native: 'auto' });
    const root = files.openRoot(sandbox.at('.skillmeat/stage'));
    try {
      using history = new RootTree(files, root);
      const looking = { files, pace: new Pace() };
      const content = Buffer.from(text(1));
      const image = {
        kind: 'file',
        sha256: hashContent(content),
        size: content.length,
        mode: 0o644,
      } as const;
      const bytes = await readKept(image, [], { looking, history, objects });
      expect(Buffer.from(bytes ?? []).equals(content)).toBe(true);
    } finally {
      files.closeDirectory(root);
    }
  });

  test('is not written by a writer that was overtaken', async () => {
    sandbox.seed({ a: text(0) });
    const created: string[] = [];
    let isArmed = false;
    const files = watchedFileSystem('auto', (call) => {
      const { method, values } = call;
      if (isPacking(call)) created.push('pack');
      // A checkpoint's asks for no number of bytes.
      const isCheckpoint = method === 'barrier' && values[1] === Number.POSITIVE_INFINITY;
      if (!isArmed || !isCheckpoint) return;
      isArmed = false;
      bumpEpoch(sandbox.root);
    });
    const { store, write } = await open({ fileSystem: files });
    for (let n = 1; n <= 7; n += 1) await write(n);
    isArmed = true;
    await write(8);
    expect(created).toEqual([]);
    await expectError(write(9), 'STORE_POISONED');
    await store.close();
    sandbox.breaksStore();
  });

  test('goes nowhere when its writer was overtaken meanwhile', async () => {
    sandbox.seed({ a: text(0) });
    let isArmed = false;
    const files = watchedFileSystem('auto', ({ method, values }) => {
      if (!isArmed || method !== 'openForReading') return;
      if (!(values[0] as { name: string }).name.startsWith('pack-')) return;
      isArmed = false;
      bumpEpoch(sandbox.root);
    });
    const { store, write } = await open({ fileSystem: files });
    // From the fifth on, all that is displaced is in a pack.
    for (let n = 1; n <= 11; n += 1) await write(n % 2);
    isArmed = true;
    await write(12);
    expect(isArmed).toBe(false);
    await store.close();
    expect(stagedTransactions(sandbox.root)).toEqual([5, 6, 7, 8, 9, 10, 11, 12]);
    sandbox.breaksStore();
  });
});

describe('the journal', () => {
  const { sandbox, open } = useStore('auto');

  test('says where packing goes on, to a writer that is not overtaken', async () => {
    const { store } = await open();
    await store.transact({}, (tx) => tx.write('a', 'a'));
    using journal = openJournal(store);
    expect(journal.packs.progress()).toEqual({
      transaction: 1,
      files: 0,
      isMore: false,
      cleanedThrough: 0,
    });
    journal.packs.setProgress(
      { transaction: 3, files: 2, isMore: true, cleanedThrough: 1 },
      journal.epoch(),
    );
    expect(journal.countUnsettled().isPacking).toBe(true);
    expect(journal.packs.progress()).toEqual({
      transaction: 3,
      files: 2,
      isMore: true,
      cleanedThrough: 1,
    });
    await expectError(async () => {
      journal.packs.setProgress(
        { transaction: 1, files: 0, isMore: false, cleanedThrough: 0 },
        journal.epoch() + 1,
      );
    }, 'FENCED');
    journal.setMeta({ packing: '{"transaction":"x"}' });
    await expectError(async () => journal.packs.progress(), 'JOURNAL_DAMAGED');
    expect(sandbox.root).toBe(store.root);
  });
});
