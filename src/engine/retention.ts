import { type CalendarRules, keptByCalendar } from './calendar.js';
import { isRuleSet, parseObject } from './json-value.js';

/** Which snapshots to keep; a snapshot that any rule keeps is kept. Names as in `restic forget`. */
export interface RetentionPolicy extends CalendarRules {
  /** The newest ones. */
  readonly keepLast?: number | undefined;
  /** Those that are younger, in milliseconds. */
  readonly keepWithinMs?: number | undefined;
  /** Of those that the rules keep, the oldest go until contents take no more than this. */
  readonly sizeBytesMax?: number | undefined;
}

/** What is kept when nothing else is asked for. */
export const defaultPolicy: RetentionPolicy = {
  keepLast: 10,
  keepWithinMs: 30 * 86_400_000,
  keepWeekly: 8,
  keepMonthly: 12,
};

/** Reads a policy that the journal keeps; `undefined`: this program cannot have written it. */
export function parseRetentionPolicy(text: unknown): RetentionPolicy | undefined {
  const value = parseObject(text);
  return isRetentionPolicy(value) ? value : undefined;
}

/**
 * Tells whether something is a policy: of known rules only, each a whole number from 0 on, at least one
 * of which keeps something. Without one, all but the newest snapshot would go.
 */
export function isRetentionPolicy(value: unknown): value is RetentionPolicy {
  if (!isRuleSet(value, knownRules)) return false;
  const { sizeBytesMax: _, ...keeping } = value as RetentionPolicy;
  return Object.values(keeping).some((rule) => rule !== undefined);
}

const knownRules: Readonly<Record<keyof RetentionPolicy, true>> = {
  keepLast: true,
  keepWithinMs: true,
  keepDaily: true,
  keepWeekly: true,
  keepMonthly: true,
  sizeBytesMax: true,
};

/** A snapshot, as far as a policy looks at it. */
export interface Retained {
  readonly id: number;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  readonly isPinned: boolean;
  readonly tags: readonly string[];
}

/** What a policy says of a snapshot. */
export interface Retention {
  readonly id: number;
  readonly isKept: boolean;
  /** Why it is kept; for one that is dropped, that nothing keeps it. */
  readonly reasons: readonly string[];
}

/**
 * Says which snapshots are kept, and why. Pinned and tagged ones are always kept, and the newest one:
 * nobody prunes to have nothing. Pure; without the limit of size.
 *
 * @param snapshots newest first.
 */
export function retain(
  snapshots: readonly Retained[],
  policy: RetentionPolicy,
  now: number,
): readonly Retention[] {
  const reasons = new Map<number, string[]>(snapshots.map(({ id }) => [id, []]));
  const keep = (id: number, reason: string): void => {
    reasons.get(id)?.push(reason);
  };
  for (const [at, snapshot] of snapshots.entries()) {
    const { id, createdAt, isPinned, tags } = snapshot;
    if (isPinned) keep(id, 'pinned');
    if (tags.length > 0) keep(id, `tagged ${tags.join(', ')}`);
    if (at < (policy.keepLast ?? 0)) keep(id, `one of the last ${String(policy.keepLast)}`);
    else if (at === 0) keep(id, 'the newest');
    if (policy.keepWithinMs !== undefined && now - createdAt <= policy.keepWithinMs) {
      keep(id, 'younger than asked for');
    }
  }
  const times = snapshots.map(({ createdAt }) => createdAt);
  for (const [at, names] of keptByCalendar(times, policy)) {
    for (const name of names) keep(snapshots[at]?.id ?? 0, name);
  }
  return snapshots.map(({ id }) => {
    const why = reasons.get(id) ?? [];
    return { id, isKept: why.length > 0, reasons: why.length > 0 ? why : ['no rule keeps it'] };
  });
}
