import { assert } from './errors.js';
import { type ContentHash, hashContent } from './hash.js';
import { packContentBytesMax } from './limits.js';

/*
 * A pack: many contents in one file, `objects/pack-<SHA-256 of all its bytes>`. Numbers are unsigned,
 * little-endian.
 *
 *   `SKMPACK1` · length of the index (4 bytes) · SHA-256 of the index (32 bytes) · index · chunks
 *   index: number of chunks (4 bytes) · for each chunk its length in the file and how many contents
 *   it holds (4 bytes each) · for each content, chunk by chunk, its SHA-256 (32 bytes) and size (4 bytes)
 *   chunk: its contents one after the other, as one Brotli stream
 *
 * So a pack tells by itself what it holds, whatever becomes of the journal.
 */

const magic = Buffer.from('SKMPACK1', 'latin1');
const hashBytes = 32;
/** Hash and size of a content. */
const entryBytes = hashBytes + 4;
/** What comes before the index. */
export const packHeadBytes = 44;

export interface PackChunk {
  /** Where it begins in the file, and how long it is there. */
  readonly at: number;
  readonly length: number;
  /** Bytes of its contents. */
  readonly size: number;
}

export interface PackEntry {
  readonly sha256: ContentHash;
  readonly size: number;
  readonly chunk: PackChunk;
  /** Among the bytes of its chunk. */
  readonly offset: number;
}

/** A chunk as it is going to be written. */
export interface NewChunk {
  readonly compressed: Uint8Array;
  readonly contents: readonly { readonly sha256: ContentHash; readonly size: number }[];
}

/** Returns the bytes of a pack. */
export function formatPack(chunks: readonly NewChunk[]): Buffer {
  const contents = chunks.flatMap((chunk) => chunk.contents);
  const index = Buffer.alloc(4 + chunks.length * 8 + contents.length * entryBytes);
  let at = index.writeUInt32LE(chunks.length, 0);
  for (const { compressed, contents: held } of chunks) {
    at = index.writeUInt32LE(compressed.length, at);
    at = index.writeUInt32LE(held.length, at);
  }
  for (const { sha256, size } of contents) {
    at += index.write(sha256, at, 'hex');
    at = index.writeUInt32LE(size, at);
  }
  const head = Buffer.alloc(4);
  head.writeUInt32LE(index.length, 0);
  const checksum = Buffer.from(hashContent(index), 'hex');
  return Buffer.concat([magic, head, checksum, index, ...chunks.map((one) => one.compressed)]);
}

/** Returns the length of the index that follows `head`. @throws when it is none of a pack. */
export function indexLength(head: Uint8Array): number {
  const bytes = Buffer.from(head.buffer, head.byteOffset, head.byteLength);
  if (bytes.length < packHeadBytes || !bytes.subarray(0, magic.length).equals(magic)) {
    throw new Error('it does not begin as a pack does');
  }
  return bytes.readUInt32LE(magic.length);
}

/** What a pack says that it holds. Finds a content without making an object of each: there may be many. */
export class PackIndex {
  readonly chunks: readonly PackChunk[];
  /** Contents. */
  readonly count: number;
  /** What the whole file must have. */
  readonly fileBytes: number;
  readonly #index: Buffer;
  /** By content: its chunk, and where it begins among the bytes of that. */
  readonly #chunkOf: Uint32Array;
  readonly #offsets: Uint32Array;
  /** By some bits of a hash: the last content with these, and by content the one before; 0 is none. */
  readonly #last: Uint32Array;
  readonly #before: Uint32Array;

  /** @throws when `index` says what no pack can. */
  constructor(index: Buffer) {
    const chunkCount = index.readUInt32LE(0);
    const count = contentCount(index, chunkCount);
    this.#index = index;
    this.#chunkOf = new Uint32Array(count);
    this.#offsets = new Uint32Array(count);
    this.#last = new Uint32Array(2 ** Math.ceil(Math.log2(count + 1)));
    this.#before = new Uint32Array(count);
    const chunks: PackChunk[] = [];
    let chunkAt = packHeadBytes + index.length;
    let done = 0;
    for (let n = 0; n < chunkCount; n += 1) {
      const length = index.readUInt32LE(4 + n * 8);
      const end = done + index.readUInt32LE(4 + n * 8 + 4);
      const size = this.#addChunk(n, done, end);
      if (size > packContentBytesMax) throw new Error('it holds more than a pack can');
      chunks.push({ at: chunkAt, length, size });
      chunkAt += length;
      done = end;
    }
    this.chunks = chunks;
    this.count = count;
    this.fileBytes = chunkAt;
  }

  /** Every content, chunk by chunk. */
  get entries(): readonly PackEntry[] {
    return Array.from({ length: this.count }, (_, content) => this.#entry(content));
  }

  /**
   * Returns all places of a content.
   *
   * @param hash its SHA-256, 32 bytes.
   */
  find(hash: Buffer): readonly PackEntry[] {
    const found: PackEntry[] = [];
    let next = this.#last[this.#bucketOf(hash, 0)] ?? 0;
    while (next !== 0) {
      if (this.#hasHash(next - 1, hash)) found.push(this.#entry(next - 1));
      next = this.#before[next - 1] ?? 0;
    }
    return found.toReversed();
  }

  /** @returns the bytes of its contents. */
  #addChunk(chunk: number, from: number, end: number): number {
    let size = 0;
    for (let content = from; content < end; content += 1) {
      this.#chunkOf[content] = chunk;
      this.#offsets[content] = size;
      const at = this.#hashAt(content);
      size += this.#index.readUInt32LE(at + hashBytes);
      const bucket = this.#bucketOf(this.#index, at);
      this.#before[content] = this.#last[bucket] ?? 0;
      this.#last[bucket] = content + 1;
    }
    return size;
  }

  #entry(content: number): PackEntry {
    const at = this.#hashAt(content);
    const chunk = this.chunks[this.#chunkOf[content] ?? 0];
    assert(chunk !== undefined, 'each content has a chunk');
    return {
      // 32 bytes, as the length of the index demands.
      sha256: this.#index.toString('hex', at, at + hashBytes) as ContentHash,
      size: this.#index.readUInt32LE(at + hashBytes),
      chunk,
      offset: this.#offsets[content] ?? 0,
    };
  }

  #hasHash(content: number, hash: Buffer): boolean {
    const at = this.#hashAt(content);
    // Cheap first: nearly always another hash with some of the same bits.
    if (this.#index.readUInt32LE(at) !== hash.readUInt32LE(0)) return false;
    return this.#index.compare(hash, 0, hashBytes, at, at + hashBytes) === 0;
  }

  #hashAt(content: number): number {
    return this.#index.length - (this.#before.length - content) * entryBytes;
  }

  #bucketOf(bytes: Buffer, at: number): number {
    return bytes.readUInt32LE(at) & (this.#last.length - 1);
  }
}

/** Before anything is made of its numbers. @throws when they do not add up. */
function contentCount(index: Buffer, chunkCount: number): number {
  let count = 0;
  for (let n = 0; n < chunkCount; n += 1) {
    const held = index.readUInt32LE(4 + n * 8 + 4);
    if (held === 0) throw new Error('its index has an empty chunk');
    count += held;
  }
  if (4 + chunkCount * 8 + count * entryBytes === index.length) return count;
  throw new Error('its index has another length');
}

/** Reads the index of a pack. @throws when it is not whole. */
export function parseIndex(head: Uint8Array, index: Buffer): PackIndex {
  const expected = Buffer.from(head.slice(magic.length + 4, packHeadBytes)).toString('hex');
  // guard: pack-index [if false]
  if (hashContent(index) !== expected) throw new Error('its index does not match its checksum');
  return new PackIndex(index);
}
