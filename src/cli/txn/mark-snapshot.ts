import type { MarkSnapshotOptions, Snapshot } from '../../engine/index.js';
import type { Context } from '../context.js';
import { titleOf } from '../describe-snapshot.js';
import { type ExitCode, success } from '../exit-codes.js';
import { openForCommand } from '../open-store.js';
import { printable } from '../printable.js';

export interface MarkSnapshotFlags {
  readonly dryRun?: boolean;
}

/** Pins or tags a snapshot, or takes that back. */
export async function markSnapshot(
  context: Context,
  reference: string,
  marking: MarkSnapshotOptions,
): Promise<ExitCode> {
  const { output, signal } = context;
  await using store = await openForCommand(context);
  const snapshot = await store.snapshots.mark(reference, { ...marking, signal });
  const isDryRun = marking.dryRun === true;
  output.answer({ snapshot }, output.style.strong(describe(snapshot, isDryRun)));
  return success;
}

function describe(snapshot: Snapshot, isDryRun: boolean): string {
  const { isPinned, tags } = snapshot;
  const marks = [
    ...(isPinned ? ['pinned'] : []),
    ...(tags.length === 0 ? [] : [`tagged ${tags.map(printable).join(', ')}`]),
  ];
  const is = isDryRun ? 'would be' : 'is';
  const name = `Snapshot ${titleOf(snapshot)}`;
  return marks.length === 0
    ? `${name} ${is} neither pinned nor tagged, and can be pruned.`
    : `${name} ${is} ${marks.join(' and ')}: no pruning takes it.`;
}
