import { compareLines, type Edit, linesOf } from './text.js';

export interface MergedText {
  readonly base: Uint8Array;
  readonly ours: Uint8Array;
  readonly theirs: Uint8Array;
}

export type TextMerge =
  | { readonly kind: 'merged'; readonly bytes: Uint8Array }
  | { readonly kind: 'conflict'; readonly why: string };

/** Merges what two sides made of a text, by lines; lines that both changed are a conflict. Pure. */
export function mergeTexts(texts: MergedText): TextMerge {
  const [base, ours, theirs] = [texts.base, texts.ours, texts.theirs].map(linesOf);
  if (!isLines(base) || !isLines(ours) || !isLines(theirs)) {
    return conflict('it is not a text, or too long');
  }
  const [a, b] = [compareLines(base, ours), compareLines(base, theirs)];
  if (a === undefined || b === undefined) return conflict('too many of its lines differ');
  return mergeEdits(base, a, b);
}

function mergeEdits(base: readonly string[], a: readonly Edit[], b: readonly Edit[]): TextMerge {
  const merged: string[] = [];
  const [left, right] = [[...a], [...b]];
  let at = 0;
  for (;;) {
    const start = Math.min(left[0]?.start ?? Infinity, right[0]?.start ?? Infinity);
    if (start === Infinity) break;
    const region = takeRegion(start, left, right);
    merged.push(...base.slice(at, start));
    at = region.end;
    const ours = replace(base, { start, end: at }, region.left);
    const theirs = replace(base, { start, end: at }, region.right);
    const isSame = ours.join('') === theirs.join('');
    if (region.left.length > 0 && region.right.length > 0 && !isSame) {
      return conflict(`both sides changed it at line ${String(start + 1)} of what was merged`);
    }
    merged.push(...(region.left.length > 0 ? ours : theirs));
  }
  merged.push(...base.slice(at));
  return { kind: 'merged', bytes: Buffer.from(merged.join('')) };
}

interface Region {
  readonly end: number;
  readonly left: readonly Edit[];
  readonly right: readonly Edit[];
}

/** Takes off both lists the edits that overlap or touch, from the one at `start` on. */
function takeRegion(start: number, left: Edit[], right: Edit[]): Region {
  const taken: { left: Edit[]; right: Edit[] } = { left: [], right: [] };
  let end = start;
  for (let hasGrown = true; hasGrown; ) {
    hasGrown = false;
    for (const [from, to] of [
      [left, taken.left],
      [right, taken.right],
    ] as const) {
      for (let next = from[0]; next !== undefined && next.start <= end; next = from[0]) {
        from.shift();
        to.push(next);
        end = Math.max(end, next.end);
        hasGrown = true;
      }
    }
  }
  return { end, ...taken };
}

/** Returns the lines `start` to `end` of the base as one side has them. */
function replace(
  base: readonly string[],
  { start, end }: { readonly start: number; readonly end: number },
  edits: readonly Edit[],
): readonly string[] {
  const lines: string[] = [];
  let at = start;
  for (const edit of edits) {
    lines.push(...base.slice(at, edit.start), ...edit.lines);
    at = edit.end;
  }
  return [...lines, ...base.slice(at, end)];
}

function isLines(lines: ReturnType<typeof linesOf> | undefined): lines is readonly string[] {
  return typeof lines === 'object';
}

function conflict(why: string): TextMerge {
  return { kind: 'conflict', why };
}
