// Another program that lists and reads a stamped skill, again and again, and counts what it saw.
import fs from 'node:fs';
import path from 'node:path';
import { stampedNames, versionIn } from './stamped.mjs';

/**
 * @typedef {object} ReaderInput
 * @property {string} directory The skill.
 */

/**
 * - `whole`: every file, of one version;
 * - `mixed`: files of two versions, or not all of the files;
 * - `missing`: there was no directory of that name;
 * - `straddled`: by path names only: they stood for another directory afterwards.
 *
 * @typedef {'whole' | 'mixed' | 'missing' | 'straddled'} Look
 */

/** @typedef {{ readonly descriptor: Partial<Record<Look, number>>, readonly path: Partial<Record<Look, number>>, readonly versions: number }} ReaderReport */

/** @type {ReaderInput} */
const { directory } = JSON.parse(process.argv[2] ?? '');

/** Versions that were seen whole. @type {Set<number>} */
const versions = new Set();

/**
 * @param {string} at Where the files are; may be a directory's descriptor in /proc.
 * @returns {Look}
 */
function look(at) {
  const names = fs.readdirSync(at).toSorted();
  /** @type {Set<number>} */
  const found = new Set();
  for (const name of names) found.add(versionIn(fs.readFileSync(path.join(at, name), 'utf8')));
  const [version = -1] = found;
  const isWhole = found.size === 1 && version !== -1 && names.join() === stampedNames.join();
  if (isWhole) versions.add(version);
  return isWhole ? 'whole' : 'mixed';
}

/** Opens the directory once: whatever its name stands for later, this is one directory. */
function lookThroughDescriptor() {
  const opened = orMissing(() => fs.openSync(directory, fs.constants.O_DIRECTORY));
  if (opened === undefined) return 'missing';
  try {
    // What goes away in an open directory is half an artifact.
    return orMissing(() => look(`/proc/self/fd/${String(opened)}`)) ?? 'mixed';
  } finally {
    fs.closeSync(opened);
  }
}

/** Each name is looked up anew, so the directory has to be the same one before and after. */
function lookByPath() {
  const before = inode();
  if (before === undefined) return 'missing';
  const seen = orMissing(() => look(directory)) ?? 'mixed';
  return inode() === before ? seen : 'straddled';
}

function inode() {
  return orMissing(() => fs.statSync(directory, { bigint: true }).ino);
}

/**
 * @template T
 * @param {() => T} read
 * @returns {T | undefined}
 */
function orMissing(read) {
  try {
    return read();
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** @type {{ descriptor: Partial<Record<Look, number>>, path: Partial<Record<Look, number>> }} */
const counts = { descriptor: {}, path: {} };
const over = new AbortController();
process.stdin.once('data', () => {
  over.abort();
});
fs.writeSync(1, 'READY\n');
while (!over.signal.aborted) {
  for (let n = 0; n < 20; n += 1) {
    const one = lookThroughDescriptor();
    counts.descriptor[one] = (counts.descriptor[one] ?? 0) + 1;
    const other = lookByPath();
    counts.path[other] = (counts.path[other] ?? 0) + 1;
  }
  await new Promise((resolve) => setImmediate(resolve));
}
fs.writeSync(1, `REPORT ${JSON.stringify({ ...counts, versions: versions.size })}\n`);
process.stdin.destroy();
