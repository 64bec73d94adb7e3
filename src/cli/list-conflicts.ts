import type { ConflictPlace, FileConflict, LineRange } from '../collection/index.js';
import type { PathConflict } from '../engine/index.js';
import { counted, printable } from './printable.js';

const shownMax = 20;

/**
 * Returns a line for each path that is in the way, and one for each place in it that a merge left. A
 * single path is in the message already.
 */
export function listConflicts(
  conflicts: readonly (PathConflict | FileConflict)[],
): readonly string[] {
  const isListed = conflicts.length > 1;
  const lines = conflicts.slice(0, shownMax).flatMap((conflict) => {
    const places = 'places' in conflict ? listPlaces(conflict) : [];
    const named = `${printable(conflict.path)}: ${printable(conflict.why)}${describeMerged(conflict)}`;
    return isListed ? [named, ...places.map((place) => `  ${place}`)] : places;
  });
  const more = conflicts.length - shownMax;
  return more <= 0 ? lines : [...lines, `… and ${String(more)} more`];
}

/** A line for each place of a text that is in conflict. */
export function listPlaces({ places }: Pick<FileConflict, 'places'>): readonly string[] {
  const lines = places.slice(0, shownMax).map(describePlace);
  const more = places.length - shownMax;
  return more <= 0 ? lines : [...lines, `… and ${counted(more, 'more place')}`];
}

/** `, 2 places merged` */
export function describeMerged(conflict: PathConflict | FileConflict): string {
  if (!('mergedHunks' in conflict) || conflict.mergedHunks === 0) return '';
  return `, ${counted(conflict.mergedHunks, 'place')} merged`;
}

function describePlace({ local, upstream, merged }: ConflictPlace): string {
  const sides = `local ${describeRange(local)}, upstream ${describeRange(upstream)}`;
  return merged === null ? sides : `${describeRange(merged)}: ${sides}`;
}

function describeRange({ start, count }: LineRange): string {
  if (count === 0) return `nothing before line ${String(start)}`;
  if (count === 1) return `line ${String(start)}`;
  return `lines ${String(start)}-${String(start + count - 1)}`;
}
