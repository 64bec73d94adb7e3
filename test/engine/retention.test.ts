import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { retain, type Retained, type RetentionPolicy } from '../../src/engine/retention.js';

const day = 86_400_000;
const now = Date.UTC(2026, 10, 29, 12);

/** Snapshots of these ages in days, newest first; the first has the highest number. */
function ofAges(...ages: readonly number[]): readonly Retained[] {
  return ages.map((age, at) => ({
    id: ages.length - at,
    createdAt: now - age * day,
    isPinned: false,
    tags: [],
  }));
}

function kept(snapshots: readonly Retained[], policy: RetentionPolicy): readonly number[] {
  return retain(snapshots, policy, now)
    .filter(({ isKept }) => isKept)
    .map(({ id }) => id);
}

describe('a policy keeps', () => {
  const week = ofAges(0, 0.1, 1, 2, 2.1, 5, 9, 40, 400);

  test.each<[string, RetentionPolicy, readonly number[]]>([
    ['the newest, whatever it says', {}, [9]],
    ['the last ones', { keepLast: 3 }, [9, 8, 7]],
    ['the young ones', { keepWithinMs: 2 * day }, [9, 8, 7, 6]],
    ['the newest of each day that has any', { keepDaily: 3 }, [9, 7, 6]],
    ['the newest of each week', { keepWeekly: 3 }, [9, 3, 2]],
    ['the newest of each month', { keepMonthly: 2 }, [9, 2]],
    ['what any rule keeps', { keepLast: 1, keepDaily: 2, keepMonthly: 9 }, [9, 7, 2, 1]],
    ['none twice', { keepLast: 2, keepWithinMs: day / 5 }, [9, 8]],
  ])('%s', (_, policy, ids) => {
    expect(kept(week, policy)).toEqual(ids);
  });

  test('what is pinned or tagged', () => {
    const [first, second, third] = ofAges(0, 500, 600);
    if (first === undefined || second === undefined || third === undefined) {
      throw new Error('three');
    }
    const snapshots = [first, { ...second, isPinned: true }, { ...third, tags: ['v1'] }];
    expect(retain(snapshots, { keepLast: 1 }, now)).toEqual([
      { id: 3, isKept: true, reasons: ['one of the last 1'] },
      { id: 2, isKept: true, reasons: ['pinned'] },
      { id: 1, isKept: true, reasons: ['tagged v1'] },
    ]);
  });

  test('a week from Monday to Sunday, also across the end of a year', () => {
    const at = (text: string, id: number): Retained => ({
      id,
      createdAt: Date.parse(text),
      isPinned: false,
      tags: [],
    });
    const snapshots = [
      at('2027-01-04T00:00:00Z', 4),
      at('2027-01-03T23:59:59Z', 3),
      at('2026-12-28T00:00:00Z', 2),
      at('2026-12-27T23:59:59Z', 1),
    ];
    expect(kept(snapshots, { keepWeekly: 3 })).toEqual([4, 3, 1]);
  });
});

test('laws: a wider policy keeps more, and what is kept is kept when it is asked again', () => {
  const count = fc.option(fc.nat(5), { nil: undefined });
  const policy = fc.record({
    keepLast: count,
    keepDaily: count,
    keepWeekly: count,
    keepMonthly: count,
  });
  const ages = fc.array(fc.double({ min: 0, max: 800, noNaN: true }), {
    minLength: 1,
    maxLength: 30,
  });
  fc.assert(
    fc.property(policy, ages, fc.nat(3), (given, some, more) => {
      const snapshots = ofAges(...some.toSorted((a, b) => a - b));
      const ids = kept(snapshots, given);
      expect(ids).toContain(snapshots[0]?.id);
      const left = snapshots.filter(({ id }) => ids.includes(id));
      expect(kept(left, given)).toEqual(ids);
      const wider = { ...given, keepDaily: (given.keepDaily ?? 0) + more };
      expect(kept(snapshots, wider)).toEqual(expect.arrayContaining([...ids]));
    }),
  );
});
