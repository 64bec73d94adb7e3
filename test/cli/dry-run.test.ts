import type { Command } from 'commander';
import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { buildProgram } from '../../src/cli/program.js';
import { json, type Outcome, planOf, useCommandLine, writing } from '../support/command.js';

/** Write nothing of a person's: at most what SkillMeat remembers for itself. */
const readers: ReadonlySet<string> = new Set([
  'collection list',
  'collection path',
  'list',
  'show',
  'status',
  'outdated',
  'diff',
  'snapshot list',
  'snapshot show',
  'snapshot diff',
  'log',
  'history',
  'metrics',
  'verify',
  'du',
  'txn status',
  'txn show',
  'txn doctor',
  'txn cat',
  'txn blame',
  'txn log',
  'txn history',
  'txn metrics',
  'txn diff',
  'txn du',
  'txn verify',
  'txn snapshot list',
  'txn snapshot show',
  'txn snapshot diff',
]);

function commandsOf(command: Command, names: readonly string[] = []): [string, Command][] {
  if (command.commands.length === 0) return [[names.join(' '), command]];
  return command.commands.flatMap((below) => commandsOf(below, [...names, below.name()]));
}

const commands = commandsOf(
  buildProgram({ writeOut: () => {}, writeErr: () => {}, runCommand: async () => {} }),
);

test.each(commands)('%s writes nothing, or has a dry run', (name, command) => {
  const hasDryRun = command.options.some(
    ({ short, long }) => short === '-n' && long === '--dry-run',
  );
  expect(hasDryRun).toBe(!readers.has(name));
});

test('what is said to write nothing is there', () => {
  const names = new Set(commands.map(([name]) => name));
  expect([...readers].filter((name) => !names.has(name))).toEqual([]);
});

describe('a dry run', () => {
  const cli = useCommandLine();

  async function run(...args: readonly string[]): Promise<Outcome> {
    return cli.run(args, { env: { SKILLMEAT_HOME: cli.at('home'), HOME: cli.at('.') } });
  }

  test('of init and collection use makes and uses nothing', async () => {
    expect(await run('init', '-n', '--json')).toMatchObject({
      exitCode: 0,
      stdout: `${JSON.stringify({
        collection: {
          root: cli.at('home/collections/default'),
          name: 'default',
          created: true,
          inUse: true,
          isDryRun: true,
        },
      })}\n`,
    });
    expect((await run('init', '-n')).stdout).toBe(
      `Would make a collection in ${cli.at('home/collections/default')}. It would be the one in use.\n`,
    );
    expect(existsSync(cli.at('home'))).toBe(false);
    expect(await run('init', '../x', '-n')).toMatchObject({ exitCode: 4 });

    await run('init');
    await run('init', 'other');
    expect((await run('init', '-n')).stdout).toContain('There is a collection already in');
    expect((await run('collection', 'use', 'other', '-n')).stdout).toBe('Would use other.\n');
    expect(json(await run('collection', 'use', 'other', '-n', '--json'))).toEqual({
      collection: {
        name: 'other',
        root: cli.at('home/collections/other'),
        inUse: true,
        isDryRun: true,
      },
    });
    expect(await run('collection', 'use', 'none', '-n')).toMatchObject({ exitCode: 7 });
    expect((await run('collection', 'path')).stdout).toContain('collections/default');
  });

  test('of txn init makes no store', async () => {
    expect((await run('txn', 'init', 'new', '-n')).stdout).toBe(
      `Would make a store in ${cli.at('new')}/.skillmeat.\n`,
    );
    expect(existsSync(cli.at('new'))).toBe(false);
    await run('txn', 'init', 'new');
    expect(json(await run('txn', 'init', 'new', '-n', '--json'))).toEqual({
      store: { root: cli.at('new'), created: false, isDryRun: true },
    });
  });

  test('of marks and policies says what would be, and refuses what would be refused', async () => {
    await run('txn', 'init', '.');
    await cli.run(['txn', 'apply'], { input: planOf(writing('a')) });
    const marks = async (): Promise<unknown> => json(await run('txn', 'show', '1', '--json'));
    const before = await marks();
    expect((await run('txn', 'pin', '1', '-n')).stdout).toBe(
      'Transaction 1 would be pinned: what it displaced is kept.\n',
    );
    expect(json(await run('txn', 'tag', '1', 'good', '-n', '--json'))).toMatchObject({
      transaction: { id: 1, isPinned: false, tags: ['good'] },
    });
    expect(await run('txn', 'tag', '1', '', '-n')).toMatchObject({ exitCode: 4 });
    expect(await run('txn', 'pin', '7', '-n')).toMatchObject({ exitCode: 4 });
    expect(await marks()).toEqual(before);
    await run('txn', 'tag', '1', 'good');
    await run('txn', 'pin', '1');
    expect((await run('txn', 'untag', '1', 'good', '-n')).stdout).toContain('would be pinned:');
    expect((await run('txn', 'unpin', '1', '-n')).stdout).toContain('would be tagged good:');
    expect(await marks()).toMatchObject({ transaction: { isPinned: true, tags: ['good'] } });

    const policy = async (): Promise<unknown> => json(await run('txn', 'policy', '--json'));
    const kept = await policy();
    expect(json(await run('txn', 'policy', '--keep-last', '5', '-n', '--json'))).toMatchObject({
      policy: { isDefault: false, keepLast: 5 },
    });
    expect(await policy()).toEqual(kept);
    await run('txn', 'policy', '--keep-last', '5');
    expect(json(await run('txn', 'policy', '--reset', '-n', '--json'))).toEqual(kept);
    expect(await policy()).toMatchObject({ policy: { keepLast: 5 } });
  });

  test('of recover says what would be looked at', async () => {
    await run('txn', 'init', '.');
    expect((await run('txn', 'recover', '-n')).stdout).toBe('Nothing to recover.\n');
    await cli.run(['txn', 'apply'], { input: planOf(writing('a')) });
    expect((await run('txn', 'recover', '-n')).stdout).toBe('Would check 1 transaction: 1.\n');
    expect(json(await run('txn', 'recover', '-n', '--json'))).toEqual({
      recovery: { transactions: [1], changed: 0, superseded: [], unresolved: [] },
    });
    expect(await run('txn', 'recover', '-n', '--adopt')).toMatchObject({ exitCode: 2 });
    expect(await run('txn', 'recover', '-n', '--redo', '1')).toMatchObject({ exitCode: 4 });
  });
});
