import {
  chmodSync,
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { EngineEvents, Store } from '../../src/engine/index.js';
import { displacedSuffix } from '../../src/engine/file-system.js';
import { Journal } from '../../src/engine/journal.js';
import {
  historyTransactionsMax,
  unsettledChangesMax,
  unsettledTransactionsMax,
} from '../../src/engine/limits.js';
import { faultyFileSystem, names, systemError, watchedFileSystem } from '../support/faults.js';
import {
  changeOwner,
  expectError,
  listOwn,
  modes,
  readQuarantine,
  useSandbox,
} from '../support/store.js';
import { file } from '../support/tree.js';

/** For a file that is replaced, plain Node starts two programs; not for a new one. */
const newName = (n: number): string => `new ${String(n)}`;

const day = 86_400_000;

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);
  let now = Date.now();

  function stagePrefixOf(id: number): string {
    using journal = Journal.open(sandbox.at('.skillmeat/journal.db'));
    return journal.transaction(id)?.stage ?? '';
  }

  /** Makes the transactions that are missing for a checkpoint, but for the last. */
  async function fill(store: Store, done: number, nameOf = newName): Promise<void> {
    for (let n = done; n < unsettledTransactionsMax - 1; n += 1) {
      await store.transact({}, (tx) => tx.write(nameOf(n), String(n)));
    }
  }

  /** Collects what the engine tells about checkpoints while `act` runs. */
  async function checkpointsOf(
    act: () => Promise<unknown>,
  ): Promise<readonly EngineEvents['skillmeat:checkpoint'][]> {
    const events: EngineEvents['skillmeat:checkpoint'][] = [];
    const listen = (event: unknown): void => {
      events.push(event as EngineEvents['skillmeat:checkpoint']);
    };
    subscribe('skillmeat:checkpoint', listen);
    try {
      await act();
    } finally {
      unsubscribe('skillmeat:checkpoint', listen);
    }
    return events.filter(({ root }) => root === sandbox.root);
  }

  test('comes after so many transactions, and settles all of them', async () => {
    const store = await sandbox.open();
    await fill(store, 0, () => 'counter');
    expect((await store.status()).unsettled).toBe(unsettledTransactionsMax - 1);
    expect((await store.show(1)).state).toBe('committed');
    const events = await checkpointsOf(() => store.transact({}, (tx) => tx.write('last', 'x')));
    expect(events).toEqual([
      { root: sandbox.root, settled: unsettledTransactionsMax, lateWrites: [] },
    ]);
    expect((await store.status()).unsettled).toBe(0);
    expect((await store.show(1)).state).toBe('settled');
    expect(statSync(sandbox.at('.skillmeat/journal.db-wal')).size).toBe(0);
    // The before-images stay: they are the history.
    expect(listOwn(sandbox.root, 'stage').length).toBe(unsettledTransactionsMax - 2);
  });

  test('comes after so many changes', async () => {
    const store = await sandbox.open();
    const events = await checkpointsOf(() =>
      store.transact({}, async (tx) => {
        for (let n = 0; n < unsettledChangesMax; n += 1) await tx.mkdir(`d${String(n)}`);
      }),
    );
    expect(events.map(({ settled }) => settled)).toEqual([1]);
    expect((await store.status()).unsettled).toBe(0);
  });

  test('counts what a process before this one left unsettled', async () => {
    const first = await sandbox.open();
    await fill(first, 0);
    await first.close();
    const second = await sandbox.open();
    const events = await checkpointsOf(() => second.transact({}, (tx) => tx.write('last', 'x')));
    expect(events.map(({ settled }) => settled)).toEqual([unsettledTransactionsMax]);
  });

  test('comes also when each process makes one transaction', async () => {
    for (let n = 0; n < unsettledTransactionsMax + 5; n += 1) {
      const store = await sandbox.open();
      await store.transact({}, (tx) => tx.write(newName(n), String(n)));
      await store.close();
    }
    const store = await sandbox.open();
    expect((await store.status()).unsettled).toBeLessThan(unsettledTransactionsMax);
  });

  test('keeps a before-image that an undone transaction holds instead of its place', async () => {
    sandbox.seed({ a: 'old', z: 'old z' });
    let exchanges = 0;
    const fileSystem = watchedFileSystem(mode, (call) => {
      if (call.method === 'exchange' && names(call, 'z')) throw systemError('EACCES');
      if (call.method === 'exchange' && names(call, 'a')) exchanges += 1;
      if (exchanges < 2) return;
      // It is in its place again, and its slot is about to be looked at.
      const [slot = ''] = listOwn(sandbox.root, 'stage').filter((name) => name.endsWith('.1'));
      if (!names(call, `${slot}${displacedSuffix}`)) return;
      exchanges = 0;
      renameSync(sandbox.at('a'), sandbox.at(`.skillmeat/stage/${slot}`));
      writeFileSync(sandbox.at('a'), 'theirs');
    });
    const store = await sandbox.open({ fileSystem });
    await expectError(
      store.transact({}, async (tx) => {
        await tx.write('a', 'new');
        await tx.write('z', 'new z');
      }),
      'PERMISSION_DENIED',
    );
    expect(readQuarantine(sandbox.root)).toMatchObject([{ path: 'a', bytes: 'old' }]);
  });

  test('finds what a late writer wrote into a displaced file', async () => {
    sandbox.seed({ log: 'start ', 'd/log': 'start ', removed: 'start ' });
    const store = await sandbox.open();
    const descriptors = ['log', 'd/log', 'removed'].map((path) => openSync(sandbox.at(path), 'a'));
    await store.transact({}, async (tx) => {
      await tx.write('log', 'replaced');
      await tx.remove('d');
      await tx.write('d/new', 'new');
      await tx.remove('removed');
    });
    for (const descriptor of descriptors) {
      writeSync(descriptor, 'late');
      closeSync(descriptor);
    }
    await fill(store, 1);
    const events = await checkpointsOf(() => store.transact({}, (tx) => tx.write('last', 'x')));
    expect(events[0]?.lateWrites.toSorted()).toEqual(['d/log', 'log', 'removed']);
    const found = readQuarantine(sandbox.root).toSorted((a, b) => (a.path < b.path ? -1 : 1));
    expect(found).toEqual(
      ['d/log', 'log', 'removed'].map((path) => ({
        path,
        transaction: 1,
        why: expect.any(String) as string,
        bytes: 'start late',
      })),
    );
    expect((await store.status()).quarantined).toBe(3);
    expect(sandbox.tree()).toMatchObject({ log: file('replaced'), 'd/new': file('new') });
  });

  test('moves it out of a directory that nobody may write in, once that is known to be displaced', async () => {
    sandbox.seed({ 'd/m/log': 'start ' });
    chmodSync(sandbox.at('d/m'), 0o555);
    const calls: string[] = [];
    const fileSystem = watchedFileSystem(mode, (call) => {
      const isMove = call.method === 'moveNew' && names(call, 'd');
      const isMode = call.method === 'setModeOf' && names(call, 'm');
      if (isMode) calls.push(`mode ${(call.values[2] as number).toString(8)}`);
      else if (isMove || call.method === 'barrier') calls.push(call.method);
    });
    const store = await sandbox.open({ fileSystem });
    const descriptor = openSync(sandbox.at('d/m/log'), 'a');
    await store.transact({}, (tx) => tx.remove('d'));
    writeSync(descriptor, 'late');
    closeSync(descriptor);
    const events = await checkpointsOf(() => store.adopt());
    expect(events[0]?.lateWrites).toEqual(['d/m/log']);
    expect(readQuarantine(sandbox.root)).toMatchObject([{ path: 'd/m/log', bytes: 'start late' }]);
    expect(calls.slice(calls.indexOf('moveNew'))).toEqual([
      'moveNew',
      'barrier',
      'mode 755',
      'mode 555',
      'barrier',
    ]);
    const [slot = ''] = listOwn(sandbox.root, 'stage');
    expect(statSync(sandbox.at(`.skillmeat/stage/${slot}/m`)).mode & 0o777).toBe(0o555);
  });

  test('what somebody wrote to a file that recovery moved beside the slots is found by the sweep', async () => {
    sandbox.seed({ a: 'first', b: 'first' });
    const store = await sandbox.open({ now: () => now });
    await store.transact({}, async (tx) => {
      await tx.write('a', 'second');
      await tx.write('b', 'second');
    });
    await store.transact({}, (tx) => tx.write('b', 'third'));
    await store.adopt();
    now += 2 * day;
    await store.prune({ keepLast: 0 });
    await store.close();
    const stage = stagePrefixOf(1);
    const beside = (sequence: number): string =>
      sandbox.at(`.skillmeat/stage/${stage}.spare-${String(sequence)}`);
    writeFileSync(beside(1), 'written to since');
    // Of another transaction, but no stranger's.
    writeFileSync(beside(2), 'third');
    writeFileSync(beside(3), 'there is no such row');
    changeOwner(sandbox.root, { isReleased: false });
    await sandbox.open();
    expect(readQuarantine(sandbox.root)).toMatchObject([{ path: 'a', bytes: 'written to since' }]);
    expect(listOwn(sandbox.root, 'stage').filter((name) => name.includes('spare'))).toEqual([]);
  });

  test('finds what was added to a displaced directory', async () => {
    sandbox.seed({ 'd/x': 'x' });
    const store = await sandbox.open();
    await store.transact({}, (tx) => tx.remove('d'));
    // A program that had the directory as its working directory.
    const [slot] = listOwn(sandbox.root, 'stage');
    const late = openSync(join(sandbox.at('.skillmeat/stage'), slot ?? '', 'late'), 'w');
    writeSync(late, 'late');
    closeSync(late);
    await fill(store, 1);
    await store.transact({}, (tx) => tx.write('last', 'x'));
    expect(readQuarantine(sandbox.root)).toMatchObject([{ path: 'd/late', bytes: 'late' }]);
  });

  test('finds a store that somebody made in a displaced directory', async () => {
    sandbox.seed({ 'd/x': 'x' });
    const store = await sandbox.open();
    await store.transact({}, (tx) => tx.remove('d'));
    const [slot = ''] = listOwn(sandbox.root, 'stage');
    const own = join(sandbox.at('.skillmeat/stage'), slot, '.skillmeat');
    mkdirSync(own);
    writeFileSync(join(own, 'journal.db'), 'theirs');
    const events = await checkpointsOf(() => store.adopt());
    expect(events[0]?.lateWrites).toEqual(['d/.skillmeat']);
    expect(readFileSync(sandbox.at('.skillmeat/quarantine/1-1/journal.db'), 'utf8')).toBe('theirs');
    await store.undo();
    expect(sandbox.tree()).toMatchObject({ 'd/x': file('x') });
  });

  test('leaves a store in a displaced directory where it cannot be moved', async () => {
    sandbox.seed({ 'd/x': 'x' });
    const fileSystem = watchedFileSystem(mode, (call) => {
      if (call.method === 'moveNew' && names(call, '.skillmeat')) throw systemError('EACCES');
    });
    const store = await sandbox.open({ fileSystem, now: () => now });
    await store.transact({}, (tx) => tx.remove('d'));
    const [slot = ''] = listOwn(sandbox.root, 'stage');
    mkdirSync(join(sandbox.at('.skillmeat/stage'), slot, '.skillmeat'));
    const events = await checkpointsOf(() => store.adopt());
    expect(events[0]?.lateWrites).toEqual(['d/.skillmeat']);
    expect(listOwn(sandbox.root, 'quarantine')).toEqual([]);
    expect(readdirSync(sandbox.at(`.skillmeat/stage/${slot}`)).toSorted()).toEqual([
      '.skillmeat',
      'x',
    ]);
    await store.transact({}, (tx) => tx.write('next', 'x'));
    now += 2 * day;
    await store.prune({ keepLast: 0 });
    expect(readdirSync(sandbox.at('.skillmeat/quarantine/1-1'))).toContain('.skillmeat');
  });

  /** Removes `d`, and makes what has no name that can be given in what was displaced. */
  async function removeWithNameless(store: Store): Promise<{ slot: string; nameless: Buffer }> {
    await store.transact({}, (tx) => tx.remove('d'));
    const [slot = ''] = listOwn(sandbox.root, 'stage');
    const at = Buffer.from(`${sandbox.at('.skillmeat/stage')}/${slot}/a`);
    const nameless = Buffer.concat([at, Buffer.of(0xff)]);
    writeFileSync(nameless, 'theirs');
    return { slot, nameless };
  }

  test('leaves what has no name that can be given, and pruning sets all of it aside', async () => {
    sandbox.seed({ 'd/x': 'x' });
    const store = await sandbox.open({ now: () => now });
    const { nameless } = await removeWithNameless(store);
    const events = await checkpointsOf(() => store.adopt());
    expect(events[0]?.lateWrites).toEqual(['d/a\ufffd']);
    expect(readFileSync(nameless, 'utf8')).toBe('theirs');
    await store.transact({}, (tx) => tx.write('next', 'x'));
    // It is no hindrance to packing what lies beside it either.
    await store.prune(undefined, { pack: true });
    now += 2 * day;
    await store.prune({ keepLast: 0 });
    expect(listOwn(sandbox.root, 'stage').filter((name) => name.startsWith('1-'))).toEqual([]);
    expect(listOwn(sandbox.root, 'quarantine')).toEqual(['1-1', '1-1.json']);
  });

  test('what is written to a slot that outlives its pruning is found by the next sweep', async () => {
    sandbox.seed({ 'd/x': 'x' });
    let isDenied = true;
    const fileSystem = watchedFileSystem(mode, (call) => {
      if (isDenied && call.method === 'moveNew' && names(call, '1-1')) throw systemError('EACCES');
    });
    const store = await sandbox.open({ fileSystem, now: () => now });
    const { slot } = await removeWithNameless(store);
    await store.adopt();
    await store.transact({}, (tx) => tx.write('next', 'x'));
    now += 2 * day;
    await store.prune({ keepLast: 0 });
    expect(listOwn(sandbox.root, 'stage')).toContain(slot);
    // By a shell that is still in there.
    writeFileSync(sandbox.at(`.skillmeat/stage/${slot}/notes`), 'late');
    await store.close();
    isDenied = false;
    changeOwner(sandbox.root, { isReleased: false });
    const again = await sandbox.open();
    expect(listOwn(sandbox.root, 'stage')).not.toContain(slot);
    const [first, ...rest] = listOwn(sandbox.root, 'quarantine').filter(
      (name) => !/json/.test(name),
    );
    expect(readFileSync(sandbox.at(`.skillmeat/quarantine/${first ?? ''}`), 'utf8')).toBe('late');
    expect(rest).toHaveLength(1);
    expect((await again.status()).quarantined).toBe(2);
  });

  test('a slot that cannot be deleted stays for the next sweep; unseen nothing is deleted', async () => {
    sandbox.seed({ 'd/x': 'x' });
    const faulty = faultyFileSystem(mode);
    const store = await sandbox.open({ fileSystem: faulty.files, now: () => now });
    await store.transact({}, (tx) => tx.remove('d'));
    const [slot = ''] = listOwn(sandbox.root, 'stage');
    await store.adopt();
    await store.transact({}, (tx) => tx.write('next', 'x'));
    faulty.fail('EACCES', (call) => call.method === 'removeFile' && names(call, 'x'));
    now += 2 * day;
    await store.prune({ keepLast: 0 });
    expect(listOwn(sandbox.root, 'quarantine')).toEqual([]);
    await store.close();
    const reopen = async (): Promise<void> => {
      changeOwner(sandbox.root, { isReleased: false });
      await (await sandbox.open({ fileSystem: faulty.files })).close();
    };
    faulty.fail('EACCES', (call) => call.method === 'openForReading' && names(call, 'x'));
    await reopen();
    expect(listOwn(sandbox.root, 'stage')).not.toContain(slot);
    expect(readFileSync(sandbox.at('.skillmeat/quarantine/1-1/x'), 'utf8')).toBe('x');
  });

  test('that fails does not fail the transaction, and settles nothing', async () => {
    let isFailing = false;
    let barriers = 0;
    const files = watchedFileSystem(mode, ({ method }) => {
      if (!isFailing || method !== 'barrier') return;
      barriers += 1;
      // The first one is that of the transaction itself.
      if (barriers === 2) throw systemError('EIO');
    });
    const store = await sandbox.open({ fileSystem: files });
    await fill(store, 0);
    isFailing = true;
    const receipt = await store.transact({}, (tx) => tx.write('last', 'x'));
    expect(receipt.transaction?.id).toBe(unsettledTransactionsMax);
    await expectError(
      store.transact({}, (tx) => tx.write('more', 'x')),
      'STORE_POISONED',
    );
    expect((await store.status()).unsettled).toBe(unsettledTransactionsMax);
    await store.close();
    const again = await sandbox.open();
    expect(again.recoveryOnOpen?.transactions.length).toBe(unsettledTransactionsMax);
    expect(again.recoveryOnOpen?.changed).toBe(0);
    expect((await again.status()).unsettled).toBe(0);
    expect(sandbox.tree()['last']).toEqual(file('x'));
  });

  test('forgets before-images beyond the limit, not those of the newest transactions', async () => {
    const store = await sandbox.open();
    for (const n of ['1', '2', '3', '4']) await store.transact({}, (tx) => tx.write('f', n));
    const stage = listOwn(sandbox.root, 'stage');
    expect(stage.length).toBe(3);
    await store.close();
    // Limits cannot be given: history of the rest is written into the journal itself.
    {
      using journal = Journal.open(sandbox.at('.skillmeat/journal.db'));
      let head = journal.head();
      journal.update([1, 2, 3, 4].map((id) => ({ id, state: 'settled' })));
      for (let n = 0; n < historyTransactionsMax - 2; n += 1) {
        const transaction = {
          uuid: '01234567-0000',
          stage: `${String(head.id + 1)}-01234567`,
          message: '',
          committedAt: 0,
          bootId: '',
          changeCount: 0,
          displacedBytes: 0,
          flush: 'before' as const,
          annotations: '{}',
        };
        head = journal.commit(transaction, [], { epoch: journal.epoch(), head });
      }
    }
    const again = await sandbox.open();
    expect((await again.status()).unsettled).toBe(0);
    // An editor that has it open still.
    writeFileSync(sandbox.at(join('.skillmeat/stage', stage[0] ?? '')), 'late');
    // Two of the real ones are beyond the limit: they go with the second checkpoint from now.
    await fill(again, 0);
    await again.transact({}, (tx) => tx.write('last', 'x'));
    const left = listOwn(sandbox.root, 'stage');
    expect(stage.map((name) => left.includes(name))).toEqual([false, true, true]);
    expect(readQuarantine(sandbox.root).map(({ bytes }) => bytes)).toEqual(['late']);
    expect((await again.show(1)).changes.length, 'the log itself stays').toBe(1);
    expect((await again.log({ limit: 5_000 })).length).toBe(
      4 + historyTransactionsMax - 2 + unsettledTransactionsMax,
    );
    await again.close();
    const after = await sandbox.open();
    expect(readFileSync(sandbox.at('f'), 'utf8')).toBe('4');
    expect((await after.status()).troubled).toEqual([]);
  });
});
