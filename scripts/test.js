// `npm test`: installs and builds when needed, then runs every check, and all of them even when one fails.
// The last line is `N passed, N failed`; a failed step other than the tests counts as one failure.
import { describeTotals, runVitest } from './run-vitest.js';
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
const totals = runVitest('vitest.config.ts');

if (failedSteps.length > 0) console.log(`Failed steps: ${failedSteps.join(', ')}`);
const failed = totals.failed + failedSteps.length;
console.log(describeTotals({ ...totals, failed }));
process.exitCode = failed === 0 ? 0 : 1;
