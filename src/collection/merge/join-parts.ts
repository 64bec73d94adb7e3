import type { MergePart } from '../../engine/index.js';

/** What becomes of a place that both sides changed. `abort` gives what `ours` gives. */
export type OnConflict = 'abort' | 'ours' | 'theirs' | 'markers';

/** Lines of a text: the first, from 1, and how many. No line at all would stand before `start`. */
export interface LineRange {
  readonly start: number;
  readonly count: number;
}

/** A place that both sides changed, each in its own way, in each of the texts. */
export interface ConflictPlace {
  /** As last fetched. */
  readonly base: LineRange;
  readonly local: LineRange;
  readonly upstream: LineRange;
  /** In the merged text; `null` with `abort`, where none is written. */
  readonly merged: LineRange | null;
}

export interface JoinedParts {
  readonly bytes: Uint8Array;
  readonly places: readonly ConflictPlace[];
  /** Places that one side changed, or both in the same way. */
  readonly mergedHunks: number;
}

/** Returns the text of merged parts, and where they were in conflict. Markers are those of git's diff3 style. */
export function joinParts(parts: readonly MergePart[], onConflict: OnConflict): JoinedParts {
  const places: ConflictPlace[] = [];
  const lines: string[] = [];
  let mergedHunks = 0;
  for (const part of parts) {
    const chosen = chosenLines(part, parts, onConflict);
    if (part.kind === 'conflict') {
      const { base, ours, theirs, startsAt } = part;
      const merged = { start: lines.length + 1, count: chosen.length };
      places.push({
        base: { start: startsAt.base, count: base.length },
        local: { start: startsAt.ours, count: ours.length },
        upstream: { start: startsAt.theirs, count: theirs.length },
        merged: onConflict === 'abort' ? null : merged,
      });
    } else if (part.changedBy !== 'neither') {
      mergedHunks += 1;
    }
    for (const line of chosen) lines.push(line);
  }
  return { bytes: Buffer.from(lines.join('')), places, mergedHunks };
}

function chosenLines(
  part: MergePart,
  parts: readonly MergePart[],
  onConflict: OnConflict,
): readonly string[] {
  if (part.kind === 'agreed') return part.lines;
  switch (onConflict) {
    case 'abort':
    case 'ours':
      return part.ours;
    case 'theirs':
      return part.theirs;
    case 'markers':
      return markers(part, lineBreakIn(parts));
  }
}

function markers(
  part: Extract<MergePart, { kind: 'conflict' }>,
  lineBreak: string,
): readonly string[] {
  return [
    `<<<<<<< local${lineBreak}`,
    ...ended(part.ours, lineBreak),
    `||||||| last fetched${lineBreak}`,
    ...ended(part.base, lineBreak),
    `=======${lineBreak}`,
    ...ended(part.theirs, lineBreak),
    `>>>>>>> upstream${lineBreak}`,
  ];
}

/** A marker must start its line. */
function ended(lines: readonly string[], lineBreak: string): readonly string[] {
  const last = lines.at(-1);
  return last === undefined || last.endsWith('\n')
    ? lines
    : [...lines.slice(0, -1), last + lineBreak];
}

function lineBreakIn(parts: readonly MergePart[]): string {
  const line = parts
    .flatMap((part) => (part.kind === 'agreed' ? part.lines : part.ours))
    .find((text) => text.endsWith('\n'));
  return line?.endsWith('\r\n') === true ? '\r\n' : '\n';
}
