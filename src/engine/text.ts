import { diffArrays } from 'diff';
import { differingLinesMax, textBytesMax } from './limits.js';

/** Why contents are not compared line by line. */
export type NotText = 'binary' | 'too long';

/** Returns the lines of a text in UTF-8, each with the line feed that ends it, or why not. */
export function linesOf(bytes: Uint8Array): readonly string[] | NotText {
  if (bytes.length > textBytesMax) return 'too long';
  if (bytes.includes(0)) return 'binary';
  let text: string;
  try {
    // With its byte order mark: what is merged must come out as it went in.
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return 'binary';
  }
  return text === '' ? [] : text.split(/(?<=\n)/);
}

/** Lines `start` to `end` (exclusive, from 0) of one text that became `lines` in another. */
export interface Edit {
  readonly start: number;
  readonly end: number;
  readonly lines: readonly string[];
}

/** Returns what turns one text into another; `undefined` when too much of it differs. */
export function compareLines(
  from: readonly string[],
  to: readonly string[],
): readonly Edit[] | undefined {
  const changes = diffArrays([...from], [...to], { maxEditLength: differingLinesMax });
  if (changes === undefined) return undefined;
  const edits: { start: number; end: number; lines: string[] }[] = [];
  let at = 0;
  for (const { added, removed, value } of changes) {
    if (!added && !removed) {
      at += value.length;
      continue;
    }
    let edit = edits.at(-1);
    // A removal and the addition in its place are one edit.
    if (edit?.end !== at) {
      edit = { start: at, end: at, lines: [] };
      edits.push(edit);
    }
    if (added) edit.lines.push(...value);
    else at = edit.end += value.length;
  }
  return edits;
}
