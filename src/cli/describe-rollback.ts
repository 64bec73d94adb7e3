import type { RollbackOptions, RollbackReceipt, UndonePath } from '../engine/index.js';
import { describeCounts, listChanges } from './describe-change.js';
import { listedMax } from './describe-receipt.js';
import { describeForce } from './describe-undo.js';
import { counted, printable } from './printable.js';
import type { Style } from './style.js';

/** For one path, and for several. */
const remarks: Readonly<Record<UndonePath['outcome'], readonly [string, string] | undefined>> = {
  restored: undefined,
  merged: ['merged with what was changed since', 'merged with what was changed since'],
  overwritten: [
    'changed by other programs gives way (undo brings it back)',
    'changed by other programs give way (undo brings them back)',
  ],
  kept: ['kept as it is', 'kept as they are'],
  unchanged: ['is already as it was then', 'are already as they were then'],
  conflict: ['in conflict', 'in conflict'],
};

/** What `rollback` tells people. */
export function describeRollback(
  { transaction, paths, conflicts, needsForce }: RollbackReceipt,
  {
    to,
    isDryRun,
    isQuiet,
    style,
  }: {
    readonly to: RollbackOptions['to'];
    readonly isDryRun: boolean;
    readonly isQuiet: boolean;
    readonly style: Style;
  },
): string {
  const target =
    'snapshot' in to
      ? `snapshot ${printable(String(to.snapshot))}`
      : `transaction ${String(to.transaction)}`;
  const result =
    conflicts.length > 0
      ? style.alarming(`Would be refused: ${counted(conflicts.length, 'path')} in conflict.`)
      : describeResult({ transaction, paths }, { target, isDryRun });
  const force = describeForce(needsForce, style);
  if (isQuiet) return [style.strong(result), ...force].join('\n');
  const shown = conflicts
    .slice(0, listedMax)
    .map(({ path, why }) => `C ${printable(path)}  ${printable(why)}`);
  return [
    style.strong(result),
    ...force,
    ...shown,
    ...listChanges(transaction?.changes ?? [], listedMax),
    ...describeOutcomes(paths),
  ].join('\n');
}

function describeResult(
  { transaction, paths }: Pick<RollbackReceipt, 'transaction' | 'paths'>,
  { target, isDryRun }: { readonly target: string; readonly isDryRun: boolean },
): string {
  if (transaction === null) {
    return paths.some(({ outcome }) => outcome === 'kept')
      ? `Nothing to change: all that differs from ${target} is kept.`
      : `Nothing to change: it is as it was at ${target}.`;
  }
  const counts = describeCounts(transaction.changes);
  if (isDryRun) return `Would roll back to ${target}: ${counts}.`;
  return `Rolled back to ${target} by transaction ${String(transaction.id)}: ${counts}.`;
}

function describeOutcomes(paths: readonly UndonePath[]): readonly string[] {
  return (Object.keys(remarks) as UndonePath['outcome'][]).flatMap((outcome) => {
    const count = paths.filter((path) => path.outcome === outcome).length;
    const remark = remarks[outcome]?.[count === 1 ? 0 : 1];
    return count === 0 || remark === undefined ? [] : [`${counted(count, 'path')} ${remark}`];
  });
}
