import { parseContentHash } from './hash.js';
import type { PackName } from './packs.js';
import { isNumberFrom, parseObject } from './json-value.js';
import { damaged } from './journal-failure.js';
import type { TableAccess } from './snapshot-table.js';

/** Before the name of a pack. */
const packKeyPrefix = 'pack/';
const progressKey = 'packing';

/** Where packing goes on that nobody asked for. */
export interface PackingProgress {
  readonly transaction: number;
  /** How many of the files that it displaced were looked at. */
  readonly files: number;
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
    const text = reading(() => meta.get(progressKey));
    if (text === undefined) return { transaction: 1, files: 0 };
    const { transaction, files } = parseObject(text) ?? {};
    // guard: packing-progress-readable [if true]
    if (isNumberFrom(transaction, 1) && isNumberFrom(files, 0)) return { transaction, files };
    throw damaged(path, `what it says of ${progressKey} is none that is known`);
  }

  /** Notes, synced, where packing goes on. */
  setProgress({ transaction, files }: PackingProgress, epoch: number): void {
    const { meta, requireEpoch, writing } = this.#access;
    writing(() => {
      // guard: packing-progress-fence
      requireEpoch(epoch);
      meta.set(progressKey, JSON.stringify({ transaction, files }));
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
