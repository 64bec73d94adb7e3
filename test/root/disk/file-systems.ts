import { strict as assert } from 'node:assert';
import fs from 'node:fs';
import { run } from './recording-disk.js';

/** A file system to make on a disk, and how to mount it. */
export interface FileSystemVariant {
  readonly name: string;
  readonly type: 'ext4' | 'xfs' | 'btrfs';
  readonly mountOptions: readonly string[];
  readonly native: 'auto' | 'off';
}

interface FileSystemTools {
  readonly imageBytes: number;
  readonly make: readonly [string, ...string[]];
  /** Looks for damage and repairs nothing. */
  readonly check: readonly [string, ...string[]];
}

const mebibyte = 1_048_576;

/** Images as small as `make` accepts. */
export const toolsOf: Readonly<Record<FileSystemVariant['type'], FileSystemTools>> = {
  ext4: {
    imageBytes: 64 * mebibyte,
    make: ['mkfs.ext4', '-q', '-F', '-b', '4096'],
    check: ['e2fsck', '-f', '-n'],
  },
  xfs: {
    imageBytes: 300 * mebibyte,
    make: ['mkfs.xfs', '-q', '-f'],
    check: ['xfs_repair', '-n', '-f'],
  },
  btrfs: {
    imageBytes: 112 * mebibyte,
    make: ['mkfs.btrfs', '-q', '-f'],
    check: ['btrfs', 'check', '--readonly'],
  },
};

export function makeFileSystem(
  image: string,
  { type }: Pick<FileSystemVariant, 'type'>,
  bytes: number = toolsOf[type].imageBytes,
  options: readonly string[] = [],
): void {
  fs.writeFileSync(image, '');
  fs.truncateSync(image, bytes);
  const [program, ...rest] = toolsOf[type].make;
  run(program, [...rest, ...options, image]);
}

/** Writes to an open file until no byte is free, in smaller and smaller pieces. */
export function writeUntilFull(file: number): void {
  for (let bytes = 1_048_576; bytes >= 1_024; bytes /= 2) {
    const piece = Buffer.alloc(bytes, 1);
    try {
      for (;;) fs.writeSync(file, piece);
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
    }
  }
}
