import type { EntryKind, Stat } from './file-system.js';

/*
 * `struct statx` of Linux: linux/stat.h, the same on every 64-bit machine. Node's `lstat` makes the same
 * system call, but through a path, four dates and a structure of its own: twice the time.
 */

/** Numbers of the system call. */
export const statxNumber: number = process.arch === 'arm64' ? 291 : 332;
/** STATX_BASIC_STATS | STATX_BTIME */
export const statxMask = 0xfff;
/** AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH: an empty name is the open file itself. */
export const statxFlags: number = 0x100 | 0x1000;

const structureBytes = 256;
const permissionBits = 0o7777;
const kindBits = 0o170000;
const kinds: Readonly<Record<number, EntryKind>> = {
  0o100000: 'file',
  0o040000: 'directory',
  0o120000: 'symlink',
};

/** Where the kernel writes what it knows of one file. */
export class StatxStructure {
  readonly bytes: Buffer = Buffer.alloc(structureBytes);
  readonly #words = new Uint32Array(this.bytes.buffer, this.bytes.byteOffset, structureBytes / 4);
  readonly #longs = new BigInt64Array(this.bytes.buffer, this.bytes.byteOffset, structureBytes / 8);

  toStat(): Stat {
    const mode = this.#word(28) & 0xffff;
    return {
      kind: kinds[mode & kindBits] ?? 'special',
      device: deviceNumber(this.#word(136), this.#word(140)),
      inode: this.#long(32),
      size: Number(this.#long(40)),
      mode: mode & permissionBits,
      owner: this.#word(20),
      group: this.#word(24),
      links: this.#word(16),
      modifiedNs: this.#time(112),
      changedNs: this.#time(96),
      bornNs: this.#time(80),
    };
  }

  #word(offset: number): number {
    return this.#words[offset / 4] ?? 0;
  }

  #long(offset: number): bigint {
    return this.#longs[offset / 8] ?? 0n;
  }

  #time(offset: number): bigint {
    return this.#long(offset) * 1_000_000_000n + BigInt(this.#word(offset + 8));
  }
}

/** As the C library's `makedev`, and so as Node numbers devices. */
function deviceNumber(major: number, minor: number): bigint {
  const high = BigInt(major & 0xffff_f000) << 32n;
  const low = BigInt(((major & 0xfff) << 8) | (minor & 0xff));
  return high | (BigInt(minor & 0xffff_ff00) << 12n) | low;
}
