import { parseAnnotations } from './annotations.js';
import type { Journal } from './journal.js';
import type { Keeping } from './keeping.js';
import { historyRecordsMax, unnamedObjectAgeMs } from './limits.js';
import type { HistoryPolicy } from './history-policy.js';

/*
 * The log itself must not grow for ever (I9). What an earlier pruning made useless goes at last:
 *
 * 1. Only what keeps nothing any more, since an earlier session at least, and is a day old.
 * 2. Only from the old end, up to the first that is pinned, tagged, unsettled or in trouble, or that
 *    one that stays undoes: without it nobody could tell an undo from a redo.
 * 3. In one SQLite transaction, with the anchor that the rest of the chain builds on.
 */

/** How many more than asked for there are before it is worth while, as a share. */
const slack = 1 / 8;

export interface RemovingRecords {
  readonly journal: Journal;
  /** As it was before anything was pruned now. */
  readonly keeping: Keeping;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/** Returns the last transaction whose record may go, or the last that went before. */
export function removableThrough(
  { keepRecords = historyRecordsMax }: HistoryPolicy,
  { journal, keeping, now }: RemovingRecords,
): number {
  const head = journal.head().id;
  const removed = journal.anchors.get().through;
  const unsettled = journal.unsettled().map(({ id }) => id);
  let through = Math.min(
    head - Math.max(1, keepRecords),
    keeping.prunedThrough,
    ...[...keeping.marks.keys(), ...unsettled].map((id) => id - 1),
  );
  for (const { id, annotations, committedAt } of journal.newestFirst()) {
    if (through <= removed) return removed;
    if (id > through) {
      const { undoes = id } = parseAnnotations(annotations);
      if (undoes <= through) through = undoes - 1;
    } else if (now - committedAt < unnamedObjectAgeMs) {
      // It stays, and what it undoes with it.
      through = Math.min(id, parseAnnotations(annotations).undoes ?? id) - 1;
    } else break;
  }
  return Math.max(through, removed);
}

/** As {@link removableThrough}, but looks only when there is much to remove: for who does it often. */
export function removableByItself(
  policy: HistoryPolicy,
  head: number,
  removing: RemovingRecords,
): number | undefined {
  const count = head - removing.journal.anchors.get().through;
  const isWorthWhile = count > (policy.keepRecords ?? historyRecordsMax) * (1 + slack);
  return isWorthWhile ? removableThrough(policy, removing) : undefined;
}

/** Removes records. Runs under the lock. @returns how many. @throws {EngineError} `FENCED`, …. */
export function removeRecords(journal: Journal, through: number, epoch: number): number {
  const removed = journal.anchors.get().through;
  const last = through > removed ? journal.transaction(through) : undefined;
  if (last === undefined) return 0;
  journal.anchors.removeThrough(through, last.chain, epoch);
  return through - removed;
}
