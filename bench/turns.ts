import { type Spread, spreadOf, timed } from './measure.js';

/** One way to do the same. */
export interface Side {
  readonly name: string;
  /** Returns what is measured. */
  readonly prepare: (round: number) => unknown;
}

interface Turns {
  readonly rounds: number;
  readonly warmUpRounds: number;
  /** Called ahead of each turn: nobody pays for what another one left unwritten. */
  readonly flush: () => void;
}

/** Lets all sides take turns, each beginning as often as the others. Returns milliseconds. */
export async function takeTurns(
  sides: readonly Side[],
  { rounds, warmUpRounds, flush }: Turns,
): Promise<ReadonlyMap<string, Spread>> {
  const times = new Map<string, number[]>(sides.map(({ name }) => [name, []]));
  for (let round = 0; round < warmUpRounds + rounds; round += 1) {
    const first = round % sides.length;
    for (const side of [...sides.slice(first), ...sides.slice(0, first)]) {
      const act = (await side.prepare(round)) as () => unknown;
      flush();
      const time = await timed(act);
      if (round >= warmUpRounds) times.get(side.name)?.push(time);
    }
  }
  return new Map([...times].map(([name, values]) => [name, spreadOf(values)]));
}
