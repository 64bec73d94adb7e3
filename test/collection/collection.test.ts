import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { CollectionReader, keyOf } from '../../src/collection/index.js';
import { expectCode, requireConsistent, useCollectionPlace } from '../support/collection.js';

const place = useCollectionPlace();
const canvas = keyOf({ name: 'canvas', type: 'skill' });

function read(path: string): string {
  return readFileSync(join(place.root, path), 'utf8');
}

test('a new collection is empty, and is made once', async () => {
  const collection = await place.open();
  const { receipt } = await collection.init('mine');
  expect(receipt.transaction?.changes.map(({ path }) => path)).toEqual([
    'collection.lock',
    'collection.toml',
  ]);
  await requireConsistent(place.root);
  expect(await collection.reader.artifacts()).toEqual([]);
  await expectCode(collection.init('mine'), 'COLLECTION_EXISTS');
});

test('artifacts come in all or none, with manifest and lock', async () => {
  const collection = await place.open({ now: () => Date.UTC(2026, 0, 2, 3, 4, 5, 678) });
  await collection.init('mine');
  const { artifacts } = await collection.add([place.skill('canvas'), place.skill('paint')]);
  expect(artifacts).toEqual([canvas, 'paint::skill']);
  await requireConsistent(place.root);
  expect(read('collection.toml')).toContain(
    '[[artifacts]]\nname = "canvas"\ntype = "skill"\npath = "skills/canvas"\norigin = "local"\nadded = "2026-01-02T03:04:05.678000"\n',
  );
  const before = read('collection.toml') + read('collection.lock');
  await expectCode(collection.add([place.skill('third'), place.skill('paint')]), 'ARTIFACT_EXISTS');
  expect(read('collection.toml') + read('collection.lock')).toBe(before);
  await collection.add([place.skill('paint', { 'SKILL.md': 'new' })], { force: true });
  expect(read('skills/paint/SKILL.md')).toBe('new');
  await requireConsistent(place.root);
});

test('what lies there and has no name is not overwritten', async () => {
  place.plant({ 'skills/canvas/SKILL.md': 'mine' });
  const collection = await place.open();
  await collection.init('mine');
  await expectCode(collection.add([place.skill('canvas')]), 'ARTIFACT_EXISTS');
  expect(read('skills/canvas/SKILL.md')).toBe('mine');
});

test('a directory of artifacts becomes a collection, and no file of it is touched', async () => {
  place.plant({
    'skills/canvas/SKILL.md': 'c',
    'commands/review.md': 'r',
    'agents/deep/er.md': 'e',
    'workflows/flow/steps.yaml': 's',
    'notes/README.md': 'no artifact',
    'notes/other.md': 'no artifact either',
    'tools/CON .md': 'x',
  });
  const at = join(place.root, 'skills/canvas/SKILL.md');
  const before = statSync(at).mtimeMs;
  const collection = await place.open();
  const imported = await collection.importArtifacts({ name: 'found' });
  expect(imported.artifacts.toSorted()).toEqual([
    'canvas::skill',
    'er::agent',
    'flow::workflow',
    'review::command',
  ]);
  expect(statSync(at).mtimeMs).toBe(before);
  await requireConsistent(place.root);
  const again = await collection.importArtifacts({ name: 'found' });
  expect(again.receipt.transaction).toBeNull();
  const more = await collection.importArtifacts({ name: 'found', markdown: 'agent' });
  expect(more.artifacts).toEqual(['other::agent']);
  expect(more.skipped).toEqual([{ path: 'tools/CON .md', why: '"CON " cannot be a name' }]);
});

test('two artifacts of one name in an import: the second is named, not taken', async () => {
  place.plant({ 'agents/a/same.md': '1', 'agents/b/same.md': '2' });
  const collection = await place.open();
  const { artifacts, skipped } = await collection.importArtifacts({ name: 'x' });
  expect(artifacts).toEqual(['same::agent']);
  expect(skipped).toEqual([
    { path: 'agents/b/same.md', why: 'agents/a/same.md is the agent of that name' },
  ]);
});

test('an empty directory has nothing to import, and gets no files', async () => {
  const collection = await place.open();
  await expectCode(collection.importArtifacts({ name: 'x' }), 'NOTHING_TO_IMPORT');
  await expectCode(collection.reader.artifacts(), 'COLLECTION_NOT_FOUND');
});

test('an edited artifact is removed only by force, and undo brings the edit back', async () => {
  const collection = await place.open();
  await collection.init('mine');
  await collection.add([place.skill('canvas')]);
  writeFileSync(join(place.root, 'skills/canvas/SKILL.md'), 'by hand');
  await expectCode(collection.remove(['canvas']), 'ARTIFACT_MODIFIED');
  expect((await collection.reader.status()).artifacts[0]?.state).toBe('modified');
  await collection.remove(['canvas'], { force: true });
  expect((await collection.reader.status()).artifacts).toEqual([]);
  await requireConsistent(place.root);
  await collection.store.undo();
  expect(read('skills/canvas/SKILL.md')).toBe('by hand');
  expect(await collection.reader.artifacts()).toHaveLength(1);
});

test('an undo that is forced may not tear manifest, lock and files apart', async () => {
  const collection = await place.open();
  await collection.init('mine');
  await collection.add([place.skill('canvas')]);
  await collection.add([place.skill('paint')]);
  const { head } = await collection.store.status();
  await collection.tag(['canvas'], { add: ['q'] });
  await collection.rename('canvas', 'easel');
  // The lines of then have an artifact that is called otherwise since.
  const undoing = collection.undo({ transaction: head + 1, force: true });
  await expectCode(undoing, 'RULE_VIOLATED');
  await requireConsistent(place.root);
  await collection.undo();
  await requireConsistent(place.root);
  expect(await collection.reader.artifacts()).toHaveLength(2);
});

test('a rename takes the files, both entries and an edit along', async () => {
  const collection = await place.open();
  await collection.init('mine');
  await collection.add([place.skill('canvas'), place.skill('paint')]);
  writeFileSync(join(place.root, 'skills/canvas/SKILL.md'), 'by hand');
  const { artifacts } = await collection.rename('canvas', 'draw');
  expect(artifacts).toEqual(['draw::skill']);
  expect(read('skills/draw/SKILL.md')).toBe('by hand');
  const { artifacts: all, findings } = await collection.reader.status();
  expect(all.map(({ artifact, state }) => [artifact.name, state])).toEqual([
    ['draw', 'modified'],
    ['paint', 'unchanged'],
  ]);
  expect(findings).toEqual([]);
  await expectCode(collection.rename('draw', 'paint'), 'ARTIFACT_EXISTS');
  await expectCode(collection.rename('draw', '../x'), 'ARTIFACT_NAME_INVALID');
});

test('tags that are there already write nothing', async () => {
  const collection = await place.open();
  await collection.init('mine');
  await collection.add([place.skill('canvas')]);
  await collection.tag(['canvas'], { add: ['a', 'b'] });
  expect((await collection.reader.artifacts())[0]?.tags).toEqual(['a', 'b']);
  const same = await collection.tag(['skill/canvas'], { add: ['a'], remove: ['c'] });
  expect(same.receipt.transaction).toBeNull();
  await collection.tag(['canvas'], { remove: ['a', 'b'] });
  expect(read('collection.toml')).not.toContain('tags');
});

test('an artifact is found by its name, by type and name, or not', async () => {
  place.plant({ 'commands/same.md': '1', 'agents/same.md': '2' });
  const collection = await place.open();
  await collection.importArtifacts({ name: 'x' });
  const ambiguous = await expectCode(
    collection.tag(['same'], { add: ['t'] }),
    'ARTIFACT_AMBIGUOUS',
  );
  expect(ambiguous).toMatchObject({ hint: 'Say which: agent/same, command/same.' });
  expect((await collection.tag(['agents/same'], { add: ['t'] })).artifacts).toEqual([
    'same::agent',
  ]);
  const missing = await expectCode(collection.tag(['am'], { add: ['t'] }), 'ARTIFACT_NOT_FOUND');
  expect(missing).toMatchObject({ hint: expect.stringContaining('command/same') as unknown });
});

const broken: readonly (readonly [
  string,
  string,
  (text: { toml: string; lock: string }) => void,
])[] = [
  [
    'C1',
    'twice in the manifest',
    (files) => {
      const block = files.toml.slice(files.toml.indexOf('[[artifacts]]'));
      writeFileSync(join(place.root, 'collection.toml'), `${files.toml}\n${block}`);
    },
  ],
  [
    'C2',
    'not in the lock',
    () => {
      writeFileSync(join(place.root, 'collection.lock'), '[lock]\nversion = "1.0.0"\n');
    },
  ],
  [
    'C3',
    'another commit in the lock',
    (files) => {
      writeFileSync(join(place.root, 'collection.lock'), `${files.lock}resolved_sha = "x"\n`);
    },
  ],
  [
    'C4',
    'missing',
    () => {
      rmSync(join(place.root, 'skills/canvas'), { recursive: true });
    },
  ],
  [
    'C4',
    'outside',
    (files) => {
      const outside = files.toml.replace('skills/canvas', '../elsewhere');
      writeFileSync(join(place.root, 'collection.toml'), outside);
    },
  ],
];

test.each(broken)(
  '%s %s is found, and no change makes it worse or is kept from helping',
  async (rule, _, breakIt) => {
    const collection = await place.open();
    await collection.init('mine');
    await collection.add([place.skill('canvas')]);
    breakIt({ toml: read('collection.toml'), lock: read('collection.lock') });
    const before = await collection.reader.findings();
    expect(before.map((finding) => finding.rule)).toContain(rule);
    // Others go on.
    await collection.add([place.skill('paint')]);
    expect((await collection.reader.findings()).length).toBe(before.length);
    if (rule === 'C1') return;
    await collection.remove(['canvas'], { force: true });
    await requireConsistent(place.root);
  },
);

test.each([
  ['C2', 'a name in the manifest only', { name: 'x', type: 'skill', path: 'skills/canvas' }],
  ['C4', 'a path that leads out', { name: 'x', type: 'skill', path: '../x' }],
])('%s: a change that would make %s does not commit', async (rule, _, values) => {
  const collection = await place.open();
  await collection.init('mine');
  await collection.add([place.skill('canvas')]);
  const before = read('collection.toml');
  const error = await expectCode(
    collection.change({}, async ({ manifest, tx }) => {
      await tx.write('collection.toml', manifest.add(values).text);
      return [];
    }),
    'RULE_VIOLATED',
  );
  expect(error.message).toContain(rule);
  expect(read('collection.toml')).toBe(before);
});

test.each([
  ['a file of an artifact', 'skills/canvas/SKILL.md', 'C5'],
  ['no TOML', 'collection.toml', 'C1'],
  ['no lock', 'collection.lock', 'C1'],
])('a change that writes %s unawares does not commit', async (_, path, rule) => {
  const collection = await place.open();
  await collection.init('mine');
  await collection.add([place.skill('canvas')]);
  const error = await expectCode(
    collection.change({}, async ({ tx }) => {
      await tx.write(path, 'x = [');
      return [];
    }),
    'RULE_VIOLATED',
  );
  expect(error.message).toContain(rule);
});

test('what the predecessor wrote opens, and what changes nothing writes nothing', async () => {
  place.plant({
    'skills/canvas/SKILL.md': '# Canvas\n',
    'collection.toml': `artifacts = [
    { name = "canvas", type = "skill", path = "skills/canvas", origin = "local", added = "2025-01-01T00:00:00" },
]

[collection]
name = "default"
version = "1.0.0"
created = "2025-11-15T09:30:00.123456"
updated = "2025-11-15T09:30:00.123456"
`,
    'collection.lock': `[lock]
version = "1.0.0"

[lock.entries."canvas::skill"]
content_hash = "b7a0f8ebd1f9cf17e8b13a6e38a1a2d1b3ff1a3a0000000000000000000000ff"
fetched = "2025-11-15T09:30:00.123456"
`,
  });
  const reader = new CollectionReader(place.root);
  expect((await reader.status()).artifacts.map(({ state }) => state)).toEqual(['modified']);
  const before = read('collection.toml') + read('collection.lock');
  const collection = await place.open();
  await collection.tag(['canvas'], { remove: ['none'] });
  expect(read('collection.toml') + read('collection.lock')).toBe(before);
  await collection.tag(['canvas'], { add: ['t'] });
  expect((await reader.artifacts())[0]).toMatchObject({ name: 'canvas', tags: ['t'] });
});

test('two at once come one after the other, and no entry is lost', async () => {
  const [one, other] = [await place.open(), await place.open()];
  await one.init('mine');
  const names = Array.from({ length: 20 }, (_unused, at) => `s${String(at)}`);
  await Promise.all(
    names.map(async (name, at) => (at % 2 === 0 ? one : other).add([place.skill(name)])),
  );
  expect((await one.reader.artifacts()).map(({ name }) => name).toSorted()).toEqual(
    names.toSorted(),
  );
  await requireConsistent(place.root);
});

test('an artifact that lies inside of another one is not removed with it unawares', async () => {
  const collection = await place.open();
  await collection.init('mine');
  await collection.add([place.skill('canvas', { 'SKILL.md': 'one', 'deep/SKILL.md': 'two' })]);
  const { from: _from, ...deep } = place.skill('deep');
  await collection.change({}, async (draft) => [
    await draft.record({ ...deep, path: 'skills/canvas/deep' }),
  ]);
  await requireConsistent(place.root);
  const error = await expectCode(collection.remove(['canvas']), 'RULE_VIOLATED');
  expect(error.message).toContain('C4: skills/canvas/deep');
  await requireConsistent(place.root);
  await collection.remove(['deep', 'canvas'], { force: true });
  await requireConsistent(place.root);
});
