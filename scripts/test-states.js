// `npm run test:states`: ten times as many simulated crash states as `npm test` explores, among them
// those of every pair of operations.
import os from 'node:os';
import { describeTotals } from './outcomes.js';
import { runVitest } from './run-vitest.js';
import { ensureInstalled } from './setup.js';

ensureInstalled();
process.env['SKILLMEAT_STATES'] ??= '500000';
process.env['SKILLMEAT_UNDO_RUNS'] ??= '300';
process.env['SKILLMEAT_STATES_PROCESSES'] ??= String(os.availableParallelism());
const totals = runVitest('vitest.config.ts', ['test/property']);
console.log(describeTotals(totals));
process.exitCode = totals.failed === 0 ? 0 : 1;
