import { parseContentHash } from './hash.js';
import type { PackName } from './packs.js';
import { isNumberFrom, parseObject } from './json-value.js';
import { packingProgressKey } from './meta-table.js';
import { damaged } from './journal-failure.js';
import type { TableAccess } from './snapshot-table.js';

/** Before the name of a pack. */
const packKeyPrefix = 'pack/';

/** Where packing goes on that nobody asked for. */
export interface PackingProgress {
  readonly transaction: number;
  /** How many of the files that it displaced were looked at. */
  readonly files: number;
  /** Whether there is enough for the next piece already. */
  readonly isMore: boolean;
  /** What `pruned_through` was when packs were last removed that nothing needed. */
  readonly cleanedThrough: number;
}

/** Tells whether a piece of history waits to be packed, by what a journal says of {@link PackTable.progress}. */
export function isPackingUnderWay(text: string | null): boolean {
  return text !== null && parseObject(text)?.['isMore'] === true;
}

/**
 * What a journal says of packs: which ones must be there, because something was removed that they
 * hold. What is in them they tell themselves.
 */
export class PackTable {
  readonly #access: TableAccess;

  constructor(access: TableAccess) {
    this.#access = access;
  }

  /** How many contents each pack that must be there holds. @throws {EngineError} `JOURNAL_DAMAGED`. */
  list(): ReadonlyMap<PackName, number> {
    const { meta, reading } = this.#access;
    return reading(() => {
      const packs = new Map<PackName, number>();
      for (const [key, contents] of meta.below(packKeyPrefix)) {
        const name = parseContentHash(key.slice(packKeyPrefix.length));
        if (name !== undefined) packs.set(name, Number(contents));
      }
      return packs;
    });
  }

  /** Notes, synced, that a pack which was read back from the disk must be there from now on. */
  add(name: PackName, contents: number, epoch: number): void {
    const { meta, requireEpoch, writing } = this.#access;
    writing(() => {
      // guard: pack-fence
      requireEpoch(epoch);
      meta.set(packKeyPrefix + name, contents);
    });
  }

  /** @throws {EngineError} `JOURNAL_DAMAGED`. */
  progress(): PackingProgress {
    const { meta, path, reading } = this.#access;
    const text = reading(() => meta.get(packingProgressKey));
    if (text === undefined) return { transaction: 1, files: 0, isMore: false, cleanedThrough: 0 };
    const { transaction, files, cleanedThrough } = parseObject(text) ?? {};
    const isKnown = isNumberFrom(transaction, 1) && isNumberFrom(files, 0);
    // guard: packing-progress-readable [if true]
    if (isKnown && isNumberFrom(cleanedThrough, 0)) {
      return { transaction, files, isMore: isPackingUnderWay(String(text)), cleanedThrough };
    }
    throw damaged(path, `what it says of ${packingProgressKey} is none that is known`);
  }

  /** Notes, synced, where packing goes on. */
  setProgress(progress: PackingProgress, epoch: number): void {
    const { transaction, files, isMore, cleanedThrough } = progress;
    const { meta, requireEpoch, writing } = this.#access;
    writing(() => {
      // guard: packing-progress-fence
      requireEpoch(epoch);
      meta.set(packingProgressKey, JSON.stringify({ transaction, files, isMore, cleanedThrough }));
    });
  }

  /** Notes, synced, that packs need not be there any more. */
  remove(names: readonly PackName[], epoch: number): void {
    const { meta, requireEpoch, writing } = this.#access;
    writing(() => {
      // guard: pack-removal-fence
      requireEpoch(epoch);
      for (const name of names) meta.remove(packKeyPrefix + name);
    });
  }
}
