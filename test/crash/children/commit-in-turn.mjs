// Commits transactions that each read what the others left and add to it.
import fs from 'node:fs';
import { openStore } from '../../../dist/engine/index.js';

/**
 * @typedef {object} CommitInput
 * @property {string} root
 * @property {'auto' | 'off'} native
 * @property {string} name
 * @property {number} count How many transactions.
 * @property {boolean} [waits] Waits for a line on its standard input before the first.
 */

/** @type {CommitInput} */
const { root, native, name, count, waits = false } = JSON.parse(process.argv[2] ?? '');

const store = await openStore(root, { create: true, native, lockWaitMs: 120_000, command: name });
fs.writeSync(1, 'READY\n');
if (waits) fs.readSync(0, Buffer.alloc(1));
for (let n = 1; n <= count; n += 1) {
  const own = `${name}/${String(n)}`;
  const { transaction } = await store.transact({ message: own }, async (tx) => {
    fs.writeSync(1, 'HOLDING\n');
    const counter = Number(await text('counter')) + 1;
    const manifest = await text('manifest');
    await tx.write('counter', String(counter));
    await tx.write('manifest', `${manifest}${own}\n`);
    await tx.write(`files/${own}`, own);

    /** @param {string} path */
    async function text(path) {
      return Buffer.from((await tx.read(path)) ?? '').toString();
    }
  });
  fs.writeSync(1, `ACK ${String(transaction?.id)} ${own}\n`);
}
await store.close();
fs.writeSync(1, 'DONE\n');
