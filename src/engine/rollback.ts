import { EngineError } from './errors.js';
import { displacedRows } from './history.js';
import { keepsDisplaced } from './keeping.js';
import type { Journal } from './journal.js';
import type { TransactionRow } from './transaction-row.js';
import type { Pace } from './pace.js';
import { quote, type RelativePath } from './path.js';
import { noParts, type UndoRequest } from './undo.js';
import { pathWithoutRow, rowsWithin, UndoneRows, type UndoneRow } from './undo-rows.js';

/*
 * Rolling back to transaction N is undoing all that came after it, at once: for each path that
 * these changed, the before-image of the first is the target, and what the newest left is what we
 * expect to find. What transactions did in between does not matter: it stays in history.
 */

export interface RollbackTerms {
  /** Number of the transaction; 0 is before the first. */
  readonly to: number;
  /** Only these and what is below them. */
  readonly paths: readonly RelativePath[] | undefined;
  /** Whether what other programs changed stays, merged where it must be. */
  readonly keepsLocal: boolean;
  /** Whether the target wins everywhere, and however much is removed. */
  readonly forces: boolean;
  readonly isDryRun: boolean;
  readonly message: string | undefined;
}

/**
 * Returns what rolling back to a transaction means.
 *
 * @throws {EngineError} `TRANSACTION_NOT_FOUND`, `PATH_NOT_FOUND`, `HISTORY_PRUNED`.
 */
export async function requestRollback(
  journal: Journal,
  { to, paths, keepsLocal, forces, isDryRun, message }: RollbackTerms,
  pace: Pace,
): Promise<UndoRequest> {
  if (to > journal.head().id || to < journal.anchors.get().through) {
    throw journal.anchors.unknown(to);
  }
  const all = await rowsAfter(journal, to, pace);
  const missing = paths && pathWithoutRow(all, paths);
  if (missing !== undefined) requireKnown(journal, missing);
  const rows = rowsWithin(all, paths);
  requireKept(journal, rows);
  const refusal = `the directory cannot be rolled back to transaction ${String(to)}`;
  const others = 'roll back other paths with --only';
  return {
    ...noParts,
    rows,
    merges: keepsLocal,
    forces: forces || !keepsLocal,
    keepsUnknown: true,
    removesAll: forces,
    tellsConflicts: isDryRun,
    message: message ?? messageFor(to, journal.transaction(to)),
    annotations: { rollsBackTo: to, ...(paths !== undefined && { paths }) },
    words: {
      refusal,
      unknown: 'which no transaction since then put there',
      conflictHint: keepsLocal
        ? `Leave out --keep-local, or ${others}: what is there now stays in history.`
        : `Move it away, or ${others}.`,
      damagedHint: `See which with --json; ${others}, or to a snapshot: skillmeat snapshot list`,
    },
  };
}

/** What transactions after `to` changed, a row for each path; those without effect do not count. */
async function rowsAfter(journal: Journal, to: number, pace: Pace): Promise<readonly UndoneRow[]> {
  const rows = new UndoneRows();
  const head = journal.head().id;
  for (let id = to + 1; id <= head; id += 1) {
    if (pace.isDue()) await pace.turn();
    const transaction = journal.transaction(id);
    if (transaction === undefined || !isDone(transaction)) continue;
    rows.add(id, displacedRows(transaction, journal.changes(id)));
  }
  return rows.sorted();
}

function isDone({ state, trouble }: TransactionRow): boolean {
  return trouble === undefined && (state === 'committed' || state === 'settled');
}

/** A path that no transaction ever touched is a slip of the pen; others are as they were. */
function requireKnown(journal: Journal, path: RelativePath): void {
  if (journal.logOf(path, 1, Number.MAX_SAFE_INTEGER).length > 0) return;
  // Of a removed transaction's.
  if (journal.changesAfter({ id: 0, sequence: 0 }, 1, { within: path }).length > 0) return;
  throw new EngineError('PATH_NOT_FOUND', `no transaction has changed anything at ${quote(path)}`, {
    path,
    hint: 'See what transactions have changed: skillmeat txn blame',
  });
}

function requireKept(journal: Journal, rows: readonly UndoneRow[]): void {
  const keeping = journal.keeping.get();
  const pruned = keeping.prunedThrough;
  const isKept = (id: number): boolean => {
    // Nearly all are, and a row need not be read for it.
    if (id > pruned) return true;
    const transaction = journal.transaction(id);
    return transaction !== undefined && keepsDisplaced(transaction, keeping);
  };
  const gone = rows.find(
    ({ displacedBy, target }) => target.kind !== 'absent' && !isKept(displacedBy),
  );
  if (gone === undefined) return;
  throw new EngineError(
    'HISTORY_PRUNED',
    `what transaction ${String(gone.displacedBy)} displaced at ${quote(gone.path)} is no longer kept; the oldest that can be rolled back to is ${String(pruned)}`,
    { path: gone.path, hint: 'A snapshot from before it may still have the files.' },
  );
}

function messageFor(to: number, row: TransactionRow | undefined): string {
  const [subject = ''] = (row?.message ?? '').split('\n', 1);
  return `roll back to ${String(to)}${subject === '' ? '' : `: ${subject}`}`;
}
