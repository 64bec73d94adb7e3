import type { RecoveryReport, Store, TransactionSummary } from '../../src/engine/index.js';
import type { Disk } from './inodes.js';
import { contentsOf, describe, type Images, imagesOf } from './images.js';
import { isForeign, type KnownMoment } from './simulation.js';
import { Violation } from './violation.js';

/*
 * What must hold of a store that was opened after a crash, whatever the crash left:
 *
 * - A transaction that was acknowledged is in the journal and in effect (I2), one that was refused
 *   is not; which others are, the journal says.
 * - Every path is what the transactions in effect make of it, as a whole (I1). Only where another
 *   program was at work may it be something else.
 * - What another program wrote and the crash left is still somewhere (I3).
 */

export interface Expectation {
  /** What the root was before the first transaction. */
  readonly images: Images;
  /** Contents that are of the fixture or of a transaction. */
  readonly known: ReadonlySet<string>;
  readonly moment: KnownMoment;
  /** Whether a file system may bring changes to disk in any order. */
  readonly reorders: boolean;
  /** Told of each state that shows the open limit of {@link isTakenForTorn}. */
  readonly onLimit: () => void;
}

const neverFlushed = 'the power failed before its contents were on disk';

/** Rows by UUID; they never change. */
const changesByUuid = new Map<string, readonly (readonly [path: string, after: string])[]>();

/** Begins afresh for a workload: UUIDs come again in the next one. */
export function forgetTransactions(): void {
  changesByUuid.clear();
}

/**
 * @returns what is in the root, or `undefined` when another program's edit blocks a transaction:
 * then the store says so, and the rest is for people to decide (I10).
 * @throws {Violation}
 */
export async function requirePromises(
  store: Store,
  { before, after }: { readonly before: Disk; readonly after: Disk },
  expectation: Expectation,
): Promise<Images | undefined> {
  const { images, moment } = expectation;
  requireForeign({ before, after }, expectation);
  const log = (await store.log()).toReversed();
  if (log.some((transaction) => isBlockedByOthers(transaction, moment))) return undefined;
  const takenForTorn = new Set<string | null>();
  for (const transaction of log) {
    const isTaken =
      (await isTakenForTorn(store, transaction, expectation)) ||
      isTakenAlong(transaction, takenForTorn);
    if (!isTaken) continue;
    takenForTorn.add(transaction.message);
    expectation.onLimit();
  }
  requireOutcomes(log, moment, takenForTorn);
  requireSuperseded(store.recoveryOnOpen, moment);
  const expected = new Map(images);
  for (const transaction of log) {
    if (transaction.state === 'rolled-back') continue;
    for (const [path, image] of await changesOf(store, transaction)) {
      if (image === 'absent') expected.delete(path);
      else expected.set(path, image);
    }
  }
  const found = imagesOf(after);
  requireSame(found, expected, moment);
  return found;
}

function isBlockedByOthers(
  { state, reason }: TransactionSummary,
  { edited }: KnownMoment,
): boolean {
  const text = reason ?? '';
  if (state === 'blocked') {
    return edited.size > 0 && text.endsWith('was written by another program during recovery');
  }
  // It wrote to our only copy while that was in place, and the power took the rename: the bytes that
  // the transaction needs are nowhere, and whether these are better only people can tell.
  const isNearby = [...edited].some((path) => text.includes(` ${path} `));
  return state === 'damaged' && isNearby;
}

/**
 * Open limits of the one flush, in the ledger. Another program overwrote a file that had just been put in
 * place, and the power kept that and none of the names; it looks like a content that was never flushed:
 * the transaction goes, whole, although it was acknowledged. Or others have removed or overwritten all
 * that it had put in place, and the power kept that and not `owner`: then nothing of it is there to tell.
 * All else must hold here too.
 */
async function isTakenForTorn(
  store: Store,
  transaction: TransactionSummary,
  { moment, reorders }: Expectation,
): Promise<boolean> {
  const { message, reason, state } = transaction;
  if (state !== 'rolled-back') return false;
  if (reason !== neverFlushed) return false;
  if (moment.outcomes.get(message ?? '') !== 'acknowledged') return false;
  const changes = await changesOf(store, transaction);
  const isEdited = ([path]: readonly [path: string, after: string]): boolean =>
    moment.edited.has(path);
  return reorders ? changes.some(isEdited) : changes.every(isEdited);
}

/** Of a group it takes those along that came after: they were planned upon it. */
function isTakenAlong(
  { message, reason, state }: TransactionSummary,
  takenForTorn: ReadonlySet<string | null>,
): boolean {
  if (state !== 'rolled-back' || reason !== neverFlushed || message === null) return false;
  const [group = ''] = message.split('.');
  return [...takenForTorn].some((taken) => taken?.startsWith(`${group}.`));
}

async function changesOf(
  store: Store,
  { id, uuid }: TransactionSummary,
): Promise<readonly (readonly [path: string, after: string])[]> {
  const key = String(uuid);
  const known = changesByUuid.get(key);
  if (known !== undefined) return known;
  const { changes } = await store.show(id ?? 0);
  const made = changes.map(({ path, after }) => [path, describe(after)] as const);
  changesByUuid.set(key, made);
  return made;
}

function requireOutcomes(
  log: readonly TransactionSummary[],
  { outcomes }: KnownMoment,
  takenForTorn: ReadonlySet<string | null>,
): void {
  const states = new Map(log.map(({ message, state }) => [message, state]));
  for (const { message, state, reason } of log) {
    if (state !== 'settled' && state !== 'rolled-back' && state !== 'committed') {
      throw new Violation(`${message} is ${state}: ${reason ?? ''}`);
    }
  }
  for (const [message, outcome] of outcomes) {
    const state = states.get(message);
    const isInEffect = state === 'settled' || state === 'committed';
    if (outcome === 'acknowledged' && !isInEffect && !takenForTorn.has(message)) {
      throw new Violation(`${message} was acknowledged and is ${state ?? 'lost'}`);
    }
    if (outcome === 'refused' && isInEffect) {
      throw new Violation(`${message} was refused and is ${state}`);
    }
  }
}

function requireSuperseded(report: RecoveryReport | undefined, { edited }: KnownMoment): void {
  for (const { path, why } of report?.superseded ?? []) {
    if (!isNear(path, edited)) throw new Violation(`${path} is superseded (${why}) by nobody`);
  }
  for (const { id, reason } of report?.unresolved ?? []) {
    throw new Violation(`transaction ${String(id)} is unresolved: ${reason}`);
  }
}

function requireSame(found: Images, expected: Images, { edited }: KnownMoment): void {
  for (const path of new Set([...found.keys(), ...expected.keys()])) {
    if (found.get(path) === expected.get(path) || isNear(path, edited)) continue;
    throw new Violation(
      `${path} is ${found.get(path) ?? 'absent'}, should be ${expected.get(path) ?? 'absent'}`,
    );
  }
}

function requireForeign(
  { before, after }: { readonly before: Disk; readonly after: Disk },
  { known, moment }: Expectation,
): void {
  if (moment.edited.size === 0) return;
  const is = new Set(contentsOf(after).map(({ text }) => text));
  for (const { text, inode, isInRoot } of contentsOf(before)) {
    // What the disk lost of it is nobody's fault; nor is a copy of it that was being staged.
    const isTheirs = moment.foreignInodes.has(inode) && isForeign(text);
    const isUnknown = isInRoot && text !== '' && !known.has(text) && !isForeign(text);
    if ((isTheirs || isUnknown) && !is.has(text)) {
      throw new Violation(`lost bytes of another program: ${text}`);
    }
  }
}

/** Whether another program was at work at the path, above or below it. */
function isNear(path: string, edited: ReadonlySet<string>): boolean {
  const one = path.toLowerCase();
  return [...edited].some((candidate) => {
    const other = candidate.toLowerCase();
    return one === other || one.startsWith(`${other}/`) || other.startsWith(`${one}/`);
  });
}
