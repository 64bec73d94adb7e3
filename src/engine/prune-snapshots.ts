import type { ObjectStore } from './object-store.js';
import type { Pace } from './pace.js';
import { retain, type RetentionPolicy } from './retention.js';
import { type Snapshot, toSnapshot } from './snapshot-record.js';
import { objectSizes, SnapshotSizes } from './snapshot-sizes.js';
import type { SnapshotRow } from './snapshot-table.js';
import { listingReader } from './snapshot-tree.js';

/** What becomes of a snapshot when history is pruned. */
export interface PrunedSnapshot {
  readonly snapshot: Snapshot;
  readonly isKept: boolean;
  readonly reasons: readonly string[];
  /** Of one that is dropped: what no other needs then, on disk. Of one that is kept: what only it needs. */
  readonly bytes: number;
}

export interface PruningPlan {
  readonly snapshots: readonly PrunedSnapshot[];
  /** Contents of snapshots before and after, on disk. */
  readonly bytesBefore: number;
  readonly bytesAfter: number;
}

interface Planning {
  readonly objects: ObjectStore;
  readonly pace: Pace;
  readonly policy: RetentionPolicy;
  readonly now: number;
}

/**
 * Says which snapshots a policy drops where nobody asked for that: of those that have no name. Reads
 * listings only for a limit of size. Nothing is changed.
 *
 * @param rows newest first.
 * @throws {EngineError} as {@link planPruning}.
 */
export async function droppedByThemselves(
  rows: readonly SnapshotRow[],
  planning: Planning,
): Promise<readonly SnapshotRow[]> {
  const { policy, now } = planning;
  const judged =
    policy.sizeBytesMax === undefined
      ? retain(rows, policy, now)
      : (await planPruning(rows, planning, isNamed)).snapshots.map(({ snapshot, isKept }) => ({
          id: snapshot.id,
          isKept,
        }));
  const dropped = new Set(judged.flatMap(({ id, isKept }) => (isKept ? [] : id)));
  return rows.filter((row) => dropped.has(row.id) && !isNamed(row));
}

function isNamed({ name }: SnapshotRow): boolean {
  return name !== undefined;
}

/**
 * Says what a policy drops, and what that frees. Nothing is changed.
 *
 * @param rows newest first.
 * @param isSpared tells of one that stays whatever the policy says.
 * @throws {EngineError} `HISTORY_DAMAGED` when a listing cannot be read: nobody knows what it needs.
 */
export async function planPruning(
  rows: readonly SnapshotRow[],
  { objects, pace, policy, now }: Planning,
  isSpared: (row: SnapshotRow) => boolean = () => false,
): Promise<PruningPlan> {
  const sizes = new SnapshotSizes(await objectSizes(objects, pace));
  const read = listingReader(objects);
  for (const { id, sha256 } of rows) {
    if (pace.isDue()) await pace.turn();
    await sizes.add(id, sha256, read);
  }
  const bytesBefore = sizes.bytes;
  const byRule = new Map(retain(rows, policy, now).map((retention) => [retention.id, retention]));
  const freed = new Map<number, number>();
  const reasons = new Map<number, readonly string[]>();
  // The oldest first: what a younger one needs as well is then its own.
  for (const row of rows.toReversed()) {
    const { id } = row;
    const retention = byRule.get(id);
    reasons.set(id, retention?.reasons ?? []);
    if (retention?.isKept === false && !isSpared(row)) freed.set(id, sizes.drop(id));
  }
  const limit = policy.sizeBytesMax ?? Number.POSITIVE_INFINITY;
  for (const row of rows.slice(1).toReversed()) {
    if (sizes.bytes <= limit) break;
    if (freed.has(row.id) || row.isPinned || row.tags.length > 0 || isSpared(row)) continue;
    reasons.set(row.id, [`contents may take ${String(limit)} bytes`]);
    freed.set(row.id, sizes.drop(row.id));
  }
  const snapshots = rows.map((row) => ({
    snapshot: toSnapshot(row),
    isKept: !freed.has(row.id),
    reasons: reasons.get(row.id) ?? [],
    bytes: freed.get(row.id) ?? sizes.ownBytes(row.id),
  }));
  return { snapshots, bytesBefore, bytesAfter: sizes.bytes };
}
