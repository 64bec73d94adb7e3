// An editor that knows nothing of the engine: edits files in every way that programs do, each time
// with bytes of its own, and says which bytes it wrote and which it found in their place.
import fs from 'node:fs';
import koffi from 'koffi';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { recordBytes, recordOf, recordsIn } from './records.mjs';

/**
 * - `rename`: a new file takes the name;
 * - `overwrite`: opens, writes over the first record, closes;
 * - `truncate`: opens, cuts off everything, writes, closes;
 * - `append`: writes at the end through a descriptor that stays open for several edits;
 * - `map`: writes over the first record through a mapping that stays for several edits.
 *
 * @typedef {'rename' | 'overwrite' | 'truncate' | 'append' | 'map'} EditWay
 */

/**
 * @typedef {object} EditInput
 * @property {string} root
 * @property {readonly string[]} names Files to edit in turn.
 * @property {readonly EditWay[]} ways
 * @property {number} count How many edits.
 * @property {number} burst How many edits each line on the standard input is good for; the line says
 * over how many milliseconds to spread them.
 */

/**
 * A file that is edited in one way for a while.
 *
 * @typedef {object} Editing
 * @property {number} turn
 * @property {(content: Buffer) => readonly string[] | undefined} write Returns what was in the
 * place of what it wrote; nothing when it could not write.
 * @property {() => void} close
 */

/** @type {EditInput} */
const { root, names, ways, count, burst } = JSON.parse(process.argv[2] ?? '');

/** How often a file is edited in one way before the next: so long stays what is kept open. */
const editsInOneWay = 6;
const scratch = path.join(path.dirname(root), 'editor.tmp');

const library = koffi.load(null);
const renameExchange = 2;
const currentDirectory = -100;
const renameat2 = library.func(
  'int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned int flags)',
);
/** PROT_READ | PROT_WRITE */
const readAndWrite = 3;
/** MAP_SHARED */
const shared = 1;
const mmap = library.func(
  'void *mmap(void *at, size_t size, int protection, int flags, int fd, int64_t offset)',
);
const munmap = library.func('int munmap(void *at, size_t size)');

/** @type {Readonly<Record<EditWay, (file: string, turn: number) => Editing | undefined>>} */
const begin = {
  rename: (file, turn) => ({ turn, write: (content) => editByRename(file, content), close }),
  overwrite: (file, turn) => ({ turn, write: (content) => overwrite(file, content), close }),
  truncate: (file, turn) => ({ turn, write: (content) => truncate(file, content), close }),
  append: beginAppend,
  map: beginMap,
};

function close() {
  // Nothing was kept open.
}

/**
 * As editors save. Done as an exchange, so that the editor knows for certain which bytes lost the
 * name to it.
 *
 * @param {string} file
 * @param {Buffer} content
 */
function editByRename(file, content) {
  fs.writeFileSync(scratch, content);
  const result = renameat2(currentDirectory, scratch, currentDirectory, file, renameExchange);
  if (result === 0) return recordsIn(fs.readFileSync(scratch));
  // Without the native part a name is missing for an instant: then this creates the file.
  try {
    fs.linkSync(scratch, file);
  } catch {
    return undefined;
  }
  fs.unlinkSync(scratch);
  return [];
}

/**
 * @param {string} file
 * @param {Buffer} content
 */
function overwrite(file, content) {
  const descriptor = openExisting(file);
  if (descriptor === undefined) return undefined;
  pauseABit();
  const found = Buffer.alloc(recordBytes);
  fs.readSync(descriptor, found, 0, recordBytes, 0);
  fs.writeSync(descriptor, content, 0, recordBytes, 0);
  fs.closeSync(descriptor);
  return recordsIn(found);
}

/**
 * @param {string} file
 * @param {Buffer} content
 */
function truncate(file, content) {
  const descriptor = openExisting(file);
  if (descriptor === undefined) return undefined;
  const found = fs.readFileSync(descriptor);
  fs.ftruncateSync(descriptor, 0);
  pauseABit();
  fs.writeSync(descriptor, content, 0, recordBytes, 0);
  fs.closeSync(descriptor);
  return recordsIn(found);
}

/**
 * @param {string} file
 * @param {number} turn
 * @returns {Editing | undefined}
 */
function beginAppend(file, turn) {
  const descriptor = openExisting(file, fs.constants.O_APPEND);
  if (descriptor === undefined) return undefined;
  return {
    turn,
    write: (content) => {
      fs.writeSync(descriptor, content);
      return [];
    },
    close: () => {
      fs.closeSync(descriptor);
    },
  };
}

/**
 * @param {string} file
 * @param {number} turn
 * @returns {Editing | undefined}
 */
function beginMap(file, turn) {
  const descriptor = openExisting(file);
  if (descriptor === undefined) return undefined;
  const at = mmap(null, recordBytes, readAndWrite, shared, descriptor, 0);
  fs.closeSync(descriptor);
  if (BigInt.asIntN(64, koffi.address(at)) === -1n) {
    throw new Error(`mmap: error ${String(koffi.errno())}`);
  }
  const memory = Buffer.from(koffi.view(at, recordBytes));
  return {
    turn,
    write: (content) => {
      const found = recordsIn(memory);
      content.copy(memory);
      return found;
    },
    close: () => {
      munmap(at, recordBytes);
    },
  };
}

/**
 * @param {string} file
 * @param {number} [flags]
 */
function openExisting(file, flags = 0) {
  try {
    return fs.openSync(file, fs.constants.O_RDWR | flags);
  } catch {
    return undefined;
  }
}

/** The same in each run: a bit of the burst's time before each edit and between its calls. */
let random = 1;
let burstMs = 0;
function pauseABit() {
  random = (random * 48_271) % 2_147_483_647;
  const share = (random % 1_000) / 1_000 / burst;
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, burstMs * share);
}

const commands = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** @type {Map<string, Editing>} */
const editings = new Map();

/**
 * @param {string} name
 * @param {number} edit
 */
function editingOf(name, edit) {
  const turn = Math.floor(edit / names.length / editsInOneWay);
  const current = editings.get(name);
  if (current?.turn === turn) return current;
  current?.close();
  editings.delete(name);
  // Each file is in another way at one time.
  const way = ways[(turn + names.indexOf(name)) % ways.length] ?? 'rename';
  const next = begin[way](path.join(root, name), turn);
  if (next !== undefined) editings.set(name, next);
  return next;
}

/** @type {string[]} */
const said = [];
fs.writeSync(1, 'READY\n');
for (let n = 1; n <= count; n += 1) {
  if (n % burst === 1) burstMs = Number((await commands.next()).value);
  pauseABit();
  const text = `edit ${String(n)} of the editor`;
  const found = editingOf(names[n % names.length] ?? '', n)?.write(recordOf(text));
  if (found !== undefined) said.push(`WROTE ${text}`, ...found.map((one) => `FOUND ${one}`));
}
for (const editing of editings.values()) editing.close();
fs.writeSync(1, `${said.join('\n')}\n`);
fs.writeSync(1, 'DONE\n');
process.stdin.destroy();
