import { compressionLevelDefault } from '../compression.js';
import type { Place } from '../file-system.js';
import type { ContentHash } from '../hash.js';
import { Journal } from '../journal.js';
import { keepsDisplaced } from '../keeping.js';
import { markedBy } from '../keeping-table.js';
import type { MetaValue } from '../meta-table.js';
import { ObjectStore } from '../object-store.js';
import { Pace } from '../pace.js';
import { neededBySnapshots } from '../pack-contents.js';
import { slotsOf } from '../packable-slots.js';
import { Quarantine } from '../quarantine.js';
import { detached, rootIdentity, type StoreDirectory } from '../store-directory.js';
import { transactionOf } from '../units.js';
import { type OwnerRecord, readOwner, type WriterLock } from '../writer-lock.js';
import { findSnapshots } from './find-snapshots.js';
import { type Salvage, salvage } from './salvage.js';

/*
 * Builds a journal anew from what can be believed of the old one, and from objects. Under the lock:
 *
 * 1. Read a copy of the old journal: transactions as far as the hash chain holds, snapshots.
 * 2. Write the new one beside it, whole, and flush it.
 * 3. Set aside what lies in `stage/` for transactions that are lost: recovery would sweep it (I3); and
 *    what packs hold and nothing that is left needs: the next pruning would drop it.
 * 4. Set the old journal aside, its main file first. From here on a repair that was killed finds no
 *    journal, and takes the new one, which is whole.
 * 5. Give the new one its name. The record of the last writer says from now on that it did not let go
 *    in order: the next opening recovers.
 */

/** What `rebuildStore` kept, and what is lost. */
export interface Rebuilt {
  /** Transactions up to this number were kept. */
  readonly transactions: number;
  /** The newest transaction that there are traces of; those above `transactions` are lost. */
  readonly traces: number;
  /** Snapshots that were kept, with those that were found by their contents alone. */
  readonly snapshots: number;
  /** Snapshots of which only the contents were found: names and times are lost. */
  readonly snapshotsFound: number;
  /** Things that were moved to quarantine: the old journal, and what lost transactions displaced. */
  readonly setAside: number;
}

export interface Rebuilding {
  readonly directory: StoreDirectory;
  readonly lock: WriterLock;
  readonly bootId: string;
  readonly now: () => number;
  readonly newId: () => string;
  readonly isDryRun: boolean;
  /** Whether transactions of a directory that was copied, moved or restored are believed. */
  readonly adopts: boolean;
}

const rebuiltName = 'journal.db.rebuilt';
const copyName = 'journal.db.copy';
const draftName = 'journal.db.new';
const journalNames = ['journal.db', 'journal.db-wal', 'journal.db-shm'] as const;

/** Runs under the lock. */
export async function rebuild(rebuilding: Rebuilding): Promise<Rebuilt> {
  const { directory, isDryRun } = rebuilding;
  const { files, store, root } = directory;
  const at = (name: string): Place => ({ directory: store, name });
  const traces = newestTrace(directory);
  const isResumed =
    files.stat(at('journal.db')) === undefined && files.stat(at(rebuiltName)) !== undefined;
  let kept: Kept = { transactions: 0, snapshots: 0, snapshotsFound: 0 };
  if (!isResumed) {
    using salvaged = await salvage(directory, copyName);
    if (!rebuilding.adopts) requireOurs(salvaged, directory);
    kept = await write(salvaged, rebuilding);
    if (!isDryRun) await nameRebuilt(directory);
  }
  if (isDryRun) return { ...kept, traces: Math.max(traces, kept.transactions), setAside: 0 };
  const lost = setAsideLost(rebuilding) + (await setAsidePacked(rebuilding, traces));
  const setAside = lost + setAsideJournal(rebuilding);
  // guard: rebuild-set-aside-barrier
  await files.barrier(root, Number.POSITIVE_INFINITY);
  files.moveNew(at(rebuiltName), at('journal.db'));
  using journal = Journal.open(files.pathOf(at('journal.db')));
  const { head, writes } = journal.position();
  rebuilding.lock.recordHeld(rebuilding.bootId, { head, writes });
  // What it said before names transactions that the new journal does not have.
  // guard: rebuild-owner
  files.mustReachDisk(at('owner'));
  // guard: rebuild-barrier
  await files.barrier(root, Number.POSITIVE_INFINITY);
  const snapshots = journal.snapshots.list().length;
  return { ...kept, transactions: head.id, traces: Math.max(traces, head.id), snapshots, setAside };
}

async function nameRebuilt({ files, store, root }: StoreDirectory): Promise<void> {
  const rebuilt: Place = { directory: store, name: rebuiltName };
  // Of a repair that was killed while the old journal was in place: others may have written since.
  if (files.stat(rebuilt) !== undefined) files.removeFile(rebuilt);
  files.moveNew({ directory: store, name: draftName }, rebuilt);
  // guard: rebuild-name-barrier
  await files.barrier(root, Number.POSITIVE_INFINITY);
}

type Kept = Pick<Rebuilt, 'transactions' | 'snapshots' | 'snapshotsFound'>;

/** A journal is instructions: one that was planted, and damaged on purpose, must not get past this (I8). */
function requireOurs({ head, meta }: Salvage, directory: StoreDirectory): void {
  const { inode, born } = rootIdentity(directory);
  const { root_inode: knownInode, root_born: knownBorn } = meta;
  // guard: rebuild-same-root
  if (head > 0 && (knownInode !== inode || knownBorn !== born)) throw detached(directory);
}

/** Writes the new journal as a draft, whole. */
async function write(salvaged: Salvage, rebuilding: Rebuilding): Promise<Kept> {
  const { directory, isDryRun, now } = rebuilding;
  const { files, store } = directory;
  using objects = openObjects(rebuilding);
  const found = salvaged.snapshots === undefined ? await findSnapshots(objects, now()) : [];
  const kept = {
    transactions: salvaged.head,
    snapshots: (salvaged.snapshots ?? found).length,
    snapshotsFound: found.length,
  };
  if (isDryRun) return kept;
  const draft: Place = { directory: store, name: draftName };
  for (const suffix of ['', '-journal', '-wal', '-shm']) {
    const left: Place = { directory: store, name: draftName + suffix };
    if (files.stat(left) !== undefined) files.removeFile(left);
  }
  const path = files.pathOf(draft);
  Journal.create(path, metaOf(salvaged, rebuilding));
  using journal = Journal.open(path);
  if (salvaged.base.through > 0) journal.anchors.restore(salvaged.base, salvaged.base.rows);
  journal.restore(salvaged.transactions());
  const epoch = journal.epoch();
  for (const row of salvaged.snapshots ?? []) journal.snapshots.rewrite(row, epoch);
  for (const row of found) journal.snapshots.add(row, epoch);
  journal.truncateLog({ waits: true });
  return kept;
}

function metaOf(
  { meta, head, snapshots }: Salvage,
  { directory, newId, now }: Rebuilding,
): Readonly<Record<string, MetaValue>> {
  const { inode, born } = rootIdentity(directory);
  const { epoch = 1, pruned_through: pruned = 0, last_snapshot: last = 0 } = meta;
  const ids = (snapshots ?? []).map(({ id }) => id);
  // A number that is given anew must not find the mark of a lost transaction.
  const known = Object.entries(meta).filter(([key]) => (markedBy(key) ?? 0) <= head);
  return {
    uuid: newId(),
    created_at: now(),
    ...Object.fromEntries(known),
    // A writer that still has the old journal open must not go on (I4).
    epoch: Number(epoch) + 1,
    pruned_through: Math.min(Number(pruned), head),
    settled_through: 0,
    last_snapshot: Math.max(Number(last), ...ids),
    root_inode: inode,
    root_born: born,
  };
}

function newestTrace({ files, store, stage }: StoreDirectory): number {
  const owner: OwnerRecord | undefined = readOwner(files, store);
  const staged = files.list(stage).map(({ name }) => (transactionOf(name)?.first ?? 1) - 1);
  return Math.max(0, owner?.mark.head.id ?? 0, ...staged);
}

/** @returns how much was set aside. */
function setAsideLost(rebuilding: Rebuilding): number {
  const { files, store, stage } = rebuilding.directory;
  const quarantine = quarantineOf(rebuilding);
  using journal = Journal.open(files.pathOf({ directory: store, name: rebuiltName }));
  const keeping = journal.keeping.get();
  let count = 0;
  for (const { name } of files.list(stage)) {
    const owner = transactionOf(name);
    const transaction = owner === undefined ? undefined : journal.transaction(owner.id);
    const isOurs = transaction !== undefined && transaction.stage === owner?.prefix;
    if (isOurs && keepsDisplaced(transaction, keeping)) continue;
    const why = 'kept for a transaction that the damaged journal no longer knows';
    quarantine.takeIn(
      { directory: stage, name },
      { path: `stage/${name}`, transaction: owner?.id ?? 0, why },
    );
    count += 1;
  }
  return count;
}

/**
 * Takes out of packs what transactions may have displaced that are lost. Where none is, whatever nothing
 * needs was pruned.
 *
 * @returns how much was set aside.
 */
async function setAsidePacked(rebuilding: Rebuilding, traces: number): Promise<number> {
  const { files, store, stage } = rebuilding.directory;
  using objects = openObjects(rebuilding);
  using journal = Journal.open(files.pathOf({ directory: store, name: rebuiltName }));
  if (traces <= journal.head().id) return 0;
  const needed = await neededBySnapshots(journal.snapshots.all(), objects, new Pace());
  const known = new Set<ContentHash>(typeof needed === 'string' ? [] : needed.keys());
  for (const slot of slotsOf(journal, stage)) {
    for (const { image } of slot.files) known.add(image.sha256);
  }
  const quarantine = quarantineOf(rebuilding);
  let count = 0;
  for (const { sha256 } of objects.packs.contents()) {
    if (known.has(sha256)) continue;
    const bytes = await objects.packs.read(sha256).catch(() => undefined);
    // Damaged: then its pack is set aside as a whole, by who repairs it.
    if (bytes === undefined) continue;
    const draft: Place = { directory: stage, name: `repair-${rebuilding.newId()}` };
    const file = files.createFile(draft, 0o600);
    try {
      await files.write(file, bytes);
    } finally {
      files.closeWritten(file);
    }
    const why =
      'packed for a transaction that the damaged journal no longer knows, or pruned since';
    quarantine.takeIn(draft, { path: sha256, transaction: 0, why });
    count += 1;
  }
  return count;
}

function openObjects({ directory, newId }: Rebuilding): ObjectStore {
  const { files, store, root } = directory;
  const barrier = (bytes: number): Promise<void> => files.barrier(root, bytes);
  return new ObjectStore({ files, store, barrier, level: compressionLevelDefault, newId });
}

function setAsideJournal(rebuilding: Rebuilding): number {
  const { files, store } = rebuilding.directory;
  const quarantine = quarantineOf(rebuilding);
  let count = 0;
  for (const name of journalNames) {
    const place: Place = { directory: store, name };
    if (files.stat(place) === undefined) continue;
    const why = 'the damaged journal; repair built another one from what could be believed';
    quarantine.takeIn(place, { path: name, transaction: 0, why });
    count += 1;
  }
  return count;
}

function quarantineOf({ directory, now }: Rebuilding): Quarantine {
  return new Quarantine({ files: directory.files, directory: directory.quarantine, now });
}
