import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { type Outcome, useCommandLine } from '../support/command.js';
import { Upstream } from '../support/git-upstream.js';

const cli = useCommandLine();
const text = 'one\ntwo\nthree\nfour\nfive\n';

async function run(args: readonly string[]): Promise<Outcome> {
  const env = {
    SKILLMEAT_HOME: cli.at('home'),
    HOME: cli.at('.'),
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_CONFIG_NOSYSTEM: '1',
  };
  return cli.run(args, { env });
}

async function ok(...args: readonly string[]): Promise<string> {
  const outcome = await run(args);
  expect(outcome).toMatchObject({ exitCode: 0, stderr: '' });
  return outcome.stdout;
}

const skill = 'home/collections/default/skills/canvas/SKILL.md';

/** A collection with two artifacts from a repository, and one of this machine. */
async function installed(): Promise<Upstream> {
  const upstream = new Upstream();
  upstream.commit({ 'canvas/SKILL.md': text, 'commands/review.md': 'r\n' });
  cli.write('mine/SKILL.md', 'mine\n');
  await ok('init');
  const added = await ok('add', `${upstream.url}//canvas`, `${upstream.url}//commands/review.md`);
  expect(added).toBe('Added skill/canvas, command/review (transaction 2).\n');
  expect(await ok('add', 'skill', './mine', '--tag', 't')).toContain('Added skill/mine');
  return upstream;
}

test('what is added, outdated, updated and taken back', async () => {
  const upstream = await installed();
  expect(await ok('outdated')).toBe('2 artifacts up to date.\n1 artifact without an upstream.\n');
  expect(await ok('list')).toMatch(
    /^skill +canvas +file:.*\ncommand +review .*\nskill +mine +local +#t\n$/,
  );
  upstream.commit({ 'canvas/SKILL.md': text.replace('one', 'ONE'), 'commands/review.md': 'r\n' });
  expect(await ok('outdated')).toMatch(/^skill\/canvas {2}[0-9a-f]{7} → [0-9a-f]{7}\n$/);
  expect(JSON.parse(await ok('outdated', '--json'))).toMatchObject({
    outdated: [{ name: 'canvas', type: 'skill', versionSpec: 'latest' }],
    failed: [],
  });
  expect(await ok('update', '--all', '--dry-run')).toContain('would be updated');
  const updated = await ok('update', '--all');
  expect(updated).toMatch(
    /^skill\/canvas {2}updated .*\n1 artifact up to date\.\n1 artifact without an upstream\.\n$/,
  );
  expect(cli.read(skill)).toContain('ONE');
  expect(await ok('history', '-n', '1')).toMatch(
    / update +3 changes .*\n {3}skill\/canvas [0-9a-f]{7} → [0-9a-f]{7}\n/,
  );
  expect(await ok('undo')).toContain('M skills/canvas/SKILL.md');
  expect(cli.read(skill)).toBe(text);
});

test('an edit is shown, merged, and in the way where upstream changed the same', async () => {
  const upstream = await installed();
  writeFileSync(cli.at(skill), text.replace('five', 'FIVE'));
  expect(await ok('diff', 'canvas', '--patch')).toContain('-five\n+FIVE\n');
  upstream.commit({ 'canvas/SKILL.md': text.replace('one', 'ONE'), 'commands/review.md': 'r\n' });
  expect(await ok('diff', 'canvas', '--upstream', '--names')).toBe('skills/canvas/SKILL.md\n');
  expect(await ok('update', 'canvas')).toMatch(/^skill\/canvas {2}merged /);
  expect(readFileSync(cli.at(skill), 'utf8')).toBe('ONE\ntwo\nthree\nfour\nFIVE\n');

  upstream.commit({ 'canvas/SKILL.md': text.replace('five', '5'), 'commands/review.md': 'R\n' });
  const conflict = await run(['update', '--all', '--json']);
  expect(conflict.exitCode).toBe(5);
  expect(JSON.parse(conflict.stdout)).toMatchObject({
    error: {
      code: 'MERGE_CONFLICT',
      conflicts: [
        {
          path: 'skills/canvas/SKILL.md',
          why: 'both sides changed it in one place',
          hunks: 1,
          mergedHunks: 1,
          places: [
            {
              base: { start: 5, count: 1 },
              local: { start: 5, count: 1 },
              upstream: { start: 5, count: 1 },
              merged: null,
            },
          ],
        },
      ],
      merge: { conflictingFiles: 1, conflictingHunks: 1, mergedFiles: 0, mergedHunks: 1 },
    },
  });
  // A single file is named where people read, too.
  expect((await run(['update', '--all'])).stderr).toMatch(
    /skill\/canvas: .* disagree in skills\/canvas\/SKILL\.md \(both sides .* one place\); nothing .*\n {2}local line 5, upstream line 5\n/,
  );
  // Nobody to ask: as merge does.
  const unasked = await run(['update', 'canvas', '--strategy', 'prompt']);
  expect(unasked.exitCode).toBe(5);
  expect(unasked.stderr).toMatch(
    /^skillmeat: no terminal to ask at: as --strategy merge --on-conflict abort\n.*\[MERGE_CONFLICT\]\n/,
  );
  const each = await run(['update', '--all', '--each', '--json']);
  expect(each.exitCode).toBe(3);
  expect(JSON.parse(each.stdout)).toMatchObject({
    artifacts: [
      { name: 'canvas', outcome: 'failed', error: { code: 'MERGE_CONFLICT' } },
      { name: 'review', outcome: 'updated' },
      { name: 'mine', outcome: 'unlinked' },
    ],
    transactions: [{ state: 'committed' }],
  });
  for (const [choice, merged] of [
    ['ours', { start: 5, count: 1 }],
    ['theirs', { start: 5, count: 1 }],
    ['markers', { start: 5, count: 7 }],
  ] as const) {
    const planned = await run(['update', 'canvas', '--on-conflict', choice, '-n', '--json']);
    expect(JSON.parse(planned.stdout)).toMatchObject({
      artifacts: [
        {
          outcome: 'merged',
          conflicts: [{ path: 'SKILL.md', hunks: 1, places: [{ merged }], resolution: choice }],
          merge: { conflictingFiles: 1, conflictingHunks: 1, mergedFiles: 0, mergedHunks: 1 },
        },
      ],
    });
  }
  const marked = await run(['update', 'canvas', '--on-conflict', 'markers']);
  expect(marked).toMatchObject({ exitCode: 3 });
  expect(marked.stdout).toContain(
    '  in conflict: 1 file, 1 place; merged: 1 place\n' +
      '  ! SKILL.md: both sides changed it in one place, 1 place merged: marked in the file\n' +
      '    lines 5-11: local line 5, upstream line 5\n',
  );
  expect(cli.read(skill)).toContain('<<<<<<< local\nFIVE\n');
});

test('status tells what is outdated, by what was seen last or by asking', async () => {
  const upstream = await installed();
  const status = async (...flags: readonly string[]) => {
    const outcome = await run(['status', '--json', ...flags]);
    const { artifacts, failed } = JSON.parse(outcome.stdout) as {
      artifacts: { name: string; state: string; upstream: { isOutdated: boolean } | null }[];
      failed: object[];
    };
    const told = artifacts.map(({ name, state, upstream: seen }) => [name, state, seen]);
    return { exitCode: outcome.exitCode, told, failed };
  };
  // Adding has asked.
  expect((await status()).told).toMatchObject([
    ['canvas', 'unchanged', { isOutdated: false, version: null }],
    ['review', 'unchanged', { isOutdated: false }],
    ['mine', 'unchanged', null],
  ]);
  rmSync(cli.at('home/cache/upstreams.json'));
  expect((await status()).told[0]).toEqual(['canvas', 'unchanged', null]);
  expect(await ok('status')).toContain(
    'Upstream was never asked about 2 artifacts; ask now: skillmeat status --outdated\n',
  );
  await ok('add', `${upstream.url}//canvas`, '--each', '--force');
  expect((await status()).told[0]).toMatchObject(['canvas', 'unchanged', { isOutdated: false }]);
  rmSync(cli.at('home/cache/upstreams.json'));
  const old = JSON.parse(await ok('show', 'canvas', '--json')) as {
    artifact: { resolvedSha: string };
  };
  const from = old.artifact.resolvedSha.slice(0, 7);
  const sha = upstream.commit({
    'canvas/SKILL.md': text.replace('one', 'ONE'),
    'commands/review.md': 'r\n',
  });
  // Nothing was asked: nobody knows.
  expect((await status()).told[0]).toEqual(['canvas', 'unchanged', null]);
  const { told, failed, exitCode } = await status('--outdated');
  expect({ told, failed, exitCode }).toMatchObject({
    told: [
      ['canvas', 'unchanged', { isOutdated: true, sha, version: null }],
      // Another commit, the same content.
      ['review', 'unchanged', { isOutdated: false, sha }],
      ['mine', 'unchanged', null],
    ],
    failed: [],
    exitCode: 0,
  });
  writeFileSync(cli.at(skill), text.replace('five', 'FIVE'));
  const shown = await ok('status');
  expect(shown).toContain(
    `M skill/canvas  edited by hand; outdated: ${from} → ${sha.slice(0, 7)}\n`,
  );
  expect(shown).toMatch(/\nUpstream as of \d{4}-\d\d-\d\dT\d\d:\d\dZ; ask now: /);
  expect(await ok('status', '--outdated')).not.toContain('ask now');
  await ok('update', 'canvas');
  expect((await status()).told[0]).toMatchObject(['canvas', 'modified', { isOutdated: false }]);
  await ok('undo');
  expect((await status()).told[0]).toMatchObject(['canvas', 'modified', { isOutdated: true }]);

  // What is remembered may go, or be anything, at any time; so may upstream.
  for (const damaged of ['[', '7', '{"x":7}', `{"${upstream.url}//canvas":{"at":"now"}}`]) {
    cli.write('home/cache/upstreams.json', damaged);
    expect((await status()).told[0]).toEqual(['canvas', 'modified', null]);
  }
  rmSync(upstream.path, { recursive: true });
  const gone = await status('--outdated');
  expect(gone).toMatchObject({
    exitCode: 3,
    failed: [
      { name: 'canvas', type: 'skill', code: 'SOURCE_NOT_FOUND' },
      { name: 'review', type: 'command', code: 'SOURCE_NOT_FOUND' },
    ],
  });
});

test('an upstream is known by its source, not by the commit that is installed', async () => {
  await installed();
  const manifest = cli.at('home/collections/default/collection.toml');
  const page = (sha: string) => `https://github.com/o/r/tree/${sha}/canvas`;
  const known = (sha: string) =>
    JSON.stringify({ 'o/r/canvas': { sha, contentHash: 'a'.repeat(64), at: '2026-11-29T10:00' } });
  const lock = cli.at('home/collections/default/collection.lock');
  const installedSha = 'c'.repeat(40);
  for (const path of [manifest, lock]) {
    const toml = readFileSync(path, 'utf8');
    const [, url = ''] = /upstream = "([^"]*canvas)"/.exec(toml) ?? [];
    const [, sha = ''] = /resolved_sha = "(\w+)"/.exec(toml) ?? [];
    writeFileSync(path, toml.replace(url, page(installedSha)).replaceAll(sha, installedSha));
  }
  for (const [seen, isOutdated] of [
    [installedSha, false],
    ['d'.repeat(40), true],
  ] as const) {
    cli.write('home/cache/upstreams.json', known(seen));
    expect(JSON.parse((await run(['status', '--json'])).stdout)).toMatchObject({
      artifacts: [{ name: 'canvas', upstream: { isOutdated } }, {}, {}],
    });
  }
});

test('the conflicts of all artifacts are told at once', async () => {
  const upstream = await installed();
  writeFileSync(cli.at(skill), text.replace('two', '2'));
  cli.write('home/collections/default/commands/review.md', 'mine\n');
  upstream.commit({ 'canvas/SKILL.md': text.replace('two\n', ''), 'commands/review.md': 'R\n' });
  const { exitCode, stderr } = await run(['update', '--all']);
  expect(exitCode).toBe(5);
  expect(stderr).toMatch(
    /^skillmeat: skill\/canvas, command\/review: edits .* in 2 files \(places in conflict: 2\); nothing/,
  );
  expect(stderr).toContain(
    '  skills/canvas/SKILL.md: both sides changed it in one place\n' +
      '    local line 2, upstream nothing before line 2\n' +
      '  commands/review.md: both sides changed it in one place\n' +
      '    local line 1, upstream line 1\n',
  );
});

test('with --each every file in conflict is listed, and a refusal of the engine stops nothing', async () => {
  const upstream = await installed();
  const files = { 'canvas/a.md': 'a', 'canvas/SKILL.md': text, 'commands/review.md': 'r\n' };
  upstream.commit(files);
  await ok('update', '--all');
  writeFileSync(cli.at(skill), text.replace('five', 'FIVE'));
  cli.write('home/collections/default/skills/canvas/a.md', 'A');
  upstream.commit({ ...files, 'canvas/SKILL.md': text.replace('five', '5'), 'canvas/a.md': 'b' });
  const conflict = await run(['update', '--all', '--each']);
  expect(conflict.exitCode).toBe(3);
  expect(conflict.stdout).toMatch(
    /^skill\/canvas {2}failed: .* 2 files \(places in conflict: 2\); .*\n {2}skills\/canvas\/SKILL\.md: both .*\n {4}local line 5, upstream line 5\n {2}skills\/canvas\/a\.md: both/,
  );
  // Upstream's is no skill any more: a rule says no.
  upstream.commit({ 'canvas/a.md': 'a', 'commands/review.md': 'R\n' });
  const each = await run(['update', '--all', '--each', '--strategy', 'overwrite', '--json']);
  expect(JSON.parse(each.stdout)).toMatchObject({
    artifacts: [
      { name: 'canvas', outcome: 'failed', error: { code: 'RULE_VIOLATED' } },
      { name: 'review', outcome: 'updated' },
      { name: 'mine', outcome: 'unlinked' },
    ],
    transactions: [{ state: 'committed' }],
  });
  expect(each.exitCode).toBe(3);
});

test.each<[string, readonly string[], string, number]>([
  ['nothing to update', ['update'], 'USAGE', 2],
  ['artifacts and --all', ['update', 'canvas', '--all'], 'USAGE', 2],
  ['one without an upstream', ['update', 'mine'], 'ARTIFACT_UNLINKED', 4],
  ['one that is not there', ['update', 'none'], 'ARTIFACT_NOT_FOUND', 4],
  ['no such strategy', ['update', '--all', '--strategy', 'hope'], 'USAGE', 2],
  ['a difference of nothing', ['diff', 'none'], 'ARTIFACT_NOT_FOUND', 4],
  ['a difference of what has no upstream', ['diff', 'mine'], 'ARTIFACT_UNLINKED', 4],
  ['--upstream of a transaction', ['diff', '1', '--upstream'], 'USAGE', 2],
  ['an artifact and a moment', ['diff', 'canvas', '1'], 'USAGE', 2],
  ['a source that is not there', ['add', './none'], 'SOURCE_NOT_FOUND', 4],
  ['a source that makes no sense', ['add', 'x:y z'], 'SOURCE_INVALID', 4],
  ['a directory that tells nothing', ['add', './plain'], 'ARTIFACT_TYPE_INVALID', 4],
  ['the wrong shape', ['add', 'command', './mine'], 'ARTIFACT_TYPE_INVALID', 4],
  ['one name for two', ['add', './mine', './mine', '--name', 'x'], 'USAGE', 2],
  ['a name that is there', ['add', './mine'], 'ARTIFACT_EXISTS', 4],
])('%s is refused', async (_, args, code, exitCode) => {
  await ok('init');
  cli.write('mine/SKILL.md', 'mine\n');
  cli.write('plain/file', 'x');
  await ok('add', './mine');
  const outcome = await run(args);
  expect(outcome).toMatchObject({ exitCode, stdout: '' });
  expect(outcome.stderr).toContain(`[${code}]`);
  expect(outcome.stderr).toContain('hint:');
});
