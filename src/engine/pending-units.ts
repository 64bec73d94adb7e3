import { ancestorsOf, nameOf, parentOf, type RelativePath } from './path.js';

/** A unit of a transaction that is recorded and not applied yet: its after-image is in its slot. */
export interface PendingUnit {
  /** Number of its transaction. */
  readonly transaction: number;
  readonly path: RelativePath;
  /** Path below the store's `stage` directory; there is nothing when the unit removes. */
  readonly slot: RelativePath;
  readonly removes: boolean;
}

/**
 * What will be applied next: the root is planned upon as if it were there already. Of several units
 * on one path the newest counts, and one in a directory before that of the directory: a transaction
 * that replaces or removes a directory with pending units in it has to wait until they are applied.
 */
export class PendingUnits {
  readonly #units = new Map<RelativePath, PendingUnit>();
  /** By directory, the root as '', and name. */
  readonly #within = new Map<string, Map<string, PendingUnit>>();
  /** Directories with a unit anywhere below. */
  readonly #above = new Set<RelativePath>();

  add(units: Iterable<PendingUnit>): void {
    for (const unit of units) {
      this.#units.set(unit.path, unit);
      const parent = parentOf(unit.path) ?? '';
      const siblings = this.#within.get(parent);
      if (siblings === undefined) this.#within.set(parent, new Map([[nameOf(unit.path), unit]]));
      else siblings.set(nameOf(unit.path), unit);
      for (const ancestor of ancestorsOf(unit.path)) this.#above.add(ancestor);
    }
  }

  clear(): void {
    this.#units.clear();
    this.#within.clear();
    this.#above.clear();
  }

  /** The unit that decides what `path` will be: its own, or that of the nearest directory. */
  covering(path: RelativePath): PendingUnit | undefined {
    if (this.#units.size === 0) return undefined;
    for (let at: RelativePath | undefined = path; at !== undefined; at = parentOf(at)) {
      const unit = this.#units.get(at);
      if (unit !== undefined) return unit;
    }
    return undefined;
  }

  /** Units of what lies right in a directory (`undefined`: the root). */
  within(path: RelativePath | undefined): Iterable<PendingUnit> {
    return this.#within.get(path ?? '')?.values() ?? [];
  }

  /** Tells whether a unit decides what `path` will be, or lies in it. */
  touches(path: RelativePath): boolean {
    return this.covering(path) !== undefined || this.hasBelow(path);
  }

  /** Tells whether a unit lies in the directory `path`, however deep. */
  hasBelow(path: RelativePath): boolean {
    return this.#above.has(path);
  }
}
