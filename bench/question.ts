/** What a bench under `questions/` gives to `run.ts`, and gets from it. */
import type { Spread } from './measure.js';
import type { Reference } from './reference.js';

/** Where a bench works. */
export interface Place {
  /** As in `ext4, loop-mounted`. */
  readonly name: string;
  /** `ext4`, `xfs`, `btrfs`, or `here`. */
  readonly fileSystem: string;
  /** Empty, and the bench's own. */
  readonly directory: string;
  /** The loop device below, as in `loop3`; `undefined` where other programs write, too. */
  readonly device: string | undefined;
}

export interface Run {
  readonly place: Place;
  /** Fewer rounds and smaller sizes: all benches together in less than 3 minutes. */
  readonly isQuick: boolean;
  /** How many files a directory has, where a question has a choice (`snapshots`); `undefined`: its own. */
  readonly files: readonly number[] | undefined;
  /** For targets in milliseconds. */
  readonly reference: Reference;
}

/** How one side did at one size. */
export interface Point {
  readonly series: string;
  readonly x: number;
  readonly spread: Spread;
}

export interface Limit {
  readonly kind: 'at least' | 'at most';
  readonly value: number;
}

/** What can be told on any machine: one number over another of the same run. */
export interface Ratio {
  readonly what: string;
  readonly x: number;
  readonly value: number;
  readonly limit?: Limit | undefined;
  /** Default: `×`. */
  readonly unit?: string;
}

export interface Findings {
  readonly points: readonly Point[];
  readonly ratios: readonly Ratio[];
  /** Peers that are missing, sizes that were left out. */
  readonly notes: readonly string[];
}

export interface Question {
  /** For `--only`. */
  readonly name: string;
  readonly question: string;
  /** Beside what it is measured. */
  readonly peers: string;
  /** What the sides do not have in common: atomicity, durability, undo. */
  readonly unequal: string;
  /** Of the horizontal axis, as in `files`. */
  readonly xLabel: string;
  /** Of the numbers, as in `ms`. */
  readonly unit: string;
  readonly run: (run: Run) => Promise<Findings>;
}

export function atLeast(value: number): Limit {
  return { kind: 'at least', value };
}

export function atMost(value: number): Limit {
  return { kind: 'at most', value };
}

export function isMet({ value, limit }: Ratio): boolean {
  if (limit === undefined) return true;
  return limit.kind === 'at least' ? value >= limit.value : value <= limit.value;
}

/** Each median of one series over that of another at the same size. */
export function ratiosOf(
  points: readonly Point[],
  [above, below]: readonly [above: string, below: string],
  limitAt: (x: number) => Limit | undefined = () => undefined,
): readonly Ratio[] {
  const medianOf = (series: string, x: number): number | undefined =>
    points.find((point) => point.series === series && point.x === x)?.spread.median;
  const sizes = [...new Set(points.map(({ x }) => x))];
  return sizes.flatMap((x) => {
    const [over, under] = [medianOf(above, x), medianOf(below, x)];
    if (over === undefined || under === undefined) return [];
    return [{ what: `${above} ÷ ${below}`, x, value: over / under, limit: limitAt(x) }];
  });
}

/** How much more the largest size costs than the smallest, which is to be nothing. */
export function growthOf(
  points: readonly Point[],
  series: string,
  limit: Limit | undefined,
): readonly Ratio[] {
  const ofSeries = points.filter((point) => point.series === series);
  const sorted = ofSeries.toSorted((a, b) => a.x - b.x);
  const [first, last] = [sorted[0], sorted.at(-1)];
  if (first === undefined || last === undefined || first === last) return [];
  const value = last.spread.median / first.spread.median;
  return [{ what: `${series}: ÷ that at ${String(first.x)}`, x: last.x, value, limit }];
}
