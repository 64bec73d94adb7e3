import { beforeEach, describe, expect, test } from 'vitest';
import { json, planOf, useCommandLine, writing } from '../support/command.js';

const cli = useCommandLine();

beforeEach(async () => {
  await cli.run(['txn', 'init']);
  cli.write('a', 'before');
  for (const text of ['one', 'two']) {
    await cli.run(['txn', 'apply'], { input: planOf(writing('a', text)) });
  }
});

const anySize = expect.any(Number) as number;

describe.each([[[]], [['txn']]])('%j', (prefix) => {
  test('du prints what history costs, part by part', async () => {
    await cli.run(['snapshot', 'create', 'first']);
    const { exitCode, stdout } = await cli.run([...prefix, 'du']);
    expect(exitCode).toBe(0);
    expect(stdout.replaceAll(/^ *\d+ {2}/gm, '')).toMatch(
      /^log of 2 transactions\ndisplaced by transactions\n {2}2 transactions of the last day: 1–2\n1 snapshot\n {2}1 "first" alone; \d+ bytes with what it shares\n0 deleted snapshots, kept for a week\n0 contents that no snapshot names\n0 items in quarantine\nbytes in \.skillmeat altogether\n$/,
    );
    const { usage } = json(await cli.run([...prefix, 'du', '--json'])) as { usage: object };
    expect(usage).toEqual({
      bytes: anySize,
      journal: { transactions: 2, bytes: anySize },
      displaced: {
        bytes: 9,
        prunedThrough: 0,
        ranges: [
          {
            age: 'day',
            from: 1,
            to: 2,
            since: expect.stringMatching(/Z$/) as string,
            transactions: 2,
            bytes: 9,
          },
        ],
      },
      snapshots: {
        bytes: anySize,
        each: [
          {
            snapshot: expect.objectContaining({ id: 1, name: 'first' }) as object,
            bytes: anySize,
            ownBytes: anySize,
          },
        ],
      },
      trash: { bytes: 0, each: [] },
      unreferenced: { objects: 0, bytes: 0 },
      quarantine: { items: 0, bytes: 0 },
    });
  });

  test('prune says of each transaction why it keeps what it displaced', async () => {
    const { stdout } = await cli.run([...prefix, 'prune', '--keep-last', '1', '-n']);
    expect(stdout).toMatch(
      /^keep {2}2 {2}\d{4}-.*Z {2}settled just now, and not a day old {2}3 bytes\nkeep {2}1 .* 6 bytes\nWould drop what 0 transactions displaced, 0 bytes of 9\.\n$/,
    );
    const pruned = await cli.run([...prefix, 'prune', '--max-size', '1', '--json']);
    expect(json(pruned)).toMatchObject({
      pruning: {
        isDryRun: false,
        transactions: [{ isKept: true, bytes: 3, transaction: { id: 2 } }, { isKept: true }],
        bytesBefore: 9,
        bytesAfter: 9,
        prunedThrough: 0,
      },
    });
    // By now they were settled before.
    const again = await cli.run([...prefix, 'prune', '--keep-last', '1', '-q']);
    expect(again.stdout).toBe(
      'Dropped what 1 transaction displaced, 6 bytes of 9; the oldest that can be undone is then 2.\n',
    );
    const undone = await cli.run(['undo', '1', '--json']);
    expect(undone.exitCode).toBe(4);
    expect(json(undone)).toMatchObject({ error: { code: 'HISTORY_PRUNED' } });
    expect(await cli.run([...prefix, 'prune', '--keep-last', 'x'])).toMatchObject({ exitCode: 2 });
  });
});
