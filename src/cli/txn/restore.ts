import { Collection } from '../../collection/index.js';
import type { Restored } from '../../engine/index.js';
import type { Context } from '../context.js';
import { describeReceipt } from '../describe-receipt.js';
import { describeForce } from '../describe-undo.js';
import { type ExitCode, hasFindings, success } from '../exit-codes.js';
import { toJsonReceipt } from '../json-shapes.js';
import { openForCommand } from '../open-store.js';
import { counted, printable } from '../printable.js';

export interface RestoreFlags {
  readonly to?: string;
  readonly message?: string;
  readonly force?: boolean;
  readonly dryRun?: boolean;
}

export interface RestoreRequest {
  readonly reference: string;
  readonly paths: readonly string[];
  readonly flags: RestoreFlags;
}

/** Exits with 3 when something could not be restored. */
export async function restore(
  context: Context,
  { reference, paths, flags }: RestoreRequest,
): Promise<ExitCode> {
  const { output, signal } = context;
  const { dryRun = false, force = false, message, to } = flags;
  await using store = await openForCommand(context);
  // In any other directory its rules have nothing to say.
  const restored = await new Collection(store).restore(reference, {
    paths,
    dryRun,
    force,
    signal,
    ...(to === undefined ? {} : { to }),
    ...(message === undefined ? {} : { message }),
  });
  for (const { path, why } of restored.notRestored) output.warn(`not restored: ${path} (${why})`);
  const { notRestored, snapshot, written, needsForce = null } = restored;
  output.answer(
    { snapshot, ...toJsonReceipt(restored), to: restored.to, written, notRestored, needsForce },
    describe(restored, dryRun, output),
  );
  return notRestored.length === 0 ? success : hasFindings;
}

function describe(restored: Restored, isDryRun: boolean, output: Context['output']): string {
  const { to, written } = restored;
  const { isQuiet, style } = output;
  if (to === null) {
    const force = isQuiet ? [] : describeForce(restored.needsForce, style);
    return [describeReceipt(restored, { isDryRun, isQuiet, style }), ...force].join('\n');
  }
  if (isDryRun) return `Would write to ${printable(to)}.`;
  return style.strong(`Wrote ${counted(written, 'path')} to ${printable(to)}.`);
}
