import { chmodSync, existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { json, planOf, preloading, useCommandLine, writing } from '../support/command.js';
import { amount } from '../support/extent.js';

// What is tested is what the command says and does; that it does so as a program of its own, thorough runs see.
const cli = useCommandLine(amount({ thorough: 'process', otherwise: 'within' }));

const init = async (): Promise<void> => {
  await cli.run(['txn', 'init']);
};

describe('help', () => {
  test('the bare command prints help', async () => {
    const { exitCode, stdout, stderr } = await cli.run([]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    expect(stdout).toContain('Usage: skillmeat');
    expect(stdout).toContain('Examples:');
  });

  test.each([['--help'], ['txn', '--help'], ['txn', 'apply', '--help'], ['help', 'txn']])(
    '%s %s %s prints help',
    async (...args) => {
      const { exitCode, stdout, stderr } = await cli.run(args.filter((arg) => arg !== undefined));
      expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
      expect(stdout).toContain('Usage: skillmeat');
    },
  );

  test('--version prints the version of package.json', async () => {
    const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
    const { version } = JSON.parse(text) as { version: string };
    expect((await cli.run(['--version'])).stdout).toBe(`${version}\n`);
  });
});

describe('a command line that makes no sense exits with 2', () => {
  test.each([
    [['txn', 'aply'], "unknown command 'aply'", 'Did you mean apply?'],
    [['tnx'], "unknown command 'tnx'", 'Did you mean txn?'],
    [['txn', 'apply', '--jsno'], "unknown option '--jsno'", 'Did you mean --json?'],
    [['txn'], 'a command is missing', 'See: skillmeat txn --help'],
    [['txn', 'show'], "missing required argument 'ID'", 'See: skillmeat txn show --help'],
    [['txn', 'show', '-1'], "'-1' is invalid", 'See: '],
    [['txn', 'show', 'x'], "'x' is invalid", 'See: '],
    [['txn', 'log', '-n', '0'], "'0' is invalid", 'See: '],
    [['txn', 'status', 'more'], 'too many arguments', 'See: '],
    [['txn', 'apply', '--format', 'yaml'], 'Allowed choices are json, jsonl, toml', 'See: '],
    [['txn', 'status', '--lock-timeout', '5 days'], 'Expected a duration', 'See: '],
    [['txn', 'status', '-C', ''], 'Expected a directory', 'See: '],
    [['txn', 'init', ''], 'DIR is empty', 'Leave it out'],
  ])('%j', async (args, message, hint) => {
    const text = await cli.run(args);
    expect(text.exitCode).toBe(2);
    expect(text.stdout).toBe('');
    expect(text.stderr).toContain(message);
    expect(text.stderr).toContain('[USAGE]');
    expect(text.stderr).toContain(`  hint: ${hint}`);
    const data = await cli.run([...args, '--json']);
    expect(data.exitCode).toBe(2);
    expect(data.stderr).toBe('');
    expect(json(data)).toMatchObject({ error: { code: 'USAGE', path: null } });
    expect(existsSync(cli.at('.skillmeat'))).toBe(false);
  });

  test('a plan is not read from the keyboard unless somebody asks for that', async () => {
    await init();
    const env = { NODE_OPTIONS: preloading('process.stdin.isTTY=true') };
    const { exitCode, stderr } = await cli.run(['txn', 'apply'], { env });
    expect(exitCode).toBe(2);
    expect(stderr).toContain('no plan: standard input is a terminal');
    const input = planOf(writing('a'));
    expect((await cli.run(['txn', 'apply', '-'], { env, input })).exitCode).toBe(0);
  });
});

describe('the root', () => {
  test('is the nearest directory upwards that has a store', async () => {
    cli.write('outer/inner/deep/.keep', '');
    await cli.run(['txn', 'init', 'outer']);
    const rootFrom = async (cwd: string): Promise<unknown> =>
      json(await cli.run(['txn', 'status', '--json'], { cwd }));
    expect(await rootFrom('outer/inner/deep')).toMatchObject({ status: { root: cli.at('outer') } });
    await cli.run(['txn', 'init', 'outer/inner']);
    expect(await rootFrom('outer/inner/deep')).toMatchObject({
      status: { root: cli.at('outer/inner') },
    });
  });

  test('is what -C says, before or after the command, the later one winning', async () => {
    await cli.run(['txn', 'init', 'a']);
    await cli.run(['txn', 'init', 'b']);
    for (const args of [
      ['-C', 'a', 'txn', 'status', '--json'],
      ['txn', '--json', '--root', 'a', 'status'],
      ['--json', 'txn', 'status', '-C', 'a'],
      ['-C', 'b', 'txn', 'status', '-C', 'a', '--json'],
    ]) {
      expect(json(await cli.run(args))).toMatchObject({ status: { root: cli.at('a') } });
    }
  });

  test('without a store the command says how to make one', async () => {
    const text = await cli.run(['txn', 'status']);
    expect(text.exitCode).toBe(7);
    expect(text.stderr).toContain('[STORE_NOT_FOUND]');
    expect(text.stderr).toContain('hint: Make a store with: skillmeat txn init');
    const data = await cli.run(['txn', 'apply', '--json'], { input: planOf(writing('a')) });
    expect(data.exitCode).toBe(7);
    expect(json(data)).toMatchObject({ error: { code: 'STORE_NOT_FOUND', path: cli.directory } });
    expect((await cli.run(['-C', 'nowhere', 'txn', 'status'])).exitCode).toBe(7);
  });
});

describe('a refusal changes nothing and has its exit code', () => {
  test.each([
    ['PLAN_INVALID', 4, '{"version":1,"operations":[{"op":"wriet"}]}'],
    ['PLAN_INVALID', 4, ''],
    ['PATH_ESCAPES_ROOT', 4, planOf(writing('../a'))],
    ['PATH_NOT_FOUND', 4, planOf(writing('a'), { op: 'remove', path: 'nothing' })],
    ['SOURCE_UNREADABLE', 4, planOf(writing('a'), { op: 'copy', path: 'c', from: './nothing' })],
    [
      'EXPECTATION_FAILED',
      5,
      JSON.stringify({ version: 1, expect: { b: 'directory' }, operations: [writing('a')] }),
    ],
  ])('%s: %i', async (code, exitCode, input) => {
    await init();
    const text = await cli.run(['txn', 'apply'], { input });
    expect(text.exitCode).toBe(exitCode);
    expect(text.stdout).toBe('');
    expect(text.stderr).toMatch(/^skillmeat: [^]* \[[A-Z_]+\]\n {2}hint: .+\n$/);
    expect(text.stderr).toContain(`[${code}]`);
    const data = await cli.run(['txn', 'apply', '--json'], { input });
    expect(data).toMatchObject({ exitCode, stderr: '' });
    expect(json(data)).toEqual({
      error: {
        code,
        message: expect.any(String),
        path: expect.toSatisfy((path) => path === null || typeof path === 'string'),
        hint: expect.any(String),
      },
    });
    expect(existsSync(cli.at('a'))).toBe(false);
    expect(json(await cli.run(['txn', 'status', '--json']))).toMatchObject({ status: { head: 0 } });
  });

  test.each([
    ['nothing.json', 'there is no such file'],
    ['.', 'it is a directory'],
  ])('a plan that cannot be read is named: %s', async (plan, reason) => {
    await init();
    const { exitCode, stderr } = await cli.run(['txn', 'apply', plan]);
    expect(exitCode).toBe(4);
    expect(stderr).toContain(`cannot read the plan ${plan}: ${reason} [SOURCE_UNREADABLE]`);
  });

  test('a store that others may write to: 8', async () => {
    await init();
    chmodSync(cli.at('.skillmeat'), 0o777);
    const { exitCode, stderr } = await cli.run(['txn', 'status']);
    expect(exitCode).toBe(8);
    expect(stderr).toContain('[STORE_UNSAFE]');
  });

  test('an answer that cannot be written: 9', async () => {
    await init();
    const script =
      "process.stdout._write=(chunk,encoding,done)=>done(Object.assign(new Error('no space'),{code:'ENOSPC'}))";
    const { exitCode, stderr } = await cli.run(['txn', 'log'], {
      env: { NODE_OPTIONS: preloading(script) },
    });
    expect(exitCode).toBe(9);
    expect(stderr).toContain('cannot write the answer: no space [IO_FAILED]');
  });

  test('a bug of ours: 1, with all that a report needs', async () => {
    await init();
    const env = { NODE_OPTIONS: preloading("process.umask=()=>{throw new Error('bug: no mask')}") };
    const text = await cli.run(['txn', 'status'], { env });
    expect(text.exitCode).toBe(1);
    expect(text.stderr).toContain('Error: bug: no mask\n    at ');
    expect(text.stderr).toContain('hint: This is a bug in skillmeat. Please report it');
    const data = await cli.run(['txn', 'status', '--json'], { env });
    expect(data.exitCode).toBe(1);
    expect(json(data)).toMatchObject({ error: { code: 'INTERNAL' } });
  });
});

describe('pipes and terminals', () => {
  test('a reader that has seen enough is no failure', async () => {
    await init();
    const { child, outcome } = cli.start(['txn', 'log', '--json']);
    child.stdout?.destroy();
    child.stdin?.end();
    expect(await outcome).toMatchObject({ exitCode: 0, stderr: '' });
  });

  // What isTTY would say on a terminal.
  const onTerminal = preloading('process.stderr.isTTY=true;process.stdout.isTTY=true');
  const escape = '\u001b[';

  test('colours are for terminals only', async () => {
    const piped = await cli.run(['txn', 'status']);
    expect(piped.stderr).not.toContain(escape);
    const shown = await cli.run(['txn', 'status'], { env: { NODE_OPTIONS: onTerminal } });
    expect(shown.stderr).toContain(escape);
  });

  test.each([
    ['NO_COLOR', { NO_COLOR: '1' }, []],
    ['--no-color', {}, ['--no-color']],
  ])('%s switches them off', async (_name, env, flags) => {
    const { stderr } = await cli.run(['txn', 'status', ...flags], {
      env: { NODE_OPTIONS: onTerminal, ...env },
    });
    expect(stderr).not.toContain(escape);
  });

  test('control characters of a message do not reach the terminal', async () => {
    await init();
    const input = planOf(writing('a'));
    await cli.run(['txn', 'apply', '-m', 'x\u001b]0;title\u0007'], { input });
    expect((await cli.run(['txn', 'log'])).stdout).toContain(String.raw`x\u{1b}]0;title\u{7}`);
    expect((await cli.run(['txn', 'show', '1'])).stdout).not.toContain('\u001b');
    const refused = await cli.run(['txn', 'apply', 'no\u001b[31mplan']);
    expect(refused.stderr).toContain(String.raw`no\u{1b}[31mplan`);
  });
});
