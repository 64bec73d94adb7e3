// `npm test`: installs and builds when needed, then runs every check, and all of them even when one fails.
// The last line is `N passed, N failed`; a failed step other than the tests counts as one failure.
// With SKILLMEAT_COVERAGE=1 it also looks at which branches the tests take (coverage.js).
import { runCovered } from './coverage.js';
import { describeTotals, sumOf } from './outcomes.js';
import { runVitest } from './run-vitest.js';
import { build, ensureInstalled, runTool } from './setup.js';

const steps = {
  build,
  lint: () => runTool('oxlint', ['--type-aware', '--deny-warnings']),
  format: () => runTool('biome', ['format']),
  types: () => runTool('tsc', ['-p', 'tsconfig.test.json']),
  'unused code': () => runTool('knip', []),
};

ensureInstalled();
const failedSteps = Object.entries(steps).flatMap(([name, step]) => {
  console.log(`\n=== ${name} ===`);
  return step() === 0 ? [] : [name];
});
console.log('\n=== tests ===');
const isCovered = process.env['SKILLMEAT_COVERAGE'] === '1';
const totals = isCovered ? runCovered() : runVitest('vitest.config.ts');

const lines = failedSteps.map((name) => `FAILED: the step "${name}", shown above`);
const all = sumOf([{ passed: 0, failed: lines.length, skipped: 0, lines }, totals]);
console.log(describeTotals(all));
process.exitCode = all.failed === 0 ? 0 : 1;
