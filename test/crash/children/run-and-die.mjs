// Opens a store, runs transactions in it, and dies at the call that it was told.
import { subscribe } from 'node:diagnostics_channel';
import fs from 'node:fs';
import { openStore } from '../../../dist/engine/index.js';
import { NodeFileSystem } from '../../../dist/engine/node-file-system.js';
import { sqliteDriver } from '../../../dist/engine/sqlite.js';
import { sharing, transactions } from './transactions.mjs';
import { watchFileSystem } from './watched-file-system.mjs';

/**
 * @typedef {object} RunInput
 * @property {string} root
 * @property {string} source What a transaction copies in.
 * @property {'auto' | 'off'} native
 * @property {boolean} [create] Make the store.
 * @property {readonly number[]} [run] Which transactions to run; none: only open and close.
 * @property {boolean} [isTogether] Run all that share a flush, at once.
 * @property {{ readonly at: number, readonly of?: string, readonly when: 'before' | 'after', readonly signal?: NodeJS.Signals }} [die]
 * At which counted call, from 1, to end or stop; `of`: counting only those of this name.
 * @property {number} [refuseExchange] Which exchange of two names fails with EACCES, from 1.
 * @property {number} [refuse] Which counted call fails with EIO, from 1.
 * @property {boolean} [isTraced] For strace, which counts system calls by itself: nothing stands
 * between the engine and the disk.
 */

/** @typedef {{ readonly calls: readonly string[], readonly phases: Readonly<Record<string, number>> }} RunReport */

/** @type {RunInput} */
const input = JSON.parse(process.argv[2] ?? '');
const {
  root,
  source,
  native,
  create = false,
  run = [],
  die,
  refuse,
  refuseExchange,
  isTraced = false,
  isTogether = false,
} = input;

/** @type {string[]} */
const calls = [];
/** Number of calls before each phase of each transaction. @type {Record<string, number>} */
const phases = {};
let exchanges = 0;

subscribe('skillmeat:transaction', (message) => {
  const { phase, id } = /** @type {{ phase: string, id: number | undefined }} */ (message);
  if (id !== undefined) phases[`${phase} ${String(id)}`] = calls.length;
});

/**
 * @param {string} name
 * @param {() => unknown} call
 */
function counted(name, call) {
  calls.push(name);
  const isLast = isTheOne(name);
  if (calls.length === refuse) {
    throw Object.assign(new Error('EIO: refused by the test'), { code: 'EIO' });
  }
  const isRefused = name === 'exchange' && (exchanges += 1) === refuseExchange;
  if (isLast && (isRefused || die?.when === 'before')) end(name);
  if (isRefused) {
    throw Object.assign(new Error('EACCES: refused by the test'), { code: 'EACCES' });
  }
  const result = call();
  if (!isLast || die?.when !== 'after') return result;
  if (result instanceof Promise) return result.finally(() => end(name));
  end(name);
  return result;
}

/** @param {string} name */
function isTheOne(name) {
  if (die?.of === undefined) return calls.length === die?.at;
  return name === die.of && calls.filter((call) => call === die.of).length === die.at;
}

/** @param {string} name */
function end(name) {
  say(`AT ${name}`);
  process.kill(process.pid, die?.signal ?? 'SIGKILL');
}

/** One synchronous call: what was said was said, whatever happens next. @param {string} line */
function say(line) {
  fs.writeSync(1, `${line}\n`);
}

if (isTraced) outnumberOtherThreads();
else countJournalCalls();

/** The journal is not in the seam: its commits are counted where SQLite gets them. */
function countJournalCalls() {
  countMethod('exec', (sql) => sql === 'COMMIT');
  countMethod('pragma', (text) => /^(wal_checkpoint|journal_mode)/.test(text));
}

/**
 * @param {'exec' | 'pragma'} method
 * @param {(text: string) => boolean} isCounted
 */
function countMethod(method, isCounted) {
  const { prototype } = sqliteDriver();
  const original = /** @type {(this: unknown, text: string, options: unknown) => unknown} */ (
    prototype[method]
  );
  Object.assign(prototype, {
    /**
     * @this {unknown}
     * @param {string} text
     * @param {unknown} options
     */
    [method](text, options) {
      const call = () => original.call(this, text, options);
      return isCounted(text) ? counted(`journal ${text}`, call) : call();
    },
  });
}

/**
 * strace counts by thread, and the first that gets to the number dies. What loads modules has made
 * dozens of these calls on another thread: with more on this one, the number is reached here.
 */
function outnumberOtherThreads() {
  for (let i = 0; i < 100; i += 1) {
    const file = fs.openSync('/dev/null', 'w');
    fs.writeSync(file, 'x');
    fs.closeSync(file);
  }
}

const real = new NodeFileSystem({ native });
say('START');
const store = await openStore(root, {
  create,
  lockWaitMs: 60_000,
  fileSystem: isTraced ? real : watchFileSystem(real, counted),
});
say('OPEN');
for (const index of run) await transact(index, (tx) => transactions[index]?.(tx, source));
if (isTogether) await Promise.all(sharing.map((act, index) => transact(index, act)));
await store.close();
say(`REPORT ${JSON.stringify({ calls, phases })}`);

/**
 * @param {number} index
 * @param {(tx: import('../../../src/engine/index.js').Transaction) => unknown} act
 */
async function transact(index, act) {
  try {
    const message = `transaction ${String(index)}`;
    await store.transact({ message, sharesFlush: isTogether }, act);
    say(`ACK ${String(index)}`);
  } catch (error) {
    const { code, message } = /** @type {Error & { code?: string }} */ (error);
    say(`FAILED ${code ?? ''} ${message}`);
  }
}
