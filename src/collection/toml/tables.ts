import type { ArtifactKey } from '../artifact.js';
import { CollectionError } from '../errors.js';
import { layoutOf } from './layout.js';
import { changedKeys, type Cutting, Pieces } from './pieces.js';
import { type BeforeAndAfter, takeBack, type TakenBack, type TakingBack } from './take-back.js';

/** How a file of tables is taken apart. */
export interface TablesFormat {
  readonly file: string;
  readonly cutting: Cutting;
  /** Writes what stands inline out as tables. */
  readonly regularize: (text: string, pieces: Pieces) => Regular;
  /** What to do by hand where that would lose something. */
  readonly hint: string;
}

export interface Regular {
  readonly regular: string;
  /** Why the text cannot be edited. */
  readonly frozen: string | undefined;
}

/**
 * The text of a manifest or a lock, where each artifact stands in it, and edits that leave every
 * other byte alone. Immutable: an edit gives another one, which shares the pieces that stayed.
 */
export class Tables {
  /** {@link text}, or the same with what was inline written out as tables. */
  readonly pieces: Pieces;
  readonly #format: TablesFormat;
  /** What was read, where that is not the text of the pieces. */
  readonly #inlineText: string | undefined;
  readonly #frozen: string | undefined;

  private constructor(format: TablesFormat, pieces: Pieces, inlineText?: string, frozen?: string) {
    this.#format = format;
    this.pieces = pieces;
    this.#inlineText = inlineText;
    this.#frozen = frozen;
  }

  /**
   * @param known an earlier version; what did not change since is not taken apart again.
   * @throws {CollectionError} `TOML_INVALID` when not even its tables can be told apart.
   */
  static read(source: string, format: TablesFormat, known: Tables | undefined): Tables {
    const { file, cutting, regularize } = format;
    const pieces = layoutOf(source, file, (text) =>
      known === undefined ? Pieces.of(text, cutting) : known.pieces.rebase(text),
    );
    const { regular, frozen } = regularize(source, pieces);
    if (regular === source) return new Tables(format, pieces, undefined, frozen);
    const written = layoutOf(regular, file, (text) => Pieces.of(text, cutting));
    return new Tables(format, written, source, frozen);
  }

  get text(): string {
    return this.#inlineText ?? this.pieces.text;
  }

  /** {@link text} as it stands in the file. */
  get bytes(): Uint8Array {
    if (this.#inlineText === undefined) return this.pieces.bytes;
    return Buffer.from(this.#inlineText);
  }

  isSame(other: Tables): boolean {
    return this.#inlineText === other.#inlineText && this.pieces.isSame(other.pieces);
  }

  /** Returns the artifacts whose lines changed, came or went since an earlier version. */
  changedSince(before: Tables): ReadonlySet<ArtifactKey> {
    return changedKeys(before.pieces, this.pieces);
  }

  /** As the function {@link takeBack}. @throws {CollectionError} `TOML_LAYOUT_UNSUPPORTED`. */
  takeBack({ before, after }: BeforeAndAfter<Tables>, terms: TakingBack): TablesTakenBack {
    const versions = { before: before.pieces, after: after.pieces };
    const { text, ...taken } = takeBack(this.pieces, versions, terms);
    return { ...taken, tables: this.edit((pieces) => pieces.rebase(text)) };
  }

  /** @throws {CollectionError} `TOML_LAYOUT_UNSUPPORTED` where an edit would lose something. */
  edit(change: (pieces: Pieces) => Pieces): Tables {
    const { file, hint } = this.#format;
    if (this.#frozen !== undefined) throw unsupported(file, this.#frozen, hint);
    return new Tables(this.#format, layoutOf(this.pieces, file, change));
  }
}

export interface TablesTakenBack extends Omit<TakenBack, 'text'> {
  readonly tables: Tables;
}

/** For what is well-formed and not edited here. */
export function unsupported(file: string, message: string, hint: string): CollectionError {
  return new CollectionError('TOML_LAYOUT_UNSUPPORTED', message, { path: file, hint });
}
