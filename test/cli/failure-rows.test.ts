import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { json, type Outcome, useCommandLine } from '../support/command.js';
import { describeTree } from '../support/processes.js';
import { giveAway, unprivilegedUser } from '../support/unprivileged.js';

/*
 * What somebody does to the store by hand: each command says what it is, and no file of the
 * collection is touched. The other rows: collection/failure-rows.
 */

const cli = useCommandLine();
const env = (): Record<string, string> => ({
  SKILLMEAT_HOME: cli.at('home'),
  HOME: cli.at('.'),
});

async function run(...args: readonly string[]): Promise<Outcome> {
  return cli.run(['-C', 'work', ...args], { env: env() });
}

async function ok(...args: readonly string[]): Promise<string> {
  const outcome = await run(...args);
  expect(outcome).toMatchObject({ exitCode: 0 });
  return outcome.stdout;
}

/** A collection with a skill, a snapshot of it, and a newer version of it. */
async function collection(): Promise<void> {
  cli.write('work/skills/canvas/SKILL.md', '# old\n');
  cli.write('canvas/SKILL.md', '# new\n');
  cli.write('newer/canvas/SKILL.md', '# newer\n');
  await ok('import', 'work');
  await ok('snapshot', 'create', 'then');
  await ok('add', './canvas', '--force');
}

const tree = (): readonly string[] => describeTree(cli.at('work'));

test('a snapshot whose contents were deleted by hand is named, and nothing else is affected', async () => {
  await collection();
  fs.rmSync(cli.at('work/.skillmeat/objects'), { recursive: true });
  const before = tree();
  for (const [args, exitCode, words] of [
    [['restore', 'then'], 3, 'warning: not restored: .'],
    [['rollback', 'then'], 5, '[UNDO_CONFLICT]'],
    [['rollback', 'then', '--only', 'canvas'], 8, '[HISTORY_DAMAGED]'],
  ] as const) {
    const outcome = await run(...args);
    expect(outcome, args.join(' ')).toMatchObject({ exitCode });
    expect(outcome.stderr).toContain(words);
    expect(outcome.stderr).toContain('is damaged: it is missing');
    expect(tree()).toEqual(before);
  }
  const verified = await run('verify', '--json');
  expect(verified.exitCode).toBe(3);
  expect(json(verified)).toMatchObject({
    verification: { findings: [{ snapshot: 1, level: 'damage' }], collection: [] },
  });
  // What does not need it goes on.
  await ok('add', './newer/canvas', '--force');
});

test('history that was deleted by hand is named, and nothing else is affected', async () => {
  await collection();
  // A snapshot would have it still.
  fs.rmSync(cli.at('work/.skillmeat/objects'), { recursive: true });
  const stage = cli.at('work/.skillmeat/stage');
  for (const name of fs.readdirSync(stage)) fs.rmSync(join(stage, name), { recursive: true });
  const before = tree();
  for (const args of [['undo'], ['rollback', '1', '--only', 'canvas']] as const) {
    const outcome = await run(...args);
    expect(outcome, args.join(' ')).toMatchObject({ exitCode: 8 });
    expect(outcome.stderr).toContain('[HISTORY_DAMAGED]');
    expect(tree()).toEqual(before);
  }
  expect(await run('verify')).toMatchObject({ exitCode: 3 });
  await ok('add', './newer/canvas', '--force');
  expect(await ok('status')).toContain('Everything is as the lock has it.');
});

test('a store that is read-only is named; what only reads the collection goes on', async () => {
  await collection();
  const before = tree();
  giveAway(cli.directory);
  fs.mkdirSync(cli.at('home'), { recursive: true });
  giveAway(cli.at('home'));
  fs.chmodSync(cli.directory, 0o755);
  const store = cli.at('work/.skillmeat');
  setModes(store, 0o500, 0o400);
  const change = asNobody('add', './newer/canvas', '--force');
  expect(change.exitCode).toBe(9);
  expect(change.stderr).toMatch(/\[(?:PERMISSION_DENIED|READ_ONLY)\]/);
  expect(change.stderr).toContain('hint:');
  expect(tree()).toEqual(before);
  for (const command of ['list', 'status']) {
    const { exitCode, stderr } = asNobody(command);
    expect(exitCode, command).toBe(0);
    expect(stderr).toMatch(/warning: .* shown as it is on the disk/);
  }
  setModes(store, 0o700, 0o600);
  expect(asNobody('add', './newer/canvas', '--force')).toMatchObject({ exitCode: 0, stderr: '' });
  expect(cli.read('work/skills/canvas/SKILL.md')).toBe('# newer\n');
});

test.each([
  ['SKILL.md', 2],
  ['.', 3],
  ['..', 3],
] as const)(
  'an artifact that cannot be read (%s) is named, and the rest is looked at',
  async (denied, findings) => {
    await collection();
    giveAway(cli.directory);
    fs.mkdirSync(cli.at('home'), { recursive: true });
    giveAway(cli.at('home'));
    fs.chmodSync(cli.directory, 0o755);
    const at = cli.at(join('work/skills/canvas', denied));
    const { mode } = fs.statSync(at);
    fs.chmodSync(at, 0);
    const status = asNobody('status');
    expect(status).toMatchObject({ exitCode: 3, stderr: '' });
    expect(status.stdout).toMatch(/^C4 skills\/canvas: it cannot be read: EACCES/m);
    const verify = asNobody('verify');
    expect(verify).toMatchObject({ exitCode: 3, stderr: '' });
    expect(verify.stdout).toMatch(/cannot read skills\/canvas\/SKILL.md: EACCES.*path-unreadable/);
    expect(verify.stdout).toMatch(new RegExp(`^${String(findings)} findings; `, 'm'));
    const change = asNobody('remove', 'canvas');
    expect(change.exitCode).toBe(9);
    expect(change.stderr).toMatch(/EACCES.*\[PERMISSION_DENIED\]/);
    fs.chmodSync(at, mode);
    expect(asNobody('status')).toMatchObject({ exitCode: 0, stderr: '' });
  },
);

/** What `status` remembers, once nothing is too young for that. */
async function remembered(): Promise<string> {
  const cache = cli.at('work/.skillmeat/hash-cache');
  for (;;) {
    await ok('status');
    // Not there while everything is too young.
    if (fs.existsSync(cache) && fs.readFileSync(cache).includes('skills/canvas')) return cache;
  }
}

test('status tells an edit whatever became of its cache', async () => {
  await collection();
  const cache = await remembered();
  cli.write('work/skills/canvas/SKILL.md', '# NEW\n');
  const whole = fs.readFileSync(cache);
  const damage: readonly (() => void)[] = [
    () => undefined,
    () => {
      fs.writeFileSync(cache, whole.fill(0, 40, 60));
    },
    () => {
      fs.truncateSync(cache, 50);
    },
    () => {
      fs.rmSync(cache);
    },
    () => {
      fs.rmSync(cache, { force: true });
      fs.mkdirSync(cache);
    },
  ];
  for (const act of damage) {
    act();
    const outcome = await run('status');
    expect(outcome).toMatchObject({ exitCode: 0, stderr: '' });
    expect(outcome.stdout).toContain('M skill/canvas  edited by hand');
  }
});

test('status goes on where nothing can be written, and believes nothing that it cannot check', async () => {
  await collection();
  await remembered();
  cli.write('work/skills/canvas/SKILL.md', '# NEW\n');
  giveAway(cli.directory);
  fs.chmodSync(cli.directory, 0o755);
  const before = tree();
  for (const directory of ['work/.skillmeat', 'work']) {
    fs.chmodSync(cli.at(directory), 0o500);
    const { exitCode, stdout } = asNobody('status');
    expect(exitCode).toBe(0);
    expect(stdout).toContain('M skill/canvas  edited by hand');
  }
  fs.chmodSync(cli.at('work'), 0o755);
  fs.chmodSync(cli.at('work/.skillmeat'), 0o700);
  expect(tree()).toEqual(before);
});

test('status goes on while another process holds the lock', async () => {
  await collection();
  await remembered();
  cli.write('work/skills/canvas/SKILL.md', '# NEW\n');
  const holder = await cli.holdLock('work');
  const outcome = await run('status');
  expect(outcome).toMatchObject({ exitCode: 0, stderr: '' });
  expect(outcome.stdout).toContain('M skill/canvas  edited by hand');
  holder.child.kill('SIGKILL');
  await holder.outcome;
  expect((await run('status')).stdout).toContain('M skill/canvas  edited by hand');
});

/** Root is told of no permission error. */
function asNobody(...args: readonly string[]): Pick<Outcome, 'exitCode' | 'stdout' | 'stderr'> {
  const main = join(import.meta.dirname, '../../dist/bin/skillmeat.js');
  const user = unprivilegedUser === 0 ? {} : { uid: unprivilegedUser, gid: unprivilegedUser };
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, '-C', 'work', ...args], {
    cwd: cli.directory,
    env: { ...process.env, ...env() },
    encoding: 'utf8',
    ...user,
  });
  return { exitCode: status, stdout, stderr };
}

function setModes(directory: string, directoryMode: number, fileMode: number): void {
  fs.chmodSync(directory, 0o700);
  for (const entry of fs.readdirSync(directory, { withFileTypes: true })) {
    const at = join(directory, entry.name);
    if (entry.isDirectory()) setModes(at, directoryMode, fileMode);
    else if (entry.isFile()) fs.chmodSync(at, fileMode);
  }
  fs.chmodSync(directory, directoryMode);
}
