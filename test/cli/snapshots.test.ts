import { existsSync, writeFileSync } from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import { json, useCommandLine } from '../support/command.js';

const cli = useCommandLine();

beforeEach(async () => {
  await cli.run(['txn', 'init']);
  cli.write('a', 'one');
  cli.write('d/b', 'b');
});

const snapshot = {
  id: 1,
  name: 'first',
  message: 'why',
  tags: ['t', 'u'],
  isPinned: true,
  createdAt: expect.stringMatching(/^\d{4}-.*Z$/) as string,
  head: 0,
  sha256: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
  files: 2,
  directories: 1,
  links: 0,
  bytes: 4,
  leftOut: 0,
  deletedAt: null,
  keptUntil: null,
};

const inTrash = {
  ...snapshot,
  deletedAt: expect.stringMatching(/^\d{4}-.*Z$/) as string,
  keptUntil: expect.stringMatching(/^\d{4}-.*Z$/) as string,
};

const create = ['snapshot', 'create', 'first', '-m', 'why', '--tag', 't', '--tag', 'u', '--pin'];

describe.each([[[]], [['txn']]])('%j snapshot', (prefix) => {
  test('create, list, show and delete print their shapes', async () => {
    const created = await cli.run([...prefix, ...create, '--json']);
    expect(created).toMatchObject({ exitCode: 0, stderr: '' });
    const added = { objects: 4, bytes: expect.any(Number) as number };
    expect(json(created)).toEqual({
      snapshot,
      added,
      leftOut: [],
      adopted: null,
      notAdopted: null,
      pruned: { snapshots: [], blocked: null },
    });
    const listed = await cli.run([...prefix, 'snapshot', 'list', '--json']);
    expect(json(listed)).toEqual({ snapshots: [snapshot] });
    const shown = await cli.run([...prefix, 'snapshot', 'show', 'latest', '--json']);
    expect(json(shown)).toEqual({ snapshot, paths: null });
    const files = await cli.run([...prefix, 'snapshot', 'show', '1', '--files', '--json']);
    const { paths } = json(files) as { paths: object[] };
    expect(paths.map((path) => Object.values(path)[0])).toEqual(['a', 'd', 'd/b']);
    expect(paths[0]).toEqual({
      path: 'a',
      kind: 'file',
      mode: '0644',
      size: 3,
      sha256: '7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed',
      target: null,
      why: null,
    });
    const refused = await cli.run([...prefix, 'snapshot', 'delete', 'first', '--json']);
    expect(refused.exitCode).toBe(4);
    expect(json(refused)).toMatchObject({ error: { code: 'SNAPSHOT_PINNED' } });
    const deleted = await cli.run([...prefix, 'snapshot', 'delete', 'first', '--force', '--json']);
    expect(json(deleted)).toEqual({ snapshot: inTrash, collected: { objects: 0, blocked: null } });
    const trash = await cli.run([...prefix, 'snapshot', 'list', '--deleted', '--json']);
    expect(json(trash)).toEqual({ snapshots: [inTrash] });
    const back = await cli.run([...prefix, 'snapshot', 'undelete', 'first', '--json']);
    expect(json(back)).toEqual({ snapshot });
  });

  test('diff compares a snapshot with now and with another one', async () => {
    await cli.run([...prefix, ...create]);
    cli.write('a', 'two');
    cli.write('new', 'n');
    const summary = await cli.run([...prefix, 'snapshot', 'diff', 'first']);
    expect(summary).toMatchObject({ exitCode: 0, stderr: '' });
    expect(summary.stdout).toMatch(/^2 changed \(1 created, 1 replaced\):\nM a .*\nA new .*\n$/);
    await cli.run([...prefix, 'snapshot', 'create', 'second']);
    const names = ['snapshot', 'diff', '1', 'snapshot:second', '--names'];
    expect((await cli.run([...prefix, ...names])).stdout).toBe('a\nnew\n');
    expect((await cli.run([...prefix, 'snapshot', 'diff', 'second', 'now'])).stdout).toBe(
      'No difference.\n',
    );
    const between = await cli.run([...prefix, 'diff', 'snapshot:first', 'snapshot:2', '--json']);
    expect(json(between)).toMatchObject({
      diff: { from: 'snapshot:first', to: 'snapshot:2', changes: [{ path: 'a' }, { path: 'new' }] },
    });
    const patch = await cli.run([...prefix, 'diff', 'snapshot:first', '-p', '--path', 'a']);
    expect(patch.stdout).toContain('\n-one\n');
    expect((await cli.run(['txn', 'cat', 'a', '--at', 'snapshot:first'])).stdout).toBe('one');
    expect(json(await cli.run(['txn', 'cat', 'a', '--at', 'snapshot:1', '--json']))).toMatchObject({
      file: { at: 'snapshot:1', base64: Buffer.from('one').toString('base64') },
    });
  });

  test('diff refuses what is no moment, and a snapshot that is not there', async () => {
    for (const line of [
      ['diff', 'snapshot:'],
      ['snapshot', 'diff', ''],
      ['snapshot', 'diff'],
    ]) {
      expect((await cli.run([...prefix, ...line])).exitCode).toBe(2);
    }
    const missing = await cli.run([...prefix, 'snapshot', 'diff', 'none']);
    expect(missing.exitCode).toBe(4);
    expect(missing.stderr).toContain('there is no snapshot "none" [SNAPSHOT_NOT_FOUND]');
  });

  test('restore brings back what differs, and says what', async () => {
    await cli.run([...prefix, ...create]);
    cli.write('a', 'two');
    const dry = await cli.run([...prefix, 'restore', 'first', '-n']);
    expect(dry.stdout).toBe('Would change: 1 changed (1 replaced).\nM a\n');
    expect(cli.read('a')).toBe('two');
    const { exitCode, stdout } = await cli.run([...prefix, 'restore', 'first', '--json']);
    expect(exitCode).toBe(0);
    expect(json({ stdout } as never)).toEqual({
      snapshot,
      transaction: expect.objectContaining({ id: 1, message: 'Restore snapshot first' }) as object,
      to: null,
      written: 0,
      notRestored: [],
      needsForce: null,
    });
    expect(cli.read('a')).toBe('one');
    const again = await cli.run([...prefix, 'snapshot', 'restore', '1']);
    expect(again).toMatchObject({ exitCode: 0, stdout: 'Nothing to change.\n' });
  });
});

test('delete says until when undelete brings a snapshot back, unless it is for good', async () => {
  await cli.run(['snapshot', 'create', 'first']);
  expect((await cli.run(['snapshot', 'delete', 'first', '-n'])).stdout).toBe(
    'Would delete snapshot 1 "first".\n',
  );
  expect((await cli.run(['snapshot', 'delete', '1'])).stdout).toMatch(
    /^Deleted snapshot 1 "first"; until \d{4}-\d\d-\d\d "snapshot undelete" brings it back\.\n$/,
  );
  expect((await cli.run(['snapshot', 'list'])).stdout).toBe('No snapshots.\n');
  expect((await cli.run(['snapshot', 'list', '--deleted'])).stdout).toMatch(
    / first {2}\[deleted, kept until \d{4}-\d\d-\d\d\]\n$/,
  );
  expect((await cli.run(['snapshot', 'show', 'first'])).stderr).toContain(
    'snapshot undelete first',
  );
  expect((await cli.run(['snapshot', 'undelete', '1', '--name', 'again'])).stdout).toBe(
    'Brought back snapshot 1 "again".\n',
  );
  expect((await cli.run(['snapshot', 'delete', 'again', '--now'])).stdout).toBe(
    'Deleted snapshot 1 "again".\n',
  );
  expect(await cli.run(['snapshot', 'undelete', 'again'])).toMatchObject({ exitCode: 4 });
});

test('restore --to writes a new directory, and refuses one that is there', async () => {
  await cli.run(create);
  const made = await cli.run(['restore', 'first', 'd', '--to', 'new']);
  expect(made).toMatchObject({ exitCode: 0, stdout: `Wrote 2 paths to ${cli.at('new')}.\n` });
  expect(cli.read('new/d/b')).toBe('b');
  expect(existsSync(cli.at('new/a'))).toBe(false);
  const again = await cli.run(['restore', 'first', '--to', 'new']);
  expect(again.exitCode).toBe(4);
  expect(again.stderr).toContain('[PATH_EXISTS]');
});

test('restore that would remove most asks for --force, and a dry run says so', async () => {
  await cli.run(create);
  for (let at = 0; at < 30; at += 1) cli.write(`f${String(at)}`, 'x');
  const refused = await cli.run(['restore', 'first', '--json']);
  expect(refused.exitCode).toBe(5);
  expect(json(refused)).toMatchObject({ error: { code: 'REMOVAL_TOO_LARGE' } });
  const planned = await cli.run(['restore', 'first', '-n']);
  expect(planned).toMatchObject({ exitCode: 0, stderr: '' });
  expect(planned.stdout).toContain('It needs --force: 30 of 32 files would be removed.');
  expect(planned.stdout).toContain('D f7\n');
  const shape = json(await cli.run(['restore', 'first', '-n', '--json']));
  expect(shape).toMatchObject({ needsForce: '30 of 32 files would be removed' });
  const forced = await cli.run(['restore', 'first', '--force', '--json']);
  expect(json(forced)).toMatchObject({ transaction: { changeCount: 30 }, needsForce: null });
  expect(existsSync(cli.at('f7'))).toBe(false);
});

test('what cannot be restored is named, with exit code 3', async () => {
  await cli.run(create);
  cli.write('a', 'two');
  const object = '76/92c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed';
  writeFileSync(cli.at(`.skillmeat/objects/${object}`), 'bad');
  const { exitCode, stderr } = await cli.run(['restore', 'first']);
  expect(exitCode).toBe(3);
  expect(stderr).toMatch(/^skillmeat: warning: not restored: a \(.*damaged/);
  expect(cli.read('a')).toBe('two');
});

test('create adopts what other programs changed, and says so', async () => {
  await cli.run(['txn', 'apply'], {
    input: '{"version":1,"operations":[{"op":"write","path":"a","content":"two"}]}',
  });
  cli.write('a', 'by hand');
  const dry = await cli.run(['snapshot', 'create', '-n']);
  expect(dry.stdout).toContain(
    '\nWould adopt what other programs changed: 1 changed (1 replaced).\n',
  );
  const not = await cli.run(['snapshot', 'create', '--no-adopt', '--json']);
  expect(json(not)).toMatchObject({ adopted: null });
  const { stdout } = await cli.run(['snapshot', 'create']);
  expect(stdout).toContain(
    '\nAdopted what other programs changed as transaction 2: 1 changed (1 replaced).\n',
  );
  cli.write('a', 'by hand, again');
  const adopted = await cli.run(['snapshot', 'create', '--json']);
  expect(json(adopted)).toMatchObject({
    adopted: { id: 3, changes: [{ path: 'a', before: { mode: '0644' }, after: { size: 14 } }] },
    notAdopted: null,
  });
  expect((await cli.run(['undo'])).stdout).toContain('transaction 3');
  expect(cli.read('a')).toBe('by hand');
});

test('create compresses as hard as it is told, or not at all', async () => {
  const added = async (...level: readonly string[]): Promise<number> => {
    cli.write(
      'long',
      Array.from({ length: 20_000 }, (_, at) => `${level.join()} ${String(at * at)}\n`).join(''),
    );
    const created = json(await cli.run(['snapshot', 'create', ...level, '--json']));
    return (created as { added: { bytes: number } }).added.bytes;
  };
  const off = await added('--compression', 'off');
  const [little, byDefault, much] = [
    await added('--compression', '1'),
    await added(),
    await added('--compression', '11'),
  ];
  expect(off).toBeGreaterThan(200_000);
  expect(little).toBeLessThan(off / 2);
  expect(byDefault).toBeLessThan(off / 2);
  expect(much).toBeLessThan(byDefault);
});

test('create tells people what it left out', async () => {
  cli.write('.skillmeatignore', '*.log\n');
  cli.write('x.log', 'log');
  const { stdout } = await cli.run(['snapshot', 'create', '--ignore', 'd/', '--max-size', '1k']);
  expect(stdout.replace(/\d+ bytes stored/, 'N bytes stored')).toBe(
    'Took snapshot 1: 2 files, 9 bytes; N bytes stored anew.\nleft out: d (ignored)\nleft out: x.log (ignored)\n',
  );
  const dry = await cli.run(['snapshot', 'create', '-n']);
  expect(dry.stdout).toMatch(/^Would hold 3 files, 10 bytes\.\n/);
  expect((await cli.run(['snapshot', 'list'])).stdout.split('\n')).toHaveLength(2);
});

test.each([
  [['snapshot', 'create', '12'], 4, 'SNAPSHOT_INVALID'],
  [['snapshot', 'create', '--ignore', '../x'], 4, 'SNAPSHOT_INVALID'],
  [['snapshot', 'create', '--max-size', 'big'], 2, 'USAGE'],
  [['snapshot', 'create', '--compression', '12'], 2, 'USAGE'],
  [['snapshot', 'create', '--compression', 'zstd'], 2, 'USAGE'],
  [['snapshot', 'show', 'none'], 4, 'SNAPSHOT_NOT_FOUND'],
  [['snapshot', 'pin', 'none'], 4, 'SNAPSHOT_NOT_FOUND'],
  [['snapshot', 'pin'], 2, 'USAGE'],
  [['snapshot', 'tag', 'none'], 2, 'USAGE'],
  [['restore'], 2, 'USAGE'],
  [['restore', 'none'], 4, 'SNAPSHOT_NOT_FOUND'],
  [['snapshot'], 2, 'USAGE'],
])('%j is refused', async (args, exitCode, code) => {
  const outcome = await cli.run([...args, '--json']);
  expect(outcome.exitCode).toBe(exitCode);
  expect(json(outcome)).toMatchObject({ error: { code } });
});

test('prune says what goes and why, and a rule that makes no sense is refused', async () => {
  await cli.run(create);
  cli.write('a', 'two');
  await cli.run(['snapshot', 'create', 'second']);
  cli.write('a', 'three');
  await cli.run(['snapshot', 'create', 'third']);
  const planned = await cli.run(['snapshot', 'prune', '--keep-last', '1', '--dry-run']);
  expect(planned.stdout).toMatch(
    /^keep {3}3 "third" .*\ndelete 2 "second" .* no rule keeps it .*\nkeep {3}1 "first" .* pinned, tagged t, u .*\nWould delete 1 snapshot, which frees \d+ bytes of \d+\.\n$/,
  );
  const pruned = await cli.run(['snapshot', 'prune', '--keep-last', '1', '--json']);
  expect(json(pruned)).toMatchObject({
    pruning: {
      isDryRun: false,
      snapshots: [{ isKept: true }, { isKept: false, reasons: ['no rule keeps it'] }, {}],
      collected: { objects: 0, blocked: null },
    },
  });
  expect((await cli.run(['snapshot', 'list'])).stdout).not.toContain('second');
  // The default keeps all that is this young.
  expect((await cli.run(['snapshot', 'prune'])).stdout).toContain('Deleted 0 snapshots');
  for (const bad of [
    ['--keep-last', '-1'],
    ['--keep-within', '5'],
    ['--max-size', 'much'],
  ]) {
    expect(await cli.run(['snapshot', 'prune', ...bad])).toMatchObject({ exitCode: 2 });
  }
});

test('pin, tag and their opposites say what becomes of a snapshot', async () => {
  await cli.run(['snapshot', 'create', 'first']);
  const say = async (...args: readonly string[]): Promise<string> =>
    (await cli.run(['snapshot', ...args])).stdout;
  expect(await say('pin', 'first', '-n')).toBe(
    'Snapshot 1 "first" would be pinned: no pruning takes it.\n',
  );
  expect(await say('pin', '1')).toBe('Snapshot 1 "first" is pinned: no pruning takes it.\n');
  expect(await say('tag', 'latest', 'good', 'v1')).toBe(
    'Snapshot 1 "first" is pinned and tagged good, v1: no pruning takes it.\n',
  );
  expect(await say('list')).toContain('[pinned]  #good  #v1');
  expect(await cli.run(['snapshot', 'tag', 'first', 'a/b'])).toMatchObject({ exitCode: 4 });
  const untagged = await cli.run(['txn', 'snapshot', 'untag', 'first', 'v1', '--json']);
  expect(json(untagged)).toEqual({
    snapshot: { ...snapshot, message: '', tags: ['good'] },
  });
  await say('untag', 'first', 'good');
  expect(await say('unpin', 'first')).toBe(
    'Snapshot 1 "first" is neither pinned nor tagged, and can be pruned.\n',
  );
  expect(await say('list')).not.toMatch(/pinned|#/);
});

test('policy prints what prune keeps, sets it and takes it back; a snapshot says what went', async () => {
  const byDefault =
    '"snapshot prune" keeps the last 10, those younger than 30 days, one of each of 8 weeks, one of each of 12 months, by default. No snapshot goes by itself.\n';
  const say = async (...args: readonly string[]): Promise<string> =>
    (await cli.run(['snapshot', ...args])).stdout;
  expect(await say('policy')).toBe(byDefault);
  expect(await say('policy', '--keep-last', '1', '-n')).toMatch(
    /^"snapshot prune" would keep the last 1,/,
  );
  expect(await say('policy')).toBe(byDefault);
  const set = await cli.run(['snapshot', 'policy', '--keep-last', '1', '--json']);
  expect(json(set)).toEqual({
    policy: {
      isDefault: false,
      keepLast: 1,
      keepWithinMs: null,
      keepDaily: null,
      keepWeekly: null,
      keepMonthly: null,
      sizeBytesMax: null,
    },
  });
  await say('create');
  await say('create', 'named');
  expect(await say('create')).not.toContain('Deleted');
  expect(await say('create')).toMatch(
    /\nDeleted 1 snapshot that no rule of this store keeps: 3; until \d{4}-\d\d-\d\d "snapshot undelete" brings them back\.\n$/,
  );
  expect((await say('list')).split('\n')).toHaveLength(3);
  expect(await say('prune', '-n')).toContain('Would delete 1 snapshot');
  expect(await say('policy', '--max-size', '10M')).toBe(
    `"snapshot prune" keeps the last 10, those younger than 30 days, one of each of 8 weeks, one of each of 12 months, up to 10485760 bytes, by this store's own policy. Others without name, tag and pin go into the trash when a snapshot is taken.\n`,
  );
  expect(await say('policy', '--keep-daily', '1', '--keep-within', '36h')).toContain(
    'keeps those younger than 36 hours, one of each of 1 day, by',
  );
  const both = await cli.run(['snapshot', 'policy', '--reset', '--keep-last', '5']);
  expect(both.exitCode).toBe(2);
  expect(await say('policy', '--reset')).toBe(byDefault);
});
