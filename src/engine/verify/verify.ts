import { isEngineError } from '../errors.js';
import { type Finding, toFinding, type Verified } from './finding.js';
import { verifyDirectories, verifyQuarantine } from './verify-directories.js';
import { verifyDatabase, verifyOwner, verifyRecords, verifyTroubled } from './verify-journal.js';
import { verifyObjects, verifySnapshotRows } from './verify-objects.js';
import { verifyPacks } from './verify-packs.js';
import { verifyRoot } from './verify-root.js';
import { verifySlots, verifyStageNames } from './verify-stage.js';
import type { Part, Verifying } from './verifying.js';

/*
 * Looks at everything that a store keeps and promises, and changes nothing.
 *
 * 1. Each part looks without the lock: writers go on. What it sees may be half of what one is doing.
 * 2. What seems wrong is looked at again while nobody writes. What is wrong still is a finding.
 *
 * So a store without findings is verified without keeping anybody waiting.
 */

/** What `verify` is asked for. */
export interface VerifyOptions {
  /** Read and hash every stored content; otherwise its presence and size are looked at. */
  readonly deep?: boolean;
  readonly signal?: AbortSignal;
  /** How long to wait for a writer, when something seems wrong, in milliseconds. */
  readonly lockWaitMs?: number;
}

export interface VerifyHost {
  readonly verifying: Verifying;
  /** Lets closing wait for one part. */
  readonly during: <T>(work: () => Promise<T>) => Promise<T>;
  /** Runs its argument while nobody writes. `lockWaitMs`: undefined is the store's own. */
  readonly whileNobodyWrites: <T>(
    lockWaitMs: number | undefined,
    work: () => Promise<T>,
  ) => Promise<T>;
}

interface PartToRun {
  readonly part: Part;
  /** Whether a writer at work is no reason to wait: it is what keeps this from being a finding. */
  readonly yieldsToWriters?: boolean;
}

/** In the order in which the findings come. */
const parts: readonly PartToRun[] = [
  { part: verifyDirectories },
  { part: verifyDatabase },
  { part: verifyRecords },
  { part: verifyOwner, yieldsToWriters: true },
  { part: verifyTroubled },
  // Before those that ask what is broken.
  { part: verifyPacks },
  { part: verifySlots },
  { part: verifyStageNames },
  { part: verifySnapshotRows },
  { part: verifyObjects },
  { part: verifyQuarantine },
  { part: verifyRoot },
];

/** Yields what each part finds, and returns how much was looked at. */
export async function* verify(
  { lockWaitMs }: VerifyOptions,
  host: VerifyHost,
): AsyncGenerator<Finding, Verified, void> {
  const counts = {
    transactions: 0,
    slots: 0,
    snapshots: 0,
    objects: 0,
    packs: 0,
    paths: 0,
    lost: 0,
  };
  const count = (what: keyof Verified, by = 1): void => {
    counts[what] += by;
  };
  const counting = { ...host, verifying: { ...host.verifying, count } };
  let isJournalSound = true;
  for (const part of parts) {
    for (const finding of await host.during(() => runPart(part, lockWaitMs, counting))) {
      // A part that cannot read the journal says nothing new when that is known.
      const isOfJournal = finding.kind === 'journal-damaged' || finding.kind === 'record-damaged';
      if (finding.kind === 'journal-damaged' && !isJournalSound && part.part !== verifyDatabase) {
        continue;
      }
      if (isOfJournal) isJournalSound = false;
      yield finding;
    }
  }
  return counts;
}

async function runPart(
  { part, yieldsToWriters = false }: PartToRun,
  lockWaitMs: number | undefined,
  { verifying, whileNobodyWrites }: VerifyHost,
): Promise<readonly Finding[]> {
  const suspected = new Set<string>();
  let isReadable = true;
  try {
    for await (const { unit } of part(verifying, () => true)) suspected.add(unit);
  } catch (error) {
    if (!isEngineError(error, 'JOURNAL_DAMAGED')) throw error;
    isReadable = false;
  }
  if (suspected.size === 0 && isReadable) return [];
  const again: Verifying = { ...verifying, count: () => undefined };
  const wants = (unit: string): boolean => !isReadable || suspected.has(unit);
  try {
    return await whileNobodyWrites(yieldsToWriters ? 0 : lockWaitMs, () =>
      collect(part, again, wants),
    );
  } catch (error) {
    if (yieldsToWriters && isEngineError(error, 'STORE_LOCKED')) return [];
    throw error;
  }
}

async function collect(
  part: Part,
  verifying: Verifying,
  wants: (unit: string) => boolean,
): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  try {
    for await (const { finding } of part(verifying, wants)) findings.push(finding);
  } catch (error) {
    if (!isEngineError(error, 'JOURNAL_DAMAGED')) throw error;
    findings.push(toFinding('journal-damaged', error.message, { place: 'journal.db' }));
  }
  return findings;
}
