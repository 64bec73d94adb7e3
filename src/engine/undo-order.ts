import type { Annotations } from './annotations.js';

/** A transaction as far as it matters for what is undone next. */
export interface UndoneOrNot {
  readonly id: number;
  /** Whether it took effect: neither rolled back nor in trouble. */
  readonly isDone: boolean;
  readonly annotations: Annotations;
}

/** Returns the transaction of a number, `undefined` when there is none. */
export type LookUp = (id: number) => UndoneOrNot | undefined;

/**
 * Tells what a transaction is: an undo of an undo brings back what was undone, so it is a redo; an
 * undo of that is an undo again.
 */
export function kindOf(transaction: UndoneOrNot, lookUp: LookUp): 'change' | 'undo' | 'redo' {
  let isUndo = false;
  let isChange = true;
  for (let at: UndoneOrNot | undefined = transaction; at !== undefined; ) {
    const undoes: number | undefined = at.annotations.undoes;
    // A number that does not point back would make this go round for ever.
    if (undoes === undefined || undoes >= at.id) break;
    isChange = false;
    isUndo = !isUndo;
    at = lookUp(undoes);
  }
  if (isChange) return 'change';
  return isUndo ? 'undo' : 'redo';
}

/**
 * Returns the newest transaction that is neither an undo nor undone, so that undoing again walks
 * further back. `newestFirst` is the log; no more of it is read than needed.
 */
export function nextToUndo(newestFirst: Iterable<UndoneOrNot>): UndoneOrNot | undefined {
  for (const { transaction, isUndone } of judge(newestFirst)) {
    if (!isUndone && transaction.annotations.undoes === undefined) return transaction;
  }
  return undefined;
}

/** Returns the newest undo that stands and that no other change came after. */
export function nextToRedo(
  newestFirst: Iterable<UndoneOrNot>,
  lookUp: LookUp,
): UndoneOrNot | undefined {
  for (const { transaction, isUndone } of judge(newestFirst)) {
    const kind = kindOf(transaction, lookUp);
    if (kind === 'change') return undefined;
    if (kind === 'undo' && !isUndone) return transaction;
  }
  return undefined;
}

/** Returns the newest undo of the transaction `id` that stands. */
export function undoOf(id: number, newestFirst: Iterable<UndoneOrNot>): UndoneOrNot | undefined {
  for (const { transaction, isUndone } of judge(newestFirst)) {
    if (transaction.id <= id) return undefined;
    if (!isUndone && transaction.annotations.undoes === id) return transaction;
  }
  return undefined;
}

/** Yields what took effect, with whether something later took it back as a whole. */
function* judge(
  newestFirst: Iterable<UndoneOrNot>,
): Generator<{ readonly transaction: UndoneOrNot; readonly isUndone: boolean }, void> {
  const undone = new Set<number>();
  for (const transaction of newestFirst) {
    if (!transaction.isDone) continue;
    const isUndone = undone.delete(transaction.id);
    yield { transaction, isUndone };
    const { undoes, paths } = transaction.annotations;
    if (!isUndone && undoes !== undefined && paths === undefined) undone.add(undoes);
  }
}
