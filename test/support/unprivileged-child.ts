import { isEngineError, openStore, type Transaction } from '../../src/engine/index.js';

/*
 * Runs transactions as a user without privileges: root is told of no permission error.
 * Arguments: root, native mode, and transactions as JSON.
 */
export type ChildStep = readonly [
  method: 'write' | 'remove' | 'chmod' | 'copyIn' | 'rename',
  ...string[],
];
export interface ChildResult {
  readonly code: string;
  readonly path?: string | undefined;
}

const [root = '', native, json = '[]'] = process.argv.slice(2);
const transactions = JSON.parse(json) as readonly (readonly ChildStep[])[];

function run(tx: Transaction, [method, a = '', b = '']: ChildStep): Promise<void> {
  switch (method) {
    case 'write':
      return tx.write(a, b);
    case 'remove':
      return tx.remove(a);
    case 'chmod':
      return tx.chmod(a, Number.parseInt(b, 8));
    case 'copyIn':
      return tx.copyIn(a, b);
    case 'rename':
      return tx.rename(a, b);
  }
}

const toResult = (error: unknown): ChildResult =>
  isEngineError(error) ? { code: error.code, path: error.path } : { code: String(error) };

const results: ChildResult[] = [];
try {
  await using store = await openStore(root, {
    create: true,
    native: native === 'off' ? 'off' : 'auto',
  });
  for (const steps of transactions) {
    const done = store.transact({}, async (tx) => {
      for (const step of steps) await run(tx, step);
    });
    results.push(await done.then(() => ({ code: 'done' }), toResult));
  }
  const { troubled } = await store.status();
  if (troubled.length > 0) results.push({ code: 'troubled' });
} catch (error) {
  results.push(toResult(error));
}
process.stdout.write(JSON.stringify(results));
