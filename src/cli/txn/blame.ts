import type { Context } from '../context.js';
import { describeBlame } from '../describe-history.js';
import { type ExitCode, success } from '../exit-codes.js';
import { toJsonImage } from '../json-shapes.js';
import { openForReading } from '../open-store.js';

export async function blame(context: Context, paths: readonly string[]): Promise<ExitCode> {
  const { output, signal } = context;
  const reading = await openForReading(context);
  await using store = reading.store;
  const found = await store.lastChanges({ signal, ...(paths.length > 0 && { paths }) });
  const changes = found.map(({ path, image, changedBy, transaction }) => ({
    path,
    image: toJsonImage(image),
    changedBy,
    transaction,
  }));
  output.answer({ paths: changes }, describeBlame(found, output.style));
  return success;
}
