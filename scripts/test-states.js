// `npm run test:states`: ten times as many simulated crash states as `npm test` explores, among them
// those of every pair of operations.
import os from 'node:os';
import { describeTotals } from './outcomes.js';
import { runVitest } from './run-vitest.js';
import { ensureInstalled } from './setup.js';

ensureInstalled();
process.env['SKILLMEAT_STATES'] ??= '500000';
process.env['SKILLMEAT_UNDO_RUNS'] ??= '100';
process.env['SKILLMEAT_STATES_PROCESSES'] ??= String(os.availableParallelism());
// The others look at the same in every run, which `npm test` has done.
const deeper = ['crash-states', 'undo', 'rollback'].map((name) => `test/property/${name}.test.ts`);
const totals = runVitest('vitest.config.ts', deeper);
console.log(describeTotals(totals));
process.exitCode = totals.failed === 0 ? 0 : 1;
