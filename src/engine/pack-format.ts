import { type ContentHash, hashContent, parseContentHash } from './hash.js';
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

export interface PackIndex {
  readonly chunks: readonly PackChunk[];
  readonly entries: readonly PackEntry[];
  /** What the whole file must have. */
  readonly fileBytes: number;
}

/** A chunk as it is going to be written. */
export interface NewChunk {
  readonly compressed: Uint8Array;
  readonly contents: readonly { readonly sha256: ContentHash; readonly size: number }[];
}

/** Returns the bytes of a pack. */
export function formatPack(chunks: readonly NewChunk[]): Buffer {
  const contents = chunks.flatMap((chunk) => chunk.contents);
  const index = Buffer.alloc(4 + chunks.length * 8 + contents.length * (hashBytes + 4));
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

/** Reads the index of a pack. @throws when it is not whole. */
export function parseIndex(head: Uint8Array, index: Buffer): PackIndex {
  const expected = Buffer.from(head.slice(magic.length + 4, packHeadBytes)).toString('hex');
  // guard: pack-index [if false]
  if (hashContent(index) !== expected) throw new Error('its index does not match its checksum');
  const chunkCount = index.readUInt32LE(0);
  const chunks: PackChunk[] = [];
  const entries: PackEntry[] = [];
  let entryAt = 4 + chunkCount * 8;
  let chunkAt = packHeadBytes + index.length;
  for (let n = 0; n < chunkCount; n += 1) {
    const length = index.readUInt32LE(4 + n * 8);
    const count = index.readUInt32LE(4 + n * 8 + 4);
    const held: { sha256: ContentHash; size: number; offset: number }[] = [];
    let size = 0;
    for (let one = 0; one < count; one += 1) {
      const sha256 = parseContentHash(index.toString('hex', entryAt, entryAt + hashBytes));
      if (sha256 === undefined) throw new Error('its index ends early');
      const content = index.readUInt32LE(entryAt + hashBytes);
      held.push({ sha256, size: content, offset: size });
      size += content;
      entryAt += hashBytes + 4;
    }
    if (size > packContentBytesMax) throw new Error('it holds more than a pack can');
    const chunk = { at: chunkAt, length, size };
    chunks.push(chunk);
    entries.push(...held.map((content) => ({ ...content, chunk })));
    chunkAt += length;
  }
  if (entryAt !== index.length) throw new Error('its index has another length');
  return { chunks, entries, fileBytes: chunkAt };
}
