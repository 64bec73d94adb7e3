import { describe, expect, test } from 'vitest';
import { modes, useSandbox } from '../support/store.js';

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);
  test('smoke', async () => {
    sandbox.seed({ 'd/a': 'old', 'd/x/y': { content: 'deep', mode: 0o755 }, l: { link: '/etc/passwd' } });
    const store = await sandbox.open();
    const before = sandbox.tree();
    await store.transact({ message: 'one' }, async (tx) => {
      await tx.write('d/a', 'new');
      await tx.remove('d/x');
      await tx.remove('l');
      await tx.write('n/m', 'x');
    });
    const after = sandbox.tree();
    const receipt = await store.undo();
    expect(receipt.transaction?.message).toBe('undo 1: one');
    expect(sandbox.tree()).toEqual(before);
    const redo = await store.redo();
    expect(redo.transaction?.message).toBe('redo 1: one');
    expect(sandbox.tree()).toEqual(after);
    console.log(JSON.stringify(redo, null, 1));
  });
});
