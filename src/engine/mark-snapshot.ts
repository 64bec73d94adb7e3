import type { Journal } from './journal.js';
import { isSameMark, markedAs, type Marking } from './keeping.js';
import { parseTags } from './snapshot-record.js';
import type { SnapshotRow } from './snapshot-table.js';

/**
 * Marks a snapshot under the lock, synced. Nothing is written when nothing changes.
 *
 * @throws {EngineError} `SNAPSHOT_INVALID`.
 */
export function markSnapshot(
  row: SnapshotRow,
  marking: Marking,
  {
    journal,
    epoch,
    isDryRun,
  }: { readonly journal: Journal; readonly epoch: number; readonly isDryRun: boolean },
): SnapshotRow {
  const { isPinned, tags } = markedAs(row, marking);
  const marked = { ...row, isPinned, tags: parseTags(tags) };
  if (!isDryRun && !isSameMark(marked, row)) journal.snapshots.rewrite(marked, epoch);
  return marked;
}
