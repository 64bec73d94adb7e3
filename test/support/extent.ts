/*
 * How much of a long test is run. What is left out is evenly spread, and the same in each run.
 */

/** Everything, on the disk; takes hours. `npm run test:deep`. */
export const isExhaustive: boolean = process.env['SKILLMEAT_EXHAUSTIVE'] === '1';

/** Everything that is not for {@link isExhaustive} only. So `.ci/run` calls `npm test`. */
const isThorough: boolean = isExhaustive || process.env['SKILLMEAT_THOROUGH'] === '1';

/**
 * Returns every `nth`, beginning with the first; in a thorough run, all.
 *
 * @param thorough a thorough run, too, takes only each so many-eth; one that is exhaustive takes all.
 */
export function sampled<T>(all: readonly T[], nth: number, thorough = 1): readonly T[] {
  const step = isThorough ? thorough : nth;
  return isExhaustive ? all : all.filter((_, index) => index % step === 0);
}

/** Returns `thorough` in a thorough run, and `otherwise` otherwise. */
export function amount<T>({ thorough, otherwise }: { thorough: T; otherwise: T }): T {
  return isThorough ? thorough : otherwise;
}
