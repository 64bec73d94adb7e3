import type { Context } from '../context.js';
import { describeCounts, listChanges } from '../describe-change.js';
import { listedMax } from '../describe-receipt.js';
import { type ExitCode, success } from '../exit-codes.js';
import { toJsonReceipt } from '../json-shapes.js';
import { openForCommand } from '../open-store.js';

export interface AdoptFlags {
  readonly message?: string;
  readonly dryRun?: boolean;
}

export async function adopt(
  context: Context,
  paths: readonly string[],
  { message, dryRun = false }: AdoptFlags,
): Promise<ExitCode> {
  const { output, signal } = context;
  await using store = await openForCommand(context);
  const receipt = await store.adopt({
    dryRun,
    signal,
    ...(message !== undefined && { message }),
    ...(paths.length > 0 && { paths }),
  });
  const { transaction } = receipt;
  const { style, isQuiet } = output;
  if (transaction === null) {
    output.answer(toJsonReceipt(receipt), 'Nothing to adopt.');
    return success;
  }
  const { id, changes } = transaction;
  const counts = describeCounts(changes);
  const result =
    id === null ? `Would adopt: ${counts}.` : `Adopted as transaction ${String(id)}: ${counts}.`;
  const list = isQuiet ? [] : listChanges(changes, listedMax);
  output.answer(toJsonReceipt(receipt), [style.strong(result), ...list].join('\n'));
  return success;
}
