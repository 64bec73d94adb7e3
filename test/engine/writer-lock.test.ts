import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { isEngineError } from '../../src/engine/index.js';
import { failSqlite } from '../support/failing-sqlite.js';
import { argumentsFor } from '../support/programs.js';
import { expectError, expectRefused, modes, readOwnerFile, useSandbox } from '../support/store.js';
import { file } from '../support/tree.js';

interface Holder {
  readonly pid: number;
  release(): Promise<void>;
  kill(): Promise<void>;
}

/** Another process that is in the middle of a transaction. */
async function holdLock(root: string, mode: string): Promise<Holder> {
  const script = join(import.meta.dirname, '../support/lock-holder-child.ts');
  const child = spawn(process.execPath, [...argumentsFor(script), root, mode], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  await once(child.stdout, 'data');
  return {
    pid: child.pid ?? 0,
    release: async () => {
      child.stdin.end();
      await exited;
    },
    kill: async () => {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);

  describe.each(modes)('and another process with native %s', (other) => {
    test('that holds the lock is named, and waited for', async () => {
      sandbox.seed({ a: 'old' });
      const store = await sandbox.open();
      await store.transact({}, (tx) => tx.write('first', '1'));
      const holder = await holdLock(sandbox.root, other);
      const error = await expectRefused(
        sandbox.root,
        () => store.transact({ lockWaitMs: 30 }, (tx) => tx.write('a', 'x')),
        'STORE_LOCKED',
      );
      expect(error.message).toContain(`process ${String(holder.pid)}`);
      expect(error.message).toContain('holder of the test');
      expect((await store.status()).writer).toMatchObject({ pid: holder.pid, isDone: false });
      const waiting = store.transact({}, (tx) => tx.write('a', 'mine'));
      await Promise.all([waiting, holder.release()]);
      expect(sandbox.tree()).toMatchObject({ a: file('mine'), held: file('by the other one') });
      expect((await store.log()).map(({ id }) => id)).toEqual([3, 2, 1]);
      expect((await store.status()).writer).toMatchObject({ pid: process.pid, isDone: true });
    });

    test('that is killed frees the lock at once', async () => {
      const store = await sandbox.open();
      const holder = await holdLock(sandbox.root, other);
      const waiting = store.transact({}, (tx) => tx.write('a', 'mine'));
      await Promise.all([waiting, holder.kill()]);
      expect(sandbox.tree()).toEqual({ a: file('mine') });
    });

    test('lets a wait be aborted', async () => {
      const store = await sandbox.open();
      const holder = await holdLock(sandbox.root, other);
      const controller = new AbortController();
      const waiting = store.transact({ signal: controller.signal }, (tx) => tx.write('a', 'x'));
      controller.abort(new Error('enough'));
      await expectError(waiting, 'ABORTED');
      await holder.release();
      await store.transact({}, (tx) => tx.write('b', 'b'));
      expect(Object.keys(sandbox.tree())).toEqual(['b', 'held']);
    });

    test('lets this one read meanwhile', async () => {
      const store = await sandbox.open();
      await store.transact({}, (tx) => tx.write('first', '1'));
      const holder = await holdLock(sandbox.root, other);
      expect((await store.log()).length).toBe(1);
      expect((await store.show(1)).changes.length).toBe(1);
      const looking = await sandbox.open({ recover: 'never' });
      expect((await looking.status()).head).toBe(1);
      await holder.release();
      expect((await looking.status()).head).toBe(2);
    });
  });

  test.each(modes)('two stores of one process, the other native %s, take turns', async (other) => {
    const one = await sandbox.open();
    const two = await sandbox.open({ native: other });
    await Promise.all(
      Array.from({ length: 10 }, (_, n) =>
        (n % 2 === 0 ? one : two).transact({}, async (tx) => {
          const count = Number(Buffer.from((await tx.read('count')) ?? []).toString());
          await new Promise(setImmediate);
          await tx.write('count', String(count + 1));
        }),
      ),
    );
    expect(sandbox.tree()['count']).toEqual(file('10'));
    expect((await one.status()).head).toBe(10);
    expect((await two.log()).length).toBe(10);
  });

  test('who waits is told of another process when the record of the holder is lost', async () => {
    const one = await sandbox.open();
    const two = await sandbox.open({ lockWaitMs: 0 });
    await one.transact({}, async (tx) => {
      await tx.write('a', 'a');
      truncateSync(join(sandbox.root, '.skillmeat/owner'), 0);
      await expectError(two.adopt(), 'STORE_LOCKED', { message: /by another process; waited/ });
    });
    expect(sandbox.tree()['a']).toEqual(file('a'));
  });

  test('callers of one process come in the order in which they asked', async () => {
    const one = await sandbox.open();
    const two = await sandbox.open();
    const order: number[] = [];
    await Promise.all(
      Array.from({ length: 12 }, (_, n) =>
        (n % 3 === 0 ? one : two).transact({}, async () => {
          order.push(n);
          await new Promise(setImmediate);
        }),
      ),
    );
    expect(order).toEqual(Array.from({ length: 12 }, (_, n) => n));
  });

  test('one that gives up waiting does not hold up those behind it', async () => {
    const store = await sandbox.open();
    let letGo: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    let first: Promise<unknown> = Promise.resolve();
    await new Promise<void>((started) => {
      first = store.transact({}, async (tx) => {
        started();
        await held;
        await tx.write('a', 'a');
      });
    });
    const hasty = store.transact({ lockWaitMs: 5 }, (tx) => tx.write('b', 'b'));
    const controller = new AbortController();
    const aborted = store.transact({ signal: controller.signal }, (tx) => tx.write('c', 'c'));
    const patient = store.transact({}, (tx) => tx.write('d', 'd'));
    controller.abort();
    const refusals = Promise.all([
      expectError(hasty, 'STORE_LOCKED', { message: new RegExp(String(process.pid)) }),
      expectError(aborted, 'ABORTED'),
    ]);
    // Whatever comes of these, the first one must not be left waiting.
    await refusals.finally(letGo);
    await Promise.all([first, patient]);
    expect(Object.keys(sandbox.tree())).toEqual(['a', 'd']);
  });

  test('a transaction that fails lets go of the lock', async () => {
    const one = await sandbox.open();
    const two = await sandbox.open();
    for (let n = 0; n < 3; n += 1) {
      await expect(
        one.transact({}, () => {
          throw new Error('no');
        }),
      ).rejects.toThrow('no');
      await two.transact({ lockWaitMs: 50 }, (tx) => tx.write('a', String(n)));
    }
  });

  test.each(['removed', 'replaced'])(
    'a lock file that is %s while held loses nothing',
    async (how) => {
      sandbox.seed({ a: 'old' });
      const one = await sandbox.open();
      const two = await sandbox.open();
      await one.transact({}, (tx) => tx.write('first', '1'));
      const lock = sandbox.at('.skillmeat/lock');
      const failed = one.transact({}, async (tx) => {
        await tx.write('a', 'one');
        if (how === 'removed') rmSync(lock);
        else {
          writeFileSync(`${lock}.new`, '');
          renameSync(`${lock}.new`, lock);
        }
      });
      const error = await failed.then(
        () => undefined,
        (reason: unknown) => reason,
      );
      expect(isEngineError(error, 'STORE_REPLACED', 'FENCED'), String(error)).toBe(true);
      expect(sandbox.tree()['a']).toEqual(file('old'));
      await two.transact({}, (tx) => tx.write('a', 'two'));
      expect(sandbox.tree()['a']).toEqual(file('two'));
      await expectError(
        one.transact({}, (tx) => tx.write('a', 'x')),
        'STORE_POISONED',
      );
      await one.close();
      const again = await sandbox.open();
      expect((await again.log()).map(({ id }) => id)).toEqual([2, 1]);
      expect((await again.status()).troubled).toEqual([]);
    },
  );

  test('the lock file is no evidence: it may be missing before', async () => {
    const store = await sandbox.open();
    await store.transact({}, (tx) => tx.write('a', 'a'));
    rmSync(sandbox.at('.skillmeat/lock'));
    await store.transact({}, (tx) => tx.write('b', 'b'));
    await store.close();
    rmSync(sandbox.at('.skillmeat/lock'));
    const again = await sandbox.open();
    await again.transact({}, (tx) => tx.write('c', 'c'));
    expect(Object.keys(sandbox.tree())).toEqual(['a', 'b', 'c']);
  });

  test('an owner record that is cut or nonsense only means that recovery looks', async () => {
    const store = await sandbox.open();
    await store.transact({}, (tx) => tx.write('a', 'a'));
    await store.close();
    const texts = ['host', 'command', 'bootId', 'since'].map((name) => `"${name}":"x"`);
    const withoutHead = `{${texts.join(',')},"pid":1,"isReleased":true,"head":null}`;
    const plain = ['', '{"pid":', '[]', 'null', '{"pid":"x"}', '\0'.repeat(1_024)];
    for (const text of [...plain, withoutHead]) {
      writeFileSync(sandbox.at('.skillmeat/owner'), text);
      const again = await sandbox.open();
      await again.transact({}, (tx) => tx.write('b', text.length.toString()));
      await again.close();
      expect(readOwnerFile(sandbox.root)?.isReleased).toBe(true);
    }
  });

  test('a long command line of the holder is shortened, never a failure', async () => {
    const store = await sandbox.open({ command: `node ${'\u{1f600}"\\\n'.repeat(2_000)}` });
    await store.transact({}, (tx) => tx.write('a', 'a'));
    const writer = (await store.status()).writer;
    expect(writer?.command.startsWith('node ')).toBe(true);
  });
});

describe('native off only', () => {
  const sandbox = useSandbox('off');

  test('a lock file that SQLite cannot lock is told', async () => {
    const store = await sandbox.open();
    const heal = failSqlite('SQLITE_IOERR_LOCK', 'PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
    try {
      await expectError(store.adopt(), 'IO_FAILED', { message: /the lock file cannot be locked/ });
    } finally {
      heal();
    }
    await store.adopt();
  });
});
