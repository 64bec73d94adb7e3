// `npm test`: installs and builds when needed, then runs every check, and all of them even when one fails.
// The last line is `N passed, N failed`; a failed step other than the tests counts as one failure.
// With SKILLMEAT_COVERAGE=1 it also looks at which branches the tests take (coverage.js).
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { runCovered } from './coverage.js';
import { describeTotals, sumOf } from './outcomes.js';
import { runVitest } from './run-vitest.js';
import { build, ensureInstalled, startTool } from './setup.js';

/** @type {Record<string, [tool: string, ...args: string[]]>} */
const checks = {
  lint: ['oxlint', '--type-aware', '--deny-warnings'],
  format: ['biome', 'format'],
  types: ['tsc', '-p', 'tsconfig.test.json'],
  'unused code': ['knip'],
};

ensureInstalled();
console.log('\n=== build ===');
const failedSteps = build() === 0 ? [] : ['build'];

// They run beside the tests, and are told of after them.
const logs = mkdtempSync(path.join(tmpdir(), 'skillmeat-checks-'));
const started = Object.entries(checks).map(([name, [tool, ...args]]) => {
  const log = path.join(logs, tool);
  return { name, log, ended: startTool(tool, args, log) };
});
console.log('\n=== tests ===');
const isCovered = process.env['SKILLMEAT_COVERAGE'] === '1';
const totals = isCovered ? runCovered() : runVitest('vitest.config.ts');
for (const { name, log, ended } of started) {
  const status = await ended;
  console.log(`\n=== ${name} ===\n${readFileSync(log, 'utf8').trim()}`);
  if (status !== 0) failedSteps.push(name);
}
rmSync(logs, { recursive: true });

const lines = failedSteps.map((name) => `FAILED: the step "${name}", shown above`);
const all = sumOf([{ passed: 0, failed: lines.length, skipped: 0, lines }, totals]);
console.log(describeTotals(all));
process.exitCode = all.failed === 0 ? 0 : 1;
