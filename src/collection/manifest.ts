import { posix } from 'node:path';
import { stringify } from 'smol-toml';
import {
  addressOf,
  type Artifact,
  type ArtifactKey,
  keyOf,
  readArtifact,
  textOf,
} from './artifact.js';
import { isCollectionError } from './errors.js';
import {
  editFirstTable,
  editTable,
  insertTable,
  lineBreakOf,
  type TableEdits,
  writeTable,
} from './toml/edit-table.js';
import { isTable, parseToml, type TomlTable } from './toml/parse-toml.js';
import { type Cutting, type Piece, Pieces } from './toml/pieces.js';
import { readPlainTable } from './toml/plain-table.js';
import {
  hasComment,
  LayoutError,
  splitSections,
  type Statement,
  statementsOf,
} from './toml/sections.js';
import { layoutOf } from './toml/layout.js';
import { type Regular, Tables, type TablesFormat, unsupported } from './toml/tables.js';
import type { BeforeAndAfter, TakenBack, TakingBack } from './toml/take-back.js';

export const manifestName = 'collection.toml';

/** What `[collection]` says. */
export interface CollectionFacts {
  readonly name: string;
  readonly version: string;
  readonly created: string | undefined;
  readonly updated: string | undefined;
}

/** Values of artifacts by their lines, which never change. */
const parsed = new WeakMap<Piece, Artifact | undefined>();

/**
 * `collection.toml`: the text, where each artifact stands in it, and edits that leave every other
 * byte alone. Values are parsed only when somebody asks for them.
 */
export class Manifest {
  readonly #tables: Tables;

  /**
   * @param known an earlier version; what did not change since is not taken apart again.
   * @throws {CollectionError} `TOML_INVALID` when not even its tables can be told apart.
   */
  constructor(source: string | Tables, known?: Manifest) {
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

  get keys(): Iterable<ArtifactKey> {
    return this.#tables.pieces.keys;
  }

  /** Artifacts that stand there more than once. */
  get duplicates(): readonly ArtifactKey[] {
    return this.#tables.pieces.duplicates;
  }

  /** How many `[[artifacts]]` have no name, type or path. */
  get namelessCount(): number {
    return this.#tables.pieces.namelessCount;
  }

  has(key: ArtifactKey): boolean {
    return this.#tables.pieces.placeOf(key) !== undefined;
  }

  /** Its lines. */
  textOf(key: ArtifactKey): string | undefined {
    return this.#tables.pieces.get(key)?.text;
  }

  isSame(other: Manifest): boolean {
    return this.#tables.isSame(other.#tables);
  }

  /** Where the files of artifacts are, each path relative to the collection. */
  get places(): readonly string[] {
    return this.#tables.pieces.all.flatMap(({ at }) => at ?? []);
  }

  /** Returns the artifacts whose files are at one of these paths, each relative to the collection. */
  artifactsAt(paths: ReadonlySet<string>): readonly ArtifactKey[] {
    return this.#tables.pieces.all.flatMap(({ key, at }) =>
      key !== undefined && at !== undefined && paths.has(at) ? [key] : [],
    );
  }

  /** Returns the artifacts whose lines changed, came or went since an earlier version. */
  changedSince(before: Manifest): ReadonlySet<ArtifactKey> {
    return this.#tables.changedSince(before.#tables);
  }

  /** @throws {CollectionError} `TOML_INVALID`. */
  get(key: ArtifactKey): Artifact | undefined {
    const piece = this.#tables.pieces.get(key);
    if (piece === undefined) return undefined;
    if (parsed.has(piece)) return parsed.get(piece);
    const { artifacts } = parseToml(piece.text, manifestName);
    const artifact = Array.isArray(artifacts) ? readArtifact(artifacts[0]) : undefined;
    parsed.set(piece, artifact);
    return artifact;
  }

  /** Parses the whole file. @throws {CollectionError} `TOML_INVALID`, with line and column. */
  all(): readonly Artifact[] {
    return artifactsIn(this.text);
  }

  /** What `[collection]` says; a nameless collection is called `default`. */
  facts(): CollectionFacts {
    const place = this.#collectionPlace();
    const text = place === undefined ? '' : (this.#tables.pieces.all[place]?.text ?? '');
    const { collection } = parseToml(text, manifestName);
    const facts: TomlTable = isTable(collection) ? collection : {};
    return {
      name: textOf(facts, 'name') ?? 'default',
      version: textOf(facts, 'version') ?? '1.0.0',
      created: textOf(facts, 'created'),
      updated: textOf(facts, 'updated'),
    };
  }

  /** Returns the manifest with these keys of an artifact set, or taken away. */
  edit(key: ArtifactKey, edits: TableEdits): Manifest {
    const place = this.#place(key);
    return this.#with((pieces) => pieces.edit(place, editFirstTable(edits, pieces.lineBreak)));
  }

  /**
   * Returns the manifest with these keys of an artifact's `metadata` set, or taken away. One that is
   * written in another way than as a table of its own stays as it is.
   */
  editMetadata(key: ArtifactKey, edits: TableEdits): Manifest {
    const place = this.#place(key);
    return this.#with((pieces) =>
      pieces.edit(place, (text) => editMetadata(text, edits, pieces.lineBreak)),
    );
  }

  /** Returns the manifest with one artifact more, after the last one. */
  add(values: TableEdits, metadata: TableEdits = {}): Manifest {
    return this.#with((pieces) => {
      const { lineBreak } = pieces;
      const tables = [writeTable('[[artifacts]]', values, lineBreak)];
      if (Object.keys(metadata).length > 0) {
        tables.push(writeTable('[artifacts.metadata]', metadata, lineBreak));
      }
      return pieces.add(tables.join(lineBreak));
    });
  }

  /** Returns the manifest without the artifact. */
  remove(key: ArtifactKey): Manifest {
    const place = this.#place(key);
    return this.#with((pieces) => pieces.remove(place));
  }

  /** Returns the manifest with the artifact's lines as another text of the manifest has them. */
  put(key: ArtifactKey, lines: string): Manifest {
    const place = this.has(key) ? this.#place(key) : undefined;
    return this.#with((pieces) => pieces.put(place, lines));
  }

  /** Returns the manifest with what became of it from one version to another taken back. */
  takeBack(
    { before, after }: BeforeAndAfter<Manifest>,
    terms: TakingBack,
  ): Omit<TakenBack, 'text'> & { readonly manifest: Manifest } {
    const versions = { before: before.#tables, after: after.#tables };
    const { tables, ...taken } = this.#tables.takeBack(versions, terms);
    return { ...taken, manifest: new Manifest(tables) };
  }

  /** Returns the manifest with `updated` set. */
  touch(time: string): Manifest {
    const place = this.#collectionPlace();
    if (place === undefined) return this;
    return this.#with((pieces) =>
      pieces.edit(place, editFirstTable({ updated: time }, pieces.lineBreak)),
    );
  }

  #collectionPlace(): number | undefined {
    const place = this.#tables.pieces.all.findIndex(
      ({ path }) => path.length === 1 && path[0] === 'collection',
    );
    return place === -1 ? undefined : place;
  }

  #place(key: ArtifactKey): number {
    const place = this.#tables.pieces.placeOf(key);
    if (place === undefined) throw new Error(`bug: ${key} is in the manifest`);
    if (this.duplicates.includes(key)) {
      throw unsupported(
        manifestName,
        `${manifestName} names ${addressOf(key)} twice`,
        'Remove one of the two by hand.',
      );
    }
    return place;
  }

  #with(edit: (pieces: Pieces) => Pieces): Manifest {
    return new Manifest(this.#tables.edit(edit));
  }
}

/** Returns what a manifest names, in its order. @throws {CollectionError} `TOML_INVALID`, with line and column. */
export function artifactsIn(text: string): readonly Artifact[] {
  const tables = plainTables(text) ?? parseToml(text, manifestName)['artifacts'];
  if (!Array.isArray(tables)) return [];
  return tables.flatMap((table) => readArtifact(table) ?? []);
}

/**
 * Reads artifact by artifact, as far as that is what reading the whole file gives.
 *
 * @returns `undefined` when it may not be, or when something is wrong: the whole file then tells what.
 */
function plainTables(text: string): readonly unknown[] | undefined {
  const tables: unknown[] = [];
  const others: string[] = [];
  try {
    for (const { isArtifact, text: lines } of Pieces.of(text, cutting).all) {
      if (isArtifact) {
        const table = readPlainTable(lines) ?? onlyTable(parseToml(lines, manifestName));
        if (table === undefined) return undefined;
        tables.push(table);
      } else others.push(lines);
    }
    // A table of that name apart from the list, or one inside of it, is what a whole file tells.
    return 'artifacts' in parseToml(others.join(''), manifestName) ? undefined : tables;
  } catch (error) {
    if (error instanceof LayoutError || isCollectionError(error, 'TOML_INVALID')) return undefined;
    throw error;
  }
}

function onlyTable({ artifacts }: TomlTable): unknown {
  return Array.isArray(artifacts) && artifacts.length === 1 ? artifacts[0] : undefined;
}

/** Returns the text of a new, empty manifest. */
export function newManifest(name: string, time: string): string {
  const values = { name, version: '1.0.0', created: time, updated: time };
  return writeTable('[collection]', values, '\n');
}

const cutting: Cutting = {
  isHead: ([first, ...rest]) => first === 'artifacts' && rest.length === 0,
  belongsTo: (_head, path) => path[0] === 'artifacts' && path.length > 1,
  ownerIn: (text, head, end) => {
    plainOwner.lastIndex = head.bodyStart;
    const [, name, type, path] = plainOwner.exec(text) ?? [];
    if (name !== undefined && type !== undefined && path !== undefined) {
      return { key: keyOf({ name, type }), at: normalPath(path) };
    }
    const { artifacts } = parseToml(text.slice(head.start, end), manifestName);
    const artifact = Array.isArray(artifacts) ? readArtifact(artifacts[0]) : undefined;
    if (artifact === undefined) return { key: undefined, at: undefined };
    return { key: keyOf(artifact), at: normalPath(artifact.path) };
  },
};

const format: TablesFormat = {
  file: manifestName,
  cutting,
  regularize,
  hint: 'Write it as [[artifacts]] tables.',
};

/** A name, a type and a path as nearly every manifest has them. */
const plainOwner = /name = "([^"\\\n]+)"\r?\ntype = "([^"\\\n]+)"\r?\npath = "([^"\\\n]+)"\r?\n/y;

function normalPath(path: string): string {
  return posix.normalize(path).replace(/\/$/, '');
}

/** Edits the table `metadata` in the lines of an artifact. */
function editMetadata(text: string, edits: TableEdits, lineBreak: string): string {
  const sections = splitSections(text);
  const head = sections.find(({ path }) => path.length === 1);
  const table = sections.find(({ path }) => path.length === 2 && path[1] === 'metadata');
  if (table !== undefined) return editTable(text, table, edits, lineBreak);
  const isElsewhere =
    head === undefined || statementsOf(text, head).some(({ path }) => path[0] === 'metadata');
  if (isElsewhere) return text;
  const lines = writeTable('[artifacts.metadata]', edits, lineBreak);
  const own = text.slice(0, head.end).replace(/(?:\r?\n)+$/, '');
  // The blank lines that were there come after the new table.
  const gap = text.slice(own.length, head.end).replace(/^\r?\n/, '');
  return insertTable(own + lineBreak, lines, { lineBreak }) + gap + text.slice(head.end);
}

/** Writes an inline `artifacts = [ … ]` out as tables: an empty collection has one, and short lists may. */
function regularize(text: string, { all: [first] }: Pieces): Regular {
  // Only before the first header can it stand.
  if (first === undefined || first.path.length > 0) return { regular: text, frozen: undefined };
  const inline = layoutOf(first.text, manifestName, inlineArtifacts);
  if (inline === undefined) return { regular: text, frozen: undefined };
  const { artifacts } = parseToml(text.slice(inline.start, inline.end), manifestName);
  const rest = text.slice(0, inline.start) + text.slice(inline.end);
  const isEmpty = Array.isArray(artifacts) && artifacts.length === 0;
  const regular = isEmpty
    ? rest.replace(/^(?:\r?\n)+/, '')
    : insertTable(rest, stringify({ artifacts }).replaceAll('\n', lineBreakOf(text)));
  const loses = hasComment(text, inline.valueStart, inline.valueEnd);
  return {
    regular,
    frozen: loses
      ? `the comments inside the list of artifacts in ${manifestName} would be lost`
      : undefined,
  };
}

function inlineArtifacts(text: string): Statement | undefined {
  const [root] = splitSections(text);
  if (root === undefined) return undefined;
  return statementsOf(text, root).find(({ path }) => path[0] === 'artifacts');
}
