import { existsSync, statSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { json, planOf, useCommandLine, writing } from '../support/command.js';

const cli = useCommandLine();

async function commit(count: number): Promise<void> {
  await cli.run(['txn', 'init']);
  for (let n = 1; n <= count; n += 1) {
    const input = planOf(writing('a', String(n)));
    await cli.run(['txn', 'apply', '-m', `change ${String(n)}`], { input });
  }
}

describe('init', () => {
  test('makes a store, and leaves one that is there as it is', async () => {
    const made = await cli.run(['txn', 'init', 'new/store']);
    expect(made).toMatchObject({ exitCode: 0, stderr: '' });
    expect(made.stdout).toBe(`Made a store in ${cli.at('new/store')}/.skillmeat.\n`);
    const { ino } = statSync(cli.at('new/store/.skillmeat/journal.db'));
    const again = await cli.run(['txn', 'init', '--json'], { cwd: 'new/store' });
    expect(json(again)).toEqual({
      store: { root: cli.at('new/store'), created: false, isDryRun: false },
    });
    expect(statSync(cli.at('new/store/.skillmeat/journal.db')).ino).toBe(ino);
  });

  test('refuses two directories', async () => {
    expect((await cli.run(['-C', 'a', 'txn', 'init', 'b'])).exitCode).toBe(2);
    expect(existsSync(cli.at('a'))).toBe(false);
  });
});

describe('log', () => {
  test('lists transactions, newest first, with what there is to do for more', async () => {
    await commit(3);
    const { stdout } = await cli.run(['txn', 'log', '-n', '2']);
    expect(stdout.replaceAll(/\S+Z/g, 'TIME')).toBe(
      '3  TIME  1 change    change 3\n2  TIME  1 change    change 2\nOlder ones: skillmeat log --before 2\n',
    );
  });

  test('--before and --json page through them', async () => {
    await commit(3);
    const outcome = await cli.run(['txn', 'log', '--before', '3', '-n', '1', '--json']);
    expect(json(outcome)).toEqual({
      transactions: [
        {
          id: 2,
          uuid: expect.any(String),
          state: expect.any(String),
          message: 'change 2',
          committedAt: expect.any(String),
          changeCount: 1,
          reason: null,
          annotations: { by: expect.stringContaining('@') },
          isPruned: false,
          isPinned: false,
          tags: [],
        },
      ],
      hasMore: true,
    });
  });
});

describe('show', () => {
  test('prints the images of each change', async () => {
    await commit(2);
    const { stdout } = await cli.run(['txn', 'show', '2']);
    expect(stdout).toContain('Transaction 2 (');
    expect(stdout).toContain('    change 2\n');
    expect(stdout).toMatch(
      /^M a {2}file 06\d\d, 1 byte, sha256:\w{12} → file 06\d\d, 1 byte, sha256:\w{12}$/m,
    );
  });

  test('--json prints the same shape as the receipt', async () => {
    await commit(1);
    const input = planOf(writing('b'));
    const receipt = json(await cli.run(['txn', 'apply', '--json'], { input }));
    expect(json(await cli.run(['txn', 'show', '2', '--json']))).toEqual(receipt);
  });

  test('a number that no transaction has is refused', async () => {
    await commit(1);
    const outcome = await cli.run(['txn', 'show', '7', '--json']);
    expect(outcome.exitCode).toBe(4);
    expect(json(outcome)).toEqual({
      error: {
        code: 'TRANSACTION_NOT_FOUND',
        message: 'there is no transaction 7',
        path: null,
        hint: 'List them with: skillmeat txn log',
      },
    });
  });
});

describe('status', () => {
  test('says where the store stands', async () => {
    await commit(1);
    const { stdout } = await cli.run(['txn', 'status']);
    expect(stdout).toContain(`Root:       ${cli.directory}\n`);
    expect(stdout).toContain('Newest:     transaction 1\n');
    expect(stdout).toContain('Lock:       free\n');
  });

  test('--json has every key of its shape', async () => {
    await commit(1);
    expect(json(await cli.run(['txn', 'status', '--json']))).toEqual({
      status: {
        root: cli.directory,
        head: 1,
        unsettled: expect.any(Number),
        troubled: [],
        quarantined: 0,
        writer: {
          pid: expect.any(Number),
          host: expect.any(String),
          command: expect.stringMatching(/^skillmeat txn /),
          since: expect.any(String),
          isDone: true,
        },
        isLocked: false,
        drift: null,
      },
    });
  });
});

describe('doctor', () => {
  test('finds nothing wrong with a new store', async () => {
    await commit(1);
    const { exitCode, stdout } = await cli.run(['txn', 'doctor']);
    expect(exitCode).toBe(0);
    expect(stdout).toContain('ok      transactions:');
  });

  test('--json tells what the store stands on', async () => {
    await commit(1);
    const outcome = await cli.run(['txn', 'doctor', '--json'], {
      env: { SKILLMEAT_NATIVE: 'off' },
    });
    expect(json(outcome)).toMatchObject({
      diagnosis: {
        root: cli.directory,
        format: 1,
        capabilities: { native: 'off', nativeReason: 'switched off', exchange: 'emulated' },
        program: { node: process.version },
        checks: expect.arrayContaining([
          {
            name: 'exchange',
            level: 'notice',
            message: 'a reader may miss a file for the instant in which it is replaced',
            hint: 'Nothing is lost by it; readers may try again.',
          },
        ]),
      },
    });
  });
});

describe('recover', () => {
  test('has nothing to do in a new store', async () => {
    await cli.run(['txn', 'init']);
    expect(await cli.run(['txn', 'recover'])).toMatchObject({
      exitCode: 0,
      stdout: 'Nothing to recover.\n',
    });
    expect(json(await cli.run(['txn', 'recover', '--json']))).toEqual({
      recovery: { transactions: [], changed: 0, superseded: [], unresolved: [] },
    });
  });

  test('--redo and --undo take only a transaction in trouble', async () => {
    await commit(1);
    expect((await cli.run(['txn', 'recover', '--redo', '1'])).exitCode).toBe(4);
    expect((await cli.run(['txn', 'recover', '--undo', '9'])).exitCode).toBe(4);
    expect((await cli.run(['txn', 'recover', '--undo', '1', '--redo', '1'])).exitCode).toBe(2);
  });
});
