import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { isEngineError, openStore, type Store } from '../../src/engine/index.js';
import { NodeFileSystem } from '../../src/engine/node-file-system.js';
import { cleanUp, describeTree, describeWrites, removeDirectory } from '../support/processes.js';
import { transactions } from './children/transactions.mjs';
import { watchFileSystem } from './children/watched-file-system.mjs';
import {
  expectedTrees,
  makeStore,
  type NativeMode,
  nativeModes,
  requireRecovered,
} from './recovered-state.js';
import { testifyOfEachTest, testMachine } from '../support/evidence.js';
import { isExhaustive } from '../support/extent.js';

/*
 * Somebody copies the whole root, engine directory included, in the middle of a transaction: the
 * copy finishes it or undoes it by itself, and the original does not notice. Or somebody deletes the
 * engine directory: then nothing more happens, and the error says why.
 */

afterEach(cleanUp);

/** Every so many calls of the first two transactions; the copy of each must be recovered. */
const step = isExhaustive ? 1 : 7;
const deleteStep = isExhaustive ? 1 : 4;

describe.each(nativeModes)('native %s', (native) => {
  testifyOfEachTest({
    fault: 'odd place',
    operation: 'copied or deleted under way',
    on: testMachine,
    native,
  });

  test('a root that is copied with a transaction under way recovers alone', async () => {
    const expected = await expectedTrees();
    const { root, source, directory } = await makeStore(native);
    const copies: { readonly at: string; readonly call: string; readonly done: number }[] = [];
    let calls = 0;
    let done = 0;
    const fileSystem = watchFileSystem(new NodeFileSystem({ native }), (name, call) => {
      calls += 1;
      if (calls % step === 0) {
        const at = path.join(directory, `copy-${String(calls)}`);
        // By another process: closing a file of the journal in this one drops SQLite's locks.
        execFileSync('cp', ['-a', root, at]);
        copies.push({ at, call: `${name} (${String(calls)})`, done });
      }
      return call();
    });
    const store = await openStore(root, { fileSystem });
    for (const transaction of transactions.slice(0, 2)) {
      await store.transact({}, (tx) => transaction(tx, source));
      done += 1;
    }
    const writes = describeWrites(root);
    for (const { at, call, done: doneBefore } of copies) {
      await expect(openStore(at, { native }), call).rejects.toMatchObject({
        code: 'STORE_DETACHED',
      });
      // The holder of the original's lock is alive, and does not hold this one.
      const { tree, log } = await requireRecovered(at, { native, adopt: true, lockWaitMs: 0 });
      expect(log.length, call).toBeGreaterThanOrEqual(doneBefore);
      const now = log.filter(({ state }) => state !== 'rolled-back').length;
      expect(tree, call).toEqual(expected[now]);
      removeDirectory(at);
    }
    expect(describeWrites(root)).toEqual(writes);
    expect(describeTree(root)).toEqual(expected[2]);
    await store.transact({ lockWaitMs: 0 }, (tx) => tx.write('more.txt', 'more'));
    await store.close();
    console.log(`copied at ${String(copies.length)} of ${String(calls)} calls, native ${native}`);
    expect(copies.length).toBeGreaterThan(5);
  });

  test('a store that is deleted with a transaction under way stops, and makes nothing anew', async () => {
    const expected = await expectedTrees();
    const outcomes: string[] = [];
    for (let at = 1; outcomes.at(-1) !== 'not deleted'; at += deleteStep) {
      outcomes.push(await deleteAt(native, at, expected));
    }
    const counts = [...new Set(outcomes)].map(
      (outcome) => `${outcome} ${String(outcomes.filter((one) => one === outcome).length)}`,
    );
    console.log(`deleted while open, native ${native}: ${counts.join(', ')}`);
    expect(outcomes).toContain('before the commit');
    expect(outcomes).toContain('after the commit');
  });
});

/** Deletes the engine directory at a call of a transaction. @returns when that was. */
async function deleteAt(
  native: NativeMode,
  at: number,
  [before, after]: readonly (readonly string[])[],
): Promise<string> {
  const { root, source, directory } = await makeStore(native);
  const own = path.join(root, '.skillmeat');
  let callsLeft = Number.POSITIVE_INFINITY;
  const fileSystem = watchFileSystem(new NodeFileSystem({ native }), (_, call) => {
    callsLeft -= 1;
    if (callsLeft === 0) fs.rmSync(own, { recursive: true });
    return call();
  });
  const store = await openStore(root, { fileSystem });
  callsLeft = at;
  const failure = await failureOf(store.transact({}, (tx) => transactions[0]?.(tx, source)));
  callsLeft = Number.POSITIVE_INFINITY;
  const isDeleted = !fs.existsSync(own);
  const tree = describeTree(root);
  if (isDeleted) await requireStopped(store, root);
  await store.close();
  removeDirectory(directory);
  if (!isDeleted) return 'not deleted';
  if (failure === undefined) {
    // It was only on its way out.
    expect(tree).toEqual(after);
    return 'acknowledged';
  }
  expect(failure).toMatchObject({ code: 'STORE_REPLACED', hint: expect.any(String) });
  // I1 cannot be kept without the journal; then the error says so.
  if (String(failure).includes('is committed, but before all of it was applied')) {
    return 'after the commit';
  }
  expect(tree, String(failure)).toEqual(before);
  return 'before the commit';
}

/** Whatever is asked of a store that was deleted, it makes nothing in its place. */
async function requireStopped(store: Store, root: string): Promise<void> {
  const next = await failureOf(store.transact({}, (tx) => tx.write('next', 'x')));
  expect(isEngineError(next, 'STORE_POISONED', 'STORE_REPLACED'), String(next)).toBe(true);
  const opened = await failureOf(openStore(root));
  expect(opened).toMatchObject({ code: 'STORE_NOT_FOUND' });
  expect(fs.existsSync(path.join(root, '.skillmeat'))).toBe(false);
}

async function failureOf(act: Promise<unknown>): Promise<Error | undefined> {
  try {
    await act;
    return undefined;
  } catch (error) {
    if (error instanceof Error) return error;
    throw error;
  }
}
