import type { TestOptions } from 'vitest';

declare module 'vitest' {
  interface TaskMeta {
    /** Why a test is skipped, for the end of a run: scripts/outcomes.js. */
    whyNot?: string;
  }
}

/** Options of a test or a group that cannot be run for the reason given, or can when there is none. */
export function skippedBecause(whyNot: string | undefined): TestOptions {
  return whyNot === undefined ? {} : { skip: true, meta: { whyNot } };
}
