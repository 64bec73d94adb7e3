import fs from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { CollectionReader, isCollectionError } from '../../src/collection/index.js';
import { isEngineError } from '../../src/engine/index.js';
import { type CallFault, failingFileSystem } from '../crash/failing-calls.js';
import { stampedNames, versionIn } from '../crash/children/stamped.mjs';
import { expectCode } from '../support/collection.js';
import { useStoppedClock } from '../support/cost.js';
import { testify } from '../support/evidence.js';
import { names, systemError, watchedFileSystem } from '../support/faults.js';
import {
  cleanUp,
  describeTree,
  makeDirectory,
  removeDirectory,
  seededRandom,
} from '../support/processes.js';
import {
  openStamped,
  reopenStamped,
  type StampedCollection,
} from '../support/stamped-collection.js';
import { modes, openDescriptors } from '../support/store.js';
import { amount, isExhaustive } from '../support/extent.js';

/*
 * What may go wrong with an update, row by row, and the test that shows what happens then:
 *
 * | before an update: nothing to copy           | here: costs what it changes                        |
 * | the safety net cannot be made               | here: full at every call (the journal's are those) |
 * |                                             | cli/failure-rows: a store that is read-only        |
 * | fetching fails                              | sources/fetch-failures; update: the source is gone |
 * | artifact, manifest, lock cannot be written  | here: full at every call; update-killed            |
 * | fails, is rolled back, tried again          | here: full at every call; update-killed: 3 times   |
 * | rolling back fails                          | here: denied while it is rolled back               |
 * | killed, or power lost                       | killed, update-killed; crash/collections-killed-…  |
 * | history or snapshots deleted by hand        | cli/failure-rows                                   |
 * | the collection is deleted                   | here: deleted at any step; update: between         |
 * | two at once                                 | here: two programs; update: the same artifact      |
 * | the manifest is edited by hand              | here: during, between; update: while fetching      |
 * | merging without a base                      | update: without the version that was fetched       |
 * | large artifacts                             | here: large                                        |
 * | the disk is really full                     | root/full-disk                                     |
 *
 * `npm test` takes SKILLMEAT_CALLS of the calls, SKILLMEAT_EXHAUSTIVE=1 all of them, and large sizes.
 */

afterEach(cleanUp);

const sampledMax = Number(process.env['SKILLMEAT_CALLS'] ?? amount({ thorough: 7, otherwise: 3 }));
const random = seededRandom('failure rows of collections');
const skills = ['canvas', 'paint', 'easel'];

/** Requires every skill to be whole, of the version that both files say, and nothing to be found. */
async function versionsIn(directory: string): Promise<Readonly<Record<string, number>>> {
  const root = path.join(directory, 'collection');
  const reader = new CollectionReader(root);
  expect(await reader.findings()).toEqual([]);
  const versions: Record<string, number> = {};
  for (const { name, path: at, resolvedVersion } of await reader.artifacts()) {
    const version = Number(resolvedVersion?.slice(1));
    const files = fs.readdirSync(path.join(root, at)).toSorted();
    expect(files).toEqual(stampedNames);
    for (const file of files) {
      expect(versionIn(fs.readFileSync(path.join(root, at, file), 'utf8'))).toBe(version);
    }
    versions[name] = version;
  }
  return versions;
}

function requireExplained(error: unknown): string {
  if (!isEngineError(error) && !isCollectionError(error)) throw error;
  expect(error.hint ?? '', error.message).not.toBe('');
  return error.code;
}

describe.each(modes)('native %s', (native) => {
  async function template(): Promise<string> {
    const directory = makeDirectory({ inMemory: true });
    await (await openStamped(directory, skills, native))[Symbol.asyncDispose]();
    return directory;
  }

  function copy(from: string): string {
    const directory = makeDirectory({ inMemory: true });
    fs.cpSync(from, directory, { recursive: true });
    return directory;
  }

  describe('while no time passes', () => {
    useStoppedClock();

    test('an update costs what it changes, not what the collection holds', async () => {
      const calls: number[] = [];
      for (const count of [3, 33]) {
        const directory = makeDirectory({ inMemory: true });
        const many = Array.from({ length: count }, (_, at) => `skill-${String(at)}`);
        await (await openStamped(directory, many, native))[Symbol.asyncDispose]();
        const failing = failingFileSystem(native);
        // So much later that no file is young, which would be read to be sure.
        const now = Date.now() + 30_000;
        await using stamped = await reopenStamped(directory, {
          fileSystem: failing.files,
          now: () => now,
        });
        await stamped.update('skill-0', 1);
        failing.arm();
        await stamped.update('skill-1', 1);
        calls.push(failing.calls.length);
        failing.heal();
      }
      const [few = 0, many = 0] = calls;
      expect(few).toBeGreaterThan(50);
      expect(many).toBe(few);
    });
  });

  test('a disk that is full at a call of an update, for once or for good, leaves what was before', async () => {
    const from = await template();
    const count = await tryFull(from, undefined);
    const faults = chooseFaults(count.calls);
    const said = new Map<string, number>();
    for (const fault of faults) {
      const { code } = await tryFull(from, fault);
      said.set(code, (said.get(code) ?? 0) + 1);
    }
    const codes = JSON.stringify(Object.fromEntries(said));
    console.log(
      `a full disk, native ${native}: ${String(count.calls.length)} calls, ${String(faults.length)} faults: ${codes}`,
    );
    testify({
      fault: 'error at a call',
      operation: 'update of an artifact, full disk',
      on: 'the test machine',
      native,
      states: faults.length,
      violations: 0,
      seed: random.seed,
    });
    expect(said.get('DISK_FULL'), 'some failed').toBeGreaterThan(0);
  });

  /** Updates with a fault, looks at what is left, and tries again. */
  async function tryFull(from: string, fault: CallFault | undefined) {
    const what = JSON.stringify(fault);
    const directory = copy(from);
    const root = path.join(directory, 'collection');
    const before = describeTree(root);
    const failing = failingFileSystem(native);
    const given = { adopt: true, native, lockWaitMs: 0 };
    let code = 'done';
    {
      await using stamped = await reopenStamped(directory, { ...given, fileSystem: failing.files });
      const update = await stamped.available('canvas', 1);
      const again = await stamped.available('canvas', 2);
      failing.arm(fault);
      try {
        await stamped.collection.update([update], { ...overwrite, fetcher: stamped.fetcher });
      } catch (error) {
        code = requireExplained(error);
      }
      failing.heal();
      if (code === 'DISK_FULL') expect(describeTree(root), what).toEqual(before);
      if (fault === undefined) expect(code).toBe('done');
      else if (code !== 'done') {
        // In the same process, unless it says that the store must be opened anew.
        try {
          await stamped.collection.update([again], { ...overwrite, fetcher: stamped.fetcher });
          expect((await versionsIn(directory))['canvas'], what).toBe(2);
        } catch (error) {
          const blocking = ['STORE_POISONED', 'BLOCKED', 'MANIFEST_CHANGED'];
          expect(blocking, what).toContain(requireExplained(error));
        }
      }
    }
    expect(openDescriptors(root), what).toEqual([]);
    // The next program, and the next update.
    await using stamped = await reopenStamped(directory, given);
    expect((await stamped.collection.store.status()).troubled, what).toEqual([]);
    const found = await versionsIn(directory);
    expect([found['paint'], found['easel']], what).toEqual([0, 0]);
    if (code === 'done') expect(found['canvas'], what).toBe(1);
    await stamped.update('canvas', 3);
    expect((await versionsIn(directory))['canvas'], what).toBe(3);
    expect(fs.readdirSync(path.join(directory, 'home/tmp')).length, what).toBe(1);
    removeDirectory(directory);
    return { code, calls: [...failing.calls] };
  }

  // The lock comes first: until then there is nothing to roll back.
  test.each([
    ['manifest', 'collection.toml'],
    ['artifact', 'canvas'],
  ])(
    'denied while the %s is written and while that is rolled back: blocked, by name, until it is allowed',
    async (_, name) => {
      const directory = await template();
      const root = path.join(directory, 'collection');
      const before = describeTree(root);
      let [isArmed, isDenied] = [false, false];
      const files = watchedFileSystem(native, (call) => {
        const isSwitch = ['exchange', 'moveNew', 'moveOwn'].includes(call.method);
        if (isArmed && isSwitch && names(call, name)) isDenied = true;
        const isOurs = ['collection.toml', 'collection.lock', 'canvas'].some((at) =>
          names(call, at),
        );
        if (isDenied && isSwitch && isOurs) throw systemError('EACCES');
      });
      const given = { adopt: true, native, lockWaitMs: 0 };
      {
        await using stamped = await reopenStamped(directory, { ...given, fileSystem: files });
        const { collection, fetcher } = stamped;
        const update = await stamped.available('canvas', 1);
        isArmed = true;
        await expectCode(collection.update([update], { ...overwrite, fetcher }), 'BLOCKED');
        const { troubled } = await collection.store.status();
        expect(troubled).toMatchObject([{ state: 'blocked', message: 'update canvas' }]);
        // Its paths are refused, all the rest goes on.
        await expectCode(stamped.update('paint', 1), 'BLOCKED');
        await collection.store.transact({}, (tx) => tx.write('notes.md', 'mine'));
      }
      // Still denied: the next program says the same, and makes nothing worse.
      {
        await using stamped = await reopenStamped(directory, { ...given, fileSystem: files });
        expect((await stamped.collection.store.status()).troubled).toHaveLength(1);
      }
      // `chmod`.
      [isArmed, isDenied] = [false, false];
      await using stamped = await reopenStamped(directory, given);
      expect((await stamped.collection.store.status()).troubled).toEqual([]);
      fs.rmSync(path.join(root, 'notes.md'));
      expect(describeTree(root)).toEqual(before);
      await stamped.update('canvas', 1);
      expect(await versionsIn(directory)).toEqual({ canvas: 1, paint: 0, easel: 0 });
    },
  );

  test('a collection that is deleted at any step of an update is not made anew', async () => {
    const from = await template();
    const calls = (await tryFull(from, undefined)).calls.length;
    const all = Array.from({ length: calls }, (_, at) => at + 1);
    const steps = isExhaustive ? all : all.filter((at) => at % Math.ceil(calls / sampledMax) === 1);
    const said = new Map<string, number>();
    for (const step of steps) {
      const directory = copy(from);
      const root = path.join(directory, 'collection');
      let left = Number.POSITIVE_INFINITY;
      const files = watchedFileSystem(native, () => {
        left -= 1;
        if (left === 0) fs.rmSync(root, { recursive: true });
      });
      const stamped = await reopenStamped(directory, {
        adopt: true,
        lockWaitMs: 0,
        fileSystem: files,
      });
      const update = await stamped.available('canvas', 1);
      left = step;
      let code = 'done';
      try {
        await stamped.collection.update([update], { ...overwrite, fetcher: stamped.fetcher });
      } catch (error) {
        code = requireExplained(error);
      }
      said.set(code, (said.get(code) ?? 0) + 1);
      await stamped[Symbol.asyncDispose]();
      expect(fs.existsSync(root), `step ${String(step)}, ${code}`).toBe(false);
      removeDirectory(directory);
    }
    console.log(
      `deleted at ${String(steps.length)} of ${String(calls)} steps, native ${native}: ${JSON.stringify(Object.fromEntries(said))}`,
    );
    // The last calls come after everything is done.
    const failed = [...said].filter(([code]) => code !== 'done');
    expect(failed.reduce((sum, [, count]) => sum + count, 0)).toBeGreaterThan(steps.length / 2);
  });

  test('two programs that update at once lose nothing of each other', async () => {
    const directory = await template();
    await using one = await reopenStamped(directory, { native });
    await using other = await reopenStamped(directory, { native });
    const run = async (stamped: StampedCollection, name: string): Promise<void> => {
      for (let version = 1; version <= 8; version += 1) await stamped.update(name, version);
    };
    await Promise.all([run(one, 'canvas'), run(other, 'paint')]);
    expect(await versionsIn(directory)).toEqual({ canvas: 8, paint: 8, easel: 0 });
  });

  test('a manifest that is edited by hand while it is replaced keeps the edit', async () => {
    const directory = await template();
    const manifest = path.join(directory, 'collection/collection.toml');
    let isEditing = false;
    const files = watchedFileSystem(native, (call) => {
      if (!isEditing || call.method !== 'exchange' || !names(call, 'collection.toml')) return;
      isEditing = false;
      fs.writeFileSync(manifest, `# by hand\n${fs.readFileSync(manifest, 'utf8')}`);
    });
    await using stamped = await reopenStamped(directory, { adopt: true, fileSystem: files });
    const { collection, fetcher } = stamped;
    const update = await stamped.available('canvas', 1);
    isEditing = true;
    await expectCode(collection.update([update], { ...overwrite, fetcher }), 'DRIFT_DETECTED');
    expect(isEditing, 'it was edited then').toBe(false);
    expect(fs.readFileSync(manifest, 'utf8')).toMatch(/^# by hand\n/);
    expect(await versionsIn(directory)).toEqual({ canvas: 0, paint: 0, easel: 0 });
    await collection.update([update], { ...overwrite, fetcher });
    expect(fs.readFileSync(manifest, 'utf8')).toMatch(/^# by hand\n/);
    expect(await versionsIn(directory)).toEqual({ canvas: 1, paint: 0, easel: 0 });
  });

  test('a manifest that is edited by hand between two commands is taken as it is, mistakes by name', async () => {
    const directory = await template();
    const manifest = path.join(directory, 'collection/collection.toml');
    await using stamped = await reopenStamped(directory, { adopt: true, native });
    await stamped.update('canvas', 1);
    const right = fs.readFileSync(manifest, 'utf8');
    const edited = right.replace('name = "paint"', 'name = "paint" # mine\nstars = 5');
    fs.writeFileSync(manifest, edited.replace('stars = 5', 'stars = '));
    const error = await expectCode(stamped.update('paint', 1), 'TOML_INVALID');
    expect(error.message).toMatch(/collection\.toml:\d+:\d+: /);
    fs.writeFileSync(manifest, edited);
    await stamped.update('paint', 1);
    expect(fs.readFileSync(manifest, 'utf8')).toContain('name = "paint" # mine\nstars = 5\n');
    expect(await versionsIn(directory)).toEqual({ canvas: 1, paint: 1, easel: 0 });
  });
});

const overwrite = { strategy: 'overwrite' } as const;

/** All of them, or one of each kind of call; for once, for its kind, for good. */
function chooseFaults(calls: readonly string[]): readonly CallFault[] {
  const reaches = ['once', 'method', 'all'] as const;
  const errno = 'ENOSPC';
  if (isExhaustive) {
    return calls.flatMap((_, i) =>
      reaches.map((reach) => ({ at: i + 1, errno, reach, isTorn: i % 2 === 0 }) as const),
    );
  }
  const kinds = [...new Set(calls)];
  const first = random.below(kinds.length);
  return Array.from({ length: sampledMax }, (_, n) => {
    // Most of what needs room is written; a switch that fails has to be rolled back.
    const kind = ['write', 'exchange', kinds[(first + n) % kinds.length]][n % 3];
    const places = calls.flatMap((name, i) => (name === kind ? [i + 1] : []));
    const at = places[random.below(places.length)] ?? 1;
    return { at, errno, reach: reaches[(n >> 1) % reaches.length] ?? 'once', isTorn: n % 3 === 0 };
  });
}
