import type { RecoveryReport } from '../engine/index.js';
import { counted, printable } from './printable.js';
import type { Style } from './style.js';

/** One line about what opening a store had to recover. */
export function describeRecoveryNotice(report: RecoveryReport): string {
  const { superseded, unresolved } = report;
  const parts = [`recovered: ${describeWork(report)}`];
  if (superseded.length > 0) {
    parts.push(`${counted(superseded.length, 'path')} kept as left by another program`);
  }
  if (unresolved.length > 0) {
    const ids = unresolved.map(({ id }) => String(id)).join(', ');
    parts.push(`unresolved: ${ids} (see: skillmeat txn status)`);
  }
  return parts.join('; ');
}

/** What `recover` tells people. */
export function describeRecovery(
  report: RecoveryReport,
  { isDryRun, style }: { readonly isDryRun: boolean; readonly style: Style },
): string {
  const { transactions, superseded, unresolved } = report;
  if (transactions.length === 0) return 'Nothing to recover.';
  const work = isDryRun
    ? `Would check ${counted(transactions.length, 'transaction')}: ${transactions.join(', ')}.`
    : `Recovered: ${describeWork(report)}.`;
  const lines = [style.strong(work)];
  for (const { transaction, path, why } of superseded) {
    lines.push(
      `  transaction ${String(transaction)}: ${printable(path)} stays as another program left it (${printable(why)})`,
    );
  }
  for (const { id, reason } of unresolved) {
    lines.push(
      style.alarming(`  transaction ${String(id)} is not resolved: ${printable(reason)}`),
      `    Remove what is in the way and run this again, or choose: --redo ${String(id)} or --undo ${String(id)}`,
    );
  }
  return lines.join('\n');
}

function describeWork({ transactions, changed }: RecoveryReport): string {
  if (transactions.length === 0) {
    return 'a writer ended before its commit; nothing had been changed';
  }
  const checked = `${counted(transactions.length, 'transaction')} checked`;
  const done = changed === 0 ? 'nothing to repair' : `${counted(changed, 'path')} repaired`;
  return `${checked}, ${done}`;
}
