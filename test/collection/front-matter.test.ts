import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'smol-toml';
import { expect, test } from 'vitest';
import { findFrontMatter, parseFrontMatter } from '../../src/collection/front-matter.js';
import { noMetadata } from '../../src/collection/metadata.js';
import { requireConsistent, useCollectionPlace } from '../support/collection.js';

const place = useCollectionPlace();

async function read(text: string) {
  return parseFrontMatter(findFrontMatter(text));
}

/** Each line stands for ten times the one before. */
const multiplied = ['ab', 'bc', 'cd', 'de', 'ef', 'fg', 'gh']
  .map(([from = '', to = '']) => `${to}: &${to} [${`*${from},`.repeat(10)}]`)
  .join('\n');

const nothing = { metadata: noMetadata, tags: [] };

test('front matter gives texts and lists, however they are written', async () => {
  const text = `---
name: canvas
title: "Canvas: a skill"
description: >-
  Draws
  what is asked for.
author: 'Ada'
license: MIT
version: 1.10
dependencies: [a, "b"]
allowed-tools: Bash, web-fetch, Bash(git:*), Unheard
tags:
  - drawing
  - drawing
  - 7
model: opus
---
# Canvas
`;
  const expected = {
    metadata: {
      title: 'Canvas: a skill',
      description: 'Draws what is asked for.',
      author: 'Ada',
      license: 'MIT',
      version: '1.10',
      dependencies: ['a', 'b'],
      tools: ['Bash', 'WebFetch'],
    },
    tags: ['drawing', '7'],
  };
  expect(await read(text)).toEqual(expected);
  expect(await read(`\uFEFF${text.replaceAll('\n', '\r\n')}`)).toEqual(expected);
});

test.each<[string, string]>([
  ['none', '# Canvas\n'],
  ['one that does not end', '---\ntitle: x\n'],
  ['one that comes later', '# Canvas\n---\ntitle: x\n---\n'],
  ['broken YAML', '---\ntitle: [x\n---\n'],
  ['a list', '---\n- title\n---\n'],
  ['a text', '---\ntitle\n---\n'],
  ['values of other kinds', '---\ntitle: [x]\ndescription: {a: b}\nauthor: ~\ntags: {a: b}\n---\n'],
  ['texts that are too long', `---\ntitle: ${'x'.repeat(5_000)}\n---\n`],
  ['more than any', `---\ntitle: x\ny: ${'y'.repeat(20_000)}\n---\n`],
  ['brackets without end', `---\ny: ${'['.repeat(16_000)}\n---\n`],
  ['references that multiply', `---\ntitle: x\na: &a [${'x,'.repeat(10)}]\n${multiplied}\n---\n`],
])('front matter that is %s says nothing', async (_, text) => {
  expect(await read(text)).toEqual(nothing);
});

function manifest(): string {
  return readFileSync(join(place.root, 'collection.toml'), 'utf8');
}

const words = (more: string): string => `---\ntitle: Canvas\n${more}---\n# Canvas\n`;

test('a new artifact has the metadata and tags of its front matter, as the predecessor reads them', async () => {
  const collection = await place.open();
  await collection.init('mine');
  const text = words('description: "Draws \\"all\\""\ntools: Read\ntags: [b, a]\n');
  const skill = place.skill('canvas', { 'SKILL.md': text });
  await collection.add([{ ...skill, tags: ['a', 'c'] }, place.skill('plain')]);
  await requireConsistent(place.root);
  const { artifacts } = parse(manifest()) as { artifacts: object[] };
  expect(artifacts).toMatchObject([
    {
      name: 'canvas',
      tags: ['a', 'c', 'b'],
      metadata: { title: 'Canvas', description: 'Draws "all"', tools: ['Read'] },
    },
    { name: 'plain' },
  ]);
  expect(artifacts[1]).not.toHaveProperty('metadata');
  place.plant({ 'commands/review.md': words('version: 2.0\n'), 'hooks/h.sh': words('') });
  await collection.importArtifacts({ name: 'mine' });
  const found = await collection.reader.artifacts();
  const command = found.find(({ name }) => name === 'review');
  expect(command?.metadata).toEqual({ ...noMetadata, title: 'Canvas', version: '2.0' });
});

test('metadata follows the front matter, and what was written by hand stays', async () => {
  const collection = await place.open();
  await collection.init('mine');
  const replace = async (text: string): Promise<object | undefined> => {
    await collection.add([place.skill('canvas', { 'SKILL.md': text })], { force: true });
    await requireConsistent(place.root);
    const { artifacts } = parse(manifest()) as { artifacts: { metadata?: object }[] };
    return artifacts[0]?.metadata;
  };
  const first = words('author: Ada\nversion: "1"\n');
  expect(await replace(first)).toEqual({ title: 'Canvas', author: 'Ada', version: '1' });
  const path = join(place.root, 'collection.toml');
  // By hand: a better title, and a key that nobody knows.
  writeFileSync(path, manifest().replace('title = "Canvas"', 'title = "Mine" # mine\nstars = 5'));
  expect(await replace('---\ntitle: Easel\nversion: "2"\nlicense: MIT\n---\n')).toEqual({
    title: 'Mine',
    stars: 5,
    version: '2',
    license: 'MIT',
  });
  expect(manifest()).toContain('title = "Mine" # mine\n');
  // Without a table there is one as soon as there is something to say.
  writeFileSync(path, manifest().replace(/\[artifacts\.metadata\][^[]*/, ''));
  expect(await replace(first)).toEqual({ title: 'Canvas', author: 'Ada', version: '1' });
  // In another form it is left alone.
  const inline = 'metadata = { title = "In a line" }\n';
  writeFileSync(path, manifest().replace(/\n\[artifacts\.metadata\][^[]*/, inline));
  expect(await replace(words('author: Eve\n'))).toEqual({ title: 'In a line' });
  expect(manifest()).toContain(inline);
});
