// `npm start`: shows on a temporary directory what skillmeat is for. With --keep, the directory stays.
import { execFileSync, spawnSync } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { isEngineError, openStore } from '../dist/engine/index.js';

/** @import { Rule, Store } from '../dist/engine/index.js' */

const root = mkdtempSync(path.join(tmpdir(), 'skillmeat-demo-'));
const paths = {
  manifest: 'skills.toml',
  lock: 'skills.lock',
  skill: 'skills/review/SKILL.md',
  checklist: 'skills/review/checklist.md',
  script: 'skills/review/scripts/diff.sh',
};

/**
 * A skill, with the manifest and the lock file that name its version.
 * @param {number} version
 * @returns {Record<string, string>}
 */
const review = (version) => ({
  [paths.manifest]: `review = "version ${version}"\n`,
  [paths.lock]: `review: version ${version}\n`,
  [paths.skill]: `# Review, version ${version}\n\nRead the diff, then the checklist.\n`,
  [paths.checklist]: `# Checklist of version ${version}\n\n- Does it lose bytes?\n`,
  [paths.script]: `#!/bin/sh\n# version ${version}\nexec git diff "$@"\n`,
});

/** @type {Rule} A transaction after which this does not hold cannot commit. */
const lockAgrees = async (view) => {
  const [manifest, lock] = await Promise.all([view.read(paths.manifest), view.read(paths.lock)]);
  const [wanted, found] = [manifest, lock].map((bytes) =>
    says(Buffer.from(bytes ?? []).toString()),
  );
  if (wanted === found) return [];
  return [
    { rule: 'lock-agrees', path: paths.lock, message: `says ${found}, the manifest ${wanted}` },
  ];
};

/**
 * Opens the store, which recovers first what a dead process left.
 * @template T
 * @param {(store: Store) => Promise<T>} use
 * @returns {Promise<T>}
 */
async function withStore(use) {
  const store = await openStore(root, { create: true, rules: [lockAgrees] });
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

/**
 * @param {Store} store
 * @param {string} message
 * @param {Record<string, string>} files
 */
const write = (store, message, files) =>
  store.transact({ message }, async (tx) => {
    for (const [file, content] of Object.entries(files)) await tx.write(file, content);
  });

/**
 * @param {string} message
 * @param {Record<string, string>} files
 */
const failureOf = (message, files) =>
  withStore((store) => write(store, message, files)).then(
    () => new Error('it did not fail'),
    (error) => error,
  );

// --- what is on disk, and whether it is what it should be ------------------------------------------

/** @returns {Record<string, string>} every file of the root but those of the engine */
function readFiles() {
  const entries = readdirSync(root, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name)))
    .filter((file) => !file.startsWith('.skillmeat'));
  return Object.fromEntries(
    files.toSorted().map((file) => [file, readFileSync(path.join(root, file), 'utf8')]),
  );
}

/** @param {string} content */
function says(content) {
  return /version \d+/.exec(content)?.[0] ?? JSON.stringify(content.trim());
}

/** @param {readonly (readonly [title: string, files: Record<string, string>])[]} columns */
function print(columns) {
  const cells = (/** @type {readonly string[]} */ row) =>
    row.map((cell) => cell.padEnd(18)).join('');
  console.log(`   ${''.padEnd(32)}${cells(columns.map(([title]) => title))}`.trimEnd());
  for (const file of Object.keys(columns[0]?.[1] ?? {})) {
    const row = columns.map(([, files]) => says(files[file] ?? 'is missing'));
    console.log(`   ${file.padEnd(32)}${cells(row)}`.trimEnd());
  }
}

/**
 * @param {string} claim
 * @param {boolean} holds
 */
function check(claim, holds) {
  console.log(`   ${holds ? '✓' : '✗ NOT TRUE:'} ${claim}`);
  if (!holds) process.exitCode = 1;
}

/**
 * @param {Record<string, string>} files
 * @param {Record<string, string>} expected
 */
const areSame = (files, expected) => {
  const sorted = Object.entries(expected).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify(files) === JSON.stringify(Object.fromEntries(sorted));
};

/** @param {string} text */
const title = (text) => console.log(`\n${text}`);

/**
 * Starts an update in another process, which is killed in the middle of it.
 * @param {Pick<import('./demo-victim.js').Fate, 'message' | 'files' | 'diesAt'>} fate
 */
function updateAndDie(fate) {
  const victim = path.join(import.meta.dirname, 'demo-victim.js');
  const { signal, stderr } = spawnSync(
    process.execPath,
    [victim, JSON.stringify({ root, ...fate })],
    { encoding: 'utf8' },
  );
  check(`the other process is dead: ${signal ?? `no, ${stderr}`}`, signal === 'SIGKILL');
}

// --- the story -------------------------------------------------------------------------------------

async function install() {
  title('1. Install a skill: its files, the manifest and the lock file in one transaction.');
  const { transaction } = await withStore((store) =>
    write(store, 'Install review, version 1', review(1)),
  );
  const files = readFiles();
  print([['on disk', files]]);
  const count = Object.keys(files).length;
  check(
    `transaction ${transaction?.id} wrote ${count} files and all of them are there`,
    areSame(files, review(1)),
  );
}

async function dieBeforeCommit() {
  title('2. Update it to version 2 in another process, which is killed just before the commit.');
  updateAndDie({ message: 'Update review', files: review(2), diesAt: 'staged' });
  check('not one file of version 2 is to be seen', areSame(readFiles(), review(1)));
  const { head } = await withStore((store) => store.status());
  check('opened again: there is no second transaction', head === 1);
}

async function dieAfterCommit() {
  title('3. The same again, killed after the commit, when 2 of 5 files were replaced.');
  const message = 'Update review to version 2';
  updateAndDie({ message, files: review(2), diesAt: 2 });
  const found = readFiles();
  const report = await withStore(async (store) => store.recoveryOnOpen);
  const recovered = readFiles();
  print([
    ['found', found],
    ['opened again', recovered],
  ]);
  const { transactions = [], changed = 0 } = report ?? {};
  check(
    `recovery finished transaction ${transactions.join()}: it replaced the other ${changed} files`,
    changed === 3 && areSame(recovered, review(2)),
  );
}

async function breakRule() {
  title('4. Update it to version 3, but forget the lock file.');
  const { [paths.lock]: _forgotten, ...files } = review(3);
  const error = await failureOf('Update review to version 3', files);
  console.log(`   ${error.code}: ${error.message}`);
  check(
    'refused before anything was touched: every file is as before',
    isEngineError(error, 'RULE_VIOLATED') && areSame(readFiles(), review(2)),
  );
}

async function meetEditor() {
  title('5. Do it right; but while the files are being replaced, an editor saves one of them.');
  const edited = '- Is it kind?\n';
  const save = 'fs.writeFileSync(process.argv[1], process.argv[2])';
  const editor = (/** @type {unknown} */ event) => {
    if (/** @type {{ phase: string }} */ (event).phase !== 'committed') return;
    execFileSync(process.execPath, ['-e', save, path.join(root, paths.checklist), edited]);
  };
  subscribe('skillmeat:transaction', editor);
  const error = await failureOf('Update review to version 3', review(3));
  unsubscribe('skillmeat:transaction', editor);
  console.log(`   ${error.code}: ${error.message}`);
  const files = readFiles();
  print([['on disk', files]]);
  check(
    'undone as a whole, and what the editor saved is still there',
    isEngineError(error, 'DRIFT_DETECTED') &&
      areSame(files, { ...review(2), [paths.checklist]: edited }),
  );
}

async function readLog() {
  title('6. The log remembers.');
  const log = await withStore((store) => store.log());
  for (const { id, state, message } of log) {
    console.log(`   ${String(id).padEnd(3)}${state.padEnd(13)}${message}`);
  }
  const states = log.map(({ state }) => state);
  check('the newest one was rolled back', states.length === 3 && states[0] === 'rolled-back');
}

console.log(`What skillmeat does, shown in ${root}`);
try {
  await install();
  await dieBeforeCommit();
  await dieAfterCommit();
  await breakRule();
  await meetEditor();
  await readLog();
} finally {
  if (process.argv.includes('--keep')) {
    console.log(`\nLook around: node dist/bin/skillmeat.js -C ${root} txn log`);
  } else {
    rmSync(root, { recursive: true, force: true });
  }
}
