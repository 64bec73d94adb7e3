/** Most edits between a misspelt name and the one that was meant. */
const editsMax = 2;

/** Returns the name in `known` that `name` most likely meant, or `undefined` when none is close. */
export function similarName(name: string, known: readonly string[]): string | undefined {
  let closest: string | undefined;
  // Half of a short name is a different name, not a slip.
  let editsLeast = Math.min(editsMax, Math.floor(name.length / 2)) + 1;
  for (const candidate of known) {
    if (Math.abs(candidate.length - name.length) >= editsLeast) continue;
    const edits = editsBetween(name.toLowerCase(), candidate.toLowerCase());
    if (edits < editsLeast) {
      closest = candidate;
      editsLeast = edits;
    }
  }
  return closest;
}

/** Counts insertions, deletions, replacements and swaps of neighbours (optimal string alignment). */
function editsBetween(a: string, b: string): number {
  let beforeLast: readonly number[] = [];
  let last: readonly number[] = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = at(last, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swaps = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swapped = swaps ? at(beforeLast, j - 2) + 1 : Infinity;
      row.push(Math.min(replaced, swapped, at(last, j) + 1, at(row, j - 1) + 1));
    }
    beforeLast = last;
    last = row;
  }
  return at(last, b.length);
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Infinity;
}
