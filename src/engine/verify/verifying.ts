import type { ContentHash } from '../hash.js';
import type { Head } from '../transaction-row.js';
import type { Journal } from '../journal.js';
import type { Looking } from '../inspect.js';
import type { ObjectStore } from '../object-store.js';
import type { Quarantine } from '../quarantine.js';
import type { StoreDirectory } from '../store-directory.js';
import { type OwnerRecord, readOwner } from '../writer-lock.js';
import type { Finding, Verified } from './finding.js';

/** What every part of `verify` works with. Nothing in it writes. */
export interface Verifying {
  readonly looking: Looking;
  readonly directory: StoreDirectory;
  readonly journal: Journal;
  readonly quarantine: Quarantine;
  readonly openObjects: () => ObjectStore;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** This boot of this machine. */
  readonly bootId: string;
  /** Read and hash every content; otherwise its presence and size. */
  readonly isDeep: boolean;
  /** Contents that a deep look has found to be damaged in the packs that hold them. */
  readonly broken: Set<ContentHash>;
  readonly count: (what: keyof Verified, by?: number) => void;
}

/** Something that seems wrong, and the piece of work that looks at it again. */
export interface Suspicion {
  readonly unit: string;
  readonly finding: Finding;
}

/** Looks at the units that `wants` names, and yields what seems wrong. */
export type Part = (
  verifying: Verifying,
  wants: (unit: string) => boolean,
) => AsyncGenerator<Suspicion, void>;

/**
 * Tells whether all that is committed is known to be applied. While a writer is at work it is not;
 * then nobody can say what an unsettled transaction's paths and slots should be.
 */
export function isAtRest({ journal, directory, bootId }: Verifying): boolean {
  const owner = readOwner(directory.files, directory.store);
  return isReleasedAt(owner, journal.head(), bootId);
}

function isReleasedAt(owner: OwnerRecord | undefined, head: Head, bootId: string): boolean {
  if (owner === undefined) return head.id === 0;
  const { isReleased, bootId: boot, mark } = owner;
  const known = mark.head;
  return isReleased && boot === bootId && known.id === head.id && known.chain === head.chain;
}

/** Numbers of the transactions that say nothing for sure of what is on disk. */
export function uncertainTransactions(verifying: Verifying): ReadonlySet<number> {
  const { journal } = verifying;
  const rests = isAtRest(verifying);
  const unsettled = journal.unsettled().filter(({ state, trouble }) => {
    return !rests || trouble !== undefined || state !== 'committed';
  });
  return new Set(unsettled.map(({ id }) => id));
}
