import { existsSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { rebuildStore } from '../../src/engine/index.js';
import { between, type CallLog, logCalls } from '../support/call-log.js';
import { copyTree } from '../support/copier.js';
import { damages, plantHistory, removePlanted } from '../support/damages.js';
import { faultyFileSystem, watchedFileSystem } from '../support/faults.js';
import { plantObject } from '../support/objects.js';
import { expectError, modes, useSandbox } from '../support/store.js';
import { file, readTree } from '../support/tree.js';

/*
 * What must be on disk before what. The crash states of test/property show what is lost otherwise; here
 * each sync is looked for by itself, also where no crash state is likely to miss it.
 */

afterAll(removePlanted);

const barrier = expect.stringMatching(/^barrier/) as string;

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);

  function log(root = sandbox.root): CallLog {
    return logCalls(mode, root);
  }

  test('contents and record are on disk before anything is renamed', async () => {
    sandbox.seed({ a: 'old a', gone: 'gone' });
    const { files, calls, clear } = log();
    const store = await sandbox.open({ fileSystem: files });
    clear();
    await store.transact({}, async (tx) => {
      await tx.write('a', 'new a');
      await tx.write('d/b', 'b');
      await tx.remove('gone');
    });
    const flush = between(
      calls,
      /^(?:createFile|writeSync|setMode|moveOwn|makeDirectory) \.skillmeat\/stage/,
      /^(?:exchange|moveNew)/,
    );
    // One flush carries both, or the contents go first and SQLite syncs the record itself.
    const head = mode === 'auto' ? 1 : 0;
    const unsettled = head;
    expect(flush).toContain(
      `barrier head ${String(head)} unsettled ${String(unsettled)} snapshots 0`,
    );
  });

  test('the first barrier of a process covers the names of the files that SQLite makes', async () => {
    await (await sandbox.open()).close();
    const { files, calls } = log();
    const store = await sandbox.open({ create: false, fileSystem: files });
    for (const content of ['1', '2']) await store.transact({}, (tx) => tx.write('a', content));
    const covered = calls.flatMap((call, i) => (call === 'mustReachDisk .skillmeat' ? [i] : []));
    // A `syncfs` covers every name. SQLite's own sync of them says nothing when it fails.
    expect(covered).toHaveLength(mode === 'auto' ? 0 : 1);
    const first = calls.findIndex((call) => call.startsWith('barrier'));
    expect(covered.every((at) => at < first)).toBe(true);
  });

  /** A root as a native writer leaves it that is killed before its flush. */
  async function killedBeforeFlush(): Promise<string> {
    sandbox.seed({ a: 'old a', gone: 'gone', 'd/x': 'old x', mode: 'mode' });
    const killed = join(sandbox.directory, 'killed');
    let isWatching = false;
    const files = watchedFileSystem('auto', ({ method }) => {
      if (!isWatching || method !== 'barrier') return;
      isWatching = false;
      copyTree(sandbox.root, killed);
    });
    const store = await sandbox.open({ fileSystem: files });
    await store.transact({}, (tx) => tx.write('first', '1'));
    isWatching = true;
    await store.transact({}, async (tx) => {
      await tx.write('a', 'new a');
      await tx.remove('gone');
      await tx.remove('d');
      await tx.write('d/y', 'new y');
      await tx.chmod('mode', 0o600);
      await tx.write('made/deep', 'made');
    });
    await store.close();
    return killed;
  }

  const changing = /^(?:exchange|move|remove|setMode|make|create)/;

  test('a recovery changes nothing before the contents of a dead writer are on disk', async () => {
    const root = await killedBeforeFlush();
    const { files, calls } = log(root);
    const store = await sandbox.openAt(root, { create: false, adopt: true, fileSystem: files });
    expect((await store.show(2)).state).toBe('settled');
    const first = calls.findIndex((call) => changing.test(call));
    expect(first).toBeGreaterThan(0);
    const before = calls.slice(0, first);
    expect(before).toContain('barrier head 2 unsettled 2 snapshots 0');
    if (mode === 'auto') return;
    // Nobody has a descriptor of these: each must be named.
    const flushed = before.slice(
      0,
      before.findIndex((call) => call.startsWith('barrier')),
    );
    const named = flushed.map((call) => call.replace(/\.skillmeat\/stage\/2-\w+/, 'stage'));
    const places = ['stage.1', 'stage.4', 'stage.4/y', 'stage.5', 'stage.6', 'stage.6/deep'];
    expect(named).toEqual(['.skillmeat', ...places].map((place) => `mustReachDisk ${place}`));
  });

  test('what a recovery did is on disk before anything is settled', async () => {
    const root = await killedBeforeFlush();
    const { files, calls } = log(root);
    const store = await sandbox.openAt(root, { create: false, adopt: true, fileSystem: files });
    expect((await store.status()).unsettled).toBe(0);
    const acted = calls.slice(calls.findLastIndex((call) => changing.test(call)) + 1);
    expect(acted).toContain('barrier head 2 unsettled 2 snapshots 0');
    expect(calls.filter((call) => call.startsWith('barrier')).at(-1)).toContain('unsettled 2');
    if (mode === 'auto') return;
    for (const path of ['a', 'gone', 'd', 'mode', 'made', 'first']) {
      expect(acted).toContain(`mustReachDisk ${path}`);
    }
    expect(acted).toContainEqual(
      expect.stringMatching(/^mustReachDisk \.skillmeat\/stage\/2-\w+\.1$/),
    );
  });

  test('a recovery whose flush of a dead writer fails touches nothing, and the store stops', async () => {
    const root = await killedBeforeFlush();
    const before = readTree(root);
    const faulty = faultyFileSystem(mode);
    const given = { adopt: true, recover: 'never', fileSystem: faulty.files } as const;
    const store = await sandbox.openAt(root, given);
    faulty.fail('EIO', ({ method }) => method === 'barrier', 1);
    await expectError(
      store.transact({}, (tx) => tx.write('b', 'b')),
      'IO_FAILED',
    );
    await expectError(
      store.transact({}, (tx) => tx.write('b', 'b')),
      'STORE_POISONED',
    );
    expect(readTree(root)).toEqual(before);
    await store.close();
    // Whoever opens it anew cannot know of the failure.
    const again = await sandbox.openAt(root);
    expect(readTree(root)).toMatchObject({ a: file('new a') });
    expect((await again.status()).unsettled).toBe(0);
  });

  test('what transactions did is on disk before a checkpoint settles it', async () => {
    sandbox.seed({ a: 'old a' });
    const first = await sandbox.open();
    await first.transact({}, (tx) => tx.write('a', 'new a'));
    await first.close();
    writeFileSync(sandbox.at('a'), 'edited');
    const { files, calls } = log();
    const store = await sandbox.open({ create: false, fileSystem: files });
    // Adopting settles everything before it.
    await store.adopt();
    const [settling = '', adopting = ''] = calls.filter((call) => call.startsWith('barrier'));
    expect(settling).toBe('barrier head 1 unsettled 1 snapshots 0');
    expect(adopting).toBe('barrier head 1 unsettled 0 snapshots 0');
    expect((await store.status()).head).toBe(2);
    const covered = calls.slice(0, calls.indexOf(settling));
    expect(calls.slice(calls.indexOf(settling))).toContain('mustReachDisk a');
    if (mode === 'auto') return;
    expect(covered).toEqual([
      'mustReachDisk .skillmeat',
      'mustReachDisk a',
      expect.stringMatching(/^mustReachDisk \.skillmeat\/stage\/1-\w+\.1$/),
    ]);
  });

  test('a checkpoint whose sync fails settles nothing, and the store stops', async () => {
    sandbox.seed({ a: 'old a' });
    const faulty = faultyFileSystem(mode);
    const store = await sandbox.open({ fileSystem: faulty.files });
    await store.transact({}, (tx) => tx.write('a', 'new a'));
    writeFileSync(sandbox.at('a'), 'edited');
    faulty.fail('EIO', ({ method }) => method === 'barrier', 1);
    await expectError(() => store.adopt(), 'IO_FAILED');
    expect(await store.status()).toMatchObject({ head: 1, unsettled: 1 });
    await expectError(() => store.adopt(), 'STORE_POISONED');
    await store.close();
    await sandbox.open();
  });

  test('a store that stopped leaves the log of its journal to the next opening, which syncs it', async () => {
    const logBytes = (): number | undefined =>
      statSync(sandbox.at('.skillmeat/journal.db-wal'), { throwIfNoEntry: false })?.size;
    const faulty = faultyFileSystem(mode);
    const store = await sandbox.open({ fileSystem: faulty.files });
    await store.transact({}, (tx) => tx.write('a', '1'));
    faulty.fail('EIO', ({ method }) => method === 'barrier', 1);
    await expectError(
      store.transact({}, (tx) => tx.write('a', '2')),
      'IO_FAILED',
    );
    await store.close();
    expect(logBytes()).toBeGreaterThan(0);
    const rewritten: unknown[] = [];
    const fileSystem = watchedFileSystem(mode, ({ method, values }) => {
      if (method === 'writeAnew') rewritten.push(...values);
    });
    const again = await sandbox.open({ fileSystem });
    expect(rewritten).toMatchObject([{ name: 'journal.db-wal' }]);
    await again.transact({}, (tx) => tx.write('a', '3'));
    await again.close();
    expect([logBytes(), sandbox.tree()]).toEqual([undefined, { a: file('3') }]);
  });

  test('a store that stopped and whose journal is gone is closed all the same', async () => {
    const faulty = faultyFileSystem(mode);
    const store = await sandbox.open({ fileSystem: faulty.files });
    faulty.fail('EIO', ({ method }) => method === 'barrier', 1);
    await expectError(
      store.transact({}, (tx) => tx.write('a', '2')),
      'IO_FAILED',
    );
    sandbox.breaksStore();
    rmSync(sandbox.at('.skillmeat/journal.db'));
    await store.close();
    expect(existsSync(sandbox.at('.skillmeat/journal.db'))).toBe(false);
  });

  test('a new store has its directories on disk before its journal, and then the name of that', async () => {
    const { files, calls } = log();
    const store = await sandbox.open({ fileSystem: files });
    expect(between(calls, /^makeDirectory/, /^moveNew .*journal\.db\.new/)).toEqual(['barrier']);
    const named = calls.findIndex((call) => call.startsWith('moveNew'));
    expect(calls[named + 1]).toMatch(/^barrier head 0/);
    await store.close();
  });

  describe('snapshots', () => {
    test('have their objects on disk before their row', async () => {
      sandbox.seed({ a: 'a' });
      const { files, calls, clear } = log();
      const store = await sandbox.open({ fileSystem: files });
      // Nothing is left to recover: that has a barrier of its own.
      await store.transact({}, (tx) => tx.write('b', 'b'));
      clear();
      await store.snapshots.create();
      const stored = calls.findLastIndex((call) => /^moveNew .*objects/.test(call));
      expect(stored).toBeGreaterThan(0);
      expect(calls.slice(stored)).toContainEqual(expect.stringMatching(/^barrier .* snapshots 0$/));
    });

    test('have what they adopt on disk before its record, also when they store nothing', async () => {
      // When nothing was changed just now, what was seen before is believed.
      const now = (): number => Date.now() + 3_600_000;
      const first = await sandbox.open({ now });
      await first.transact({}, (tx) => tx.write('a', 'a'));
      writeFileSync(sandbox.at('a'), 'by hand');
      await first.snapshots.create({ adopt: false });
      await first.close();
      const { files, calls } = log();
      const store = await sandbox.open({ create: false, fileSystem: files, now });
      const { added, adopted } = await store.snapshots.create();
      expect({ added: added.objects, adopted: adopted?.id }).toEqual({ added: 0, adopted: 2 });
      const [settling = '', ...adopting] = calls.filter((call) => call.startsWith('barrier'));
      expect(settling).toBe('barrier head 1 unsettled 1 snapshots 1');
      expect(adopting).toEqual(['barrier head 1 unsettled 0 snapshots 1']);
      const covered = calls.slice(calls.indexOf(settling), calls.lastIndexOf(adopting[0] ?? ''));
      expect(covered).toContain('mustReachDisk a');
    });

    test('cover an object that was there, which nobody may have synced', async () => {
      sandbox.seed({ a: 'a' });
      const first = await sandbox.open();
      await first.snapshots.create();
      await first.snapshots.delete(1, { now: true });
      await first.close();
      rmSync(sandbox.at('.skillmeat/scan-cache'), { force: true });
      const { files, calls } = log();
      const store = await sandbox.open({ fileSystem: files });
      await store.snapshots.create();
      const covered = calls.slice(
        0,
        calls.findLastIndex((call) => call.startsWith('barrier')),
      );
      expect(
        covered.filter((call) => /^mustReachDisk \.skillmeat\/objects\/../.test(call)),
      ).toHaveLength(2);
    });

    test('replace a damaged object when the new one is on disk', async () => {
      sandbox.seed({ a: 'a' });
      const first = await sandbox.open();
      await first.snapshots.create();
      await first.close();
      plantObject(sandbox.root, 'a', 'b');
      rmSync(sandbox.at('.skillmeat/scan-cache'), { force: true });
      const { files, calls } = log();
      const store = await sandbox.open({ fileSystem: files });
      await store.snapshots.create();
      expect(between(calls, /^(?:createFile|writeSync)/, /^moveOwn .*objects/)).toContainEqual(
        barrier,
      );
    });

    test('are on disk elsewhere before the place has its name, and then that', async () => {
      sandbox.seed({ a: 'a', 'd/b': 'b' });
      const { files, calls, clear } = log();
      const store = await sandbox.open({ fileSystem: files });
      await store.snapshots.create();
      clear();
      await store.snapshots.restore(1, { to: join(sandbox.directory, 'copy') });
      expect(
        between(calls, /^(?:createFile|setMode|makeDirectory|writeSync)/, /^moveNew .*copy$/),
      ).toContainEqual(barrier);
      const named = calls.findIndex((call) => /^moveNew .*copy$/.test(call));
      expect(calls.slice(named)).toContainEqual(barrier);
    });
  });

  function inflict(name: string): void {
    const damage = damages.find((one) => one.name === name);
    if (damage === undefined) throw new Error(`there is no damage ${name}`);
    damage.inflict(sandbox.root);
  }

  test('what a repair writes is on disk before it has its place, and then that', async () => {
    await plantHistory(sandbox);
    inflict('a file of a displaced directory is gone');
    const { files, calls, clear } = log();
    const store = await sandbox.open({ fileSystem: files });
    clear();
    await store.repair({ deep: true });
    const placed = /^moveNew \.skillmeat\/stage\/repair-/;
    expect(between(calls, /^(?:createFile|writeSync|setMode)/, placed)).toEqual([barrier]);
    const last = calls.findLastIndex((call) => placed.test(call));
    expect(calls.slice(last + 1)[0]).toEqual(barrier);
  });

  /** The next opening recovers what was built anew, and lets go in order. */
  async function letGo(): Promise<void> {
    await (await sandbox.open({ create: false })).close();
  }

  test('a journal that is built anew is on disk before each of its names', async () => {
    await plantHistory(sandbox);
    inflict('the newest transaction is gone');
    const { files, calls } = log();
    await rebuildStore(sandbox.root, { fileSystem: files });
    const moves = calls.filter((call) => /^(?:barrier|moveNew|moveOwn)/.test(call));
    const rebuilt = moves.findIndex((call) => call.endsWith('journal.db.rebuilt'));
    expect(moves[rebuilt + 1], 'before the old one is set aside').toEqual(barrier);
    const named = moves.findIndex((call) => call.endsWith('/journal.db'));
    expect(moves[named - 1], 'the old one is in quarantine before').toEqual(barrier);
    expect(moves[named - 2]).toContain('quarantine');
    expect(moves[named + 1], 'before anybody is told').toEqual(barrier);
    await letGo();
  });

  test('what owner says of a journal that is built anew is on disk before anybody is told', async () => {
    await plantHistory(sandbox);
    inflict('the newest transaction is gone');
    const { files, calls } = log();
    await rebuildStore(sandbox.root, { fileSystem: files });
    const last = calls.findLastIndex((call) => call.startsWith('barrier'));
    const named = calls.findIndex((call) => call.endsWith('/journal.db'));
    expect(calls.slice(named, last)).toContain('mustReachDisk .skillmeat/owner');
    await letGo();
  });
});
