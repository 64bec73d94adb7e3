import * as fc from 'fast-check';
import { checksumReady } from '../../src/engine/hash.js';
import type { Exploration, Explored } from './exploration.js';
import { Explorer } from './explorer.js';
import { type Profile, profiles } from './profiles.js';
import { type Action, everyOperation, type Operation, workload } from './workload.js';

/*
 * One process of an exploration: first its part of the small scope (every operation on every
 * profile, each undone and redone, then pairs of operations), then random workloads until it has seen enough states.
 */

/** With as many states as this, every pair of operations is tried; with fewer, a share of them. */
const statesForEveryPair = 500_000;
const statesOfOne = 24;
const statesOfPair = 12;
const statesOfUndo = 24;
const statesOfWorkload = 600;
const workloadsAtOnce = 5;

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
  seen: [...explorer.seen],
  recoveriesCrashed: explorer.recoveriesCrashed,
  blocked: explorer.blocked,
  sequences,
  workloads,
  violation,
};
process.send?.(explored);

async function exploreSmallScope(): Promise<void> {
  let turn = 0;
  const isOurs = (): boolean => {
    turn += 1;
    return turn % parts === part;
  };
  for (const profile of profiles) {
    for (const one of everyOperation) {
      if (isOurs()) await exploreSequence(profile, [transaction([one])], statesOfOne);
    }
  }
  for (const [n, one] of everyOperation.entries()) {
    const profile = profiles[n % profiles.length];
    if (profile === undefined || !isOurs()) continue;
    const undo = { do: 'undo', edits: [] } as const;
    const redo = { do: 'redo', edits: [] } as const;
    await exploreSequence(profile, [transaction([one]), undo, redo], statesOfUndo);
  }
  const every = Math.max(1, Math.ceil(statesForEveryPair / states));
  for (const [n, one] of everyOperation.entries()) {
    for (const [m, other] of everyOperation.entries()) {
      const number = n * everyOperation.length + m;
      if ((number + seed) % every !== 0 || !isOurs()) continue;
      const profile = profiles[(n + m) % profiles.length];
      if (profile === undefined) continue;
      // One transaction or two, in turn: both in the next row of pairs.
      const isOne = (n + m) % 2 === 0;
      const actions = isOne
        ? [transaction([one, other])]
        : [transaction([one]), transaction([other])];
      await exploreSequence(profile, actions, statesOfPair);
    }
  }
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

function transaction(operations: readonly Operation[]): Action {
  return { do: 'transact', operations, edits: [], failingSwitch: 0, held: undefined };
}

function causes(error: Error): string {
  const { cause } = error;
  return cause instanceof Error ? `because ${cause.stack ?? ''}\n${causes(cause)}` : '';
}
