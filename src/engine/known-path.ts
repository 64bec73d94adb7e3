import type { Image } from './image.js';
import { isSameImage } from './image.js';
import type { Journal } from './journal.js';
import type { RowPosition } from './change-row.js';
import { journalPageRows } from './limits.js';
import type { Pace } from './pace.js';
import { isBelow, type RelativePath } from './path.js';

/** What the journal says of a path, as of some transaction. */
export interface KnownPath {
  readonly image: Image;
  /** The transaction up to then that changed it last; `undefined` when none had yet. */
  readonly changedBy: number | undefined;
}

export interface KnowingOptions {
  /** Number of the transaction after which; 0 is before the first. */
  readonly asOf: number;
  /** Only these paths and what is below them. Default: all. */
  readonly within?: readonly RelativePath[] | undefined;
  readonly pace: Pace;
}

/**
 * Returns what every path that the journal knows was after a transaction: what the last one up to
 * then left, or else what the first one later found. SQLite goes through the whole journal, as there is no
 * index of paths: one would make every commit dearer.
 */
export async function readKnownPaths(
  journal: Journal,
  { asOf, within, pace }: KnowingOptions,
): Promise<ReadonlyMap<RelativePath, KnownPath>> {
  const known = new Map<RelativePath, KnownPath>();
  const [only] = within ?? [];
  const sought = { within: within?.length === 1 ? only : undefined };
  for (let position: RowPosition = { id: 0, sequence: 0 }; ; ) {
    const page = journal.changesAfter(position, journalPageRows, sought);
    for (const { id, path, before, after } of page) {
      if (!isWithin(path, within)) continue;
      const earlier = known.get(path);
      if (id > asOf) {
        if (earlier === undefined) known.set(path, { image: before, changedBy: undefined });
        continue;
      }
      const changedBy = isSameImage(before, after) ? earlier?.changedBy : id;
      known.set(path, { image: after, changedBy });
    }
    const last = page.at(-1);
    if (last === undefined) return known;
    position = last;
    if (pace.isDue()) await pace.turn();
  }
}

/** Tells whether a path is one of some, or below one; all are when there are none. */
export function isWithin(path: RelativePath, within: readonly RelativePath[] | undefined): boolean {
  return within === undefined || within.some((top) => path === top || isBelow(path, top));
}
