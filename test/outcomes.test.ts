import { expect, test } from 'vitest';
import { describeTotals, sumOf, totalsOf } from '../scripts/outcomes.js';

const passed = { fullName: 'a works', status: 'passed', failureMessages: [] };
const failed = {
  fullName: 'b works',
  status: 'failed',
  failureMessages: ['Error: expected 1\n    at b.test.ts:3', 'another'],
};
const skipped = { fullName: 'c works', status: 'skipped', meta: { whyNot: 'no strace' } };
const file = { name: '/x/test/a.test.ts', status: 'passed', assertionResults: [passed] };

test('a run ends with each failed and each skipped test, the failed ones first, and the totals', () => {
  const bad = {
    ...file,
    name: '/x/test/b.test.ts',
    status: 'failed',
    assertionResults: [skipped, failed, { ...skipped, fullName: 'd', status: 'pending', meta: {} }],
  };
  expect(describeTotals(totalsOf(1, [bad, file], '/x')).split('\n')).toEqual([
    'FAILED: test/b.test.ts: b works (Error: expected 1)',
    'SKIPPED: test/b.test.ts: c works (no strace)',
    'SKIPPED: test/b.test.ts: d',
    '1 passed, 1 failed, 2 skipped',
  ]);
});

test('a run where all went well ends with nothing but the totals', () => {
  expect(describeTotals(totalsOf(0, [file, file], '/x'))).toBe('2 passed, 0 failed');
});

test('a file that cannot be loaded has failed, whatever its tests say', () => {
  const message = "Cannot find module './gone.js'\nmore";
  const gone = { ...file, status: 'failed', message, assertionResults: [] };
  expect(describeTotals(totalsOf(1, [gone], '/x'))).toBe(
    "FAILED: test/a.test.ts, outside of its tests (Cannot find module './gone.js')\n0 passed, 1 failed",
  );
});

test('a run that fails without a failed test has failed', () => {
  const { lines, failed: count } = totalsOf(1, [file], '/x');
  expect(count).toBe(1);
  expect(lines).toEqual([expect.stringMatching(/^FAILED: vitest ended with 1/)]);
});

test('of several runs everything is told', () => {
  const sum = sumOf([
    totalsOf(0, [{ ...file, assertionResults: [passed, skipped] }], '/x'),
    totalsOf(1, [{ ...file, assertionResults: [failed] }], '/x'),
  ]);
  expect(sum).toMatchObject({ passed: 1, failed: 1, skipped: 1 });
  expect(sum.lines).toHaveLength(2);
});
