import type { Journal } from './journal.js';
import { isSameMark, type Mark, markedAs, type Marking } from './keeping.js';
import { toSummary, type TransactionSummary } from './receipt.js';
import { parseTransactionTags } from './tags.js';
import { requireUndoable } from './undo-choice.js';

/**
 * Marks a transaction under the lock. Nothing is written when nothing changes, and in a dry run.
 *
 * @throws {EngineError} `TRANSACTION_NOT_FOUND`, `TAG_INVALID`, and, of one that gets a mark, what an
 * undo of it would say.
 */
export function markTransaction(
  journal: Journal,
  id: number,
  {
    dryRun = false,
    epoch,
    ...marking
  }: Marking & {
    readonly dryRun?: boolean;
    readonly epoch: number;
  },
): TransactionSummary {
  const row = journal.transaction(id);
  if (row === undefined) throw journal.anchors.unknown(id);
  const keeping = journal.keeping.get();
  const known: Mark = keeping.marks.get(id) ?? { isPinned: false, tags: [] };
  const wanted = markedAs(known, marking);
  const mark: Mark = { ...wanted, tags: parseTransactionTags(wanted.tags) };
  // What is gone cannot be kept: whoever marks it would rely on nothing.
  const { pin = false, addTags = [] } = marking;
  if (pin || addTags.length > 0) requireUndoable(journal, id);
  const isSame = isSameMark(mark, known);
  if (!isSame && !dryRun) journal.keeping.mark(id, mark, epoch);
  return toSummary(
    row,
    isSame ? keeping : { ...keeping, marks: new Map(keeping.marks).set(id, mark) },
  );
}
