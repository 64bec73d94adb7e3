import type { TomlTable } from './parse-toml.js';

/** A header and nothing else on the line. */
const plainHeader = /\[\[[A-Za-z0-9_-]+\]\]\r?\n/y;
/** Control characters are for a real parser to refuse. */
const plainLine = /([A-Za-z0-9_-]+) = "([^"\\\p{Cc}]*)"\r?\n/uy;

/**
 * Returns what the table of a list says, where that takes no parser: a header, lines of a bare key
 * and a plain string, blank lines. Most of a manifest is that, and a parser takes ten times as long.
 *
 * @returns `undefined` when anything else stands there.
 */
export function readPlainTable(text: string): TomlTable | undefined {
  plainHeader.lastIndex = 0;
  if (!plainHeader.test(text)) return undefined;
  const table: Record<string, unknown> = {};
  let at = plainHeader.lastIndex;
  for (;;) {
    plainLine.lastIndex = at;
    const [, key, value] = plainLine.exec(text) ?? [];
    if (key === undefined) break;
    // Twice is wrong, and `__proto__` is no key of an object that is made like this one.
    if (key in table) return undefined;
    table[key] = value;
    at = plainLine.lastIndex;
  }
  for (let rest = at; rest < text.length; rest += 1) {
    if (text[rest] !== '\n' && text[rest] !== '\r') return undefined;
  }
  return table;
}
