// `npm run test:coverage`: each branch of the protocol is taken by a test, or has a reason why not (coverage.js).
import { runCovered } from './coverage.js';
import { describeTotals } from './outcomes.js';
import { ensureInstalled } from './setup.js';

/**
 * Those that take a branch. What runs in processes of its own cannot be seen (most of test/crash), and what a random
 * workload takes is not taken every time: each branch has a fixed example here.
 */
const tests = `
  odd-moments odd-remains faults failed-calls fences durability-order node-barrier checks
  recovery recovery-races foreign-edits unflushed apply-races checkpoint permissions
  operations metadata refusals journal writer-lock file-lock quarantine
  decide emulated-exchange group undo undo-decision undo-order rollback repair
  history-reading keeping removed-records unused-pages snapshot-adoption drift
`;
const names = tests.trim().split(/\s+/);

ensureInstalled();
// The same tests say what they look at when all of them run.
delete process.env['SKILLMEAT_EVIDENCE'];
// What a sample leaves out may be what takes a branch.
process.env['SKILLMEAT_THOROUGH'] = '1';
const totals = runCovered([
  ...names.map((name) => `test/engine/${name}.test.ts`),
  'test/property/found-states.test.ts',
  'test/property/chosen-workloads.test.ts',
]);
console.log(describeTotals(totals));
process.exitCode = totals.failed === 0 ? 0 : 1;
