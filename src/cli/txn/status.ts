import type { Context } from '../context.js';
import { describeStatus, type StatusReport } from '../describe-status.js';
import { type ExitCode, success } from '../exit-codes.js';
import { toJsonImage } from '../json-shapes.js';
import { openForReading } from '../open-store.js';

export interface StatusFlags {
  readonly drift?: boolean;
}

export async function status(
  context: Context,
  { drift: wantsDrift = false }: StatusFlags,
): Promise<ExitCode> {
  const { output, signal } = context;
  const reading = await openForReading(context);
  await using store = reading.store;
  const found = await store.status();
  // Opening has let go of the lock: a record that says otherwise is of somebody who came since.
  const isTaken = reading.isLocked || (found.writer !== null && !found.writer.isDone);
  const drift = wantsDrift ? await store.drift({ signal }) : null;
  const report: StatusReport = { ...found, isLocked: isTaken, drift };
  const data = {
    ...report,
    drift:
      drift?.map(({ path, expected, found: now, transaction }) => ({
        path,
        transaction,
        expected: toJsonImage(expected),
        found: toJsonImage(now),
      })) ?? null,
  };
  output.answer({ status: data }, describeStatus(report, output.style));
  return success;
}
