import fs from 'node:fs';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { openStore } from '../../src/engine/index.js';
import { testifyOf, testMachine } from '../support/evidence.js';
import { Child, cleanUp, makeDirectory, type Random, seededRandom } from '../support/processes.js';
import type { ReturnInput } from './children/commit-and-return.mjs';
import { type NativeMode } from './recovered-state.js';
import { requireSerial } from './serial-writers.js';
import { amount, isExhaustive } from '../support/extent.js';

/*
 * Writers that commit without a pause while they are killed, stopped and woken up again, and while
 * the lock file disappears under whoever holds it.
 */

afterEach(cleanUp);

const deeds = Number(
  process.env['SKILLMEAT_LOCK_DEEDS'] ?? amount({ thorough: 24, otherwise: 12 }),
);
/** A writer that was woken up has the machine for itself for so long at most. */
const stoppedMsMax = 25;
const modes: readonly NativeMode[] = ['auto', 'auto', 'off', 'auto'];

/** What a writer may be told that lost its lock file. */
const lostLock = new Set(['STORE_REPLACED', 'FENCED']);

describe.each([
  ['killed and stopped', ['kill', 'stop', 'stop']],
  ['killed, stopped and robbed of their lock file', ['kill', 'stop', 'rob', 'rob while stopped']],
] as const)('writers that are %s', (what, kinds) => {
  test('leave what they acknowledged, one after the other', async () => {
    const native = new Set(modes).size > 1 ? 'both' : 'auto';
    await testifyOf(
      { fault: 'lock torture', operation: `writers ${what}`, on: testMachine, native },
      () => torture(kinds),
    );
  });
});

type Deed = 'kill' | 'stop' | 'rob' | 'rob while stopped';

async function torture(kinds: readonly Deed[]): Promise<number> {
  const random = seededRandom(`writers that suffer ${kinds.join(', ')}`);
  const directory = makeDirectory({ inMemory: !isExhaustive });
  const root = path.join(directory, 'root');
  const until = path.join(directory, 'enough');
  await (await openStore(root, { create: true })).close();
  let started = 0;
  const start = (native: NativeMode): Writer => {
    started += 1;
    const name = `writer-${String(started)}`;
    const input: ReturnInput = { root, native, name, until };
    return { native, child: new Child('commit-and-return.mjs', input) };
  };
  const writers = modes.map((mode) => start(mode));
  const dead: Child[] = [];
  for (let n = 0; n < deeds; n += 1) {
    const kind = kinds[random.below(kinds.length)] ?? 'stop';
    // In between some get through.
    for (let left = random.below(4); left > 0; left -= 1) await nextHolder(writers);
    const writer = await nextHolder(writers);
    await setTimeout(random.below(6));
    await suffer(kind, { root, child: writer.child, random });
    if (kind !== 'kill') continue;
    dead.push(writer.child);
    writers[writers.indexOf(writer)] = start(writer.native);
  }
  fs.writeFileSync(until, '');
  for (const { child } of writers) await child.succeeded();

  const all = [...dead, ...writers.map(({ child }) => child)];
  const failures = all.flatMap((child) => child.said('FAILED'));
  const isRobbed = kinds.includes('rob');
  const committed = await requireSerial(root, { mayRollBack: isRobbed });
  const acknowledged = all.flatMap((child) => child.said('ACK'));
  const codes = failures.map((failure) => failure.split(' ')[0] ?? '');
  const counts = [...new Set(codes)].map(
    (code) => `${code} ${String(codes.filter((one) => one === code).length)}`,
  );
  console.log(
    `${String(deeds)} deeds (${kinds.join(', ')}): ${String(acknowledged.length)} transactions acknowledged, ${String(committed.size)} there; failures: ${counts.join(', ') || 'none'}`,
  );
  const missing = acknowledged.filter((line) => !committed.has(line.split(' ')[1] ?? ''));
  expect(missing).toEqual([]);
  const strange = failures.filter((_, i) => !isRobbed || !lostLock.has(codes[i] ?? ''));
  expect(strange).toEqual([]);
  if (isRobbed) expect(failures.length).toBeGreaterThan(0);
  return deeds;
}

interface Writer {
  readonly native: NativeMode;
  readonly child: Child;
}

/** Waits until one of the writers has the lock in its hands. */
async function nextHolder(writers: readonly Writer[]): Promise<Writer> {
  return Promise.race(
    writers.map(async (writer) => {
      const { child } = writer;
      const isHolding = await child.hears('HOLDING', child.said('HOLDING').length + 1);
      if (!isHolding) await child.succeeded();
      return writer;
    }),
  );
}

async function suffer(
  kind: Deed,
  {
    root,
    child,
    random,
  }: { readonly root: string; readonly child: Child; readonly random: Random },
): Promise<void> {
  const lock = path.join(root, '.skillmeat/lock');
  switch (kind) {
    case 'kill':
      child.signal('SIGKILL');
      await child.ended;
      return;
    case 'rob':
      fs.rmSync(lock, { force: true });
      return;
    case 'stop':
    case 'rob while stopped':
      child.signal('SIGSTOP');
      await child.stopped();
      if (kind === 'rob while stopped') fs.rmSync(lock, { force: true });
      await setTimeout(random.below(stoppedMsMax));
      child.signal('SIGCONT');
  }
}
