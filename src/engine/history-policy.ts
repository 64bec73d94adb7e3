import { isRuleSet, parseObject } from './json-value.js';
import {
  historyBytesMax,
  historyRecordsMax,
  historyTransactionsMax,
  packFromBytesDefault,
} from './limits.js';

/** Which transactions keep what they displaced. One that any of the first two rules keeps is kept. */
export interface HistoryPolicy {
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
 * goes: what came before it could not be undone to anyway. The newest always stays. Pure.
 *
 * @param rows newest first.
 */
export function retainHistory<Row extends Displacing>(
  rows: readonly Row[],
  policy: HistoryPolicy,
  now: number,
): readonly HistoryVerdict<Row>[] {
  let bytes = 0;
  let reasonToGo: string | undefined;
  return rows.map((row, at) => {
    if (row.exempt !== undefined) {
      bytes += row.displacedBytes;
      return { row, isKept: true, reason: row.exempt };
    }
    if (reasonToGo !== undefined) return { row, isKept: false, reason: reasonToGo };
    const reason = at === 0 ? 'the newest' : reasonToKeep(row, at, policy, now);
    bytes += row.displacedBytes;
    if (reason === undefined) reasonToGo = 'no rule keeps it';
    else if (at > 0 && bytes > (policy.sizeBytesMax ?? Number.POSITIVE_INFINITY)) {
      reasonToGo = `what was displaced may take ${String(policy.sizeBytesMax)} bytes`;
    }
    return { row, isKept: reasonToGo === undefined, reason: reasonToGo ?? reason ?? '' };
  });
}

function reasonToKeep(
  { committedAt }: Displacing,
  at: number,
  { keepLast, keepWithinMs }: HistoryPolicy,
  now: number,
): string | undefined {
  if (keepLast === undefined && keepWithinMs === undefined) return 'there is room';
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
  sizeBytesMax: true,
  keepRecords: true,
  packFromBytes: true,
};
