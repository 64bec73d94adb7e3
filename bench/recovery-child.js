// One life of bench/questions/recovery.ts: replaces many files, or is killed in the middle, or recovers.
import { subscribe } from 'node:diagnostics_channel';
import { readFileSync } from 'node:fs';
import { openStore } from '../dist/engine/index.js';
import { NodeFileSystem } from '../dist/engine/node-file-system.js';

/**
 * @typedef {object} Life
 * @property {'whole' | 'killed' | 'recovery'} kind
 * @property {string} root
 * @property {readonly string[]} [paths]
 */

/**
 * @typedef {object} Report
 * @property {number} milliseconds
 * @property {number} applying Of these, from the flush to the end.
 * @property {number} changed Paths that a recovery brought in.
 */

/** @type {Life} */
const { kind, root, paths = [] } = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8'));
const fileSystem = new NodeFileSystem({ native: 'auto' });
if (kind === 'killed') {
  fileSystem.exchange = () => {
    process.kill(process.pid, 'SIGKILL');
  };
}
let committedAt = 0;
subscribe('skillmeat:transaction', (event) => {
  const { phase } = /** @type {{ phase: string }} */ (event);
  if (phase === 'committed') committedAt = performance.now();
});

let start = performance.now();
const store = await openStore(root, { fileSystem });
const opened = performance.now();
if (kind !== 'recovery') {
  start = opened;
  await store.transact({}, async (tx) => {
    for (const path of paths) await tx.write(path, `new content of ${path}\n`);
  });
}
const end = kind === 'recovery' ? opened : performance.now();
await store.close();
/** @type {Report} */
const report = {
  milliseconds: end - start,
  applying: end - committedAt,
  changed: store.recoveryOnOpen?.changed ?? 0,
};
console.log(JSON.stringify(report));
