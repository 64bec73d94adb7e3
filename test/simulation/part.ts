import * as fc from 'fast-check';
import type { Exploration, Explored } from './exploration.js';
import { Explorer } from './explorer.js';
import { type Profile, profiles } from './profiles.js';
import { Random } from './random.js';
import { Violation } from './violation.js';
import {
  type Action,
  everyOperation,
  type Operation,
  together,
  transaction,
  workload,
} from './workload.js';

/*
 * What one process explores: first its part of the small scope (every operation on every
 * profile, the same with a sync that fails, undone and redone, pairs of operations, some sequences of three), then
 * random workloads until it has seen enough states.
 */

/** With as many states as this, every pair of operations is tried; with fewer, a share of them. */
const statesForEveryPair = 500_000;
/** With as many as this, every operation is tried on every profile; with fewer, a share of them. */
const statesForEverySingle = 50_000;
/** With as many as this, each pair is tried on every profile; with fewer, on one. */
const statesForEveryProfile = 2_000_000;
/** For so many states one sequence of three operations. */
const statesOfTriples = 250;
/** A transaction syncs that often where single files are synced. */
const syncsOfOne = 4;
const statesOfOne = 24;
const statesOfPair = 12;
const statesOfWorkload = 600;
/** Parts see some states twice, each for itself: so many times its share is looked at by each. */
const overlap = 1.01;
const workloadsAtOnce = 5;
/** Progress is told each time so many more were seen. */
const statesToTell = 25_000;

type Arrangement = (operations: readonly Operation[]) => readonly Action[];

/** How operations that follow each other are divided into transactions. */
const arrangements: readonly Arrangement[] = [
  (operations) => [transaction(operations)],
  (operations) => operations.map((one) => transaction([one])),
  // One for each, all at once; two by themselves are followed by one of both.
  (operations) => [
    together(operations.map((one) => [one])),
    ...(operations.length > 2
      ? []
      : [together([...operations, ...operations.toReversed()].map((one) => [one]))]),
  ],
  // The second switch fails, so the first is undone in the living process; then all is done again.
  (operations) => [transaction(operations, { failingSwitch: 2 }), transaction(operations)],
  // The last one is undone, on top of what is not settled yet.
  (operations) => [
    transaction(operations.slice(0, -1)),
    transaction(operations.slice(-1), { failingSwitch: 1 }),
  ],
];

const undoAndRedo: readonly Action[] = [
  { do: 'undo', edits: [] },
  { do: 'redo', edits: [] },
];

/** @returns what was seen, also when something was violated. */
export async function explorePart(exploration: Exploration): Promise<Explored> {
  using explorer = new Explorer();
  return await new Part(exploration, explorer).run();
}

class Part {
  readonly #exploration: Exploration;
  readonly #explorer: Explorer;
  #sequences = 0;
  #workloads = 0;
  #told = 0;

  constructor(exploration: Exploration, explorer: Explorer) {
    this.#exploration = exploration;
    this.#explorer = explorer;
  }

  async run(): Promise<Explored> {
    let violation: string | undefined;
    try {
      await this.#exploreSmallScope();
      await this.#exploreRandomly();
    } catch (error) {
      violation = describe(error);
    }
    const { seenStates, blocked, takenForTorn, violatedOn } = this.#explorer;
    return {
      seen: seenStates.map((seen) => ({ ...seen, hashes: [...seen.hashes] })),
      blocked,
      takenForTorn,
      sequences: this.#sequences,
      workloads: this.#workloads,
      violatedOn: [...violatedOn],
      violation,
    };
  }

  async #exploreSmallScope(): Promise<void> {
    const { seed, states, part, parts } = this.#exploration;
    let turn = 0;
    const exploreOurs = async (
      profile: Profile,
      actions: readonly Action[],
      statesMax: number,
    ): Promise<void> => {
      turn += 1;
      if (turn % parts === part) await this.#exploreSequence(profile, actions, statesMax);
    };
    const everySingle = Math.max(1, Math.ceil(statesForEverySingle / states));
    for (const [at, profile] of profiles.entries()) {
      for (const [n, one] of everyOperation.entries()) {
        if ((n + at) % everySingle !== 0) continue;
        await exploreOurs(profile, [transaction([one])], statesOfOne);
      }
      // One after the other: what comes of a failed sync depends on where it is, not on the operation.
      for (let sync = 1; sync <= syncsOfOne; sync += 1) {
        for (const [n, one] of everyOperation.entries()) {
          if (n % (syncsOfOne * everySingle) !== sync - 1) continue;
          const failing = transaction([one], { failingSync: sync });
          await exploreOurs(profile, [failing, { do: 'reopen' }], statesOfPair);
        }
      }
    }
    for (const [n, one] of everyOperation.entries()) {
      const profile = profiles[n % profiles.length];
      if (profile === undefined) continue;
      await exploreOurs(profile, [transaction([one]), ...undoAndRedo], statesOfOne);
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

  async #exploreSequence(
    profile: Profile,
    actions: readonly Action[],
    statesMax: number,
  ): Promise<void> {
    this.#sequences += 1;
    this.#tellProgress();
    const given = { actions, seed: this.#exploration.seed + this.#sequences };
    try {
      await this.#explorer.explore(profile, given, statesMax);
    } catch (error) {
      const message = `after ${JSON.stringify({ profile: profile.name, ...given })}`;
      throw new Error(message, { cause: error });
    }
  }

  /** A run that hangs, or is stopped by a limit of its host, has said how far it was. */
  #tellProgress(): void {
    const { size } = this.#explorer.seen;
    if (size - this.#told < statesToTell) return;
    this.#told = size;
    const { part, parts } = this.#exploration;
    console.error(
      `part ${String(part + 1)} of ${String(parts)}: ${String(size)} states of ` +
        `${String(this.#sequences)} sequences and ${String(this.#workloads)} random workloads`,
    );
  }

  async #exploreRandomly(): Promise<void> {
    const { seed, states, part, parts } = this.#exploration;
    const profile = fc.constantFrom(...profiles).map(named);
    const property = fc.asyncProperty(profile, workload, async (on, given) => {
      this.#workloads += 1;
      this.#tellProgress();
      await this.#explorer.explore(on, given, statesOfWorkload);
    });
    for (let round = 0; this.#explorer.seen.size < (states / parts) * overlap; round += 1) {
      const parameters = { numRuns: workloadsAtOnce, seed: seed + part + round * parts };
      try {
        await fc.assert(property, parameters);
      } catch (error) {
        throw new Error(`random workloads of seed ${String(parameters.seed)}`, { cause: error });
      }
    }
  }
}

function arrange(operations: readonly Operation[], number: number): readonly Action[] {
  return arrangements[number % arrangements.length]?.(operations) ?? [];
}

/** As fast-check shall print it. */
function named(profile: Profile): Profile {
  return Object.assign(profile, { [fc.toStringMethod]: () => profile.name });
}

/** In its first line, which is all that the end of a long log shows: what is wrong, and where it was. */
function describe(error: unknown): string {
  const chain: Error[] = [];
  for (let at = error; at instanceof Error; at = at.cause) chain.push(at);
  const what = chain.find((one) => one instanceof Violation) ?? chain.at(-1);
  const [line = ''] = (what?.message ?? String(error)).split('\n', 1);
  return [
    `${line}; ${chain[0]?.message ?? ''}`,
    ...chain.map(({ stack = '' }) => `because ${stack}`),
  ].join('\n');
}
