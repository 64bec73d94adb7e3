import type { Context } from '../context.js';
import { describeLog } from '../describe-history.js';
import { type ExitCode, success } from '../exit-codes.js';
import { openForReading } from '../open-store.js';

export interface LogFlags {
  readonly limit: number;
  readonly before?: number;
}

export async function log(
  context: Context,
  path: string | undefined,
  { limit, before }: LogFlags,
): Promise<ExitCode> {
  const { output } = context;
  const reading = await openForReading(context);
  await using store = reading.store;
  // One more than asked for tells whether there are older ones.
  const found = await store.log({
    limit: limit + 1,
    ...(before !== undefined && { before }),
    ...(path !== undefined && { path }),
  });
  const transactions = found.slice(0, limit);
  const hasMore = found.length > limit;
  const { style } = output;
  output.answer({ transactions, hasMore }, describeLog(transactions, { path, hasMore, style }));
  return success;
}
