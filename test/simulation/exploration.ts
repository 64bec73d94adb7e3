import { once } from 'node:events';
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** What one process explores; it does its part of the sequences, and its share of the states. */
export interface Exploration {
  readonly seed: number;
  /** Different states to see at least. */
  readonly states: number;
  readonly part: number;
  readonly parts: number;
}

export interface Explored {
  /** Hashes of the different states. */
  readonly seen: readonly string[];
  readonly recoveriesCrashed: number;
  readonly blocked: number;
  /** Sequences of one and of two operations, and random workloads. */
  readonly sequences: number;
  readonly workloads: number;
  /** What was violated, with what is needed to see it again. */
  readonly violation: string | undefined;
}

/** Explores in as many processes as there are parts. */
export async function explore(
  given: Omit<Exploration, 'part'>,
): Promise<Explored & { readonly count: number }> {
  const parts = Array.from({ length: given.parts }, (_, part) => exploreIn({ ...given, part }));
  const explored = await Promise.all(parts);
  const sum = (of: (one: Explored) => number): number =>
    explored.reduce((total, one) => total + of(one), 0);
  const seen = new Set(explored.flatMap((one) => one.seen));
  return {
    seen: [...seen],
    count: seen.size,
    recoveriesCrashed: sum((one) => one.recoveriesCrashed),
    blocked: sum((one) => one.blocked),
    sequences: sum((one) => one.sequences),
    workloads: sum((one) => one.workloads),
    violation: explored.find((one) => one.violation !== undefined)?.violation,
  };
}

async function exploreIn(exploration: Exploration): Promise<Explored> {
  const child = fork(
    fileURLToPath(new URL('explore-child.ts', import.meta.url)),
    [JSON.stringify(exploration)],
    { execArgv: ['--import', 'tsx'] },
  );
  const ended = once(child, 'exit');
  let explored: Explored | undefined;
  child.on('message', (message) => {
    explored = message as Explored;
  });
  await ended;
  if (explored === undefined) throw new Error('an exploring process died');
  return explored;
}
