// `npm run test:coverage`: every branch of the modules that keep the promises is taken by a test, or
// test/uncovered-branches.json says why none can take it. A reason that is not needed any more fails too.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describeTotals, sumOf } from './outcomes.js';
import { runVitest } from './run-vitest.js';
import { ensureInstalled, root } from './setup.js';

const modules = [
  'apply',
  'arrange',
  'checkpoint',
  'commit',
  'decide',
  'emulated-exchange',
  'journal',
  'plan',
  'quarantine',
  'recover',
  'schema',
  'unflushed',
  'writer',
  'writer-lock',
];
// What runs in processes of its own cannot be seen: most of test/crash.
const tests = ['test/engine', 'test/property'];

/** @typedef {{line: number, column: number}} Position */
/** @typedef {{type: string, loc: {start: Position}}} BranchPlace */
/** @typedef {{b: Record<string, number[]>, branchMap: Record<string, BranchPlace>}} FileCoverage */
/** A branch by its code, so that it is found again wherever the line goes. */
/** @typedef {{module: string, code: string, arm: string}} Branch */
/** @typedef {Branch & {times?: number, why: string}} Reason */

ensureInstalled();
process.env['SKILLMEAT_STATES'] = '15000';
process.env['SKILLMEAT_STATES_PROCESSES'] = '0';
process.env['SKILLMEAT_UNDO_RUNS'] = '40';
process.env['SKILLMEAT_THOROUGH'] = '1';
const directory = mkdtempSync(path.join(tmpdir(), 'skillmeat-coverage-'));
try {
  const totals = runVitest('vitest.config.ts', tests, [
    '--coverage.enabled',
    '--coverage.provider=v8',
    '--coverage.reporter=json',
    `--coverage.reportsDirectory=${directory}`,
    '--coverage.reportOnFailure',
    ...modules.map((name) => `--coverage.include=src/engine/${name}.ts`),
  ]);
  const report = JSON.parse(readFileSync(path.join(directory, 'coverage-final.json'), 'utf8'));
  const { covered, complaints } = judge(report);
  console.log(`${covered} branches of ${modules.length} modules are covered or explained.`);
  const lines = complaints.map((complaint) => `FAILED: ${complaint}`);
  const branches = { passed: covered, failed: lines.length, skipped: 0, lines };
  const all = sumOf([totals, branches]);
  console.log(describeTotals(all));
  process.exitCode = all.failed === 0 ? 0 : 1;
} finally {
  rmSync(directory, { recursive: true, force: true });
}

/** @param {Record<string, FileCoverage>} report by absolute path */
function judge(report) {
  /** @type {readonly Reason[]} */
  const reasons = JSON.parse(readFileSync(path.join(root, 'test/uncovered-branches.json'), 'utf8'));
  const left = new Map(reasons.map((reason) => [keyOf(reason), reason.times ?? 1]));
  const complaints = [];
  let covered = 0;
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
      if (hits === 0 && reasonsLeft > 0) left.set(key, reasonsLeft - 1);
      if (hits > 0 || reasonsLeft > 0) covered += 1;
      else complaints.push(`src/engine/${name}.ts:${line}: not covered: ${key}`);
    }
  }
  for (const [key, times] of left) {
    if (times > 0) complaints.push(`test/uncovered-branches.json: covered, or gone: ${key}`);
  }
  return { covered, complaints };
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
