import { assert } from './errors.js';
import type { Image } from './image.js';
import type { Act, ChangeRow } from './change-row.js';
import { pathBelow, type RelativePath } from './path.js';
import { firstStagedWith } from './transaction-row.js';

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

/** The name in `stage/` of what a transaction keeps there as `slot`. */
export function slotName(prefix: string, slot: string): string {
  return `${prefix}.${slot}`;
}

/** What recovery keeps in `stage/` beside the slots for the row with this number. */
export function spareName(prefix: string, sequence: number): string {
  return slotName(prefix, `spare-${String(sequence)}`);
}

/** The number of the row that a name in `stage/` is the spare of; `undefined` for all else there. */
export function spareOf(name: string): number | undefined {
  const match = /^[^.]+\.spare-(\d+)(?:\.displaced)?$/.exec(name);
  return match === null ? undefined : Number(match[1]);
}

/** The path below `stage/` of a unit's member. */
export function slotPath(
  prefix: string,
  slot: string,
  { member, unit }: { readonly member: RelativePath; readonly unit: RelativePath },
): RelativePath {
  const name = slotName(prefix, slot);
  return (member === unit ? name : `${name}/${pathBelow(member, unit)}`) as RelativePath;
}

/** The transaction that a name in `stage/` belongs to; `undefined` for a stranger's. */
export function transactionOf(name: string):
  | {
      readonly id: number;
      readonly prefix: string;
      /** Everything before this one was on disk when it was staged. */
      readonly first: number;
    }
  | undefined {
  const match = /^((\d+)-[^.]+)\./.exec(name);
  if (match?.[1] === undefined) return undefined;
  const [prefix, id] = [match[1], Number(match[2])];
  return { id, prefix, first: firstStagedWith(id, prefix) };
}
