import { parseAnnotations } from './annotations.js';
import { EngineError } from './errors.js';
import type { Journal } from './journal.js';
import { keepsDisplaced } from './keeping.js';
import type { TransactionRow } from './transaction-row.js';
import {
  kindOf,
  type LookUp,
  nextToRedo,
  nextToUndo,
  type UndoneOrNot,
  undoOf,
} from './undo-order.js';

/** Rows of the log that are read at a time. */
const pageRows = 64;

/**
 * Returns the transaction to undo: the one with this number, else the newest that is neither an
 * undo nor undone.
 *
 * @throws {EngineError} `TRANSACTION_NOT_FOUND`, `NOTHING_TO_UNDO`, `HISTORY_PRUNED`, `BLOCKED`.
 */
export function chooseUndo(journal: Journal, id: number | undefined): TransactionRow {
  const chosen = id ?? nextToUndo(newestFirst(journal))?.id;
  if (chosen === undefined) {
    throw nothing('there is no transaction that is not undone', 'See: skillmeat txn log');
  }
  return requireUndoable(journal, chosen);
}

/**
 * Returns the undo to undo: the one with this number, or that of the transaction with this number,
 * else the newest that nothing else was done after.
 *
 * @throws {EngineError} as {@link chooseUndo}.
 */
export function chooseRedo(journal: Journal, id: number | undefined): TransactionRow {
  const lookUp = lookUpIn(journal);
  if (id === undefined) {
    const next = nextToRedo(newestFirst(journal), lookUp);
    if (next !== undefined) return requireUndoable(journal, next.id);
    throw nothing(
      'the newest change is no undo, so there is nothing to redo',
      'Give the number of a transaction that was undone: skillmeat txn log',
    );
  }
  const asked = lookUp(id);
  if (asked === undefined) throw journal.anchors.unknown(id);
  if (kindOf(asked, lookUp) === 'undo') return requireUndoable(journal, id);
  const undo = undoOf(id, newestFirst(journal));
  if (undo !== undefined) return requireUndoable(journal, undo.id);
  throw nothing(`transaction ${String(id)} is not undone`, 'See: skillmeat txn log');
}

/** Returns a transaction that can be undone. @throws {EngineError} as {@link chooseUndo}. */
export function requireUndoable(journal: Journal, id: number): TransactionRow {
  const row = journal.transaction(id);
  if (row === undefined) throw journal.anchors.unknown(id);
  if (row.trouble !== undefined || row.state === 'undoing') {
    throw new EngineError(
      'BLOCKED',
      `transaction ${String(id)} is ${row.trouble ?? row.state}: it is neither done nor undone`,
      { hint: `Decide first: skillmeat txn recover --undo ${String(id)}` },
    );
  }
  if (row.state === 'rolled-back') {
    throw nothing(
      `transaction ${String(id)} was rolled back when it failed: nothing of it remains`,
      'See: skillmeat txn log',
    );
  }
  const keeping = journal.keeping.get();
  if (keepsDisplaced(row, keeping)) return row;
  const pruned = keeping.prunedThrough;
  throw new EngineError(
    'HISTORY_PRUNED',
    `what transaction ${String(id)} displaced is no longer kept; the oldest that can be undone is ${String(pruned + 1)}`,
    { hint: 'A snapshot from before it may still have the files.' },
  );
}

function* newestFirst(journal: Journal): Generator<UndoneOrNot, void> {
  for (const row of journal.newestFirst(pageRows)) yield toUndoneOrNot(row);
}

/** Returns what looks transactions up by their number. */
export function lookUpIn(journal: Journal): LookUp {
  return (id) => {
    const row = journal.transaction(id);
    return row === undefined ? undefined : toUndoneOrNot(row);
  };
}

export function toUndoneOrNot({ id, state, trouble, annotations }: TransactionRow): UndoneOrNot {
  return {
    id,
    isDone: trouble === undefined && (state === 'committed' || state === 'settled'),
    annotations: parseAnnotations(annotations),
  };
}

function nothing(message: string, hint: string): EngineError {
  return new EngineError('NOTHING_TO_UNDO', message, { hint });
}
