import fs from 'node:fs';
import path from 'node:path';
import { run, unmountLazily } from './disk/recording-disk.js';

/** Mounts of one test, newest last; {@link unmountAll} takes them away. */
const mounted: string[] = [];

/** Mounts `what` at a directory or file that is there. */
export function mountAt(at: string, what: string, options: readonly string[]): void {
  run('mount', [...options, what, at]);
  mounted.push(at);
}

export function remount(at: string, mode: 'ro' | 'rw' | 'abort'): void {
  run('mount', ['-o', `remount,${mode}`, at]);
}

export function unmountAll(): void {
  for (const at of mounted.splice(0).toReversed()) unmountLazily(at);
}

/** Makes a directory with an overlay of an upper layer over `lower`. */
export function mountOverlay(directory: string, lower: string): string {
  const [upper, work, merged] = ['upper', 'work', 'merged'].map((name) => {
    const at = path.join(directory, name);
    fs.mkdirSync(at);
    return at;
  });
  const options = `lowerdir=${lower},upperdir=${upper ?? ''},workdir=${work ?? ''}`;
  mountAt(merged ?? '', 'overlay', ['-t', 'overlay', '-o', options]);
  return merged ?? '';
}

/** Makes a file system of its own in a file below `directory`, mounted beside it. */
export function mountImage(directory: string, make: readonly string[], options: string): string {
  const image = makeImage(directory, make);
  const at = path.join(directory, 'mounted');
  fs.mkdirSync(at);
  mountAt(at, image, ['-o', options]);
  return at;
}

function makeImage(directory: string, [program = '', ...args]: readonly string[]): string {
  const image = path.join(directory, 'image');
  fs.writeFileSync(image, '');
  fs.truncateSync(image, 64 * 1_048_576);
  run(program, [...args, image]);
  return image;
}

interface Folding {
  readonly name: string;
  readonly at: string;
}

/** Mounts a file system that takes `Foo` and `foo` for one name; a reason when none can be had. */
export function mountFolding(directory: string): Folding | string {
  const whyNot: string[] = [];
  for (const [name, mount] of Object.entries(foldingMounts)) {
    const place = path.join(directory, name);
    fs.mkdirSync(place);
    try {
      return { name, at: mount(place) };
    } catch (error) {
      const text = String((error as { stderr?: unknown }).stderr ?? error);
      whyNot.push(`${name}: ${text.trim().split('\n')[0] ?? ''}`);
    }
  }
  return whyNot.join('; ');
}

const foldingMounts: Readonly<Record<string, (directory: string) => string>> = {
  ext4: (directory) => {
    const at = mountImage(directory, ['mkfs.ext4', '-q', '-F', '-O', 'casefold'], 'loop');
    const folding = path.join(at, 'folding');
    fs.mkdirSync(folding);
    run('chattr', ['+F', folding]);
    return folding;
  },
  vfat: (directory) => mountImage(directory, ['mkfs.vfat'], 'loop'),
  ntfs: (directory) => {
    const image = makeImage(directory, ['mkntfs', '-q', '-F']);
    const at = path.join(directory, 'mounted');
    fs.mkdirSync(at);
    run('lowntfs-3g', ['-o', 'ignore_case,permissions', image, at]);
    mounted.push(at);
    return at;
  },
};
