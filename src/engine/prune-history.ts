import { type HistoryPolicy, retainHistory } from './history-policy.js';
import type { Journal } from './journal.js';
import type { TransactionRow } from './transaction-row.js';
import { unnamedObjectAgeMs } from './limits.js';
import { toSummary, type TransactionSummary } from './receipt.js';
import type { Session, Writer } from './writer.js';

/*
 * Drops what old transactions displaced, which every checkpoint does by itself beyond the limits:
 *
 * 1. Settle: what is not known to be on disk keeps everything.
 * 2. Decide (history-policy.ts). What was settled only now is left alone for a day: a program may
 *    still have the displaced file open. A transaction in trouble keeps everything.
 * 3. The journal says up to where, synced; then the slots go, each looked at once more (I3). Killed
 *    in between, the next recovery sweeps the rest.
 *
 * Rows stay: the log and the hash chain go back to the first transaction.
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
}

export interface PrunedTransaction {
  readonly transaction: TransactionSummary;
  readonly isKept: boolean;
  /** Why it keeps what it displaced, or why not. */
  readonly reason: string;
  /** Of what it displaced. */
  readonly bytes: number;
}

export interface PruningHistory {
  readonly journal: Journal;
  readonly writer: Writer;
  readonly session: Pick<Session, 'requireFence'>;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/** Runs under the lock. */
export async function pruneHistory(
  policy: HistoryPolicy,
  { isDryRun }: { readonly isDryRun: boolean },
  { journal, writer, session, now }: PruningHistory,
): Promise<PrunedHistory> {
  const fresh = new Set(
    journal
      .unsettled()
      .filter(({ committedAt }) => now - committedAt < unnamedObjectAgeMs)
      .map(({ id }) => id),
  );
  if (!isDryRun) await writer.settle();
  const rows = rowsThatKeep(journal);
  const oldestFresh = rows.findLastIndex(
    ({ id, trouble }) => fresh.has(id) && trouble === undefined,
  );
  const verdicts = retainHistory(
    rows.map((row, at) => ({ ...row, exempt: exemptionOf(row, at <= oldestFresh) })),
    policy,
    now,
  );
  const dropped = verdicts.flatMap(({ row, isKept }) => (isKept ? [] : [row]));
  const [newest] = dropped;
  if (!isDryRun && newest !== undefined) {
    // guard: prune-fence
    session.requireFence();
    await writer.prune(dropped);
  }
  const bytesOf = (some: readonly TransactionRow[]): number =>
    some.reduce((sum, { displacedBytes }) => sum + displacedBytes, 0);
  const bytesBefore = bytesOf(rows);
  return {
    transactions: verdicts.map(({ row, isKept, reason }) => ({
      transaction: toSummary(row),
      isKept,
      reason,
      bytes: row.displacedBytes,
    })),
    bytesBefore,
    bytesAfter: bytesBefore - bytesOf(dropped),
    prunedThrough: newest?.id ?? journal.prunedThrough(),
  };
}

/** Those that keep anything, newest first: of the ones that were pruned only what is in trouble. */
function rowsThatKeep(journal: Journal): readonly TransactionRow[] {
  const pruned = journal.prunedThrough();
  const rows: TransactionRow[] = [];
  for (const row of journal.newestFirst()) {
    if (row.id <= pruned) break;
    rows.push(row);
  }
  const troubled = journal.troubled().filter(({ id }) => id <= pruned);
  return [...rows, ...troubled.toSorted((one, other) => other.id - one.id)];
}

function exemptionOf({ state, trouble }: TransactionRow, isFresh: boolean): string | undefined {
  if (trouble !== undefined || state === 'undoing') return 'neither done nor undone';
  return isFresh ? 'settled just now, and not a day old' : undefined;
}
