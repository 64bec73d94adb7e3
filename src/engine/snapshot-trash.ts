import { type Collected, collectObjects } from './collect-objects.js';
import { EngineError } from './errors.js';
import type { Journal } from './journal.js';
import { deletedSnapshotKeptMs, unnamedObjectAgeMs } from './limits.js';
import type { ObjectStore } from './object-store.js';
import type { Pace } from './pace.js';
import { latest, parseSnapshotName } from './snapshot-record.js';
import type { SnapshotRow } from './snapshot-table.js';

/*
 * A deleted snapshot is in the trash: its row says since when, and what it names stays. Who comes
 * with the lock after the window takes the row away, synced, and then collects what no row names
 * (collect-objects.ts): a kill in between leaves objects for the next collection.
 */

export interface Emptying {
  readonly journal: Journal;
  readonly objects: ObjectStore;
  readonly pace: Pace;
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly epoch: number;
}

/** Puts a snapshot into the trash, synced; or takes its row away. Runs under the lock. */
export function removeSnapshot(
  row: SnapshotRow,
  { isForGood, ...emptying }: Pick<Emptying, 'journal' | 'now' | 'epoch'> & { isForGood: boolean },
): void {
  const { journal, now, epoch } = emptying;
  if (isForGood) journal.snapshots.remove(row.id, epoch);
  else journal.snapshots.rewrite({ ...row, deletedAt: now }, epoch);
}

/** Takes away what was deleted longer ago than the window, and what nothing names any more. */
export async function emptyTrash({
  journal,
  objects,
  pace,
  now,
  epoch,
}: Emptying): Promise<Collected> {
  for (const { id } of expired(journal, now)) journal.snapshots.remove(id, epoch);
  const beforeMs = now - unnamedObjectAgeMs;
  return collectObjects({ journal, objects, pace, beforeMs });
}

/** What was deleted longer ago than the window. */
export function expired(journal: Journal, now: number): readonly SnapshotRow[] {
  return journal.snapshots
    .deleted()
    .filter(({ deletedAt = now }) => deletedAt + deletedSnapshotKeptMs <= now);
}

/** Returns the snapshot with this name or number. @throws {EngineError} `SNAPSHOT_NOT_FOUND`. */
export function findSnapshot(reference: string | number, { snapshots }: Journal): SnapshotRow {
  const row = pick(reference, snapshots.list());
  if (row !== undefined) return row;
  const text = JSON.stringify(String(reference));
  const hint =
    pick(reference, snapshots.deleted()) === undefined
      ? 'List them with: skillmeat snapshot list'
      : `It is deleted; bring it back with: skillmeat snapshot undelete ${String(reference)}`;
  throw new EngineError('SNAPSHOT_NOT_FOUND', `there is no snapshot ${text}`, { hint });
}

/** As {@link findSnapshot}, in the trash; of several with one name the one deleted last. */
export function findDeleted(reference: string | number, { snapshots }: Journal): SnapshotRow {
  const deleted = snapshots.deleted();
  const byTime = deleted.toSorted((a, b) => (b.deletedAt ?? 0) - (a.deletedAt ?? 0));
  const row = pick(reference, byTime);
  if (row !== undefined) return row;
  const text = JSON.stringify(String(reference));
  const isThere = pick(reference, snapshots.list()) !== undefined;
  throw new EngineError(
    'SNAPSHOT_NOT_FOUND',
    isThere ? `snapshot ${text} is not deleted` : `there is no deleted snapshot ${text}`,
    { hint: 'List what can be brought back with: skillmeat snapshot list --deleted' },
  );
}

/**
 * Brings a snapshot back, synced. Runs under the lock.
 *
 * @param name what to call it from now on; `undefined`: as before.
 * @throws {EngineError} `SNAPSHOT_EXISTS`, `SNAPSHOT_INVALID`.
 */
export function takeOutOfTrash(
  row: SnapshotRow,
  name: string | undefined,
  { journal, epoch, isDryRun }: Pick<Emptying, 'journal' | 'epoch'> & { isDryRun: boolean },
): SnapshotRow {
  const called = name === undefined ? row.name : parseSnapshotName(name);
  if (called !== undefined && journal.snapshots.byName(called) !== undefined) {
    throw new EngineError(
      'SNAPSHOT_EXISTS',
      `there is a snapshot ${JSON.stringify(called)} by now`,
      {
        hint: `Bring it back by another name: skillmeat snapshot undelete ${String(row.id)} --name NAME`,
      },
    );
  }
  const back = { ...row, name: called, deletedAt: undefined };
  if (!isDryRun) journal.snapshots.rewrite(back, epoch);
  return back;
}

function pick(reference: string | number, rows: readonly SnapshotRow[]): SnapshotRow | undefined {
  const text = String(reference);
  if (text === latest) return rows.toSorted((a, b) => b.id - a.id)[0];
  return /^\d+$/.test(text)
    ? rows.find(({ id }) => id === Number(text))
    : rows.find(({ name }) => name === text);
}
