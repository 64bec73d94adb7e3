import { stringify } from 'smol-toml';
import { type ArtifactKey, textOf } from './artifact.js';
import { CollectionError } from './errors.js';
import {
  editTable,
  insertTable,
  lineBreakOf,
  putTable,
  removeTable,
  type TableEdits,
  writeTable,
} from './toml/edit-table.js';
import { writeKey } from './toml/toml-value.js';
import { layoutOf } from './toml/layout.js';
import { isTable, parseToml } from './toml/parse-toml.js';
import { hasComment, type Section, splitSections, statementsOf } from './toml/sections.js';

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

interface Entry {
  readonly head: Section;
  readonly end: number;
}

/** `collection.lock`, as {@link Manifest} is the manifest. A missing file is an empty text. */
export class LockFile {
  readonly text: string;
  readonly #regular: string;
  readonly #entries = new Map<ArtifactKey, Entry>();
  readonly duplicates: readonly ArtifactKey[];
  readonly #frozen: string | undefined;

  /** @throws {CollectionError} `TOML_INVALID` when not even its tables can be told apart. */
  constructor(text: string) {
    this.text = text;
    const { regular, frozen } = regularize(text);
    this.#regular = regular;
    this.#frozen = frozen;
    const duplicates = new Set<ArtifactKey>();
    let open: { key: ArtifactKey; head: Section } | undefined;
    let end = 0;
    const close = (): void => {
      if (open === undefined) return;
      if (this.#entries.has(open.key)) duplicates.add(open.key);
      else this.#entries.set(open.key, { head: open.head, end });
      open = undefined;
    };
    for (const section of layoutOf(regular, lockName, splitSections)) {
      const key = entryKey(section);
      if (section.path.length <= 3 || key !== open?.key) close();
      if (key !== undefined && section.path.length === 3) open = { key, head: section };
      end = section.end;
    }
    close();
    this.duplicates = [...duplicates];
  }

  get keys(): Iterable<ArtifactKey> {
    return this.#entries.keys();
  }

  has(key: ArtifactKey): boolean {
    return this.#entries.has(key);
  }

  textOf(key: ArtifactKey): string | undefined {
    const entry = this.#entries.get(key);
    return entry === undefined ? undefined : this.#regular.slice(entry.head.start, entry.end);
  }

  /** @throws {CollectionError} `TOML_INVALID`. */
  get(key: ArtifactKey): LockEntry | undefined {
    const text = this.textOf(key);
    return text === undefined ? undefined : entriesOf(text).get(key);
  }

  /** Parses the whole file. @throws {CollectionError} `TOML_INVALID`, with line and column. */
  all(): ReadonlyMap<ArtifactKey, LockEntry> {
    return entriesOf(this.text);
  }

  /** Returns the lock with these keys of an entry set; makes the entry when there is none. */
  set(key: ArtifactKey, values: TableEdits): LockFile {
    const entry = this.#entries.get(key);
    if (entry !== undefined) {
      this.#refuseDuplicate(key);
      return this.#with((text) => editTable(text, entry.head, values));
    }
    return this.#with((text) => {
      const base = text === '' ? newLock() : text;
      const table = writeTable(`[lock.entries.${writeKey(key)}]`, values, lineBreakOf(base));
      return insertTable(base, table, [...this.#entries.values()].at(-1)?.end);
    });
  }

  /** Returns the lock with the entry's lines as another text of the lock has them. */
  put(key: ArtifactKey, lines: string): LockFile {
    const entry = this.#entries.get(key);
    this.#refuseDuplicate(key);
    return this.#with((text) =>
      putTable(text === '' ? newLock() : text, lines, entry, [...this.#entries.values()].at(-1)),
    );
  }

  /** Returns the lock with the entry under another name, and everything in it as it was. */
  rename(key: ArtifactKey, newKey: ArtifactKey): LockFile {
    const entry = this.#entries.get(key);
    if (entry === undefined) return this;
    this.#refuseDuplicate(key);
    return this.#with((text) => {
      const inside = splitSections(text).filter(
        ({ start, path }) => start >= entry.head.start && start < entry.end && path.length >= 3,
      );
      return inside
        .toReversed()
        .reduce((edited, section) => renameHeader(edited, section, newKey), text);
    });
  }

  remove(key: ArtifactKey): LockFile {
    const entry = this.#entries.get(key);
    if (entry === undefined) return this;
    this.#refuseDuplicate(key);
    return this.#with((text) => removeTable(text, entry.head.start, entry.end));
  }

  #refuseDuplicate(key: ArtifactKey): void {
    if (!this.duplicates.includes(key)) return;
    throw unsupported(`${lockName} has ${key} twice`, 'Remove one of the two by hand.');
  }

  #with(edit: (text: string) => string): LockFile {
    if (this.#frozen !== undefined) {
      throw unsupported(this.#frozen, 'Write each entry as a [lock.entries."name::type"] table.');
    }
    return new LockFile(layoutOf(this.#regular, lockName, edit));
  }
}

/** Returns the text of a new, empty lock. */
export function newLock(): string {
  return `${writeTable('[lock]', { version: '1.0.0' }, '\n')}\n[lock.entries]\n`;
}

function unsupported(message: string, hint: string): CollectionError {
  return new CollectionError('TOML_LAYOUT_UNSUPPORTED', message, { path: lockName, hint });
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

function entryKey({ path }: Section): ArtifactKey | undefined {
  const [first, second, key] = path;
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

/** Writes inline entries out as tables: `entries = {}` stands in empty locks. */
function regularize(text: string): {
  readonly regular: string;
  readonly frozen: string | undefined;
} {
  let regular = text;
  let isLossy = false;
  const tables: string[] = [];
  const sections = layoutOf(text, lockName, splitSections);
  for (const section of sections.toReversed()) {
    const path = section.path.join('.');
    if (section.path.length > 2 || (path !== '' && path !== 'lock' && path !== 'lock.entries')) {
      continue;
    }
    for (const statement of statementsOf(text, section).toReversed()) {
      const full = [...section.path, ...statement.path];
      if (full[0] !== 'lock' || (full.length > 1 && full[1] !== 'entries')) continue;
      const header = section.path.length === 0 ? '' : `[${path}]\n`;
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
