import type { Collected } from './collect-objects.js';
import type { Collect, CommitOptions, Committing } from './commit.js';
import { fromSystemErrorOnly, isEngineError } from './errors.js';
import type { Journal } from './journal.js';
import { Pace } from './pace.js';
import { droppedByThemselves, planPruning, type PruningPlan } from './prune-snapshots.js';
import type { Receipt } from './receipt.js';
import { defaultPolicy, isRetentionPolicy, type RetentionPolicy } from './retention.js';
import type { Rule } from './rules.js';
import { type Snapshot, toSnapshot } from './snapshot-record.js';
import type { SnapshotRow } from './snapshot-table.js';
import { emptyTrash, expired, removeSnapshot } from './snapshot-trash.js';
import type { Session } from './writer.js';

/*
 * Which snapshots a policy keeps is decided in prune-snapshots.ts; here the others go, when somebody asks
 * or, of a store with a policy of its own, each time one is taken: into the trash, each row synced, so that
 * a killed pruning is one that deleted less.
 */

export interface Waiting {
  readonly signal?: AbortSignal;
  /** How long to wait for other writers, in milliseconds. */
  readonly lockWaitMs?: number;
}

/** What the store's own policy put into the trash when a snapshot was taken. */
export interface PrunedByThemselves {
  readonly snapshots: readonly Snapshot[];
  /** Why it did no more. */
  readonly blocked: string | null;
}

/** Which snapshots a store keeps, see {@link Snapshots.setPolicy}. */
export interface SnapshotPolicy {
  readonly policy: RetentionPolicy;
  /** Whether it has none of its own: then no snapshot goes by itself. */
  readonly isDefault: boolean;
}

/** What `snapshots.prune` did, or would do. */
export interface PrunedSnapshots extends PruningPlan {
  readonly collected: Collected;
}

/** What snapshots need of their store. */
export interface SnapshotHost {
  readonly committing: Committing;
  readonly refuseClosed: () => void;
  /** Lets closing wait for work that does not hold the lock. */
  readonly during: <T>(work: () => Promise<T>) => Promise<T>;
  readonly exclusively: <T>(
    waiting: Waiting,
    work: (epoch: number, session: Session) => Promise<T>,
  ) => Promise<T>;
  readonly commit: (
    options: Waiting & {
      readonly message: string;
      readonly dryRun: boolean;
      readonly rules?: readonly Rule[];
    },
    expectations: CommitOptions['expectations'],
    collect: Collect,
  ) => Promise<Receipt>;
}

/** What pruning needs of the store. */
type Pruning = SnapshotHost & Committing;

/** @throws {EngineError} `HISTORY_DAMAGED` when a listing cannot be read: nobody knows what it names. */
export async function pruneSnapshots(
  given: RetentionPolicy | undefined,
  options: Waiting & { readonly now?: boolean; readonly dryRun?: boolean },
  { exclusively, journal, now, openObjects }: Pruning,
): Promise<PrunedSnapshots> {
  return exclusively(options, async (epoch) => {
    using objects = openObjects();
    const pace = new Pace(options.signal);
    const policy = given ?? policyOf(journal).policy;
    const plan = await planPruning(journal.snapshots.list(), { objects, pace, policy, now: now() });
    if (options.dryRun === true) return { ...plan, collected: { objects: 0, blocked: null } };
    const dropped = new Set(plan.snapshots.flatMap((one) => (one.isKept ? [] : one.snapshot.id)));
    const removing = { journal, now: now(), epoch, isForGood: options.now === true };
    for (const row of journal.snapshots.list()) {
      if (dropped.has(row.id)) removeSnapshot(row, removing);
    }
    return { ...plan, collected: await emptyTrash({ ...removing, objects, pace }) };
  });
}

/** The policy that a store keeps to without being told. */
export function policyOf({ keeping }: Journal): SnapshotPolicy {
  const own = keeping.ownSnapshotPolicy();
  return { policy: own ?? defaultPolicy, isDefault: own === undefined };
}

/** @throws {TypeError} */
export function requirePolicy(policy: RetentionPolicy | undefined): void {
  if (policy === undefined || isRetentionPolicy(policy)) return;
  throw new TypeError(
    'a policy has at least one of keepLast, keepWithinMs, keepDaily, keepWeekly and keepMonthly, and maybe sizeBytesMax, numbers from 0 on',
  );
}

/**
 * What the store's own policy drops, and what was deleted long ago, goes also where nobody deletes or
 * prunes (I9). The snapshot before it is taken, whatever fails here.
 */
export async function pruneByItself(
  options: Waiting,
  pruning: Pruning,
): Promise<PrunedByThemselves> {
  const { directory, exclusively, journal, now } = pruning;
  const snapshots: Snapshot[] = [];
  try {
    const policy = journal.keeping.ownSnapshotPolicy();
    if (policy === undefined && expired(journal, now()).length === 0) {
      return { snapshots, blocked: null };
    }
    await exclusively(options, async (epoch) => {
      const dropped = policy === undefined ? [] : await unkept(policy, options.signal, pruning);
      const at = now();
      for (const row of dropped) {
        removeSnapshot(row, { journal, now: at, epoch, isForGood: false });
        snapshots.push(toSnapshot({ ...row, deletedAt: at }));
      }
      if (expired(journal, now()).length > 0) {
        await emptyTrashIfPossible(epoch, options.signal, pruning);
      }
    });
    return { snapshots, blocked: null };
  } catch (error) {
    const explained = fromSystemErrorOnly(error, 'prune the snapshots of', directory.rootPath);
    if (!isEngineError(explained)) throw error;
    return { snapshots, blocked: explained.message };
  }
}

async function unkept(
  policy: RetentionPolicy,
  signal: AbortSignal | undefined,
  { journal, now, openObjects }: Pruning,
): Promise<readonly SnapshotRow[]> {
  using objects = openObjects();
  const planning = { objects, pace: new Pace(signal), policy, now: now() };
  return await droppedByThemselves(journal.snapshots.list(), planning);
}

/** What it is called for is done by then: what cannot be collected now is no failure of that. */
export async function emptyTrashIfPossible(
  epoch: number,
  signal: AbortSignal | undefined,
  { directory, journal, now, openObjects }: Pruning,
): Promise<Collected> {
  try {
    using objects = openObjects();
    return await emptyTrash({ journal, objects, pace: new Pace(signal), now: now(), epoch });
  } catch (error) {
    const explained = fromSystemErrorOnly(error, 'remove objects of', directory.rootPath);
    if (!isEngineError(explained)) throw error;
    return { objects: 0, blocked: explained.message };
  }
}
