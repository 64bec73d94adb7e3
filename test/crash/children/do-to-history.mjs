// Opens a store, does something to its history, and says when that is acknowledged. For strace.
import fs from 'node:fs';
import { openStore, rebuildStore } from '../../../dist/engine/index.js';
import { historyActs, rebuildingAct } from './history-acts.mjs';

/** @import { Store } from '../../../src/engine/index.js' */

/**
 * @typedef {object} DoInput
 * @property {string} root
 * @property {'auto' | 'off'} native
 * @property {string} act Name of one of `historyActs`, or {@link rebuildingAct}.
 */

/** @type {DoInput} */
const { root, native, act } = JSON.parse(process.argv[2] ?? '');
const { aheadMs = 0, run } = historyActs[act] ?? {};
const options = { native, now: () => Date.now() + aheadMs };

/** One synchronous call: what was said was said, whatever happens next. @param {string} line */
function say(line) {
  fs.writeSync(1, `${line}\n`);
}

/** As in run-and-die.mjs: strace counts by thread. */
for (let i = 0; i < 100; i += 1) {
  const file = fs.openSync('/dev/null', 'w');
  fs.writeSync(file, 'x');
  fs.closeSync(file);
}

if (act === rebuildingAct) {
  say('START');
  await rebuildStore(root, options);
  say('ACK');
} else {
  const store = await openStore(root, options);
  say('START');
  await run?.(/** @type {Store} */ (/** @type {unknown} */ (store)));
  say('ACK');
  await store.close();
}
