import { hostname, userInfo } from 'node:os';
import { describe, expect, test } from 'vitest';
import { json, planOf, useCommandLine, writing } from '../support/command.js';

const cli = useCommandLine();

async function apply(content: string, path = 'skills/a.md'): Promise<void> {
  const input = planOf(writing(path, content));
  const outcome = await cli.run(['txn', 'apply', '-m', `write ${content.trim()}`], { input });
  expect(outcome).toMatchObject({ exitCode: 0 });
}

/** A store with a file that nothing touches and two transactions on another. */
async function store(): Promise<void> {
  cli.write('other', 'other');
  await cli.run(['txn', 'init']);
  await apply('one\n');
  await apply('two\n');
}

const image = (size: number): unknown => ({
  kind: 'file',
  sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
  size,
  mode: expect.stringMatching(/^0\d{3}$/),
  target: null,
});

describe('undo and redo', () => {
  test.each([[['undo']], [['txn', 'undo']]])('%j says what it did', async (command) => {
    await store();
    expect(await cli.run(command)).toEqual({
      exitCode: 0,
      signal: null,
      stdout: 'Undone transaction 2 by transaction 3: 1 changed (1 replaced).\nM skills/a.md\n',
      stderr: '',
    });
    expect(cli.read('skills/a.md')).toBe('one\n');
    const redo = await cli.run(command.map((word) => word.replace('undo', 'redo')));
    expect(redo).toEqual({
      exitCode: 0,
      signal: null,
      stdout:
        'Redone by transaction 4 what transaction 3 undid: 1 changed (1 replaced).\nM skills/a.md\n',
      stderr: '',
    });
    expect(cli.read('skills/a.md')).toBe('two\n');
  });

  test('--json has every key of its shape', async () => {
    await store();
    expect(json(await cli.run(['undo', '--json']))).toEqual({
      transaction: {
        id: 3,
        uuid: expect.any(String),
        state: 'committed',
        message: 'undo 2: write two',
        committedAt: expect.any(String),
        changeCount: 1,
        reason: null,
        isPinned: false,
        isPruned: false,
        tags: [],
        annotations: { undoes: 2, by: `${userInfo().username}@${hostname()}` },
        changes: [{ path: 'skills/a.md', before: image(4), after: image(4) }],
        superseded: [],
      },
      undone: 2,
      paths: [{ path: 'skills/a.md', outcome: 'restored' }],
      needsForce: null,
    });
  });

  test('by number, for a path, with a message, after a dry run', async () => {
    await store();
    const args = ['undo', '2', '--path', 'skills', '-m', 'why'];
    const dry = await cli.run([...args, '--dry-run']);
    expect(dry.stdout).toBe('Would undo transaction 2: 1 changed (1 replaced).\nM skills/a.md\n');
    expect(cli.read('skills/a.md')).toBe('two\n');
    expect((await cli.run(args)).exitCode).toBe(0);
    expect((await cli.run(['log', '-n', '1'])).stdout).toContain('why');
    const again = await cli.run(['undo', '2']);
    expect(again).toMatchObject({ exitCode: 0 });
    expect(again.stdout).toContain('Nothing to change');
  });

  test('a conflict exits with 5 and names each path and why', async () => {
    await store();
    cli.write('skills/a.md', 'by hand\n');
    const text = await cli.run(['undo']);
    expect(text).toMatchObject({ exitCode: 5, stdout: '' });
    expect(text.stderr).toContain('[UNDO_CONFLICT]');
    expect(text.stderr).toContain('another program changed it since');
    expect(json(await cli.run(['undo', '--json']))).toEqual({
      error: {
        code: 'UNDO_CONFLICT',
        message: expect.stringContaining('transaction 2 cannot be undone'),
        path: 'skills/a.md',
        hint: expect.stringContaining('--merge'),
        conflicts: [{ path: 'skills/a.md', why: expect.stringContaining('it was left as') }],
      },
    });
    expect(cli.read('skills/a.md')).toBe('by hand\n');
    expect((await cli.run(['undo', '--force'])).stdout).toContain('1 path overwritten\n');
    expect(cli.read('skills/a.md')).toBe('one\n');
  });

  test('--merge keeps what came later', async () => {
    const lines = (first: string, last: string): string => `${first}\n2\n3\n4\n5\n6\n7\n${last}\n`;
    cli.write('other', 'other');
    await cli.run(['txn', 'init']);
    for (const content of [lines('a', 'z'), lines('b', 'z'), lines('b', 'y')]) await apply(content);
    expect((await cli.run(['undo', '2', '--merge'])).stdout).toContain('1 path merged\n');
    expect(cli.read('skills/a.md')).toBe(lines('a', 'y'));
  });

  test('several conflicts are listed', async () => {
    cli.write('other', 'other');
    await cli.run(['txn', 'init']);
    await cli.run(['txn', 'apply'], { input: planOf(writing('a'), writing('b'), writing('c')) });
    cli.write('a', 'x');
    cli.write('b', 'x');
    const { stderr } = await cli.run(['undo']);
    expect(stderr).toMatch(/^ {2}a: it was left .*\n {2}b: it was left .*\n {2}hint: /m);
  });

  test.each([
    [['undo', '9'], 'TRANSACTION_NOT_FOUND', 4],
    [['redo'], 'NOTHING_TO_UNDO', 4],
    [['undo', '--path', 'nothing/there'], 'PATH_NOT_FOUND', 4],
    [['undo', '--path', '../x'], 'PATH_ESCAPES_ROOT', 4],
    [['undo', '1', '--force'], undefined, 0],
  ])('%j exits with what the README says', async (args, code, exitCode) => {
    await store();
    const outcome = await cli.run([...args, '--json']);
    expect(outcome.exitCode).toBe(exitCode);
    const { error } = json(outcome) as { error?: { code: string } };
    expect(error?.code).toBe(code);
  });

  test('what would empty the directory asks for --force', async () => {
    await cli.run(['txn', 'init']);
    await apply('one\n');
    const outcome = await cli.run(['undo', '--json']);
    expect(outcome.exitCode).toBe(5);
    expect(json(outcome)).toMatchObject({ error: { code: 'REMOVAL_TOO_LARGE' } });
    const reason = 'everything in the directory (1 files) would be removed';
    const planned = await cli.run(['undo', '-n']);
    expect(planned.exitCode).toBe(0);
    expect(planned.stdout).toContain(`\nIt needs --force: ${reason}.\n`);
    expect(json(await cli.run(['undo', '-n', '--json']))).toMatchObject({ needsForce: reason });
    expect(json(await cli.run(['undo', '-n', '--force', '--json']))).toMatchObject({
      needsForce: null,
    });
    const rollback = ['rollback', '0', '--analyze'];
    expect((await cli.run(rollback)).stdout).toContain(`\nIt needs --force: ${reason}.\n`);
    expect((await cli.run([...rollback, '-q'])).stdout).toContain('It needs --force');
    expect(json(await cli.run([...rollback, '--json']))).toMatchObject({ needsForce: reason });
  });

  test.each([
    [['undo', 'x'], "'x' is invalid"],
    [['undo', '0'], "'0' is invalid"],
    [['undo', '1', '2'], 'too many arguments'],
    [['undo', '--path'], 'argument missing'],
    [['redo', '-1'], "'-1' is invalid"],
    [['txn', 'diff', 'yesterday'], '"now"'],
    [['diff', '--names', '--patch'], 'cannot be used with'],
    [['txn', 'cat'], "missing required argument 'PATH'"],
    [['txn', 'cat', 'a', '--at', '-3'], '"now"'],
    [['cat', 'a'], "unknown command 'cat'"],
  ])('%j makes no sense', async (args, message) => {
    await store();
    const { exitCode, stderr } = await cli.run(args);
    expect(stderr).toContain(message);
    expect(exitCode).toBe(2);
  });
});

describe('diff', () => {
  test('as a summary, as names, as a patch', async () => {
    await store();
    expect((await cli.run(['diff'])).stdout).toBe('No difference.\n');
    expect((await cli.run(['diff', '1', '2', '--names'])).stdout).toBe('skills/a.md\n');
    expect((await cli.run(['diff', '1', '2'])).stdout).toContain(
      '1 changed (1 replaced):\nM skills/a.md',
    );
    const patch = await cli.run(['txn', 'diff', '1', 'now', '-p', '--path', 'skills']);
    expect(patch.stdout).toBe(
      [
        'diff --git a/skills/a.md b/skills/a.md',
        '--- a/skills/a.md',
        '+++ b/skills/a.md',
        '@@ -1 +1 @@',
        '-one',
        '+two',
        '',
      ].join('\n'),
    );
  });

  test('--json has every key of its shape', async () => {
    await store();
    cli.write('skills/a.md', 'hand\n');
    expect(json(await cli.run(['diff', '--json']))).toEqual({
      diff: {
        from: 2,
        to: 'now',
        changes: [
          { path: 'skills/a.md', before: image(4), after: image(5), text: null, omitted: null },
        ],
      },
    });
    const { diff } = json(await cli.run(['diff', '0', '1', '-p', '--json'])) as {
      diff: { changes: readonly { path: string; text: string }[] };
    };
    expect(diff.changes.map(({ path }) => path)).toEqual(['skills', 'skills/a.md']);
    expect(diff.changes[1]?.text).toContain('new file mode');
  });
});

describe('cat', () => {
  test('prints the bytes as they were, and nothing else', async () => {
    await store();
    expect((await cli.run(['txn', 'cat', 'skills/a.md', '--at', '1'])).stdout).toBe('one\n');
    expect((await cli.run(['txn', 'cat', 'skills/a.md'])).stdout).toBe('two\n');
    expect(json(await cli.run(['txn', 'cat', 'skills/a.md', '--at', '1', '--json']))).toEqual({
      file: { path: 'skills/a.md', at: 1, image: image(4), base64: 'b25lCg==' },
    });
    const missing = await cli.run(['txn', 'cat', 'skills/a.md', '--at', '0']);
    expect(missing).toMatchObject({ exitCode: 4, stdout: '' });
  });

  test('of a content that is gone says so', async () => {
    await store();
    cli.write('skills/a.md', 'hand\n');
    const outcome = await cli.run(['txn', 'cat', 'skills/a.md', '--at', '2', '--json']);
    expect(outcome.exitCode).toBe(4);
    expect(json(outcome)).toMatchObject({ error: { code: 'HISTORY_PRUNED', path: 'skills/a.md' } });
  });
});

describe('log of a path, and blame', () => {
  test('tell which transactions changed it, and which one last', async () => {
    await store();
    await apply('x', 'b');
    const { stdout } = await cli.run(['log', 'skills', '-n', '1']);
    expect(stdout).toMatch(/^2 .* write two\nOlder ones: skillmeat log --before 2 skills\n$/);
    const blame = await cli.run(['txn', 'blame', 'skills', 'b']);
    expect(blame.stdout.replaceAll(/\S+Z/g, 'TIME')).toBe(
      '3  TIME  b  write x\n1  TIME  skills  write one\n2  TIME  skills/a.md  write two\n',
    );
    expect(json(await cli.run(['txn', 'blame', 'b', '--json']))).toEqual({
      paths: [
        {
          path: 'b',
          image: image(1),
          changedBy: 3,
          transaction: expect.objectContaining({ id: 3 }),
        },
      ],
    });
    expect((await cli.run(['txn', 'blame', 'other'])).stdout).toContain('No transaction');
  });
});

describe('drift and adopt', () => {
  test('status lists it only when asked, and adopt records it', async () => {
    await store();
    cli.write('skills/a.md', 'hand\n');
    expect((await cli.run(['txn', 'status'])).stdout).not.toContain('Drift');
    const { stdout } = await cli.run(['txn', 'status', '--drift']);
    expect(stdout).toContain('Drift:      1 path changed by other programs');
    expect(stdout).toContain('M skills/a.md');
    expect(json(await cli.run(['txn', 'status', '--drift', '--json']))).toMatchObject({
      status: {
        drift: [{ path: 'skills/a.md', transaction: 2, expected: image(4), found: image(5) }],
      },
    });
    expect((await cli.run(['txn', 'adopt', '-n'])).stdout).toContain('Would adopt: 1 changed');
    const adopted = json(await cli.run(['txn', 'adopt', '-m', 'mine', '--json']));
    expect(adopted).toMatchObject({
      transaction: { id: 3, message: 'mine', annotations: { adopts: true }, changeCount: 1 },
    });
    expect((await cli.run(['txn', 'status', '--drift'])).stdout).toContain('Drift:      none');
    expect((await cli.run(['txn', 'adopt'])).stdout).toBe('Nothing to adopt.\n');
    expect((await cli.run(['txn', 'show', '3'])).stdout).toContain(
      'Adopts what other programs did',
    );
    expect(cli.read('skills/a.md')).toBe('hand\n');
  });
});

test('commands without txn before them take the options of all commands', async () => {
  await store();
  const { exitCode, stdout } = await cli.run(['-C', cli.directory, 'undo', '--json', '-q'], {
    cwd: '/',
  });
  expect(exitCode).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ undone: 2 });
  const help = await cli.run(['undo', '--help']);
  expect(help.stdout).toContain('--lock-timeout');
});
