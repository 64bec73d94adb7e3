/** Where a text stops being JSON. */
export interface JsonProblem {
  /** In UTF-16 code units from the start of the text. */
  readonly offset: number;
  /** What could have stood there, in words. */
  readonly expected: string;
}

type State = 'value' | 'first-item' | 'key' | 'first-key' | 'colon' | 'more';
type Token = '{' | '}' | '[' | ']' | ':' | ',' | 'string' | 'scalar';

const whitespace = /[ \t\n\r]*/y;
const scalar = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;
// eslint-disable-next-line no-control-regex
const plainCharacters = /[^"\\\u0000-\u001f]*/y;
const escapeSequence = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;

/**
 * Finds the first place at which `text` is not JSON (RFC 8259), or `undefined` when it is.
 *
 * Only for a text that `JSON.parse` refused: V8 names the place of some mistakes only, and words
 * them differently in each version of Node.
 */
export function findJsonProblem(text: string): JsonProblem | undefined {
  const open: ('{' | '[')[] = [];
  let state: State = 'value';
  let offset = 0;
  for (;;) {
    offset = endOf(whitespace, text, offset) ?? offset;
    if (offset === text.length && state === 'more' && open.length === 0) return undefined;
    const token = tokenAt(text, offset);
    const next: State | undefined = token === undefined ? undefined : follow(state, token, open);
    if (next === undefined) return { offset, expected: describe(state, open.at(-1)) };
    state = next;
    if (token !== 'string' && token !== 'scalar') {
      offset += 1;
      continue;
    }
    const end: number | JsonProblem =
      token === 'string' ? endOfString(text, offset) : (endOf(scalar, text, offset) ?? offset);
    if (typeof end !== 'number') return end;
    offset = end;
  }
}

/** Returns the state after `token`, keeping `open` up to date, or `undefined` when it cannot follow. */
function follow(state: State, token: Token, open: ('{' | '[')[]): State | undefined {
  switch (state) {
    case 'first-item':
      if (token === ']') return close(open);
      return followValue(token, open);
    case 'value':
      return followValue(token, open);
    case 'first-key':
      if (token === '}') return close(open);
      return token === 'string' ? 'colon' : undefined;
    case 'key':
      return token === 'string' ? 'colon' : undefined;
    case 'colon':
      return token === ':' ? 'value' : undefined;
    case 'more': {
      const container = open.at(-1);
      if (container === undefined) return undefined;
      if (token === ',') return container === '{' ? 'key' : 'value';
      return token === (container === '{' ? '}' : ']') ? close(open) : undefined;
    }
  }
}

function followValue(token: Token, open: ('{' | '[')[]): State | undefined {
  if (token === 'string' || token === 'scalar') return 'more';
  if (token !== '{' && token !== '[') return undefined;
  open.push(token);
  return token === '{' ? 'first-key' : 'first-item';
}

function close(open: ('{' | '[')[]): State {
  open.pop();
  return 'more';
}

function describe(state: State, container: '{' | '[' | undefined): string {
  switch (state) {
    case 'value':
      return 'a value';
    case 'first-item':
      return 'a value or "]"';
    case 'key':
      return 'a key in double quotes';
    case 'first-key':
      return 'a key in double quotes or "}"';
    case 'colon':
      return '":"';
    case 'more':
      if (container === undefined) return 'nothing more';
      return container === '{' ? '"," or "}"' : '"," or "]"';
  }
}

function tokenAt(text: string, offset: number): Token | undefined {
  const character = text[offset];
  switch (character) {
    case '{':
    case '}':
    case '[':
    case ']':
    case ':':
    case ',':
      return character;
    case '"':
      return 'string';
    case undefined:
      return undefined;
    default:
      return endOf(scalar, text, offset) === undefined ? undefined : 'scalar';
  }
}

function endOfString(text: string, start: number): number | JsonProblem {
  let offset = start + 1;
  for (;;) {
    offset = endOf(plainCharacters, text, offset) ?? offset;
    const character = text[offset];
    if (character === '"') return offset + 1;
    if (character === undefined) return { offset, expected: 'a closing double quote' };
    if (character !== '\\') {
      return { offset, expected: 'a closing double quote or an escape such as \\n' };
    }
    const end = endOf(escapeSequence, text, offset);
    if (end === undefined) {
      return { offset, expected: 'one of the escapes \\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX' };
    }
    offset = end;
  }
}

/** Returns where a match of the sticky `pattern` that starts at `offset` ends. */
function endOf(pattern: RegExp, text: string, offset: number): number | undefined {
  pattern.lastIndex = offset;
  return pattern.test(text) ? pattern.lastIndex : undefined;
}
