import type { ArtifactKey } from '../artifact.js';
import { insertTable, lineBreakOf } from './edit-table.js';
import { type EncodedPieces, encodePieces } from './encode-pieces.js';
import { LayoutError, type Section, splitSections } from './sections.js';

/**
 * Some lines of a file: those of one artifact, or of a table that is none. It never changes: the
 * versions of a file share the pieces that they have in common, so that an edit of one artifact among
 * ten thousand costs what that artifact costs.
 */
export interface Piece {
  readonly text: string;
  /** The keys of its header; none for what stands before the first one. */
  readonly path: readonly string[];
  /** `undefined` for an artifact without a name, and for what is none. */
  readonly key: ArtifactKey | undefined;
  /** Where the artifact's files are, relative to the collection and normal, if the file says so. */
  readonly at: string | undefined;
  readonly isArtifact: boolean;
}

/** What a file says of whose lines these are. */
type Owner = Pick<Piece, 'key' | 'at'>;

/** How a file is taken apart. */
export interface Cutting {
  /** Whether an artifact begins at this header. */
  readonly isHead: (path: readonly string[]) => boolean;
  /** Whether a table goes on with what an artifact's header began. */
  readonly belongsTo: (head: readonly string[], path: readonly string[]) => boolean;
  readonly ownerIn: (text: string, head: Section, end: number) => Owner;
}

interface Index {
  /** Where the artifact of a key stands, the first one of several. */
  readonly places: Map<ArtifactKey, number>;
  readonly duplicates: readonly ArtifactKey[];
  readonly namelessCount: number;
}

/** A file in pieces. */
export class Pieces {
  readonly all: readonly Piece[];
  readonly #cutting: Cutting;
  /**
   * Versions that have their artifacts at the same places share it, for a copy is what most edits
   * would cost. It may also have keys that a later version added: hence the look at what is there.
   */
  #index: Index | undefined;
  /** Whether pieces were removed since the index was made: what came after them stands elsewhere now. */
  #isShifted = false;
  #text: string | undefined;
  #bytes: Uint8Array | undefined;
  /** An earlier version of which the bytes are known. */
  #base: EncodedPieces | undefined;

  /** @throws {LayoutError} */
  static of(text: string, cutting: Cutting): Pieces {
    return new Pieces(cut(text, cutting), cutting, text);
  }

  private constructor(all: readonly Piece[], cutting: Cutting, text?: string) {
    this.all = all;
    this.#cutting = cutting;
    this.#text = text;
  }

  get text(): string {
    this.#text ??= textOf(this.all);
    return this.#text;
  }

  /** {@link text} in UTF-8. */
  get bytes(): Uint8Array {
    this.#bytes ??=
      this.#base === undefined ? Buffer.from(this.text) : encodePieces(this.all, this.#base);
    this.#base = undefined;
    return this.#bytes;
  }

  /** The line break that the file uses. */
  get lineBreak(): string {
    return lineBreakOf(this.all.find(({ text }) => text.includes('\n'))?.text ?? '');
  }

  /** Keys that stand there more than once. */
  get duplicates(): readonly ArtifactKey[] {
    return (this.#index ?? this.#indexed()).duplicates;
  }

  /** How many artifacts have no key. */
  get namelessCount(): number {
    return this.#indexed().namelessCount;
  }

  /** In the order of the file. */
  get keys(): readonly ArtifactKey[] {
    return [...this.#indexed().places.keys()].filter((key) => this.placeOf(key) !== undefined);
  }

  /** Where the first piece of an artifact stands in {@link all}. */
  placeOf(key: ArtifactKey): number | undefined {
    const shared = this.#index?.places.get(key);
    if (shared !== undefined && this.all[shared]?.key === key) return shared;
    const place = this.#indexed().places.get(key);
    return place !== undefined && this.all[place]?.key === key ? place : undefined;
  }

  get(key: ArtifactKey): Piece | undefined {
    const place = this.placeOf(key);
    return place === undefined ? undefined : this.all[place];
  }

  isSame(other: Pieces): boolean {
    return (
      this.all.length === other.all.length &&
      this.all.every((piece, at) => piece === other.all[at] || piece.text === other.all[at]?.text)
    );
  }

  /** Returns the file with another piece there. @throws {LayoutError} with the place in the file. */
  edit(place: number, work: (text: string) => string): Pieces {
    const text = this.all[place]?.text ?? '';
    try {
      return this.replace(place, 1, work(text));
    } catch (error) {
      if (!(error instanceof LayoutError)) throw error;
      throw new LayoutError(error.message, error.at + this.#offsetOf(place));
    }
  }

  /**
   * Returns the file with `text` instead of `count` pieces. What comes out is what taking the whole
   * text apart would give: where the neighbours would not stay what they are, that is done.
   */
  replace(place: number, count: number, text: string): Pieces {
    const before = this.all.slice(Math.max(place - 1, 0), place);
    const after = this.all.slice(place + count, place + count + 1);
    const whole = [...before.map((piece) => piece.text), text, ...after.map((piece) => piece.text)];
    const found = tryCut(whole.join(''), this.#cutting);
    const [first, last] = [found?.[0], found?.at(-1)];
    const isAlike =
      found !== undefined &&
      found.length >= before.length + after.length &&
      before.every((piece) => isSamePiece(piece, first)) &&
      after.every((piece) => isSamePiece(piece, last));
    if (!isAlike) {
      const [head, tail] = [this.all.slice(0, place), this.all.slice(place + count)];
      return Pieces.of(textOf(head) + text + textOf(tail), this.#cutting);
    }
    const middle = found.slice(before.length, found.length - after.length);
    const all = this.all.slice(0, place).concat(middle, this.all.slice(place + count));
    const edited = new Pieces(all, this.#cutting);
    edited.#base = this.#bytes === undefined ? this.#base : { all: this.all, bytes: this.#bytes };
    this.#share(edited, { place, count, middle });
    return edited;
  }

  /** Returns `text` in pieces, taking over those at its beginning and end that are ours. */
  rebase(text: string): Pieces {
    const { all } = this;
    let [start, first] = [0, 0];
    for (let piece = all[first]; piece !== undefined; piece = all[(first += 1)]) {
      if (!text.startsWith(piece.text, start)) break;
      start += piece.text.length;
    }
    let [end, last] = [text.length, all.length];
    for (let piece = all[last - 1]; last > first && piece !== undefined; piece = all[last - 1]) {
      if (end - piece.text.length < start || !text.endsWith(piece.text, end)) break;
      end -= piece.text.length;
      last -= 1;
    }
    const rebased = this.replace(first, last - first, text.slice(start, end));
    rebased.#text = text;
    return rebased;
  }

  /** Returns the file with a table more: after the last artifact, or at its end. */
  add(table: string): Pieces {
    const { all, lineBreak } = this;
    if (all.length === 0) return this.replace(0, 0, table);
    const last = all.findLastIndex(({ isArtifact }) => isArtifact);
    const place = last === -1 ? all.length - 1 : last;
    const text = insertTable(all[place]?.text ?? '', table, { lineBreak });
    return this.replace(place, 1, place + 1 < all.length ? text + lineBreak : text);
  }

  /**
   * Returns the file with these lines instead of a piece, or added when there is none. The blank lines
   * after the piece stay as they are.
   */
  put(place: number | undefined, lines: string): Pieces {
    const { lineBreak } = this;
    const table = `${lines.replace(/(?:[ \t]*\r?\n)+$/, '')}${lineBreak}`;
    if (place === undefined) return this.add(table);
    const text = this.all[place]?.text.replace(/\r?\n$/, '') ?? '';
    const [gap = ''] = /(?:\r?\n)*$/.exec(text) ?? [];
    return this.replace(place, 1, table + gap);
  }

  /** Returns the file without a piece, and without a blank line too many. */
  remove(place: number): Pieces {
    if (place === 0 || place + 1 < this.all.length) return this.replace(place, 1, '');
    const before = this.all[place - 1]?.text ?? '';
    return this.replace(place - 1, 2, before.replace(/(?:\r?\n)+$/, this.lineBreak));
  }

  #offsetOf(place: number): number {
    return this.all.slice(0, place).reduce((sum, { text }) => sum + text.length, 0);
  }

  #indexed(): Index {
    if (this.#index !== undefined && !this.#isShifted) return this.#index;
    const places = new Map<ArtifactKey, number>();
    const duplicates = new Set<ArtifactKey>();
    let namelessCount = 0;
    this.all.forEach(({ key, isArtifact }, at) => {
      if (key === undefined) namelessCount += isArtifact ? 1 : 0;
      else if (places.has(key)) duplicates.add(key);
      else places.set(key, at);
    });
    this.#index = { places, duplicates: [...duplicates], namelessCount };
    this.#isShifted = false;
    return this.#index;
  }

  /**
   * Shares the index with the next version, if no artifact has another place or key in it; or if some are
   * gone and those before them stand where they did, for who removes thousands from the last one on.
   */
  #share(
    next: Pieces,
    { place, count, middle }: { place: number; count: number; middle: readonly Piece[] },
  ): void {
    const index = this.#index;
    if (index === undefined) return;
    next.#isShifted = this.#isShifted;
    const old = this.all.slice(place, place + count);
    // Of one that stands there twice the index may lead to the second.
    if (middle.length < count && index.duplicates.length === 0) {
      if (!middle.every(({ key }, at) => old[at]?.key === key)) return;
      next.#index = index;
      next.#isShifted = true;
      return;
    }
    const isKept = old.every(
      ({ key, isArtifact }, at) => middle[at]?.key === key && middle[at]?.isArtifact === isArtifact,
    );
    if (!isKept) return;
    const added = middle.slice(count);
    if (added.length > 0) {
      const keys = added.flatMap(({ key }) => key ?? []);
      const areNew = keys.length === added.length && keys.every((key) => !index.places.has(key));
      const areLast = this.all.slice(place + count).every(({ isArtifact }) => !isArtifact);
      if (!areNew || !areLast || new Set(keys).size < keys.length) return;
      keys.forEach((key, at) => index.places.set(key, place + count + at));
    }
    next.#index = index;
  }
}

/** Keys of artifacts whose lines, blank ones at their end left out, are not the same in both. */
export function changedKeys(before: Pieces, after: Pieces): ReadonlySet<ArtifactKey> {
  const changed = new Set<ArtifactKey>();
  const compare = (one: Pieces, other: Pieces): void => {
    one.all.forEach((piece, at) => {
      if (piece.key === undefined || piece === other.all[at]) return;
      // Of several the first one counts, as wherever a value is asked for.
      if (one.placeOf(piece.key) !== at) return;
      const found = other.get(piece.key);
      if (found === piece || found?.text.trimEnd() === piece.text.trimEnd()) return;
      changed.add(piece.key);
    });
  };
  compare(after, before);
  compare(before, after);
  return changed;
}

const nobody: Owner = { key: undefined, at: undefined };

function cut(text: string, { isHead, belongsTo, ownerIn }: Cutting): readonly Piece[] {
  const pieces: Piece[] = [];
  let open: Section | undefined;
  let end = 0;
  const close = (): void => {
    if (open === undefined) return;
    const { path, start } = open;
    const isArtifact = isHead(path);
    const owner = isArtifact ? ownerIn(text, open, end) : nobody;
    pieces.push({ text: text.slice(start, end), path, isArtifact, ...owner });
  };
  for (const section of splitSections(text)) {
    // Before the first header there may be nothing.
    if (section.end === section.start) continue;
    const goesOn = open !== undefined && isHead(open.path) && belongsTo(open.path, section.path);
    if (!goesOn) {
      close();
      open = section;
    }
    end = section.end;
  }
  close();
  return pieces;
}

function tryCut(text: string, cutting: Cutting): readonly Piece[] | undefined {
  try {
    return cut(text, cutting);
  } catch (error) {
    if (error instanceof LayoutError) return undefined;
    throw error;
  }
}

function isSamePiece(one: Piece, other: Piece | undefined): boolean {
  return one.text === other?.text && one.key === other.key && one.isArtifact === other.isArtifact;
}

function textOf(pieces: readonly Piece[]): string {
  return pieces.map(({ text }) => text).join('');
}
