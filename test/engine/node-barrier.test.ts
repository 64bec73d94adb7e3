import fs, {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join, relative } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Directory, Stat } from '../../src/engine/file-system.js';
import { NodeFileSystem } from '../../src/engine/node-file-system.js';

/*
 * What the barrier of the real file system syncs. The simulated one has a barrier of its own, so that no
 * crash state shows what is forgotten here.
 */

let root = '';
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'skillmeat-barrier-'));
  for (const path of ['a', 'a/d', 'a/empty', 'b', 'b/e']) mkdirSync(join(root, path));
  for (const path of ['a/f', 'b/g']) writeFileSync(join(root, path), path);
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(root, { recursive: true });
});

/** Paths by inode, as things are now. */
function pathsByInode(): ReadonlyMap<bigint, string> {
  const entries = readdirSync(root, { recursive: true, withFileTypes: true });
  const paths = entries.map((entry) => join(entry.parentPath, entry.name));
  return new Map(
    paths.map((path) => [fs.lstatSync(path, { bigint: true }).ino, relative(root, path)]),
  );
}

interface Places {
  readonly files: NodeFileSystem;
  readonly a: Directory;
  readonly b: Directory;
}

/** Opens the root and its two directories. */
function open(native: 'auto' | 'off'): Places & Disposable & { readonly top: Directory } {
  const files = new NodeFileSystem({ native });
  const top = files.openRoot(root);
  const inside = (name: string): Directory => {
    const opened = files.openDirectory({ directory: top, name });
    if (typeof opened === 'string') throw new Error(opened);
    return opened;
  };
  const [a, b] = [inside('a'), inside('b')];
  return {
    files,
    top,
    a,
    b,
    [Symbol.dispose]: () => {
      files.close();
      for (const directory of [a, b, top]) files.closeDirectory(directory);
    },
  };
}

/** Paths that the barrier syncs after `change`, in order. */
async function syncedAfter(change: (places: Places) => void): Promise<readonly string[]> {
  using opened = open('off');
  change(opened);
  const synced: bigint[] = [];
  const real = fs.fsyncSync;
  vi.spyOn(fs, 'fsyncSync').mockImplementation((descriptor) => {
    synced.push(fs.fstatSync(descriptor, { bigint: true }).ino);
    real(descriptor);
  });
  await opened.files.barrier(opened.top, 0);
  const paths = pathsByInode();
  return synced.map((inode) => paths.get(inode) ?? 'something that is gone');
}

function statOf({ files, a }: Places, name: string): Stat {
  const stat = files.stat({ directory: a, name });
  if (stat === undefined) throw new Error(`${name} is there`);
  return stat;
}

/** A file system whose files share blocks, as far as the engine can see. */
function pretendToClone(): void {
  const real = fs.copyFileSync;
  vi.spyOn(fs, 'copyFileSync').mockImplementation((from, to) => {
    real(from, to, fs.constants.COPYFILE_EXCL);
  });
}

describe('without the native part the barrier syncs', () => {
  test.each<[string, readonly string[], (places: Places) => void]>([
    [
      'where a directory was made',
      ['a'],
      ({ files, a }) => files.makeDirectory({ directory: a, name: 'new' }, 0o700),
    ],
    [
      'where a directory was removed',
      ['a'],
      ({ files, a }) => files.removeDirectory({ directory: a, name: 'empty' }),
    ],
    [
      'where a file was created',
      ['a'],
      ({ files, a }) => files.closeFile(files.createFile({ directory: a, name: 'new' }, 0o600)),
    ],
    [
      'a file that was written, and then its name',
      ['a/new', 'a'],
      ({ files, a }) => {
        const file = files.createFile({ directory: a, name: 'new' }, 0o600);
        files.writeSync(file, Buffer.from('new'));
        files.closeWritten(file);
      },
    ],
    [
      'a file that shares the blocks of another, and then its name',
      ['b/new', 'b'],
      ({ files, a, b }) => {
        pretendToClone();
        const file = files.openForReading({ directory: a, name: 'f' });
        expect(files.cloneFile(file, { directory: b, name: 'new' })).toBe(true);
        files.closeFile(file);
      },
    ],
    [
      'where a link was made',
      ['a'],
      ({ files, a }) => files.makeLink({ directory: a, name: 'new' }, 'f'),
    ],
    [
      'where a file was removed',
      ['a'],
      ({ files, a }) => files.removeFile({ directory: a, name: 'f' }),
    ],
    [
      'a file whose mode was set',
      ['a/f'],
      ({ files, a }) => files.setMode({ directory: a, name: 'f' }, 0o640),
    ],
    [
      'a directory whose mode was set through a descriptor',
      ['a/d'],
      (places) => {
        const place = { directory: places.a, name: 'd' };
        expect(places.files.setModeOf(place, statOf(places, 'd'), 0o750)).toBe(true);
      },
    ],
    [
      'a file whose owner was set',
      ['a/f'],
      (places) => {
        const { owner, group } = statOf(places, 'f');
        places.files.setOwner({ directory: places.a, name: 'f' }, owner, group);
      },
    ],
    [
      'both places of an exchange',
      ['a', 'b'],
      ({ files, a, b }) => files.exchange({ directory: a, name: 'd' }, { directory: b, name: 'e' }),
    ],
    [
      'a file that was exchanged as well: its names may be cut apart',
      ['b/g', 'a', 'b'],
      ({ files, a, b }) => files.exchange({ directory: a, name: 'f' }, { directory: b, name: 'g' }),
    ],
    [
      'the new place of a move, then the old one',
      ['b', 'a'],
      ({ files, a, b }) => files.moveNew({ directory: a, name: 'd' }, { directory: b, name: 'd' }),
    ],
    [
      'a file that was moved as well: its names may be cut apart',
      ['b/f', 'b', 'a'],
      ({ files, a, b }) => files.moveNew({ directory: a, name: 'f' }, { directory: b, name: 'f' }),
    ],
    [
      'both places of a move of our own',
      ['a', 'b'],
      ({ files, a, b }) => files.moveOwn({ directory: a, name: 'd' }, { directory: b, name: 'd' }),
    ],
    [
      'what somebody else changed and must reach the disk, and then its name',
      ['a/f', 'a'],
      ({ files, a }) => files.mustReachDisk({ directory: a, name: 'f' }),
    ],
    [
      'where something went that must not come back',
      ['a'],
      ({ files, a }) => files.mustReachDisk({ directory: a, name: 'nothing' }),
    ],
  ])('%s', async (_what, expected, change) => {
    expect(await syncedAfter(change)).toEqual(expected);
  });
});

describe('a sync that fails', () => {
  test('without the native part fails the barrier that covers it, also when it came before', async () => {
    using opened = open('off');
    const { files, top, a } = opened;
    const real = fs.fsyncSync;
    let isFailing = true;
    vi.spyOn(fs, 'fsyncSync').mockImplementation((descriptor) => {
      if (!isFailing) {
        real(descriptor);
        return;
      }
      isFailing = false;
      throw Object.assign(new Error('EIO: simulated'), { code: 'EIO' });
    });
    // So many that some are synced before the barrier.
    for (let n = 0; n < 300; n += 1) {
      files.closeWritten(files.createFile({ directory: a, name: String(n) }, 0o600));
    }
    expect(isFailing).toBe(false);
    await expect(files.barrier(top, 0)).rejects.toMatchObject({ code: 'EIO' });
    await files.barrier(top, 0);
  });

  // Nothing tells from outside whether syncfs was called but what it says of a bad descriptor.
  test.each([
    ['few', 0],
    ['many', Number.POSITIVE_INFINITY],
  ])('with the native part fails the barrier of %s bytes', async (_count, bytes) => {
    using opened = open('auto');
    const { files, top } = opened;
    expect(files.capabilities.barrier).toBe('syncfs');
    await files.barrier(top, bytes);
    const closed = Object.create(top, { descriptor: { value: 999_999 } }) as Directory;
    await expect(files.barrier(closed, bytes)).rejects.toThrow('syncfs');
  });

  test('of the whole file system, as btrfs needs it without the native part, fails the barrier', async () => {
    const btrfs = Object.assign(fs.statfsSync(root), { type: 0x9123_683e });
    vi.spyOn(fs, 'statfsSync').mockReturnValue(btrfs);
    const sync = join(root, 'b', 'sync');
    writeFileSync(sync, '#!/bin/sh\necho cannot >&2\nexit 1\n');
    chmodSync(sync, 0o755);
    vi.stubEnv('PATH', `${join(root, 'b')}${delimiter}${process.env['PATH'] ?? ''}`);
    using opened = open('off');
    opened.files.makeDirectory({ directory: opened.a, name: 'new' }, 0o700);
    await expect(opened.files.barrier(opened.top, 0)).rejects.toThrow('sync -f: cannot');
    vi.unstubAllEnvs();
  });
});

test('a file that is written anew holds what it held, every byte of it written and then synced', () => {
  const content = Buffer.alloc(3_000_000, 'what the disk failed to write ');
  writeFileSync(join(root, 'a/f'), content);
  const written: number[] = [];
  const calls: string[] = [];
  const { writeSync, fsyncSync } = fs;
  vi.spyOn(fs, 'writeSync').mockImplementation((...given: unknown[]) => {
    calls.push('write');
    // A disk may take less than it was given.
    const [descriptor, piece, offset, length, position] = given as [
      number,
      Buffer,
      number,
      number,
      number,
    ];
    const size = writeSync(descriptor, piece, offset, Math.min(length, 700_000), position);
    written.push(size);
    return size;
  });
  vi.spyOn(fs, 'fsyncSync').mockImplementation((descriptor) => {
    calls.push('sync');
    fsyncSync(descriptor);
  });
  using opened = open('off');
  opened.files.writeAnew({ directory: opened.a, name: 'f' });
  expect(readFileSync(join(root, 'a/f')).equals(content)).toBe(true);
  expect(written.reduce((sum, size) => sum + size, 0)).toBe(content.length);
  expect(calls.slice(-2)).toEqual(['write', 'sync']);
  calls.length = 0;
  opened.files.writeAnew({ directory: opened.a, name: 'gone' });
  expect(calls).toEqual([]);
});
