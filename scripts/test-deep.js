// `npm run test:deep`: everything that is too long for CI. About an hour and a half on two cores.
import os from 'node:os';
import { describeTotals, sumOf } from './outcomes.js';
import { runVitest } from './run-vitest.js';
import { build, ensureInstalled } from './setup.js';

ensureInstalled();
if (build() !== 0) throw new Error('the build failed');
process.env['SKILLMEAT_STATES'] ??= '2000000';
// States that no run has seen before; the seed is printed.
process.env['SKILLMEAT_STATES_SEED'] ??= String(Date.now() % 1_000_000_000);
process.env['SKILLMEAT_STATES_PROCESSES'] ??= String(os.availableParallelism());
process.env['SKILLMEAT_UNDO_RUNS'] ??= '3000';
process.env['SKILLMEAT_EXHAUSTIVE'] ??= '1';
process.env['SKILLMEAT_RACING_EDITS'] ??= '100000';
process.env['SKILLMEAT_LOCK_DEEDS'] ??= '400';
process.env['SKILLMEAT_POWER_CUTS'] ??= '4000';
process.env['SKILLMEAT_SNAPSHOT_CUTS'] ??= '2000';
process.env['SKILLMEAT_HISTORY_CUTS'] ??= '1000';
process.env['SKILLMEAT_SNAPSHOT_RUNS'] ??= '3000';
process.env['SKILLMEAT_READER_UPDATES'] ??= '1000';
process.env['SKILLMEAT_COLLECTION_KILLS'] ??= '100';
const suites = [
  runVitest('vitest.config.ts', [
    'test/property',
    'test/crash',
    'test/engine/snapshots-model',
    'test/collection/readers',
    'test/collection/sources',
  ]),
];
if (process.getuid?.() === 0) suites.push(runVitest('vitest.root.config.ts'));
else console.log('Not root: power cuts on real file systems were NOT run.');
const totals = sumOf(suites);
console.log(describeTotals(totals));
process.exitCode = totals.failed === 0 ? 0 : 1;
