// Opens a store and runs a transaction in it, while strace makes system calls fail; tells what was
// said of it and what is still open at the end.
import fs from 'node:fs';
import { openStore } from '../../../dist/engine/index.js';
import { transactions } from './transactions.mjs';

/**
 * @typedef {object} RunWithErrorsInput
 * @property {string} root
 * @property {string} source What the transaction copies in.
 * @property {'auto' | 'off'} native
 * @property {boolean} [create] Make the store.
 * @property {number} run Which transaction to run.
 */

/** @type {RunWithErrorsInput} */
const { root, source, native, create = false, run } = JSON.parse(process.argv[2] ?? '');

outnumberOtherThreads();
say('START');
say(`SAID ${await outcome()}`);
say(`LEFT ${JSON.stringify(openBelowRoot())}`);
// An orderly end waits for threads that a busy machine's C library may have forgotten to wake
// (glibc bug 25847).
process.kill(process.pid, 'SIGKILL');

/**
 * strace counts by thread, and the first that gets to the number is hit. What loads modules has made
 * dozens of these calls on another one: with more on this one, the number is reached here. What
 * reads and writes large contents is a third one; errors-at-every-call.test.ts makes those fail.
 */
function outnumberOtherThreads() {
  for (let i = 0; i < 100; i += 1) {
    const file = fs.openSync('/dev/null', 'w');
    fs.writeSync(file, 'x');
    fs.closeSync(file);
  }
}

/** @returns {Promise<string>} */
async function outcome() {
  try {
    const store = await openStore(root, { create, native, adopt: true, lockWaitMs: 60_000 });
    try {
      await store.transact({}, (tx) => transactions[run]?.(tx, source));
      say('ACK');
    } finally {
      await store.close();
    }
    return 'done';
  } catch (error) {
    return describeError(error);
  }
}

/** @param {unknown} error */
function describeError(error) {
  const { name, code, message, hint, stack } =
    /** @type {Error & { code?: string, hint?: string }} */ (error);
  const isOurs = name === 'EngineError' && hint !== undefined;
  return isOurs ? `${String(code)} ${message}` : `RAW ${String(stack).replaceAll('\n', ' ')}`;
}

function openBelowRoot() {
  return fs.readdirSync('/proc/self/fd').flatMap((descriptor) => {
    try {
      const path = fs.readlinkSync(`/proc/self/fd/${descriptor}`);
      return path.startsWith(root) ? [path] : [];
    } catch {
      // The one that lists this very directory.
      return [];
    }
  });
}

/** What fails once is tried again: this line is the test's and not the engine's. @param {string} line */
function say(line) {
  for (let tries = 0; tries < 3; tries += 1) {
    try {
      fs.writeSync(1, `${line}\n`);
      return;
    } catch {
      // Once more.
    }
  }
}
