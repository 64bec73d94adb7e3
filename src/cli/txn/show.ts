import type { Context } from '../context.js';
import { describeTransaction } from '../describe-history.js';
import { type ExitCode, success } from '../exit-codes.js';
import { toJsonTransaction } from '../json-shapes.js';
import { openForReading } from '../open-store.js';

export async function show(context: Context, id: number): Promise<ExitCode> {
  const { output } = context;
  const reading = await openForReading(context);
  await using store = reading.store;
  const transaction = await store.show(id);
  output.answer(
    { transaction: toJsonTransaction(transaction) },
    describeTransaction(transaction, output.style),
  );
  return success;
}
