import { Collection } from '../../collection/index.js';
import type { UndoOptions, UndoReceipt } from '../../engine/index.js';
import type { Context } from '../context.js';
import { describeUndo } from '../describe-undo.js';
import { type ExitCode, success } from '../exit-codes.js';
import { toJsonReceipt } from '../json-shapes.js';
import { UsageError } from '../failure.js';
import { openForCommand } from '../open-store.js';
import { warnOfSuperseded } from '../superseded.js';

export interface UndoFlags {
  readonly path?: readonly string[];
  /** Of `undo`: artifacts, and paths. */
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
  const { only } = flags;
  if (only !== undefined && id === undefined) {
    throw new UsageError('--only needs the number of a transaction', 'See: skillmeat history');
  }
  const options = { ...undoOptions(context, id, flags), ...(only !== undefined && { only }) };
  return run(context, 'undo', options);
}

export function redo(
  context: Context,
  id: number | undefined,
  flags: UndoFlags,
): Promise<ExitCode> {
  return run(context, 'redo', undoOptions(context, id, flags));
}

async function run(
  context: Context,
  kind: 'undo' | 'redo',
  options: UndoOptions & { readonly only?: readonly string[] },
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
  { path, message, dryRun = false, merge = false, force = false }: UndoFlags,
): UndoOptions {
  return {
    dryRun,
    merge,
    force,
    signal,
    ...(transaction !== undefined && { transaction }),
    ...(path !== undefined && { paths: path }),
    ...(message !== undefined && { message }),
  };
}
