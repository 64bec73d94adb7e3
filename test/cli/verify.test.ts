import { rmSync, writeFileSync } from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import { json, planOf, useCommandLine, writing } from '../support/command.js';

const cli = useCommandLine();

beforeEach(async () => {
  await cli.run(['txn', 'init']);
  await cli.run(['txn', 'apply'], { input: planOf(writing('a', 'one'), writing('b', 'two')) });
  await cli.run(['snapshot', 'create', 'first']);
});

const verified = {
  transactions: 1,
  slots: 0,
  snapshots: 1,
  objects: 3,
  packs: 0,
  paths: 2,
  lost: 0,
};

describe.each([[[]], [['txn']]])('%j verify', (prefix) => {
  test('a healthy store: 0, and what was looked at', async () => {
    expect(await cli.run([...prefix, 'verify'])).toMatchObject({
      exitCode: 0,
      stdout:
        'No findings; looked at 1 transaction, 0 contents in history, 1 snapshot, 3 objects, 2 paths.\n',
      stderr: '',
    });
    const deep = await cli.run([...prefix, 'verify', '--deep', '--json']);
    expect(deep.exitCode).toBe(0);
    expect(json(deep)).toEqual({
      verification: { isDeep: true, findings: [], verified, collection: null },
    });
  });

  test('findings: 3, each with its kind and the promise', async () => {
    cli.write('a', 'edited');
    writeFileSync(cli.at('.skillmeat/stage/mine'), 'mine');
    const text = await cli.run([...prefix, 'verify']);
    expect(text.exitCode).toBe(3);
    expect(text.stdout).toMatch(
      /^leftover stage\/mine .* \[stage-orphan, I3\]\ndrift {4}"a" was changed .* \[drift, I5\]\n2 findings; looked at .*\n$/,
    );
    const data = await cli.run([...prefix, 'verify', '--json']);
    expect(data.exitCode).toBe(3);
    expect(json(data)).toMatchObject({
      verification: {
        isDeep: false,
        findings: [
          { kind: 'stage-orphan', level: 'leftover', place: 'stage/mine', path: null },
          {
            kind: 'drift',
            level: 'drift',
            promise: 'I5',
            path: 'a',
            place: null,
            transaction: 1,
            snapshot: null,
            sha256: null,
          },
        ],
      },
    });
  });
});

test('verify names what keeps a store from being opened: 3', async () => {
  rmSync(cli.at('.skillmeat/journal.db'));
  const text = await cli.run(['verify']);
  expect(text.exitCode).toBe(3);
  expect(text.stdout).toContain('[store-unopenable, I2]');
  expect(text.stdout).toContain('1 finding; the store cannot be opened.');
  expect(json(await cli.run(['verify', '--json']))).toMatchObject({
    verification: { findings: [{ kind: 'store-unopenable' }], verified: null },
  });
});

test('verify without a store is refused', async () => {
  rmSync(cli.at('.skillmeat'), { recursive: true });
  expect(await cli.run(['verify'])).toMatchObject({ exitCode: 7 });
});

test('repair says what it would do, does it with --yes, and says what is left', async () => {
  cli.write('a', 'edited');
  writeFileSync(cli.at('.skillmeat/stage/mine'), 'mine');
  const dry = await cli.run(['repair']);
  expect(dry.exitCode).toBe(3);
  expect(dry.stdout).toContain('  would    move it to quarantine\n');
  expect(dry.stdout).toContain(
    '2 findings; nothing was changed. Do it with: skillmeat repair --yes',
  );
  expect(json(await cli.run(['txn', 'repair', '-n', '--json']))).toMatchObject({
    repair: {
      isDryRun: true,
      repairs: [
        { finding: { kind: 'stage-orphan' }, action: 'set-aside', outcome: 'planned', error: null },
        { finding: { kind: 'drift', path: 'a' }, action: 'adopt', outcome: 'planned' },
      ],
      findings: null,
    },
  });
  const done = await cli.run(['repair', '--yes']);
  expect(done).toMatchObject({ exitCode: 0, stderr: '' });
  expect(done.stdout).toContain('2 findings answered, none is left.\n');
  expect(cli.read('a')).toBe('edited');
  expect(await cli.run(['repair', '--yes'])).toMatchObject({
    exitCode: 0,
    stdout: 'Nothing to repair.\n',
  });
  expect((await cli.run(['repair', '--yes', '-n'])).exitCode).toBe(2);
});

test.each([
  [
    'journal.db',
    '0 transactions and 1 snapshot kept, 1 of them by their contents alone; transactions 1 to 1 are lost',
  ],
  ['stage', '1 transaction and 1 snapshot kept; no transaction is lost'],
])('repair builds a journal anew, and says what is lost: %s is gone', async (name, said) => {
  rmSync(cli.at(`.skillmeat/${name}`), { recursive: true });
  const dry = await cli.run(['repair']);
  expect(dry.exitCode).toBe(3);
  expect(dry.stdout).toContain(`Would build the journal anew: ${said}`);
  const done = await cli.run(['repair', '--yes', '--json']);
  expect(done.exitCode).toBe(0);
  expect(json(done)).toMatchObject({
    repair: {
      isDryRun: false,
      repairs: [{ finding: { kind: 'store-unopenable' }, action: 'rebuild', outcome: 'done' }],
      rebuilt: { snapshots: 1 },
      findings: [],
    },
  });
  expect(await cli.run(['verify', '--deep'])).toMatchObject({ exitCode: 0 });
  expect(cli.read('a')).toBe('one');
});
