import type { Receipt } from '../engine/index.js';
import { describeCounts, listChanges } from './describe-change.js';
import type { Style } from './style.js';

/** More changed paths than these are counted, not listed. */
export const listedMax = 50;

export interface ReceiptWording {
  readonly isDryRun: boolean;
  readonly isQuiet: boolean;
  readonly style: Style;
}

/** What `apply` tells people. */
export function describeReceipt(
  { transaction }: Receipt,
  { isDryRun, isQuiet, style }: ReceiptWording,
): string {
  if (transaction === null) return 'Nothing to change.';
  const { id, changes } = transaction;
  const counts = describeCounts(changes);
  const result = isDryRun
    ? `Would change: ${counts}.`
    : `Committed transaction ${String(id)}: ${counts}.`;
  const list = isQuiet ? [] : listChanges(changes, listedMax);
  return [style.strong(result), ...list].join('\n');
}
