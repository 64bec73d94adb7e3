import { Collection, type PartialUndoOptions } from '../../collection/index.js';
import type { UndoReceipt } from '../../engine/index.js';
import type { Context } from '../context.js';
import { describeUndo } from '../describe-undo.js';
import { type ExitCode, success } from '../exit-codes.js';
import { toJsonReceipt } from '../json-shapes.js';
import { UsageError } from '../failure.js';
import { openForCommand } from '../open-store.js';
import { warnOfSuperseded } from '../superseded.js';

export interface UndoFlags {
  readonly path?: readonly string[];
  /** Artifacts, and paths. */
  readonly only?: readonly string[];
  readonly message?: string;
  readonly dryRun?: boolean;
  readonly merge?: boolean;
  readonly force?: boolean;
}

export async function undo(
  context: Context,
  id: number | undefined,
  flags: UndoFlags,
): Promise<ExitCode> {
  return run(context, 'undo', undoOptions(context, id, flags));
}

export async function redo(
  context: Context,
  id: number | undefined,
  flags: UndoFlags,
): Promise<ExitCode> {
  return run(context, 'redo', undoOptions(context, id, flags));
}

async function run(
  context: Context,
  kind: 'undo' | 'redo',
  options: PartialUndoOptions,
): Promise<ExitCode> {
  const { output } = context;
  await using store = await openForCommand(context);
  // In any other directory its rules have nothing to say.
  const receipt: UndoReceipt = await new Collection(store)[kind](options);
  warnOfSuperseded(receipt, context);
  const { undone, paths, needsForce = null } = receipt;
  const { style, isQuiet } = output;
  output.answer(
    { ...toJsonReceipt(receipt), undone, paths, needsForce },
    describeUndo(kind, receipt, { isQuiet, style }),
  );
  return success;
}

function undoOptions(
  { signal }: Context,
  transaction: number | undefined,
  { path, only, message, dryRun = false, merge = false, force = false }: UndoFlags,
): PartialUndoOptions {
  if (only !== undefined && transaction === undefined) {
    throw new UsageError('--only needs the number of a transaction', 'See: skillmeat history');
  }
  return {
    dryRun,
    merge,
    force,
    signal,
    ...(transaction !== undefined && { transaction }),
    ...(path !== undefined && { paths: path }),
    ...(only !== undefined && { only }),
    ...(message !== undefined && { message }),
  };
}
