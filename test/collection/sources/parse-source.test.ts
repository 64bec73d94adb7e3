import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  CollectionError,
  formatSource,
  type GitSource,
  parseSource,
  type Source,
  upstreamOf,
} from '../../../src/collection/index.js';
import { plant, temporaryDirectory } from '../../support/git-upstream.js';
import { read } from './fetching.js';

const gitHub = (path: string, version = 'latest'): GitSource => ({
  kind: 'git',
  url: 'https://github.com/owner/repo.git',
  path,
  version,
});
const at = (url: string, path = '', version = 'latest'): GitSource => ({
  kind: 'git',
  url,
  path,
  version,
});

describe('a git source', () => {
  test.each<[string, Source]>([
    ['owner/repo', gitHub('')],
    ['owner/repo/', gitHub('')],
    ['owner/repo.git', gitHub('')],
    ['owner/repo/skills/canvas', gitHub('skills/canvas')],
    ['owner/repo/skills/canvas/@v1.0.0', gitHub('skills/canvas/@v1.0.0')],
    ['owner/repo/skills/canvas@v1.0.0', gitHub('skills/canvas', 'v1.0.0')],
    ['owner/repo@feature/x', gitHub('', 'feature/x')],
    ['owner/repo/@scope/skill', gitHub('@scope/skill')],
    ['owner/repo/@scope/skill@v2', gitHub('@scope/skill', 'v2')],
    ['owner/repo/a b/ü.md', gitHub('a b/ü.md')],
    ['owner/repo/a%20b', gitHub('a%20b')],
    ['https://github.com/owner/repo', gitHub('')],
    ['https://github.com/owner/repo.git', gitHub('')],
    ['https://github.com/owner/repo/skills/canvas@v1', gitHub('skills/canvas', 'v1')],
    ['https://github.com/owner/repo.git//skills/canvas@v1', gitHub('skills/canvas', 'v1')],
    ['https://www.github.com/owner/repo/tree/main/skills/a%20b', gitHub('skills/a b', 'main')],
    ['https://github.com/owner/repo/tree/main', gitHub('', 'main')],
    ['https://github.com/owner/repo/blob/v1/agents/x.md', gitHub('agents/x.md', 'v1')],
    ['https://github.com/owner/repo/tree/0123abc/a@v2', gitHub('a', 'v2')],
    ['https://host/a/b.git', at('https://host/a/b.git')],
    ['HTTPS://host/a/b.git', at('https://host/a/b.git')],
    ['https://host:8443/a/b.git/x/y@v1', at('https://host:8443/a/b.git', 'x/y', 'v1')],
    ['https://host/a/b//x/y@v1', at('https://host/a/b', 'x/y', 'v1')],
    ['https://user@host/a/b', at('https://user@host/a/b')],
    ['https://host/a/b.github/c', at('https://host/a/b.github/c')],
    ['http://localhost:80/a', at('http://localhost:80/a')],
    ['http://[::1]/a.git/x', at('http://[::1]/a.git', 'x')],
    ['ssh://git@host:22/a/b.git//x@v1', at('ssh://git@host:22/a/b.git', 'x', 'v1')],
    ['git://host/a.git', at('git://host/a.git')],
    ['git@host:a/b.git', at('git@host:a/b.git')],
    ['git@host:a/b.git//x/y@v1', at('git@host:a/b.git', 'x/y', 'v1')],
    ['git@host:a/b@v1', at('git@host:a/b', '', 'v1')],
    ['file:///srv/a.git/x', at('file:///srv/a.git', 'x')],
    ['file:///srv/a//x@v1', at('file:///srv/a', 'x', 'v1')],
  ])('%s', (text, source) => {
    expect(read(text)).toEqual(source);
  });

  test('is read back from how it is shown, and from its upstream', () => {
    const name = fc
      .stringMatching(/^[\w@% .ü#?+~-]{1,8}$/)
      .filter((text) => !/^[. ]*$|^\.git$/i.test(text));
    const version = fc.constantFrom('latest', 'v1', 'feature/x', 'a'.repeat(40));
    const url = fc.constantFrom(
      'https://github.com/owner/repo.git',
      'https://host/a/b.git',
      'git@host:a/b',
      'file:///srv/a.git',
    );
    fc.assert(
      fc.property(url, fc.array(name, { maxLength: 3 }), version, (repository, names, wanted) => {
        const source = at(repository, names.join('/'), wanted);
        expect(read(formatSource(source))).toEqual(source);
        const sha = 'b'.repeat(40);
        const again = read(upstreamOf(source, sha)) as GitSource;
        expect({ ...again, version: wanted }).toEqual(source);
      }),
    );
  });
});

test('a local source is what is marked as one, or exists', () => {
  const directory = temporaryDirectory();
  plant(directory, { 'owner/repo/SKILL.md': '', 'a@b/SKILL.md': '' });
  const surroundings = { workingDirectory: directory, userHome: '/home/me' };
  for (const [text, path] of [
    ['.', directory],
    ['./x', `${directory}/x`],
    ['../x', `${directory.replace(/\/[^/]*$/, '')}/x`],
    ['/x/y', '/x/y'],
    ['~', '/home/me'],
    ['~/x', '/home/me/x'],
    ['owner/repo', `${directory}/owner/repo`],
    ['a@b', `${directory}/a@b`],
    ['./nowhere@v1', `${directory}/nowhere@v1`],
  ] as const) {
    expect(parseSource(text, surroundings), text).toEqual({ kind: 'local', path });
  }
  expect(parseSource('owner/other', surroundings).kind).toBe('git');
  expect(() => parseSource('./owner/repo@v1', surroundings)).toThrow('a local path with a version');
});

describe('a source that makes no sense is refused', () => {
  test.each([
    ['', 'is empty'],
    ['  ', 'is empty'],
    ['a\nb', 'a control character'],
    ['skills', 'neither a path that exists nor owner/repo'],
    ['owner/..', 'neither a path'],
    ['-owner/repo', 'neither a path'],
    ['own er/repo', 'neither a path'],
    ['owner/repo/../x', 'has the name ".."'],
    ['owner/repo/x//y', 'has the name ""'],
    ['owner/repo/.Git/hooks', 'has the name ".Git"'],
    ['owner/repo/a\\b', 'neither a path'],
    ['https://host/a.git/%2e%2e/x', 'has the name ".."'],
    ['https://host/a.git/a%5Cb', 'has the name'],
    ['https://host/a.git/%zz', 'encodes nothing'],
    ['owner/repo@', 'has the version ""'],
    ['owner/repo@--upload-pack=x', 'has the version'],
    ['owner/repo@HEAD~1', 'has the version'],
    ['owner/repo@a..b', 'has the version'],
    ['owner/repo@v*', 'has the version'],
    ['ext::sh -c true', 'neither a path that exists nor a git URL'],
    ['ext://host/a', 'has the scheme "ext"'],
    ['git+ssh://host/a', 'has the scheme "git+ssh"'],
    ['http://host/a.git', 'is not encrypted'],
    ['http://localhost.evil/a.git', 'is not encrypted'],
    ['http://127.0.0.1@evil/a.git', 'is not encrypted'],
    ['https:///a/b', 'names no host'],
    ['https://host/', 'names no repository'],
    ['https://host/a?x=1', 'has a query'],
    ['https://host/a#main', 'has a query or a fragment'],
    ['ssh://-oProxyCommand=x/a', 'begins with "-"'],
    ['git@-host:a/b', 'begins with "-"'],
    ['git@host:-a', 'names no repository'],
  ])('%j', (text, reason) => {
    const error = refusalOf(text);
    expect(error).toMatchObject({ code: 'SOURCE_INVALID', hint: expect.any(String) as unknown });
    expect(error.message).toContain(reason);
  });

  test.each([
    'https://me:secret@host/a',
    'https://ghp_secret@github.com/a/b',
    'ssh://a:secret@h/b',
  ])('%s, and the password is not repeated', (text) => {
    const { message, path, hint } = refusalOf(text);
    expect(message).toContain('contains a password');
    expect(JSON.stringify({ message, path, hint })).not.toContain('secret');
  });
});

function refusalOf(text: string): CollectionError {
  try {
    read(text);
  } catch (error) {
    if (error instanceof CollectionError) return error;
    throw error;
  }
  throw new Error(`${text} was not refused`);
}
