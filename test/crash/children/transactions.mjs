import fs from 'node:fs';
import path from 'node:path';

/** @import { Transaction } from '../../../src/engine/index.js' */

/**
 * What the crash tests start from: a root with a bit of everything, and a source to copy from.
 *
 * @param {string} root
 * @param {string} source
 */
export function writeBase(root, source) {
  const files = {
    'a.txt': 'first a',
    'b.txt': 'first b',
    'c.txt': 'first c',
    'left.txt': 'left',
    'right.txt': 'right',
    'docs/guide.md': 'first guide',
    'docs/kept.md': 'stays the same',
    'docs/deep/page.md': 'first page',
    'old/one.txt': 'one',
    'old/two/three.txt': 'three',
    'folder/inside.txt': 'inside',
    'tools/run.sh': '#!/bin/sh\n',
  };
  writeFiles(root, files);
  fs.symlinkSync('a.txt', path.join(root, 'latest'));
  fs.mkdirSync(path.join(root, 'empty'));
  writeFiles(source, {
    'guide.md': 'second guide',
    'kept.md': 'stays the same',
    'more/page.md': 'second page',
  });
}

/**
 * @param {string} root
 * @param {Readonly<Record<string, string>>} files
 */
function writeFiles(root, files) {
  for (const [name, content] of Object.entries(files)) {
    const place = path.join(root, name);
    fs.mkdirSync(path.dirname(place), { recursive: true });
    fs.writeFileSync(place, content);
  }
}

/**
 * Three transactions that follow each other and use every kind of change.
 *
 * @type {readonly ((tx: Transaction, source: string) => Promise<void>)[]}
 */
export const transactions = [
  async (tx) => {
    await tx.write('a.txt', 'second a');
    await tx.write('b.txt', 'second b', { mode: 0o600 });
    await tx.write('c.txt', Buffer.alloc(300_000, 'c'));
    await tx.mkdir('new/deep');
    await tx.write('new/skill.md', 'a new skill');
    await tx.write('new/deep/data.bin', Buffer.from([0, 1, 2]));
  },
  async (tx, source) => {
    await tx.remove('old');
    await tx.chmod('tools/run.sh', 0o755);
    await tx.symlink('latest', 'b.txt');
    await tx.rename('left.txt', 'swap.tmp');
    await tx.rename('right.txt', 'left.txt');
    await tx.rename('swap.tmp', 'right.txt');
    await tx.copyIn('docs', source);
  },
  async (tx) => {
    await tx.remove('a.txt');
    await tx.write('a.txt/was-a-file.txt', 'now a directory');
    await tx.remove('folder');
    await tx.write('folder', 'was a directory');
    await tx.rename('new', 'renamed');
    await tx.remove('empty');
    await tx.chmod('docs', 0o700);
    await tx.write('docs/more/next.md', 'beside it');
    await tx.write('b.txt', 'third b');
    await tx.remove('c.txt');
  },
];

/**
 * Four that all write two files and share a flush when they are run at once; they hardly end the group.
 *
 * @type {readonly ((tx: Transaction) => Promise<void>)[]}
 */
export const sharing = [0, 1, 2, 3].map((n) => async (tx) => {
  const manifest = String(await tx.read('a.txt'));
  await tx.write('a.txt', `${manifest}, ${String(n)}`);
  await tx.write('b.txt', `lock ${String(n)}`, { mode: n === 1 ? 0o600 : undefined });
  if (n === 0) await tx.write('new/skill.md', 'a new skill');
  if (n === 1) await tx.remove('old');
  if (n === 2) await tx.write('docs/guide.md', 'second guide');
  if (n === 3) await tx.remove('c.txt');
});
