import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { type CollectionError, guessType } from '../../../src/collection/index.js';
import { plant, temporaryDirectory } from '../../support/git-upstream.js';
import { Fetching, filesIn } from './fetching.js';

test('a local directory is copied without what belongs to tools', async () => {
  const directory = path.join(temporaryDirectory(), 'canvas');
  plant(directory, {
    'SKILL.md': 'skill',
    'scripts/run.py': 'run',
    'scripts/a.pyc': '',
    'scripts/__pycache__/a.py': '',
    '.git/hooks/post-checkout': 'evil',
    'deep/.GIT/config': 'evil',
    'deep/git~1/config': 'evil',
    '.github/x.yml': '',
    '.gitignore': '',
    'node_modules/CON/aux': '',
    '.venv/a': '',
    'venv/a': '',
    'x.egg-info/a': '',
    '.DS_Store': '',
    'Thumbs.db': '',
    'a.pyo': '',
    '.gitattributes': 'kept',
  });
  chmodSync(path.join(directory, 'scripts/run.py'), 0o4755);
  mkdirSync(path.join(directory, 'empty'));
  symlinkSync('SKILL.md', path.join(directory, 'README.md'));
  symlinkSync('../README.md', path.join(directory, 'deep/again.md'));
  await using fetching = await Fetching.open();
  await using artifact = await fetching.fetch(directory);
  expect(filesIn(artifact.path)).toEqual({
    '.gitattributes': 'kept',
    'README.md': 'skill',
    'SKILL.md': 'skill',
    'deep/': '',
    'deep/again.md': 'skill',
    'empty/': '',
    'scripts/': '',
    'scripts/run.py*': 'run',
  });
  expect(artifact).toMatchObject({
    kind: 'directory',
    origin: 'local',
    originName: 'canvas',
    guessedType: 'skill',
    upstream: undefined,
    versionSpec: undefined,
    resolvedSha: undefined,
    neutralised: [
      { path: 'README.md', why: 'a link to SKILL.md, copied as a file of its own' },
      { path: 'deep/again.md', why: 'a link to SKILL.md, copied as a file of its own' },
      { path: 'scripts/run.py', why: 'copied without its set-id or sticky bit' },
    ],
  });
  expect(artifact.leftOut).toContain('Thumbs.db');
  expect(artifact.leftOut).not.toContain('.gitattributes');
});

test('a local file is copied, also through a link that the caller names', async () => {
  const directory = temporaryDirectory();
  plant(directory, { 'agents/real.md': 'agent' });
  symlinkSync('agents/real.md', path.join(directory, 'linked.md'));
  await using fetching = await Fetching.open();
  for (const [name, originName] of [
    ['agents/real.md', 'real'],
    ['linked.md', 'linked'],
  ] as const) {
    await using artifact = await fetching.fetch(path.join(directory, name));
    expect(artifact).toMatchObject({ kind: 'file', originName, guessedType: 'agent' });
    expect(filesIn(path.dirname(artifact.path))).toEqual({ [path.basename(name)]: 'agent' });
  }
  const nowhere = path.join(directory, 'nowhere');
  await expect(fetching.fetch(nowhere)).rejects.toMatchObject({ code: 'SOURCE_NOT_FOUND' });
});

test('a hostile directory is refused with everything that is wrong with it', async () => {
  const directory = temporaryDirectory();
  plant(directory, {
    'SKILL.md': '',
    'aux.md': '',
    'Name.md': '',
    'name.md': '',
    'cafe\u0301.md': '',
    'caf\u00e9.md': '',
    'ends.': '',
    'a:b': '',
    '.skillmeat/journal.db': '',
    'back\\slash': '',
  });
  writeFileSync(Buffer.concat([Buffer.from(`${directory}/bad`), Buffer.from([0xff])]), '');
  for (const [name, target] of [
    ['absolute', '/etc/passwd'],
    ['outside', '../../etc/passwd'],
    ['sly', 'sub/../../x'],
    ['dangling', 'nothing'],
    ['self', 'self'],
    ['directory', '.skillmeat'],
    ['unseen', '.git/config'],
    ['drive', 'C:/x'],
  ] as const) {
    symlinkSync(target, path.join(directory, name));
  }
  expect(spawnSync('mkfifo', [path.join(directory, 'fifo')]).status).toBe(0);
  await using fetching = await Fetching.open();
  const error = (await fetching
    .fetch(directory)
    .catch((reason: unknown) => reason)) as CollectionError;
  expect(error.code).toBe('ARTIFACT_REFUSED');
  const problems = error.conflicts.map((problem) => `${problem.path}: ${problem.why}`).toSorted();
  expect(problems).toMatchInlineSnapshot(`
    [
      ".skillmeat/journal.db: ".skillmeat/journal.db" is in an engine's own directory .skillmeat",
      ".skillmeat: ".skillmeat" is in an engine's own directory .skillmeat",
      "a:b: "a:b" is absolute",
      "absolute: it links to "/etc/passwd", outside of the artifact",
      "aux.md: "aux.md": Windows cannot have a file named "aux.md"",
      "back\\slash: "back\\\\slash" contains a backslash",
      "bad�: its name is not UTF-8",
      "café.md: "café.md" has the same name on other systems",
      "dangling: it links to "nothing", which is not copied",
      "directory: it links to the directory ".skillmeat"",
      "drive: it links to "C:/x", outside of the artifact",
      "ends.: "ends.": Windows cannot have a file named "ends."",
      "fifo: it is a device, a FIFO or a socket",
      "name.md: "Name.md" has the same name on other systems",
      "outside: it links to "../../etc/passwd", outside of the artifact",
      "self: it links to itself, or through too many links",
      "sly: it links to "sub/../../x", outside of the artifact",
      "unseen: it links to ".git/config", which is not copied",
    ]
  `);
  expect(readdirSync(fetching.workspace.path)).toEqual(['lock']);
});

test('what is too deep or too large is refused before it is copied', async () => {
  const directory = temporaryDirectory();
  plant(directory, { 'SKILL.md': '' });
  await using fetching = await Fetching.open();
  truncateSync(path.join(directory, 'SKILL.md'), 1_073_741_825);
  await expect(fetching.fetch(directory)).rejects.toMatchObject({
    code: 'ARTIFACT_REFUSED',
    conflicts: [{ path: '.', why: 'it has more than 1073741824 bytes' }],
  });
  expect(fetching.progress.filter((line) => line.startsWith('copy'))).toEqual([]);
  truncateSync(path.join(directory, 'SKILL.md'), 0);
  const deep = Array.from({ length: 65 }, () => 'd').join('/');
  mkdirSync(path.join(directory, deep), { recursive: true });
  await expect(fetching.fetch(directory)).rejects.toMatchObject({
    code: 'ARTIFACT_REFUSED',
    conflicts: [{ path: deep, why: 'it is deeper than 64 levels' }],
  });
});

describe('the type of an artifact', () => {
  test.each([
    ['directory', 'x/canvas', true, 'skill'],
    ['directory', 'skills/canvas', false, undefined],
    ['file', 'commands/a.md', false, 'command'],
    ['file', 'repo/Agents/group/a.MD', false, 'agent'],
    ['file', 'agents/commands/a.md', false, 'command'],
    ['file', 'commands/a.txt', false, undefined],
    ['file', 'constructor/a.md', false, undefined],
    ['file', 'a.md', false, undefined],
  ] as const)('of a %s at %s is guessed (with SKILL.md: %s) as %s', (kind, at, has, type) => {
    expect(guessType({ kind, path: at, hasSkillFile: has })).toBe(type);
  });
});
