import { existsSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { resolveVersion, type GitSource } from '../../../src/collection/index.js';
import { sampled } from '../../support/extent.js';
import { serveGit, Upstream } from '../../support/git-upstream.js';
import { Fetching, filesIn, read } from './fetching.js';

function git(text: string): GitSource {
  const source = read(text);
  if (source.kind !== 'git') throw new Error(`${text} is no git source`);
  return source;
}

/** Three versions of a skill: v1 (annotated tag), two (lightweight tag), and a branch. */
function makeSkill(): { upstream: Upstream; first: string; second: string; third: string } {
  const upstream = new Upstream();
  const first = upstream.commit({
    'skills/canvas/SKILL.md': 'first',
    'skills/canvas/run.sh': { executable: 'echo' },
    'README.md': 'read me',
  });
  upstream.git('tag', '-a', 'v1', '-m', 'first');
  const second = upstream.commit({ 'skills/canvas/SKILL.md': 'second', 'commands/go.md': 'go' });
  upstream.git('tag', 'two');
  upstream.git('branch', 'feature/x');
  const third = upstream.commit({ 'skills/canvas/SKILL.md': 'third' });
  return { upstream, first, second, third };
}

describe.each(sampled(['file', 'http', 'http of an old server'], 3))('over %s', (transport) => {
  async function urlOf(upstream: Upstream): Promise<string> {
    if (transport === 'file') return upstream.url;
    const isOld = transport === 'http of an old server';
    return (await serveGit(upstream.directory, { isOld })).urlOf(upstream);
  }

  test('each kind of version is found and fetched', async () => {
    const { upstream, first, second, third } = makeSkill();
    const url = await urlOf(upstream);
    await using fetching = await Fetching.open();
    const versions: readonly (readonly [string, string, string, string | undefined])[] = [
      ['', 'third', third, undefined],
      ['@latest', 'third', third, undefined],
      ['@v1', 'first', first, 'v1'],
      ['@two', 'second', second, 'two'],
      ['@feature/x', 'second', second, undefined],
      ['@refs/tags/v1', 'first', first, 'v1'],
      [`@${first}`, 'first', first, undefined],
      [`@${second.slice(0, 9)}`, 'second', second, undefined],
    ];
    for (const [at, content, sha, tag] of versions) {
      const source = git(`${url}/skills/canvas${at}`);
      expect(await resolveVersion(source, fetching.options()), at).toEqual({ sha, tag });
      // What is found is fetched in the same way, however it was found.
      if (at === '@latest' || at === '@two') continue;
      await using artifact = await fetching.fetch(source);
      expect(filesIn(artifact.path)['SKILL.md'], at).toBe(content);
      expect(artifact, at).toMatchObject({
        kind: 'directory',
        origin: 'github',
        originName: 'canvas',
        guessedType: 'skill',
        upstream: `${url}//skills/canvas`,
        versionSpec: at === '' ? 'latest' : at.slice(1),
        resolvedSha: sha,
        resolvedVersion: tag,
        neutralised: [],
        leftOut: [],
      });
    }
  });

  test('a directory, a file and the whole repository come with their modes', async () => {
    const { upstream } = makeSkill();
    const url = await urlOf(upstream);
    await using fetching = await Fetching.open();
    await using skill = await fetching.fetch(`${url}//skills/canvas@v1`);
    expect(filesIn(skill.path)).toEqual({ 'SKILL.md': 'first', 'run.sh*': 'echo' });
    // Who else may read it the umask decides, as for any new directory.
    expect(statSync(skill.path).mode & 0o777).toBe(0o777 & ~process.umask());
    await using whole = await fetching.fetch(`${url}@v1`);
    expect(Object.keys(filesIn(whole.path))).toEqual([
      'README.md',
      'skills/',
      'skills/canvas/',
      'skills/canvas/SKILL.md',
      'skills/canvas/run.sh*',
    ]);
    expect(whole).toMatchObject({ originName: 'skills', guessedType: undefined });
    await using command = await fetching.fetch(`${url}//commands/go.md@two`);
    expect(command).toMatchObject({ kind: 'file', originName: 'go', guessedType: 'command' });
    expect(path.basename(command.path)).toBe('go.md');
    expect(filesIn(path.dirname(command.path))).toEqual({ 'go.md': 'go' });
  });

  test('what does not exist is named, with what there is', async () => {
    const { upstream } = makeSkill();
    const url = await urlOf(upstream);
    await using fetching = await Fetching.open();
    await expect(fetching.fetch(`${url}//skills/canvsa`)).rejects.toMatchObject({
      code: 'SOURCE_NOT_FOUND',
      hint: expect.stringContaining('canvas') as unknown,
    });
    await expect(fetching.fetch(`${url}//skills@v9`)).rejects.toMatchObject({
      code: 'SOURCE_VERSION_NOT_FOUND',
      hint: expect.stringContaining('v1') as unknown,
    });
    for (const sha of ['1234567890'.repeat(4), 'abcdef1']) {
      await expect(fetching.fetch(`${url}//skills@${sha}`)).rejects.toMatchObject({
        code: 'SOURCE_VERSION_NOT_FOUND',
      });
    }
    const nowhere = url.replace('skills.git', 'other.git');
    await expect(fetching.fetch(nowhere)).rejects.toMatchObject({ code: 'SOURCE_NOT_FOUND' });
    await expect(resolveVersion(git(nowhere), fetching.options())).rejects.toMatchObject({
      code: 'SOURCE_NOT_FOUND',
    });
  });
});

test('only what is asked for is fetched, and what was fetched is not fetched again', async () => {
  const { upstream, first } = makeSkill();
  const server = await serveGit(upstream.directory);
  await using fetching = await Fetching.open();
  const source = `${server.urlOf(upstream)}//skills/canvas@${first}`;
  const packed = async (): Promise<number> => {
    const [repository = ''] = readdirSync(fetching.cache);
    const packs = path.join(fetching.cache, repository, 'pack');
    return readdirSync(packs).filter((name) => name.endsWith('.pack')).length;
  };
  await (await fetching.fetch(source))[Symbol.asyncDispose]();
  // One with the commit and its trees, one with the contents of the skill.
  expect(await packed()).toBe(2);
  const before = server.requests.length;
  await (await fetching.fetch(source))[Symbol.asyncDispose]();
  expect(server.requests.length).toBe(before);
  expect(await packed()).toBe(2);
});

test('a repository with SHA-256 names, and one whose server cannot filter', async () => {
  const modern = new Upstream({ format: 'sha256' });
  const sha = modern.commit({ 'a/SKILL.md': 'modern' });
  expect(sha).toHaveLength(64);
  const plain = new Upstream();
  plain.git('config', 'uploadpack.allowFilter', 'false');
  plain.commit({ 'a/SKILL.md': 'plain' });
  await using fetching = await Fetching.open();
  for (const [source, content] of [
    [`${modern.url}/a`, 'modern'],
    [`${modern.url}/a@${sha}`, 'modern'],
    [`${plain.url}/a`, 'plain'],
  ] as const) {
    await using artifact = await fetching.fetch(source);
    expect(filesIn(artifact.path)).toEqual({ 'SKILL.md': content });
  }
});

test('owner/repo is fetched from GitHub, and its upstream is the page there', async () => {
  const { upstream, third } = makeSkill();
  await using fetching = await Fetching.open();
  const environment = {
    ...fetching.options().environment,
    GIT_CONFIG_GLOBAL: path.join(fetching.home, 'gitconfig'),
  };
  upstream.git(
    'config',
    '--file',
    environment.GIT_CONFIG_GLOBAL,
    'url.' + upstream.url + '.insteadOf',
    'https://github.com/owner/skills.git',
  );
  await using artifact = await fetching.fetch('owner/skills/skills/canvas', { environment });
  expect(filesIn(artifact.path)).toEqual({ 'SKILL.md': 'third' });
  expect(artifact.upstream).toBe(`https://github.com/owner/skills/tree/${third}/skills/canvas`);
});

test('nothing of an artifact is left once it is disposed of', async () => {
  const { upstream } = makeSkill();
  await using fetching = await Fetching.open();
  const artifact = await fetching.fetch(`${upstream.url}/skills`);
  expect(existsSync(artifact.path)).toBe(true);
  await artifact[Symbol.asyncDispose]();
  await expect(fetching.fetch(`${upstream.url}/nothing`)).rejects.toThrow('has no nothing');
  await resolveVersion(git(upstream.url), fetching.options());
  expect(readdirSync(fetching.workspace.path)).toEqual(['lock']);
});
