import { stringify } from 'smol-toml';
import { addressOf, type ArtifactKey, textOf } from './artifact.js';
import {
  editFirstTable,
  insertTable,
  lineBreakOf,
  type TableEdits,
  writeTable,
} from './toml/edit-table.js';
import { type Regular, Tables, type TablesFormat, unsupported } from './toml/tables.js';
import type { BeforeAndAfter, TakenBack, TakingBack } from './toml/take-back.js';
import { writeKey } from './toml/toml-value.js';
import { isTable, parseToml } from './toml/parse-toml.js';
import { type Cutting, type Piece, Pieces } from './toml/pieces.js';
import {
  hasComment,
  type Section,
  splitSections,
  type Statement,
  statementsOf,
} from './toml/sections.js';

export const lockName = 'collection.lock';

/** What the lock says of an artifact. */
export interface LockEntry {
  /** SHA-256, hex; empty when the file has none. */
  readonly contentHash: string;
  /** ISO 8601, UTC, without a zone. */
  readonly fetched: string | undefined;
  readonly upstream: string | undefined;
  readonly resolvedSha: string | undefined;
  readonly resolvedVersion: string | undefined;
}

/** Values of entries by their lines, which never change. */
const parsed = new WeakMap<Piece, LockEntry | undefined>();

/** `collection.lock`, as {@link Manifest} is the manifest. A missing file is an empty text. */
export class LockFile {
  readonly #tables: Tables;

  /**
   * @param known an earlier version; what did not change since is not taken apart again.
   * @throws {CollectionError} `TOML_INVALID` when not even its tables can be told apart.
   */
  constructor(source: string | Tables, known?: LockFile) {
    const before = known === undefined ? undefined : known.#tables;
    this.#tables = typeof source === 'string' ? Tables.read(source, format, before) : source;
  }

  get text(): string {
    return this.#tables.text;
  }

  /** {@link text} as it stands in the file. */
  get bytes(): Uint8Array {
    return this.#tables.bytes;
  }

  get keys(): readonly ArtifactKey[] {
    return this.#tables.pieces.keys;
  }

  get duplicates(): readonly ArtifactKey[] {
    return this.#tables.pieces.duplicates;
  }

  has(key: ArtifactKey): boolean {
    return this.#tables.pieces.placeOf(key) !== undefined;
  }

  /** Its lines. */
  textOf(key: ArtifactKey): string | undefined {
    return this.#tables.pieces.get(key)?.text;
  }

  isSame(other: LockFile): boolean {
    return this.#tables.isSame(other.#tables);
  }

  /** Returns the artifacts whose entries changed, came or went since an earlier version. */
  changedSince(before: LockFile): ReadonlySet<ArtifactKey> {
    return this.#tables.changedSince(before.#tables);
  }

  /** @throws {CollectionError} `TOML_INVALID`. */
  get(key: ArtifactKey): LockEntry | undefined {
    const piece = this.#tables.pieces.get(key);
    if (piece === undefined) return undefined;
    if (parsed.has(piece)) return parsed.get(piece);
    const entry = entriesOf(piece.text).get(key);
    parsed.set(piece, entry);
    return entry;
  }

  /** Parses the whole file. @throws {CollectionError} `TOML_INVALID`, with line and column. */
  all(): ReadonlyMap<ArtifactKey, LockEntry> {
    return entriesOf(this.text);
  }

  /** Returns the lock with these keys of an entry set; makes the entry when there is none. */
  set(key: ArtifactKey, values: TableEdits): LockFile {
    const place = this.#place(key);
    if (place !== undefined) {
      return this.#with((pieces) => pieces.edit(place, editFirstTable(values, pieces.lineBreak)));
    }
    return this.#with((pieces) => {
      const base = orNew(pieces);
      return base.add(writeTable(`[lock.entries.${writeKey(key)}]`, values, base.lineBreak));
    });
  }

  /** Returns the lock with the entry's lines as another text of the lock has them. */
  put(key: ArtifactKey, lines: string): LockFile {
    const place = this.#place(key);
    return this.#with((pieces) => orNew(pieces).put(place, lines));
  }

  /** Returns the lock with what became of it from one version to another taken back. */
  takeBack(
    { before, after }: BeforeAndAfter<LockFile>,
    terms: TakingBack,
  ): Omit<TakenBack, 'text'> & { readonly lock: LockFile } {
    const versions = { before: before.#tables, after: after.#tables };
    const { tables, ...taken } = this.#tables.takeBack(versions, terms);
    return { ...taken, lock: new LockFile(tables) };
  }

  /** Returns the lock with the entry under another name, and everything in it as it was. */
  rename(key: ArtifactKey, newKey: ArtifactKey): LockFile {
    const place = this.#place(key);
    if (place === undefined) return this;
    return this.#with((pieces) =>
      pieces.edit(place, (text) =>
        splitSections(text)
          .filter(({ path }) => path.length >= 3)
          .toReversed()
          .reduce((edited, section) => renameHeader(edited, section, newKey), text),
      ),
    );
  }

  remove(key: ArtifactKey): LockFile {
    const place = this.#place(key);
    if (place === undefined) return this;
    return this.#with((pieces) => pieces.remove(place));
  }

  #place(key: ArtifactKey): number | undefined {
    const place = this.#tables.pieces.placeOf(key);
    if (place === undefined || !this.duplicates.includes(key)) return place;
    throw unsupported(
      lockName,
      `${lockName} has ${addressOf(key)} twice`,
      'Remove one of the two by hand.',
    );
  }

  #with(edit: (pieces: Pieces) => Pieces): LockFile {
    return new LockFile(this.#tables.edit(edit));
  }
}

function orNew(pieces: Pieces): Pieces {
  return pieces.all.length === 0 ? Pieces.of(newLock(), cutting) : pieces;
}

/** Returns the text of a new, empty lock. */
export function newLock(): string {
  return `${writeTable('[lock]', { version: '1.0.0' }, '\n')}\n[lock.entries]\n`;
}

function renameHeader(text: string, section: Section, newKey: ArtifactKey): string {
  const { start, bodyStart, path } = section;
  const keys = [...path.slice(0, 2), newKey, ...path.slice(3)].map(writeKey);
  const lines = text.slice(start, bodyStart).replace(
    /^([ \t]*)\[.*\](?=[ \t]*(?:#.*)?\r?\n?$)/m,
    // The comments above come first, and none of them starts with a bracket.
    (_header, indent: string) => `${indent}[${keys.join('.')}]`,
  );
  return text.slice(0, start) + lines + text.slice(bodyStart);
}

const cutting: Cutting = {
  isHead: (path) => path.length === 3 && entryKey(path) !== undefined,
  belongsTo: (head, path) => path.length > 3 && entryKey(path) === entryKey(head),
  ownerIn: (_text, { path }) => ({ key: entryKey(path), at: undefined }),
};

const format: TablesFormat = {
  file: lockName,
  cutting,
  regularize,
  hint: 'Write each entry as a [lock.entries."name::type"] table.',
};

function entryKey([first, second, key]: readonly string[]): ArtifactKey | undefined {
  if (first !== 'lock' || second !== 'entries' || key === undefined) return undefined;
  return toKey(key);
}

function toKey(text: string): ArtifactKey | undefined {
  return text.includes('::') ? (text as ArtifactKey) : undefined;
}

function entriesOf(text: string): ReadonlyMap<ArtifactKey, LockEntry> {
  const found = new Map<ArtifactKey, LockEntry>();
  const { lock } = parseToml(text, lockName);
  const entries = isTable(lock) ? lock['entries'] : undefined;
  if (!isTable(entries)) return found;
  for (const [name, table] of Object.entries(entries)) {
    const key = toKey(name);
    if (key === undefined || !isTable(table)) continue;
    found.set(key, {
      contentHash: textOf(table, 'content_hash') ?? '',
      fetched: textOf(table, 'fetched'),
      upstream: textOf(table, 'upstream'),
      resolvedSha: textOf(table, 'resolved_sha'),
      resolvedVersion: textOf(table, 'resolved_version'),
    });
  }
  return found;
}

/** The statements of a text that is one table, as they stand in a file where that begins at `begin`. */
function statementsIn(text: string, begin: number): readonly Statement[] {
  return splitSections(text)
    .flatMap((section) => statementsOf(text, section))
    .map(({ path, start, valueStart, valueEnd, end }) => ({
      path,
      start: begin + start,
      valueStart: begin + valueStart,
      valueEnd: begin + valueEnd,
      end: begin + end,
    }));
}

/** Writes inline entries out as tables: `entries = {}` stands in empty locks. */
function regularize(text: string, { all }: Pieces): Regular {
  let regular = text;
  let isLossy = false;
  const tables: string[] = [];
  let end = text.length;
  for (const piece of all.toReversed()) {
    const begin = end - piece.text.length;
    end = begin;
    const path = piece.path.join('.');
    if (piece.path.length > 2 || (path !== '' && path !== 'lock' && path !== 'lock.entries')) {
      continue;
    }
    for (const statement of statementsIn(piece.text, begin).toReversed()) {
      const full = [...piece.path, ...statement.path];
      if (full[0] !== 'lock' || (full.length > 1 && full[1] !== 'entries')) continue;
      const header = piece.path.length === 0 ? '' : `[${path}]\n`;
      const value = parseToml(header + text.slice(statement.start, statement.end), lockName);
      const entries = isTable(value['lock']) ? value['lock']['entries'] : undefined;
      if (full.length > 3 || full.length === 1 || !isTable(entries)) {
        return { regular: text, frozen: `${lockName} has entries in dotted or inline form` };
      }
      isLossy ||= hasComment(text, statement.valueStart, statement.valueEnd);
      regular = regular.slice(0, statement.start) + regular.slice(statement.end);
      if (Object.keys(entries).length > 0) tables.unshift(stringify({ lock: { entries } }));
    }
  }
  for (const table of tables) {
    regular = insertTable(regular, table.replaceAll('\n', lineBreakOf(text)));
  }
  return {
    regular,
    frozen: isLossy ? `the comments inside entries of ${lockName} would be lost` : undefined,
  };
}
