// Whether each branch of the protocol's modules is taken by a test, or has a reason in test/uncovered-branches.json.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { sumOf } from './outcomes.js';
import { noteSuite, runVitest } from './run-vitest.js';
import { root } from './setup.js';

/** @typedef {import('./outcomes.js').Totals} Totals */
/** @typedef {{line: number, column: number}} Position */
/** @typedef {{type: string, loc: {start: Position}}} BranchPlace */
/** @typedef {{b: Record<string, number[]>, branchMap: Record<string, BranchPlace>}} FileCoverage */
/** A branch by its code, so that it is found again wherever the line goes. */
/** @typedef {{module: string, code: string, arm: string}} Branch */
/** @typedef {Branch & {times?: number, why: string}} Reason */

/**
 * What planning, applying, recovering, undoing, journal and lock are made of. Left out: what collects operations
 * (staged-…, source-copy, path-refusals: test/engine/model.test.ts compares them with a model) and reads plan documents
 * (plan-…); snapshots, verify and repair, which are no part of the protocol; the file system itself
 * (node-file-system, native, …), most of which is for other file systems and platforms: test/root, test/crash.
 */
const modules = words(`
  plan apply arrange commit transaction units image path root-tree
  inspect remove-tree emulated-exchange unsynced
  recover recovery-paths survey-paths leave-out act-on-paths decide unflushed quarantine set-aside checkpoint
  undo undo-choice undo-decision undo-order undo-rows undo-transaction
  rollback history
  journal journal-failure journal-statements meta-table anchor-table keeping-table schema column-types
  transaction-row change-row row-text
  writer writer-lock file-lock group pending-units moved-paths
`);

/** Whether others get a turn depends on the clock: no test takes both ways each time. */
const byTheClock = /^if \([\w.#]*pace\.isDue\(\)\)/;

/**
 * Runs tests as {@link runVitest} does, and looks at the branches.
 * @param {readonly string[]} [only] of the test files these, by default all
 * @returns {Totals} of the tests, and of the branches
 */
export function runCovered(only = []) {
  const directory = mkdtempSync(path.join(tmpdir(), 'skillmeat-coverage-'));
  try {
    const totals = runVitest('vitest.config.ts', only, [
      '--coverage.enabled',
      '--coverage.provider=v8',
      '--coverage.reporter=json',
      `--coverage.reportsDirectory=${directory}`,
      '--coverage.reportOnFailure',
      ...modules.map((name) => `--coverage.include=src/engine/${name}.ts`),
    ]);
    const at = path.join(directory, 'coverage-final.json');
    // Without a report vitest broke off: then no module was loaded.
    const report = existsSync(at) ? JSON.parse(readFileSync(at, 'utf8')) : {};
    return sumOf([totals, judge(report, { isWhole: only.length === 0 })]);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/**
 * @param {Record<string, FileCoverage>} report by absolute path
 * @param {{isWhole: boolean}} extent whether all tests ran: of those some do what the next run may not do, so that a
 * branch with a reason may be taken
 * @returns {Totals}
 */
function judge(report, { isWhole }) {
  /** @type {readonly Reason[]} */
  const reasons = JSON.parse(readFileSync(path.join(root, 'test/uncovered-branches.json'), 'utf8'));
  const left = new Map(reasons.map((reason) => [keyOf(reason), reason.times ?? 1]));
  const complaints = [];
  let taken = 0;
  let explained = 0;
  for (const name of modules) {
    const file = path.join(root, 'src/engine', `${name}.ts`);
    const found = report[file];
    if (found === undefined) {
      complaints.push(`${name}: no test loads it`);
      continue;
    }
    const lines = readFileSync(file, 'utf8').split('\n');
    for (const { branch, line, hits } of branchesOf(name, found, lines)) {
      const key = keyOf(branch);
      const reasonsLeft = left.get(key) ?? 0;
      const isExplained = reasonsLeft > 0 && (hits === 0 || isWhole);
      if (isExplained) left.set(key, reasonsLeft - 1);
      if (hits > 0) taken += 1;
      else if (isExplained) explained += 1;
      else complaints.push(`src/engine/${name}.ts:${line}: not covered: ${key}`);
    }
  }
  const unexplained = complaints.length;
  for (const [key, times] of left) {
    if (times > 0) complaints.push(`test/uncovered-branches.json: covered, or gone: ${key}`);
  }
  console.log(
    `coverage of the protocol modules: ${taken + explained + unexplained} branches, ${explained + unexplained} ` +
      `untaken, ${unexplained === 0 ? 'each with a reason' : `${unexplained} of them without a reason`}`,
  );
  const lines = complaints.map((complaint) => `FAILED: ${complaint}`);
  const totals = { passed: taken + explained, failed: lines.length, skipped: 0, lines };
  const row = { modules: modules.length, taken, explained, unexplained };
  noteSuite('branches of the protocol', totals, row);
  return totals;
}

/** @param {string} text */
function words(text) {
  return text.trim().split(/\s+/);
}

/**
 * @param {string} module
 * @param {FileCoverage} coverage
 * @param {readonly string[]} lines
 */
function branchesOf(module, { b, branchMap }, lines) {
  return Object.entries(b).flatMap(([id, counts]) => {
    const place = branchMap[id];
    if (place === undefined) return [];
    const { line } = place.loc.start;
    const code = (lines[line - 1] ?? '').trim();
    if (byTheClock.test(code)) return [];
    return counts.map((hits, arm) => ({
      branch: { module, code, arm: `${place.type} ${arm + 1}` },
      line,
      hits,
    }));
  });
}

/** @param {Branch} branch */
function keyOf({ module, code, arm }) {
  return `${module} | ${arm} | ${code}`;
}
