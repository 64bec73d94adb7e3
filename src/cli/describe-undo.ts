import type { UndoReceipt } from '../engine/index.js';
import { describeCounts, listChanges } from './describe-change.js';
import { listedMax } from './describe-receipt.js';
import { counted, printable } from './printable.js';
import type { Style } from './style.js';

/** What `undo` and `redo` tell people. */
export function describeUndo(
  kind: 'undo' | 'redo',
  { transaction, undone, paths, needsForce }: UndoReceipt,
  { isQuiet, style }: { readonly isQuiet: boolean; readonly style: Style },
): string {
  const number = String(undone);
  if (transaction === null) {
    return `Nothing to change: what transaction ${number} changed is as it was before it. An older one: skillmeat ${kind} ID`;
  }
  const { id, changes } = transaction;
  const result = `${said(kind, id, number)}: ${describeCounts(changes)}.`;
  const remarks = (['merged', 'overwritten', 'kept', 'unchanged'] as const).flatMap((outcome) => {
    const count = paths.filter((path) => path.outcome === outcome).length;
    return count === 0 ? [] : [`${counted(count, 'path')} ${outcome}`];
  });
  const list = isQuiet ? [] : listChanges(changes, listedMax);
  const force = describeForce(needsForce, style);
  return [style.strong(result), ...force, ...list, ...(isQuiet ? [] : remarks)].join('\n');
}

/** What a dry run would be refused for. */
export function describeForce(needsForce: string | undefined, style: Style): readonly string[] {
  if (needsForce === undefined) return [];
  return [style.alarming(`It needs --force: ${printable(needsForce)}.`)];
}

/** `undone` is, of a redo, the undo that it takes back. */
function said(kind: 'undo' | 'redo', id: number | null, undone: string): string {
  if (kind === 'redo') {
    const redo = id === null ? 'Would redo' : `Redone by transaction ${String(id)}`;
    return `${redo} what transaction ${undone} undid`;
  }
  return id === null
    ? `Would undo transaction ${undone}`
    : `Undone transaction ${undone} by transaction ${String(id)}`;
}
