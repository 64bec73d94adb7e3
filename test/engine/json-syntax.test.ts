import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { findJsonProblem } from '../../src/engine/json-syntax.js';

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

test.each([
  ['', 0, 'a value'],
  ['  ', 2, 'a value'],
  ['{', 1, 'a key in double quotes or "}"'],
  ['{"a":1,}', 7, 'a key in double quotes'],
  ['{"a" 1}', 5, '":"'],
  ['{"a":1 "b"', 7, '"," or "}"'],
  ['[', 1, 'a value or "]"'],
  ['[1,]', 3, 'a value'],
  ['[1 2]', 3, '"," or "]"'],
  ['[1}', 2, '"," or "]"'],
  ['{} x', 3, 'nothing more'],
  ['01', 1, 'nothing more'],
  ['tru', 0, 'a value'],
  ["{'a':1}", 1, 'a key in double quotes or "}"'],
  ['"a', 2, 'a closing double quote'],
  ['"a\n"', 2, 'a closing double quote or an escape such as \\n'],
  ['"\\x"', 1, 'one of the escapes \\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX'],
  ['"\\u12"', 1, 'one of the escapes \\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX'],
])('%j is wrong at %i', (text, offset, expected) => {
  expect(findJsonProblem(text)).toEqual({ offset, expected });
});

test('a text has a problem exactly when JSON.parse refuses it', () => {
  const marks = ['{', '}', '[', ']', ':', ',', '"a"', '"', '\\n', '\\', '//'];
  const words = ['true', 'null', 'nul', '-', '0', '1.5e3', '1.', '.5', '1e', '+1', 'ü'];
  const spaces = [' ', '\t', '\n', '\u00a0', '\ufeff', '\u0001', '\u2028'];
  const token = fc.constantFrom(...marks, ...words, ...spaces);
  const soup = fc.array(token, { maxLength: 8 }).map((tokens) => tokens.join(''));
  const damaged = fc
    .tuple(fc.json(), fc.nat(), fc.nat(3), token)
    .map(([text, at, length, inserted]) => {
      const start = at % (text.length + 1);
      return text.slice(0, start) + inserted + text.slice(start + length);
    });
  fc.assert(
    fc.property(fc.oneof(soup, damaged, fc.json()), (text) => {
      expect(findJsonProblem(text) === undefined).toBe(isJson(text));
    }),
    { numRuns: 20_000 },
  );
});

test('the part before the problem can be completed, so the problem is not reported late', () => {
  fc.assert(
    fc.property(fc.json(), fc.nat(), (text, at) => {
      const cut = text.slice(0, at % (text.length + 1));
      const problem = findJsonProblem(cut);
      if (problem === undefined || /[-+.a-zA-Z]$|\\[^"]*$/.test(cut)) return;
      expect(problem.offset).toBe(cut.length);
    }),
    { numRuns: 5_000 },
  );
});

test('a megabyte of nesting and a long string do not exhaust the stack', () => {
  expect(findJsonProblem('['.repeat(1_000_000))).toMatchObject({ offset: 1_000_000 });
  expect(findJsonProblem(`"${'a'.repeat(20_000_000)}`)).toMatchObject({ offset: 20_000_001 });
});
