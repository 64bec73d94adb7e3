import type { FoundImage } from './image.js';
import { compareLines, type Edit, linesOf, type NotText } from './text.js';

/** One side of a path that differs. */
export interface DiffContent {
  readonly image: FoundImage;
  /** Of a file; `undefined` when nobody has it any more. */
  readonly bytes: Uint8Array | undefined;
}

export interface DiffText {
  /** As `git apply` and `patch -p1` take it; empty for what has no text, as a directory. */
  readonly text: string;
  /** Why the contents are not in it, `null` when they are. */
  readonly omitted: NotText | 'not kept' | null;
}

const contextLines = 3;

/** Returns how a path differs, in git's extended form of a unified diff. Pure. */
export function unifiedDiff(path: string, from: DiffContent, to: DiffContent): DiffText {
  const [old, now] = [fileOf(from), fileOf(to)];
  if (old === null && now === null) return { text: '', omitted: null };
  const names = { from: quoted(`a/${path}`), to: quoted(`b/${path}`) };
  const header = [`diff --git ${names.from} ${names.to}`, ...modeLines(old?.mode, now?.mode)];
  const [before, after] = [linesOfFile(old), linesOfFile(now)];
  const omit = (omitted: NotText | 'not kept'): DiffText => ({
    text: text([...header, `# ${names.to}: contents differ (${omitted})`]),
    omitted,
  });
  if (typeof before === 'string') return omit(before);
  if (typeof after === 'string') return omit(after);
  const edits = compareLines(before, after) ?? [{ start: 0, end: before.length, lines: after }];
  if (edits.length > 0) {
    header.push(`--- ${old === null ? '/dev/null' : names.from}`);
    header.push(`+++ ${now === null ? '/dev/null' : names.to}`);
  }
  return { text: text([...header, ...hunks(before, edits)]), omitted: null };
}

interface DiffFile {
  /** As git has it: type and permission bits. */
  readonly mode: string;
  readonly bytes: Uint8Array | undefined;
}

/** A link is a file with its target as content, as in git. */
function fileOf({ image, bytes }: DiffContent): DiffFile | null {
  if (image.kind === 'symlink') return { mode: '120000', bytes: Buffer.from(image.target) };
  if (image.kind !== 'file') return null;
  return { mode: `100${image.mode.toString(8).padStart(3, '0')}`, bytes };
}

function linesOfFile(file: DiffFile | null): readonly string[] | NotText | 'not kept' {
  if (file === null) return [];
  return file.bytes === undefined ? 'not kept' : linesOf(file.bytes);
}

function modeLines(old: string | undefined, now: string | undefined): readonly string[] {
  if (old === undefined) return [`new file mode ${now ?? ''}`];
  if (now === undefined) return [`deleted file mode ${old}`];
  return old === now ? [] : [`old mode ${old}`, `new mode ${now}`];
}

function hunks(before: readonly string[], edits: readonly Edit[]): readonly string[] {
  const groups: Edit[][] = [];
  for (const edit of edits) {
    const group = groups.at(-1);
    const isNear = group !== undefined && edit.start - (group.at(-1)?.end ?? 0) <= contextLines * 2;
    if (isNear) group.push(edit);
    else groups.push([edit]);
  }
  let shift = 0;
  return groups.flatMap((group) => {
    const start = Math.max(0, (group[0]?.start ?? 0) - contextLines);
    const end = Math.min(before.length, (group.at(-1)?.end ?? 0) + contextLines);
    const lines = hunkLines(before, group, { start, end });
    const grown = group.reduce((sum, edit) => sum + edit.lines.length - (edit.end - edit.start), 0);
    const heading = `@@ -${place(start, end - start)} +${place(start + shift, end - start + grown)} @@`;
    shift += grown;
    return [heading, ...lines];
  });
}

function hunkLines(
  before: readonly string[],
  edits: readonly Edit[],
  { start, end }: { readonly start: number; readonly end: number },
): readonly string[] {
  const lines: string[] = [];
  const push = (mark: string, some: readonly string[]): void => {
    for (const line of some) {
      if (line.endsWith('\n')) lines.push(mark + line.slice(0, -1));
      else lines.push(mark + line, '\\ No newline at end of file');
    }
  };
  let at = start;
  for (const edit of edits) {
    push(' ', before.slice(at, edit.start));
    push('-', before.slice(edit.start, edit.end));
    push('+', edit.lines);
    at = edit.end;
  }
  push(' ', before.slice(at, end));
  return lines;
}

/** Counts from 1, and an empty part by the line before it. */
function place(start: number, count: number): string {
  if (count === 1) return String(start + 1);
  return `${String(count === 0 ? start : start + 1)},${String(count)}`;
}

/** As git quotes names that a line of text cannot hold. */
function quoted(path: string): string {
  // eslint-disable-next-line no-control-regex
  const unsafe = /[\u0000-\u001f"\\\u007f]/g;
  if (!unsafe.test(path)) return path;
  const octal = (character: string): string =>
    `\\${character.charCodeAt(0).toString(8).padStart(3, '0')}`;
  return `"${path.replaceAll(unsafe, octal)}"`;
}

function text(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join('');
}
