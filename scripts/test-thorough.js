// `npm run test:thorough`: whole, what `npm test` takes samples of.
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describeTotals } from './outcomes.js';
import { runVitest } from './run-vitest.js';
import { build, ensureInstalled, root } from './setup.js';

ensureInstalled();
if (build() !== 0) throw new Error('the build failed');
process.env['SKILLMEAT_THOROUGH'] = '1';
const totals = runVitest('vitest.config.ts', sampledTests());
console.log(describeTotals(totals));
process.exitCode = totals.failed === 0 ? 0 : 1;

/** Returns the test files that ask test/support/extent.ts how much of them to run. */
function sampledTests() {
  const asks = /import \{[^}]*\b(?:sampled|amount)\b[^}]*\} from '[./a-z]*\/extent\.js'/;
  const files = readdirSync(path.join(root, 'test'), { recursive: true, encoding: 'utf8' })
    .map((file) => path.posix.join('test', file.replaceAll(path.sep, '/')))
    .filter((file) => file.endsWith('.test.ts') && !file.startsWith('test/root/'))
    .filter((file) => asks.test(readFileSync(path.join(root, file), 'utf8')));
  if (files.length === 0) throw new Error('no test asks how much of it to run');
  return files;
}
