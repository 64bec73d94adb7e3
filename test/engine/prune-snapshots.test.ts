import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Store } from '../../src/engine/index.js';
import { recordCrashes } from '../support/crash.js';
import { testify, testMachine } from '../support/evidence.js';
import {
  expectError,
  expectRefused,
  listOwn,
  modes,
  requireHealthy,
  useSandbox,
} from '../support/store.js';

const day = 86_400_000;

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);
  let now = Date.UTC(2026, 0, 1);

  /** Snapshots of four days, each with a content of its own. */
  async function fourDays(store: Store): Promise<void> {
    for (const name of ['one', 'two', 'three', 'four']) {
      writeFileSync(sandbox.at('changing'), name.repeat(10_000));
      await store.snapshots.create({ name, tags: name === 'one' ? ['first'] : [] });
      now += day;
    }
  }

  async function names(store: Store): Promise<readonly (string | null)[]> {
    return (await store.snapshots.list()).map(({ name }) => name);
  }

  test('a dry run tells what goes, why and what it frees; pruning does that', async () => {
    sandbox.seed({ same: 'same', changing: '' });
    const store = await sandbox.open({ now: () => now, compression: 'off' });
    await fourDays(store);
    const planned = await store.snapshots.prune({ keepLast: 1 }, { dryRun: true });
    expect(
      planned.snapshots.map(({ snapshot, isKept, reasons }) => [snapshot.name, isKept, reasons]),
    ).toEqual([
      ['four', true, ['one of the last 1']],
      ['three', false, ['no rule keeps it']],
      ['two', false, ['no rule keeps it']],
      ['one', true, ['tagged first']],
    ]);
    expect(planned.snapshots[1]?.bytes).toBeGreaterThan(50_000);
    expect(planned.bytesBefore - planned.bytesAfter).toBe(
      planned.snapshots.filter(({ isKept }) => !isKept).reduce((sum, { bytes }) => sum + bytes, 0),
    );
    expect(await names(store)).toEqual(['four', 'three', 'two', 'one']);
    const { collected, ...done } = await store.snapshots.prune({ keepLast: 1 });
    expect(done).toEqual({
      snapshots: planned.snapshots,
      bytesBefore: planned.bytesBefore,
      bytesAfter: planned.bytesAfter,
    });
    expect(await names(store)).toEqual(['four', 'one']);
    // In two phases: a snapshot that is just being taken may be about to name one of them.
    expect(collected.objects).toBe(0);
    // And what was deleted can be brought back for a week.
    now = Date.now() + 8 * day;
    const again = await store.snapshots.prune({ keepLast: 1 });
    expect(again.collected.objects).toBe(4);
    expect(again.bytesBefore).toBe(done.bytesAfter);
    for (const name of ['four', 'one']) {
      await store.snapshots.restore(name, { to: join(sandbox.directory, `from-${name}`) });
    }
  });

  test('what is pinned or tagged afterwards is kept by every pruning, until that is taken back', async () => {
    sandbox.seed({ changing: '' });
    const store = await sandbox.open({ now: () => now });
    await fourDays(store);
    const before = await store.snapshots.show('two');
    const planned = await store.snapshots.mark('two', { pin: true, dryRun: true });
    expect(planned).toEqual({ ...before, isPinned: true });
    expect(await store.snapshots.show('two')).toEqual(before);
    expect(await store.snapshots.mark('two', { pin: true })).toEqual(planned);
    expect(
      await store.snapshots.mark(3, { addTags: ['good', 'v1', 'good'], removeTags: ['none'] }),
    ).toMatchObject({ name: 'three', isPinned: false, tags: ['good', 'v1'] });
    const policies = [{ keepLast: 1 }, { sizeBytesMax: 0 }];
    for (const policy of policies) await store.snapshots.prune(policy, { now: true });
    expect(await names(store)).toEqual(['four', 'three', 'two', 'one']);
    await expectError(store.snapshots.delete('two'), 'SNAPSHOT_PINNED');
    await store.snapshots.mark('two', { pin: false });
    await store.snapshots.mark('three', { removeTags: ['v1'] });
    await store.snapshots.mark('one', { removeTags: ['first'] });
    await store.snapshots.prune({ keepLast: 1 });
    expect(await names(store)).toEqual(['four', 'three']);
    expect((await store.snapshots.show('three')).tags).toEqual(['good']);
  });

  test('a snapshot that is not there is not marked, nor with what is no tag', async () => {
    sandbox.seed({ changing: '' });
    const store = await sandbox.open({ now: () => now });
    await fourDays(store);
    await store.snapshots.delete('two');
    for (const reference of ['none', 'two', 9]) {
      const marking = (): Promise<unknown> => store.snapshots.mark(reference, { pin: true });
      await expectRefused(sandbox.root, marking, 'SNAPSHOT_NOT_FOUND');
    }
    const many = Array.from({ length: 65 }, (_, at) => `t${String(at)}`);
    for (const addTags of [['a/b'], ['-x'], [''], many]) {
      const marking = (): Promise<unknown> => store.snapshots.mark('one', { addTags });
      await expectRefused(sandbox.root, marking, 'SNAPSHOT_INVALID', { message: /tag/ });
    }
    await store.close();
    await expectError(() => store.snapshots.mark('one', { pin: true }), 'STORE_CLOSED');
  });

  test('a limit of size drops the oldest, never what is pinned, tagged or the newest', async () => {
    sandbox.seed({ changing: '' });
    const store = await sandbox.open({ now: () => now, compression: 'off' });
    await fourDays(store);
    const { snapshots, bytesAfter } = await store.snapshots.prune({
      keepLast: 9,
      sizeBytesMax: 140_000,
    });
    expect(snapshots.filter(({ isKept }) => !isKept).map(({ snapshot }) => snapshot.name)).toEqual([
      'two',
    ]);
    expect(bytesAfter).toBeLessThanOrEqual(140_000);
    await store.snapshots.prune({ keepLast: 9, sizeBytesMax: 1 });
    expect(await names(store)).toEqual(['four', 'one']);
  });

  test('a kill at any step of pruning leaves what is kept whole', async () => {
    sandbox.seed({ same: 'same', changing: '' });
    const recorder = recordCrashes(mode, sandbox.root, join(sandbox.directory, 'killed'));
    const store = await sandbox.open({ now: () => now, fileSystem: recorder.files });
    await fourDays(store);
    await store.snapshots.delete('two');
    now = Date.now() + 8 * day;
    recorder.start();
    await store.snapshots.prune({ keepLast: 1 }, { now: true });
    recorder.stop();
    const violations: string[] = [];
    for (const { label, root } of recorder.points) {
      const opened = await sandbox.openAt(root, { adopt: true, now: () => now });
      const left = await names(opened);
      if (!left.includes('four') || !left.includes('one')) {
        violations.push(`${label}: ${left.join()}`);
      }
      for (const name of left) {
        const to = join(sandbox.directory, `out-${label.replaceAll(/\W/g, '')}-${String(name)}`);
        const { notRestored } = await opened.snapshots.restore(String(name), { to });
        if (notRestored.length > 0) violations.push(`${label}: ${String(name)}`);
      }
      await opened.snapshots.prune({ keepLast: 1 });
      if ((await names(opened)).length !== 2) violations.push(`${label}, then on`);
      await opened.close();
      if (listOwn(root, 'quarantine').length > 0) violations.push(`${label}: quarantine`);
      requireHealthy(root);
    }
    testify({
      fault: 'killed at a call',
      operation: 'pruning snapshots',
      on: testMachine,
      native: mode,
      states: recorder.points.length,
      violations: violations.length,
    });
    expect(violations).toEqual([]);
    expect(recorder.points.length).toBeGreaterThan(3);
  });
});
