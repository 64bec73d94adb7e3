import { rmSync } from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import { openStore } from '../../src/engine/index.js';
import { json, planOf, useCommandLine, writing } from '../support/command.js';

const cli = useCommandLine();

beforeEach(async () => {
  await cli.run(['txn', 'init']);
  cli.write('a', 'before');
  for (const text of ['one', 'two']) {
    await cli.run(['txn', 'apply'], { input: planOf(writing('a', text)) });
  }
});

const day = 86_400_000;

/** Makes the store of `beforeEach` anew, as if that had been some days ago: what is young is not pruned. */
async function makeDaysAgo(days: number): Promise<void> {
  rmSync(cli.at('.skillmeat'), { recursive: true });
  cli.write('a', 'before');
  const now = (): number => Date.now() - days * day;
  await using store = await openStore(cli.directory, { create: true, now });
  for (const text of ['one', 'two']) await store.transact({}, (tx) => tx.write('a', text));
}

const anySize = expect.any(Number) as number;

describe.each([[[]], [['txn']]])('%j', (prefix) => {
  test('du prints what history costs, part by part', async () => {
    await cli.run(['snapshot', 'create', 'first']);
    const { exitCode, stdout } = await cli.run([...prefix, 'du']);
    expect(exitCode).toBe(0);
    expect(stdout.replaceAll(/^ *\d+ {2}/gm, '')).toMatch(
      /^log of 2 transactions\ndisplaced by transactions\n {2}2 transactions of the last day: 1–2\n0 packs of 0 contents\n1 snapshot\n {2}1 "first" alone; \d+ bytes with what it shares\n0 deleted snapshots, kept for a week\n0 contents that no snapshot names\n0 items in quarantine\nbytes in \.skillmeat altogether\n$/,
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
      packed: { packs: 0, contents: 0, bytes: 0 },
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
      /^keep {2}2 {2}\d{4}-.*Z {2}not a day old {2}3 bytes\nkeep {2}1 .* 6 bytes\nWould drop what 0 transactions displaced, 0 bytes of 9\.\n$/,
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
    const planned = await cli.run([...prefix, 'prune', '--keep-last', '9', '--pack', '-n']);
    expect(planned.stdout).toMatch(
      /\nas it is {2}1 displaced item, 3 bytes: the newest transaction\nas it is {2}1 displaced item, 6 bytes: not a day old\nWould drop .*\nWould pack 0 contents; files of 0 bytes would go\.\n$/,
    );
    const packed = await cli.run([...prefix, 'prune', '--keep-last', '9', '--pack', '--json']);
    const left = [
      { reason: 'the newest transaction', slots: 1, bytes: 3 },
      { reason: 'not a day old', slots: 1, bytes: 6 },
    ];
    const sizes = { contents: 0, packs: 0, bytesBefore: 0, bytesAfter: 0 };
    expect(json(packed)).toMatchObject({ pruning: { packed: { ...sizes, left, blocked: null } } });
    // By now they were settled before, and are as young.
    const again = await cli.run([...prefix, 'prune', '--keep-last', '1', '-q']);
    expect(again.stdout).toBe('Dropped what 0 transactions displaced, 0 bytes of 9.\n');
    expect(await cli.run([...prefix, 'prune', '--keep-last', 'x'])).toMatchObject({ exitCode: 2 });
  });

  test('prune drops what is a day old, and undo says so', async () => {
    await makeDaysAgo(2);
    const daily = await cli.run([...prefix, 'prune', '--keep-daily', '2', '-n']);
    expect(daily.stdout).toMatch(/^keep {2}2 .* the newest .*\ndrop {2}1 .* no rule keeps it /);
    const pruned = await cli.run([...prefix, 'prune', '--keep-last', '1', '-q']);
    expect(pruned.stdout).toBe(
      'Dropped what 1 transaction displaced, 6 bytes of 9; the oldest that can be undone is then 2.\n',
    );
    const undone = await cli.run(['undo', '1', '--json']);
    expect(undone.exitCode).toBe(4);
    expect(json(undone)).toMatchObject({ error: { code: 'HISTORY_PRUNED' } });
  });
});

test('pin, tag and their opposites say what is kept then, and log and show tell it', async () => {
  expect((await cli.run(['txn', 'pin', '1'])).stdout).toBe(
    'Transaction 1 is pinned: what it displaced is kept.\n',
  );
  expect((await cli.run(['txn', 'tag', '1', 'good', 'v1'])).stdout).toBe(
    'Transaction 1 is pinned and tagged good, v1: what it displaced is kept.\n',
  );
  expect((await cli.run(['log'])).stdout).toMatch(/^2 .*\n1 .* {2}\[pinned\] {2}#good {2}#v1/);
  expect((await cli.run(['history'])).stdout).toMatch(/\[pinned\] {2}#good {2}#v1/);
  expect((await cli.run(['txn', 'show', '1'])).stdout).toContain('Tags:      good, v1\n');
  const shown = await cli.run(['txn', 'show', '1', '--json']);
  expect(json(shown)).toMatchObject({
    transaction: { isPruned: false, isPinned: true, tags: ['good', 'v1'] },
  });
  const untagged = await cli.run(['txn', 'untag', '1', 'good', '--json']);
  expect(json(untagged)).toMatchObject({ transaction: { id: 1, tags: ['v1'] } });
  await cli.run(['txn', 'untag', '1', 'v1']);
  expect((await cli.run(['txn', 'unpin', '1'])).stdout).toBe(
    'Transaction 1 is neither pinned nor tagged, and can be pruned.\n',
  );
  expect(await cli.run(['txn', 'tag', '1', ' '])).toMatchObject({ exitCode: 4 });
  expect(await cli.run(['txn', 'pin', '7'])).toMatchObject({ exitCode: 4 });
  await makeDaysAgo(2);
  await cli.run(['prune', '--keep-last', '1']);
  expect((await cli.run(['log'])).stdout).toMatch(/\n1 .* {2}\[pruned\]/);
  expect((await cli.run(['txn', 'show', '1'])).stdout).toContain('Pruned: ');
  expect((await cli.run(['txn', 'unpin', '1'])).stdout).toContain('and is pruned.');
});

test('policy prints what prune keeps to, sets it and takes it back', async () => {
  const byDefault =
    'Kept is what was displaced of the last 1000 transactions, up to 2147483648 bytes, by default. It is packed when it is 1048576 bytes. The log keeps the records of the last 10000 transactions at least.\n';
  expect((await cli.run(['txn', 'policy'])).stdout).toBe(byDefault);
  expect((await cli.run(['txn', 'policy', '--keep-within', '30d'])).stdout).toBe(
    "Kept is what was displaced of those that are younger than 30 days, by this store's own policy. It is packed when it is 1048576 bytes. The log keeps the records of the last 10000 transactions at least.\n",
  );
  const set = await cli.run([
    'txn',
    'policy',
    '--keep-last',
    '5',
    '--keep-within',
    '36h',
    '--json',
  ]);
  expect(json(set)).toEqual({
    policy: {
      isDefault: false,
      keepLast: 5,
      keepWithinMs: 129_600_000,
      keepDaily: null,
      keepWeekly: null,
      keepMonthly: null,
      sizeBytesMax: null,
      keepRecords: null,
      packFromBytes: null,
    },
  });
  expect((await cli.run(['txn', 'policy'])).stdout).toContain(
    'of the last 5 transactions, and of those that are younger than 36 hours,',
  );
  const daily = await cli.run(['txn', 'policy', '--keep-daily', '7', '--keep-monthly', '1']);
  expect(daily.stdout).toContain(
    'Kept is what was displaced of the last one of each of 7 days, 1 month, by',
  );
  const some = await cli.run(['txn', 'policy', '--keep-records', '7']);
  expect(some.stdout).toMatch(/ The log keeps the records of the last 7 transactions at least.\n$/);
  const later = await cli.run(['txn', 'policy', '--pack-from', '2M']);
  expect(later.stdout).toContain(
    " of all transactions, by this store's own policy. It is packed when it is 2097152 bytes. ",
  );
  const never = await cli.run(['txn', 'policy', '--pack-from', '0']);
  expect(never.stdout).toContain(' It is packed only when asked for. ');
  const both = await cli.run(['txn', 'policy', '--reset', '--keep-last', '5']);
  expect(both.exitCode).toBe(2);
  expect((await cli.run(['txn', 'policy', '--reset'])).stdout).toBe(byDefault);
});
