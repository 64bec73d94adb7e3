// A process of the demo that starts a transaction and is killed in the middle of it: nothing is
// simulated but the moment.
import { subscribe } from 'node:diagnostics_channel';
import { openStore } from '../dist/engine/index.js';
import { NodeFileSystem } from '../dist/engine/node-file-system.js';

/**
 * @typedef {object} Fate
 * @property {string} root
 * @property {string} message
 * @property {Record<string, string>} files What the transaction writes.
 * @property {'staged' | number} diesAt When everything is staged, right before the commit; or after
 * it, when so many files were replaced.
 */

/** @type {Fate} */
const { root, message, files, diesAt } = JSON.parse(process.argv[2] ?? '');
let replaced = 0;

function die() {
  process.kill(process.pid, 'SIGKILL');
}

class FatalFileSystem extends NodeFileSystem {
  /**
   * @override
   * @param {Parameters<NodeFileSystem['exchange']>} given
   */
  exchange(...given) {
    if (replaced === diesAt) die();
    replaced += 1;
    super.exchange(...given);
  }
}

subscribe('skillmeat:transaction', (event) => {
  if (/** @type {{ phase: string }} */ (event).phase === diesAt) die();
});
const fileSystem = new FatalFileSystem({ native: 'auto' });
const store = await openStore(root, { fileSystem });
await store.transact({ message }, async (tx) => {
  for (const [path, content] of Object.entries(files)) await tx.write(path, content);
});
