import type { Transform } from 'node:stream';
import zlib from 'node:zlib';
import { isNumberFrom } from './json-value.js';

/** How the bytes of an object are stored; the ending of its name says which. */
export type Encoding = 'raw' | 'zstd' | 'brotli';

/** Higher is smaller and slower; `off` stores everything as it is. */
export type CompressionLevel = number | 'off';

export const compressionLevelDefault = 3;

/** What brotli has; zstd has these as well. */
const compressionLevelMax = 11;

/** @throws {TypeError} */
export function requireCompressionLevel(level: CompressionLevel | undefined): void {
  const isKnown =
    level === undefined ||
    level === 'off' ||
    (isNumberFrom(level, 0) && level <= compressionLevelMax);
  if (isKnown) return;
  throw new TypeError(
    `compression must be 'off' or a whole number from 0 to ${String(compressionLevelMax)}`,
  );
}

export const nameEndings: Readonly<Record<Encoding, string>> = {
  raw: '',
  zstd: '.zst',
  brotli: '.br',
};

/** What a small file occupies anyway. */
const blockBytes = 4_096;

/** The part of node:zlib that came with Node 22.15. */
interface Zstd {
  zstdCompressSync(bytes: Uint8Array, options: object): Buffer;
  zstdDecompressSync(bytes: Uint8Array, options: object): Buffer;
  createZstdCompress(options: object): Transform;
  createZstdDecompress(): Transform;
}
const zstdLevelParameter = 100;
const zstd = 'zstdCompressSync' in zlib ? (zlib as unknown as Zstd) : undefined;

/** Returns `bytes` compressed, or as they are when that saves no block of the disk. */
export function compress(
  bytes: Uint8Array,
  level: CompressionLevel,
): { readonly encoding: Encoding; readonly bytes: Uint8Array } {
  const raw = { encoding: 'raw', bytes } as const;
  if (level === 'off' || bytes.length <= blockBytes) return raw;
  const encoding = zstd === undefined ? 'brotli' : 'zstd';
  const smaller =
    zstd === undefined
      ? zlib.brotliCompressSync(bytes, brotliOptions(level))
      : zstd.zstdCompressSync(bytes, zstdOptions(level));
  return countBlocks(smaller) < countBlocks(bytes) ? { encoding, bytes: smaller } : raw;
}

/** A compressor for what does not fit into memory; `undefined` when `sample` says it is no use. */
export function openCompressor(
  sample: Uint8Array,
  level: CompressionLevel,
): { readonly encoding: Encoding; readonly stream: Transform } | undefined {
  if (level === 'off' || compress(sample, level).encoding === 'raw') return undefined;
  return zstd === undefined
    ? { encoding: 'brotli', stream: zlib.createBrotliCompress(brotliOptions(level)) }
    : { encoding: 'zstd', stream: zstd.createZstdCompress(zstdOptions(level)) };
}

/** Tells whether this Node can read what is stored so. */
export function canDecompress(encoding: Encoding): boolean {
  return encoding !== 'zstd' || zstd !== undefined;
}

/** @throws when the bytes are damaged, or would become more than `bytesMax`. */
export function decompress(bytes: Uint8Array, encoding: Encoding, bytesMax: number): Uint8Array {
  const options = { maxOutputLength: Math.max(bytesMax, 1) };
  switch (encoding) {
    case 'raw':
      return bytes;
    case 'brotli':
      return zlib.brotliDecompressSync(bytes, options);
    case 'zstd':
      if (zstd === undefined) throw new Error('this Node has no zstd');
      return zstd.zstdDecompressSync(bytes, options);
  }
}

export function openDecompressor(encoding: Exclude<Encoding, 'raw'>): Transform {
  if (encoding === 'brotli') return zlib.createBrotliDecompress();
  if (zstd === undefined) throw new Error('this Node has no zstd');
  return zstd.createZstdDecompress();
}

/** Quality and window of what is packed: measured, see docs/decisions/0015. */
const packingParameters = {
  [zlib.constants.BROTLI_PARAM_QUALITY]: 6,
  [zlib.constants.BROTLI_PARAM_LGWIN]: zlib.constants.BROTLI_MAX_WINDOW_BITS,
};

/** Compresses what is packed together, off this thread. Every Node can read it. */
export function compressChunk(bytes: Uint8Array): Promise<Uint8Array> {
  const params = { ...packingParameters, [zlib.constants.BROTLI_PARAM_SIZE_HINT]: bytes.length };
  return new Promise((resolve, reject) => {
    zlib.brotliCompress(bytes, { params }, (error, compressed) => {
      if (error === null) resolve(compressed);
      else reject(error);
    });
  });
}

/** Tells whether what begins so takes no more than half when it is compressed. */
export function isCompressible(sample: Uint8Array): boolean {
  return zlib.brotliCompressSync(sample, brotliOptions(1)).length * 2 <= sample.length;
}

/** @throws when the bytes are damaged, or would not become `size` bytes. */
export function decompressChunk(bytes: Uint8Array, size: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    zlib.brotliDecompress(bytes, { maxOutputLength: Math.max(size, 1) }, (error, whole) => {
      if (error !== null) reject(error);
      else if (whole.length !== size) reject(new Error('it has another size than it must'));
      else resolve(whole);
    });
  });
}

function countBlocks({ length }: Uint8Array): number {
  return Math.ceil(length / blockBytes);
}

function brotliOptions(level: number): zlib.BrotliOptions {
  return { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: level } };
}

function zstdOptions(level: number): object {
  return { params: { [zstdLevelParameter]: level } };
}
