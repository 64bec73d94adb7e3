import { parse } from 'smol-toml';

/*
 * Where the tables and statements of a TOML text stand, without reading their values. Editing in
 * place needs no more, and at ten thousand artifacts it is what keeps a change cheap.
 */

/** A header with what stands below it, up to the next one. */
export interface Section {
  /** The header's keys; none for what stands before the first header. */
  readonly path: readonly string[];
  /** Whether the header has double brackets. */
  readonly isArray: boolean;
  /** Where it starts: at the comments that stand right above the header. */
  readonly start: number;
  /** Where its first statement may stand. */
  readonly bodyStart: number;
  /** Where the next one starts. */
  readonly end: number;
}

/** `key = value` with its line. */
export interface Statement {
  readonly path: readonly string[];
  /** Where its line starts. */
  readonly start: number;
  readonly valueStart: number;
  /** After the value's last character. */
  readonly valueEnd: number;
  /** After the line break. */
  readonly end: number;
}

/** The text is no TOML that this module can take apart; a real parser says what is wrong with it. */
export class LayoutError extends Error {
  /** Offset into the text. */
  readonly at: number;

  constructor(message: string, at: number) {
    super(message);
    this.name = 'LayoutError';
    this.at = at;
  }
}

/** Returns the sections of a text, in order; the first one has no header. */
export function splitSections(text: string): readonly Section[] {
  const sections: Section[] = [];
  const first = text.startsWith('\uFEFF') ? 1 : 0;
  let open = { path: [] as readonly string[], isArray: false, start: 0, bodyStart: first };
  /** Start of the comments right above the present line. */
  let commentStart: number | undefined;
  for (let at = first; at < text.length; ) {
    plainLines.lastIndex = at;
    if (plainLines.test(text)) {
      at = plainLines.lastIndex;
      commentStart = undefined;
      continue;
    }
    const begin = skipSpace(text, at);
    const character = text[begin];
    if (character === '[') {
      const header = readHeader(text, begin);
      const start = commentStart ?? at;
      sections.push({ ...open, end: start });
      open = { ...header, start };
      at = header.bodyStart;
      commentStart = undefined;
    } else if (character === '#') {
      commentStart ??= at;
      at = lineEnd(text, at);
    } else {
      commentStart = undefined;
      at = isLineBreak(text, begin) ? lineEnd(text, at) : readStatement(text, at).end;
    }
  }
  sections.push({ ...open, end: text.length });
  return sections;
}

/** Returns the statements of a section, in order. */
export function statementsOf(
  text: string,
  { bodyStart, end }: Pick<Section, 'bodyStart' | 'end'>,
): readonly Statement[] {
  const statements: Statement[] = [];
  for (let at = bodyStart; at < end; ) {
    const first = skipSpace(text, at);
    if (text[first] === '#' || isLineBreak(text, first)) {
      at = lineEnd(text, at);
      continue;
    }
    const statement = readStatement(text, at);
    statements.push(statement);
    at = statement.end;
  }
  return statements;
}

/** Tells whether a comment stands inside the value from `start` to `end`. */
export function hasComment(text: string, start: number, end: number): boolean {
  let found = false;
  scanValue(text.slice(0, end), start, () => {
    found = true;
  });
  return found;
}

interface Header {
  readonly path: readonly string[];
  readonly isArray: boolean;
  readonly bodyStart: number;
}

function readHeader(text: string, at: number): Header {
  const isArray = text[at + 1] === '[';
  const key = readKey(text, at + (isArray ? 2 : 1));
  const closing = isArray ? ']]' : ']';
  if (!text.startsWith(closing, key.end)) throw new LayoutError('a header is not closed', at);
  return { path: key.path, isArray, bodyStart: requireLineEnd(text, key.end + closing.length) };
}

/** Nearly every line of a collection, many at once: a bare key and a plain string. */
const plainLines = /(?:[A-Za-z0-9_-]+ = "[^"\\\n\r]*"\r?\n)+/y;
/** The same of one line, with any space. */
const plainStatement = /[ \t]*([A-Za-z0-9_-]+)[ \t]*=[ \t]*"[^"\\\n\r]*"(?=\r?\n)/y;

function readStatement(text: string, at: number): Statement {
  plainStatement.lastIndex = at;
  const plain = plainStatement.exec(text);
  if (plain?.[1] !== undefined) {
    const valueEnd = plainStatement.lastIndex;
    const valueStart = text.indexOf('"', at + plain[1].length);
    return { path: [plain[1]], start: at, valueStart, valueEnd, end: lineEnd(text, valueEnd) };
  }
  const key = readKey(text, at);
  if (text[key.end] !== '=') throw new LayoutError('a key has no value', at);
  const valueStart = skipSpace(text, key.end + 1);
  const valueEnd = scanValue(text, valueStart, () => {});
  if (valueEnd === valueStart) throw new LayoutError('a key has no value', at);
  return { path: key.path, start: at, valueStart, valueEnd, end: requireLineEnd(text, valueEnd) };
}

const keyPart = /[ \t]*(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')[ \t]*/y;

/** Reads a dotted key; its end is the first character that is none of it. */
function readKey(text: string, start: number): { path: readonly string[]; end: number } {
  const path: string[] = [];
  for (let at = start; ; at += 1) {
    keyPart.lastIndex = at;
    const part = keyPart.exec(text)?.[0];
    if (part === undefined) throw new LayoutError('a key is expected', at);
    path.push(unquoteKey(part.trim(), at));
    at = keyPart.lastIndex;
    if (text[at] !== '.') return { path, end: at };
  }
}

function unquoteKey(part: string, at: number): string {
  if (part.startsWith("'")) return part.slice(1, -1);
  if (!part.startsWith('"')) return part;
  if (!part.includes('\\')) return part.slice(1, -1);
  const [key] = Object.keys(parse(`${part} = 0`));
  if (key === undefined) throw new LayoutError('a key is expected', at);
  return key;
}

/** Returns where the value ends, without the space before a comment or line break. */
function scanValue(text: string, start: number, onComment: () => void): number {
  let depth = 0;
  let end = start;
  for (let at = start; at < text.length; ) {
    const character = text[at];
    if (character === '"' || character === "'") {
      at = skipString(text, at);
      end = at;
    } else if (character === '#') {
      if (depth === 0) return end;
      onComment();
      at = lineEnd(text, at) - 1;
      if (text[at] !== '\n') break;
    } else if (character === '\n' || character === '\r') {
      if (depth === 0) return end;
      at += 1;
    } else {
      if (character === '[' || character === '{') depth += 1;
      if (character === ']' || character === '}') depth -= 1;
      at += 1;
      if (character !== ' ' && character !== '\t') end = at;
    }
  }
  if (depth !== 0) throw new LayoutError('an array or inline table is not closed', start);
  return end;
}

function skipString(text: string, start: number): number {
  const quote = text[start] ?? '';
  const isLiteral = quote === "'";
  const tripled = quote.repeat(3);
  const isLong = text.startsWith(tripled, start);
  for (let at = start + (isLong ? 3 : 1); at < text.length; at += 1) {
    const character = text[at];
    if (character === '\\' && !isLiteral) at += 1;
    else if (!isLong && character === '\n') break;
    else if (isLong && text.startsWith(tripled, at)) {
      // Up to two quotes may stand right before the closing three.
      let end = at + 3;
      while (end < at + 5 && text[end] === quote) end += 1;
      return end;
    } else if (!isLong && character === quote) return at + 1;
  }
  throw new LayoutError('a string is not closed', start);
}

function skipSpace(text: string, start: number): number {
  let at = start;
  while (text[at] === ' ' || text[at] === '\t') at += 1;
  return at;
}

function isLineBreak(text: string, at: number): boolean {
  return at >= text.length || text[at] === '\n' || text.startsWith('\r\n', at);
}

function lineEnd(text: string, at: number): number {
  const feed = text.indexOf('\n', at);
  return feed === -1 ? text.length : feed + 1;
}

function requireLineEnd(text: string, start: number): number {
  const at = skipSpace(text, start);
  if (text[at] !== '#' && !isLineBreak(text, at)) {
    throw new LayoutError('something stands behind a value or a header', start);
  }
  return lineEnd(text, at);
}
