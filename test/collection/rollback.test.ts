import { appendFileSync, existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { hashContent } from '../../src/engine/index.js';
import { expectCode, requireConsistent, useCollectionPlace } from '../support/collection.js';
import { readTree } from '../support/tree.js';

const place = useCollectionPlace();

test('a rollback of a collection gives the files, the manifest and the lock of then', async () => {
  const collection = await place.open();
  await collection.init('mine');
  await collection.add([place.skill('canvas')]);
  const before = readTree(place.root);
  await collection.add([place.skill('paint')]);
  await collection.rename('canvas', 'easel');
  await collection.rollback({ to: { transaction: 2 } });
  expect(readTree(place.root)).toEqual(before);
  expect((await collection.reader.status()).findings).toEqual([]);
  await collection.store.undo();
  const names = (await collection.reader.artifacts()).map(({ name }) => name);
  expect(names.toSorted()).toEqual(['easel', 'paint']);
});

test('a part that would tear manifest, lock and files apart is refused', async () => {
  const collection = await place.open();
  await collection.init('mine');
  await collection.add([place.skill('canvas')]);
  await collection.tag(['canvas'], { add: ['drawing'] });
  await collection.remove(['canvas']);
  const before = readTree(place.root);
  const to = { transaction: 2 };
  for (const paths of [['collection.toml'], ['collection.lock']]) {
    await expectCode(collection.rollback({ to, paths }), 'RULE_VIOLATED');
  }
  expect(readTree(place.root)).toEqual(before);
  // What no artifact names may come back by itself.
  await collection.rollback({ to, paths: ['skills'] });
  expect(readTree(place.root)).toHaveProperty('skills/canvas/SKILL.md');
});

test('an artifact that was edited by hand does not keep a collection from being rolled back', async () => {
  const collection = await place.open();
  await collection.init('mine');
  await collection.add([place.skill('canvas'), place.skill('paint')]);
  await collection.tag(['canvas'], { add: ['drawing'] });
  const edited = join(place.root, 'skills/paint/SKILL.md');
  writeFileSync(edited, '# mine\n');
  await collection.rollback({ to: { transaction: 2 }, keepLocal: true });
  expect(readFileSync(edited, 'utf8')).toBe('# mine\n');
  // Nor does a manifest that cannot be read.
  await collection.tag(['canvas'], { add: ['drawing'] });
  writeFileSync(join(place.root, 'collection.toml'), 'x = [\n');
  await collection.rollback({ to: { transaction: 2 } });
  expect((await collection.reader.artifacts()).map(({ tags }) => tags)).toEqual([[], []]);
});

test('a rollback to before the collection leaves a plain directory', async () => {
  place.plant({ 'notes.txt': 'mine' });
  const collection = await place.open();
  await collection.init('mine');
  await collection.rollback({ to: { transaction: 0 } });
  expect(Object.keys(readTree(place.root))).toEqual(['notes.txt']);
});

test('an edit that gave way to an update comes back with a rollback', async () => {
  const collection = await place.open();
  await collection.init('mine');
  await collection.add([place.skill('canvas'), place.skill('paint')]);
  const edited = join(place.root, 'skills/canvas/SKILL.md');
  writeFileSync(edited, '# mine\n');
  await collection.add([place.skill('canvas', { 'SKILL.md': '# new\n' })], { force: true });
  await requireConsistent(place.root);
  // A part of it would leave an edit that nobody made: the lock of now, the files of then.
  const to = { transaction: 2 };
  await expectCode(collection.rollback({ to, paths: ['skills/canvas'] }), 'RULE_VIOLATED');
  await collection.rollback({ to });
  expect(readFileSync(edited, 'utf8')).toBe('# mine\n');
  const { artifacts, findings } = await collection.reader.status();
  expect([artifacts.map(({ state }) => state), findings]).toEqual([['modified', 'unchanged'], []]);
});

/** A collection in which two skills were changed since transaction 2, the manifest by hand as well. */
async function twoChanged() {
  const collection = await place.open();
  await collection.init('mine');
  await collection.add([place.skill('canvas'), place.skill('paint')]);
  const past = readTree(place.root);
  const fresh = { 'SKILL.md': '# new\n', 'more/file': 'x' };
  await collection.add([place.skill('canvas', fresh), place.skill('paint', fresh)], {
    force: true,
  });
  await collection.tag(['canvas', 'paint'], { add: ['new'] });
  const manifest = join(place.root, 'collection.toml');
  writeFileSync(manifest, `# by hand\n${readFileSync(manifest, 'utf8')}`);
  return { collection, past, manifest };
}

function below(tree: Readonly<Record<string, unknown>>, path: string): unknown {
  return Object.fromEntries(Object.entries(tree).filter(([at]) => at.startsWith(`${path}/`)));
}

test.each([
  ['canvas', 'its name'],
  ['skill/canvas', 'type and name'],
  ['skills/canvas', 'its path'],
])('only an artifact (%s: %s) goes back, with what both files say of it', async (only) => {
  const { collection, past, manifest } = await twoChanged();
  const paint = below(readTree(place.root), 'skills/paint');
  const receipt = await collection.rollback({ to: { transaction: 2 }, only: [only] });
  expect(receipt.transaction?.annotations).toMatchObject({
    rollsBackTo: 2,
    paths: ['skills/canvas'],
    label: { verb: 'rollback', subjects: [{ name: 'skill/canvas' }] },
  });
  const now = readTree(place.root);
  expect(below(now, 'skills/canvas')).toEqual(below(past, 'skills/canvas'));
  expect(below(now, 'skills/paint')).toEqual(paint);
  await requireConsistent(place.root);
  const tags = (await collection.reader.artifacts()).map((one) => [one.name, one.tags]);
  expect(tags).toEqual([
    ['canvas', []],
    ['paint', ['new']],
  ]);
  expect(readFileSync(manifest, 'utf8')).toMatch(/^# by hand\n/);
  // As any other.
  await collection.undo();
  expect((await collection.reader.artifacts())[0]?.tags).toEqual(['new']);
});

test('an artifact goes back to where it was not, was called otherwise, or lay elsewhere', async () => {
  const collection = await place.open();
  await collection.init('mine');
  await collection.add([place.skill('canvas')]);
  await collection.add([place.skill('paint')]);
  await collection.rename('canvas', 'easel');
  await collection.remove(['paint']);
  const names = async (): Promise<readonly string[]> => {
    await requireConsistent(place.root);
    return (await collection.reader.artifacts()).map(({ name }) => name).toSorted();
  };
  await collection.rollback({ to: { transaction: 3 }, only: ['paint'] });
  expect(await names()).toEqual(['easel', 'paint']);
  await collection.rollback({ to: { transaction: 3 }, only: ['easel', 'canvas'] });
  expect(await names()).toEqual(['canvas', 'paint']);
  expect(existsSync(join(place.root, 'skills/easel'))).toBe(false);
  await collection.rollback({ to: { transaction: 2 }, only: ['paint'] });
  expect(await names()).toEqual(['canvas']);
  await collection.rollback({ to: { transaction: 0 }, only: ['canvas'] });
  expect(await names()).toEqual([]);
});

test('an artifact goes back to a snapshot, and edits made since can be kept', async () => {
  const { collection, past } = await twoChanged();
  await collection.rollback({ to: { transaction: 2 } });
  await collection.store.snapshots.create({ name: 'then' });
  await collection.add([place.skill('canvas', { 'SKILL.md': '# newer\n' })], { force: true });
  await collection.rollback({ to: { snapshot: 'then' }, only: ['canvas'] });
  expect(below(readTree(place.root), 'skills/canvas')).toEqual(below(past, 'skills/canvas'));
  await requireConsistent(place.root);

  await collection.tag(['canvas'], { add: ['t'] });
  const edited = join(place.root, 'skills/canvas/SKILL.md');
  writeFileSync(edited, '# by hand\n');
  const analysis = { to: { transaction: 2 }, only: ['canvas'], keepLocal: true } as const;
  const { transaction } = await collection.rollback({ ...analysis, dryRun: true });
  expect(transaction?.changes.map(({ path }) => path)).toEqual(['collection.toml']);
  await collection.rollback(analysis);
  expect(readFileSync(edited, 'utf8')).toBe('# by hand\n');
  const { artifacts } = await collection.reader.status();
  expect(artifacts.map(({ artifact, state }) => [artifact.tags, state])).toEqual([
    [[], 'modified'],
    [[], 'unchanged'],
  ]);
});

test('what --only names is an artifact, a path, or nothing that is known', async () => {
  const { collection } = await twoChanged();
  const to = { transaction: 2 };
  // A path of an artifact's own file stays a path: it would be an edit that nobody made.
  await expectCode(collection.rollback({ to, only: ['skills/canvas/SKILL.md'] }), 'RULE_VIOLATED');
  await expectCode(collection.rollback({ to, only: ['nothing'] }), 'PATH_NOT_FOUND');
  place.plant({ 'commands/canvas.md': 'c' });
  await collection.importArtifacts({ name: 'mine' });
  await expectCode(collection.rollback({ to, only: ['canvas'] }), 'ARTIFACT_AMBIGUOUS');
});

test('an undo of a part, or one that is merged, may not tear a collection apart', async () => {
  const { collection } = await twoChanged();
  const before = readTree(place.root);
  await expectCode(collection.undo({ transaction: 3, paths: ['skills/canvas'] }), 'RULE_VIOLATED');
  await expectCode(
    collection.undo({ transaction: 3, paths: ['collection.lock'] }),
    'RULE_VIOLATED',
  );
  expect(readTree(place.root)).toEqual(before);

  await collection.add([place.skill('easel')]);
  const lines = { 'collection.toml': partOfEasel.artifact, 'collection.lock': partOfEasel.entry };
  await collection.store.transact({}, async (tx) => {
    for (const [path, text] of Object.entries(lines)) {
      await tx.write(path, `${text}\n${readFileSync(join(place.root, path), 'utf8')}`);
    }
  });
  await requireConsistent(place.root);
  await expectCode(collection.undo({ transaction: 5, merge: true }), 'RULE_VIOLATED');
  await collection.undo();
  await collection.undo({ transaction: 5, merge: true });
  await requireConsistent(place.root);
});

test('a part of a snapshot may not tear a collection apart when it is restored', async () => {
  const collection = await place.open();
  await collection.init('mine');
  await collection.add([place.skill('canvas'), place.skill('paint')]);
  await collection.store.snapshots.create({ name: 'then' });
  const then = readTree(place.root);
  const edited = join(place.root, 'skills/paint/SKILL.md');
  writeFileSync(edited, '# mine\n');
  await collection.remove(['canvas']);
  const before = readTree(place.root);
  for (const path of ['collection.toml', 'collection.lock', '*.toml']) {
    await expectCode(collection.restore('then', { paths: [path] }), 'RULE_VIOLATED');
  }
  expect(readTree(place.root)).toEqual(before);
  // One file is as good as an edit by hand, and so is what no artifact names.
  await collection.restore('then', { paths: ['skills'] });
  expect(readFileSync(edited, 'utf8')).toBe('# paint\n');
  await collection.restore('then');
  expect(readTree(place.root)).toEqual(then);
  await requireConsistent(place.root);
});

test('an artifact that a restore makes differ from its lock is one that was edited by hand', async () => {
  const collection = await place.open();
  await collection.init('mine');
  await collection.add([place.skill('canvas')]);
  const edited = join(place.root, 'skills/canvas/SKILL.md');
  writeFileSync(edited, '# mine\n');
  await collection.store.snapshots.create({ name: 'edited' });
  writeFileSync(edited, '# canvas\n');
  await collection.restore('edited', { paths: ['skills/canvas/SKILL.md'] });
  expect(readFileSync(edited, 'utf8')).toBe('# mine\n');
  const { artifacts, findings } = await collection.reader.status();
  expect([artifacts.map(({ state }) => state), findings]).toEqual([['modified'], []]);
});

/** An artifact that goes with another one. */
const partOfEasel = {
  artifact: '[[artifacts]]\nname = "part"\ntype = "hook"\npath = "skills/easel/SKILL.md"\n',
  entry: `[lock.entries."part::hook"]\ncontent_hash = "${hashContent(Buffer.from('# easel\n'))}"\n`,
};

test('an undo of a file that an artifact has a link to may not make it differ from its lock', async () => {
  const collection = await place.open();
  await collection.init('mine');
  place.plant({ 'shared/x.md': 'v1', 'skills/a/SKILL.md': '# a\n' });
  symlinkSync('../../shared/x.md', join(place.root, 'skills/a/x.md'));
  await collection.store.transact({}, (tx) => tx.write('shared/x.md', 'v2'));
  const { head } = await collection.store.status();
  await collection.importArtifacts({ name: 'mine' });
  await expectCode(collection.undo({ transaction: head, paths: ['shared/x.md'] }), 'RULE_VIOLATED');
  expect(await collection.reader.findings()).toEqual([]);
});

test('a manifest that cannot be read does not keep from an undo that leaves it alone', async () => {
  const collection = await place.open();
  await collection.init('mine');
  await collection.store.transact({}, (tx) => tx.write('notes.txt', 'v1'));
  appendFileSync(join(place.root, 'collection.toml'), '\n[[artifacts\n');
  await collection.undo();
  expect(existsSync(join(place.root, 'notes.txt'))).toBe(false);
});
