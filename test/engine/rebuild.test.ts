import { existsSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { type Finding, openStore, rebuildStore, type Store } from '../../src/engine/index.js';
import { copyTree } from '../support/copier.js';
import { recordCrashes } from '../support/crash.js';
import { damages, plantHistory, removePlanted } from '../support/damages.js';
import { testify, testMachine } from '../support/evidence.js';
import {
  changeJournal,
  expectError,
  listOwn,
  modes,
  requireHealthy,
  useSandbox,
} from '../support/store.js';
import { file, readStats, readTree } from '../support/tree.js';

afterAll(removePlanted);

const later = (): number => Date.now() + 172_800_000;
const ofJournal = damages.filter(({ answers }) => answers.includes('rebuild'));

/** What is kept of five transactions and two snapshots: by the names of the damages. */
const kept: Readonly<Record<string, readonly [transactions: number, snapshots: number]>> = {
  'a row of a change was changed': [1, 2],
  'the message of a transaction was changed': [0, 2],
  'the state of a transaction was changed': [1, 2],
  'how far history was pruned was changed': [5, 2],
  'a transaction in the middle is gone': [3, 2],
  'the newest transaction is gone': [4, 2],
  'a page of the journal is scribbled over': [5, 2],
  'the pages of the changes are scribbled over': [0, 2],
  'the journal is gone': [0, 2],
  'the journal is cut in the middle': [0, 2],
  'the journal is another file': [0, 2],
  'the stage directory is gone': [5, 2],
};

async function verified(store: Store): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for await (const finding of store.verify({ deep: true })) findings.push(finding);
  return findings;
}

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);

  describe('rebuilding a journal', () => {
    // One mode, for the time it takes; the next test is in both.
    test.each(mode === 'auto' ? ofJournal : ofJournal.slice(2, 4))(
      'keeps what can be believed: $name',
      async ({ name, inflict }) => {
        await plantHistory(sandbox);
        inflict(sandbox.root);
        const [stats, tree] = [readStats(sandbox.root), sandbox.tree()];
        const options = { native: mode, now: later };
        const own = join(sandbox.root, '.skillmeat');
        const before = readdirSync(own);
        const planned = await rebuildStore(sandbox.root, { ...options, dryRun: true });
        const [transactions, snapshots] = kept[name] ?? [];
        expect(planned).toMatchObject({ transactions, snapshots, setAside: 0 });
        expect(readdirSync(own)).toEqual(before);
        const rebuilt = await rebuildStore(sandbox.root, options);
        expect(rebuilt).toMatchObject({ transactions, snapshots, traces: 5 });
        const store = await sandbox.open(options);
        const repairs = await store.repair({ deep: true });
        expect(repairs.filter(({ outcome }) => outcome !== 'done')).toEqual([]);
        expect(await verified(store)).toEqual([]);
        expect([readStats(sandbox.root), sandbox.tree()]).toEqual([stats, tree]);
        const to = join(sandbox.directory, 'to');
        for (const { id } of await store.snapshots.list()) {
          const { notRestored } = await store.snapshots.restore(id ?? 0, { to });
          expect(notRestored).toEqual([]);
          rmSync(to, { recursive: true });
        }
        await store.transact({}, (tx) => tx.write('a', 'goes on'));
        await store.undo();
        await store.close();
        requireHealthy(sandbox.root);
      },
    );

    test('what lost transactions displaced, and the old journal, are in quarantine', async () => {
      await plantHistory(sandbox);
      rmSync(join(sandbox.root, '.skillmeat/journal.db'));
      const slots = listOwn(sandbox.root, 'stage').length;
      expect(slots).toBeGreaterThan(3);
      const rebuilt = await rebuildStore(sandbox.root, { native: mode });
      expect(rebuilt).toMatchObject({ setAside: slots, snapshotsFound: 2 });
      expect(listOwn(sandbox.root, 'stage')).toEqual([]);
      const store = await sandbox.open();
      expect((await store.status()).quarantined).toBe(slots);
      const names = (await store.snapshots.list()).map(({ name }) => name);
      expect(new Set(names)).toEqual(new Set(['recovered-1', 'recovered-2']));
    });

    test('what was kept can be undone', async () => {
      await plantHistory(sandbox);
      for (const { name, inflict } of damages) {
        if (name === 'the newest transaction is gone') inflict(sandbox.root);
      }
      await rebuildStore(sandbox.root, { native: mode });
      const store = await sandbox.open();
      await store.undo({ transaction: 3 });
      expect(sandbox.tree()).toMatchObject({ 'd/x': file('x2'), 'd/y': file('y1') });
    });

    test('a store that somebody writes to, or that is none, is refused', async () => {
      await plantHistory(sandbox);
      const store = await sandbox.open();
      await store.transact({}, async () => {
        const rebuilding = rebuildStore(sandbox.root, { native: mode, lockWaitMs: 0 });
        await expectError(rebuilding, 'STORE_LOCKED');
      });
      await expectError(rebuildStore(sandbox.directory, { native: mode }), 'STORE_NOT_FOUND');
    });

    test('killed at any call it is finished by the next, and nothing is lost', async () => {
      await plantHistory(sandbox);
      for (const { name, inflict } of damages) {
        if (name === 'the newest transaction is gone') inflict(sandbox.root);
      }
      const recorder = recordCrashes(mode, sandbox.root, join(sandbox.directory, 'killed'));
      recorder.start();
      await rebuildStore(sandbox.root, { fileSystem: recorder.files, now: later });
      recorder.stop();
      const tree = sandbox.tree();
      const violations: string[] = [];
      for (const { label, root } of recorder.points) {
        const rebuilt = await rebuildStore(root, { native: mode, adopt: true });
        const store = await openStore(root, { native: mode, adopt: true });
        await store.repair({ deep: true });
        const findings = await verified(store);
        const { length } = await store.snapshots.list();
        const isWhole = rebuilt.transactions === 4 && length === 2 && findings.length === 0;
        // What the lost transaction displaced.
        const aside = join(root, '.skillmeat/quarantine');
        const sizes = readdirSync(aside).map((name) => statSync(join(aside, name)).size);
        if (!sizes.includes(21_000)) violations.push(`${label}: a before-image is gone`);
        if (!isWhole) violations.push(`${label}: ${JSON.stringify([rebuilt, findings])}`);
        if (JSON.stringify(readTree(root)) !== JSON.stringify(tree)) violations.push(label);
        await store.close();
        requireHealthy(root);
        rmSync(root, { recursive: true });
      }
      testify({
        fault: 'killed at a call',
        operation: 'rebuilding a journal',
        on: testMachine,
        native: mode,
        states: recorder.points.length,
        violations: violations.length,
      });
      expect(violations).toEqual([]);
      expect(recorder.points.length).toBeGreaterThan(10);
      // It says of itself that it did not let go in order; opening recovers.
      await sandbox.open();
    });

    test('a journal that came with a copied directory is not believed unasked', async () => {
      await plantHistory(sandbox);
      const copied = join(sandbox.directory, 'copied');
      copyTree(sandbox.root, copied);
      changeJournal(copied, "UPDATE journal_transaction SET message = 'x' WHERE id = 3");
      await expectError(rebuildStore(copied, { native: mode }), 'STORE_DETACHED');
      changeJournal(copied, "DELETE FROM meta WHERE key = 'root_born'");
      await expectError(rebuildStore(copied, { native: mode }), 'STORE_DETACHED');
      const rebuilt = await rebuildStore(copied, { native: mode, adopt: true });
      expect(rebuilt.transactions).toBe(2);
      await (await sandbox.openAt(copied)).close();
    });

    test('a journal that is no plain file is not touched', async () => {
      await plantHistory(sandbox);
      const at = join(sandbox.root, '.skillmeat/journal.db');
      renameSync(join(sandbox.root, '.skillmeat/objects'), at.replace(/journal\.db$/, 'o'));
      rmSync(at);
      renameSync(at.replace(/journal\.db$/, 'o'), at);
      await expectError(rebuildStore(sandbox.root, { native: mode }), 'JOURNAL_FOREIGN');
      expect(existsSync(at)).toBe(true);
      sandbox.breaksStore();
    });
  });
});
