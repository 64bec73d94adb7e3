import { type HistoryPolicy, retainHistory } from './history-policy.js';
import type { Journal } from './journal.js';
import type { TransactionRow } from './transaction-row.js';
import { type Mark, reasonOfMark } from './keeping.js';
import { unnamedObjectAgeMs } from './limits.js';
import { removableThrough, removeRecords } from './remove-records.js';
import { toSummary, type TransactionSummary } from './receipt.js';
import type { PackingHistory } from './pack-candidate.js';
import { type PackedHistory, packHistory, removeUnneededPacks } from './pack-history.js';
import type { Writer } from './writer.js';

/*
 * Drops what old transactions displaced, which every checkpoint does by itself beyond the limits:
 *
 * 1. Settle: what is not known to be on disk keeps everything.
 * 2. Decide (history-policy.ts). What is younger than a day is left alone, however often this is
 *    called, unless all is asked for now: a program may still have the displaced file open. One in trouble keeps everything, and
 *    so does one that is pinned or tagged.
 * 3. The journal says up to where, synced; then the slots go, each looked at once more (I3). Killed
 *    in between, the next recovery sweeps the rest.
 *
 * 4. If asked for, put what is kept into packs (pack-history.ts); and packs go that nothing needs.
 *
 * 5. Of what was pruned before, the oldest records go (remove-records.ts); the journal's file becomes
 *    smaller when that left much of it unused.
 */

/** What `prune` did, or would do. */
export interface PrunedHistory {
  /** Every transaction that kept anything, newest first. */
  readonly transactions: readonly PrunedTransaction[];
  /** Of what was displaced, before and after. */
  readonly bytesBefore: number;
  readonly bytesAfter: number;
  /** Transactions up to this number cannot be undone any more, then. */
  readonly prunedThrough: number;
  /** How many records of transactions are removed from the log: the oldest. */
  readonly removedRecords: number;
  /** What was put into packs; `null`: it was not asked for. */
  readonly packed: PackedHistory | null;
}

export interface PrunedTransaction {
  readonly transaction: TransactionSummary;
  readonly isKept: boolean;
  /** Why it keeps what it displaced, or why not. */
  readonly reason: string;
  /** Of what it displaced. */
  readonly bytes: number;
}

export interface PruningHistory extends PackingHistory {
  readonly writer: Writer;
}

export interface PruningTerms {
  readonly isDryRun: boolean;
  readonly packs: boolean;
  /** Whether what is younger than a day may go as well. */
  readonly takesYoung: boolean;
}

/** Runs under the lock. */
export async function pruneHistory(
  policy: HistoryPolicy,
  { isDryRun, packs, takesYoung }: PruningTerms,
  pruning: PruningHistory,
): Promise<PrunedHistory> {
  const { journal, writer, session, now } = pruning;
  if (!isDryRun) await writer.settle();
  const before = journal.keeping.get();
  const { marks } = before;
  const rows = rowsThatKeep(journal);
  // What is newer stays as well: the journal says up to where it is pruned.
  const oldestYoung = rows.findLastIndex(
    ({ committedAt, trouble }) => now - committedAt < unnamedObjectAgeMs && trouble === undefined,
  );
  const verdicts = retainHistory(
    rows.map((row, at) => ({
      ...row,
      exempt: exemptionOf(row, marks.get(row.id), !takesYoung && at <= oldestYoung),
    })),
    policy,
    now,
  );
  const dropped = verdicts.flatMap(({ row, isKept }) => (isKept ? [] : [row]));
  if (!isDryRun && dropped.length > 0) {
    // guard: prune-fence
    session.requireFence();
    await writer.prune(verdicts);
  }
  const through = removableThrough(policy, { journal, keeping: before, now });
  const removedRecords = isDryRun
    ? through - journal.anchors.get().through
    : removeRecords(journal, through, session.epoch);
  if (!isDryRun) journal.shrink();
  const packed = packs ? await packHistory({ isDryRun }, pruning) : null;
  if (!packs && !isDryRun) await removeUnneededPacks(pruning);
  if (!isDryRun) journal.truncateLog({ waits: false });
  const bytesOf = (some: readonly TransactionRow[]): number =>
    some.reduce((sum, { displacedBytes }) => sum + displacedBytes, 0);
  const bytesBefore = bytesOf(rows);
  const keeping = journal.keeping.get();
  return {
    transactions: verdicts.map(({ row, isKept, reason }) => ({
      transaction: toSummary(row, keeping),
      isKept,
      reason,
      bytes: row.displacedBytes,
    })),
    bytesBefore,
    bytesAfter: bytesBefore - bytesOf(dropped),
    prunedThrough: Math.max(journal.keeping.prunedThrough(), ...dropped.map(({ id }) => id)),
    removedRecords,
    packed,
  };
}

/** Those that keep anything, newest first: of the ones that were pruned only what is in trouble or marked. */
function rowsThatKeep(journal: Journal): readonly TransactionRow[] {
  const rows = new Map([...journal.keepers()].map((row) => [row.id, row]));
  for (const row of journal.troubled()) rows.set(row.id, row);
  return [...rows.values()].toSorted((one, other) => other.id - one.id);
}

function exemptionOf(
  { state, trouble }: TransactionRow,
  mark: Mark | undefined,
  isYoung: boolean,
): string | undefined {
  if (trouble !== undefined || state === 'undoing') return 'neither done nor undone';
  return reasonOfMark(mark) ?? (isYoung ? 'not a day old' : undefined);
}
