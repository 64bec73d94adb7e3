import { decompressChunk } from './compression.js';
import { fromSystemError, systemCode } from './errors.js';
import type { Directory, FileSystem, OpenFile, Place } from './file-system.js';
import { type ContentHash, hashContent, parseContentHash } from './hash.js';
import { packChunksRemembered } from './limits.js';
import {
  indexLength,
  type PackChunk,
  type PackEntry,
  packHeadBytes,
  type PackIndex,
  parseIndex,
} from './pack-format.js';

/*
 * The packs of `objects/`, read. A pack is believed as far as its index matches its checksum, and
 * each content when it hashes to its name (I5). Nothing that is wrong with one keeps another from
 * being read.
 */

const packPrefix = 'pack-';

/** SHA-256 of all bytes of a pack: what it is called by. */
export type PackName = ContentHash;

export function packFileName(name: PackName): string {
  return packPrefix + name;
}

/** Returns which pack a name in `objects/` is, if it is one. */
export function parsePackFileName(fileName: string): PackName | undefined {
  if (!fileName.startsWith(packPrefix)) return undefined;
  return parseContentHash(fileName.slice(packPrefix.length));
}

/** A pack that is there. */
export interface Pack {
  readonly name: PackName;
  readonly place: Place;
  /** On disk. */
  readonly bytes: number;
  /** A sentence instead of the index: why it cannot be believed. */
  readonly index: PackIndex | string;
}

/** One content of a pack that can be believed. */
export interface PackedContent extends PackEntry {
  readonly pack: Pack;
}

/** Reads packs. What they hold is looked up when it is first asked for. */
export class Packs {
  readonly #files: FileSystem;
  readonly #open: () => Directory | undefined;
  #packs: readonly Pack[] | undefined;
  /** The last ones that were unpacked, newest last. */
  readonly #chunks = new Map<PackChunk, Uint8Array>();

  /** @param open opens `objects/`; `undefined`: there is none. */
  constructor(files: FileSystem, open: () => Directory | undefined) {
    this.#files = files;
    this.#open = open;
  }

  /** Looks anew when it is asked next: packs came or went. */
  forget(): void {
    this.#packs = undefined;
    this.#chunks.clear();
  }

  list(): readonly Pack[] {
    this.#packs ??= this.#look();
    return this.#packs;
  }

  /** Returns a content's first place in a pack. */
  find(sha256: ContentHash): PackedContent | undefined {
    const hash = Buffer.from(sha256, 'hex');
    for (const pack of this.list()) {
      const [entry] = typeof pack.index === 'string' ? [] : pack.index.find(hash);
      if (entry !== undefined) return { ...entry, pack };
    }
    return undefined;
  }

  /** Returns all places of a content in packs. */
  copies(sha256: ContentHash): readonly PackedContent[] {
    const hash = Buffer.from(sha256, 'hex');
    return this.list().flatMap((pack) => {
      const entries = typeof pack.index === 'string' ? [] : pack.index.find(hash);
      return entries.map((entry) => ({ ...entry, pack }));
    });
  }

  /** Every content, once. */
  *contents(): Generator<PackedContent, void> {
    const told = new Set<ContentHash>();
    for (const pack of this.list()) {
      for (const entry of typeof pack.index === 'string' ? [] : pack.index.entries) {
        if (told.has(entry.sha256)) continue;
        told.add(entry.sha256);
        yield { ...entry, pack };
      }
    }
  }

  /**
   * Returns the bytes of a content, checked (I5), from the first pack that has them.
   *
   * @throws what keeps all of them from being read; of the operating system, or that they are damaged.
   */
  async read(sha256: ContentHash): Promise<Uint8Array | undefined> {
    const copies = this.copies(sha256);
    for (const [at, copy] of copies.entries()) {
      try {
        return await this.readFrom(copy);
      } catch (error) {
        if (at + 1 === copies.length) throw error;
      }
    }
    return undefined;
  }

  /** As {@link read}, from one pack. */
  async readFrom({ sha256, size, offset, chunk, pack }: PackedContent): Promise<Uint8Array> {
    const whole = await this.#unpack(pack, chunk);
    const bytes = whole.subarray(offset, offset + size);
    // guard: packed-content [if true]
    if (hashContent(bytes) === sha256) return bytes;
    throw new Error(`its bytes in ${describePack(pack.name)} do not match its name`);
  }

  async #unpack(pack: Pack, chunk: PackChunk): Promise<Uint8Array> {
    const known = this.#chunks.get(chunk);
    if (known !== undefined) return known;
    const file = this.#files.openForReading(pack.place);
    let whole: Uint8Array;
    try {
      const stored = readExactly(this.#files, file, { at: chunk.at, length: chunk.length });
      whole = await decompressChunk(stored, chunk.size);
    } catch (error) {
      const code = systemCode(error);
      // Brotli has codes of its own.
      if (code !== undefined && /^E[A-Z0-9]+$/.test(code)) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      throw new Error(`${describePack(pack.name)} is damaged: ${reason}`, { cause: error });
    } finally {
      this.#files.closeFile(file);
    }
    for (const oldest of this.#chunks.keys()) {
      if (this.#chunks.size < packChunksRemembered) break;
      this.#chunks.delete(oldest);
    }
    this.#chunks.set(chunk, whole);
    return whole;
  }

  #look(): readonly Pack[] {
    const directory = this.#open();
    if (directory === undefined) return [];
    return this.#files
      .list(directory)
      .map(({ name }) => name)
      .toSorted()
      .flatMap((fileName) => this.#lookAt({ directory, name: fileName }) ?? []);
  }

  /** @returns `undefined` for what is no pack, or went meanwhile. */
  #lookAt(place: Place): Pack | undefined {
    const name = parsePackFileName(place.name);
    const stat = name === undefined ? undefined : this.#files.stat(place);
    if (name === undefined || stat === undefined) return undefined;
    const pack = { name, place, bytes: stat.size };
    try {
      if (stat.kind !== 'file') throw new Error('it is not a file');
      return { ...pack, index: readIndex(this.#files, place, stat.size) };
    } catch (error) {
      const code = systemCode(error);
      if (code === 'ENOENT') return undefined;
      // What concerns this process says nothing about the pack.
      if (code === 'EMFILE' || code === 'ENFILE' || code === 'EACCES' || code === 'EPERM') {
        throw fromSystemError(error, 'read', describePack(name));
      }
      return { ...pack, index: error instanceof Error ? error.message : String(error) };
    }
  }
}

/** For messages. */
export function describePack(name: PackName): string {
  return `the pack objects/${packFileName(name).slice(0, 17)}…`;
}

/** Reads what a pack says of itself. @throws when it is not whole, or not as long as it says. */
function readIndex(files: FileSystem, place: Place, size: number): PackIndex {
  const file = files.openForReading(place);
  try {
    const head = readExactly(files, file, { at: 0, length: packHeadBytes });
    const length = indexLength(head);
    if (length > size) throw new Error('its index is longer than itself');
    const index = parseIndex(head, readExactly(files, file, { at: packHeadBytes, length }));
    // guard: pack-length [if true]
    if (index.fileBytes === size) return index;
    throw new Error(`it has ${String(size)} bytes; expected ${String(index.fileBytes)}`);
  } finally {
    files.closeFile(file);
  }
}

function readExactly(
  files: FileSystem,
  file: OpenFile,
  { at, length }: { readonly at: number; readonly length: number },
): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let done = 0; done < length; ) {
    const count = files.readAt(file, bytes.subarray(done), at + done);
    if (count === 0) throw new Error('it ends early');
    done += count;
  }
  return bytes;
}
