import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Store } from '../../src/engine/index.js';
import { recordCrashes } from '../support/crash.js';
import { testify, testMachine } from '../support/evidence.js';
import { faultyFileSystem } from '../support/faults.js';
import { mkfifoSync } from '../support/sources.js';
import {
  changeJournal,
  expectError,
  expectRefused,
  modes,
  requireHealthy,
  useSandbox,
} from '../support/store.js';
import { file, readStats, readTree, sha256 } from '../support/tree.js';

const fileImage = (content: string, mode = 0o644): unknown => ({
  kind: 'file',
  sha256: sha256(content),
  size: content.length,
  mode,
});

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);

  async function openWithFiles(): Promise<Store> {
    sandbox.seed({ untouched: 'u', 'd/a': 'a', 'd/b': 'b', gone: 'g' });
    const store = await sandbox.open();
    await store.transact({}, async (tx) => {
      await tx.write('d/a', 'a2');
      await tx.write('d/b', 'b2');
      await tx.chmod('d', 0o700);
      await tx.remove('gone');
    });
    return store;
  }

  describe('drift', () => {
    test('is what is not as the newest transaction left it, and nothing else', async () => {
      const store = await openWithFiles();
      expect(await store.drift()).toEqual([]);
      writeFileSync(sandbox.at('untouched'), 'no transaction knows it');
      writeFileSync(sandbox.at('d/a'), 'edited');
      chmodSync(sandbox.at('d'), 0o755);
      writeFileSync(sandbox.at('gone'), 'back');
      expect(await store.drift()).toEqual([
        {
          path: 'd',
          expected: { kind: 'directory', mode: 0o700 },
          found: { kind: 'directory', mode: 0o755 },
          transaction: 1,
        },
        { path: 'd/a', expected: fileImage('a2'), found: fileImage('edited'), transaction: 1 },
        { path: 'gone', expected: { kind: 'absent' }, found: fileImage('back'), transaction: 1 },
      ]);
      const only = await store.drift({ paths: ['d/a', 'gone'] });
      expect(only.map(({ path }) => path)).toEqual(['d/a', 'gone']);
    });

    test('sees a file that is gone with its parents, or is something else now', async () => {
      const store = await openWithFiles();
      rmSync(sandbox.at('d'), { recursive: true });
      writeFileSync(sandbox.at('d'), 'a file');
      mkfifoSync(sandbox.at('gone'));
      expect((await store.drift()).map(({ path, found: { kind } }) => [path, kind])).toEqual([
        ['d', 'file'],
        ['d/a', 'absent'],
        ['d/b', 'absent'],
        ['gone', 'special'],
      ]);
    });

    test('a transaction that did not happen says nothing', async () => {
      const store = await openWithFiles();
      changeJournal(sandbox.root, "UPDATE journal_transaction SET state = 'rolled-back'");
      writeFileSync(sandbox.at('d/a'), 'edited');
      expect(await store.drift()).toEqual([]);
      sandbox.breaksStore();
    });
  });

  describe('adopting', () => {
    test('records drift as a transaction, without touching a file', async () => {
      const store = await openWithFiles();
      writeFileSync(sandbox.at('d/a'), 'edited');
      writeFileSync(sandbox.at('gone'), 'back');
      const [tree, stats] = [sandbox.tree(), readStats(sandbox.root)];
      const { transaction } = await store.adopt({ message: 'by hand' });
      expect(transaction).toMatchObject({
        id: 2,
        state: 'settled',
        message: 'by hand',
        annotations: { adopts: true },
        changes: [
          { path: 'd/a', before: fileImage('a2'), after: fileImage('edited') },
          { path: 'gone', before: { kind: 'absent' }, after: fileImage('back') },
        ],
      });
      expect(await store.show(2)).toEqual(transaction);
      expect([sandbox.tree(), readStats(sandbox.root)]).toEqual([tree, stats]);
      expect(await store.drift()).toEqual([]);
      expect(await store.adopt()).toEqual({ transaction: null });
    });

    test('a dry run, and some paths', async () => {
      const store = await openWithFiles();
      writeFileSync(sandbox.at('d/a'), 'edited');
      writeFileSync(sandbox.at('d/b'), 'edited');
      const planned = await store.adopt({ paths: ['d/a'], dryRun: true });
      expect(planned.transaction).toMatchObject({ id: null, state: 'planned', changeCount: 1 });
      expect((await store.drift()).length).toBe(2);
      await store.adopt({ paths: ['d/a'] });
      expect((await store.drift()).map(({ path }) => path)).toEqual(['d/b']);
    });

    test('an adopted edit can be undone and redone where history has the content', async () => {
      const store = await openWithFiles();
      await store.transact({}, (tx) => tx.write('d/a', 'a3'));
      writeFileSync(sandbox.at('d/a'), 'edited');
      await store.adopt();
      // What transaction 2 left was never displaced by the engine.
      const error = await expectRefused(sandbox.root, () => store.undo(), 'HISTORY_DAMAGED');
      expect(error.path).toBe('d/a');
      writeFileSync(sandbox.at('d/a'), 'a2');
      await store.adopt();
      expect((await store.undo({ force: true, transaction: 2 })).transaction).toBeNull();
      await store.transact({}, (tx) => tx.write('d/a', 'a4'));
      await store.undo();
      expect(sandbox.tree()['d/a']).toEqual(file('a2'));
      rmSync(sandbox.at('d/b'));
      await store.transact({}, (tx) => tx.write('d/b', 'b2'));
      await store.undo();
      expect(sandbox.tree()['d/b']).toBeUndefined();
    });

    test('a file that another program made is removed by undoing the adoption, and kept', async () => {
      const store = await openWithFiles();
      writeFileSync(sandbox.at('gone'), 'back');
      await store.adopt();
      await store.undo();
      expect(sandbox.tree()['gone']).toBeUndefined();
      await store.redo();
      expect(sandbox.tree()['gone']).toEqual(file('back'));
    });

    test('leaves out what no transaction can have', async () => {
      const store = await openWithFiles();
      mkfifoSync(sandbox.at('gone'));
      expect(await store.adopt()).toEqual({ transaction: null });
    });

    test('a blocked transaction is resolved first', async () => {
      const store = await openWithFiles();
      changeJournal(
        sandbox.root,
        "UPDATE journal_transaction SET state = 'committed', trouble = 'blocked', reason = 'x'",
      );
      await expectError(store.adopt(), 'BLOCKED');
      sandbox.breaksStore();
    });

    test('a failed sync is named and poisons the store', async () => {
      sandbox.seed({ a: 'a' });
      const faulty = faultyFileSystem(mode);
      const store = await sandbox.open({ fileSystem: faulty.files });
      await store.transact({}, (tx) => tx.write('a', 'b'));
      await store.recover();
      writeFileSync(sandbox.at('a'), 'edited');
      let barriers = 0;
      faulty.fail('EIO', ({ method }) => {
        if (method === 'barrier') barriers += 1;
        return method === 'barrier' && barriers === 1;
      });
      await expectError(store.adopt(), 'IO_FAILED');
      faulty.heal();
      await expectError(store.adopt(), 'STORE_POISONED');
      await store.close();
      const again = await sandbox.open();
      expect((await again.adopt()).transaction?.changeCount).toBe(1);
    });

    test('killed at any step it is recorded wholly or not, and no file is touched', async () => {
      sandbox.seed({ a: 'a', b: 'b' });
      const recorder = recordCrashes(mode, sandbox.root, join(sandbox.directory, 'killed'));
      const store = await sandbox.open({ fileSystem: recorder.files });
      await store.transact({}, async (tx) => {
        await tx.write('a', 'a2');
        await tx.write('b', 'b2');
      });
      writeFileSync(sandbox.at('a'), 'edited');
      mkdirSync(sandbox.at('c'));
      rmSync(sandbox.at('b'));
      const tree = sandbox.tree();
      recorder.start();
      await store.adopt();
      await store.close();
      recorder.stop();
      const violations: string[] = [];
      const heads = new Set<number>();
      for (const { label, root } of recorder.points) {
        const again = await sandbox.openAt(root, { adopt: true });
        const { head } = await again.status();
        heads.add(head);
        if (JSON.stringify(readTree(root)) !== JSON.stringify(tree)) violations.push(label);
        const drift = (await again.drift()).map(({ path }) => path).join();
        if (drift !== (head === 2 ? '' : 'a,b')) violations.push(`${label}: drift ${drift}`);
        await again.close();
        requireHealthy(root);
      }
      testify({
        fault: 'killed at a call',
        operation: 'adopt',
        on: testMachine,
        native: mode,
        states: recorder.points.length,
        violations: violations.length,
      });
      expect(violations).toEqual([]);
      expect(heads).toEqual(new Set([1, 2]));
    });
  });
});
