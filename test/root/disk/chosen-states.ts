import type { Random } from '../../support/processes.js';
import type { DiskImage } from './disk-image.js';
import { listPowerCuts, type PowerCut, PowerCutReplay } from './power-cuts.js';
import type { LogEntry } from './recorded-log.js';

/** What must be found after a cut. */
export interface Promised {
  /** At least so many transactions: they were acknowledged. */
  readonly least: number;
  /** At most so many: they were begun. */
  readonly most: number;
  /** What was going on; states are chosen evenly among these. */
  readonly during: string;
}

export interface ChosenState {
  readonly cut: PowerCut;
  readonly promised: Promised;
}

export interface Choice {
  /** How many different disks the cuts could have left. */
  readonly possible: number;
  /** In the order of the log. */
  readonly chosen: readonly ChosenState[];
}

/**
 * Chooses among the different states that a power cut could have left.
 *
 * @param promisedBy what the marks before a cut promise.
 */
export function chooseStates(
  { base, log }: { readonly base: DiskImage; readonly log: readonly LogEntry[] },
  options: {
    readonly count: number;
    readonly random: Random;
    readonly promisedBy: (marks: readonly string[]) => Promised;
  },
): Choice {
  const marks = log.flatMap((entry, index) =>
    entry.kind === 'mark' ? [{ index, text: entry.text }] : [],
  );
  const byDigest = new Map<string, ChosenState>();
  const replay = new PowerCutReplay(log, base.fork());
  for (const cut of listPowerCuts(log, options.random)) {
    const texts = marks.filter(({ index }) => index < cut.at).map(({ text }) => text);
    // What comes before the first mark only makes ready.
    if (texts.length === 0) continue;
    const promised = options.promisedBy(texts);
    const { digest } = replay.imageAfter(cut);
    const same = byDigest.get(digest);
    byDigest.set(digest, same === undefined ? { cut, promised } : both(same, promised));
  }
  const states = [...byDigest.values()];
  const chosen = new Set(takeEvenly(states, options.count, options.random));
  return { possible: states.length, chosen: states.filter((state) => chosen.has(state)) };
}

/** The same disk may be left by several cuts: it must satisfy what each of them asks. */
function both({ cut, promised }: ChosenState, other: Promised): ChosenState {
  const least = Math.max(promised.least, other.least);
  return { cut, promised: { ...promised, least, most: Math.min(promised.most, other.most) } };
}

function takeEvenly(
  states: readonly ChosenState[],
  count: number,
  random: Random,
): readonly ChosenState[] {
  const groups = new Map<string, ChosenState[]>();
  for (const state of states) {
    const group = groups.get(state.promised.during) ?? [];
    groups.set(state.promised.during, group);
    group.splice(random.below(group.length + 1), 0, state);
  }
  const taken: ChosenState[] = [];
  const wanted = Math.min(count, states.length);
  for (let round = 0; taken.length < wanted; round += 1) {
    for (const group of groups.values()) taken.push(...group.slice(round, round + 1));
  }
  return taken.slice(0, wanted);
}
