import type { Annotations } from './annotations.js';
import { kindOf, type LookUp, type UndoneOrNot } from './undo-order.js';

/** What a transaction was for. */
export type TransactionKind =
  | 'change'
  | 'undo'
  /** An undo of an undo. */
  | 'redo'
  | 'rollback'
  /** It brought back a snapshot, or parts of it. */
  | 'restore'
  /** It recorded what other programs had done. */
  | 'adopt';

/** Says what a transaction was for. Pure. */
export function transactionKind(transaction: UndoneOrNot, lookUp: LookUp): TransactionKind {
  const { adopts, restores, rollsBackTo } = transaction.annotations;
  if (adopts === true) return 'adopt';
  if (rollsBackTo !== undefined) return 'rollback';
  return restores === undefined ? kindOf(transaction, lookUp) : 'restore';
}

/** Where it led from and to: transactions by number, snapshots by name; `null` where neither counts. */
export interface Passage {
  readonly from: number | null;
  readonly to: number | string | null;
}

export function passageOf(id: number, { rollsBackTo, restores }: Annotations): Passage {
  const to = rollsBackTo ?? restores ?? null;
  return { from: to === null ? null : id - 1, to };
}
