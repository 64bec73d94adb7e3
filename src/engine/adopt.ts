import { type Annotations, formatAnnotations } from './annotations.js';
import type { Committing } from './commit.js';
import type { DriftedPath } from './drift.js';
import { assert } from './errors.js';
import type { Image } from './image.js';
import { isSameContent } from './image.js';
import type { StoreDirectory } from './store-directory.js';
import { type Head, type NewTransaction, stagePrefix } from './transaction-row.js';
import type { RelativePath } from './path.js';
import { type Receipt, toChanges, toRecord, type TransactionRecord, unmarked } from './receipt.js';
import { isObstacle, RootTree } from './root-tree.js';
import { toRows } from './units.js';
import type { Session } from './writer.js';

/** A path that another program changed, as a transaction will record it. */
export interface AdoptedPath {
  readonly path: RelativePath;
  readonly before: Image;
  readonly after: Image;
}

export interface AdoptTerms {
  readonly message: string;
  readonly isDryRun: boolean;
}

/** Leaves out special files, which no transaction can have. */
export function adoptable(
  drift: readonly (Pick<DriftedPath, 'expected' | 'found'> & { readonly path: RelativePath })[],
): readonly AdoptedPath[] {
  return drift.flatMap(({ path, expected, found }) =>
    found.kind === 'special' ? [] : [{ path, before: expected, after: found }],
  );
}

/**
 * Records what other programs did as a transaction of its own. Nothing is moved: it is settled from
 * the beginning, and recovery never looks at it. What it displaced is in history only where an
 * earlier transaction or a snapshot kept it.
 *
 * The caller has settled every transaction before, so that no unsettled one concerns these paths.
 */
export async function adopt(
  paths: readonly AdoptedPath[],
  { message, isDryRun }: AdoptTerms,
  { committing, session }: { readonly committing: Committing; readonly session: Session },
): Promise<Receipt> {
  if (isDryRun) return plannedAdoption(paths, message, committing);
  if (paths.length === 0) return { transaction: null };
  const { directory, writer } = committing;
  coverAdopted(paths, directory);
  // guard: adopt-barrier
  await writer.barrier();
  return { transaction: recordAdopted(paths, message, { committing, session }) };
}

/** Makes the next barrier cover them (I2): whoever wrote these files may not have synced them. */
export function coverAdopted(paths: readonly AdoptedPath[], { files, root }: StoreDirectory): void {
  using tree = new RootTree(files, root);
  for (const { path } of paths) {
    tree.trim();
    const place = tree.locate(path);
    // guard: adopt-cover
    if (!isObstacle(place)) files.mustReachDisk(place);
  }
}

/** Writes the transaction, behind a barrier; and what belongs to the same step. */
export function recordAdopted(
  paths: readonly AdoptedPath[],
  message: string,
  {
    committing,
    session,
    alongside,
  }: {
    readonly committing: Committing;
    readonly session: Session;
    readonly alongside?: (head: Head) => void;
  },
): TransactionRecord {
  const { journal, writer, bootId, by } = committing;
  const rows = rowsOf(paths);
  // guard: adopt-fence
  session.requireFence();
  const uuid = committing.newId();
  const transaction: NewTransaction = {
    uuid,
    stage: stagePrefix(session.head.id + 1, uuid),
    message: message.toWellFormed(),
    committedAt: committing.now(),
    bootId,
    changeCount: toChanges(rows).length,
    displacedBytes: 0,
    flush: 'before',
    annotations: formatAnnotations(annotationsOf(by)),
    state: 'settled',
  };
  const { epoch, head: previous } = session;
  const terms = { epoch, head: previous, ...(alongside !== undefined && { alongside }) };
  const head = journal.commit(transaction, rows, terms);
  writer.noteCommit(head, 0, 0);
  const row = journal.transaction(head.id);
  assert(row !== undefined, 'what was just written is in the journal');
  return toRecord(row, rows);
}

/** Tells what {@link adopt} would record. */
export function plannedAdoption(
  paths: readonly AdoptedPath[],
  message: string,
  { by }: Pick<Committing, 'by'>,
): Receipt {
  const changes = toChanges(rowsOf(paths));
  if (changes.length === 0) return { transaction: null };
  return {
    transaction: {
      id: null,
      uuid: null,
      state: 'planned',
      message,
      committedAt: null,
      changeCount: changes.length,
      reason: null,
      annotations: annotationsOf(by),
      changes,
      superseded: [],
      ...unmarked,
    },
  };
}

function rowsOf(paths: readonly AdoptedPath[]): ReturnType<typeof toRows> {
  return toRows(
    paths.map((path) => ({
      act: actOf(path),
      path: path.path,
      slot: undefined,
      members: [path],
    })),
  );
}

function annotationsOf(by: string | undefined): Annotations {
  return { adopts: true, ...(by !== undefined && { by }) };
}

function actOf({ before, after }: AdoptedPath): 'create' | 'remove' | 'replace' | 'set-mode' {
  if (before.kind === 'absent') return 'create';
  if (after.kind === 'absent') return 'remove';
  return isSameContent(before, after) ? 'set-mode' : 'replace';
}
