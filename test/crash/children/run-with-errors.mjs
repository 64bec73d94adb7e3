// Opens a store and runs transactions in it, while strace makes system calls fail; tells what was
// said of it and what is still open at the end.
import fs from 'node:fs';
import { openStore } from '../../../dist/engine/index.js';
import { transactions } from './transactions.mjs';

/**
 * @typedef {object} RunWithErrorsInput
 * @property {string} root
 * @property {string} source What a transaction copies in.
 * @property {'auto' | 'off'} native
 * @property {boolean} [create] Make the store.
 * @property {readonly number[]} [run] Which transactions to run.
 */

/** @type {RunWithErrorsInput} */
const { root, source, native, create = false, run = [] } = JSON.parse(process.argv[2] ?? '');

// strace counts by thread, and what loads modules has made dozens of these calls on another one:
// with more on this one, the number is reached here.
for (let i = 0; i < 100; i += 1) {
  const file = fs.openSync('/dev/null', 'w');
  fs.writeSync(file, 'x');
  fs.closeSync(file);
}

/** @param {string} line */
function say(line) {
  // What fails once is tried again: this line is the test's and not the engine's.
  for (let tries = 0; tries < 3; tries += 1) {
    try {
      fs.writeSync(1, `${line}\n`);
      return;
    } catch {
      // Once more.
    }
  }
}

/** @param {unknown} error */
function describeError(error) {
  const { name, code, message, hint, stack } =
    /** @type {Error & { code?: string, hint?: string }} */ (error);
  const isOurs = name === 'EngineError' && hint !== undefined;
  return isOurs ? `${String(code)} ${message}` : `RAW ${String(stack).replaceAll('\n', ' ')}`;
}

say('START');
let said = 'done';
try {
  const store = await openStore(root, { create, native, lockWaitMs: 60_000 });
  try {
    for (const index of run) await store.transact({}, (tx) => transactions[index]?.(tx, source));
  } finally {
    await store.close();
  }
} catch (error) {
  said = describeError(error);
}
say(`SAID ${said}`);
const left = fs.readdirSync('/proc/self/fd').flatMap((descriptor) => {
  try {
    return [fs.readlinkSync(`/proc/self/fd/${descriptor}`)];
  } catch {
    // The one that lists this very directory.
    return [];
  }
});
say(`LEFT ${JSON.stringify(left.filter((path) => path.startsWith(root)))}`);
