import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { Finding, OpenStoreOptions, Repair, Store } from '../../src/engine/index.js';
import { type Damage, damages, plantHistory, removePlanted } from '../support/damages.js';
import { faultyFileSystem } from '../support/faults.js';
import { plantObject } from '../support/objects.js';
import {
  changeOwner,
  dumpJournal,
  listOwn,
  modes,
  readQuarantine,
  requireHealthy,
  useSandbox,
} from '../support/store.js';
import { file, readStats, sha256 as hashOf } from '../support/tree.js';

afterAll(removePlanted);

const later = (): number => Date.now() + 172_800_000;

async function verified(store: Store): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for await (const finding of store.verify({ deep: true })) findings.push(finding);
  return findings;
}

const actionsOf = (repairs: readonly Repair[]): readonly string[] =>
  [...new Set(repairs.map(({ action }) => action))].toSorted();

const isOfStore = ({ answers }: Damage): boolean => !answers.includes('rebuild');
const repairable = damages.filter(isOfStore);

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);

  const openTo = (damage: Damage, options: OpenStoreOptions = {}): Promise<Store> =>
    sandbox.open({
      now: later,
      recover: damage.isSeenBeforeRecovery === true ? 'never' : 'auto',
      ...options,
    });

  describe('repair', () => {
    test('a healthy store needs none', async () => {
      await plantHistory(sandbox);
      const store = await sandbox.open();
      const before = [readStats(sandbox.root), dumpJournal(sandbox.root)];
      expect(await store.repair({ deep: true })).toEqual([]);
      expect([readStats(sandbox.root), dumpJournal(sandbox.root)]).toEqual(before);
    });

    // One mode, for the time it takes: the next test has what plain Node does differently.
    test.each(mode === 'auto' ? repairable : repairable.slice(0, 4))(
      'answers: $name',
      async (damage) => {
        await plantHistory(sandbox);
        damage.inflict(sandbox.root);
        const store = await openTo(damage);
        const stats = readStats(sandbox.root);
        const [journal, stage] = [dumpJournal(sandbox.root), listOwn(sandbox.root, 'stage')];
        const planned = await store.repair({ deep: true, dryRun: true });
        expect(planned.length).toBe(damage.finds.length);
        expect(new Set(planned.map(({ outcome }) => outcome))).toEqual(new Set(['planned']));
        expect(actionsOf(planned)).toEqual(damage.answers);
        expect([dumpJournal(sandbox.root), listOwn(sandbox.root, 'stage')]).toEqual([
          journal,
          stage,
        ]);
        const repairs = await store.repair({ deep: true });
        expect(repairs.map(({ error }) => error)).toEqual(damage.finds.map(() => null));
        expect(actionsOf(repairs)).toEqual(damage.answers);
        expect(await verified(store)).toEqual([]);
        expect(readStats(sandbox.root)).toEqual(stats);
        await store.close();
        requireHealthy(sandbox.root);
      },
    );

    test('what can be in one store at once is answered at once', async () => {
      await plantHistory(sandbox);
      const together = repairable.filter(({ name, isSeenBeforeRecovery }) => {
        // Each of these hides the next one of its kind.
        const hides =
          /of the same length|longer than|a file of a displaced|the listing of|the row of/;
        return isSeenBeforeRecovery !== true && !hides.test(name);
      });
      for (const { inflict } of together) inflict(sandbox.root);
      const store = await sandbox.open({ now: later });
      const stats = readStats(sandbox.root);
      const found = await verified(store);
      const kinds = new Set(found.map(({ kind }) => kind));
      expect(kinds).toEqual(new Set(together.flatMap(({ finds }) => finds.map(([kind]) => kind))));
      const repairs = await store.repair({ deep: true });
      expect(repairs.filter(({ outcome }) => outcome !== 'done')).toEqual([]);
      expect(await verified(store)).toEqual([]);
      expect(readStats(sandbox.root)).toEqual(stats);
    });

    test('what was restored can be undone and restored', async () => {
      await plantHistory(sandbox);
      const names = ['a displaced directory is gone', 'an object is gone'];
      for (const { name, inflict } of damages) if (names.includes(name)) inflict(sandbox.root);
      const store = await sandbox.open();
      await store.repair();
      await store.undo({ transaction: 3 });
      expect(sandbox.tree()).toMatchObject({ 'd/x': file('x2'), 'd/y': file('y1') });
      await store.snapshots.restore('first', { to: join(sandbox.directory, 'to') });
      expect(existsSync(join(sandbox.directory, 'to/a'))).toBe(true);
    });

    test('what a slot should not hold goes to quarantine, and its loss is noted', async () => {
      await plantHistory(sandbox);
      const [slot = ''] = listOwn(sandbox.root, 'stage').filter((name) => name.startsWith('2-'));
      writeFileSync(join(sandbox.root, '.skillmeat/stage', slot), 'not a1');
      const store = await sandbox.open();
      const [repair] = await store.repair();
      expect(repair).toMatchObject({ action: 'accept-loss', outcome: 'done' });
      expect(readQuarantine(sandbox.root)).toMatchObject([
        { path: 'a', transaction: 2, bytes: 'not a1' },
      ]);
      const verifying = store.verify();
      expect(await verifying.next()).toMatchObject({ done: true, value: { lost: 1 } });
    });

    test('a listing is rebuilt from a directory that is still as it was', async () => {
      sandbox.seed({ 'e/f': 'f', g: 'g' });
      const store = await sandbox.open();
      const { snapshot } = await store.snapshots.create();
      plantHashOf(snapshot.sha256);
      const [repair] = await store.repair();
      expect(repair).toMatchObject({
        action: 'restore',
        outcome: 'done',
        finding: { kind: 'object-missing', path: null },
      });
      expect(await verified(store)).toEqual([]);
      await store.snapshots.restore('latest', { to: join(sandbox.directory, 'to') });
    });

    function plantHashOf(sha256: string): void {
      const line = (name: string, kind: string, ...rest: readonly unknown[]): string =>
        `${JSON.stringify([name, kind, ...rest])}\n`;
      const below = line('f', 'file', 0o644, 1, hashOf('f'));
      const text =
        line('e', 'directory', 0o755, hashOf(below)) + line('g', 'file', 0o644, 1, hashOf('g'));
      expect(plantObject(sandbox.root, text, undefined)).toBe(sha256);
    }

    test('a displaced file comes back where the directory around it gave way to another', async () => {
      sandbox.seed({ 'd/x': 'x', 'd/y': 'y' });
      const first = await sandbox.open();
      await first.snapshots.create();
      await first.transact({}, (tx) => tx.remove('d'));
      await first.close();
      // After a crash somebody's own directory is found there: ours is superseded.
      changeOwner(sandbox.root, { isReleased: false });
      sandbox.seed({ 'd/x': 'by hand' });
      const [slot = ''] = listOwn(sandbox.root, 'stage');
      rmSync(sandbox.at(`.skillmeat/stage/${slot}`), { recursive: true });
      const store = await sandbox.open();
      const repairs = await store.repair({ deep: true });
      expect(repairs.filter(({ outcome }) => outcome !== 'done')).toEqual([]);
      expect(await verified(store)).toEqual([]);
      expect(readFileSync(sandbox.at(`.skillmeat/stage/${slot}/y`), 'utf8')).toBe('y');
    });

    test('what fails is named, and everything else is done', async () => {
      await plantHistory(sandbox);
      const faulty = faultyFileSystem(mode);
      const store = await sandbox.open({ fileSystem: faulty.files });
      const names = ['strangers lie in the stage directory', 'something in quarantine has no note'];
      for (const { name, inflict } of damages) if (names.includes(name)) inflict(sandbox.root);
      const isMine = (value: unknown): boolean =>
        typeof value === 'object' && value !== null && 'name' in value && value.name === 'mine';
      faulty.fail('EACCES', ({ method, values }) => method === 'moveNew' && values.some(isMine));
      const repairs = await store.repair();
      expect(repairs.map(({ outcome }) => outcome).toSorted()).toEqual(['done', 'done', 'failed']);
      faulty.heal();
      await store.repair();
      expect(await verified(store)).toEqual([]);
    });
  });
});
