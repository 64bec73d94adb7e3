import type { Context } from '../context.js';
import { describeChronicle } from '../describe-chronicle.js';
import { type ExitCode, success } from '../exit-codes.js';
import { openForReading } from '../open-store.js';

export interface HistoryFlags {
  readonly limit: number;
  readonly before?: number;
}

export async function history(
  context: Context,
  path: string | undefined,
  { limit, before }: HistoryFlags,
): Promise<ExitCode> {
  const { output } = context;
  const reading = await openForReading(context);
  await using store = reading.store;
  // One more than asked for tells whether there are older ones.
  const found = await store.history({
    limit: limit + 1,
    ...(before !== undefined && { before }),
    ...(path !== undefined && { path }),
  });
  const entries = found.slice(0, limit);
  const hasMore = found.length > limit;
  const { style } = output;
  output.answer(
    { history: entries, hasMore },
    describeChronicle(entries, { path, hasMore, style }),
  );
  return success;
}
