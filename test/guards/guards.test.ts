import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  disagreements,
  guardsOf,
  type Killer,
  readGuards,
  unmarkedCalls,
  withoutGuard,
} from '../../scripts/guards.js';

const { guards, sources } = readGuards(path.join(import.meta.dirname, '../../src/engine'));
const killers = JSON.parse(
  readFileSync(path.join(import.meta.dirname, 'killers.json'), 'utf8'),
) as Record<string, Killer>;

test('each guard of the engine has a killer, and each killer a guard', () => {
  expect(guards.length).toBeGreaterThan(200);
  expect(disagreements(guards, killers)).toEqual([]);
});

test('each guard can be switched off', () => {
  for (const guard of guards) {
    const text = sources.get(guard.file) ?? '';
    expect(withoutGuard(guard, text), guard.id).not.toBe(text);
  }
});

test('every sync and every check of the engine is marked', () => {
  expect(unmarkedCalls(sources)).toEqual([]);
});

test('a killer is a test that is there', () => {
  for (const [id, { file, test: name }] of Object.entries(killers)) {
    const titles = titlesOf(path.join(import.meta.dirname, '../..', file));
    expect(
      titles.some((title) => title.test(name)),
      `${id}: ${file}: ${name}`,
    ).toBe(true);
  }
});

/** Matchers of all texts of a file that may be the title of a test, or fill in the row of a table. */
function titlesOf(location: string): readonly RegExp[] {
  const texts = readFileSync(location, 'utf8').match(/'[^'\n]+'|"[^"\n]+"|`[^`\n]+`/g) ?? [];
  return texts.map((quoted) => {
    const parts = quoted.slice(1, -1).split(/%[sij]|\$\w+/);
    const escaped = parts.map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
    // A title that is nothing but its row says nothing.
    return escaped.join('').trim() === '' ? /(?!)/ : new RegExp(`^${escaped.join('.+')}$`);
  });
}

describe('switched off', () => {
  const off = (code: string): string => {
    const [guard] = guardsOf('a.ts', code);
    if (guard === undefined) throw new Error('no guard');
    return withoutGuard(guard, code);
  };

  test.each([
    ['a statement goes', '// guard: a\nawait sync();\nrest();', '// guard: a\n\nrest();'],
    [
      'also when it takes several lines, with brackets in strings and comments',
      "  // guard: a\n  sync(\n    ')', // (\n  );\n  rest();",
      '  // guard: a\n\n  rest();',
    ],
    [
      'an if goes with its block',
      '// guard: a\nif (x) {\n  y();\n}\nrest();',
      '// guard: a\n\nrest();',
    ],
    [
      'a condition is decided',
      '// guard: a [if false]\nif (f(x) &&\n  y) {\n  z();\n}',
      '// guard: a [if false]\nif (false) {\n  z();\n}',
    ],
    [
      'a piece becomes another',
      '// guard: a [isSame(x) becomes true]\nreturn isSame(x) && y;',
      '// guard: a [isSame(x) becomes true]\nreturn true && y;',
    ],
    [
      'the marker of another guard of the same statement is passed over',
      '// guard: a [x becomes true]\n// guard: b [y becomes true]\nreturn x && y;',
      '// guard: a [x becomes true]\n// guard: b [y becomes true]\nreturn true && y;',
    ],
    [
      'a member of an object goes, and no other',
      'const a = {\n  // guard: a\n  x: f(1, 2),\n  y,\n};',
      'const a = {\n  // guard: a\n\n  y,\n};',
    ],
  ])('%s', (_what, code, expected) => {
    expect(off(code)).toBe(expected);
  });

  test.each([
    ['a return', '// guard: a\nreturn x;', 'as its marker says'],
    ['a condition where there is none', '// guard: a [if true]\nx();', 'as its marker says'],
    ['a piece that is not there', '// guard: a [y becomes z]\nx();', 'as its marker says'],
    ['a piece that is there twice', '// guard: a [x becomes z]\nx(x);', 'as its marker says'],
    ['in a way that nobody knows', '// guard: a [somehow]\nx();', 'nobody knows'],
    ['what has no proper name', '// guard: A b\nx();', 'a.ts:1: no marker'],
  ])('%s is refused', (_what, code, reason) => {
    expect(() => off(code)).toThrow(reason);
  });

  test('a guard twice, without a killer, and a killer without a guard are told', () => {
    const code = '// guard: a\nx();\n// guard: a\ny();\n// guard: b\nz();';
    const killer = { file: 'f', test: 't' };
    expect(disagreements(guardsOf('a.ts', code), { a: killer, c: killer })).toEqual([
      'a is marked twice',
      'b has no killer',
      'c is marked nowhere',
    ]);
  });

  test.each([
    'await files.barrier(root, 0);',
    'await this.#barrier();',
    'if (isOdd) await barrier();',
    'fs.fsyncSync(descriptor);',
    'files.mustReachDisk(place);',
    'this.#changed(place.directory);',
    'coverByBarrier(transactions, checkpointing);',
    "database.pragma('synchronous = FULL');",
    'session.requireFence();',
    'this.#requireInPlace();',
    'if (this.#isStillThere()) return;',
    'this.#advanceEpoch(expected);',
    'if (hasher.digest() !== sha256) return false;',
    'if (hashContent(bytes) === sha256) return bytes;',
    'return checksumOf(rowText(row)) === stored.checksum;',
    "throw new EngineError('JOURNAL_DAMAGED', 'a row is missing', {});",
  ])('`%s` without a marker is told', (code) => {
    const text = (marker: string): string => `async function f() {\n  ${marker}\n  ${code}\n}\n`;
    expect(unmarkedCalls(new Map([['a.ts', text('// why')]]))).toEqual([`a.ts:3: ${code}`]);
    expect(unmarkedCalls(new Map([['a.ts', text('// guard: a')]]))).toEqual([]);
  });

  const refusing = (...lines: readonly string[]): readonly string[] =>
    unmarkedCalls(
      new Map([
        ['a.ts', `async function f() {\n${lines.map((line) => `  ${line}\n`).join('')}}\n`],
        [
          'b.ts',
          "export function torn(path: string): EngineError {\n  return new EngineError('DRIFT_DETECTED', path);\n}\n",
        ],
      ]),
    );

  test('a refusal that another file makes, or whose code is in the next line, is told', () => {
    expect(refusing("throw torn('x');")).toEqual(["a.ts:2: throw torn('x');"]);
    expect(refusing('throw new EngineError(', "  'FENCED',", ');')).toHaveLength(1);
    expect(refusing("throw new EngineError('DISK_FULL', 'x');", "throw other('x');")).toEqual([]);
  });

  test('a refusal is marked by what lets nothing wrong come so far', () => {
    const marked = ['// guard: a [if true]', 'if (isRight) return;'];
    expect(refusing(...marked, 'const { path } = found;', "throw torn('x');")).toEqual([]);
    expect(refusing(...marked, 'act();', "throw torn('x');")).toHaveLength(1);
    expect(refusing('// guard: a', "throw torn('x');")).toEqual([]);
  });
});
