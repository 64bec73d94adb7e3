import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import type { CollectionError } from '../../../src/collection/index.js';
import { gitEnvironment, Upstream } from '../../support/git-upstream.js';
import { Fetching, filesIn } from './fetching.js';

async function refusalOf(upstream: Upstream, at = ''): Promise<readonly string[]> {
  await using fetching = await Fetching.open();
  const error = await fetching
    .fetch(`${upstream.url}${at}`)
    .then(() => undefined)
    .catch((reason: unknown) => reason as CollectionError);
  expect(error).toMatchObject({ code: 'ARTIFACT_REFUSED' });
  expect(readdirSync(fetching.workspace.path)).toEqual(['lock']);
  return (error?.conflicts ?? []).map(({ path: name, why }) => `${name}: ${why}`).toSorted();
}

test('a tree that git would never make is refused with everything that is wrong with it', async () => {
  const upstream = new Upstream();
  const blob = upstream.blob('x');
  const inner = upstream.rawTree([['100644', 'escaped', blob]]);
  const commit = upstream.commit({ a: 'x' });
  upstream.commitTree(
    upstream.rawTree([
      ['100644', '.', blob],
      ['40000', '..', inner],
      ['100644', '../up', blob],
      ['100644', '/etc/passwd', blob],
      ['100644', 'twice', blob],
      ['40000', 'twice', inner],
      ['100644', 'nul.md', blob],
      ['100644', 'Case', blob],
      ['100644', 'case', blob],
      ['100644', 'cafe\u0301', blob],
      ['100644', 'caf\u00e9', blob],
      ['100644', Buffer.from([0x62, 0xff]), blob],
      ['160000', 'module', commit],
      ['40000', '.SkillMeat', inner],
      ['120000', 'link', upstream.blob('../../etc/passwd')],
      ['120000', 'git', upstream.blob('.git/config')],
    ]),
  );
  expect(await refusalOf(upstream)).toMatchInlineSnapshot(`
    [
      "../escaped: "../escaped" contains ".."",
      "../up: "../up" contains ".."",
      "..: ".." contains ".."",
      ".: "." has an empty or "." segment",
      ".SkillMeat/escaped: ".SkillMeat/escaped" is in an engine's own directory .skillmeat",
      ".SkillMeat: ".SkillMeat" is in an engine's own directory .skillmeat",
      "/etc/passwd: "/etc/passwd" is absolute",
      "b\uFFFD: its name is not UTF-8",
      "caf\u00e9: "cafe\u0301" has the same name on other systems",
      "case: "Case" has the same name on other systems",
      "git: it links to ".git/config", which is not copied",
      "link: it links to "../../etc/passwd", outside of the artifact",
      "module: it is a submodule, another repository",
      "nul.md: "nul.md": Windows cannot have a file named "nul.md"",
      "twice: "twice" has the same name on other systems",
    ]
  `);
});

test('what git and tools keep is left out, whatever its spelling, and fetched neither', async () => {
  const upstream = new Upstream();
  const blob = upstream.blob('evil');
  const inner = upstream.rawTree([['100755', 'post-checkout', upstream.blob('unwanted')]]);
  upstream.commitTree(
    upstream.rawTree([
      ['40000', '.git', inner],
      ['40000', '.GIT', inner],
      ['40000', '.g\u200cit', inner],
      ['40000', '.git. ', inner],
      ['40000', 'GIT~1', inner],
      ['100644', '.gitignore', blob],
      ['100755', 'SKILL.md', blob],
      ['40000', 'node_modules', inner],
    ]),
  );
  await using fetching = await Fetching.open();
  await using artifact = await fetching.fetch(upstream.url);
  expect(filesIn(artifact.path)).toEqual({ 'SKILL.md*': 'evil' });
  const [repository = ''] = readdirSync(fetching.cache);
  const packs = path.join(fetching.cache, repository, 'pack');
  const cached = readdirSync(packs)
    .filter((name) => name.endsWith('.idx'))
    .map((name) => upstream.git('verify-pack', '-v', path.join(packs, name)))
    .join('\n');
  expect(cached).toContain(blob);
  expect(cached).not.toContain(upstream.blob('unwanted'));
});

test('links of a tree are copied as files, or refused', async () => {
  const upstream = new Upstream();
  upstream.commit({
    'a/SKILL.md': 'skill',
    'a/sub/link.md': { link: '../SKILL.md' },
    'a/sub/again.md': { link: 'link.md' },
    'b/SKILL.md': { link: '../a/SKILL.md' },
    'c/loop': { link: 'loop' },
    d: { link: 'a' },
  });
  await using fetching = await Fetching.open();
  await using artifact = await fetching.fetch(`${upstream.url}/a`);
  expect(filesIn(artifact.path)).toEqual({
    'SKILL.md': 'skill',
    'sub/': '',
    'sub/again.md': 'skill',
    'sub/link.md': 'skill',
  });
  expect(artifact.neutralised.map(({ path: name }) => name)).toEqual([
    'sub/again.md',
    'sub/link.md',
  ]);
  expect(await refusalOf(upstream, '/b')).toEqual([
    'SKILL.md: it links to "../a/SKILL.md", outside of the artifact',
  ]);
  expect(await refusalOf(upstream, '/c')).toEqual([
    'loop: it links to itself, or through too many links',
  ]);
  expect(await refusalOf(upstream, '/d')).toEqual([
    'd: it is a link; name what it leads to instead',
  ]);
});

test('a tree deeper than 64 levels is refused', async () => {
  const upstream = new Upstream();
  const deep = Array.from({ length: 70 }, () => 'd').join('/');
  upstream.commit({ [`${deep}/x`]: '' });
  const at = Array.from({ length: 65 }, () => 'd').join('/');
  expect(await refusalOf(upstream)).toEqual([`${at}: it is deeper than 64 levels`]);
});

test('more files than allowed are refused, though they cost nothing to make', async () => {
  const upstream = new Upstream();
  const blob = upstream.blob('');
  const row = (mode: string, count: number, oid: string): string =>
    upstream.rawTree(
      Array.from(
        { length: count },
        (_, index) => [mode, String(index).padStart(4, '0'), oid] as const,
      ),
    );
  // A thousand times a thousand files, in two small trees.
  upstream.commitTree(row('40000', 1_000, row('100644', 1_000, blob)));
  expect(await refusalOf(upstream)).toEqual(['.: it has more than 100000 entries']);
});

test('nothing of the repository or of the variables around has a say', async () => {
  const upstream = new Upstream();
  upstream.commit({
    'a/.gitattributes': '*.md text eol=crlf ident filter=evil\n',
    'a/SKILL.md': '$Id$\nx\n',
  });
  const other = new Upstream();
  other.commit({ 'a/SKILL.md': 'other' });
  await using fetching = await Fetching.open();
  const proof = path.join(fetching.home, 'proof');
  await using artifact = await fetching.fetch(`${upstream.url}/a`, {
    environment: {
      ...gitEnvironment,
      GIT_DIR: other.path,
      GIT_WORK_TREE: other.path,
      GIT_OBJECT_DIRECTORY: path.join(other.path, '.git/objects'),
      GIT_INDEX_FILE: proof,
      GIT_CONFIG_COUNT: '1',
      GIT_CONFIG_KEY_0: `url.${other.url}.insteadOf`,
      GIT_CONFIG_VALUE_0: upstream.url,
      GIT_CONFIG_PARAMETERS: `'filter.evil.smudge=touch ${proof}'`,
      GIT_TRACE: proof,
      GIT_EXTERNAL_DIFF: `touch ${proof}`,
    },
  });
  expect(filesIn(artifact.path)).toEqual({
    '.gitattributes': '*.md text eol=crlf ident filter=evil\n',
    'SKILL.md': '$Id$\nx\n',
  });
  expect(existsSync(proof)).toBe(false);
});
