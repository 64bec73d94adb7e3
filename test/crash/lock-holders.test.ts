import fs from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { openStore, type TransactionRecord } from '../../src/engine/index.js';
import { Child, cleanUp, describeTree, inParallel, removeDirectory } from '../support/processes.js';
import type { RunInput, RunReport } from './children/run-and-die.mjs';
import {
  firstFew,
  makeStore,
  type NativeMode,
  nativeModes,
  type Place,
  requireChain,
} from './recovered-state.js';
import { testify, testMachine } from '../support/evidence.js';
import { sampled } from '../support/extent.js';

/*
 * Holders of the lock that die, and holders that stand still while somebody removes their lock
 * file and another process takes over.
 */

afterEach(cleanUp);

describe.each(nativeModes)('native %s', (native) => {
  test('the lock of a dead holder is free at once', async () => {
    for (const other of nativeModes) {
      const { root } = await makeStore(native);
      const holder = new Child('commit-in-turn.mjs', { root, native, name: 'holder', count: 1e6 });
      await holder.hears('HOLDING', 3);
      holder.signal('SIGKILL');
      await holder.ended;
      // No time to wait at all: one look must be enough.
      await using store = await openStore(root, { native: other, lockWaitMs: 0 });
      const { head } = await store.status();
      expect(head).toBeGreaterThanOrEqual(2);
      const receipt = await store.transact({ lockWaitMs: 0 }, (tx) => tx.write('next', 'here'));
      expect(receipt.transaction?.id).toBe(head + 1);
    }
  });

  test('a holder that stands still keeps the lock, and goes on when it may', async () => {
    const place = await makeStore(native);
    const holder = await standStill(place, { native, run: [0, 1] }, { of: 'createFile', at: 2 });
    for (const other of nativeModes) {
      await using store = await openStore(place.root, { native: other, recover: 'never' });
      const commit = store.transact({ lockWaitMs: 20 }, (tx) => tx.write('other', other));
      await expect(commit).rejects.toMatchObject({
        code: 'STORE_LOCKED',
        message: expect.stringContaining(`process ${String(holder.pid)} `),
      });
    }
    holder.signal('SIGCONT');
    await holder.succeeded();
    expect(holder.said('ACK')).toEqual(['0', '1']);
  });

  test('a holder that lost its lock file while it stood still changes nothing behind the next', async () => {
    const input = { native, run: [0] } as const;
    const { calls } = await countCalls(await makeStore(native), input);
    const all = Array.from({ length: calls.length }, (_, i) => i + 1);
    const stops = sampled(all, 24);
    const failures: string[] = [];
    const outcomes = await inParallel(
      stops,
      async (at) => {
        const place = await makeStore(native);
        try {
          return await takeOverWhileItStands(place, { ...input, at });
        } catch (error) {
          failures.push(`stopped before ${calls[at - 1] ?? ''} (${String(at)}): ${String(error)}`);
          return 'failed';
        } finally {
          removeDirectory(place.directory);
        }
      },
      4,
    );
    const counts = [...new Set(outcomes)].map(
      (outcome) => `${outcome} ${String(outcomes.filter((one) => one === outcome).length)}`,
    );
    console.log(
      `stopped at ${String(stops.length)} of ${String(all.length)} calls, native ${native}: ${counts.join(', ')}`,
    );
    testify({
      fault: 'lock torture',
      operation: 'a holder that lost its lock file',
      on: testMachine,
      native,
      states: stops.length,
      violations: failures.length,
    });
    expect(firstFew(failures)).toEqual([]);
  });

  test('a holder that lost its lock file does not say that the next one is done', async () => {
    const input = { native, run: [0] } as const;
    const base = describeTree((await makeStore(native)).root);
    const { calls, phases } = await countCalls(await makeStore(native), input);
    const applied = phases['applied 1'] ?? 0;
    // Where it stands still: while it stages, and when all is done but its note in `owner`.
    for (const at of [calls.indexOf('createFile') + 2, applied]) {
      const place = await makeStore(native);
      const stale = await standStill(place, input, { at, when: 'after' });
      fs.rmSync(path.join(place.root, '.skillmeat', 'lock'));
      const next = await standStill(place, { native, run: [1] }, { of: 'exchange', at: 2 });
      stale.signal('SIGCONT');
      await stale.ended;
      next.signal('SIGKILL');
      await next.ended;

      await using store = await openStore(place.root, { native, lockWaitMs: 0 });
      const log = (await store.log()).toReversed();
      const records = await Promise.all(log.map(({ id }) => store.show(id ?? 0)));
      expect(records.map(({ message }) => message)).toContain('transaction 1');
      requireTold(base, describeTree(place.root), records);
    }
  });
});

type Input = Omit<RunInput, 'root' | 'source'>;

async function countCalls(place: Place, input: Input): Promise<RunReport> {
  const child = new Child('run-and-die.mjs', { ...place, ...input });
  await child.succeeded();
  return JSON.parse(child.said('REPORT')[0] ?? '') as RunReport;
}

/** Starts a run that stops itself, right before a call if not told otherwise; waits until it stands. */
async function standStill(
  place: Place,
  input: Input,
  where: Partial<NonNullable<RunInput['die']>> & { readonly at: number },
): Promise<Child> {
  const die = { when: 'before', ...where, signal: 'SIGSTOP' } as const;
  const child = new Child('run-and-die.mjs', { ...place, ...input, die });
  expect(await child.hears('AT')).toBe(true);
  await child.stopped();
  return child;
}

/** @returns how the transaction of the process that stood still ended. */
async function takeOverWhileItStands(
  place: Place,
  {
    native,
    run,
    at,
  }: { readonly native: NativeMode; readonly run: readonly number[]; readonly at: number },
): Promise<string> {
  const { root } = place;
  const base = describeTree(root);
  const stale = await standStill(place, { native, run }, { at });
  fs.rmSync(path.join(root, '.skillmeat', 'lock'), { force: true });
  const hasJournal = stale.said('AT')[0] === 'journal COMMIT';
  const other = hasJournal ? undefined : await commitOther(root, native);
  if (hasJournal) await requireKeptOut(root, native);

  stale.signal('SIGCONT');
  const end = await stale.ended;
  await using store = await openStore(root, { native, lockWaitMs: 0 });
  const log = (await store.log()).toReversed();
  const records = await Promise.all(log.map(({ id }) => store.show(id ?? 0)));
  const { troubled } = await store.status();
  expect(troubled).toEqual([]);
  expect(requireChain(root)).toBe(log.length);
  requireTold(base, describeTree(root), records);
  const done = records.filter(({ state }) => state !== 'rolled-back');
  const isOtherDone = done.some(({ uuid }) => uuid === other);
  expect(isOtherDone).toBe(!hasJournal);
  const isDone = done.some(({ message }) => message === 'transaction 0');
  const isAcknowledged = stale.said('ACK').length > 0;
  expect({ isAcknowledged, isDone }).not.toEqual({ isAcknowledged: true, isDone: false });
  // Where it could not even open, the error says why.
  const [, failure] = /\b(STORE_\w+|FENCED)\b/.exec(end.errors) ?? [];
  const outcome = isAcknowledged ? 'acknowledged' : stale.said('FAILED')[0]?.split(' ')[0];
  expect(outcome ?? failure).toBeDefined();
  return `${outcome ?? failure ?? ''}${isDone ? ' and done' : ''}`;
}

/** @returns the UUID of the transaction. */
async function commitOther(root: string, native: NativeMode): Promise<string> {
  await using store = await openStore(root, { native, lockWaitMs: 0 });
  const { transaction } = await store.transact({ message: 'other' }, async (tx) => {
    const seen = Buffer.from((await tx.read('b.txt')) ?? '').toString();
    await tx.write('b.txt', `after ${seen}`);
    await tx.write('other.txt', 'of the other process');
  });
  return String(transaction?.uuid);
}

/** Who stands still in the middle of a commit has SQLite's own lock, which nobody can remove. */
async function requireKeptOut(root: string, native: NativeMode): Promise<void> {
  // In a process of its own, because SQLite waits without letting anything else run.
  const child = new Child('commit-in-turn.mjs', { root, native, name: 'other', count: 1 });
  const { code, errors } = await child.ended;
  expect(code).toBe(1);
  expect(errors).toContain("code: 'STORE_LOCKED'");
}

/** The tree is what the transactions in the log say, and each began where the one before ended. */
function requireTold(
  base: readonly string[],
  found: readonly string[],
  records: readonly TransactionRecord[],
): void {
  const tree = new Map(base.map((line) => splitLine(line)));
  for (const { id, state, changes, superseded } of records) {
    expect(superseded).toEqual([]);
    if (state === 'rolled-back') continue;
    for (const { path: at, before, after } of changes) {
      const image = tree.get(at) ?? 'absent';
      expect({ id, at, image }).toEqual({ id, at, image: describeImage(before) });
      if (after.kind === 'absent') tree.delete(at);
      else tree.set(at, describeImage(after));
    }
  }
  expect(new Map(found.map((line) => splitLine(line)))).toEqual(tree);
}

function splitLine(line: string): readonly [string, string] {
  const space = line.indexOf(' ');
  return [line.slice(0, space), line.slice(space + 1)];
}

function describeImage(image: TransactionRecord['changes'][number]['after']): string {
  switch (image.kind) {
    case 'absent':
      return 'absent';
    case 'file':
      return `file ${image.mode.toString(8)} ${image.sha256}`;
    case 'directory':
      return `directory ${image.mode.toString(8)}`;
    case 'symlink':
      return `symlink ${image.target}`;
  }
}
