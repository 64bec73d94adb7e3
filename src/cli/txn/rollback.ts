import { Collection } from '../../collection/index.js';
import type { RollbackOptions } from '../../engine/index.js';
import type { Context } from '../context.js';
import { describeRollback } from '../describe-rollback.js';
import { type ExitCode, hasFindings, success } from '../exit-codes.js';
import { toJsonReceipt } from '../json-shapes.js';
import { openForCommand } from '../open-store.js';
import { warnOfSuperseded } from '../superseded.js';

export type RollbackTarget = RollbackOptions['to'];

export interface RollbackFlags {
  readonly only?: readonly string[];
  readonly keepLocal?: boolean;
  readonly analyze?: boolean;
  readonly dryRun?: boolean;
  readonly message?: string;
  readonly force?: boolean;
}

/** Exits with 3 when an analysis found conflicts. */
export async function rollback(
  context: Context,
  to: RollbackTarget,
  { only, message, keepLocal = false, force = false, ...flags }: RollbackFlags,
): Promise<ExitCode> {
  const { output, signal } = context;
  const isDryRun = (flags.analyze ?? false) || (flags.dryRun ?? false);
  const options: RollbackOptions = {
    to,
    keepLocal,
    force,
    dryRun: isDryRun,
    signal,
    ...(message !== undefined && { message }),
  };
  await using store = await openForCommand(context);
  // In any other directory its rule has nothing to say.
  const receipt = await new Collection(store).rollback({
    ...options,
    ...(only !== undefined && { only }),
  });
  warnOfSuperseded(receipt, context);
  const { paths, conflicts, unmerged, needsForce = null } = receipt;
  for (const { path, why } of unmerged) output.warn(`kept, not merged: ${path} (${why})`);
  const { style, isQuiet } = output;
  output.answer(
    {
      ...toJsonReceipt(receipt),
      to: 'snapshot' in to ? to.snapshot : to.transaction,
      paths,
      conflicts,
      unmerged,
      needsForce,
    },
    describeRollback(receipt, { to, isDryRun, isQuiet, style }),
  );
  return conflicts.length === 0 ? success : hasFindings;
}
