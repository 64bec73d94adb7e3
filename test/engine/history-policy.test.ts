import { describe, expect, test } from 'vitest';
import {
  defaultHistoryPolicy,
  type HistoryPolicy,
  retainHistory,
} from '../../src/engine/history-policy.js';

const day = 86_400_000;
const now = 100 * day;

/** One for each day, newest first, of 10 bytes. */
const rows = [0, 1, 2, 3, 4].map((age) => ({
  committedAt: now - age * day,
  displacedBytes: 10,
  exempt: undefined as string | undefined,
}));

const keptBy = (policy: HistoryPolicy, given: typeof rows = rows): readonly boolean[] =>
  retainHistory(given, policy, now).map(({ isKept }) => isKept);

describe('which transactions keep what they displaced', () => {
  test.each<[string, HistoryPolicy, number]>([
    ['the last two', { keepLast: 2 }, 2],
    ['those of two days', { keepWithinMs: 2 * day }, 3],
    ['whatever one of two rules keeps', { keepLast: 1, keepWithinMs: 3 * day }, 4],
    ['what there is room for', { sizeBytesMax: 25 }, 2],
    ['what there is just room for', { sizeBytesMax: 30 }, 3],
    ['no more than there is room for', { keepLast: 4, sizeBytesMax: 10 }, 1],
    ['the newest, whatever is asked', { keepLast: 0, sizeBytesMax: 0 }, 1],
    ['all, without a rule', {}, 5],
    ['all that are few, by default', defaultHistoryPolicy, 5],
  ])('%s', (_name, policy, count) => {
    expect(keptBy(policy)).toEqual(rows.map((_, at) => at < count));
  });

  /** The 11th of April, a Saturday, twice; the 10th twice, the 9th; the 2nd of March twice; February. */
  const months = [100.6, 100.5, 99.9, 99.1, 98.5, 60.9, 60.1, 41].map((at) => ({
    committedAt: at * day,
    displacedBytes: 10,
    exempt: undefined as string | undefined,
    state: 'settled',
  }));

  test.each<[string, HistoryPolicy, readonly number[]]>([
    ['days', { keepLast: 1, keepDaily: 3 }, [0, 2, 4]],
    ['all days', { keepDaily: 9 }, [0, 2, 4, 5, 7]],
    ['weeks', { keepWeekly: 2 }, [0, 5]],
    ['months', { keepMonthly: 3 }, [0, 5, 7]],
    ['months, beside the last two', { keepLast: 2, keepMonthly: 2, sizeBytesMax: 30 }, [0, 1, 5]],
    [
      'no month that there is no room for',
      { keepLast: 2, keepMonthly: 3, sizeBytesMax: 39 },
      [0, 1, 5],
    ],
    ['no month behind one without room', { keepLast: 2, keepMonthly: 3, sizeBytesMax: 29 }, [0, 1]],
  ])('the last one of %s', (_name, policy, kept) => {
    const found = keptBy(policy, months).flatMap((isKept, at) => (isKept ? [at] : []));
    expect(found).toEqual(kept);
  });

  test('the last of a day is one that was done', () => {
    const failed = months.map((row, at) => (at === 2 ? { ...row, state: 'rolled-back' } : row));
    const verdicts = retainHistory(failed, { keepDaily: 2, keepMonthly: 2 }, now);
    expect(verdicts.map(({ isKept, reason }) => isKept && reason)).toEqual([
      'the newest',
      false,
      false,
      'daily',
      false,
      'monthly',
      false,
      false,
    ]);
  });

  test('all before the first that goes, though a clock says that one is young', () => {
    const skewed = rows.map((row, at) => (at === 4 ? { ...row, committedAt: now } : row));
    expect(keptBy({ keepWithinMs: day }, skewed)).toEqual([true, true, false, false, false]);
  });

  test('what is exempt, while older ones go; but what it displaced counts', () => {
    const exempt = rows.map((row, at) => (at === 3 ? { ...row, exempt: 'why' } : row));
    expect(keptBy({ keepLast: 1 }, exempt)).toEqual([true, false, false, true, false]);
    const first = rows.map((row, at) => (at === 1 ? { ...row, exempt: 'why' } : row));
    expect(keptBy({ sizeBytesMax: 29 }, first)).toEqual([true, true, false, false, false]);
    expect(retainHistory(exempt, {}, now)[3]?.reason).toBe('why');
  });

  test('the reason is told', () => {
    const reasons = retainHistory(rows, { keepLast: 3, sizeBytesMax: 20 }, now);
    expect(reasons.map(({ reason }) => reason)).toEqual([
      'the newest',
      'one of the last 3',
      'what was displaced may take 20 bytes',
      'what was displaced may take 20 bytes',
      'what was displaced may take 20 bytes',
    ]);
    expect(retainHistory(rows, { keepWithinMs: day }, now)[1]?.reason).toBe(
      'younger than asked for',
    );
    expect(retainHistory(rows, { keepLast: 1 }, now)[1]?.reason).toBe('no rule keeps it');
    expect(retainHistory(rows, {}, now)[1]?.reason).toBe('there is room');
  });
});
