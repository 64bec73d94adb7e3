// One case of bench/memory.ts in a process of its own, as plain Node runs it: prints what it peaked at.
import { createReadStream } from 'node:fs';
import { openStore } from '../dist/engine/index.js';

/** @import { Store, Receipt } from '../dist/engine/index.js' */

/**
 * @typedef {object} Task
 * @property {CaseName} name
 * @property {'auto' | 'off'} native
 * @property {string} root
 * @property {string} source The large file, or the plan.
 * @property {number} files How many files a transaction of many writes.
 */

/**
 * @typedef {object} Report
 * @property {number} milliseconds
 * @property {number} peakBytes
 * @property {number} changes
 */

/** @typedef {keyof typeof cases} CaseName */

const cases = {
  /** @param {Store} store @param {Task} task */
  stream: (store, { source }) =>
    store.transact({}, (tx) => tx.write('large', createReadStream(source))),

  /** @param {Store} store @param {Task} task */
  copyIn: (store, { source }) => store.transact({}, (tx) => tx.copyIn('large', source)),

  /** @param {Store} store @param {Task} task */
  from: (store, { source }) =>
    store.apply({ version: 1, operations: [{ op: 'write', path: 'large', from: source }] }),

  /** @param {Store} store @param {Task} task */
  plan: (store, { source }) => store.apply(createReadStream(source), { format: 'jsonl' }),

  /** @param {Store} store @param {Task} task */
  library: (store, { files }) =>
    store.transact({}, async (tx) => {
      for (let index = 0; index < files; index += 1) {
        await tx.write(`${index % 100}/${index}.md`, `new content of ${index}`);
      }
    }),
};

/** @type {Task} */
const task = JSON.parse(process.argv[2] ?? '');
const { native, root, name } = task;
const store = await openStore(root, { create: true, native });
const start = performance.now();
/** @type {Receipt} */
const receipt = await cases[name](store, task);
const milliseconds = performance.now() - start;
await store.close();
/** @type {Report} */
const report = {
  milliseconds,
  peakBytes: process.resourceUsage().maxRSS * 1_024,
  changes: receipt.transaction?.changes.length ?? 0,
};
console.log(JSON.stringify(report));
