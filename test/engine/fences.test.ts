import { cpSync, existsSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { OpenStoreOptions, Store } from '../../src/engine/index.js';
import { Journal } from '../../src/engine/journal.js';
import {
  type FileSystemCall,
  faultyFileSystem,
  names,
  watchedFileSystem,
} from '../support/faults.js';
import {
  changeJournal,
  changeOwner,
  expectError,
  listOwn,
  modes,
  readOwnerFile,
  useSandbox,
} from '../support/store.js';
import { file } from '../support/tree.js';

/*
 * A writer whose lock file or store was taken away while it worked, or that another one has overtaken: at
 * each place where it must notice, with everything before that place still in order.
 */

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);

  function removeLock(): void {
    rmSync(sandbox.at('.skillmeat/lock'));
  }

  /** What another writer does who takes over. */
  function takeOver(): void {
    changeJournal(sandbox.root, "UPDATE meta SET value = value + 1 WHERE key = 'epoch'");
  }

  function epoch(): number {
    using journal = Journal.open(sandbox.at('.skillmeat/journal.db'));
    return journal.epoch();
  }

  /** A store that does `act` once, before the first call that `isHit`. */
  async function openActing(
    isHit: (call: FileSystemCall) => boolean,
    act: () => void,
    options: OpenStoreOptions = {},
  ): Promise<Store> {
    let isArmed = true;
    const files = watchedFileSystem(mode, (call) => {
      if (!isArmed || !isHit(call)) return;
      isArmed = false;
      act();
    });
    return sandbox.open({ fileSystem: files, ...options });
  }

  /** Longer than a slice: the next unit begins with a look at the fence. */
  function waitForSlice(): void {
    const end = performance.now() + 30;
    while (performance.now() < end);
  }

  const isSwitch = (call: FileSystemCall): boolean =>
    call.method === 'exchange' && (names(call, 'a') || names(call, 'b'));

  async function writeBoth(store: Store): Promise<void> {
    await store.transact({}, async (tx) => {
      await tx.write('a', 'new a');
      await tx.write('b', 'new b');
    });
  }

  /** Where somebody else took over, the next one recovers; the sandbox checks an orderly end. */
  async function endInOrder(store: Store): Promise<void> {
    await store.close();
    await (await sandbox.open()).close();
  }

  test.each([
    ['another writer took over', 'FENCED', takeOver],
    ['its lock file went away', 'STORE_REPLACED', removeLock],
  ] as const)('a commit that applies stops when %s', async (_what, code, act) => {
    sandbox.seed({ a: 'old a', b: 'old b' });
    const store = await openActing(isSwitch, () => {
      act();
      waitForSlice();
    });
    await expectError(() => writeBoth(store), code);
    expect(sandbox.tree()).toEqual({ a: file('new a'), b: file('old b') });
    await expectError(() => writeBoth(store), 'STORE_POISONED');
    expect(readOwnerFile(sandbox.root)?.isReleased).toBe(false);
    await endInOrder(store);
    expect(sandbox.tree()).toEqual({ a: file('new a'), b: file('new b') });
  });

  test.each([
    ['another writer took over', 'FENCED', takeOver],
    ['its lock file went away', 'STORE_REPLACED', removeLock],
  ] as const)('a commit that fails undoes nothing when %s', async (_what, code, act) => {
    sandbox.seed({ a: 'old a', b: 'old b' });
    const faulty = faultyFileSystem(mode);
    const store = await sandbox.open({ fileSystem: faulty.files });
    let isOvertaken = false;
    faulty.fail('EACCES', (call) => {
      if (!isSwitch(call) || !names(call, 'b')) return false;
      if (!isOvertaken) act();
      isOvertaken = true;
      return true;
    });
    await expectError(() => writeBoth(store), code);
    faulty.heal();
    expect(isOvertaken).toBe(true);
    expect(sandbox.tree()).toEqual({ a: file('new a'), b: file('old b') });
    await endInOrder(store);
    expect(sandbox.tree()).toEqual({ a: file('new a'), b: file('new b') });
  });

  test.each([
    ['another writer took over', takeOver],
    ['its lock file went away', removeLock],
  ] as const)('a holder does not say that all is done when %s', async (_what, act) => {
    sandbox.seed({ a: 'old a', b: 'old b' });
    let isDone = false;
    const store = await openActing(
      (call) => isSwitch(call) && names(call, 'b'),
      () => {
        act();
        isDone = true;
      },
    );
    // The last unit: the commit itself has no reason to look again.
    await writeBoth(store);
    expect(isDone).toBe(true);
    expect(readOwnerFile(sandbox.root)?.isReleased).toBe(false);
    await endInOrder(store);
  });

  test.each([
    ['the store', '.skillmeat'],
    ['its lock file', '.skillmeat/lock'],
  ])('a call that fails when %s went away is explained by that', async (_what, path) => {
    sandbox.seed({ a: 'old a' });
    const faulty = faultyFileSystem(mode);
    const store = await sandbox.open({ fileSystem: faulty.files });
    faulty.fail('EIO', ({ method }) => {
      if (method !== 'createFile') return false;
      renameSync(sandbox.at(path), join(sandbox.directory, 'aside'));
      return true;
    });
    await expectError(
      store.transact({}, (tx) => tx.write('a', 'new a')),
      'STORE_REPLACED',
    );
    expect(existsSync(sandbox.at(path))).toBe(false);
    expect(sandbox.tree()['a']).toEqual(file('old a'));
    sandbox.breaksStore();
  });

  test('an adoption records nothing when its lock file went away', async () => {
    sandbox.seed({ a: 'old a' });
    const first = await sandbox.open();
    await first.transact({}, (tx) => tx.write('a', 'new a'));
    await first.close();
    writeFileSync(sandbox.at('a'), 'edited');
    let barriers = 0;
    const store = await openActing(
      // The first is that of the checkpoint before adopting.
      ({ method }) => method === 'barrier' && (barriers += 1) === 2,
      removeLock,
      { create: false },
    );
    await expectError(() => store.adopt(), 'STORE_REPLACED');
    expect((await store.status()).head).toBe(1);
    await endInOrder(store);
  });

  test('a pruning drops nothing when its lock file went away', async () => {
    sandbox.seed({ a: 'old a' });
    const first = await sandbox.open({ now: () => 0 });
    for (const text of ['1', '2', '3']) await first.transact({}, (tx) => tx.write('a', text));
    await first.close();
    const store = await openActing(({ method }) => method === 'barrier', removeLock, {
      create: false,
    });
    await expectError(() => store.prune({ keepLast: 1 }), 'STORE_REPLACED');
    expect(listOwn(sandbox.root, 'stage')).toHaveLength(3);
    await endInOrder(store);
  });

  test('whoever recovers takes the next epoch, though nothing is to be done', async () => {
    sandbox.seed({ a: 'old a' });
    const store = await sandbox.open();
    await store.transact({}, (tx) => tx.write('a', 'new a'));
    await store.recover();
    await store.close();
    rmSync(sandbox.at('.skillmeat/owner'));
    const before = epoch();
    await (await sandbox.open()).close();
    expect(epoch()).toBe(before + 1);
  });

  test('a store that is replaced is not recovered behind the new one', async () => {
    sandbox.seed({ a: 'old a' });
    const store = await sandbox.open();
    await store.transact({}, (tx) => tx.write('a', 'new a'));
    const before = epoch();
    writeFileSync(sandbox.at('.skillmeat/owner'), '');
    const aside = `${sandbox.directory}/aside`;
    renameSync(sandbox.at('.skillmeat'), aside);
    cpSync(aside, sandbox.at('.skillmeat'), { recursive: true });
    await expectError(
      store.transact({}, (tx) => tx.write('a', 'x')),
      'STORE_REPLACED',
    );
    await store.close();
    using journal = Journal.open(`${aside}/journal.db`);
    expect(journal.epoch()).toBe(before);
    sandbox.breaksStore();
  });

  test.each(['journal.db', 'journal.db-wal'])(
    'a %s that is replaced is noticed before a commit',
    async (name) => {
      sandbox.seed({ a: 'old a' });
      const store = await sandbox.open();
      await store.transact({}, (tx) => tx.write('a', 'new a'));
      const own = sandbox.at(`.skillmeat/${name}`);
      cpSync(own, `${own}.copy`);
      renameSync(`${own}.copy`, own);
      await expectError(
        store.transact({}, (tx) => tx.write('a', 'x')),
        'STORE_REPLACED',
      );
      expect(sandbox.tree()['a']).toEqual(file('new a'));
      sandbox.breaksStore();
    },
  );

  test('a lock on a file that was removed before it was got excludes nobody, and is not believed', async () => {
    const one = await sandbox.open();
    await one.transact({}, (tx) => tx.write('a', '1'));
    await one.close();
    let removals = 0;
    const files = watchedFileSystem(mode, (call) => {
      // Plain Node has SQLite lock it, between two looks at the file.
      const isBetween = mode === 'auto' ? call.method === 'tryLock' : call.method === 'closeFile';
      if (!isBetween || removals > 0) return;
      removals += 1;
      removeLock();
      if (mode === 'off') writeFileSync(sandbox.at('.skillmeat/lock'), '');
    });
    const store = await sandbox.open({ create: false, fileSystem: files, recover: 'never' });
    await store.transact({ lockWaitMs: 5_000 }, async (tx) => {
      await expectError(
        sandbox
          .open({ lockWaitMs: 0 })
          .then((other) => other.transact({ lockWaitMs: 0 }, () => undefined)),
        'STORE_LOCKED',
      );
      await tx.write('a', '2');
    });
    expect(removals).toBe(1);
    expect(sandbox.tree()['a']).toEqual(file('2'));
  });

  test('a store in good order is believed only with the newest transaction, this boot and an end', async () => {
    sandbox.seed({ a: 'old a' });
    const first = await sandbox.open();
    await first.transact({}, (tx) => tx.write('a', 'new a'));
    await first.close();
    const owner = readOwnerFile(sandbox.root);
    if (owner === undefined) throw new Error('there is a record');
    const { writes, head } = owner.mark;
    const lies = [
      { isReleased: false },
      { bootId: 'another' },
      { mark: { writes, head: { id: 0, chain: head.chain } } },
    ];
    for (const lie of lies) {
      changeOwner(sandbox.root, lie);
      const before = epoch();
      const store = await sandbox.open();
      await store.close();
      expect(epoch(), JSON.stringify(lie)).toBeGreaterThan(before);
    }
    const before = epoch();
    await (await sandbox.open()).close();
    expect(epoch()).toBe(before);
    // Of the same number and another content: that is no older journal, it is another one.
    changeOwner(sandbox.root, { mark: { writes, head: { id: 1, chain: 'another' } } });
    await expectError(sandbox.open(), 'JOURNAL_DAMAGED', { message: /is not the one/ });
    expect(epoch()).toBe(before);
    sandbox.breaksStore();
  });
});
