// Updates stamped skills, one after the other, until somebody kills it. Every third update fails at
// the lock, so that rolling back is killed as well.
import fs from 'node:fs';
import path from 'node:path';
import { openCollection, openFetcher } from '../../../dist/collection/index.js';
import { NodeFileSystem } from '../../../dist/engine/node-file-system.js';
import { updateAsPredecessor } from './predecessor.mjs';
import { fetchedStamped, stampedHash, stampedSha } from './stamped.mjs';
import { watchFileSystem } from './watched-file-system.mjs';

/**
 * @typedef {object} UpdateInput
 * @property {string} root The collection.
 * @property {string} home For what is fetched.
 * @property {readonly string[]} names The skills, in turn.
 * @property {number} from The first version.
 * @property {'auto' | 'off' | 'predecessor'} by
 */

/** @type {UpdateInput} */
const { root, home, names, from, by } = JSON.parse(process.argv[2] ?? '');

const refusal = Object.assign(new Error('EACCES: refused by the test'), { code: 'EACCES' });
let refusesLock = false;
/** Switches take microseconds: without a pause before each, no kill would ever hit between two. */
const pauseBeforeSwitchMs = 30;
const pause = new Int32Array(new SharedArrayBuffer(4));
/** @param {number} version */
const fails = (version) => version % 3 === 0;

/** @returns {Promise<(name: string, version: number, files: string) => Promise<unknown>>} */
async function openEngine() {
  const real = new NodeFileSystem({ native: by === 'off' ? 'off' : 'auto' });
  const collection = await openCollection(root, {
    lockWaitMs: 60_000,
    fileSystem: watchFileSystem(real, (method, call, values) => {
      const isLock = values.some((one) => isPlace(one) && one.name === 'collection.lock');
      const isSwitch =
        method === 'exchange' && values.some((one) => isPlace(one) && isOfUpdate(one));
      if (isSwitch) Atomics.wait(pause, 0, 0, pauseBeforeSwitchMs);
      if (refusesLock && method === 'exchange' && isLock) throw refusal;
      return call();
    }),
  });
  const fetcher = await openFetcher({
    home,
    cache: path.join(home, 'cache'),
    pid: process.pid,
    environment: {},
    now: Date.now,
  });
  return async (name, version, files) => {
    const key = /** @type {const} */ (`${name}::skill`);
    const artifact = (await collection.reader.files()).manifest.get(key);
    if (artifact === undefined) throw new Error(`${key} is in the manifest`);
    const fetched = fetchedStamped(files, version);
    refusesLock = fails(version);
    const update = { key, artifact, fetched, contentHash: stampedHash(version) };
    try {
      await collection.update([update], { fetcher, strategy: 'overwrite' });
    } finally {
      refusesLock = false;
    }
  };
}

/** @param {{ readonly name: unknown }} place */
function isOfUpdate({ name }) {
  return name === 'collection.toml' || name === 'collection.lock' || names.includes(String(name));
}

/** @param {unknown} value @returns {value is { readonly name: unknown }} */
function isPlace(value) {
  return typeof value === 'object' && value !== null && 'name' in value;
}

/**
 * @param {string} name
 * @param {number} version
 * @param {string} files
 */
async function updatePlainly(name, version, files) {
  fetchedStamped(files, version);
  /** @param {string} text */
  const resolved = (text) =>
    text
      .replace(/resolved_sha = ".*"/, `resolved_sha = "${stampedSha(version)}"`)
      .replace(/resolved_version = ".*"/, `resolved_version = "v${String(version)}"`);
  /** @param {RegExp} start @param {(text: string) => string} edit */
  const inTable = (start, edit) => (/** @type {string} */ text) => {
    const at = text.search(start);
    const next = text.indexOf('\n[', at + 1);
    const end = next < 0 ? text.length : next;
    return text.slice(0, at) + edit(text.slice(at, end)) + text.slice(end);
  };
  updateAsPredecessor({
    root,
    archive: path.join(home, 'archive.gz'),
    artifact: `skills/${name}`,
    from: files,
    manifest: inTable(new RegExp(`^\\[\\[artifacts\\]\\]\nname = "${name}"`, 'm'), resolved),
    lock: inTable(new RegExp(`^\\[lock\\.entries\\."${name}::skill"\\]`, 'm'), (text) => {
      if (fails(version)) throw refusal;
      const hashed = `content_hash = "${stampedHash(version)}"`;
      return resolved(text).replace(/content_hash = ".*"/, hashed);
    }),
  });
}

const update = by === 'predecessor' ? updatePlainly : await openEngine();
fs.writeSync(1, 'READY\n');
for (let version = from; ; version += 1) {
  const name = names[version % names.length] ?? '';
  const files = path.join(home, `fresh-${String(version)}`);
  fs.writeSync(1, `BEGAN ${String(version)}\n`);
  const began = performance.now();
  const took = () => String(Math.ceil(performance.now() - began));
  try {
    await update(name, version, files);
    fs.writeSync(1, `DONE ${name} ${String(version)} ${took()}\n`);
  } catch (error) {
    if (error !== refusal && !(error instanceof Error && error.cause === refusal)) throw error;
    fs.writeSync(1, `FAILED ${name} ${String(version)} ${took()}\n`);
  }
  fs.rmSync(files, { recursive: true });
}
