import { createHash, hash, randomUUID } from 'node:crypto';
import createXxhash from 'xxhash-wasm';
import { assert } from './errors.js';

declare const contentHashBrand: unique symbol;

/** SHA-256 of a content, 64 lower-case hexadecimal digits. The identity of stored bytes. */
export type ContentHash = string & { readonly [contentHashBrand]: true };

/** Checks that `input` is a SHA-256 in lower-case hexadecimal, else returns `undefined`. */
export function parseContentHash(input: string): ContentHash | undefined {
  return /^[0-9a-f]{64}$/.test(input) ? (input as ContentHash) : undefined;
}

/** Returns the SHA-256 of `content`. */
export function hashContent(content: string | Uint8Array): ContentHash {
  // Half the time of a Hash object, where the content is as small as most.
  return hash('sha256', content, 'hex') as ContentHash;
}

/** Hashes a content that comes in pieces. */
export class ContentHasher {
  readonly #hash = createHash('sha256');

  update(piece: string | Uint8Array): void {
    this.#hash.update(piece);
  }

  digest(): ContentHash {
    return this.#hash.digest('hex') as ContentHash;
  }
}

let xxhash: Awaited<ReturnType<typeof createXxhash>> | undefined;

/**
 * To be awaited before anything touches a journal. Not a top-level `await`: the command is bundled as
 * CommonJS, which starts 15 ms earlier and has none (docs/decisions/0007).
 */
export const checksumReady: Promise<void> = loadChecksum();

async function loadChecksum(): Promise<void> {
  xxhash = await createXxhash();
}

/**
 * Returns the xxHash64 of a journal row's text as a signed 64-bit integer (SQLite's range).
 * Tells a torn or flipped row; says nothing against somebody who means it.
 */
export function checksumOf(text: string): bigint {
  assert(xxhash !== undefined, 'checksumReady was awaited');
  return BigInt.asIntN(64, xxhash.h64(text));
}

/** Returns a new random version 4 UUID. */
export function randomId(): string {
  return randomUUID();
}
