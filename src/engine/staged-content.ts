import { EngineError, fromSystemError, systemCode } from './errors.js';
import type { Directory, FileSystem, OpenFile, Place, Stat } from './file-system.js';
import { ContentHasher, type ContentHash, hashContent } from './hash.js';
import { chunkBytes, smallContentBytesMax } from './limits.js';
import { Pace } from './pace.js';
import { removeTreeIfPossible } from './remove-tree.js';
import { slotName } from './units.js';

/** Bytes that a caller hands over: whole, or in pieces. */
export type Content = string | Uint8Array | AsyncIterable<Uint8Array | string>;

/** Bytes that lie in the stage directory of the transaction that is being made. */
export interface StagedContent {
  /** Name in the stage directory. */
  readonly name: string;
  readonly sha256: ContentHash;
  /** Bytes. */
  readonly size: number;
  /** Permission bits that its file has got. */
  readonly mode: number;
}

/**
 * The contents of a transaction that is being made: `stage/<number>-<random>.<n>`.
 *
 * Holds each new content in a file of its own before anything of the root is touched, so that a
 * full disk or a source that cannot be read shows while nothing has happened (I1). One directory
 * serves all transactions: making one for each costs more than a small transaction.
 */
export class StagedContents {
  /** What the names of all its contents begin with. */
  readonly prefix: string;
  readonly #files: FileSystem;
  readonly #pace: Pace;
  readonly #directory: Directory;
  /** Names of contents that are still in files of their own. */
  readonly #names = new Set<string>();
  #count = 0;
  #bytes = 0;

  constructor(options: {
    readonly files: FileSystem;
    readonly pace: Pace;
    /** The store's `stage` directory. */
    readonly directory: Directory;
    readonly prefix: string;
  }) {
    this.#files = options.files;
    this.#pace = options.pace;
    this.#directory = options.directory;
    this.prefix = options.prefix;
  }

  /** Contents that were staged. */
  get count(): number {
    return this.#count;
  }

  /** Bytes that were staged. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Returns a name that is not in use. */
  newName(): string {
    this.#count += 1;
    return String(this.#count);
  }

  place(name: string): Place {
    return { directory: this.#directory, name: slotName(this.prefix, name) };
  }

  /**
   * Removes everything that was staged: the transaction is not going to happen.
   *
   * @returns whether nothing is left.
   */
  async removeAll(): Promise<boolean> {
    const looking = { files: this.#files, pace: new Pace() };
    let isGone = true;
    for (let n = 1; n <= this.#count; n += 1) {
      const isRemoved = await removeTreeIfPossible(looking, this.place(String(n)));
      isGone &&= isRemoved;
    }
    return isGone;
  }

  /** Removes a content that is not wanted any more. */
  discard(name: string): void {
    this.#names.delete(name);
    this.#files.removeFile(this.place(name));
  }

  /** Moves a content into a staged directory. */
  moveTo(name: string, place: Place): void {
    this.#names.delete(name);
    this.#files.moveOwn(this.place(name), place);
  }

  /** Removes every content of its own that is not in `used`: what it asked for is there already. */
  discardAllBut(used: ReadonlySet<string | undefined>): void {
    for (const name of this.#names) if (!used.has(name)) this.discard(name);
  }

  /** Writes `content` to a new file with mode `mode`. `path` is for messages. */
  async add(content: Content, mode: number, path: string): Promise<StagedContent> {
    const name = this.newName();
    try {
      const file = this.#files.createFile(this.place(name), mode);
      this.#names.add(name);
      let written: { sha256: ContentHash; size: number };
      try {
        written = await this.#fill(file, content, path);
      } finally {
        this.#files.closeWritten(file);
      }
      this.#bytes += written.size;
      return { name, mode, ...written };
    } catch (error) {
      if (systemCode(error) === undefined) throw error;
      throw fromSystemError(error, 'stage', path);
    }
  }

  /**
   * Copies the file at `source`, which must be `expected` still. `path` is for messages.
   *
   * @throws {EngineError} `SOURCE_CHANGED`, `SOURCE_UNREADABLE`.
   */
  async addFile(
    source: Place,
    {
      expected,
      mode,
      path,
    }: { readonly expected: Stat; readonly mode: number; readonly path: string },
  ): Promise<StagedContent> {
    const file = this.#openSource(source, path);
    try {
      // guard: source-witness
      if (this.#files.statFile(file).inode !== expected.inode) throw sourceChanged(path);
      if (expected.size <= smallContentBytesMax) {
        const bytes = await this.#readAll(file, expected.size);
        return await this.add(bytes, mode, path);
      }
      return await this.add(this.#pieces(file), mode, path);
    } finally {
      this.#files.closeFile(file);
    }
  }

  async #fill(
    file: OpenFile,
    content: Content,
    path: string,
  ): Promise<{ sha256: ContentHash; size: number }> {
    if (typeof content === 'string' || content instanceof Uint8Array) {
      const bytes = typeof content === 'string' ? Buffer.from(content) : content;
      if (bytes.length <= smallContentBytesMax) this.#files.writeSync(file, bytes);
      else await this.#files.write(file, bytes);
      return { sha256: hashContent(bytes), size: bytes.length };
    }
    const hasher = new ContentHasher();
    let size = 0;
    const pieces = content[Symbol.asyncIterator]();
    try {
      for (;;) {
        // A source may stop talking: whoever waits for it must be able to give up.
        const next = await this.#pace.orStopped(pieces.next());
        if (next.done === true) break;
        const bytes = toBytes(next.value, path);
        hasher.update(bytes);
        await this.#files.write(file, bytes);
        size += bytes.length;
      }
    } catch (error) {
      // Not awaited: a source that does not answer would not answer this either.
      pieces.return?.().catch(() => undefined);
      throw error;
    }
    return { sha256: hasher.digest(), size };
  }

  #openSource(source: Place, path: string): OpenFile {
    try {
      return this.#files.openForReading(source);
    } catch (error) {
      throw sourceUnreadable(error, path);
    }
  }

  async #readAll(file: OpenFile, expectedSize: number): Promise<Uint8Array> {
    const pieces: Uint8Array[] = [];
    for (;;) {
      const buffer = Buffer.allocUnsafe(expectedSize + 1);
      const count = this.#files.readSync(file, buffer);
      if (count === 0) break;
      pieces.push(buffer.subarray(0, count));
    }
    return pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces);
  }

  async *#pieces(file: OpenFile): AsyncGenerator<Uint8Array, void> {
    const buffer = Buffer.allocUnsafe(chunkBytes);
    for (;;) {
      const count = await this.#files.read(file, buffer);
      if (count === 0) return;
      yield buffer.subarray(0, count);
    }
  }
}

function toBytes(piece: unknown, path: string): Uint8Array {
  if (typeof piece === 'string') return Buffer.from(piece);
  if (piece instanceof Uint8Array) return piece;
  throw new TypeError(`the stream for ${path} gave a ${typeof piece}; expected bytes or text`);
}

export function sourceUnreadable(error: unknown, path: string): EngineError {
  const reason = error instanceof Error ? error.message : String(error);
  return new EngineError('SOURCE_UNREADABLE', `cannot read the source ${path}: ${reason}`, {
    path,
    cause: error,
    hint: 'Check that the source exists and that you may read it.',
  });
}

function sourceChanged(path: string): EngineError {
  return new EngineError('SOURCE_CHANGED', `the source ${path} was replaced while it was read`, {
    path,
    hint: 'Try again when nothing else writes there.',
  });
}
