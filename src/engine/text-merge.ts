import { compareLines, type Edit, linesOf } from './text.js';

export interface MergedText {
  readonly base: Uint8Array;
  readonly ours: Uint8Array;
  readonly theirs: Uint8Array;
}

export type TextMerge =
  | { readonly kind: 'merged'; readonly bytes: Uint8Array }
  | { readonly kind: 'conflict'; readonly why: string };

/** A stretch of a merged text: agreed, or as each side has it. Each line has the line feed that ends it. */
export type MergePart =
  | {
      readonly kind: 'agreed';
      readonly lines: readonly string[];
      readonly changedBy: 'neither' | 'ours' | 'theirs' | 'both';
    }
  | {
      readonly kind: 'conflict';
      readonly base: readonly string[];
      readonly ours: readonly string[];
      readonly theirs: readonly string[];
      /** The line that it starts at in each text, from 1. */
      readonly startsAt: Readonly<Record<keyof MergedText, number>>;
    };

/** Merges what two sides made of a text, by lines; lines that both changed are a conflict. Pure. */
export function mergeTexts(texts: MergedText): TextMerge {
  const parts = mergeParts(texts);
  if (typeof parts === 'string') return { kind: 'conflict', why: parts };
  const merged: string[] = [];
  for (const part of parts) {
    if (part.kind === 'conflict') {
      const why = `both sides changed it at line ${String(part.startsAt.base)} of what was merged`;
      return { kind: 'conflict', why };
    }
    merged.push(...part.lines);
  }
  return { kind: 'merged', bytes: Buffer.from(merged.join('')) };
}

/** As {@link mergeTexts}, with every conflict; a sentence when the texts cannot be merged by lines. Pure. */
export function mergeParts(texts: MergedText): readonly MergePart[] | string {
  const [base, ours, theirs] = [texts.base, texts.ours, texts.theirs].map(linesOf);
  if (!isLines(base) || !isLines(ours) || !isLines(theirs)) {
    return 'it is not a text, or too long';
  }
  const [a, b] = [compareLines(base, ours), compareLines(base, theirs)];
  if (a === undefined || b === undefined) return 'too many of its lines differ';
  return mergeEdits(base, a, b);
}

function mergeEdits(
  base: readonly string[],
  a: readonly Edit[],
  b: readonly Edit[],
): readonly MergePart[] {
  const parts: MergePart[] = [];
  const [left, right] = [[...a], [...b]];
  let at = 0;
  // How many lines each side has more than the base, up to there.
  const shift = { ours: 0, theirs: 0 };
  for (;;) {
    const start = Math.min(left[0]?.start ?? Infinity, right[0]?.start ?? Infinity);
    if (start === Infinity) break;
    const region = takeRegion(start, left, right);
    parts.push({ kind: 'agreed', lines: base.slice(at, start), changedBy: 'neither' });
    at = region.end;
    const ours = replace(base, { start, end: at }, region.left);
    const theirs = replace(base, { start, end: at }, region.right);
    const isSame = ours.join('') === theirs.join('');
    if (region.left.length > 0 && region.right.length > 0 && !isSame) {
      const line = start + 1;
      const startsAt = { base: line, ours: line + shift.ours, theirs: line + shift.theirs };
      parts.push({ kind: 'conflict', base: base.slice(start, at), ours, theirs, startsAt });
    } else {
      const changedBy =
        region.left.length === 0 ? 'theirs' : region.right.length === 0 ? 'ours' : 'both';
      parts.push({ kind: 'agreed', lines: changedBy === 'theirs' ? theirs : ours, changedBy });
    }
    shift.ours += ours.length - (at - start);
    shift.theirs += theirs.length - (at - start);
  }
  parts.push({ kind: 'agreed', lines: base.slice(at), changedBy: 'neither' });
  return parts;
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
