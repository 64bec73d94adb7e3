import { spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { isEngineError, openStore } from '../../src/engine/index.js';

// Makes the journal's commit fail: SQLite may not make its log any longer.
const [root = '', native] = process.argv.slice(2);
// With a handler the signal does not kill, and the write fails with EFBIG.
process.on('SIGXFSZ', () => undefined);
const store = await openStore(root, { create: true, native: native === 'off' ? 'off' : 'auto' });
await store.transact({}, (tx) => tx.write('a', 'old'));

function limit(bytes: string): void {
  const limits = ['--pid', String(process.pid), `--fsize=${bytes}:`];
  const { status } = spawnSync('prlimit', limits, { encoding: 'utf8' });
  if (status !== 0) throw new Error('prlimit failed');
}

const codeOf = (error: unknown): string => (isEngineError(error) ? error.code : String(error));
let code = 'none';
let hasHint = false;
try {
  await store.transact({}, async (tx) => {
    await tx.write('a', 'new');
    limit(String(statSync(join(root, '.skillmeat/journal.db-wal')).size));
  });
} catch (error) {
  code = codeOf(error);
  hasHint = isEngineError(error) && error.hint !== undefined;
}
limit('unlimited');
const next = await store.transact({}, (tx) => tx.write('a', 'x')).then(() => 'done', codeOf);
await store.close();
process.stdout.write(JSON.stringify({ code, hasHint, next }));
