// An editor that knows nothing of the engine: edits files by rename and in place, each time with
// bytes of its own, and says which bytes it wrote and which it found in their place.
import fs from 'node:fs';
import koffi from 'koffi';
import path from 'node:path';

/**
 * @typedef {object} EditInput
 * @property {string} root
 * @property {readonly string[]} names Files to edit in turn.
 * @property {number} count How many edits.
 * @property {number} pauseMs How long to leave the files alone after every eight edits.
 * @property {boolean} [isSlow] Keeps a file open for a while before it writes in place.
 */

/** @type {EditInput} */
const { root, names, count, pauseMs, isSlow = false } = JSON.parse(process.argv[2] ?? '');

const renameExchange = 2;
const currentDirectory = -100;
const renameat2 = koffi
  .load(null)
  .func(
    'int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned int flags)',
  );

/** What both kinds of edit read and write: records of one length, so that one call does it. */
const recordBytes = 64;
const scratch = path.join(path.dirname(root), 'editor.tmp');
/** @type {string[]} */
const said = [];

/** @param {number} milliseconds */
function pause(milliseconds) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

/**
 * As editors save: a new file takes the name. Done as an exchange, so that the editor knows for
 * certain which bytes lost the name to it.
 *
 * @param {string} file
 * @param {string} content
 */
function editByRename(file, content) {
  fs.writeFileSync(scratch, content);
  const isExchanged =
    renameat2(currentDirectory, scratch, currentDirectory, file, renameExchange) === 0;
  // Without the native part a name is missing for an instant: then this creates the file.
  if (!isExchanged) return createNew(file, content);
  said.push(`WROTE ${content.trim()}`, `FOUND ${fs.readFileSync(scratch, 'utf8').trim()}`);
}

/**
 * @param {string} file
 * @param {string} content
 */
function createNew(file, content) {
  try {
    fs.linkSync(scratch, file);
  } catch {
    return;
  }
  fs.unlinkSync(scratch);
  said.push(`WROTE ${content.trim()}`);
}

/**
 * @param {string} file
 * @param {string} content
 */
function editInPlace(file, content) {
  let opened;
  try {
    opened = fs.openSync(file, 'r+');
  } catch {
    return;
  }
  if (isSlow) pause(3);
  const found = Buffer.alloc(recordBytes);
  fs.readSync(opened, found, 0, recordBytes, 0);
  fs.writeSync(opened, content, 0);
  fs.closeSync(opened);
  said.push(`WROTE ${content.trim()}`, `FOUND ${found.toString().trim()}`);
}

fs.writeSync(1, 'READY\n');
for (let n = 1; n <= count; n += 1) {
  const file = path.join(root, names[n % names.length] ?? '');
  const content = `edit ${String(n)} of the editor`.padEnd(recordBytes - 1) + '\n';
  if (Math.floor(n / names.length) % 2 === 0) editByRename(file, content);
  else editInPlace(file, content);
  // Time for a transaction to get through now and then.
  if (n % 8 === 0) pause(pauseMs);
}
fs.writeSync(1, `${said.join('\n')}\n`);
fs.writeSync(1, 'DONE\n');
