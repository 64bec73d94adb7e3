import { mergeBytesMax, mergeLinesMax } from './limits.js';
import { linesOf, textOf } from './text.js';

export interface MergedText {
  readonly base: Uint8Array;
  readonly ours: Uint8Array;
  readonly theirs: Uint8Array;
}

export type TextMerge =
  | { readonly kind: 'merged'; readonly bytes: Uint8Array }
  | { readonly kind: 'conflict'; readonly why: string };

/** Merges what two sides made of a text, by lines. */
export async function mergeTexts({ base, ours, theirs }: MergedText): Promise<TextMerge> {
  const lines = [];
  for (const bytes of [ours, base, theirs]) {
    const text = bytes.length > mergeBytesMax ? undefined : textOf(bytes);
    if (text === undefined) return conflict('it is not a text, or too long to be merged');
    lines.push(linesOf(text));
  }
  const [a = [], o = [], b = []] = lines;
  if (Math.max(a.length, o.length, b.length) > mergeLinesMax) {
    return conflict('it has too many lines to be merged');
  }
  const { diff3Merge } = await import('node-diff3');
  const regions = diff3Merge(a, o, b, { excludeFalseConflicts: true });
  const merged: string[] = [];
  for (const region of regions) {
    if (region.ok === undefined) return conflict(describeConflict(region.conflict?.aIndex ?? 0));
    merged.push(...region.ok);
  }
  return { kind: 'merged', bytes: Buffer.from(merged.join('')) };
}

function describeConflict(index: number): string {
  return `both sides changed it at line ${String(index + 1)}`;
}

function conflict(why: string): TextMerge {
  return { kind: 'conflict', why };
}
