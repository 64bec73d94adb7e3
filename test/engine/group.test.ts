import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { EngineErrorCode, Receipt, Store, Transaction } from '../../src/engine/index.js';
import { openDatabase } from '../../src/engine/sqlite.js';
import { costMeter } from '../support/cost.js';
import { faultyFileSystem, systemError, watchedFileSystem } from '../support/faults.js';
import { expectError, modes, type Sandbox, useSandbox } from '../support/store.js';

/*
 * Transactions of one store that wait for the lock together share a flush: what each of them sees, and
 * what becomes of the others when one is refused, fails or waits for something else.
 */

type Act = (tx: Transaction) => unknown;

/** Runs them at once: the first finds the lock free, the others wait together. */
function together(store: Store, acts: readonly Act[]): readonly Promise<Receipt>[] {
  return acts.map((act, n) =>
    store.transact({ message: `transaction ${String(n)}`, sharesFlush: true }, act),
  );
}

/** Adds a line to a file that every transaction of the test writes, and makes a file of its own. */
function adding(name: string): Act {
  return async (tx) => {
    const lines = Buffer.from((await tx.read('manifest')) ?? '').toString();
    await tx.write('manifest', `${lines}${name}\n`);
    await tx.write(`d/${name}`, name);
  };
}

function numbers(count: number): readonly string[] {
  return Array.from({ length: count }, (_, n) => String(n));
}

function codesOf(settled: readonly PromiseSettledResult<unknown>[]): readonly string[] {
  return settled.map((one) =>
    one.status === 'fulfilled' ? 'done' : (one.reason as { code?: EngineErrorCode }).code ?? String(one.reason),
  );
}

function textAt(sandbox: Sandbox, path: string): string {
  const node = sandbox.tree()[path];
  return JSON.stringify(node);
}

const isShared = (mode: string): boolean => mode === 'auto';

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);

  test.for([4, 16])('%i callers that wait together share flushes', async (count) => {
    const meter = costMeter(mode, sandbox.root);
    const store = await sandbox.open({ fileSystem: meter.files });
    await store.transact({}, (tx) => tx.write('manifest', ''));
    const cost = await meter.cost(() => Promise.all(together(store, numbers(count).map(adding))));
    const syncs = /syncfs (\d+)/.exec(cost.flushes)?.[1];
    expect(syncs).toBe(isShared(mode) ? '1' : undefined);
    expect(cost.flushes).toContain(
      isShared(mode) ? `unsynced commit ${String(count)}` : `commit ${String(count)}`,
    );
    const log = (await store.log()).toReversed();
    expect(log.map(({ id }) => id)).toEqual(numbers(count + 1).map((n) => Number(n) + 1));
    expect(textAt(sandbox, 'manifest')).toContain(JSON.stringify(numbers(count).map((n) => `${n}\n`).join('')).slice(1, -1));
  });
});
