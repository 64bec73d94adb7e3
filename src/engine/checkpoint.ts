import { EngineError, succeeds } from './errors.js';
import type { Place } from './file-system.js';
import { type HistoryVerdict, retainHistory } from './history-policy.js';
import { type Looking, statTree } from './inspect.js';
import type { Journal, Position } from './journal.js';
import { type Keeping, keepsDisplaced, reasonOfMark } from './keeping.js';
import { logBytesMax } from './limits.js';
import { journalLogName } from './store-directory.js';
import type { TransactionRow } from './transaction-row.js';
import type { RelativePath } from './path.js';
import { removableByItself, removeRecords } from './remove-records.js';
import { removeTreeIfPossible } from './remove-tree.js';
import { isObstacle, RootTree } from './root-tree.js';
import {
  isNestedStore,
  setAsideForeign,
  setAsideForeignSpare,
  type SettingAside,
  slotPlace,
} from './set-aside.js';
import { slotName, transactionOf } from './units.js';
import type { HighWaterMark } from './writer-lock.js';

/*
 * Settles what was applied, some time after it was acknowledged:
 *
 * 1. Hash every displaced file again: a program that held it open may have written to it since.
 *    Such bytes are nobody's before-image; they go to quarantine (I3).
 * 2. Barrier: the renames are on disk now.
 * 3. Mark the transactions settled: recovery need not look at them any more.
 * 4. Prune the before-images of transactions that were settled by an earlier checkpoint and are
 *    beyond the limit (I9): the journal says so first, then they are deleted.
 * 5. Remove the oldest records of what was pruned before (remove-records.ts).
 * 6. Empty SQLite's log, when it has grown: that takes three flushes.
 */

export interface Checkpointing extends SettingAside {
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** The writer's; a record is only removed while it is the newest. */
  readonly epoch: number;
}

/** Returns the paths whose before-image somebody wrote to after it was displaced. */
export async function checkpoint(
  transactions: readonly TransactionRow[],
  checkpointing: Checkpointing,
): Promise<readonly string[]> {
  const { barrier, journal } = checkpointing;
  const keeping = journal.keeping.get();
  const policy = journal.keeping.policy();
  const prunable = journal.history(keeping);
  const lateWrites: string[] = [];
  // First: what is late may have to be made writable to be set aside, behind a barrier.
  // guard: checkpoint-cover
  coverByBarrier(transactions, checkpointing);
  for (const transaction of transactions) {
    // guard: checkpoint-late-writes
    lateWrites.push(...(await setAsideForeign(transaction, checkpointing)));
  }
  // guard: checkpoint-barrier
  await barrier();
  journal.update(transactions.map(({ id }) => ({ id, state: 'settled' })));
  const rows = prunable.map((row) => ({ ...row, exempt: reasonOfMark(keeping.marks.get(row.id)) }));
  const verdicts = retainHistory(rows, policy, checkpointing.now());
  await prune(verdicts, checkpointing);
  const head = journal.head().id;
  const removing = { journal, keeping, now: checkpointing.now() };
  const through = removableByItself(policy, head, removing);
  if (through !== undefined) removeRecords(journal, through, checkpointing.epoch);
  if (logBytes(checkpointing) > logBytesMax) journal.truncateLog({ waits: true });
  return lateWrites;
}

function logBytes({ directory: { files, store } }: Checkpointing): number {
  return files.stat({ directory: store, name: journalLogName })?.size ?? 0;
}

/**
 * I2: a process that died, or an earlier opening of this store, may have applied these; a barrier
 * that knows only what went through it would settle what is not on disk.
 */
export function coverByBarrier(
  transactions: readonly TransactionRow[],
  { directory, journal }: Checkpointing,
): void {
  const { files, root, stage } = directory;
  if (files.capabilities.barrier === 'syncfs') return;
  using tree = new RootTree(files, root);
  for (const transaction of transactions) {
    for (const { path, slot } of journal.changes(transaction.id)) {
      tree.trim();
      const place = tree.locate(path);
      // guard: cover-path
      if (!isObstacle(place)) files.mustReachDisk(place);
      if (slot !== undefined) {
        // guard: cover-slot
        files.mustReachDisk({ directory: stage, name: slotName(transaction.stage, slot) });
      }
    }
  }
}

/** As {@link coverByBarrier}, for the contents of a transaction that may not be on disk yet. */
export async function coverStagedByBarrier(
  transaction: TransactionRow,
  { looking, directory, journal }: Checkpointing,
): Promise<void> {
  if (looking.files.capabilities.barrier === 'syncfs') return;
  for (const { slot, path } of journal.changes(transaction.id)) {
    if (slot === undefined) continue;
    const top = slotPlace(transaction, slot, directory);
    // guard: cover-staged-tree
    for await (const { place } of statTree(looking, top, path)) looking.files.mustReachDisk(place);
  }
}

/** Deletes what a transaction keeps in the stage directory. */
async function discardStage(
  transaction: TransactionRow,
  { looking, directory, journal, quarantine }: Checkpointing,
): Promise<void> {
  for (const { slot, path } of journal.changes(transaction.id)) {
    if (slot === undefined) continue;
    const place = slotPlace(transaction, slot, directory);
    if (await removeTreeIfPossible(looking, place)) continue;
    await succeeds(async () => {
      if (!(await holdsUnremovable(looking, place, path))) return;
      const why = 'its history is over, and it holds a mount or what has no name that can be given';
      // guard: discard-quarantine
      quarantine.takeIn(place, { path, transaction: transaction.id, why });
    });
  }
}

/** Tells whether a mount, or what has no name that can be given, is below a place. */
async function holdsUnremovable(
  looking: Looking,
  place: Place,
  path: RelativePath,
): Promise<boolean> {
  for await (const found of statTree(looking, place, path, 'yielded')) {
    const isOdd = found.image.kind === 'special' && found.stat === undefined;
    if (isOdd || isNestedStore(found)) return true;
  }
  return false;
}

/** Deletes what transactions displaced that are not kept; older ones that are get a mark. */
export async function prune(
  verdicts: readonly HistoryVerdict<TransactionRow>[],
  checkpointing: Checkpointing,
): Promise<void> {
  const pruned = verdicts.flatMap(({ row, isKept }) => (isKept ? [] : [row]));
  if (pruned.length === 0) return;
  const kept = verdicts.flatMap(({ row, isKept }) => (isKept ? [row.id] : []));
  checkpointing.journal.keeping.drop(
    pruned.map(({ id }) => id),
    kept,
  );
  for (const transaction of pruned) {
    // I3: the last look at what may have been written to since the transaction was settled.
    // guard: prune-late-writes
    await setAsideForeign(transaction, checkpointing);
    await discardStage(transaction, checkpointing);
  }
}

/**
 * Looks into the stage directory before anything is decided.
 *
 * @throws {EngineError} `JOURNAL_DAMAGED` when something belongs to a later transaction than the
 * journal knows: committed transactions are missing from it.
 */
export function refuseLostTransactions({ looking, directory, journal }: Checkpointing): void {
  const head = journal.head().id;
  for (const { name } of looking.files.list(directory.stage)) {
    const first = transactionOf(name)?.first ?? 0;
    // guard: lost-staged
    if (first > head + 1) throw lostTransactions(head, first);
  }
}

/**
 * Deletes what no transaction needs in the stage directory: contents of one that died before its
 * commit, of pruned and of undone ones.
 *
 * @returns whether nothing of it is left.
 */
export async function sweepStage(checkpointing: Checkpointing): Promise<boolean> {
  const { looking, directory, journal } = checkpointing;
  const keeping = journal.keeping.get();
  const fates = new Map<string, Fate>();
  let isSwept = true;
  for (const { name } of looking.files.list(directory.stage)) {
    if (looking.pace.isDue()) await looking.pace.turn();
    const owner = transactionOf(name);
    // Nothing of ours: whoever put it here may want it.
    if (owner === undefined) continue;
    const fate = fates.get(owner.prefix) ?? (await fateOf(owner, keeping, checkpointing));
    fates.set(owner.prefix, fate);
    const isDone = await sweep(name, { fate, id: owner.id }, checkpointing);
    isSwept &&= isDone;
  }
  return isSwept;
}

/** @returns whether nothing is left of what should go. */
async function sweep(
  name: string,
  { fate, id }: { readonly fate: Fate; readonly id: number },
  checkpointing: Checkpointing,
): Promise<boolean> {
  const { looking, directory, quarantine } = checkpointing;
  const place: Place = { directory: directory.stage, name };
  switch (fate) {
    case 'needed':
      return true;
    case 'goes': {
      // guard: sweep-spare [() => setAsideForeignSpare(name, id, checkpointing) becomes () => {}]
      const isSeen = await succeeds(() => setAsideForeignSpare(name, id, checkpointing));
      return isSeen && (await removeTreeIfPossible(looking, place));
    }
    case 'unseen':
      return succeeds(() => {
        const why = 'its history is over, and what is in it cannot be looked at';
        quarantine.takeIn(place, { path: '', transaction: id, why });
      });
  }
}

/** `unseen`: what is in it cannot be looked at, so nobody may delete it. */
type Fate = 'needed' | 'goes' | 'unseen';

/** Decides about what a transaction has in the stage directory; prunes again what should be gone. */
async function fateOf(
  { id, prefix }: { readonly id: number; readonly prefix: string },
  keeping: Keeping,
  checkpointing: Checkpointing,
): Promise<Fate> {
  const transaction = checkpointing.journal.transaction(id);
  if (transaction?.stage !== prefix) return 'goes';
  if (keepsDisplaced(transaction, keeping)) return 'needed';
  const isPruned = await succeeds(async () => {
    // I3: pruning was killed, or could not delete it; somebody may have written there since.
    // guard: sweep-late-writes
    await setAsideForeign(transaction, checkpointing);
    await discardStage(transaction, checkpointing);
  });
  return isPruned ? 'goes' : 'unseen';
}

/**
 * I2: `owner` is written when the journal is on disk. SQLite takes a damaged log for one that ends
 * early, and says nothing.
 *
 * @throws {EngineError} `JOURNAL_DAMAGED` when the journal has less than it had, or something else.
 */
export function refuseLostWrites(
  { head, writes }: HighWaterMark,
  position: Position,
  journal: Journal,
): void {
  // guard: lost-head
  if (head.id > position.head.id) throw lostTransactions(position.head.id, head.id);
  const known = head.id === position.head.id ? position.head : journal.headAt(head.id);
  // Before the anchor: of a record that is older than the journal.
  const isKnown = known !== undefined && head.id > 0;
  // guard: lost-chain [if false]
  if (isKnown && known.chain !== head.chain) {
    throw lostWrites(
      `transaction ${String(head.id)} of the journal is not the one that was applied`,
    );
  }
  // guard: lost-writes [if false]
  if (writes > position.writes) {
    throw lostWrites(
      `the journal was written to ${String(writes)} times, and only ${String(position.writes)} are left`,
    );
  }
}

/** The journal ends before a transaction that there is evidence of. */
function lostTransactions(head: number, evidence: number): EngineError {
  return lostWrites(
    `the journal ends at transaction ${String(head)}, but there are traces of transaction ${String(evidence)}`,
  );
}

function lostWrites(found: string): EngineError {
  return new EngineError('JOURNAL_DAMAGED', found, {
    hint: 'Nothing is written until this is resolved; your files are as they were left. See: skillmeat verify, skillmeat repair; or restore .skillmeat as a whole from a backup',
  });
}
