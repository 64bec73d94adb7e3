import { createHash } from 'node:crypto';
import fs from 'node:fs';

const blockBytes = 4_096;
const zeroes = Buffer.alloc(blockBytes);

/**
 * The content of a disk, in memory: a map of the blocks that are not zero, over those of a parent.
 * Its digest is the sum of its blocks' hashes, so that it follows a write at once.
 */
export class DiskImage {
  readonly #bytes: number;
  readonly #blocks = new Map<number, Buffer>();
  readonly #parent: DiskImage | undefined;
  #digest: bigint;

  private constructor(bytes: number, parent?: DiskImage) {
    this.#bytes = bytes;
    this.#parent = parent;
    this.#digest = parent === undefined ? 0n : parent.#digest;
  }

  static read(file: string): DiskImage {
    const bytes = fs.readFileSync(file);
    const image = new DiskImage(bytes.length);
    for (let at = 0; at < bytes.length; at += blockBytes) {
      const block = bytes.subarray(at, at + blockBytes);
      // A copy, or one block would keep the whole file in memory.
      if (!isZero(block)) image.write(at, Buffer.from(block));
    }
    return image;
  }

  /** An image that begins as this one; this one must not change any more while it is used. */
  fork(): DiskImage {
    return new DiskImage(this.#bytes, this);
  }

  /** Equal for equal contents, and for no others. */
  get digest(): string {
    return this.#digest.toString(16);
  }

  write(offset: number, data: Buffer): void {
    for (let done = 0; done < data.length; ) {
      const number = Math.floor((offset + done) / blockBytes);
      const start = (offset + done) % blockBytes;
      const piece = data.subarray(done, done + blockBytes - start);
      this.#replace(number, start, piece);
      done += piece.length;
    }
  }

  /** Writes the image to a new sparse file. */
  save(file: string): void {
    // The old one may still be mounted somewhere.
    fs.rmSync(file, { force: true });
    const opened = fs.openSync(file, 'wx', 0o600);
    try {
      fs.ftruncateSync(opened, this.#bytes);
      for (const [number, block] of this.#all()) {
        if (!isZero(block)) fs.writeSync(opened, block, 0, block.length, number * blockBytes);
      }
    } finally {
      fs.closeSync(opened);
    }
  }

  #replace(number: number, start: number, piece: Buffer): void {
    const old = this.#block(number);
    let block = piece;
    if (piece.length < blockBytes) {
      block = Buffer.from(old ?? zeroes);
      piece.copy(block, start);
    }
    this.#digest ^= hashOf(number, old) ^ hashOf(number, block);
    this.#blocks.set(number, block);
  }

  #block(number: number): Buffer | undefined {
    const own = this.#blocks.get(number);
    if (own !== undefined || this.#parent === undefined) return own;
    return this.#parent.#block(number);
  }

  #all(): ReadonlyMap<number, Buffer> {
    if (this.#parent === undefined) return this.#blocks;
    return new Map([...this.#parent.#all(), ...this.#blocks]);
  }
}

function isZero(block: Buffer): boolean {
  return block.equals(block.length === blockBytes ? zeroes : Buffer.alloc(block.length));
}

const hashes = new WeakMap<Buffer, bigint>();

/** 0 for a block of zeroes, so that a hole and a block of zeroes are the same. */
function hashOf(number: number, block: Buffer | undefined): bigint {
  if (block === undefined) return 0n;
  let hash = hashes.get(block);
  if (hash === undefined) {
    hash = isZero(block) ? 0n : hashWith(number, block);
    hashes.set(block, hash);
  }
  return hash;
}

function hashWith(number: number, block: Buffer): bigint {
  const digest = createHash('sha1')
    .update(`${String(number)} `)
    .update(block)
    .digest();
  return digest.readBigUInt64LE(0) | (digest.readBigUInt64LE(8) << 64n);
}
