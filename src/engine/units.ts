import { assert } from './errors.js';
import type { Image } from './image.js';
import type { Act, ChangeRow } from './journal.js';
import { pathBelow, type RelativePath } from './path.js';

/** A unit as the journal keeps it: what one rename switches. */
export interface JournalUnit {
  readonly act: Exclude<Act, 'member'>;
  readonly path: RelativePath;
  readonly slot: string | undefined;
  /** The row of the unit's own path first. */
  readonly rows: readonly ChangeRow[];
}

interface UnitLike {
  readonly act: Exclude<Act, 'member'>;
  readonly path: RelativePath;
  readonly slot: string | undefined;
  readonly members: readonly {
    readonly path: RelativePath;
    readonly before: Image;
    readonly after: Image;
  }[];
}

/** Returns the journal's rows of `units`, numbered from 1. */
export function toRows(units: readonly UnitLike[]): readonly ChangeRow[] {
  const rows: ChangeRow[] = [];
  for (const { act, path, slot, members } of units) {
    const head = rows.length + 1;
    for (const { path: at, before, after } of members) {
      const isHead = at === path;
      rows.push({
        sequence: rows.length + 1,
        unit: head,
        act: isHead ? act : 'member',
        slot: isHead ? slot : undefined,
        path: at,
        before,
        after,
        superseded: undefined,
      });
    }
  }
  return rows;
}

/** Returns the units of a transaction's rows, in order. */
export function toUnits(rows: readonly ChangeRow[]): readonly JournalUnit[] {
  const units: (JournalUnit & { readonly rows: ChangeRow[] })[] = [];
  for (const row of rows) {
    if (row.act !== 'member') {
      units.push({ act: row.act, path: row.path, slot: row.slot, rows: [row] });
      continue;
    }
    const unit = units.at(-1);
    assert(unit !== undefined && unit.rows[0]?.sequence === row.unit, 'a member follows its head');
    unit.rows.push(row);
  }
  return units;
}

/** The path of a unit's member below `stage/<transaction>/`. */
export function slotPath(slot: string, member: RelativePath, unit: RelativePath): RelativePath {
  const path = member === unit ? slot : `${slot}/${pathBelow(member, unit)}`;
  return path as RelativePath;
}
