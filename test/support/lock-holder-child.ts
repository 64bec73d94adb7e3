import { once } from 'node:events';
import { openStore } from '../../src/engine/index.js';

// Stays in the middle of a transaction until its standard input ends.
const [root = '', native] = process.argv.slice(2);
await using store = await openStore(root, {
  create: true,
  native: native === 'off' ? 'off' : 'auto',
  command: 'holder of the test',
});
await store.transact({ message: 'held' }, async (tx) => {
  await tx.write('held', 'by the other one');
  process.stdout.write('holding\n');
  process.stdin.resume();
  await once(process.stdin, 'end');
});
