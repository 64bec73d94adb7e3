// `npm run test:coverage`: every branch of the modules that keep the promises is taken by a test, or
// test/uncovered-branches.json says why none can take it. A reason that is not needed any more fails too.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describeTotals, sumOf } from './outcomes.js';
import { noteSuite, runVitest } from './run-vitest.js';
import { ensureInstalled, root } from './setup.js';

/**
 * What planning, applying, recovering, undoing, journal and lock are made of. Left out: what collects operations
 * (staged-…, source-copy, path-refusals: test/engine/model.test.ts compares them with a model) and reads plan documents
 * (plan-…); snapshots, verify and repair, which are no part of the protocol; the file system itself
 * (node-file-system, native, …), most of which is for other file systems and platforms: test/root, test/crash.
 */
const modules = words(`
  plan apply arrange commit transaction units image path root-tree
  inspect remove-tree emulated-exchange unsynced
  recover decide unflushed quarantine checkpoint
  undo undo-choice undo-decision undo-order undo-rows undo-transaction
  rollback history
  journal journal-failure journal-statements meta-table anchor-table keeping-table schema column-types
  transaction-row change-row row-text
  writer writer-lock file-lock
`);
/**
 * Those that it takes. What runs in processes of its own cannot be seen (most of test/crash), and what a random
 * workload takes is not taken every time: each branch has a fixed example here.
 */
const tests = words(`
  odd-moments faults failed-calls fences durability-order node-barrier
  recovery recovery-races foreign-edits unflushed apply-races checkpoint
  operations metadata refusals journal writer-lock file-lock quarantine
  decide emulated-exchange undo undo-decision rollback repair
  history-reading keeping removed-records
`).map((name) => `test/engine/${name}.test.ts`);

/** @typedef {{line: number, column: number}} Position */
/** @typedef {{type: string, loc: {start: Position}}} BranchPlace */
/** @typedef {{b: Record<string, number[]>, branchMap: Record<string, BranchPlace>}} FileCoverage */
/** A branch by its code, so that it is found again wherever the line goes. */
/** @typedef {{module: string, code: string, arm: string}} Branch */
/** @typedef {Branch & {times?: number, why: string}} Reason */

ensureInstalled();
const directory = mkdtempSync(path.join(tmpdir(), 'skillmeat-coverage-'));
try {
  // The same tests say what they look at when all of them run.
  const evidence = process.env['SKILLMEAT_EVIDENCE'];
  delete process.env['SKILLMEAT_EVIDENCE'];
  const totals = runVitest('vitest.config.ts', tests, [
    '--coverage.enabled',
    '--coverage.provider=v8',
    '--coverage.reporter=json',
    `--coverage.reportsDirectory=${directory}`,
    '--coverage.reportOnFailure',
    ...modules.map((name) => `--coverage.include=src/engine/${name}.ts`),
  ]);
  if (evidence !== undefined) process.env['SKILLMEAT_EVIDENCE'] = evidence;
  const report = JSON.parse(readFileSync(path.join(directory, 'coverage-final.json'), 'utf8'));
  const { taken, explained, complaints } = judge(report);
  console.log(
    `Of ${taken + explained + complaints.length} branches of ${modules.length} modules ${taken} are taken by a test, ` +
      `${explained} have a reason why not, ${complaints.length} have neither.`,
  );
  const lines = complaints.map((complaint) => `FAILED: ${complaint}`);
  const branches = { passed: taken + explained, failed: lines.length, skipped: 0, lines };
  const all = sumOf([totals, branches]);
  noteSuite('branches of the protocol', all, {
    modules: modules.length,
    taken,
    explained,
    unexplained: complaints.length,
  });
  console.log(describeTotals(all));
  process.exitCode = all.failed === 0 ? 0 : 1;
} finally {
  rmSync(directory, { recursive: true, force: true });
}

/** @param {string} text */
function words(text) {
  return text.trim().split(/\s+/);
}

/** @param {Record<string, FileCoverage>} report by absolute path */
function judge(report) {
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
      if (hits > 0) taken += 1;
      else if (reasonsLeft > 0) {
        left.set(key, reasonsLeft - 1);
        explained += 1;
      } else complaints.push(`src/engine/${name}.ts:${line}: not covered: ${key}`);
    }
  }
  for (const [key, times] of left) {
    if (times > 0) complaints.push(`test/uncovered-branches.json: covered, or gone: ${key}`);
  }
  return { taken, explained, complaints };
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
