import type { MergePart } from '../../engine/index.js';

/** What becomes of a place that both sides changed. `abort` gives what `ours` gives. */
export type OnConflict = 'abort' | 'ours' | 'theirs' | 'markers';

/** Returns the text of merged parts, and how many conflicts they had. Markers are those of git's diff3 style. */
export function joinParts(
  parts: readonly MergePart[],
  onConflict: OnConflict,
): { readonly bytes: Uint8Array; readonly hunks: number } {
  let hunks = 0;
  const lines = parts.flatMap((part): readonly string[] => {
    if (part.kind === 'agreed') return part.lines;
    hunks += 1;
    switch (onConflict) {
      case 'abort':
      case 'ours':
        return part.ours;
      case 'theirs':
        return part.theirs;
      case 'markers':
        return markers(part, lineBreakIn(parts));
    }
  });
  return { bytes: Buffer.from(lines.join('')), hunks };
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
