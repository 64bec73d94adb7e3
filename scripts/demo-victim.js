// A process of the demo that starts a transaction and is killed in the middle of it: nothing is
// simulated but the moment.
import { openStore } from '../dist/engine/index.js';
import { NodeFileSystem } from '../dist/engine/node-file-system.js';

/**
 * @typedef {object} Fate
 * @property {string} root
 * @property {string} message
 * @property {Record<string, string>} files What the transaction writes.
 * @property {'barrier' | 'exchange'} call The call that this process does not survive:
 * `barrier` comes right before the commit, an `exchange` per replaced file after it.
 * @property {number} survived How many such calls succeed before.
 */

/** @type {Fate} */
const { root, message, files, call, survived } = JSON.parse(process.argv[2] ?? '');
let left = survived;

/** @param {Fate['call']} made */
function dieAt(made) {
  if (made !== call) return;
  if (left === 0) process.kill(process.pid, 'SIGKILL');
  left -= 1;
}

class FatalFileSystem extends NodeFileSystem {
  /**
   * @override
   * @param {Parameters<NodeFileSystem['barrier']>} given
   */
  async barrier(...given) {
    dieAt('barrier');
    await super.barrier(...given);
  }

  /**
   * @override
   * @param {Parameters<NodeFileSystem['exchange']>} given
   */
  exchange(...given) {
    dieAt('exchange');
    super.exchange(...given);
  }
}

const fileSystem = new FatalFileSystem({ native: 'auto' });
const store = await openStore(root, { fileSystem });
await store.transact({ message }, async (tx) => {
  for (const [path, content] of Object.entries(files)) await tx.write(path, content);
});
