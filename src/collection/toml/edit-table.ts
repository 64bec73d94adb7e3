import {
  LayoutError,
  type Section,
  splitSections,
  type Statement,
  statementsOf,
} from './sections.js';
import { type TomlValue, writeKey, writeValue } from './toml-value.js';

/** New values by key; `undefined` takes the key away. */
export type TableEdits = Readonly<Record<string, TomlValue | undefined>>;

/**
 * Returns `text` with these keys of one of its tables set: values are replaced where they stand,
 * new keys come after the table's last statement. All else stays as it is, byte for byte.
 */
export function editTable(
  text: string,
  section: Section,
  edits: TableEdits,
  lineBreak: string = lineBreakOf(text),
): string {
  const statements = statementsOf(text, section);
  const replacements: { start: number; end: number; by: string }[] = [];
  const added: string[] = [];
  for (const [key, value] of Object.entries(edits)) {
    refuseDotted(statements, key);
    const statement = statements.find(({ path }) => path.length === 1 && path[0] === key);
    if (statement === undefined) {
      if (value !== undefined) added.push(writeStatement(key, value, lineBreak));
    } else if (value === undefined) {
      replacements.push({ start: statement.start, end: statement.end, by: '' });
    } else {
      const { valueStart: start, valueEnd: end } = statement;
      replacements.push({ start, end, by: writeValue(value, lineBreak) });
    }
  }
  if (added.length > 0) {
    const at = statements.at(-1)?.end ?? section.bodyStart;
    // A last line may lack its line break.
    const before = at > 0 && text[at - 1] !== '\n' ? lineBreak : '';
    replacements.push({ start: at, end: at, by: before + added.join('') });
  }
  return replaceAll(text, replacements);
}

/** Returns the lines of a new table. */
export function writeTable(header: string, values: TableEdits, lineBreak: string): string {
  const lines = Object.entries(values).flatMap(([key, value]) =>
    value === undefined ? [] : [writeStatement(key, value, lineBreak)],
  );
  return `${header}${lineBreak}${lines.join('')}`;
}

/** Returns an edit of a text that begins with a table: {@link editTable} of that one. */
export function editFirstTable(edits: TableEdits, lineBreak: string): (text: string) => string {
  return (text) => {
    const sections = splitSections(text);
    // Nothing stands before it.
    const [, table] = sections;
    if (table === undefined) throw new Error('bug: there is a table');
    return editTable(text, table, edits, lineBreak);
  };
}

/** Returns `text` with a table added at its end, after a blank line. */
export function insertTable(
  text: string,
  table: string,
  { lineBreak = lineBreakOf(text) }: { readonly lineBreak?: string } = {},
): string {
  const ended = text === '' || text.endsWith('\n') ? text : text + lineBreak;
  const isSet = ended === '' || ended.endsWith(lineBreak + lineBreak);
  return `${ended}${isSet ? '' : lineBreak}${table}`;
}

/** The line break that the text uses. */
export function lineBreakOf(text: string): string {
  const feed = text.indexOf('\n');
  return feed > 0 && text[feed - 1] === '\r' ? '\r\n' : '\n';
}

/** Returns the one section with this header. */
export function findSection(text: string, path: readonly string[]): Section | undefined {
  return splitSections(text).find(
    (section) =>
      !section.isArray &&
      section.path.length === path.length &&
      section.path.every((key, index) => key === path[index]),
  );
}

function writeStatement(key: string, value: TomlValue, lineBreak: string): string {
  return `${writeKey(key)} = ${writeValue(value, lineBreak)}${lineBreak}`;
}

function refuseDotted(statements: readonly Statement[], key: string): void {
  const dotted = statements.find(({ path }) => path.length > 1 && path[0] === key);
  if (dotted !== undefined) {
    throw new LayoutError(`"${key}" is written with a dotted key`, dotted.start);
  }
}

function replaceAll(
  text: string,
  replacements: readonly { readonly start: number; readonly end: number; readonly by: string }[],
): string {
  const parts: string[] = [];
  let at = 0;
  for (const { start, end, by } of replacements.toSorted((a, b) => a.start - b.start)) {
    parts.push(text.slice(at, start), by);
    at = end;
  }
  parts.push(text.slice(at));
  return parts.join('');
}
