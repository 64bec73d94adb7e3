// `npm run test:root`: the tests that mount file systems; .ci/run sees to the programs they need.
import { describeTotals } from './outcomes.js';
import { runVitest } from './run-vitest.js';
import { build, ensureInstalled } from './setup.js';

if (process.getuid?.() !== 0) throw new Error('these tests mount file systems: run them as root');
ensureInstalled();
if (build() !== 0) throw new Error('the build failed');
const totals = runVitest('vitest.root.config.ts');
console.log(describeTotals(totals));
process.exitCode = totals.failed === 0 ? 0 : 1;
