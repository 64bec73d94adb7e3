import path from 'node:path';
import type { Transaction } from '../../../src/engine/index.js';
import { transactions, writeBase } from '../../crash/children/transactions.mjs';

/** One transaction of the workload. */
export interface Step {
  /** What is sampled as one: states of steps of one name count as states of one step. */
  readonly name: string;
  readonly run: (tx: Transaction, source: string) => Promise<void>;
}

const kilobyte = 1_024;

/** Different bytes for each seed, no page like another, so that a lost or moved one shows. */
function content(seed: string, bytes: number): Buffer {
  const lines = Math.ceil(bytes / 32);
  const text = Array.from({ length: lines }, (_, line) =>
    `${seed} ${String(line)}`.padEnd(32, '.'),
  );
  return Buffer.from(text.join('').slice(0, bytes));
}

const kinds: readonly Step[] = [
  { name: 'create', run: (tx) => tx.write('one/new.md', 'new') },
  { name: 'replace', run: (tx) => tx.write('b.txt', content('b', 9_000)) },
  { name: 'create big', run: (tx) => tx.write('big.bin', content('big', 700 * kilobyte)) },
  { name: 'remove', run: (tx) => tx.remove('folder') },
  { name: 'rename', run: (tx) => tx.rename('big.bin', 'one/big.bin') },
  { name: 'replace tree', run: (tx, source) => tx.copyIn('docs', source) },
  {
    name: 'file to directory',
    run: async (tx) => {
      await tx.remove('b.txt');
      await tx.write('b.txt/inside/deep.txt', content('deep', 5_000));
    },
  },
  {
    name: 'directory to file',
    run: async (tx) => {
      await tx.remove('renamed');
      await tx.write('renamed', 'a file now');
    },
  },
  { name: 'chmod file', run: (tx) => tx.chmod('tools/run.sh', 0o700) },
  { name: 'chmod directory', run: (tx) => tx.chmod('one', 0o700) },
  { name: 'replace link', run: (tx) => tx.symlink('latest', 'left.txt') },
  { name: 'create link', run: (tx) => tx.symlink('one/link', '../left.txt') },
  {
    name: 'link to file',
    run: async (tx) => {
      await tx.remove('latest');
      await tx.write('latest', 'a file now');
    },
  },
  {
    name: 'file to link',
    run: async (tx) => {
      await tx.remove('renamed');
      await tx.symlink('renamed', 'latest');
    },
  },
  { name: 'create many', run: (tx) => writeMany(tx, 'many', 40, 1_500) },
  { name: 'replace many', run: (tx) => writeMany(tx, 'many', 20, 6_000) },
  { name: 'rename tree', run: (tx) => tx.rename('many', 'lots') },
  {
    name: 'swap',
    run: async (tx) => {
      await tx.rename('left.txt', 'swap.tmp');
      await tx.rename('right.txt', 'left.txt');
      await tx.rename('swap.tmp', 'right.txt');
    },
  },
  {
    name: 'replace many ways',
    run: async (tx) => {
      await tx.write('left.txt', content('left', 70_000));
      await tx.remove('lots/7.txt');
      await tx.write('lots/8.txt', '');
      await tx.chmod('lots/9.txt', 0o600);
      await tx.rename('lots/10.txt', 'lots/moved.txt');
      await tx.symlink('lots/10.txt', 'moved.txt');
    },
  },
  { name: 'remove tree', run: (tx) => tx.remove('lots') },
  { name: 'create empty directory', run: (tx) => tx.mkdir('hollow/inner') },
  { name: 'create empty file', run: (tx) => tx.write('hollow/inner/nothing', '') },
  { name: 'big to small', run: (tx) => tx.write('one/big.bin', 'small') },
  { name: 'small to big', run: (tx) => tx.write('one/new.md', content('new', 300 * kilobyte)) },
  { name: 'create again', run: (tx) => tx.write('folder/inside.txt', 'back again') },
];

async function writeMany(
  tx: Transaction,
  directory: string,
  count: number,
  bytes: number,
): Promise<void> {
  for (let n = 0; n < count; n += 1) {
    await tx.write(`${directory}/${String(n)}.txt`, content(`${directory} ${String(n)}`, bytes));
  }
}

/** Enough of them that the engine makes a checkpoint, over and over on the same paths. */
function small(count: number): readonly Step[] {
  return Array.from({ length: count }, (_, n) => ({
    name: 'small',
    run: async (tx) => {
      await tx.write('counter', String(n));
      if (n % 2 === 0) await tx.write('blink', content(`blink ${String(n)}`, 4_500));
      else await tx.remove('blink');
    },
  }));
}

const afterCheckpoint: readonly Step[] = [
  { name: 'after the checkpoint', run: (tx) => tx.write('counter', 'checkpointed') },
  { name: 'after the checkpoint', run: (tx) => tx.remove('hollow') },
  { name: 'after the checkpoint', run: (tx, source) => tx.copyIn('hollow', source) },
];

const mixed: readonly Step[] = [
  ...transactions.map((run, n) => ({ name: `mixed ${String(n + 1)}`, run })),
  ...kinds,
];

/** Transactions of every kind, one after the other; the engine makes a checkpoint on the way. */
export const workload: readonly Step[] = [...mixed, ...small(105), ...afterCheckpoint];

export { writeBase };

/** Where things are on a mounted disk. */
export function placesIn(mountPoint: string): { readonly root: string; readonly source: string } {
  return { root: path.join(mountPoint, 'root'), source: path.join(mountPoint, 'source') };
}
