import fs from 'node:fs';
import path from 'node:path';
import { afterEach } from 'vitest';

/*
 * What the crash tests have to say for docs/certificate.md. Each calls `testify` before it asserts,
 * so that a violation is counted as well; `npm run certificate` collects and renders it.
 */

/** Kinds of faults; a full run tries all of them, as `expectedPlaces` in scripts/render-certificate.ts says. */
export type Fault =
  | 'crash after any step'
  | 'crash of a recovery'
  | 'failed sync, then a crash'
  | 'crash states that broke a promise once'
  | 'power cut'
  | 'power cut while recovering'
  | 'failing disk'
  | 'full disk'
  | 'killed at a call'
  | 'killed at a system call'
  | 'killed at random'
  | 'killed among other writers'
  | 'many writers at once'
  | 'first initialisation at once'
  | 'lock torture'
  | 'error at a call'
  | 'error at a system call'
  | 'corruption'
  | 'edit of another program at a chosen moment'
  | 'race with an editor'
  | 'reader during an update'
  | 'odd place'
  | 'guard removed';

/** One kind of fault, on one file system or model of one. */
export interface Evidence {
  readonly fault: Fault;
  /** What was disturbed, such as `undo`; rows that differ in nothing else are added up. */
  readonly operation?: string;
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
  readonly fault: Fault;
  readonly on: string;
  readonly whyNot: string;
}

/** What `npm run test:coverage` says of the branches of the protocol's modules. */
export interface Branches {
  readonly modules: number;
  /** Branches that a test takes. */
  readonly taken: number;
  /** Those that none can take, with the reason in test/uncovered-branches.json. */
  readonly explained: number;
  readonly unexplained: number;
}

/** The file systems of the directories for temporary files; the certificate names them. */
export const testMachine = 'the test machine';

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

/** Makes each test of the group (or file) that it is called in one state, unless it is skipped. */
export function testifyOfEachTest(about: Omit<Evidence, 'states' | 'violations'>): void {
  afterEach(({ task }) => {
    const state = task.result?.state;
    if (state === 'skip') return;
    testify({ ...about, states: 1, violations: state === 'fail' ? 1 : 0 });
  });
}
