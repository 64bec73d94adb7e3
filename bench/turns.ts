import { spreadOf, timed } from './measure.js';
import type { Point } from './question.js';

/** One way to do the same. */
export interface Side {
  readonly series: string;
  readonly x: number;
  /** Returns what is measured. */
  readonly prepare: (round: number) => (() => unknown) | Promise<() => unknown>;
}

interface Turns {
  readonly rounds: number;
  readonly warmUpRounds: number;
  /** Called ahead of each turn: nobody pays for what another one left unwritten. */
  readonly flush: () => void;
}

/** Lets all sides take turns, each beginning as often as the others. The points are milliseconds. */
export async function takeTurns(
  sides: readonly Side[],
  { rounds, warmUpRounds, flush }: Turns,
): Promise<readonly Point[]> {
  const times = new Map<Side, number[]>(sides.map((side) => [side, []]));
  for (let round = 0; round < warmUpRounds + rounds; round += 1) {
    const first = round % sides.length;
    for (const side of [...sides.slice(first), ...sides.slice(0, first)]) {
      const act = await side.prepare(round);
      flush();
      const time = await timed(act);
      if (round >= warmUpRounds) times.get(side)?.push(time);
    }
  }
  return [...times].map(([{ series, x }, values]) => ({ series, x, spread: spreadOf(values) }));
}
