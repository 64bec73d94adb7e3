import { type Annotations, parseAnnotations } from './annotations.js';
import { type Image, isSameImage } from './image.js';
import { type Keeping, keepsDisplaced } from './keeping.js';
import type { ChangeRow } from './change-row.js';
import type { TransactionRow } from './transaction-row.js';
import type { SupersededPath } from './recovery-paths.js';
import { utcText } from './utc-text.js';

/** Where a transaction stands. */
export type TransactionState =
  /** A dry run's: nothing was done. */
  | 'planned'
  /** Durable and applied; recovery may still have to repeat the applying after a power loss. */
  | 'committed'
  /** Known to be on disk as a whole. */
  | 'settled'
  /** Being undone; recovery finishes that. */
  | 'undoing'
  /** Undone as a whole, because applying it failed. */
  | 'rolled-back'
  /** Neither finished nor undone yet: something is in the way. Retried at every open. */
  | 'blocked'
  /** Bytes that belong to it are damaged; the store is read-only until somebody decides. */
  | 'damaged';

/** One path of a transaction. */
export interface Change {
  /** Root-relative, `/` between names. */
  readonly path: string;
  readonly before: Image;
  readonly after: Image;
}

export interface TransactionSummary {
  /** `null` for a dry run. Counts up from 1. */
  readonly id: number | null;
  readonly uuid: string | null;
  readonly state: TransactionState;
  readonly message: string;
  /** ISO 8601, UTC; `null` for a dry run. */
  readonly committedAt: string | null;
  readonly changeCount: number;
  /** Why it is blocked, damaged or rolled back; `null` otherwise. */
  readonly reason: string | null;
  /** What it says of itself: what it undoes or adopts, and who asked for it. */
  readonly annotations: Annotations;
  /** Whether what it displaced is gone: it cannot be undone any more. */
  readonly isPruned: boolean;
  /** Whether it is pinned: no policy drops what it displaced. */
  readonly isPinned: boolean;
  /** What somebody calls it; a tag keeps what it displaced as a pin does. */
  readonly tags: readonly string[];
}

export interface TransactionRecord extends TransactionSummary {
  readonly changes: readonly Change[];
  /** Paths that another program's bytes won. */
  readonly superseded: readonly { readonly path: string; readonly why: string }[];
}

/** The answer to a transaction. */
export interface Receipt {
  /** `null` when nothing would have changed: no transaction was written. */
  readonly transaction: TransactionRecord | null;
  /** Of a dry run: what the same would be refused for without `force`, with `REMOVAL_TOO_LARGE`. */
  readonly needsForce?: string;
}

/** What an open or a `recover` had to do. */
export interface RecoveryReport {
  /** Numbers of the transactions that were looked at. */
  readonly transactions: readonly number[];
  /** Paths that were changed. */
  readonly changed: number;
  readonly superseded: readonly SupersededPath[];
  readonly unresolved: readonly { readonly id: number; readonly reason: string }[];
}

/** What nobody has pinned, tagged or pruned yet. */
export const unmarked = { isPruned: false, isPinned: false, tags: [] } as const;

/** What a transaction that was written just now is told with. */
const justWritten: Keeping = { prunedThrough: 0, marks: new Map() };

export function toSummary(row: TransactionRow, keeping: Keeping = justWritten): TransactionSummary {
  const { isPinned = false, tags = [] } = keeping.marks.get(row.id) ?? {};
  return {
    id: row.id,
    uuid: row.uuid,
    state: row.trouble ?? row.state,
    message: row.message,
    committedAt: utcText(row.committedAt),
    changeCount: row.changeCount,
    reason: row.reason ?? null,
    annotations: parseAnnotations(row.annotations),
    isPruned: row.state === 'settled' && !keepsDisplaced(row, keeping),
    isPinned,
    tags,
  };
}

export function toRecord(
  row: TransactionRow,
  changes: readonly ChangeRow[],
  keeping?: Keeping,
): TransactionRecord {
  return {
    ...toSummary(row, keeping),
    changes: toChanges(changes),
    superseded: changes.flatMap(({ path, superseded }) =>
      superseded === undefined ? [] : [{ path, why: superseded }],
    ),
  };
}

/** Leaves out the paths of a replaced directory that stayed as they were. */
export function toChanges(rows: readonly Change[]): readonly Change[] {
  return rows
    .filter(({ before, after }) => !isSameImage(before, after))
    .map(({ path, before, after }) => ({ path, before, after }));
}
