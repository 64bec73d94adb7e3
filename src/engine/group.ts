import type { ChangeRow } from './change-row.js';
import { assert, EngineError, isEngineError } from './errors.js';
import type { Directory } from './file-system.js';
import { type Image, isSameContent, isSameImage } from './image.js';
import { groupTransactionsMax } from './limits.js';
import { parentOf, type RelativePath } from './path.js';
import { PendingUnits, type PendingUnit } from './pending-units.js';
import type { Cover } from './root-tree.js';
import { slotName, toUnits } from './units.js';

/*
 * Transactions of one store that wait for the lock together share its session and a flush.
 *
 * 1. The first collects, plans and records as if it were alone. Then, in the place of flushing, it
 *    lets the next one in that waits and may share.
 * 2. That one is planned upon what the first recorded: its units are looked up in their slots
 *    (pending-units.ts). It stages and records its own, and lets the next one in.
 * 3. When nobody waits who may join, or the group is full, one flush carries all of them. Then each
 *    applies its units, in the order of the log.
 * 4. One that cannot be applied is undone, as ever; the later ones that were shown what it had
 *    recorded are taken back with it: nothing of them was applied. The others go on.
 *
 * Only one transaction at a time is neither recorded nor over. It ends the group, which flushes and
 * applies the ones before, as soon as it does what cannot be done upon recorded ones, what may take
 * long, or nothing.
 */

export interface GroupHost {
  /** Lets the next one in that waits and may share; false when there is none. */
  letJoin(): boolean;
  /** Waits until contents and records are on disk. When that fails, the store is poisoned (I10). */
  flush(bytes: number): Promise<void>;
  /** Records that transactions of which nothing was applied did not happen. */
  takeBack(ids: readonly number[], reason: string): void;
  /** Says in `owner` that the newest transaction is on disk. */
  noteFlushed(): void;
  /** @throws {EngineError} `STORE_POISONED`. */
  refusePoisoned(): void;
  readonly poison: EngineError | undefined;
}

/** A transaction that is in the journal and not flushed. */
export interface Recorded {
  readonly id: number;
  /** What the names of its slots begin with. */
  readonly stage: string;
  readonly rows: readonly ChangeRow[];
  /** Bytes that were staged for it. */
  readonly bytes: number;
}

/** One session of the lock, as far as transactions share it. */
export class Group {
  readonly host: GroupHost;
  readonly pending: PendingUnits = new PendingUnits();
  /** Transactions that were let in and are not over. */
  inside = 1;
  /** Whether one of them has ended well. */
  isDone = false;
  /** Transactions of this session that were undone or taken back. */
  readonly failed: Set<number> = new Set<number>();
  /** What each path was before the first transaction that waits for the flush. */
  readonly #originals = new Map<RelativePath, Image>();
  readonly #waiting: Turn[] = [];
  #flushed: readonly Turn[] = [];
  /** Whether what was recorded can be planned upon. */
  #isCovering = true;
  /** Transactions that the session has had: other processes wait for its end. */
  #count = 1;

  constructor(host: GroupHost) {
    this.host = host;
  }

  /** Recorded ones that wait for the flush. */
  get waiting(): readonly Turn[] {
    return this.#waiting;
  }

  add(turn: Turn, { id, stage, rows }: Recorded): void {
    this.#waiting.push(turn);
    for (const { path, before } of rows) {
      if (!this.#originals.has(path)) this.#originals.set(path, before);
    }
    const units = toUnits(rows);
    // What only changes a mode has no slot to be seen in.
    this.#isCovering = units.every(({ slot }) => slot !== undefined);
    this.pending.add(
      units.flatMap(({ path, slot, act }): PendingUnit[] => {
        if (slot === undefined) return [];
        const place = slotName(stage, slot) as RelativePath;
        return [{ transaction: id, path, slot: place, removes: act === 'remove' }];
      }),
    );
  }

  /**
   * Tells whether a transaction must not share the flush. Either it would change what lies in a
   * directory that is pending itself: the power could keep that and lose the directory's own move, and
   * the slot would hold what no transaction ever put there. A change of mode would change the slot itself,
   * or, of a directory, keep what is pending from its place.
   * Or a path would be again what it was before the group: then nothing at it would tell recovery whether
   * the group was flushed (unflushed.ts).
   */
  excludes(rows: readonly ChangeRow[]): boolean {
    if (this.#waiting.length === 0) return false;
    return rows.some(({ act, path, before, after }) => {
      const parent = parentOf(path);
      const isInPending = parent !== undefined && this.pending.covering(parent) !== undefined;
      if (act !== 'member' && isInPending) return true;
      // guard: group-mode
      if (act === 'set-mode' && this.pending.touches(path)) return true;
      const original = this.#originals.get(path);
      if (original === undefined || isSameImage(before, after)) return false;
      return isSameContent(original, after);
    });
  }

  /** Later ones that were shown what this one recorded, or what one of these recorded. */
  dependentsOf(turn: Turn): readonly Turn[] {
    const doomed = new Set([turn.record.id]);
    return this.#flushed.slice(this.#flushed.indexOf(turn) + 1).filter((later) => {
      if (later.isOver || !later.usesAny(doomed)) return false;
      doomed.add(later.record.id);
      return true;
    });
  }

  /** Lets the next one in, or else flushes. */
  passOn(): void {
    const mayGrow =
      this.#waiting.length > 0 &&
      this.#count < groupTransactionsMax &&
      this.#isCovering &&
      this.host.poison === undefined;
    if (mayGrow && this.host.letJoin()) {
      this.inside += 1;
      this.#count += 1;
    } else {
      void this.finish();
    }
  }

  /** Flushes those that wait, and lets them apply in order. Never rejects. */
  async finish(): Promise<void> {
    const turns = this.#waiting.splice(0);
    if (turns.length === 0) return;
    this.#flushed = turns;
    const failure = await this.#putOnDisk(turns).catch((error: unknown) => () => error as Error);
    for (const turn of turns) {
      turn.settle(failure?.(turn) ?? this.#whyNot(turn), turns.length > 1);
      await turn.over;
    }
    this.pending.clear();
    this.#originals.clear();
    this.#isCovering = true;
  }

  /** @returns when they may not be believed: what to tell each. */
  async #putOnDisk(turns: readonly Turn[]): Promise<((turn: Turn) => EngineError) | undefined> {
    const bytes = turns.reduce((sum, { record }) => sum + record.bytes, 0);
    try {
      // guard: commit-flush-both
      await this.host.flush(bytes);
    } catch (error) {
      const failure = error as EngineError;
      try {
        const ids = turns.map(({ record }) => record.id);
        this.host.takeBack(ids, failure.message);
        for (const turn of turns) turn.isTakenBack = true;
        return () => failure;
      } catch (cause) {
        for (const turn of turns) turn.mustNotBeFound = true;
        return ({ record }) => unknownOutcome(record.id, failure, cause);
      }
    }
    // guard: owner-names-flushed
    this.host.noteFlushed();
    return undefined;
  }

  /** Why a transaction that is flushed must not be applied. */
  #whyNot(turn: Turn): EngineError | undefined {
    if (turn.isTakenBack) return builtOnUndone();
    const { poison } = this.host;
    if (poison === undefined) return undefined;
    const isLost = isEngineError(poison, 'FENCED', 'STORE_REPLACED');
    return new EngineError(
      isLost ? poison.code : 'BLOCKED',
      `transaction ${String(turn.record.id)} is committed, and nothing of it is applied: ${poison.message}`,
      {
        cause: poison,
        hint: 'Open the store again; that finishes it. Or run: skillmeat txn recover',
      },
    );
  }
}

/** What one transaction has to do with the group. */
export class Turn {
  readonly #group: Group;
  readonly #uses = new Set<number>();
  recorded: Recorded | undefined;
  /** Whether the journal says that it did not happen. */
  isTakenBack = false;
  /** Whether its contents must go, so that recovery does not find what the disk may not have. */
  mustNotBeFound = false;
  isOver = false;
  /** Whether it is this one that others wait for: neither recorded nor over. */
  #isFirst = true;
  #settle: (why: Error | undefined) => void = () => undefined;
  #end: () => void = () => undefined;
  readonly #settled: Promise<Error | undefined>;
  /** Resolves when it is applied, or never will be. */
  readonly over: Promise<void>;
  #isShared = false;

  constructor(group: Group) {
    this.#group = group;
    this.#settled = new Promise((resolve) => {
      this.#settle = resolve;
    });
    this.over = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  /** Of one that waits for the flush, or has. */
  get record(): Recorded {
    assert(this.recorded !== undefined, 'who waits for the flush is recorded');
    return this.recorded;
  }

  /** Whether recorded transactions wait for this one. */
  get isAwaited(): boolean {
    return this.#group.waiting.length > 0;
  }

  /** Whether it was flushed together with others. */
  get isShared(): boolean {
    return this.#isShared;
  }

  /** Whether a transaction of this session was undone: the store may be in trouble now. */
  get hasFailures(): boolean {
    return this.#group.failed.size > 0;
  }

  /** The oldest transaction that is not known to be on disk; `id` when all are. */
  firstFor(id: number): number {
    return this.#group.waiting[0]?.record.id ?? id;
  }

  /** Lets a transaction see what the ones before it recorded. */
  coverFrom(stage: Directory): Cover | undefined {
    if (!this.isAwaited) return undefined;
    const onUse = ({ transaction }: PendingUnit): void => {
      this.#uses.add(transaction);
    };
    return { pending: this.#group.pending, stage, onUse };
  }

  usesAny(ids: ReadonlySet<number>): boolean {
    return [...this.#uses].some((id) => ids.has(id));
  }

  /** Tells whether a look at all that is below a directory would miss what was recorded. */
  isBlindBelow(path: RelativePath): boolean {
    return this.#group.pending.hasBelow(path);
  }

  /** See {@link Group.excludes}. */
  isExcluded(rows: readonly ChangeRow[]): boolean {
    return this.#group.excludes(rows);
  }

  /**
   * Waits until all that was recorded is applied; from here on this transaction sees the root.
   *
   * @throws {EngineError} as {@link requireSound}; `STORE_POISONED`.
   */
  async endGroup(): Promise<void> {
    await this.#group.finish();
    this.#group.host.refusePoisoned();
    this.requireSound();
  }

  /**
   * Refuses to go on upon what never was.
   *
   * @throws {EngineError} `DRIFT_DETECTED`.
   */
  requireSound(): void {
    // guard: group-sound [if false]
    if (this.usesAny(this.#group.failed)) throw builtOnUndone();
  }

  /** As {@link requireSound}, before anything is written. @throws {EngineError} also `STORE_POISONED`. */
  requireRecordable(): void {
    this.requireSound();
    this.#group.host.refusePoisoned();
  }

  /**
   * Waits for the flush, and until those before are applied.
   *
   * @throws {EngineError} why it must not be applied.
   */
  async flushed(recorded: Recorded): Promise<void> {
    this.recorded = recorded;
    this.#group.add(this, recorded);
    this.#isFirst = false;
    this.#group.passOn();
    const why = await this.#settled;
    if (why !== undefined) throw why;
  }

  /** Called by the group. */
  settle(why: Error | undefined, isShared: boolean): void {
    this.#isShared = isShared;
    this.#settle(why);
  }

  dependents(): readonly Turn[] {
    // Without a shared flush nobody is planned upon it.
    return this.recorded === undefined ? [] : this.#group.dependentsOf(this);
  }

  /**
   * The transaction is over. Waits for those whose outcome its own rests upon.
   *
   * @param isDone whether it ended well.
   */
  async end(isDone: boolean): Promise<void> {
    this.isOver = true;
    if (this.recorded !== undefined && !isDone) this.#group.failed.add(this.recorded.id);
    const before = [...this.#group.waiting];
    this.#end();
    if (!this.#isFirst) return;
    this.#isFirst = false;
    this.#group.passOn();
    await Promise.all(before.map((turn) => turn.over));
  }
}

function builtOnUndone(): EngineError {
  return new EngineError(
    'DRIFT_DETECTED',
    'a transaction before this one, which it was built upon, could not be applied and was undone',
    { hint: 'Nothing of this one remains; try again.' },
  );
}

function unknownOutcome(id: number, failure: EngineError, cause: unknown): EngineError {
  return new EngineError(
    'COMMIT_UNKNOWN',
    `the disk failed while transaction ${String(id)} was written (${failure.message}): it may or may not be committed`,
    {
      cause,
      hint: 'Check the disk, then run: skillmeat txn recover — it tells which, and settles it.',
    },
  );
}
