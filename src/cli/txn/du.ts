import type { Context } from '../context.js';
import { describeUsage } from '../describe-usage.js';
import { type ExitCode, success } from '../exit-codes.js';
import { openForReading } from '../open-store.js';

export async function du(context: Context): Promise<ExitCode> {
  const { output, signal } = context;
  const reading = await openForReading(context);
  await using store = reading.store;
  const usage = await store.usage({ signal });
  output.answer({ usage }, describeUsage(usage, output.style));
  return success;
}
