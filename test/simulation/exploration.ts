import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { argumentsFor } from '../support/programs.js';
import type { CrashKind, SeenStates } from './explorer.js';
import { explorePart } from './part.js';

/** What one process explores; it does its part of the sequences, and its share of the states. */
export interface Exploration {
  readonly seed: number;
  /** Different states to see at least. */
  readonly states: number;
  readonly part: number;
  readonly parts: number;
}

export interface Explored {
  readonly seen: readonly SeenHashes[];
  readonly blocked: number;
  /** States that showed the open limit of the one flush; see the oracle. */
  readonly takenForTorn: number;
  /** Sequences of one, two and three operations, and random workloads. */
  readonly sequences: number;
  readonly workloads: number;
  /** Names of the profiles on which something was violated. */
  readonly violatedOn: readonly string[];
  /** What was violated, with what is needed to see it again. */
  readonly violation: string | undefined;
}

/** How many different states crashes of one kind left on a profile. */
type CountOf = (profile: string, crashed: CrashKind) => number;

/** {@link SeenStates}, as it goes from process to process. */
interface SeenHashes extends Omit<SeenStates, 'hashes'> {
  readonly hashes: readonly string[];
}

/** Explores in so many processes, or, with none, in this one, where a coverage tool sees it. */
export async function explore(
  given: Pick<Exploration, 'seed' | 'states'>,
  processes: number,
): Promise<Explored & { readonly count: number; readonly countOf: CountOf }> {
  const parts = Array.from({ length: processes }, (_, part) =>
    exploreIn({ ...given, part, parts: processes }),
  );
  const explored =
    processes === 0
      ? [await explorePart({ ...given, part: 0, parts: 1 })]
      : await Promise.all(parts);
  const sum = (of: (one: Explored) => number): number =>
    explored.reduce((total, one) => total + of(one), 0);
  const seen = explored.flatMap((one) => one.seen);
  return {
    seen,
    count: countDifferent(seen),
    countOf: (profile, crashed) =>
      countDifferent(seen.filter((one) => one.profile === profile && one.crashed === crashed)),
    blocked: sum((one) => one.blocked),
    takenForTorn: sum((one) => one.takenForTorn),
    sequences: sum((one) => one.sequences),
    workloads: sum((one) => one.workloads),
    violatedOn: explored.flatMap((one) => one.violatedOn),
    violation: explored.find((one) => one.violation !== undefined)?.violation,
  };
}

/** Two processes may come to the same state. */
function countDifferent(seen: readonly SeenHashes[]): number {
  return new Set(seen.flatMap(({ hashes }) => hashes)).size;
}

async function exploreIn(exploration: Exploration): Promise<Explored> {
  const script = fileURLToPath(new URL('explore-child.ts', import.meta.url));
  const program = [...argumentsFor(script), JSON.stringify(exploration)];
  const child = spawn(process.execPath, program, {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const ended = once(child, 'exit');
  let explored: Explored | undefined;
  child.on('message', (message) => {
    explored = message as Explored;
  });
  await ended;
  if (explored === undefined) throw new Error('an exploring process died');
  return explored;
}
