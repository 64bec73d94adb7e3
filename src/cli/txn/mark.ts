import type { MarkOptions, TransactionSummary } from '../../engine/index.js';
import type { Context } from '../context.js';
import { type ExitCode, success } from '../exit-codes.js';
import { openForCommand } from '../open-store.js';
import { printable } from '../printable.js';

/** Pins or tags a transaction, or takes that back. */
export async function mark(
  context: Context,
  id: number,
  { dryRun = false, ...marking }: MarkOptions,
): Promise<ExitCode> {
  const { output, signal } = context;
  await using store = await openForCommand(context);
  const transaction = await store.mark(id, { ...marking, dryRun, signal });
  output.answer({ transaction }, output.style.strong(describe(transaction, dryRun)));
  return success;
}

function describe({ id, isPinned, tags, isPruned }: TransactionSummary, isDryRun: boolean): string {
  const is = isDryRun ? 'would be' : 'is';
  const marks = [
    ...(isPinned ? ['pinned'] : []),
    ...(tags.length === 0 ? [] : [`tagged ${tags.map(printable).join(', ')}`]),
  ];
  const name = `Transaction ${String(id)}`;
  if (marks.length > 0) return `${name} ${is} ${marks.join(' and ')}: what it displaced is kept.`;
  const rest = isPruned ? 'is pruned' : 'can be pruned';
  return `${name} ${is} neither pinned nor tagged, and ${rest}.`;
}
