import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
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
    const status = runTool('vitest', ['run', '--config', config, ...reporters, ...options, ...files]);
    // Without a report vitest did not even start.
    const totals = count(
      status,
      existsSync(report) ? JSON.parse(readFileSync(report, 'utf8')).testResults : [],
    );
    leaveEvidence([config, ...files].join(' '), totals);
    return totals;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/**
 * Says how a suite ended, beside what its tests said of themselves (test/support/evidence.ts).
 * @param {string} suite
 * @param {Totals} totals
 */
function leaveEvidence(suite, totals) {
  const directory = process.env['SKILLMEAT_EVIDENCE'];
  if (directory === undefined) return;
  mkdirSync(directory, { recursive: true });
  const line = JSON.stringify({ suite, ...totals, machine: describeMachine() });
  appendFileSync(path.join(directory, 'suites.jsonl'), `${line}\n`);
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
