import type { DisplacedRow } from './history.js';
import { type Image, isSameImage } from './image.js';
import { comparePaths, isBelow, type RelativePath } from './path.js';

/** One path that one transaction, or several, changed. */
export interface UndoneRow {
  readonly path: RelativePath;
  /** What was there before the first of them. */
  readonly target: Image;
  /** What the newest of them left. */
  readonly witness: Image;
  /** Where the target lies below the stage directory; `undefined` where nothing was moved. */
  readonly keptAt: RelativePath | undefined;
  /** The first of the transactions, which displaced the target. */
  readonly displacedBy: number;
  /** The newest of them. */
  readonly leftBy: number;
}

/** Gathers what transactions changed into one row for each path. Pure. */
export class UndoneRows {
  readonly #rows = new Map<RelativePath, UndoneRow>();
  readonly #changed = new Set<RelativePath>();

  /** Adds a transaction; each is newer than the ones before. */
  add(id: number, rows: readonly DisplacedRow[]): void {
    for (const { path, before, after, keptAt } of rows) {
      const first = this.#rows.get(path) ?? { path, target: before, keptAt, displacedBy: id };
      this.#rows.set(path, { ...first, witness: after, leftBy: id });
      if (!isSameImage(before, after)) this.#changed.add(path);
    }
  }

  /** Those that at least one transaction changed, parents first. */
  sorted(): readonly UndoneRow[] {
    return [...this.#rows.values()]
      .filter(({ path }) => this.#changed.has(path))
      .toSorted((a, b) => comparePaths(a.path, b.path));
  }
}

/** Returns the rows at or below `paths`, and the directories that must come back for them. */
export function rowsWithin(
  rows: readonly UndoneRow[],
  paths: readonly RelativePath[] | undefined,
): readonly UndoneRow[] {
  if (paths === undefined) return rows;
  return rows.filter(
    ({ path, target, witness }) =>
      isWithin(path, paths) ||
      (target.kind === 'directory' &&
        witness.kind !== 'directory' &&
        paths.some((chosen) => isBelow(chosen, path))),
  );
}

/** Returns the first of `paths` that no row is at or below. */
export function pathWithoutRow(
  rows: readonly UndoneRow[],
  paths: readonly RelativePath[],
): RelativePath | undefined {
  return paths.find((path) => !rows.some((row) => isWithin(row.path, [path])));
}

function isWithin(path: RelativePath, tops: readonly RelativePath[]): boolean {
  return tops.some((top) => path === top || isBelow(path, top));
}
