import { type CalendarRules, keptByCalendar } from './calendar.js';
import { isRuleSet, parseObject } from './json-value.js';
import {
  historyBytesMax,
  historyRecordsMax,
  historyTransactionsMax,
  packFromBytesDefault,
} from './limits.js';

/** Which transactions keep what they displaced. One that any rule keeps is kept. */
export interface HistoryPolicy extends CalendarRules {
  /** The newest ones. */
  readonly keepLast?: number | undefined;
  /** Those that are younger, in milliseconds. */
  readonly keepWithinMs?: number | undefined;
  /** Of those that the rules keep, the oldest go until what they displaced takes no more than this. */
  readonly sizeBytesMax?: number | undefined;
  /** How many of the newest the log keeps the records of, at least. Default: 10 000. */
  readonly keepRecords?: number | undefined;
  /** What was displaced is packed by itself when it is so many bytes; 0: never. Default: 1 MiB. */
  readonly packFromBytes?: number | undefined;
}

/** What every store keeps to without being asked. */
export const defaultHistoryPolicy: HistoryPolicy & {
  readonly keepRecords: number;
  readonly packFromBytes: number;
} = {
  keepLast: historyTransactionsMax,
  sizeBytesMax: historyBytesMax,
  keepRecords: historyRecordsMax,
  packFromBytes: packFromBytesDefault,
};

/** A transaction, as far as a policy looks at it. */
export interface Displacing {
  /** Milliseconds since 1970. */
  readonly committedAt: number;
  readonly displacedBytes: number;
  /** What failed, and was taken back, is nobody's last of a day. */
  readonly state?: string;
  /** Why it is kept whatever the rules say. */
  readonly exempt?: string | undefined;
}

/** What a policy says of a transaction. */
export interface HistoryVerdict<Row> {
  readonly row: Row;
  readonly isKept: boolean;
  /** Why it is kept, or why it is not. */
  readonly reason: string;
}

/**
 * Says which transactions keep what they displaced. The oldest go, and all before the first that
 * goes: what came before it could not be undone to anyway. The newest always stays, and so does, as
 * far as there is room, the newest of each day, week and month that is asked for. Pure.
 *
 * @param rows newest first.
 */
export function retainHistory<Row extends Displacing>(
  rows: readonly Row[],
  policy: HistoryPolicy,
  now: number,
): readonly HistoryVerdict<Row>[] {
  const limit = policy.sizeBytesMax ?? Number.POSITIVE_INFINITY;
  const calendar = lastOfPeriods(rows, policy);
  let bytes = 0;
  let isOver = false;
  let isFull = false;
  return rows.map((row, at) => {
    if (row.exempt !== undefined) {
      bytes += row.displacedBytes;
      return { row, isKept: true, reason: row.exempt };
    }
    const running = at === 0 ? 'the newest' : reasonToKeep(row, at, policy, now);
    isOver ||= running === undefined;
    const reason = isOver ? calendar.get(row) : running;
    if (!isFull && reason === undefined) return { row, isKept: false, reason: 'no rule keeps it' };
    isFull ||= at > 0 && bytes + row.displacedBytes > limit;
    if (isFull) {
      const full = `what was displaced may take ${String(limit)} bytes`;
      return { row, isKept: false, reason: full };
    }
    bytes += row.displacedBytes;
    return { row, isKept: true, reason: reason ?? '' };
  });
}

function lastOfPeriods<Row extends Displacing>(
  rows: readonly Row[],
  rules: CalendarRules,
): ReadonlyMap<Row | undefined, string> {
  const done = rows.filter(({ state }) => state !== 'rolled-back');
  const times = done.map(({ committedAt }) => committedAt);
  const kept = [...keptByCalendar(times, rules)];
  return new Map(kept.map(([at, names]) => [done[at], names.join(', ')]));
}

function reasonToKeep(
  { committedAt }: Displacing,
  at: number,
  policy: HistoryPolicy,
  now: number,
): string | undefined {
  const { keepLast, keepWithinMs } = policy;
  const { keepDaily, keepWeekly, keepMonthly } = policy;
  const rules = [keepLast, keepWithinMs, keepDaily, keepWeekly, keepMonthly];
  if (rules.every((rule) => rule === undefined)) return 'there is room';
  if (at < (keepLast ?? 0)) return `one of the last ${String(keepLast)}`;
  const isYoung = keepWithinMs !== undefined && now - committedAt <= keepWithinMs;
  return isYoung ? 'younger than asked for' : undefined;
}

/** Reads a policy that the journal keeps; `undefined`: this program cannot have written it. */
export function parsePolicy(text: unknown): HistoryPolicy | undefined {
  const value = parseObject(text);
  return isPolicy(value) ? value : undefined;
}

/** Tells whether something is a policy: of known rules only, each a whole number from 0 on. */
export function isPolicy(value: unknown): value is HistoryPolicy {
  return isRuleSet(value, knownRules);
}

const knownRules: Readonly<Record<keyof HistoryPolicy, true>> = {
  keepLast: true,
  keepWithinMs: true,
  keepDaily: true,
  keepWeekly: true,
  keepMonthly: true,
  sizeBytesMax: true,
  keepRecords: true,
  packFromBytes: true,
};
