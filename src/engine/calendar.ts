/** The newest of each of the last days, weeks and months that have any. They are those of UTC. */
export interface CalendarRules {
  readonly keepDaily?: number | undefined;
  readonly keepWeekly?: number | undefined;
  readonly keepMonthly?: number | undefined;
}

/**
 * Returns the indices of what the rules keep, each with the names of those that do. Pure.
 *
 * @param times in milliseconds since 1970, newest first.
 */
export function keptByCalendar(
  times: readonly number[],
  { keepDaily, keepWeekly, keepMonthly }: CalendarRules,
): ReadonlyMap<number, readonly string[]> {
  const kept = new Map<number, readonly string[]>();
  const calendar = [
    ['daily', keepDaily, dayOf],
    ['weekly', keepWeekly, weekOf],
    ['monthly', keepMonthly, monthOf],
  ] as const;
  for (const [name, count = 0, periodOf] of calendar) {
    if (count === 0) continue;
    for (const at of newestOfEach(times, count, periodOf)) {
      kept.set(at, [...(kept.get(at) ?? []), name]);
    }
  }
  return kept;
}

function newestOfEach(
  times: readonly number[],
  count: number,
  periodOf: (date: Date) => string,
): readonly number[] {
  const newest = new Map<string, number>();
  for (const [at, time] of times.entries()) {
    const period = periodOf(new Date(time));
    if (!newest.has(period) && newest.size < count) newest.set(period, at);
  }
  return [...newest.values()];
}

function dayOf(date: Date): string {
  return date.toISOString().slice(0, 10);
}

/** The Monday that it begins with. */
function weekOf(date: Date): string {
  const daysSinceMonday = (date.getUTCDay() + 6) % 7;
  return dayOf(new Date(date.getTime() - daysSinceMonday * 86_400_000));
}

function monthOf(date: Date): string {
  return date.toISOString().slice(0, 7);
}
