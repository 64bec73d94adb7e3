import { EngineError } from './errors.js';
import type { Place } from './file-system.js';
import { type FoundImage, isSameImage } from './image.js';
import { inspectTree, type Looking } from './inspect.js';
import type { Journal, TransactionRow } from './journal.js';
import { historyBytesMax, historyTransactionsMax } from './limits.js';
import type { RelativePath } from './path.js';
import type { Quarantine } from './quarantine.js';
import { removeIfEmpty, removeTree } from './remove-tree.js';
import type { StoreDirectory } from './store-directory.js';
import { toUnits } from './units.js';

/*
 * Settles what was applied, some time after it was acknowledged:
 *
 * 1. Hash every displaced file again: a program that held it open may have written to it since.
 *    Such bytes are nobody's before-image; they go to quarantine (I3).
 * 2. Barrier: the renames are on disk now.
 * 3. Mark the transactions settled: recovery need not look at them any more.
 * 4. Prune the before-images of transactions that were settled by an earlier checkpoint and are
 *    beyond the limit (I9): the journal says so first, then they are deleted.
 * 5. Empty SQLite's log.
 */

export interface Checkpointing {
  readonly looking: Looking;
  readonly directory: StoreDirectory;
  readonly journal: Journal;
  readonly quarantine: Quarantine;
}

/** Returns the paths whose before-image somebody wrote to after it was displaced. */
export async function checkpoint(
  transactions: readonly TransactionRow[],
  checkpointing: Checkpointing,
): Promise<readonly string[]> {
  const { directory, journal } = checkpointing;
  const prunable = journal.history();
  const lateWrites: string[] = [];
  for (const transaction of transactions) {
    lateWrites.push(...(await setAsideForeign(transaction, checkpointing)));
  }
  await directory.files.barrier(directory.root);
  journal.update(transactions.map(({ id }) => ({ id, state: 'settled' })));
  for (const { stage } of transactions) removeIfEmpty(checkpointing.looking, stagePlace(stage, directory));
  await prune(prunable, checkpointing);
  journal.truncateLog();
  return lateWrites;
}

function stagePlace(stage: string, directory: StoreDirectory): Place {
  return { directory: directory.stage, name: stage };
}

/**
 * Moves out of a transaction's stage directory what is neither before- nor after-image of it.
 *
 * @returns the paths that it belonged to.
 */
export async function setAsideForeign(
  transaction: TransactionRow,
  { looking, directory, journal, quarantine }: Checkpointing,
): Promise<readonly string[]> {
  const known = new Map<string, FoundImage[]>();
  const pathOf = new Map<string, RelativePath>();
  for (const { slot, path, rows } of toUnits(journal.changes(transaction.id))) {
    if (slot === undefined) continue;
    for (const row of rows) {
      const at = `${transaction.stage}/${slot}${row.path.slice(path.length)}`;
      known.set(at, [row.before, row.after]);
      pathOf.set(at, row.path);
    }
  }
  const stage = stagePlace(transaction.stage, directory);
  const late: string[] = [];
  const found = inspectTree(looking, stage, transaction.stage as RelativePath);
  for await (const { path, place, image } of found) {
    const images = known.get(path);
    if (image.kind === 'directory' || image.kind === 'absent') continue;
    if (images?.some((candidate) => isSameImage(candidate, image)) === true) continue;
    // Recovery's own spare names hold images that it has checked.
    if (images === undefined && image.kind === 'file' && isSpare(place.name)) continue;
    const original = pathOf.get(path) ?? path;
    late.push(original);
    quarantine.takeIn(place, {
      path: original,
      transaction: transaction.id,
      why: 'written to by another program after the engine had displaced it',
    });
  }
  return late;
}

function isSpare(name: string): boolean {
  return name.startsWith('displaced-');
}

/** Deletes the stage directory of a transaction that was undone; all that is in it is ours. */
export async function discardStage(
  { stage }: TransactionRow,
  { looking, directory }: Checkpointing,
): Promise<void> {
  await removeTree(looking, stagePlace(stage, directory));
}

async function prune(
  history: readonly TransactionRow[],
  { looking, directory, journal }: Checkpointing,
): Promise<void> {
  let bytes = 0;
  const firstTooMany = history.findIndex(({ displacedBytes }, i) => {
    bytes += displacedBytes;
    return i >= historyTransactionsMax || bytes > historyBytesMax;
  });
  const pruned = firstTooMany < 0 ? [] : history.slice(firstTooMany);
  const newest = pruned[0];
  if (newest === undefined) return;
  journal.setMeta({ pruned_through: newest.id });
  for (const { stage } of pruned) await removeTree(looking, stagePlace(stage, directory));
}

/**
 * Deletes stage directories that no transaction needs: of one that died before its commit, of
 * pruned and of undone ones.
 *
 * @throws {EngineError} `JOURNAL_DAMAGED` when a directory belongs to a later transaction than the
 * journal knows: committed transactions are missing from it.
 */
export async function sweepStage({ looking, directory, journal }: Checkpointing): Promise<void> {
  const head = journal.head().id;
  const prunedThrough = journal.prunedThrough();
  for (const { name } of looking.files.list(directory.stage)) {
    const id = Number.parseInt(name, 10);
    if (id > head + 1) throw lostTransactions(head, id);
    const transaction = Number.isNaN(id) ? undefined : journal.transaction(id);
    const isNeeded =
      transaction?.stage === name &&
      (transaction.state === 'committed' ||
        transaction.state === 'undoing' ||
        (transaction.state === 'settled' && id > prunedThrough));
    if (!isNeeded) await removeTree(looking, stagePlace(name, directory));
  }
}

/** The journal ends before a transaction that there is evidence of. */
export function lostTransactions(head: number, evidence: number): EngineError {
  return new EngineError(
    'JOURNAL_DAMAGED',
    `the journal ends at transaction ${String(head)}, but there are traces of transaction ${String(evidence)}`,
    {
      hint: 'Nothing is written until this is resolved. Restore .skillmeat/journal.db* from a backup.',
    },
  );
}
