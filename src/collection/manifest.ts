import { stringify } from 'smol-toml';
import { type Artifact, type ArtifactKey, keyOf, readArtifact, textOf } from './artifact.js';
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
import { isTable, parseToml, type TomlTable } from './toml/parse-toml.js';
import {
  hasComment,
  type Section,
  splitSections,
  type Statement,
  statementsOf,
} from './toml/sections.js';
import { layoutOf } from './toml/layout.js';

export const manifestName = 'collection.toml';

/** What `[collection]` says. */
export interface CollectionFacts {
  readonly name: string;
  readonly version: string;
  readonly created: string | undefined;
  readonly updated: string | undefined;
}

/** An artifact's `[[artifacts]]` with the tables that belong to it. */
interface Block {
  /** The section with the artifact's own keys. */
  readonly head: Section;
  readonly end: number;
}

/**
 * `collection.toml`: the text, where each artifact stands in it, and edits that leave every other
 * byte alone. Values are parsed only when somebody asks for them.
 */
export class Manifest {
  readonly text: string;
  /** {@link text}, or the same with an inline list of artifacts written out as tables. */
  readonly #regular: string;
  readonly #sections: readonly Section[];
  readonly #blocks = new Map<ArtifactKey, Block>();
  /** Artifacts that stand there more than once. */
  readonly duplicates: readonly ArtifactKey[];
  /** How many `[[artifacts]]` have no name, type or path. */
  readonly namelessCount: number;
  /** Why the text cannot be edited. */
  readonly #frozen: string | undefined;

  /** @throws {CollectionError} `TOML_INVALID` when not even its tables can be told apart. */
  constructor(text: string) {
    this.text = text;
    const { regular, frozen } = regularize(text);
    this.#regular = regular;
    this.#frozen = frozen;
    this.#sections = layoutOf(regular, manifestName, splitSections);
    const duplicates = new Set<ArtifactKey>();
    let namelessCount = 0;
    for (const block of blocksOf(this.#sections)) {
      const key = keyIn(regular, block);
      if (key === undefined) namelessCount += 1;
      else if (this.#blocks.has(key)) duplicates.add(key);
      else this.#blocks.set(key, block);
    }
    this.duplicates = [...duplicates];
    this.namelessCount = namelessCount;
  }

  get keys(): Iterable<ArtifactKey> {
    return this.#blocks.keys();
  }

  has(key: ArtifactKey): boolean {
    return this.#blocks.has(key);
  }

  /** Returns the artifact's lines, to tell whether they changed. */
  textOf(key: ArtifactKey): string | undefined {
    const block = this.#blocks.get(key);
    return block === undefined ? undefined : this.#regular.slice(block.head.start, block.end);
  }

  /** @throws {CollectionError} `TOML_INVALID`. */
  get(key: ArtifactKey): Artifact | undefined {
    const text = this.textOf(key);
    if (text === undefined) return undefined;
    const { artifacts } = parseToml(text, manifestName);
    return Array.isArray(artifacts) ? readArtifact(artifacts[0]) : undefined;
  }

  /** Parses the whole file. @throws {CollectionError} `TOML_INVALID`, with line and column. */
  all(): readonly Artifact[] {
    const { artifacts } = parseToml(this.text, manifestName);
    if (!Array.isArray(artifacts)) return [];
    return artifacts.flatMap((table) => readArtifact(table) ?? []);
  }

  /** What `[collection]` says; a nameless collection is called `default`. */
  facts(): CollectionFacts {
    const section = this.#collectionSection();
    const table =
      section === undefined
        ? undefined
        : parseToml(this.#regular.slice(section.start, section.end), manifestName)['collection'];
    const facts: TomlTable = isTable(table) ? table : {};
    return {
      name: textOf(facts, 'name') ?? 'default',
      version: textOf(facts, 'version') ?? '1.0.0',
      created: textOf(facts, 'created'),
      updated: textOf(facts, 'updated'),
    };
  }

  /** Returns the manifest with these keys of an artifact set, or taken away. */
  edit(key: ArtifactKey, edits: TableEdits): Manifest {
    const block = this.#block(key);
    return this.#with((text) => editTable(text, block.head, edits));
  }

  /**
   * Returns the manifest with these keys of an artifact's `metadata` set, or taken away. One that is
   * written in another way than as a table of its own stays as it is.
   */
  editMetadata(key: ArtifactKey, edits: TableEdits): Manifest {
    const { head, end } = this.#block(key);
    const table = this.#sections.find(
      ({ start, path }) => start >= head.start && start < end && isMetadata(path),
    );
    if (table !== undefined) return this.#with((text) => editTable(text, table, edits));
    const isElsewhere = statementsOf(this.#regular, head).some(
      ({ path }) => path[0] === 'metadata',
    );
    if (isElsewhere) return this;
    return this.#with((text) => {
      const lines = writeTable('[artifacts.metadata]', edits, lineBreakOf(text));
      return insertTable(text, lines, head.end);
    });
  }

  /** Returns the manifest with one artifact more, after the last one. */
  add(values: TableEdits, metadata: TableEdits = {}): Manifest {
    return this.#with((text) => {
      const lineBreak = lineBreakOf(text);
      const tables = [writeTable('[[artifacts]]', values, lineBreak)];
      if (Object.keys(metadata).length > 0) {
        tables.push(writeTable('[artifacts.metadata]', metadata, lineBreak));
      }
      return insertTable(text, tables.join(lineBreak), [...this.#blocks.values()].at(-1)?.end);
    });
  }

  /** Returns the manifest without the artifact. */
  remove(key: ArtifactKey): Manifest {
    const { head, end } = this.#block(key);
    return this.#with((text) => removeTable(text, head.start, end));
  }

  /** Returns the manifest with the artifact's lines as another text of the manifest has them. */
  put(key: ArtifactKey, lines: string): Manifest {
    const block = this.#blocks.get(key) === undefined ? undefined : this.#block(key);
    return this.#with((text) => putTable(text, lines, block, [...this.#blocks.values()].at(-1)));
  }

  /** Returns the manifest with `updated` set. */
  touch(time: string): Manifest {
    const section = this.#collectionSection();
    if (section === undefined) return this;
    return this.#with((text) => editTable(text, section, { updated: time }));
  }

  #collectionSection(): Section | undefined {
    return this.#sections.find(({ path }) => path.length === 1 && path[0] === 'collection');
  }

  #block(key: ArtifactKey): Block {
    const block = this.#blocks.get(key);
    if (block === undefined) throw new Error(`bug: ${key} is in the manifest`);
    if (this.duplicates.includes(key)) {
      throw unsupported(`${manifestName} names ${key} twice`, 'Remove one of the two by hand.');
    }
    return block;
  }

  #with(edit: (text: string) => string): Manifest {
    if (this.#frozen !== undefined) {
      throw unsupported(this.#frozen, 'Write it as [[artifacts]] tables.');
    }
    return new Manifest(layoutOf(this.#regular, manifestName, edit));
  }
}

function unsupported(message: string, hint: string): CollectionError {
  return new CollectionError('TOML_LAYOUT_UNSUPPORTED', message, { path: manifestName, hint });
}

/** Returns the text of a new, empty manifest. */
export function newManifest(name: string, time: string): string {
  const values = { name, version: '1.0.0', created: time, updated: time };
  return writeTable('[collection]', values, '\n');
}

function blocksOf(sections: readonly Section[]): readonly Block[] {
  const blocks: Block[] = [];
  let head: Section | undefined;
  let end = 0;
  const close = (): void => {
    if (head !== undefined) blocks.push({ head, end });
    head = undefined;
  };
  for (const section of sections) {
    if (section.path[0] !== 'artifacts') close();
    else if (section.path.length === 1) {
      close();
      head = section;
    }
    end = section.end;
  }
  close();
  return blocks;
}

/** A name and a type as nearly every manifest has them. */
const plainPair = /^name = "([^"\\\n]+)"\r?\ntype = "([^"\\\n]+)"\r?\n/;

function keyIn(text: string, { head, end }: Block): ArtifactKey | undefined {
  const plain = plainPair.exec(text.slice(head.bodyStart, head.bodyStart + 400));
  if (plain?.[1] !== undefined && plain[2] !== undefined) {
    return keyOf({ name: plain[1], type: plain[2] });
  }
  const { artifacts } = parseToml(text.slice(head.start, end), manifestName);
  const artifact = Array.isArray(artifacts) ? readArtifact(artifacts[0]) : undefined;
  return artifact === undefined ? undefined : keyOf(artifact);
}

function isMetadata(path: readonly string[]): boolean {
  return path.length === 2 && path[0] === 'artifacts' && path[1] === 'metadata';
}

interface Regular {
  readonly regular: string;
  readonly frozen: string | undefined;
}

/** Writes an inline `artifacts = [ … ]` out as tables: an empty collection has one, and short lists may. */
function regularize(text: string): Regular {
  const inline = inlineArtifacts(text);
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
  if (!/^[ \t]*["']?artifacts["']?[ \t]*[=.]/m.test(text)) return undefined;
  const [root] = layoutOf(text, manifestName, splitSections);
  if (root === undefined) return undefined;
  return statementsOf(text, root).find(({ path }) => path[0] === 'artifacts');
}
