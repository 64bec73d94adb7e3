/** Control characters, and the ones that reorder or break a line of text. */
const unprintable = /[\p{Cc}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\p{Cs}]/gu;

/**
 * Returns `text` as one line that cannot steer a terminal: a path or a message may hold any
 * character. Line feeds become `\n`, other such characters `\u{1b}`.
 */
export function printable(text: string): string {
  return text.replace(unprintable, (character) => {
    if (character === '\n') return '\\n';
    if (character === '\t') return '\\t';
    return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
  });
}

/** Returns `text` with its line feeds kept and each line {@link printable}. */
export function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n');
}

/** Returns `count` and the noun, in the plural unless it is one: `1 path`, `2 paths`. */
export function counted(count: number, noun: string): string {
  return `${String(count)} ${count === 1 ? noun : `${noun}s`}`;
}
