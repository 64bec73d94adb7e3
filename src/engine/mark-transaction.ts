import type { Journal } from './journal.js';
import type { Mark } from './keeping.js';
import { toSummary, type TransactionSummary } from './receipt.js';
import { parseTransactionTags } from './tags.js';
import { requireUndoable } from './undo-choice.js';

/** What to say of a transaction; what is not named stays as it is. */
export interface Marking {
  /** Whether it is pinned from now on. */
  readonly pin?: boolean;
  readonly addTags?: readonly string[];
  /** Those that it does not have are none of its tags afterwards either. */
  readonly removeTags?: readonly string[];
}

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
    pin,
    addTags = [],
    removeTags = [],
    dryRun = false,
    epoch,
  }: Marking & { readonly dryRun?: boolean; readonly epoch: number },
): TransactionSummary {
  const row = journal.transaction(id);
  if (row === undefined) throw journal.anchors.unknown(id);
  const keeping = journal.keeping.get();
  const known: Mark = keeping.marks.get(id) ?? { isPinned: false, tags: [] };
  const removed = new Set(removeTags);
  const mark: Mark = {
    isPinned: pin ?? known.isPinned,
    tags: parseTransactionTags([...known.tags.filter((tag) => !removed.has(tag)), ...addTags]),
  };
  // What is gone cannot be kept: whoever marks it would rely on nothing.
  if (pin === true || addTags.length > 0) requireUndoable(journal, id);
  const isSame = mark.isPinned === known.isPinned && mark.tags.join('\n') === known.tags.join('\n');
  if (!isSame && !dryRun) journal.keeping.mark(id, mark, epoch);
  return toSummary(
    row,
    isSame ? keeping : { ...keeping, marks: new Map(keeping.marks).set(id, mark) },
  );
}
