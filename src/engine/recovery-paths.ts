import type { ChangeRow } from './change-row.js';
import type { Decision, Evidence, Hop } from './decide.js';
import { assert, EngineError, fromSystemError } from './errors.js';
import type { Place } from './file-system.js';
import { absent, type FoundImage, type Image, isSameImage, special } from './image.js';
import { inspect, type Looking } from './inspect.js';
import type { Journal } from './journal.js';
import { quote, type RelativePath } from './path.js';
import type { Quarantine } from './quarantine.js';
import { isObstacle, type RootTree } from './root-tree.js';
import type { TransactionRow } from './transaction-row.js';
import { type JournalUnit, slotName, slotPath, spareName, toUnits } from './units.js';

/** What a recovery works with. */
export interface Recovering {
  readonly looking: Looking;
  readonly journal: Journal;
  /** Places below the root. */
  readonly tree: RootTree;
  /** Places below the store's `stage` directory. */
  readonly stage: RootTree;
  readonly quarantine: Quarantine;
  /** Transactions whose lost bytes somebody has accepted by hand. */
  readonly acceptsLossOf?: ReadonlySet<number> | undefined;
  /** Up to this transaction all contents are known to have been on disk. Default: all. */
  readonly flushedThrough?: number | undefined;
  /** Waits until everything is on disk; when that fails, the store is poisoned (I10). */
  readonly barrier: () => Promise<void>;
}

/** A path that another program has now. */
export interface SupersededPath {
  readonly transaction: number;
  readonly path: string;
  readonly why: string;
}

/** One move of one transaction: redo it, or undo it. */
export interface Move {
  readonly transaction: TransactionRow;
  readonly unit: JournalUnit;
  readonly isUndo: boolean;
}

/** What one transaction wants of one path. */
export interface Wish {
  readonly move: Move;
  readonly row: ChangeRow;
  readonly to: Image;
}

/** One step of a path from image to image, by a move. */
export interface PathHop extends Hop {
  readonly move: Move;
  readonly row: ChangeRow;
}

/** One path, and what is known of it by now. */
export interface PathState {
  readonly path: RelativePath;
  /** In the order of the transactions; what the last one wants is the target. */
  readonly wishes: Wish[];
  /** What the path shall be. */
  target: Image;
  /** Made by the survey, for a path that is not at its target. */
  hops: readonly PathHop[];
  found: FoundImage;
  decision: Decision;
  /** First hop that is not done yet, while a decision to advance is carried out. */
  next: number;
  error?: EngineError;
}

/** The paths of some transactions, where they are looked for, and what is known of them by now. */
export class RecoveryPaths {
  readonly context: Recovering;
  readonly moves: readonly Move[];
  readonly states: ReadonlyMap<RelativePath, PathState>;
  readonly transactions: readonly TransactionRow[];
  readonly superseded: (SupersededPath & { readonly sequence: number })[] = [];
  /** What a barrier threw that failed. */
  #failedFlush: unknown;

  constructor(transactions: readonly TransactionRow[], context: Recovering) {
    this.transactions = transactions;
    this.context = context;
    this.moves = loadMoves(transactions, context.journal);
    const states = new Map<RelativePath, PathState>();
    this.states = states;
    for (const move of this.moves) {
      for (const row of move.unit.rows) {
        const { path } = row;
        const wish: Wish = { move, row, to: move.isUndo ? row.before : row.after };
        const state = states.get(path);
        if (state !== undefined) {
          state.wishes.push(wish);
          state.target = wish.to;
        } else {
          const decision: Decision = { do: 'nothing' };
          const begun = { target: wish.to, hops: [], found: absent, decision, next: 0 };
          states.set(path, { path, wishes: [wish], ...begun });
        }
      }
    }
  }

  statesOf({ unit }: Move): readonly PathState[] {
    return unit.rows.map((row) => this.state(row.path));
  }

  state(path: RelativePath): PathState {
    const state = this.states.get(path);
    assert(state !== undefined, 'every row has its path');
    return state;
  }

  wishesOf(id: number): readonly Wish[] {
    return [...this.states.values()].flatMap(({ wishes }) =>
      wishes.filter(({ move }) => move.transaction.id === id),
    );
  }

  /** No place that was got before may be used after. */
  trim(): void {
    this.context.tree.trim();
    this.context.stage.trim();
  }

  /** What is at a path now. */
  async findAt(path: RelativePath): Promise<FoundImage> {
    const located = this.context.tree.locate(path);
    if (isObstacle(located)) {
      // Below a file or link that the transactions themselves put there, there is nothing; below
      // any other, whatever there is belongs to somebody else.
      const isOurs = located.obstacle !== 'other-mount' && this.states.has(located.at);
      return located.obstacle === 'absent' || isOurs ? absent : special;
    }
    return (await inspect(this.context.looking, located, path)).image;
  }

  /** What the slot holds for a row's path. */
  async inSlot(at: Pick<PathHop, 'move' | 'row'>): Promise<FoundImage> {
    const place = this.placeOf(at);
    if (place === undefined) return absent;
    return (await inspect(this.context.looking, place, at.row.path)).image;
  }

  /**
   * A transaction that is undone made two hops, there and back. Its one slot tells where it stands:
   * with the after-image in it, neither hop is to be seen.
   */
  async hopsFor({ move, row }: Wish): Promise<readonly PathHop[]> {
    const { before, after } = row;
    const there = { move, row, from: before, to: after };
    const back = { move, row, from: after, to: before };
    const holds = move.unit.slot === undefined ? undefined : await this.inSlot({ move, row });
    const evidence = holds === undefined ? 'none' : evidenceOf(holds, before, after);
    // A path that only came along in a directory: switching it back and forth shows nothing.
    if (isSameImage(before, after)) {
      return [{ ...there, holds, evidence: evidence === 'lost' ? 'lost' : 'none' }];
    }
    if (!move.isUndo) return [{ ...there, holds, evidence }];
    switch (evidence) {
      case 'pending':
        return [];
      case 'done':
        return [
          { ...there, holds, evidence: 'done' },
          { ...back, holds, evidence: 'pending' },
        ];
      case 'none':
      case 'lost':
        return [
          { ...there, holds, evidence },
          { ...back, holds, evidence },
        ];
    }
  }

  /** Where a row's path is in its slot; `undefined` when nothing is there that could hold it. */
  placeOf({ move, row }: Pick<PathHop, 'move' | 'row'>): Place | undefined {
    const { unit, transaction } = move;
    if (unit.slot === undefined) return undefined;
    const at = { member: row.path, unit: unit.path };
    return this.#stagePlace(slotPath(transaction.stage, unit.slot, at));
  }

  /** The place that holds what a path shall be. */
  sourceOf({ hops }: PathState, source: number | undefined): Place {
    assert(source !== undefined, 'what is brought in comes from a slot');
    const hop = hops[source];
    assert(hop !== undefined, 'a slot is of a hop');
    const place = this.placeOf(hop);
    assert(place !== undefined, 'the slot was surveyed');
    return place;
  }

  /** The slot of a whole unit. */
  slotOf({ transaction, unit }: Move): Place | undefined {
    assert(unit.slot !== undefined, 'what is switched has a slot');
    return this.#stagePlace(slotName(transaction.stage, unit.slot) as RelativePath);
  }

  #stagePlace(path: RelativePath): Place | undefined {
    const located = this.context.stage.locate(path);
    return isObstacle(located) ? undefined : located;
  }

  /** Where to move what does not fit into the slot. */
  spareOf({ move, row }: Pick<PathHop, 'move' | 'row'>): Place {
    const name = spareName(move.transaction.stage, row.sequence);
    const spare = this.#stagePlace(name as RelativePath);
    assert(spare !== undefined, 'the stage directory is open');
    return spare;
  }

  supersede({ move, row }: Wish, why: string): void {
    const { id } = move.transaction;
    this.superseded.push({ transaction: id, path: row.path, why, sequence: row.sequence });
  }

  /** What goes wrong with these paths is theirs alone; a bug, or a barrier that failed, is thrown. */
  async attempt(states: readonly PathState[], act: () => Promise<void>): Promise<void> {
    const path = states[0]?.path;
    assert(path !== undefined, 'what is attempted concerns a path');
    try {
      await act();
    } catch (error) {
      if (error instanceof Error && error.message.startsWith('bug: ')) throw error;
      // I10: that concerns every path.
      // guard: recovery-flush-failed
      if (error === this.#failedFlush) throw error;
      const failure = fromSystemError(error, 'recover', path);
      for (const state of states) state.error = failure;
    }
  }

  /** Waits until all that was done is on disk. */
  async flush(): Promise<void> {
    try {
      // guard: recovery-moves-barrier
      await this.context.barrier();
    } catch (error) {
      this.#failedFlush = error;
      throw error;
    }
  }
}

/** In the order of the transactions, units of an undone one backwards. */
function loadMoves(transactions: readonly TransactionRow[], journal: Journal): readonly Move[] {
  return transactions.flatMap((transaction) => {
    // guard: recovery-chain [journal.verifyChain(transaction.id) becomes journal.changes(transaction.id)]
    const units = toUnits(journal.verifyChain(transaction.id));
    const isUndo = transaction.state === 'undoing';
    return (isUndo ? units.toReversed() : units).map((unit) => ({ transaction, unit, isUndo }));
  });
}

function evidenceOf(inSlot: FoundImage, from: Image, to: Image): Evidence {
  if (isSameImage(inSlot, to)) return 'pending';
  return isSameImage(inSlot, from) ? 'done' : 'lost';
}

/** The next hop that changes something. */
export function nextHop({ hops, next }: PathState): PathHop | undefined {
  return hops.slice(next).find(({ from, to }) => !isSameImage(from, to));
}

/** What the newest transaction wants. */
export function lastOf(wishes: readonly Wish[]): Wish {
  const last = wishes.at(-1);
  assert(last !== undefined, 'a path has a wish');
  return last;
}

export function raced(path: RelativePath): EngineError {
  return new EngineError(
    'DRIFT_DETECTED',
    `${quote(path)} was written by another program during recovery`,
    { path, hint: 'Its bytes were kept. Run: skillmeat txn recover' },
  );
}
