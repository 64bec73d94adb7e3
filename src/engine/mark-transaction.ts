import type { Journal } from './journal.js';
import { isSameMark, type Mark, markedAs, type Marking } from './keeping.js';
import { toSummary, type TransactionSummary } from './receipt.js';
import { parseTransactionTags } from './tags.js';
import { requireUndoable } from './undo-choice.js';

/**
 * Marks a transaction under the lock. Nothing is written when nothing changes.
 *
 * @throws {EngineError} `TRANSACTION_NOT_FOUND`, `TAG_INVALID`, and, of one that gets a mark, what an
 * undo of it would say.
 */
export function markTransaction(
  journal: Journal,
  id: number,
  { epoch, ...marking }: Marking & { readonly epoch: number },
): TransactionSummary {
  const row = journal.transaction(id);
  if (row === undefined) throw journal.anchors.unknown(id);
  const known: Mark = journal.keeping.get().marks.get(id) ?? { isPinned: false, tags: [] };
  const wanted = markedAs(known, marking);
  const mark: Mark = { ...wanted, tags: parseTransactionTags(wanted.tags) };
  // What is gone cannot be kept: whoever marks it would rely on nothing.
  const { pin = false, addTags = [] } = marking;
  if (pin || addTags.length > 0) requireUndoable(journal, id);
  if (!isSameMark(mark, known)) journal.keeping.mark(id, mark, epoch);
  return toSummary(row, journal.keeping.get());
}
