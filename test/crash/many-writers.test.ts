import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { type Evidence, type Fault, testifyOf, testMachine } from '../support/evidence.js';
import { Child, cleanUp, makeDirectory, seededRandom } from '../support/processes.js';
import type { CommitInput } from './children/commit-in-turn.mjs';
import type { NativeMode } from './recovered-state.js';
import { amount } from '../support/extent.js';
import { requireSerial } from './serial-writers.js';

/*
 * Processes that commit to one root at once, each transaction reading what the others left: the
 * counter, the shared manifest and the log must tell the same serial story.
 */

afterEach(cleanUp);

/** Of each writer. */
const many = amount({ thorough: 200, otherwise: 5 });
/** Of each where some are without the native part, which take longer. */
const mixed = amount({ thorough: 25, otherwise: 5 });

test('8 processes with many transactions each leave all of them, one after the other', async () => {
  const committed = await commitAtOnce(repeat(8, 'auto'), many);
  console.log(`many writers: ${String(committed)} transactions of 8 processes, all there`);
});

test('processes with and without the native part exclude each other', async () => {
  const modes = [...repeat(4, 'auto'), ...repeat(4, 'off')];
  await commitAtOnce(modes, mixed);
});

test.each<[string, readonly NativeMode[], number]>([
  ['8 native processes', repeat(8, 'auto'), many],
  ['8 processes of both kinds', [...repeat(4, 'auto'), ...repeat(4, 'off')], mixed],
])('killing a third of %s loses nothing acknowledged and blocks nobody', async (_, modes, each) => {
  await testifyOf(about('killed among other writers', modes), () => killAThird(modes, each));
});

/** @returns how many transactions there are afterwards. */
async function commitAtOnce(modes: readonly NativeMode[], count: number): Promise<number> {
  let size = 0;
  await testifyOf(about('many writers at once', modes), async () => {
    const { root, writers } = await startWriters(modes, count);
    for (const { child } of writers) await child.succeeded();
    const committed = await requireSerial(root);
    expect(committed).toEqual(new Set(writers.flatMap(({ all }) => all)));
    ({ size } = committed);
    return size;
  });
  return size;
}

function about(
  fault: Fault,
  modes: readonly NativeMode[],
): Omit<Evidence, 'states' | 'violations'> {
  const [native = 'auto'] = modes;
  return {
    fault,
    on: testMachine,
    native: new Set(modes).size > 1 ? 'both' : native,
    note: 'states are transactions',
  };
}

/** @returns how many transactions there are afterwards. */
async function killAThird(modes: readonly NativeMode[], count: number): Promise<number> {
  const random = seededRandom(`killing a third of ${String(modes.length)} writers`);
  const { root, writers } = await startWriters(modes, count);
  const shuffled = writers
    .map((writer) => ({ writer, order: random.below(1_000_000) }))
    .toSorted((a, b) => a.order - b.order)
    .map(({ writer }) => writer);
  const victims = shuffled.slice(0, Math.round(writers.length / 3));
  // Most die with the lock in their hands, some while they wait for it.
  const moments = victims.map((writer) => ({
    writer,
    transaction: 1 + random.below(count - 1),
    laterMs: random.below(5),
  }));
  await Promise.all(
    moments.map(async ({ writer, transaction, laterMs }) => {
      await writer.child.hears('HOLDING', transaction);
      if (laterMs > 0) await setTimeout(laterMs - 1);
      writer.child.signal('SIGKILL');
    }),
  );
  for (const { child } of writers) {
    if (!victims.some((victim) => victim.child === child)) await child.succeeded();
  }
  const ends = await Promise.all(victims.map(({ child }) => child.ended));
  const killed = ends.filter(({ signal }) => signal === 'SIGKILL').length;
  const committed = await requireSerial(root);
  const acknowledged = writers.flatMap(({ child }) => child.said('ACK'));
  for (const line of acknowledged) expect(committed).toContain(line.split(' ')[1]);
  // Each victim may have had one more on its way.
  expect(committed.size - acknowledged.length).toBeLessThanOrEqual(killed);
  console.log(
    `killed ${String(killed)} of ${String(writers.length)} writers: ${String(acknowledged.length)} transactions acknowledged, ${String(committed.size)} there`,
  );
  return committed.size;
}

interface Writer {
  readonly child: Child;
  /** Own names of all the transactions that it is told to make. */
  readonly all: readonly string[];
}

/** Starts a writer for each mode, and lets them go once all of them have opened the store. */
async function startWriters(
  modes: readonly NativeMode[],
  count: number,
): Promise<{ readonly root: string; readonly writers: readonly Writer[] }> {
  const root = path.join(makeDirectory(), 'root');
  const writers = modes.map((native, i): Writer => {
    const name = `writer-${String(i + 1)}`;
    const input: CommitInput = { root, native, name, count, waits: true };
    const all = Array.from({ length: count }, (_, n) => `${name}/${String(n + 1)}`);
    return { child: new Child('commit-in-turn.mjs', input), all };
  });
  for (const { child } of writers) {
    if (!(await child.hears('READY'))) await child.succeeded();
  }
  for (const { child } of writers) child.tell('');
  return { root, writers };
}

function repeat(times: number, native: NativeMode): readonly NativeMode[] {
  return Array.from({ length: times }, () => native);
}
