import { hostname, userInfo } from 'node:os';
import { describe, expect, test } from 'vitest';
import { json, planOf, useCommandLine, writing } from '../support/command.js';

const cli = useCommandLine();
const by = `${userInfo().username}@${hostname()}`;

async function apply(content: string): Promise<void> {
  const input = planOf(writing('a.md', content));
  const outcome = await cli.run(['txn', 'apply', '-m', `write ${content.trim()}`], { input });
  expect(outcome).toMatchObject({ exitCode: 0 });
}

describe('rollback and history', () => {
  test('say what they do, before and after', async () => {
    cli.write('other', 'other');
    await cli.run(['txn', 'init']);
    for (const content of ['one\n', 'two\n', 'three\n']) await apply(content);
    expect(await cli.run(['rollback', '1', '--analyze'])).toMatchObject({
      exitCode: 0,
      stdout: 'Would roll back to transaction 1: 1 changed (1 replaced).\nM a.md\n',
    });
    expect(cli.read('a.md')).toBe('three\n');
    expect(await cli.run(['txn', 'rollback', '1', '-m', 'two was wrong'])).toMatchObject({
      exitCode: 0,
      stdout: 'Rolled back to transaction 1 by transaction 4: 1 changed (1 replaced).\nM a.md\n',
      stderr: '',
    });
    expect(cli.read('a.md')).toBe('one\n');
    await cli.run(['undo']);
    expect(cli.read('a.md')).toBe('three\n');
    const { stdout } = await cli.run(['history', '-n', '3']);
    const lines = stdout.split('\n');
    expect(lines[0]).toMatch(/^5 {2}\S+ {2}undo of 4 {7}1 change {2}by /);
    expect(lines[1]).toBe('   undo 4: two was wrong');
    expect(lines[2]).toMatch(/^4 {2}\S+ {2}rollback 3 → 1 {2}1 change {2}by /);
    expect(lines[3]).toBe('   two was wrong');
    expect(lines.at(-2)).toBe('Older ones: skillmeat history --before 3');
  });

  test('have every key in --json', async () => {
    cli.write('other', 'other');
    await cli.run(['txn', 'init']);
    await apply('one\n');
    await apply('two\n');
    const done = json(await cli.run(['rollback', '0', '--only', 'a.md', '--json']));
    expect(done).toEqual({
      transaction: expect.objectContaining({
        id: 3,
        annotations: { rollsBackTo: 0, paths: ['a.md'], by },
      }) as object,
      to: 0,
      paths: [{ path: 'a.md', outcome: 'restored' }],
      conflicts: [],
      unmerged: [],
      needsForce: null,
    });
    const { history } = json(await cli.run(['history', '--json'])) as { history: object[] };
    expect(history[0]).toEqual({
      id: 3,
      uuid: expect.any(String) as string,
      state: 'committed',
      message: 'roll back to 0',
      committedAt: expect.any(String) as string,
      changeCount: 1,
      reason: null,
      isPinned: false,
      isPruned: false,
      tags: [],
      annotations: { rollsBackTo: 0, paths: ['a.md'], by },
      kind: 'rollback',
      from: 2,
      to: 0,
    });
    expect(history[1]).toMatchObject({ id: 2, kind: 'change', from: null, to: null });
  });

  test('name what was edited by hand: 3 when asked, 5 when done', async () => {
    cli.write('other', 'other');
    await cli.run(['txn', 'init']);
    await apply('one\n');
    await apply('two\n');
    cli.write('a.md', 'by hand\n');
    const analysis = await cli.run(['rollback', '1', '--keep-local', '--analyze']);
    expect(analysis.exitCode).toBe(3);
    expect(analysis.stdout).toMatch(
      /^Would be refused: 1 path in conflict\.\nC a\.md {2}it cannot/,
    );
    expect(await cli.run(['rollback', '1', '--keep-local'])).toMatchObject({
      exitCode: 5,
      stderr: expect.stringContaining('[UNDO_CONFLICT]') as string,
    });
    expect(cli.read('a.md')).toBe('by hand\n');
    const { stdout } = await cli.run(['rollback', '1']);
    expect(stdout).toContain('1 path changed by other programs gives way');
    expect(cli.read('a.md')).toBe('one\n');
    await cli.run(['snapshot', 'create', 'then']);
    await apply('four\n');
    expect((await cli.run(['rollback', 'snapshot:then'])).stdout).toMatch(
      /^Rolled back to snapshot then by transaction 5: 1 changed/,
    );
    expect(cli.read('a.md')).toBe('one\n');
    expect(await cli.run(['rollback', 'yesterday'])).toMatchObject({
      exitCode: 4,
      stderr: expect.stringContaining('[SNAPSHOT_NOT_FOUND]') as string,
    });
    expect((await cli.run(['rollback', 'snapshot:'])).exitCode).toBe(2);
  });
});

test('--keep-local of a snapshot merges, and says what it could not', async () => {
  await cli.run(['txn', 'init']);
  const lines = (a: string, z: string): string => `${a}\n2\n3\n4\n5\n6\n7\n${z}\n`;
  cli.write('b.md', 'one');
  await apply(lines('old', 'z'));
  await cli.run(['snapshot', 'create', 'then']);
  await apply(lines('new', 'z'));
  await cli.run(['txn', 'apply'], { input: planOf(writing('b.md', 'two')) });
  await cli.run(['snapshot', 'create', 'since']);
  cli.write('a.md', lines('new', 'mine'));
  cli.write('b.md', 'mine');
  const planned = await cli.run(['rollback', 'then', '--keep-local', '-n', '--json']);
  const why = 'both sides changed it at line 1 of what was merged';
  expect(planned.exitCode).toBe(0);
  expect(json(planned)).toMatchObject({
    transaction: { id: null },
    to: 'then',
    paths: [
      { path: 'a.md', outcome: 'merged' },
      { path: 'b.md', outcome: 'kept' },
    ],
    conflicts: [],
    unmerged: [{ path: 'b.md', why }],
  });
  expect(await cli.run(['rollback', 'then', '--keep-local'])).toMatchObject({
    exitCode: 0,
    stdout:
      'Rolled back to snapshot then by transaction 4: 1 changed (1 replaced).\nM a.md\n1 path merged with what was changed since\n1 path kept as it is\n',
    stderr: `skillmeat: warning: kept, not merged: b.md (${why})\n`,
  });
  expect([cli.read('a.md'), cli.read('b.md')]).toEqual([lines('old', 'mine'), 'mine']);
});

test('metrics count what was done', async () => {
  cli.write('other', 'other');
  await cli.run(['txn', 'init']);
  await apply('one\n');
  await apply('two\n');
  await cli.run(['undo']);
  await cli.run(['snapshot', 'create']);
  const { metrics } = json(await cli.run(['metrics', '--json'])) as { metrics: object };
  expect(metrics).toEqual({
    root: cli.directory,
    transactions: 3,
    changes: 3,
    kinds: { change: 2, undo: 1, redo: 0, rollback: 0, restore: 0, adopt: 0 },
    rolledBack: 0,
    blocked: 0,
    damaged: 0,
    unsettled: 3,
    quarantined: 0,
    snapshots: 1,
    lastFailure: null,
  });
  const text = await cli.run(['txn', 'metrics', '--prometheus']);
  expect(text.stdout).toContain('skillmeat_transactions_total 3\nskillmeat_changes_total 3\n');
  expect(text.stdout).toContain('skillmeat_kind_total{kind="undo"} 1\n');
});
