/*
 * How much of a long test is run. What is left out is evenly spread, and the same in each run.
 */

/** Everything, on the disk; takes hours. `npm run test:deep`. */
export const isExhaustive: boolean = process.env['SKILLMEAT_EXHAUSTIVE'] === '1';

/** Everything that is not for {@link isExhaustive} only. So `.ci/run` calls `npm test`. */
const isThorough: boolean = isExhaustive || process.env['SKILLMEAT_THOROUGH'] === '1';

/** Returns all in a thorough run, and every `nth` otherwise, beginning with the first. */
export function sampled<T>(all: readonly T[], nth: number): readonly T[] {
  return isThorough ? all : all.filter((_, index) => index % nth === 0);
}

/** Returns `thorough` in a thorough run, and `otherwise` otherwise. */
export function amount<T>({ thorough, otherwise }: { thorough: T; otherwise: T }): T {
  return isThorough ? thorough : otherwise;
}
