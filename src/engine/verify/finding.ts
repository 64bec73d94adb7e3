import { isEngineError } from '../errors.js';

/** What `verify` can find. Public and stable; docs/verify.md says what each means. */
export type FindingKind =
  // the store
  | 'store-unopenable'
  | 'directory-read-only'
  | 'owner-damaged'
  | 'recovery-pending'
  // the journal
  | 'journal-damaged'
  | 'record-damaged'
  | 'head-lost'
  | 'transaction-blocked'
  | 'transaction-damaged'
  // history
  | 'slot-missing'
  | 'slot-damaged'
  | 'stage-orphan'
  // snapshots
  | 'snapshot-damaged'
  | 'object-missing'
  | 'object-damaged'
  | 'object-unreadable'
  | 'object-orphan'
  // packs
  | 'pack-missing'
  | 'pack-damaged'
  // quarantine
  | 'quarantine-unexplained'
  | 'quarantine-note-alone'
  // the root
  | 'path-unreadable'
  | 'drift';

/**
 * `damage`: a promise is broken, or cannot be checked. `drift`: another program changed a file, which
 * is its right. `leftover`: something lies about that nothing needs.
 */
export type FindingLevel = 'damage' | 'drift' | 'leftover';

/** Number of a promise of docs/design.md. */
export type PromiseNumber = 'I1' | 'I2' | 'I3' | 'I5' | 'I9';

/** One thing that is not as it should be. */
export interface Finding {
  readonly kind: FindingKind;
  readonly level: FindingLevel;
  /** The promise that it breaks, or is left over from keeping. */
  readonly promise: PromiseNumber;
  /** What, where, expected and found. */
  readonly message: string;
  /** Root-relative; `null` where no path of the root is concerned. */
  readonly path: string | null;
  /** Below `.skillmeat`; `null` where nothing of the engine's own is concerned. */
  readonly place: string | null;
  /** Number of the transaction; `null` where none is concerned. */
  readonly transaction: number | null;
  /** Number of the newest snapshot that is concerned, or `null`. */
  readonly snapshot: number | null;
  /** Of the content that is concerned, or `null`. */
  readonly sha256: string | null;
}

type Details = Partial<Pick<Finding, 'path' | 'place' | 'transaction' | 'snapshot' | 'sha256'>>;

/** What was looked at, to be compared with what there is. */
export interface Verified {
  readonly transactions: number;
  /** Contents in history, each transaction's own. */
  readonly slots: number;
  readonly snapshots: number;
  /** Contents and listings of snapshots, each once. */
  readonly objects: number;
  /** Packs of displaced contents and of those of snapshots. */
  readonly packs: number;
  /** Paths that transactions have changed. */
  readonly paths: number;
  /** Contents that are nowhere any more, as `repair` has noted. */
  readonly lost: number;
}

const natures: Readonly<Record<FindingKind, readonly [FindingLevel, PromiseNumber]>> = {
  'store-unopenable': ['damage', 'I2'],
  'directory-read-only': ['damage', 'I2'],
  'owner-damaged': ['damage', 'I2'],
  'recovery-pending': ['damage', 'I1'],
  'journal-damaged': ['damage', 'I2'],
  'record-damaged': ['damage', 'I5'],
  'head-lost': ['damage', 'I2'],
  'transaction-blocked': ['damage', 'I1'],
  'transaction-damaged': ['damage', 'I1'],
  'slot-missing': ['damage', 'I5'],
  'slot-damaged': ['damage', 'I5'],
  'stage-orphan': ['leftover', 'I3'],
  'snapshot-damaged': ['damage', 'I5'],
  'object-missing': ['damage', 'I5'],
  'object-damaged': ['damage', 'I5'],
  'object-unreadable': ['damage', 'I5'],
  'object-orphan': ['leftover', 'I9'],
  'pack-missing': ['damage', 'I5'],
  'pack-damaged': ['damage', 'I5'],
  'quarantine-unexplained': ['leftover', 'I3'],
  'quarantine-note-alone': ['leftover', 'I3'],
  'path-unreadable': ['damage', 'I5'],
  drift: ['drift', 'I5'],
};

export function toFinding(kind: FindingKind, message: string, details: Details = {}): Finding {
  const [level, promise] = natures[kind];
  const { path = null, place = null, transaction = null, snapshot = null } = details;
  const { sha256 = null } = details;
  return { kind, level, promise, message, path, place, transaction, snapshot, sha256 };
}

/** Returns what keeps a store from being opened, as a finding; `undefined` for other failures. */
export function findingOf(error: unknown): Finding | undefined {
  if (!isEngineError(error, 'JOURNAL_DAMAGED', 'JOURNAL_FOREIGN')) return undefined;
  return toFinding('store-unopenable', error.message, { place: '.' });
}
