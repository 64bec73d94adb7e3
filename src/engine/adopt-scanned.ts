import { adopt, type AdoptedPath, adoptable, plannedAdoption } from './adopt.js';
import type { Committing } from './commit.js';
import { lookAt } from './drift.js';
import { absent, isSameImage, type Image } from './image.js';
import type { Journal } from './journal.js';
import { readKnownPaths } from './known-path.js';
import type { ListingEntry } from './listing.js';
import type { ObjectStore } from './object-store.js';
import { Pace } from './pace.js';
import { comparePaths, type RelativePath } from './path.js';
import type { Receipt } from './receipt.js';
import { RootTree } from './root-tree.js';
import type { Scanned } from './scan.js';
import { listingReader, walkListing } from './snapshot-tree.js';
import type { Session } from './writer.js';

/*
 * What other programs changed, as the scan for a snapshot saw it, becomes a transaction:
 *
 * 0. Nothing, if neither the log nor the directory changed since it was done last.
 * 1. Compare what the journal says of every path that it knows with what the scan saw there.
 *    Nothing is read for that. What the scan left out it did not see.
 * 2. Settle, and look again at the few paths that differ: what is no longer as the scan saw it is
 *    not in the snapshot, and waits for the next one.
 * 3. Record the rest (adopt.ts). Its contents are objects by now, and on disk: when the next edit
 *    displaces them they are still there to go back to.
 */

/** What became of the drift that a scan saw. */
export interface ScannedAdoption {
  /** `null`: there was none, or it could not be recorded. */
  readonly transaction: Receipt['transaction'];
  /** Why it could not be recorded. */
  readonly blocked: string | null;
  /** The journal's epoch afterwards. */
  readonly epoch: number;
}

export interface AdoptScannedTerms {
  readonly message: string;
  readonly objects: ObjectStore;
  readonly signal: AbortSignal | undefined;
}

/** Records the drift that a scan saw. Runs under the lock. @throws {EngineError} as `adopt`. */
export async function adoptScanned(
  scanned: Scanned,
  { message, ...terms }: AdoptScannedTerms,
  { committing, session }: { readonly committing: Committing; readonly session: Session },
): Promise<ScannedAdoption> {
  const { directory, journal, writer } = committing;
  const { epoch } = session;
  const [troubled] = journal.troubled();
  if (troubled !== undefined) {
    // What is neither done nor undone must not be taken for somebody else's.
    const blocked = `transaction ${String(troubled.id)} is ${troubled.trouble ?? 'in trouble'}`;
    return { transaction: null, blocked, epoch };
  }
  const nothing = { transaction: null, blocked: null, epoch };
  if (journal.meta(adoptedKey) === stateOf(scanned, journal)) return nothing;
  const seen = await findScannedDrift(scanned, terms, committing);
  if (seen.length === 0) {
    noteAdopted(scanned, journal);
    return nothing;
  }
  await writer.settle();
  const { files, root } = directory;
  const looking = { files, pace: new Pace(terms.signal) };
  const still: AdoptedPath[] = [];
  using tree = new RootTree(files, root);
  for (const drifted of seen) {
    const found = await lookAt(drifted.path, { looking, tree });
    if (isSameImage(found, drifted.after)) still.push(drifted);
  }
  const { transaction } = await adopt(still, { message, isDryRun: false }, { committing, session });
  if (still.length === seen.length) noteAdopted(scanned, journal);
  // A transaction takes the next epoch.
  return { transaction, blocked: null, epoch: epoch + (transaction === null ? 0 : 1) };
}

/** The newest transaction and the state of the directory for which no drift was left to adopt. */
const adoptedKey = 'drift_adopted';

/** Comparing reads the whole log: an unchanged directory shall cost a scan and a row. */
function noteAdopted(scanned: Scanned, journal: Journal): void {
  journal.setMeta({ [adoptedKey]: stateOf(scanned, journal) });
}

/** By the chain, not by the number: a journal that was built anew may give that a second time. */
function stateOf({ sha256 }: Scanned, journal: Journal): string {
  return `${journal.head().chain} ${sha256}`;
}

/** Tells what {@link adoptScanned} would record. Writes nothing, and needs no lock. */
export async function planAdoptScanned(
  scanned: Scanned,
  { message, ...terms }: AdoptScannedTerms,
  committing: Committing,
): Promise<Receipt> {
  return plannedAdoption(await findScannedDrift(scanned, terms, committing), message, committing);
}

async function findScannedDrift(
  scanned: Scanned,
  { objects, signal }: Pick<AdoptScannedTerms, 'objects' | 'signal'>,
  { journal }: Committing,
): Promise<readonly AdoptedPath[]> {
  const pace = new Pace(signal);
  const known = await readKnownPaths(journal, { asOf: journal.head().id, pace });
  if (known.size === 0) return [];
  const entries = new Map<RelativePath, ListingEntry>();
  const read = listingReader(objects, scanned.listings);
  for await (const { path, entry } of walkListing(read, scanned.sha256)) {
    if (pace.isDue()) await pace.turn();
    if (known.has(path)) entries.set(path, entry);
  }
  const leftOut = new Set<string>(scanned.leftOut.map(({ path }) => path));
  const drift = [...known].flatMap(([path, { image, changedBy }]) => {
    const found = hasLeftOut(path, leftOut) ? undefined : toImage(entries.get(path));
    if (found === undefined || isSameImage(found, image)) return [];
    return [{ path, expected: image, found, transaction: changedBy ?? null }];
  });
  return adoptable(drift.toSorted((a, b) => comparePaths(a.path, b.path)));
}

function hasLeftOut(path: RelativePath, leftOut: ReadonlySet<string>): boolean {
  if (leftOut.size === 0) return false;
  for (let end = path.length; end > 0; end = path.lastIndexOf('/', end - 1)) {
    if (leftOut.has(path.slice(0, end))) return true;
  }
  return false;
}

/** `undefined` for what the scan left out. */
function toImage(entry: ListingEntry | undefined): Image | undefined {
  if (entry === undefined) return absent;
  switch (entry.kind) {
    case 'file':
      return { kind: 'file', sha256: entry.sha256, size: entry.size, mode: entry.mode };
    case 'directory':
      return { kind: 'directory', mode: entry.mode };
    case 'symlink':
      return { kind: 'symlink', target: entry.target };
    case 'left-out':
      return undefined;
  }
}
