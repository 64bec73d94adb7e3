import { EngineError, fromSystemError, systemCode } from './errors.js';
import type { Directory, FileSystem, OpenFile, Place, Stat } from './file-system.js';
import { ContentHasher, type ContentHash, hashContent } from './hash.js';
import { chunkBytes, smallContentBytesMax } from './limits.js';
import type { Pace } from './pace.js';

/** Bytes that a caller hands over: whole, or in pieces. */
export type Content = string | Uint8Array | AsyncIterable<Uint8Array | string>;

/** Bytes that lie in the stage directory of the transaction that is being made. */
export interface StagedContent {
  /** Name in the stage directory. */
  readonly name: string;
  readonly sha256: ContentHash;
  /** Bytes. */
  readonly size: number;
}

/**
 * The stage directory of a transaction that is being made: `stage/<number>-<random>/`.
 *
 * Holds each new content in a file of its own before anything of the root is touched, so that a
 * full disk or a source that cannot be read shows while nothing has happened (I1).
 */
export class StagedContents {
  readonly name: string;
  readonly #files: FileSystem;
  readonly #pace: Pace;
  readonly #stage: Directory;
  readonly #owner: { readonly owner: number; readonly group: number };
  /** Names of contents that are still in files of their own. */
  readonly #names = new Set<string>();
  #directory: Directory | undefined;
  #count = 0;

  constructor(options: {
    readonly files: FileSystem;
    readonly pace: Pace;
    /** The store's `stage` directory. */
    readonly stage: Directory;
    readonly name: string;
    /** Owner of the store: what root makes in it must stay that user's. */
    readonly owner: { readonly owner: number; readonly group: number };
  }) {
    this.#owner = options.owner;
    this.#files = options.files;
    this.#pace = options.pace;
    this.#stage = options.stage;
    this.name = options.name;
  }

  /** The directory itself, made when first needed. */
  open(): Directory {
    if (this.#directory !== undefined) return this.#directory;
    const place: Place = { directory: this.#stage, name: this.name };
    this.#files.makeDirectory(place, 0o700);
    const ours = this.#files.processOwner();
    if (ours !== undefined && ours.owner !== this.#owner.owner) {
      this.#files.setOwner(place, this.#owner.owner, this.#owner.group);
    }
    const opened = this.#files.openDirectory(place);
    if (typeof opened === 'string') {
      throw new EngineError('STORE_REPLACED', `stage/${this.name} is ${opened} after it was made`, {
        hint: 'Nothing was changed. Something else works inside .skillmeat; stop it.',
      });
    }
    this.#directory = opened;
    return opened;
  }

  get isMade(): boolean {
    return this.#directory !== undefined;
  }

  /** Returns a name that is not in use. */
  newName(): string {
    this.#count += 1;
    return String(this.#count);
  }

  place(name: string): Place {
    return { directory: this.open(), name };
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
      const place = this.place(name);
      this.#names.add(name);
      const file = this.#files.createFile(place);
      let written: { sha256: ContentHash; size: number };
      try {
        written = await this.#fill(file, content, path);
      } finally {
        this.#files.closeWritten(file);
      }
      this.#files.setMode(place, mode);
      return { name, ...written };
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
    { expected, mode, path }: { readonly expected: Stat; readonly mode: number; readonly path: string },
  ): Promise<StagedContent> {
    const file = this.#openSource(source, path);
    try {
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
    for await (const piece of content) {
      this.#pace.refuseAborted();
      const bytes = toBytes(piece, path);
      hasher.update(bytes);
      await this.#files.write(file, bytes);
      size += bytes.length;
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

  /** Lets go of the directory; what is in it stays. */
  close(): void {
    if (this.#directory !== undefined) this.#files.closeDirectory(this.#directory);
    this.#directory = undefined;
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
