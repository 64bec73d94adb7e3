import type { ContentHash } from '../hash.js';
import type { ObjectStore } from '../object-store.js';
import type { RelativePath } from '../path.js';
import type { SnapshotRow } from '../snapshot-table.js';
import type { Finding } from '../verify/finding.js';
import type { Verifying } from '../verify/verifying.js';
import type { ContentSources } from './content-sources.js';

/** What `repair` does about a finding. Public and stable; docs/verify.md says what each means. */
export type RepairAction =
  | 'make-writable'
  | 'recover'
  | 'restore'
  | 'set-aside'
  | 'accept-loss'
  | 'rewrite-record'
  | 'drop-snapshot'
  | 'rewrite-pack'
  | 'drop-pack'
  | 'remove'
  | 'write-note'
  | 'adopt'
  | 'rebuild'
  | 'none';

/** A finding, and what is done about it. */
export interface Repair {
  readonly finding: Finding;
  readonly action: RepairAction;
  /** What is done, from which source, and what is lost by it. */
  readonly message: string;
  /** `failed`: `error` says why. `by-hand`: nothing that `repair` could do. */
  readonly outcome: 'planned' | 'done' | 'failed' | 'by-hand';
  readonly error: string | null;
}

export interface RepairOptions {
  /** Only say what would be done. Default: false. */
  readonly dryRun?: boolean;
  /** Read and hash every stored content while verifying. Default: false. */
  readonly deep?: boolean;
  readonly signal?: AbortSignal;
  /** How long to wait for other writers, in milliseconds. */
  readonly lockWaitMs?: number;
}

/** What is to be done about one finding. */
export interface Proposal {
  readonly action: RepairAction;
  readonly message: string;
  /** Whether it is done for all such findings at once, as a transaction. */
  readonly isTransaction?: boolean;
  /** Runs under the lock, but for what comes first. */
  readonly act: (() => Promise<void>) | undefined;
}

/** What a repair needs of its store. */
export interface RepairHost {
  readonly verifying: Verifying;
  readonly newId: () => string;
  readonly verify: () => AsyncIterable<Finding>;
  /** Runs under the lock, with the epoch. */
  readonly exclusively: (work: (epoch: number) => Promise<void>) => Promise<void>;
  /** Returns what is neither finished nor undone. */
  readonly recover: () => Promise<readonly { readonly id: number; readonly reason: string }[]>;
  readonly adopt: (paths: readonly string[]) => Promise<void>;
  /** Gives the owner all rights to a directory of the engine's own; `.` is `.skillmeat` itself. */
  readonly makeWritable: (place: string) => void;
  /** See `Writer.barrier`. */
  readonly barrier: () => Promise<void>;
  /** Whether a failure has stopped the store. */
  readonly isStopped: () => boolean;
  /** The listings of the directory as it is now, by their hash, with the rules of a snapshot. */
  readonly listingsNow: (row: SnapshotRow) => Promise<ReadonlyMap<ContentHash, Uint8Array>>;
}

/** What the acts of one repair share. */
export interface Repairing extends Verifying {
  readonly host: RepairHost;
  readonly objects: ObjectStore;
  readonly sources: ContentSources;
  /** Contents that are written, and get their place in `stage/` when they are on disk. */
  readonly moves: StagedMove[];
  epoch: number;
}

interface StagedMove {
  /** Name in `stage/`. */
  readonly draft: string;
  /** Path below `stage/`. */
  readonly keptAt: RelativePath;
}
