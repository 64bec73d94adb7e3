import type { CollectionErrorCode, FileConflict, MergeCounts } from '../collection/index.js';
import type { EngineErrorCode, PathConflict } from '../engine/index.js';
import { exitCodes, type ExitCode, unexpectedFailure, wrongUsage } from './exit-codes.js';

/** A command line that makes no sense; what to do about it is in the hint. */
export class UsageError extends Error {
  readonly hint: string;

  constructor(message: string, hint: string) {
    super(message);
    this.name = 'UsageError';
    this.hint = hint;
  }
}

/** What a command that failed tells people and programs. */
export interface Failure {
  readonly code: EngineErrorCode | CollectionErrorCode | 'USAGE' | 'INTERNAL';
  readonly message: string;
  readonly path: string | null;
  readonly hint: string | null;
  readonly exitCode: ExitCode;
  /** Every path that is in the way, when the error is about several. */
  readonly conflicts?: readonly (PathConflict | FileConflict)[];
  /** How much of a merge that failed is in conflict, and how much is not. */
  readonly merge?: MergeCounts;
  /** For a report of a bug. */
  readonly details?: string;
}

/** Says what `error` means to the person at the command line. */
export async function toFailure(error: unknown): Promise<Failure> {
  if (error instanceof UsageError) return usageFailure(error.message, error.hint);
  // Loaded only now: a command line that is refused needs no engine.
  const { isEngineError } = await import('../engine/index.js');
  const { isCollectionError } = await import('../collection/index.js');
  if (isEngineError(error) || isCollectionError(error)) {
    const { code, message, path = null, hint = null, conflicts } = error;
    const merge = isCollectionError(error) ? error.merge : undefined;
    return {
      code,
      message,
      path,
      hint,
      exitCode: exitCodes[code],
      ...(conflicts.length > 0 && { conflicts }),
      ...(merge !== undefined && { merge }),
    };
  }
  if (error instanceof Error && 'code' in error && error.code === 'ABORT_ERR') {
    return abortedFailure;
  }
  return {
    code: 'INTERNAL',
    message: `unexpected failure: ${error instanceof Error ? error.message : String(error)}`,
    path: null,
    hint: 'This is a bug in skillmeat. Please report it with the text above and: skillmeat txn doctor --json',
    exitCode: unexpectedFailure,
    details: describeUnexpected(error),
  };
}

export function usageFailure(message: string, hint: string): Failure {
  return { code: 'USAGE', message, path: null, hint, exitCode: wrongUsage };
}

/** Reading the plan was stopped: the engine, which waits for its end, only sees a failed read. */
const abortedFailure: Failure = {
  code: 'ABORTED',
  message: 'stopped on request; nothing was changed',
  path: null,
  hint: null,
  exitCode: exitCodes.ABORTED,
};

function describeUnexpected(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? '' : `\ncaused by: ${describeUnexpected(error.cause)}`;
  return `${error.stack ?? error.message}${cause}`;
}
