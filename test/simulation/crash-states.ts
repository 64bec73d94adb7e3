import { applyChange, type Disk, type Inode, tornChange } from './inodes.js';
import { hashOf, type JournalBytes } from './journal-disk.js';
import { type DurableAndPending, type PendingChange, withNeeds } from './pending-changes.js';
import type { Profile } from './profiles.js';
import type { Random } from './random.js';

/** What was on disk and on its way at one moment. */
export interface Moment {
  /** The call that had just been made. */
  readonly call: string;
  readonly disk: DurableAndPending;
  readonly journals: readonly JournalBytes[];
  /** Which boot of the machine it was. */
  readonly boot: number;
}

/** What a crash left. */
export interface CrashState {
  readonly disk: Disk;
  readonly journal: JournalBytes;
  /** The same as before when the processes died and the machine did not: then nothing is lost. */
  readonly boot: number;
  /** For people. */
  readonly description: string;
}

/** Choices of what reached the disk that are tried at random, on top of the systematic ones. */
const sampledChoices = 4;
/** With more pending changes than this only some of the systematic choices are tried. */
const systematicMax = 24;

interface Choice {
  /** Made when the state is looked at. */
  readonly changes: () => ReadonlySet<PendingChange>;
  /** The one whose data is cut in the middle. */
  readonly torn?: PendingChange | undefined;
  readonly description: string;
}

/** Yields what a crash at `moment` may leave. Different choices may leave the same. */
export function* crashStates(
  moment: Moment,
  profile: Profile,
  random: Random,
): Generator<CrashState, void> {
  const { disk, journals, call, boot } = moment;
  const [visible] = journals;
  if (visible !== undefined) {
    const everything = { changes: () => new Set(disk.pending), description: 'killed' };
    const left = whenUsed(() => diskAfter(disk, everything, profile));
    yield new LeftState(left, visible, boot, () => `killed after ${call}`);
  }
  for (const choice of choices(disk.pending, profile, random)) {
    const left = whenUsed(() => diskAfter(disk, choice, profile));
    for (const [n, journal] of journals.entries()) {
      const describe = (): string =>
        `power cut after ${call}: ${choice.description}, journal ${String(n)}`;
      yield new LeftState(left, journal, boot + 1, describe);
    }
  }
}

/** Most states are enumerated to be drawn from, and never looked at. */
class LeftState implements CrashState {
  readonly journal: JournalBytes;
  readonly boot: number;
  readonly #left: () => Disk;
  readonly #describe: () => string;

  constructor(left: () => Disk, journal: JournalBytes, boot: number, describe: () => string) {
    this.journal = journal;
    this.boot = boot;
    this.#left = left;
    this.#describe = describe;
  }

  get disk(): Disk {
    return this.#left();
  }

  get description(): string {
    return this.#describe();
  }
}

function whenUsed<T extends object>(make: () => T): () => T {
  let made: T | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

function* choices(
  pending: readonly PendingChange[],
  profile: Profile,
  random: Random,
): Generator<Choice, void> {
  yield* prefixes(pending, random);
  yield* withoutOneContent(pending);
  if (profile.order === 'any') yield* unordered(pending, random);
}

/** Names and modes in order, up to each point; with all data written until then, and with none. */
function* prefixes(pending: readonly PendingChange[], random: Random): Generator<Choice, void> {
  for (let end = 0; end <= pending.length; end += 1) {
    const isOneOfMany = pending.length > systematicMax && end < pending.length;
    if (isOneOfMany && random.below(pending.length) >= systematicMax) continue;
    const description = `the first ${String(end)} of ${String(pending.length)}`;
    const first = pending.slice(0, end);
    yield { changes: () => new Set(first), description };
    const withoutData = first.filter(({ change }) => change.kind !== 'data');
    if (withoutData.length === first.length) continue;
    yield {
      changes: () => new Set(withoutData),
      description: `${description}, without data`,
    };
  }
}

/** Everything but one file's data, or half of it. */
function* withoutOneContent(pending: readonly PendingChange[]): Generator<Choice, void> {
  const contents = pending.filter(({ change }) => change.kind === 'data');
  for (const [n, missing] of contents.entries()) {
    const others = (): Set<PendingChange> => without(missing, pending);
    yield { changes: others, description: `all but data ${String(n)}` };
    const changes = (): ReadonlySet<PendingChange> => others().add(missing);
    yield { changes, torn: missing, description: `all, data ${String(n)} torn` };
  }
}

/**
 * All but one change and those that need it: later writes to the same file, later names of the same entry.
 * What is needed comes first in `pending`, so one pass finds all of them.
 */
function without(missing: PendingChange, pending: readonly PendingChange[]): Set<PendingChange> {
  const lost = new Set([missing]);
  for (const one of pending) if (one.needs.some((needed) => lost.has(needed))) lost.add(one);
  return new Set(pending.filter((one) => !lost.has(one)));
}

function* unordered(pending: readonly PendingChange[], random: Random): Generator<Choice, void> {
  const isFew = pending.length <= systematicMax;
  for (const [n, one] of pending.entries()) {
    if (!isFew && random.below(pending.length) >= systematicMax) continue;
    yield { changes: () => without(one, pending), description: `all but change ${String(n)}` };
    yield { changes: () => withNeeds([one]), description: `only change ${String(n)}` };
  }
  for (let n = 0; n < sampledChoices; n += 1) {
    const some = pending.filter(() => random.below(2) === 0);
    yield { changes: () => withNeeds(some), description: `subset of ${String(some.length)}` };
  }
}

function diskAfter(
  { durable, pending }: DurableAndPending,
  { changes: choose, torn }: Choice,
  profile: Profile,
): Disk {
  const changes = choose();
  const disk: Map<number, Inode> = new Map(durable);
  const forced = profile.replaceForcesData ? replacingInodes(changes) : new Set<number>();
  for (const one of pending) {
    const isForced = one.change.kind === 'data' && forced.has(one.change.inode);
    if (!changes.has(one) && !isForced) continue;
    const isTorn = one === torn && !isForced;
    applyChange(disk, isTorn ? tornChange(disk, one.change) : one.change);
  }
  return disk;
}

function replacingInodes(changes: ReadonlySet<PendingChange>): ReadonlySet<number> {
  const inodes = new Set<number>();
  for (const { change } of changes) {
    if (change.kind === 'names' && change.replacesBy !== undefined) inodes.add(change.replacesBy);
  }
  return inodes;
}

/** A text that is equal for states that nobody could tell apart. */
export function identityOf({ disk, journal, boot }: CrashState): string {
  const parts = [hashOf(journal.database), hashOf(journal.log), String(boot)];
  const numbers = new Map<number, number>();
  const visit = (number: number): void => {
    const node = disk.get(number);
    const known = numbers.get(number);
    if (known !== undefined || node === undefined) {
      parts.push(String(known));
      return;
    }
    numbers.set(number, numbers.size);
    if (node.kind === 'file') parts.push(node.mode.toString(8), node.bytes.toString('latin1'));
    else if (node.kind === 'symlink') parts.push(node.target);
    else {
      parts.push(`${node.mode.toString(8)} {`);
      for (const key of [...node.entries.keys()].toSorted()) {
        const entry = node.entries.get(key);
        if (entry === undefined) continue;
        parts.push(entry.name);
        visit(entry.inode);
      }
      parts.push('}');
    }
  };
  visit(1);
  return parts.join('\0');
}
