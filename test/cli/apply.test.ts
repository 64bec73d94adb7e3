import { existsSync, statSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { json, planOf, useCommandLine, writing } from '../support/command.js';

const cli = useCommandLine();

const init = async (): Promise<void> => {
  expect((await cli.run(['txn', 'init'])).exitCode).toBe(0);
};

const nothing = { kind: 'absent', sha256: null, size: null, mode: null, target: null };

describe('what apply tells', () => {
  test('a commit names its number, counts, and lists the changed paths', async () => {
    await init();
    await cli.run(['txn', 'apply'], { input: planOf(writing('old', '1'), writing('same', '1')) });
    const input = planOf(writing('new'), writing('same', '2'), { op: 'remove', path: 'old' });
    const { exitCode, stdout, stderr } = await cli.run(['txn', 'apply'], { input });
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    expect(stdout).toBe(
      'Committed transaction 2: 3 changed (1 created, 1 replaced, 1 removed).\nA new\nD old\nM same\n',
    );
    expect(cli.read('same')).toBe('2');
  });

  test('--quiet leaves out the list', async () => {
    await init();
    const { stdout } = await cli.run(['txn', 'apply', '-q'], { input: planOf(writing('a')) });
    expect(stdout).toBe('Committed transaction 1: 1 changed (1 created).\n');
  });

  test('--json prints the receipt and nothing else', async () => {
    await init();
    const plan = planOf(writing('a', 'x'), { op: 'symlink', path: 'l', target: 'a' });
    const outcome = await cli.run(['txn', 'apply', '--json', '-m', 'why'], { input: plan });
    expect(outcome.stderr).toBe('');
    expect(json(outcome)).toEqual({
      transaction: {
        id: 1,
        uuid: expect.stringMatching(/^[0-9a-f-]{36}$/),
        state: 'committed',
        message: 'why',
        committedAt: expect.stringMatching(/^\d{4}-.*Z$/),
        changeCount: 2,
        reason: null,
        isPinned: false,
        isPruned: false,
        tags: [],
        annotations: { by: expect.stringContaining('@') },
        changes: [
          {
            path: 'a',
            before: nothing,
            after: {
              kind: 'file',
              sha256: '2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881',
              size: 1,
              mode: expect.stringMatching(/^06\d\d$/),
              target: null,
            },
          },
          { path: 'l', before: nothing, after: { ...nothing, kind: 'symlink', target: 'a' } },
        ],
        superseded: [],
      },
    });
  });

  test('an empty net change is a success that says so and writes no transaction', async () => {
    await init();
    const plan = planOf(writing('a'), { op: 'remove', path: 'a' });
    expect(await cli.run(['txn', 'apply'], { input: plan })).toMatchObject({
      exitCode: 0,
      stdout: 'Nothing to change.\n',
    });
    const again = await cli.run(['txn', 'apply', '--json'], { input: plan });
    expect(json(again)).toEqual({ transaction: null });
    expect(json(await cli.run(['txn', 'log', '--json']))).toEqual({
      transactions: [],
      hasMore: false,
    });
  });

  test('--dry-run says what would change and changes nothing', async () => {
    await init();
    cli.write('plan.json', planOf(writing('a')));
    const text = await cli.run(['txn', 'apply', 'plan.json', '--dry-run']);
    expect(text.stdout).toBe('Would change: 1 changed (1 created).\nA a\n');
    const data = await cli.run(['txn', 'apply', 'plan.json', '--dry-run', '--json']);
    expect(json(data)).toMatchObject({ transaction: { id: null, state: 'planned' } });
    expect(existsSync(cli.at('a'))).toBe(false);
  });
});

describe('where the plan comes from', () => {
  const toml = 'version = 1\n[[operations]]\nop = "write"\npath = "a"\ncontent = "x"\n';
  const lines = '{"version":1}\n{"op":"write","path":"a","content":"x"}\n';

  test.each([
    ['JSON', planOf(writing('a', 'x'))],
    ['JSON Lines', lines],
    ['TOML', toml],
  ])('a plan in %s on standard input is recognised', async (_name, input) => {
    await init();
    expect((await cli.run(['txn', 'apply', '-'], { input })).exitCode).toBe(0);
    expect(cli.read('a')).toBe('x');
  });

  test.each([
    ['plan.json', planOf(writing('a', 'x'))],
    ['plan.jsonl', lines],
    ['plan.NDJSON', lines],
    ['plan.toml', toml],
    ['plan', toml],
  ])('%s is read in its own format', async (name, content) => {
    await init();
    cli.write(name, content);
    expect((await cli.run(['txn', 'apply', name])).exitCode).toBe(0);
    expect(cli.read('a')).toBe('x');
  });

  test('--format wins over the extension, the extension over the content', async () => {
    await init();
    cli.write('plan.toml', planOf(writing('a', 'x')));
    const refused = await cli.run(['txn', 'apply', 'plan.toml', '--json']);
    expect(refused.exitCode).toBe(4);
    expect(json(refused)).toMatchObject({ error: { code: 'PLAN_INVALID' } });
    expect((await cli.run(['txn', 'apply', 'plan.toml', '--format', 'json'])).exitCode).toBe(0);
  });

  test('relative sources start at the plan, or at the working directory for standard input', async () => {
    cli.write('store/.keep', '');
    cli.write('plans/source', 'beside the plan');
    cli.write('source', 'in the working directory');
    const plan = planOf({ op: 'write', path: 'a', from: 'source' });
    cli.write('plans/plan.json', plan);
    await cli.run(['txn', 'init', 'store']);
    await cli.run(['-C', 'store', 'txn', 'apply', 'plans/plan.json']);
    expect(cli.read('store/a')).toBe('beside the plan');
    await cli.run(['-C', 'store', 'txn', 'apply'], { input: plan });
    expect(cli.read('store/a')).toBe('in the working directory');
  });

  test('new files and directories get the modes that the umask leaves', async () => {
    await init();
    const before = process.umask(0o077);
    try {
      await cli.run(['txn', 'apply'], { input: planOf(writing('d/a')) });
    } finally {
      process.umask(before);
    }
    expect(statSync(cli.at('d/a')).mode & 0o777).toBe(0o600);
    expect(statSync(cli.at('d')).mode & 0o777).toBe(0o700);
  });
});

describe('--init', () => {
  test('makes the store in the working directory and says so', async () => {
    const { exitCode, stderr } = await cli.run(['txn', 'apply', '--init'], {
      input: planOf(writing('a')),
    });
    expect(exitCode).toBe(0);
    expect(stderr).toBe(`skillmeat: made a store in ${cli.directory}/.skillmeat\n`);
  });

  test('uses a store that is there, also one further up', async () => {
    await init();
    cli.write('below/.keep', '');
    const input = planOf(writing('a'));
    await cli.run(['txn', 'apply', '--init'], { input, cwd: 'below' });
    expect(cli.read('a')).toBe('text');
  });

  test('a dry run makes no store', async () => {
    const input = planOf(writing('a'));
    const { exitCode, stderr } = await cli.run(['txn', 'apply', '--init', '--dry-run'], { input });
    expect(exitCode).toBe(7);
    expect(stderr).toContain('A dry run makes no store');
    expect(existsSync(cli.at('.skillmeat'))).toBe(false);
  });
});

test('a plan works with the native part switched off', async () => {
  const env = { SKILLMEAT_NATIVE: 'off' };
  await cli.run(['txn', 'init'], { env });
  const input = planOf(writing('a'), writing('d/b'));
  expect((await cli.run(['txn', 'apply'], { input, env })).exitCode).toBe(0);
  const doctor = await cli.run(['txn', 'doctor', '--json'], { env });
  expect(json(doctor)).toMatchObject({ diagnosis: { capabilities: { native: 'off' } } });
});
