import { spawnSync } from 'node:child_process';
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { atEnd } from './scratch.js';

/** Sparse. */
const imageBytes = 24 * 1_024 ** 3;

interface Maker {
  readonly program: string;
  readonly package: string;
  readonly options?: readonly string[];
  readonly mountOptions?: string;
}
const makers: Readonly<Record<string, Maker>> = {
  // Room for a million files; and the kernel shall not fill inode tables while something is measured.
  ext4: {
    program: 'mkfs.ext4',
    package: 'e2fsprogs',
    options: ['-q', '-N', '2500000'],
    mountOptions: 'loop,noinit_itable',
  },
  xfs: { program: 'mkfs.xfs', package: 'xfsprogs' },
  btrfs: { program: 'mkfs.btrfs', package: 'btrfs-progs' },
};

export const loopFileSystems: readonly string[] = Object.keys(makers);

/**
 * Makes a file system in a sparse file and mounts it until this process ends.
 *
 * @returns where it is mounted, or why it could not be.
 */
export function mountLoop(
  name: string,
  directory: string,
): { readonly mount: string } | { readonly problem: string } {
  const maker = makers[name];
  if (maker === undefined) throw new TypeError(`no such file system here: ${name}`);
  const image = join(directory, `${name}.image`);
  const mount = join(directory, name);
  writeFileSync(image, '');
  truncateSync(image, imageBytes);
  mkdirSync(mount);
  if (spawnSync(maker.program, ['--help']).error !== undefined) {
    return { problem: `${maker.program} is missing: apt-get install ${maker.package}` };
  }
  const { options = [], mountOptions = 'loop' } = maker;
  const problem =
    failureOf(maker.program, [...options, image]) ??
    failureOf('mount', ['-o', mountOptions, image, mount]);
  if (problem !== undefined) return { problem };
  atEnd(() => {
    const failure = failureOf('umount', [mount]);
    if (failure !== undefined) console.error(failure);
  });
  return { mount };
}

function failureOf(program: string, args: readonly string[]): string | undefined {
  const { status, error, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  return status === 0 ? undefined : `${program} failed: ${error?.message ?? stderr.trim()}`;
}
