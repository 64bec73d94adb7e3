import type { CompressionLevel } from './compression.js';
import type { Moment } from './diff.js';
import type { PathConflict } from './errors.js';
import type { Capabilities, FileSystem } from './file-system.js';
import type { HistoryPolicy } from './history-policy.js';
import type { FileImage, Image } from './image.js';
import type { Marking } from './keeping.js';
import type { PlanFormat } from './plan-document.js';
import type { Receipt, TransactionSummary } from './receipt.js';
import type { Rule } from './rules.js';
import type { Passage, TransactionKind } from './transaction-kind.js';
import type { Transaction } from './transaction.js';
import type { KnownParts, UndonePath } from './undo.js';

/** How to open a store. */
export interface OpenStoreOptions {
  /** Make the store, and the directory, when there is none. Default: false. */
  readonly create?: boolean;
  /** `off`: plain Node, without the native part. Default: `auto`. */
  readonly native?: 'auto' | 'off';
  /** How long to wait for other writers, in milliseconds. Default: 10 000. */
  readonly lockWaitMs?: number;
  /** Rules that every transaction of this store must satisfy (I6). */
  readonly rules?: readonly Rule[];
  /**
   * `auto`: finish or undo what a dead process left, if nobody holds the lock for long.
   * `never`: only look; reads work, and the first write recovers. Default: `auto`.
   */
  readonly recover?: 'auto' | 'never';
  /** Take over a store whose root was copied, moved to another disk or restored. Default: false. */
  readonly adopt?: boolean;
  /** Work on a file system that is not known to keep the promises. Default: false. */
  readonly acceptFileSystem?: boolean;
  /** Permission bits of new files. Default: `0o644`. */
  readonly fileMode?: number;
  /** Permission bits of new directories. Default: `0o755`. */
  readonly directoryMode?: number;
  /** How hard to compress what snapshots store: 0–11, or `off`. Default: 3. */
  readonly compression?: CompressionLevel;
  /** What this program calls itself to those who wait for its lock. Default: `node`. */
  readonly command?: string;
  /** Who works with the store, for the log, as in `me@desk`. Default: nobody is named. */
  readonly by?: string;
  readonly signal?: AbortSignal;
  /** Milliseconds since 1970; a seam for tests. */
  readonly now?: () => number;
  /** Makes UUIDs; a seam for tests. */
  readonly newId?: () => string;
  /** The disk; a seam for tests. Overrides `native`. */
  readonly fileSystem?: FileSystem;
}

/** How to run one transaction. */
export interface TransactOptions {
  /** Why, for the log. At most 65 536 characters. */
  readonly message?: string;
  /** Do everything but the commit, and tell what would change. */
  readonly dryRun?: boolean;
  /** Rules for this transaction, besides those of the store. */
  readonly rules?: readonly Rule[];
  /** Stops before the commit; a transaction that is committed is always finished. */
  readonly signal?: AbortSignal;
  /** How long to wait for other writers, in milliseconds. */
  readonly lockWaitMs?: number;
  /**
   * The callback, and the rules, know of the directory only what they read through the transaction.
   * Then calls of one store that wait together may share a flush: the callback may run before what
   * was recorded ahead of it is in place, and sees it there all the same. Default: false.
   */
  readonly sharesFlush?: boolean;
}

export interface ApplyOptions extends TransactOptions {
  /** Default: told by the plan's first bytes. */
  readonly format?: PlanFormat;
  /** What to call the plan in messages. */
  readonly name?: string;
  /** Absolute directory that relative `from` paths start at. Needed when the plan has such. */
  readonly baseDirectory?: string;
}

/**
 * What to undo, and how. `parts`: what takes back, part by part, what the transaction did to a file, where
 * that was changed since; without it such a file is a conflict as a whole. `choosesParts`: it takes back
 * some of it only, also where the file was not changed since. `sharedDirectories` stay where
 * they hold what the transaction did not put there; any other one is a conflict.
 */
export interface UndoOptions extends TransactOptions, Partial<KnownParts> {
  /**
   * Number of the transaction. Default: for `undo` the newest that is neither an undo nor undone;
   * for `redo` the newest undo that no other change came after.
   */
  readonly transaction?: number;
  /** Only these paths and what is below them. Default: all that it changed. */
  readonly paths?: readonly string[];
  /** Merge, line by line, what was changed since. Default: false. */
  readonly merge?: boolean;
  /**
   * Overwrite what was changed since and cannot be merged, and remove as much as it takes. What is
   * there now stays in history. Default: false.
   */
  readonly force?: boolean;
}

/** The answer to `undo` and `redo`. */
export interface UndoReceipt extends Receipt {
  /** Number of the transaction that was undone. */
  readonly undone: number;
  /** What became of each path that it changed. */
  readonly paths: readonly UndonePath[];
}

/** What to roll back to, and how. */
export interface RollbackOptions extends TransactOptions {
  readonly to:
    | {
        /** Number of a transaction: as it was after that one. 0 is before the first. */
        readonly transaction: number;
      }
    | {
        /** Name or number of a snapshot, or `latest`: all that it holds, edits by hand included. */
        readonly snapshot: string | number;
      };
  /** Only these paths and what is below them. Default: all that transactions have changed since. */
  readonly paths?: readonly string[];
  /**
   * Keep what other programs changed since the newest transaction: merge it, line by line, with
   * what was there then. What cannot be merged is a conflict; of a snapshot, it stays as it is
   * (`unmerged`). Otherwise it gives way, and stays in history. Default: false.
   */
  readonly keepLocal?: boolean;
  /**
   * Overwrite also what cannot be merged or was never in a transaction, and remove as much as it
   * takes. Default: false.
   */
  readonly force?: boolean;
  /** Makes further changes of the same transaction, once what comes back is staged. */
  readonly alongside?: (tx: Transaction) => unknown;
}

/** The answer to `rollback`. */
export interface RollbackReceipt extends Receipt {
  /** What became of each path that transactions have changed since. */
  readonly paths: readonly UndonePath[];
  /** What is in the way. Only a dry run tells it; to a transaction, nothing else is planned then. */
  readonly conflicts: readonly PathConflict[];
  /**
   * Of a rollback to a snapshot that keeps what is local: what was left as it is, though the snapshot
   * has something else, because it could not be merged.
   */
  readonly unmerged: readonly PathConflict[];
}

/** How to mark a transaction. */
export interface MarkOptions
  extends Marking,
    Pick<TransactOptions, 'dryRun' | 'signal' | 'lockWaitMs'> {}

/** What a store keeps to without being asked. */
export interface StoreHistoryPolicy {
  readonly policy: HistoryPolicy;
  /** Whether nobody has set another. */
  readonly isDefault: boolean;
}

export interface RecoverOptions {
  /** Number of a blocked or damaged transaction to finish, whatever may be lost of it. */
  readonly redo?: number;
  /** Number of a blocked or damaged transaction to undo, whatever may be lost of it. */
  readonly undo?: number;
  /** Only tells which transactions would be looked at. Opening with `recover: 'auto'` is none. */
  readonly dryRun?: boolean;
  readonly signal?: AbortSignal;
  readonly lockWaitMs?: number;
}

/** What to adopt. */
export interface AdoptOptions
  extends Pick<TransactOptions, 'message' | 'dryRun' | 'signal' | 'lockWaitMs'> {
  /** Only these paths and what is below them. Default: all that transactions have changed. */
  readonly paths?: readonly string[];
}

/** What to compare. */
export interface DiffRequest {
  /** Default: after the newest transaction. */
  readonly from?: Moment;
  /** Default: now. */
  readonly to?: Moment;
  /** Only these paths and what is below them. Default: all that transactions have changed. */
  readonly paths?: readonly string[];
  /** Also compare texts line by line. Default: false. */
  readonly text?: boolean;
  readonly signal?: AbortSignal;
}

/** Which paths to look at. */
export interface PathsRequest {
  /** Only these paths and what is below them. Default: all that transactions have changed. */
  readonly paths?: readonly string[];
  readonly signal?: AbortSignal;
}

/** A path, and the transaction that changed it last. */
export interface LastChange {
  readonly path: string;
  /** What the transaction left there. */
  readonly image: Image;
  /** The transaction's number. */
  readonly changedBy: number;
  /** `null`: its record is no longer in the log. */
  readonly transaction: TransactionSummary | null;
}

export interface LogOptions {
  /** Only transactions that changed this path or something below it. */
  readonly path?: string;
  /** Default: 100. */
  readonly limit?: number;
  /** Only transactions with a smaller number. */
  readonly before?: number;
}

/** A transaction, and what it was for. */
export interface HistoryEntry extends TransactionSummary, Passage {
  readonly kind: TransactionKind;
}

/** A file as it was at some moment. */
export interface HistoricFile {
  readonly image: FileImage;
  readonly bytes: Uint8Array;
}

/** What a store is like right now. */
export interface StoreStatus {
  /** Absolute, links resolved. */
  readonly root: string;
  /** Number of the newest transaction, 0 when there is none. */
  readonly head: number;
  /** Transactions that are committed but not known to be on disk as a whole. */
  readonly unsettled: number;
  /** Blocked and damaged ones. */
  readonly troubled: readonly TransactionSummary[];
  /** Things that were set aside, in `.skillmeat/quarantine`. */
  readonly quarantined: number;
  /** The last process that wrote, or that writes now; `null` when nobody did. */
  readonly writer: {
    readonly pid: number;
    readonly host: string;
    readonly command: string;
    /** ISO 8601. */
    readonly since: string;
    /** Whether it let go in order. */
    readonly isDone: boolean;
  } | null;
}

/** What `doctor` reports. */
export interface StoreDiagnosis {
  readonly root: string;
  readonly format: number;
  readonly fileSystem: { readonly name: string; readonly support: string };
  readonly foldsNames: boolean;
  readonly capabilities: Capabilities;
  /** Bytes that this user may still write. */
  readonly freeBytes: number;
  readonly transactions: number;
}
