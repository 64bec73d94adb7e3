import fs from 'node:fs';
import path from 'node:path';

/*
 * What the crash tests have to say for docs/certificate.md. Each calls `testify` before it asserts,
 * so that a violation is counted as well; `npm run certificate` collects and renders it.
 */

/** One row: a kind of fault, on one file system or model of one. */
export interface Evidence {
  /** As in 'power cut' or 'error at a call'; rows of one fault stand together. */
  readonly fault: string;
  /** A real file system (`ext4, commit=1`), or `simulated XFS`. */
  readonly on: string;
  readonly native: 'auto' | 'off' | 'both';
  /** Different states (or edits, or calls that failed) that were looked at. */
  readonly states: number;
  readonly violations: number;
  /** Of what was chosen at random. */
  readonly seed?: number;
  /** What a reader must know to judge the number. */
  readonly note?: string;
}

/** What could not be tried here, and why. */
export interface NotRun {
  readonly fault: string;
  readonly on: string;
  readonly whyNot: string;
}

/** Adds rows to the report in `SKILLMEAT_EVIDENCE`, a directory; without that it does nothing. */
export function testify(...rows: readonly (Evidence | NotRun)[]): void {
  const directory = process.env['SKILLMEAT_EVIDENCE'];
  if (directory === undefined) return;
  fs.mkdirSync(directory, { recursive: true });
  const lines = rows.map((row) => `${JSON.stringify(row)}\n`);
  // One file a process: tests run side by side.
  fs.appendFileSync(path.join(directory, `${String(process.pid)}.jsonl`), lines.join(''));
}

/**
 * Tells of what `look` looks at: it returns how many states, and throws at a violation.
 */
export async function testifyOf(
  about: Omit<Evidence, 'states' | 'violations'>,
  look: () => Promise<number>,
): Promise<void> {
  let states;
  try {
    states = await look();
  } catch (error) {
    testify({ ...about, states: 1, violations: 1 });
    throw error;
  }
  testify({ ...about, states, violations: 0 });
}
