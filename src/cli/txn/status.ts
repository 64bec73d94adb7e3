import type { Context } from '../context.js';
import { describeStatus, type StatusReport } from '../describe-status.js';
import { type ExitCode, success } from '../exit-codes.js';
import { openForReading } from '../open-store.js';

export async function status(context: Context): Promise<ExitCode> {
  const { output } = context;
  const reading = await openForReading(context);
  await using store = reading.store;
  const found = await store.status();
  // Opening has let go of the lock: a record that says otherwise is of somebody who came since.
  const isTaken = reading.isLocked || (found.writer !== null && !found.writer.isDone);
  const report: StatusReport = { ...found, isLocked: isTaken };
  output.answer({ status: report }, describeStatus(report, output.style));
  return success;
}
