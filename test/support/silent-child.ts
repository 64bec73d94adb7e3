import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { openStore } from '../../src/engine/index.js';

// Does a bit of everything that could be tempted to print.
const [root = '', native] = process.argv.slice(2);
const mode = native === 'off' ? 'off' : 'auto';
const store = await openStore(root, { create: true, native: mode });
await store.transact({}, (tx) => tx.write('a', 'a'));
await store.transact({}, (tx) => tx.remove('missing')).catch(() => undefined);
await store.transact({}, (tx) => tx.write('../x', 'a')).catch(() => undefined);
await store.apply(Readable.from(['{"version":1,'])).catch(() => undefined);
await store.diagnose();
await store.close();
await openStore(join(root, 'nowhere'), { native: mode }).catch(() => undefined);
writeFileSync(join(root, '.skillmeat/owner'), '');
writeFileSync(join(root, 'a'), 'foreign');
await using again = await openStore(root, { native: mode });
await again.recover();
