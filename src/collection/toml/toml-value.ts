/** What this project writes into TOML files. */
export type TomlValue = string | readonly string[];

/**
 * Returns a value as `tomli_w` writes it, the writer of the tool that these files come from: basic
 * strings, and arrays with one element a line.
 */
export function writeValue(value: TomlValue, lineBreak: string): string {
  if (typeof value === 'string') return writeString(value);
  if (value.length === 0) return '[]';
  const lines = value.map((element) => `    ${writeString(element)},${lineBreak}`);
  return `[${lineBreak}${lines.join('')}]`;
}

/** Returns a key, quoted when it has to be. */
export function writeKey(key: string): string {
  return /^[A-Za-z0-9_-]+$/.test(key) ? key : writeString(key);
}

const shortEscapes: Readonly<Record<string, string>> = {
  '\b': String.raw`\b`,
  '\n': String.raw`\n`,
  '\f': String.raw`\f`,
  '\r': String.raw`\r`,
  '"': String.raw`\"`,
  '\\': String.raw`\\`,
};

/** TOML has no way to write half of a surrogate pair: it becomes U+FFFD, as in every encoder. */
function writeString(text: string): string {
  const escaped = text
    .replaceAll(/\p{Cs}/gu, '\uFFFD')
    // A tab needs no escape.
    .replaceAll(
      /(?!\t)[\p{Cc}"\\]/gu,
      (character) => shortEscapes[character] ?? longEscape(character),
    );
  return `"${escaped}"`;
}

function longEscape(character: string): string {
  return `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`;
}
