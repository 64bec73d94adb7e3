import {
  type AdoptedPath,
  adoptable,
  coverAdopted,
  plannedAdoption,
  recordAdopted,
} from './adopt.js';
import type { Committing } from './commit.js';
import { lookAt } from './drift.js';
import { isEngineError } from './errors.js';
import { type ContentHash, parseContentHash } from './hash.js';
import { notToBeHad } from './history.js';
import { type Image, isSameImage } from './image.js';
import type { Journal } from './journal.js';
import { readKnownPaths } from './known-path.js';
import { differingPaths } from './listing-differences.js';
import type { ObjectStore } from './object-store.js';
import { Pace } from './pace.js';
import { comparePaths, type RelativePath } from './path.js';
import { RootTree } from './root-tree.js';
import type { Scanned } from './scan.js';
import { listingReader, TreeLookup } from './snapshot-tree.js';
import type { Adopting, SnapshotAdoption } from './take-snapshot.js';
import type { Head } from './transaction-row.js';

/*
 * What other programs changed, as the scan for a snapshot saw it, becomes a transaction, written in the
 * same step as the snapshot:
 *
 * 0. Nothing, if neither the log nor the directory changed since it was done last.
 * 1. Compare what the journal says of the paths that changed since, there or here, with what the scan
 *    saw; if that cannot be told, of every path that it knows. No file is read for that. What the scan
 *    left out it did not see.
 * 2. Settle, and look again at the few paths that differ: what is no longer as the scan saw it is
 *    not in the snapshot, and waits for the next one.
 * 3. Record the rest (adopt.ts), behind the barrier that is the snapshot's. Its contents are objects by
 *    then, and on disk: when the next edit displaces them they are still there to go back to.
 */

export interface ScannedTerms {
  /** What the transaction is to say. */
  readonly message: string;
  readonly objects: ObjectStore;
  readonly signal: AbortSignal | undefined;
}

/**
 * Returns the drift that a scan saw and that is still there, for the next barrier to cover. Runs under
 * the lock.
 */
export async function findAdoption(
  scanned: Scanned,
  { message, ...terms }: ScannedTerms,
  committing: Committing,
): Promise<Adopting> {
  const { directory, journal, writer } = committing;
  const blocked = blockedBy(journal);
  if (blocked !== null || journal.meta(adoptedKey) === stateOf(scanned, journal.head())) {
    return { ...nothingToAdopt, blocked };
  }
  const seen = await findScannedDrift(scanned, terms, committing);
  if (seen.length > 0) await writer.settle();
  const { files, root } = directory;
  const looking = { files, pace: new Pace(terms.signal) };
  const still: AdoptedPath[] = [];
  using tree = new RootTree(files, root);
  for (const drifted of seen) {
    const found = await lookAt(drifted.path, { looking, tree });
    if (isSameImage(found, drifted.after)) still.push(drifted);
  }
  coverAdopted(still, directory);
  const isAll = still.length === seen.length;
  return {
    blocked,
    record:
      still.length === 0
        ? undefined
        : (session, alongside) => recordAdopted(still, message, { committing, session, alongside }),
    noteAt: (head) => (isAll ? { [adoptedKey]: stateOf(scanned, head) } : {}),
  };
}

export const nothingToAdopt: Adopting = {
  blocked: null,
  record: undefined,
  noteAt: () => ({}),
};

/** The newest transaction and the state of the directory for which no drift was left to adopt. */
const adoptedKey = 'drift_adopted';

/** With more changed paths, or rows of the log, than this, all are compared. */
const changedPathsMax = 10_000;

function stateOf({ sha256 }: Scanned, { id, chain }: Head): string {
  return `${String(id)} ${chain} ${sha256}`;
}

/** Returns where no drift was left to adopt, if the log still has that transaction. */
function lastAdopted(
  journal: Journal,
): { readonly id: number; readonly sha256: ContentHash } | undefined {
  const [id = '', chain, hash = ''] = String(journal.meta(adoptedKey)).split(' ');
  const sha256 = parseContentHash(hash);
  // By the chain, not by the number alone: a journal that was built anew may give that a second time.
  // guard: adopted-chain [journal.headAt(Number(id))?.chain !== chain becomes false]
  if (sha256 === undefined || journal.headAt(Number(id))?.chain !== chain) return undefined;
  return { id: Number(id), sha256 };
}

/** Tells what would be adopted. Writes nothing, and needs no lock. */
export async function planAdoptScanned(
  scanned: Scanned,
  { message, ...terms }: ScannedTerms,
  committing: Committing,
): Promise<SnapshotAdoption> {
  const blocked = blockedBy(committing.journal);
  if (blocked !== null) return { transaction: null, blocked };
  const seen = await findScannedDrift(scanned, terms, committing);
  return { ...plannedAdoption(seen, message, committing), blocked };
}

/** What is neither done nor undone must not be taken for somebody else's. */
function blockedBy(journal: Journal): string | null {
  const [troubled] = journal.troubled();
  if (troubled === undefined) return null;
  return `transaction ${String(troubled.id)} is ${troubled.trouble ?? 'in trouble'}`;
}

async function findScannedDrift(
  scanned: Scanned,
  { objects, signal }: Omit<ScannedTerms, 'message'>,
  { journal }: Committing,
): Promise<readonly AdoptedPath[]> {
  const pace = new Pace(signal);
  const lookup = new TreeLookup(listingReader(objects, scanned.listings));
  const among = await changedSinceAdopted(scanned, lookup, { journal, pace });
  const drift = [];
  for (const [path, expected] of await readImages(journal, among, pace)) {
    if (pace.isDue()) await pace.turn();
    const found = await lookup.imageAt(scanned.sha256, path);
    if (found === undefined || isSameImage(found, expected)) continue;
    drift.push({ path, expected, found });
  }
  return adoptable(drift.toSorted((a, b) => comparePaths(a.path, b.path)));
}

/** Returns what the log says of those paths that it knows, or of all. */
async function readImages(
  journal: Journal,
  among: ReadonlySet<RelativePath> | undefined,
  pace: Pace,
): Promise<ReadonlyMap<RelativePath, Image>> {
  if (among !== undefined) {
    return new Map(journal.lastChanges(among).map(({ path, after }) => [path, after]));
  }
  const known = await readKnownPaths(journal, { asOf: journal.head().id, pace });
  return new Map([...known].map(([path, { image }]) => [path, image]));
}

/**
 * Returns the paths that may have drift by now: those that the scan saw otherwise than when the last drift
 * was adopted, and those that transactions have changed since. `undefined`: all.
 */
async function changedSinceAdopted(
  { sha256 }: Scanned,
  lookup: TreeLookup,
  { journal, pace }: { readonly journal: Journal; readonly pace: Pace },
): Promise<ReadonlySet<RelativePath> | undefined> {
  const adopted = lastAdopted(journal);
  if (adopted === undefined) return undefined;
  const after = { id: adopted.id, sequence: Number.MAX_SAFE_INTEGER };
  const rows = journal.changesAfter(after, changedPathsMax, {});
  if (rows.length >= changedPathsMax) return undefined;
  const changed = new Set(rows.map(({ path }) => path));
  try {
    for await (const { path, from } of differingPaths(lookup, {
      from: adopted.sha256,
      to: sha256,
    })) {
      // Below what was left out then, nobody has looked for drift.
      // guard: adopted-left-out [from?.kind === 'left-out' becomes false]
      if (from?.kind === 'left-out' || changed.size >= changedPathsMax) return undefined;
      if (pace.isDue()) await pace.turn();
      changed.add(path);
    }
  } catch (error) {
    // That snapshot is gone, and its listings with it; or only a newer Node can read them.
    if (!isEngineError(error, ...notToBeHad)) throw error;
    return undefined;
  }
  return changed;
}
