import type { ChangeRow } from './change-row.js';
import { assert, systemCode } from './errors.js';
import type { FileSystem, Place } from './file-system.js';
import { type Image, isSameImage } from './image.js';
import { inspect } from './inspect.js';
import { type Move, type PathHop, type RecoveryPaths, type Wish } from './recovery-paths.js';
import { removeTreeIfPossible } from './remove-tree.js';
import type { TransactionRow } from './transaction-row.js';
import { firstUnflushed, isUntouched, type Trace } from './unflushed.js';
import { spareOf } from './units.js';

/** Finds the newest transactions that never got to the disk as a whole, and discards what there is of them. */
export class LeavingOut {
  readonly #paths: RecoveryPaths;
  /** Rows of the newest transactions whose paths are as they would be without them. */
  readonly #untouched = new Set<ChangeRow>();

  constructor(paths: RecoveryPaths) {
    this.#paths = paths;
  }

  /** Of those that shared the newest flush: from the first on whose contents it did not get to. */
  async findUnflushed(): Promise<readonly TransactionRow[]> {
    const { flushedThrough = Number.POSITIVE_INFINITY } = this.#paths.context;
    // guard: unflushed-floor
    const newest = this.#paths.transactions.filter(
      ({ flush, id }) => flush !== 'before' && id > flushedThrough,
    );
    const [first] = newest;
    if (first === undefined) return [];
    const isBegun = newest.some(
      ({ state, trouble }) => state !== 'committed' || trouble !== undefined,
    );
    // guard: unflushed-state
    if (isBegun) return [];
    // guard: unflushed-acted-on
    if (newest.some((transaction) => this.#wasActedOn(transaction))) return [];
    const traces: Trace[][] = [];
    for (const { id } of newest) {
      const found = await this.#tracesOf(id, first.id);
      // guard: unflushed-readable
      if (found === undefined) return [];
      traces.push([...found]);
    }
    const at = firstUnflushed(traces);
    return at === undefined ? [] : newest.slice(at);
  }

  /** @returns nothing when a path cannot be looked at. */
  async #tracesOf(id: number, first: number): Promise<readonly Trace[] | undefined> {
    const traces: Trace[] = [];
    for (const { move, row } of this.#paths.wishesOf(id)) {
      const { error, found: atPath, hops, wishes } = this.#paths.state(row.path);
      if (error !== undefined) return undefined;
      this.#paths.trim();
      const surveyed = hops.find((hop) => hop.row === row)?.holds;
      const hasSlot = move.unit.slot !== undefined;
      const inSlot = hasSlot ? (surveyed ?? (await this.#paths.inSlot({ move, row }))) : undefined;
      const { before, after } = row;
      const without = await this.#withoutNewest(wishes, first);
      const trace = { before, after, atPath, inSlot, ...without };
      traces.push(trace);
      if (isUntouched(trace)) this.#untouched.add(row);
    }
    return traces;
  }

  /** An earlier recovery judged it, and has moved what it found in the slots. */
  #wasActedOn({ id, stage }: TransactionRow): boolean {
    const { looking, quarantine, stage: places } = this.#paths.context;
    const hasSpare = looking.files
      .list(places.root)
      .some(({ name }) => name.startsWith(`${stage}.`) && spareOf(name) !== undefined);
    return hasSpare || quarantine.hasAnyOf(id);
  }

  /** What a path may be when the transactions from number `newest` on did nothing. */
  async #withoutNewest(
    wishes: readonly Wish[],
    newest: number,
  ): Promise<Pick<Trace, 'otherwise' | 'isMoving'>> {
    const [first] = wishes;
    assert(first !== undefined, 'a path has a wish');
    let images: readonly Image[] = [first.move.isUndo ? first.row.after : first.row.before];
    let isMoving = false;
    const earlier = wishes.filter(({ move }) => move.transaction.id < newest);
    // guard: unflushed-otherwise [of earlier becomes of []]
    for (const wish of earlier) {
      this.#paths.trim();
      for (const { evidence, to } of await this.#paths.hopsFor(wish)) {
        if (evidence === 'done') images = [to];
        if (evidence === 'none') images = [...images, to];
        isMoving ||= evidence === 'pending' || evidence === 'lost';
      }
    }
    return { otherwise: images, isMoving };
  }

  /** Where a path is as it would be without the move, its slot never held what was displaced. */
  async discard(move: Move): Promise<void> {
    for (const row of move.unit.rows.toReversed()) {
      this.#paths.trim();
      const place = this.#untouched.has(row) ? this.#paths.placeOf({ move, row }) : undefined;
      if (place !== undefined) await this.#discardAt(place, { move, row });
    }
  }

  async #discardAt(place: Place, { move, row }: Pick<PathHop, 'move' | 'row'>): Promise<void> {
    const { looking, quarantine } = this.#paths.context;
    const { path } = row;
    const { image } = await inspect(looking, place, path);
    const isEmpty = image.kind === 'file' && image.size === 0;
    if (image.kind === 'directory') removeIfEmpty(looking.files, place);
    else if (isEmpty || isSameImage(image, row.after)) await removeTreeIfPossible(looking, place);
    else if (image.kind !== 'absent') {
      // I3: cut off by the power; or it was in place for an instant, and an editor wrote to it.
      const why = 'neither whole nor empty when the power failed: unfinished, or edited';
      // guard: unflushed-quarantine
      quarantine.takeIn(place, { path, transaction: move.transaction.id, why });
    }
  }
}

/** What is left in it is looked at when history is pruned. */
function removeIfEmpty(files: FileSystem, place: Place): void {
  try {
    files.removeDirectory(place);
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
  }
}
