import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describeMachine } from './machine.js';
import { runTool } from './setup.js';

/** @typedef {{passed: number, failed: number, skipped: number}} Totals */
/** @typedef {{status: string, assertionResults: {status: string}[]}} FileResult */

/**
 * Runs vitest with one of our configurations, its own report visible, and counts the results.
 * @param {string} config
 * @param {readonly string[]} [files] only these, by default all of the configuration
 * @param {readonly string[]} [options] for vitest
 * @returns {Totals}
 */
export function runVitest(config, files = [], options = []) {
  const directory = mkdtempSync(path.join(tmpdir(), 'skillmeat-test-'));
  const report = path.join(directory, 'report.json');
  try {
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
    const args = ['run', '--config', config, ...reporters, ...options, ...files];
    const evidence = makeEvidenceDirectory();
    const status = runTool('vitest', args, { ...process.env, SKILLMEAT_EVIDENCE: evidence });
    // Without a report vitest did not even start.
    const totals = count(
      status,
      existsSync(report) ? JSON.parse(readFileSync(report, 'utf8')).testResults : [],
    );
    if (evidence !== undefined) noteTotals(evidence, [config, ...files].join(' '), totals);
    return totals;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/**
 * A place of its own for what the tests of this run say (test/support/evidence.ts): the next run may
 * look at the same again, and that must not count twice.
 */
function makeEvidenceDirectory() {
  const evidence = process.env['SKILLMEAT_EVIDENCE'];
  if (evidence === undefined) return undefined;
  mkdirSync(evidence, { recursive: true });
  return mkdtempSync(path.join(evidence, 'run-'));
}

/**
 * Says how a suite ended, beside what its tests said.
 * @param {string} evidence
 * @param {string} suite
 * @param {Totals} totals
 */
function noteTotals(evidence, suite, totals) {
  const line = JSON.stringify({ suite, ...totals, machine: describeMachine() });
  writeFileSync(path.join(evidence, 'suite.jsonl'), `${line}\n`);
}

/**
 * As {@link runVitest} does, for a suite that is not one run of vitest.
 * @param {string} suite
 * @param {Totals} totals
 * @param {import('../test/support/evidence.js').Evidence} row
 */
export function noteSuite(suite, totals, row) {
  const evidence = makeEvidenceDirectory();
  if (evidence === undefined) return;
  writeFileSync(path.join(evidence, 'row.jsonl'), `${JSON.stringify(row)}\n`);
  noteTotals(evidence, suite, totals);
}

/**
 * @param {Totals} totals
 * @returns {string} the line that ends a run: `N passed, N failed`, and `, N skipped` when some were
 */
export function describeTotals({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed${skipped === 0 ? '' : `, ${skipped} skipped`}`;
}

/**
 * @param {number} status
 * @param {readonly FileResult[]} files
 * @returns {Totals}
 */
function count(status, files) {
  const results = files.flatMap((file) => {
    const tests = file.assertionResults.map((test) => test.status);
    // A file that could not even be loaded has no tests to fail.
    const isBroken = file.status === 'failed' && !tests.includes('failed');
    return isBroken ? [...tests, 'failed'] : tests;
  });
  const passed = results.filter((result) => result === 'passed').length;
  const failed = results.filter((result) => result === 'failed').length;
  // Vitest also fails for an error outside of any test.
  const failedAtLeast = status === 0 ? 0 : 1;
  return {
    passed,
    failed: Math.max(failed, failedAtLeast),
    skipped: results.length - passed - failed,
  };
}
