import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describeMachine } from './machine.js';
import { totalsOf } from './outcomes.js';
import { root, runTool } from './setup.js';

/** @typedef {import('./outcomes.js').Totals} Totals */

/**
 * Runs vitest with one of our configurations, its own report visible, and tells how its tests ended.
 * @param {string} config
 * @param {readonly string[]} [only] of its files these, by default all of the configuration
 * @param {readonly string[]} [options] for vitest
 * @returns {Totals}
 */
export function runVitest(config, only = [], options = []) {
  const directory = mkdtempSync(path.join(tmpdir(), 'skillmeat-test-'));
  const report = path.join(directory, 'report.json');
  try {
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
    const args = ['run', '--config', config, ...reporters, ...options, ...only];
    const evidence = makeEvidenceDirectory();
    const status = runTool('vitest', args, { ...process.env, SKILLMEAT_EVIDENCE: evidence });
    // Without a report vitest did not even start.
    const files = existsSync(report) ? JSON.parse(readFileSync(report, 'utf8')).testResults : [];
    const totals = totalsOf(status, files, root);
    if (evidence !== undefined) noteTotals(evidence, [config, ...only].join(' '), totals);
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
function noteTotals(evidence, suite, { passed, failed, skipped }) {
  const line = JSON.stringify({ suite, passed, failed, skipped, machine: describeMachine() });
  writeFileSync(path.join(evidence, 'suite.jsonl'), `${line}\n`);
}

/**
 * As {@link runVitest} does, for a suite that is not one run of vitest.
 * @param {string} suite
 * @param {Totals} totals
 * @param {import('../test/support/evidence.js').Evidence | import('../test/support/evidence.js').Branches} row
 */
export function noteSuite(suite, totals, row) {
  const evidence = makeEvidenceDirectory();
  if (evidence === undefined) return;
  writeFileSync(path.join(evidence, 'row.jsonl'), `${JSON.stringify(row)}\n`);
  noteTotals(evidence, suite, totals);
}
