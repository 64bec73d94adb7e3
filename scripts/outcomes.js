// How the tests of a run ended: their number, and a line for each that failed or was skipped. Those lines are printed
// just above the totals, because of a long log often only the end is kept. `.ci/run` collects them by their first word.
import path from 'node:path';

/** As vitest's own JSON report has it. `whyNot` is ours: test/support/skipped.ts. */
/** @typedef {{fullName: string, status: string, failureMessages?: string[], meta?: {whyNot?: string}}} TestResult */
/** @typedef {{name: string, status: string, message?: string, assertionResults: TestResult[]}} FileResult */
/** `lines` are those that tell of failed and of skipped tests. */
/** @typedef {{passed: number, failed: number, skipped: number, lines: readonly string[]}} Totals */

/** Of one message: more would hide the next one. */
const messageCharactersMax = 300;

/**
 * @param {number} status exit code of vitest
 * @param {readonly FileResult[]} files of its report
 * @param {string} root what paths are told relative to
 * @returns {Totals}
 */
export function totalsOf(status, files, root) {
  const ends = files.flatMap((file) => endsOf(file, path.relative(root, file.name)));
  // Vitest also fails for an error outside of any test, and when it does not even start.
  if (status !== 0 && !ends.some(({ how }) => how === 'failed')) {
    const line = `FAILED: vitest ended with ${status}, and no test failed: an error outside of any test, shown above`;
    ends.push({ how: 'failed', line });
  }
  const count = (/** @type {string} */ how) => ends.filter((end) => end.how === how).length;
  return {
    passed: count('passed'),
    failed: count('failed'),
    skipped: count('skipped'),
    lines: ['failed', 'skipped'].flatMap((how) =>
      ends.filter((end) => end.how === how).map(({ line }) => line),
    ),
  };
}

/**
 * @param {FileResult} result
 * @param {string} file
 * @returns {{how: 'passed' | 'failed' | 'skipped', line: string}[]}
 */
function endsOf({ status, message, assertionResults }, file) {
  const ends = assertionResults.map((test) => endOf(test, file));
  // A file that could not even be loaded has no tests to fail.
  if (status === 'failed' && !ends.some(({ how }) => how === 'failed')) {
    ends.push({
      how: 'failed',
      line: `FAILED: ${file}, outside of its tests${reason(message)}`,
    });
  }
  return ends;
}

/**
 * @param {TestResult} test
 * @param {string} file
 * @returns {{how: 'passed' | 'failed' | 'skipped', line: string}}
 */
function endOf({ fullName, status, failureMessages, meta }, file) {
  if (status === 'passed') return { how: 'passed', line: '' };
  if (status === 'failed') {
    return { how: 'failed', line: `FAILED: ${file}: ${fullName}${reason(failureMessages?.[0])}` };
  }
  return { how: 'skipped', line: `SKIPPED: ${file}: ${fullName}${reason(meta?.whyNot)}` };
}

/** @param {string | undefined} text */
function reason(text) {
  const [line = ''] = (text ?? '').trim().split('\n');
  return line === '' ? '' : ` (${line.slice(0, messageCharactersMax)})`;
}

/**
 * @param {readonly Totals[]} suites
 * @returns {Totals} of all of them
 */
export function sumOf(suites) {
  const sum = (/** @type {'passed' | 'failed' | 'skipped'} */ key) =>
    suites.reduce((total, suite) => total + suite[key], 0);
  return {
    passed: sum('passed'),
    failed: sum('failed'),
    skipped: sum('skipped'),
    lines: suites.flatMap(({ lines }) => lines),
  };
}

/**
 * @param {Totals} totals
 * @returns {string} what ends a run: a line for each test that failed or was skipped, then `N passed, N failed`, and
 * `, N skipped` when some were
 */
export function describeTotals({ passed, failed, skipped, lines }) {
  const last = `${passed} passed, ${failed} failed${skipped === 0 ? '' : `, ${skipped} skipped`}`;
  return [...lines, last].join('\n');
}
