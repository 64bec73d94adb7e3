// A writer that goes on for as long as it may: whatever an error says, it opens the store again and
// commits its next transaction, which adds to what the others left.
import fs from 'node:fs';
import { openStore } from '../../../dist/engine/index.js';

/**
 * @typedef {object} ReturnInput
 * @property {string} root
 * @property {'auto' | 'off'} native
 * @property {string} name
 * @property {string} until The writer ends when this file is there.
 */

/** @type {ReturnInput} */
const { root, native, name, until } = JSON.parse(process.argv[2] ?? '');

/** @typedef {import('../../../dist/engine/index.js').Store} Store */
/** @type {Store | undefined} */
let store;
for (let n = 1; !fs.existsSync(until); n += 1) {
  try {
    const opened = store ?? (await openStore(root, { native, lockWaitMs: 120_000, command: name }));
    store = opened;
    const id = await commit(opened, `${name}/${String(n)}`);
    fs.writeSync(1, `ACK ${String(id)} ${name}/${String(n)}\n`);
  } catch (error) {
    const { code, message } = /** @type {Error & { code?: string }} */ (error);
    fs.writeSync(1, `FAILED ${code ?? 'no code'} ${message.replaceAll('\n', ' ')}\n`);
    await store?.close();
    store = undefined;
  }
}
await store?.close();
fs.writeSync(1, 'DONE\n');

/**
 * @param {Store} opened
 * @param {string} own
 */
async function commit(opened, own) {
  const { transaction } = await opened.transact({ message: own }, async (tx) => {
    fs.writeSync(1, 'HOLDING\n');
    /** @param {string} path */
    const text = async (path) => Buffer.from((await tx.read(path)) ?? '').toString();
    const counter = Number(await text('counter')) + 1;
    const manifest = await text('manifest');
    await tx.write('counter', String(counter));
    await tx.write('manifest', `${manifest}${own}\n`);
    await tx.write(`files/${own}`, own);
  });
  return transaction?.id;
}
