import * as fc from 'fast-check';
import { checksumReady } from '../../src/engine/hash.js';
import type { Exploration, Explored } from './exploration.js';
import { Explorer } from './explorer.js';
import { type Profile, profiles } from './profiles.js';
import { Random } from './random.js';
import {
  type Action,
  everyOperation,
  type Operation,
  type Transact,
  workload,
} from './workload.js';

/*
 * One process of an exploration: first its part of the small scope (every operation on every
 * profile, the same with a sync that fails, pairs of operations, some sequences of three), then
 * random workloads until it has seen enough states.
 */

/** With as many states as this, every pair of operations is tried; with fewer, a share of them. */
const statesForEveryPair = 500_000;
/** With as many, each pair is tried on every profile; with fewer, on one. */
const statesForEveryProfile = 2_000_000;
/** For so many states one sequence of three operations. */
const statesOfTriples = 250;
/** A transaction syncs that often where single files are synced. */
const syncsOfOne = 4;
const statesOfOne = 24;
const statesOfPair = 12;
const statesOfWorkload = 600;
const workloadsAtOnce = 5;

type Arrangement = (operations: readonly Operation[]) => readonly Action[];

/** How operations that follow each other are divided into transactions. */
const arrangements: readonly Arrangement[] = [
  (operations) => [transaction(operations)],
  (operations) => operations.map((one) => transaction([one])),
  // The second switch fails, so the first is undone in the living process; then all is done again.
  (operations) => [transaction(operations, { failingSwitch: 2 }), transaction(operations)],
  // The last one is undone, on top of what is not settled yet.
  (operations) => [
    transaction(operations.slice(0, -1)),
    transaction(operations.slice(-1), { failingSwitch: 1 }),
  ],
];

const exploration = JSON.parse(process.argv[2] ?? '') as Exploration;
const { seed, states, part, parts } = exploration;
const target = states / parts;
let sequences = 0;
let workloads = 0;

await checksumReady;
using explorer = new Explorer();
let violation: string | undefined;
try {
  await exploreSmallScope();
  await exploreRandomly();
} catch (error) {
  violation = error instanceof Error ? `${error.message}\n${causes(error)}` : String(error);
}
const explored: Explored = {
  seen: explorer.seenStates.map((seen) => ({ ...seen, hashes: [...seen.hashes] })),
  blocked: explorer.blocked,
  sequences,
  workloads,
  violatedOn: [...explorer.violatedOn],
  violation,
};
process.send?.(explored);

async function exploreSmallScope(): Promise<void> {
  let turn = 0;
  const exploreOurs = async (
    profile: Profile,
    actions: readonly Action[],
    statesMax: number,
  ): Promise<void> => {
    turn += 1;
    if (turn % parts === part) await exploreSequence(profile, actions, statesMax);
  };
  for (const profile of profiles) {
    for (const one of everyOperation) {
      await exploreOurs(profile, [transaction([one])], statesOfOne);
    }
    // One after the other: what comes of a failed sync depends on where it is, not on the operation.
    for (let sync = 1; sync <= syncsOfOne; sync += 1) {
      for (const [n, one] of everyOperation.entries()) {
        if (n % syncsOfOne !== sync - 1) continue;
        const failing = transaction([one], { failingSync: sync });
        await exploreOurs(profile, [failing, { do: 'reopen' }], statesOfPair);
      }
    }
  }
  const every = Math.max(1, Math.ceil(statesForEveryPair / states));
  for (const [n, one] of everyOperation.entries()) {
    for (const [m, other] of everyOperation.entries()) {
      const number = n * everyOperation.length + m;
      if ((number + seed) % every !== 0) continue;
      for (const [at, profile] of profiles.entries()) {
        if (states < statesForEveryProfile && at !== (n + m) % profiles.length) continue;
        await exploreOurs(profile, arrange([one, other], at + m), statesOfPair);
      }
    }
  }
  const random = new Random(seed);
  for (let n = 0; n < states / statesOfTriples; n += 1) {
    const [one, other, third] = [1, 2, 3].map(() => random.pick(everyOperation));
    const profile = random.pick(profiles);
    const arrangement = random.below(arrangements.length);
    if (one === undefined || other === undefined || third === undefined) continue;
    if (profile === undefined) continue;
    await exploreOurs(profile, arrange([one, other, third], arrangement), statesOfPair);
  }
}

function arrange(operations: readonly Operation[], number: number): readonly Action[] {
  return arrangements[number % arrangements.length]?.(operations) ?? [];
}

async function exploreSequence(
  profile: Profile,
  actions: readonly Action[],
  statesMax: number,
): Promise<void> {
  sequences += 1;
  const given = { actions, seed: seed + sequences };
  try {
    await explorer.explore(profile, given, statesMax);
  } catch (error) {
    const message = `after ${JSON.stringify({ profile: profile.name, ...given })}`;
    throw new Error(message, { cause: error });
  }
}

async function exploreRandomly(): Promise<void> {
  const profile = fc.constantFrom(...profiles).map(named);
  for (let round = 0; explorer.seen.size < target; round += 1) {
    await fc.assert(
      fc.asyncProperty(profile, workload, async (on, given) => {
        workloads += 1;
        await explorer.explore(on, given, statesOfWorkload);
      }),
      { numRuns: workloadsAtOnce, seed: seed + part + round * parts },
    );
  }
}

/** As fast-check shall print it. */
function named(profile: Profile): Profile {
  return Object.assign(profile, { [fc.toStringMethod]: () => profile.name });
}

function transaction(
  operations: readonly Operation[],
  fails: Partial<Pick<Transact, 'failingSwitch' | 'failingSync'>> = {},
): Action {
  return {
    do: 'transact',
    operations,
    edits: [],
    failingSwitch: 0,
    failingSync: 0,
    held: undefined,
    ...fails,
  };
}

function causes(error: Error): string {
  const { cause } = error;
  return cause instanceof Error ? `because ${cause.stack ?? ''}\n${causes(cause)}` : '';
}
