import { renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { EngineError, Transaction } from '../../src/engine/index.js';
import { type FileSystemCall, watchedFileSystem } from '../support/faults.js';
import { expectError, modes, useSandbox } from '../support/store.js';
import { file, readTree } from '../support/tree.js';

/*
 * Another program writes after a transaction was planned, before it is applied: each way in which that can be seen. All of
 * it is undone, and the other program's bytes stay.
 */

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);

  /** Commits `change`, with `edit` right before the first call that `isMoment` after the flush has begun. */
  async function race(
    change: (tx: Transaction) => Promise<unknown>,
    edit: () => void,
    isMoment: (call: FileSystemCall) => boolean = () => true,
  ): Promise<EngineError> {
    let isFlushed = false;
    let isDone = true;
    const fileSystem = watchedFileSystem(mode, (call) => {
      isFlushed ||= call.method === 'barrier';
      if (isDone || !isFlushed || !isMoment(call)) return;
      isDone = true;
      edit();
    });
    const store = await sandbox.open({ fileSystem });
    await store.transact({}, (tx) => tx.write('first', '1'));
    [isFlushed, isDone] = [false, false];
    const error = await expectError(
      store.transact({}, async (tx) => {
        await tx.write('a', 'new a');
        await change(tx);
      }),
      'DRIFT_DETECTED',
    );
    expect(isDone).toBe(true);
    expect(sandbox.tree()['a']).toEqual(file('old a'));
    expect((await store.status()).troubled).toEqual([]);
    return error;
  }

  test('a directory on the way that became a link is not followed', async () => {
    sandbox.seed({ a: 'old a', 'd/f': 'inside', '../outside/f': 'outside' });
    const error = await race(
      (tx) => tx.write('d/f', 'new'),
      () => {
        renameSync(sandbox.at('d'), join(sandbox.directory, 'moved'));
        symlinkSync('../outside', sandbox.at('d'));
      },
    );
    expect(error.message).toContain('symlink');
    expect(readTree(join(sandbox.directory, 'outside'))).toEqual({ f: file('outside') });
    expect(readTree(join(sandbox.directory, 'moved'))).toEqual({ f: file('inside') });
  });

  test('a file that went away is not made anew', async () => {
    sandbox.seed({ a: 'old a', z: 'old z' });
    await race(
      (tx) => tx.write('z', 'new z'),
      () => {
        rmSync(sandbox.at('z'));
      },
    );
    expect(sandbox.tree()['z']).toBeUndefined();
  });

  test('a file of a replaced directory that went away is noticed', async () => {
    sandbox.seed({ a: 'old a', 'd/x': 'x', 'd/y': 'y' });
    await race(
      async (tx) => {
        await tx.remove('d');
        await tx.write('d/x', 'new x');
      },
      () => {
        rmSync(sandbox.at('d/y'));
      },
    );
    expect(sandbox.tree()).toMatchObject({ 'd/x': file('x') });
    expect(sandbox.tree()['d/y']).toBeUndefined();
  });

  test('a file that was written to keeps its mode', async () => {
    sandbox.seed({ a: 'old a', m: 'old m' });
    await race(
      (tx) => tx.chmod('m', 0o600),
      () => {
        writeFileSync(sandbox.at('m'), 'foreign');
      },
    );
    expect(sandbox.tree()['m']).toEqual(file('foreign', 0o644));
  });

  test('a file that was replaced at the last moment keeps its mode', async () => {
    sandbox.seed({ a: 'old a', m: 'old m', other: { content: 'foreign', mode: 0o644 } });
    await race(
      (tx) => tx.chmod('m', 0o600),
      () => {
        renameSync(sandbox.at('other'), sandbox.at('m'));
      },
      ({ method }) => method === 'setModeOf',
    );
    expect(sandbox.tree()['m']).toEqual(file('foreign', 0o644));
  });

  test('a file so fresh that its time cannot tell is read again', async () => {
    sandbox.seed({ a: 'old a', z: 'old z' });
    // However slow this machine is.
    const soon = Math.ceil(Date.now() / 1_000) + 3_600;
    utimesSync(sandbox.at('z'), soon, soon);
    await race(
      (tx) => tx.write('z', 'new z'),
      () => {
        writeFileSync(sandbox.at('z'), 'OLD Z');
        utimesSync(sandbox.at('z'), soon, soon);
      },
    );
    expect(sandbox.tree()['z']).toEqual(file('OLD Z'));
  });
});
