import type { PathConflict } from '../engine/index.js';
import { printable } from './printable.js';

const shownMax = 20;

/** Returns a line for each path that is in the way; none for a single one, which is in the message. */
export function listConflicts(conflicts: readonly PathConflict[]): readonly string[] {
  if (conflicts.length < 2) return [];
  const lines = conflicts
    .slice(0, shownMax)
    .map(({ path, why }) => `${printable(path)}: ${printable(why)}`);
  const more = conflicts.length - lines.length;
  return more === 0 ? lines : [...lines, `… and ${String(more)} more`];
}
