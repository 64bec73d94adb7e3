import { cpSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { hashContent } from '../../src/engine/hash.js';
import { absent, type Image } from '../../src/engine/image.js';
import type { Store, Transaction } from '../../src/engine/index.js';
import { firstUnflushed, type Trace } from '../../src/engine/unflushed.js';
import { recordCrashes } from '../support/crash.js';
import {
  bumpEpoch,
  expectError,
  modes,
  readQuarantine,
  requireHealthy,
  useSandbox,
} from '../support/store.js';
import { faultyFileSystem } from '../support/faults.js';
import { file, readTree } from '../support/tree.js';

function fileImage(content: string): Image {
  return { kind: 'file', sha256: hashContent(content), size: content.length, mode: 0o644 };
}

const before = fileImage('before');
const after = fileImage('after');
const torn = fileImage('');
const pending: Trace = { before, after, atPath: before, inSlot: after, otherwise: [before] };
const done: Trace = { ...pending, atPath: after, inSlot: before };
const isTorn: Trace = { ...pending, inSlot: torn };
const isMissing: Trace = { ...pending, inSlot: absent };
const created: Trace = {
  before: absent,
  after,
  atPath: after,
  inSlot: absent,
  otherwise: [absent],
};
const isMode: Trace = { ...pending, inSlot: undefined };

test.each<[string, boolean, readonly Trace[]]>([
  ['nothing is missing', false, [pending, { ...pending, before: absent, atPath: absent }]],
  ['a content is torn and nothing was done', true, [pending, isTorn]],
  ['a content is missing and nothing was done', true, [isMissing, pending]],
  ['a new file is missing and nothing was done', true, [{ ...created, atPath: absent }]],
  [
    'a removal is done and was changed back',
    false,
    [{ ...pending, after: absent, inSlot: before }],
  ],
  ['a content is torn, and another change was done', false, [isTorn, done]],
  ['a content is torn, and a file was made', false, [isTorn, created]],
  ['a content is torn, and a mode was set', false, [isTorn, { ...isMode, atPath: after }]],
  [
    'a mode is what an earlier transaction made it',
    true,
    [isTorn, { ...isMode, atPath: after, otherwise: [before, after] }],
  ],
  [
    'what was displaced was written to since',
    false,
    [{ ...done, inSlot: fileImage('late') }, pending],
  ],
  [
    'another program replaced what was put in place',
    false,
    [isTorn, { ...done, atPath: fileImage('theirs') }],
  ],
  [
    'another program wrote to a new file',
    false,
    [{ ...created, atPath: fileImage('theirs') }, pending],
  ],
  [
    'another program wrote where a new file is missing, and another content is missing, too',
    true,
    [{ ...created, atPath: fileImage('theirs') }, isMissing],
  ],
  [
    'a torn content looks like the empty file before it',
    true,
    [{ ...pending, before: torn, atPath: torn, inSlot: torn }],
  ],
  [
    'a torn content looks like the empty file that an earlier transaction did not yet make',
    true,
    [{ ...pending, before: torn, atPath: before, inSlot: torn, otherwise: [before] }],
  ],
  [
    'what came along in a directory and stays equal is torn',
    true,
    [pending, { ...pending, after: before, inSlot: torn }],
  ],
  ['a file is made anew after another transaction removed it', false, [isTorn, created]],
  [
    'a new file is missing, and the one that was to be removed before is there',
    true,
    [{ ...created, otherwise: [after], isMoving: true }],
  ],
  [
    'a file that another program removed is made again as it was',
    false,
    [{ ...created, otherwise: [after] }],
  ],
  [
    'a file that another program removed is there again, and another content is torn',
    true,
    [{ ...created, otherwise: [after] }, isTorn],
  ],
  [
    'a path that came along in a directory stayed equal',
    true,
    [isTorn, { ...pending, after: before, inSlot: before }],
  ],
])('when %s: never flushed is %s', (_case, expected, traces) => {
  expect(firstUnflushed([traces])).toBe(expected ? 0 : undefined);
});

test.each<[string, number | undefined, readonly (readonly Trace[])[]]>([
  ['nothing is missing', undefined, [[pending], [pending]]],
  ['the second is torn', 1, [[pending], [isTorn], [pending]]],
  ['the first is torn', 0, [[isTorn], [pending]]],
  ['the second is torn, and the first was done', undefined, [[done], [isTorn]]],
  ['the first is torn, and the last was done', undefined, [[isTorn], [pending], [done]]],
])('of a group, when %s: left out from %s on', (_case, expected, traces) => {
  expect(firstUnflushed(traces)).toBe(expected);
});

/** What a power failure may leave of a content that was not synced. */
const losses: readonly (readonly [string, (path: string) => void])[] = [
  ['missing', (path) => rmSync(path)],
  ['empty', (path) => truncateSync(path, 0)],
  ['cut', (path) => truncateSync(path, Math.floor(statSync(path).size / 2))],
  ['zeros', (path) => writeFileSync(path, Buffer.alloc(statSync(path).size))],
];

describe.each(modes)('recovered with native %s', (mode) => {
  const sandbox = useSandbox(mode);

  async function change(tx: Transaction): Promise<void> {
    await tx.write('a', 'the new a');
    await tx.copyIn('tree', join(sandbox.directory, 'source'));
    await tx.write('made/deep', 'made');
    await tx.remove('gone');
    await tx.chmod('mode', 0o600);
    await tx.write('shared', 'written by the second');
  }

  /** A root as it is when the transaction's record is written and nothing is renamed yet. */
  async function killedInFlush({ isNamed = false } = {}): Promise<string> {
    sandbox.seed({ a: 'old a', 'tree/x': 'old x', gone: 'gone', mode: 'mode', shared: '' });
    sandbox.seed({ '../source/x': 'the new x', '../source/n/m': 'the new m' });
    // Only the native part writes a record before its contents are flushed; either may recover it.
    const recorder = recordCrashes('auto', sandbox.root, join(sandbox.directory, 'killed'));
    const store = await sandbox.open({ fileSystem: recorder.files });
    await store.transact({}, (tx) => tx.write('shared', 'written by the first'));
    recorder.start();
    await store.transact({}, change);
    recorder.stop();
    await store.close();
    const { points } = recorder;
    const rename = points.findIndex(({ label }) => /(?:exchange|moveNew)\([^:]*$/.test(label));
    // From when `owner` names it, everybody may know that the flush is over.
    const named = points.slice(0, rename).findLastIndex(({ label }) => /writeRecord/.test(label));
    return points[isNamed ? rename : named]?.root ?? '';
  }

  async function openRecovered(root: string): Promise<Store> {
    return sandbox.openAt(root, { adopt: true });
  }

  test.each(losses)('a content that is %s takes the transaction back', async (name, lose) => {
    const killed = await killedInFlush();
    const stage = join(killed, '.skillmeat/stage');
    const contents = readdirSync(stage, { recursive: true, encoding: 'utf8' }).filter(
      (path) => path.startsWith('2-') && statSync(join(stage, path)).isFile(),
    );
    expect(contents.length).toBeGreaterThan(3);
    for (const [i, lost] of [...contents.map((path) => [path]), contents].entries()) {
      const root = join(sandbox.directory, `${name}-${String(i)}`);
      cpSync(killed, root, { recursive: true, preserveTimestamps: true });
      const untouched = readTree(root);
      for (const path of lost) lose(join(root, '.skillmeat/stage', path));
      const store = await openRecovered(root);
      expect(await store.show(2), lost.join()).toMatchObject({
        state: 'rolled-back',
        reason: 'the power failed before its contents were on disk',
        superseded: [],
      });
      expect(readTree(root), lost.join()).toEqual(untouched);
      // What is neither whole nor empty might be an editor's, who had the file open.
      const setAside = name === 'missing' || name === 'empty' ? [] : lost;
      expect(readQuarantine(root), lost.join()).toHaveLength(setAside.length);
      expect((await store.status()).troubled, lost.join()).toEqual([]);
      await store.transact({}, change);
      expect(readTree(root)).toMatchObject({ a: file('the new a'), 'tree/n/m': {} });
      await store.close();
      requireHealthy(root);
    }
  });

  test('a content that is missing after owner named its transaction is damage', async () => {
    const root = await killedInFlush({ isNamed: true });
    const stage = join(root, '.skillmeat/stage');
    for (const name of readdirSync(stage)) {
      if (name.startsWith('2-')) rmSync(join(stage, name), { recursive: true });
    }
    const untouched = readTree(root);
    const store = await openRecovered(root);
    expect((await store.show(2)).state).toBe('damaged');
    expect(readTree(root)).toEqual(untouched);
  });

  test('a transaction that was found damaged stays so when owner is lost', async () => {
    const root = await killedInFlush({ isNamed: true });
    const stage = join(root, '.skillmeat/stage');
    for (const name of readdirSync(stage)) {
      if (name.startsWith('2-')) rmSync(join(stage, name), { recursive: true });
    }
    await (await openRecovered(root)).close();
    rmSync(join(root, '.skillmeat/owner'));
    const again = await openRecovered(root);
    expect((await again.show(2)).state).toBe('damaged');
  });

  test('the rename of an earlier transaction is repeated although the newest is taken back', async () => {
    const root = await killedInFlush();
    const stage = join(root, '.skillmeat/stage');
    const slot = readdirSync(stage).find((name) => name.startsWith('1-')) ?? '';
    // The renames of the first had not reached the disk: path and slot are as before them.
    writeFileSync(join(stage, slot), 'written by the first');
    writeFileSync(join(root, 'shared'), '');
    const newest = readdirSync(stage).filter((name) => name.startsWith('2-'));
    for (const name of newest) rmSync(join(stage, name), { recursive: true });
    const store = await openRecovered(root);
    expect((await store.show(2)).state).toBe('rolled-back');
    expect(readTree(root)).toMatchObject({
      a: file('old a'),
      shared: file('written by the first'),
    });
  });

  test('a flush that fails is IO_FAILED and leaves a transaction that did not happen', async () => {
    sandbox.seed({ a: 'old' });
    const faulty = faultyFileSystem(mode);
    const store = await sandbox.open({ fileSystem: faulty.files });
    await store.transact({}, (tx) => tx.write('first', '1'));
    const untouched = sandbox.tree();
    faulty.fail('EIO', ({ method }) => method === 'barrier', 1);
    await expectError(
      store.transact({}, (tx) => tx.write('a', 'new')),
      'IO_FAILED',
    );
    expect(sandbox.tree()).toEqual(untouched);
    await expectError(
      store.transact({}, (tx) => tx.write('a', 'new')),
      'STORE_POISONED',
    );
    await store.close();
    const again = await sandbox.open();
    const states = (await again.log()).map(({ state }) => state);
    expect(states.slice(0, -1)).toEqual(mode === 'off' ? [] : ['rolled-back']);
    expect(sandbox.tree()).toEqual(untouched);
    await again.transact({}, (tx) => tx.write('a', 'new'));
  });

  test('a record whose writer was killed is flushed before anything is renamed', async () => {
    const root = await killedInFlush();
    const calls: string[] = [];
    const recorder = recordCrashes(mode, root, join(sandbox.directory, 'unused'), ({ method }) => {
      calls.push(method);
    });
    const store = await sandbox.openAt(root, { adopt: true, fileSystem: recorder.files });
    expect((await store.show(2)).state).toBe('settled');
    const firstRename = calls.findIndex((name) => name === 'exchange' || name === 'moveNew');
    expect(calls.indexOf('barrier')).toBeGreaterThan(-1);
    expect(calls.indexOf('barrier')).toBeLessThan(firstRename);
  });
});

// Plain Node flushes before it writes the record, so that there is none to take back.
describe('native auto only', () => {
  const sandbox = useSandbox('auto');

  test('a flush that fails is COMMIT_UNKNOWN when the record cannot be taken back', async () => {
    sandbox.seed({ a: 'old' });
    const faulty = faultyFileSystem('auto');
    const store = await sandbox.open({ fileSystem: faulty.files });
    await store.transact({}, (tx) => tx.write('first', '1'));
    const untouched = sandbox.tree();
    faulty.fail('EIO', ({ method }) => {
      if (method !== 'barrier') return false;
      bumpEpoch(sandbox.root);
      return true;
    });
    await expectError(
      store.transact({}, (tx) => tx.write('a', 'new')),
      'COMMIT_UNKNOWN',
    );
    faulty.heal();
    await expectError(
      store.transact({}, (tx) => tx.write('a', 'new')),
      'STORE_POISONED',
    );
    await store.close();
    const again = await sandbox.open();
    expect((await again.show(2)).state).toBe('rolled-back');
    expect(sandbox.tree()).toEqual(untouched);
  });
});
