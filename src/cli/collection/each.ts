import {
  type CollectionChange,
  type CollectionError,
  isCollectionError,
} from '../../collection/index.js';
import { type EngineError, isEngineError } from '../../engine/index.js';
import { toJsonChange } from '../artifact-json.js';
import type { Context } from '../context.js';
import { describeCollectionChange } from '../describe-collection.js';
import { exitCodes, type ExitCode, hasFindings, success } from '../exit-codes.js';
import { listConflicts } from '../list-conflicts.js';
import { printable } from '../printable.js';
import { warnOfSuperseded } from '../superseded.js';
import type { ChangeWords, EditFlags } from './edit.js';

export interface EachFlags extends EditFlags {
  readonly each?: boolean;
}

/** What became of one of several things, each of which is a transaction of its own. */
export type EachOutcome =
  | { readonly kind: 'done'; readonly subject: string; readonly change: CollectionChange }
  | {
      readonly kind: 'failed';
      readonly subject: string;
      readonly error: CollectionError | EngineError;
    };

/** Makes a change for each subject; one that is refused does not stop the others. */
export async function changeEach(
  subjects: readonly string[],
  change: (subject: string) => Promise<CollectionChange>,
): Promise<readonly EachOutcome[]> {
  const outcomes: EachOutcome[] = [];
  for (const subject of new Set(subjects)) {
    try {
      outcomes.push({ kind: 'done', subject, change: await change(subject) });
    } catch (error) {
      if (!isRefusal(error)) throw error;
      outcomes.push({ kind: 'failed', subject, error });
    }
  }
  return outcomes;
}

/** Tells whether a failure is one of this artifact, after which nothing had changed. */
export function isRefusal(error: unknown): error is CollectionError | EngineError {
  if (isCollectionError(error)) return true;
  return isEngineError(error) && refusals.has(exitCodes[error.code]);
}

/** Refused input, a conflict, or the machine says no. What is in doubt, and a stop, end it all. */
const refusals: ReadonlySet<ExitCode> = new Set<ExitCode>([4, 5, 9]);

/** That of the failure when there was nothing else, else that of a finding. */
export function exitCodeOf(
  failures: readonly (CollectionError | EngineError)[],
  total: number,
): ExitCode {
  const [first] = failures;
  if (first === undefined) return success;
  return total === 1 ? exitCodes[first.code] : hasFindings;
}

/** Prints a line for each subject, and how many were done. */
export function answerEach(
  context: Context,
  outcomes: readonly EachOutcome[],
  { dryRun: isDryRun = false }: EditFlags,
  words: ChangeWords,
  more: object = {},
): ExitCode {
  const { output } = context;
  const failures = outcomes.flatMap((outcome) => (outcome.kind === 'failed' ? outcome.error : []));
  for (const outcome of outcomes) {
    if (outcome.kind === 'done') warnOfSuperseded(outcome.change.receipt, context);
  }
  const width = Math.max(0, ...outcomes.map(({ subject }) => printable(subject).length));
  const lines = outcomes.flatMap((outcome) => {
    const label = output.style.strong(printable(outcome.subject).padEnd(width));
    if (outcome.kind === 'done') {
      return [`${label}  ${describeCollectionChange(outcome.change, { ...words, isDryRun })}`];
    }
    const { message, code, conflicts } = outcome.error;
    return [
      `${label}  ${output.style.alarming('failed')}: ${printable(message)} [${code}]`,
      ...listConflicts(conflicts).map((line) => `  ${line}`),
    ];
  });
  const done = outcomes.length - failures.length;
  const counts = `${String(done)} ${isDryRun ? 'planned' : 'done'}, ${String(failures.length)} failed.`;
  output.answer({ results: outcomes.map(toJsonOutcome), ...more }, [...lines, counts].join('\n'));
  return exitCodeOf(failures, outcomes.length);
}

function toJsonOutcome(outcome: EachOutcome): object {
  const { subject } = outcome;
  if (outcome.kind === 'done') {
    return toJsonDone(subject, toJsonChange(outcome.change));
  }
  const { code, message, hint = null, conflicts } = outcome.error;
  const nothing = { transaction: null, artifacts: [] };
  return { subject, outcome: 'failed', ...nothing, conflicts, error: { code, message, hint } };
}

/** One of `results`, with what was done or would be. */
export function toJsonDone(subject: string, change: object): object {
  return { subject, outcome: 'done', ...change, conflicts: [], error: null };
}
