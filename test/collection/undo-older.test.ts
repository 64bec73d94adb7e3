import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type Collection, isCollectionError } from '../../src/collection/index.js';
import { isEngineError } from '../../src/engine/index.js';
import { expectCode, requireConsistent, useCollectionPlace } from '../support/collection.js';
import { readTree } from '../support/tree.js';

/*
 * Undoing a transaction that is not the newest: what it did to manifest and lock is taken back entry by
 * entry. Random sequences of it are in test/property/collection-undo.test.ts.
 */

const place = useCollectionPlace();

function read(path: string): string {
  return readFileSync(join(place.root, path), 'utf8');
}

function withoutTime(text: string): string {
  return text.replace(/^updated = .*$/m, '');
}

async function names(collection: Collection): Promise<readonly string[]> {
  await requireConsistent(place.root);
  return (await collection.reader.artifacts()).map(({ name }) => name);
}

/** A collection with three skills, each of a transaction of its own: 2, 3 and 4. */
async function three(): Promise<Collection> {
  const collection = await place.open();
  await collection.init('mine');
  for (const name of ['canvas', 'paint', 'easel']) await collection.add([place.skill(name)]);
  return collection;
}

async function conflictsOf(work: Promise<unknown>): Promise<readonly string[]> {
  try {
    await work;
  } catch (error) {
    if (!isEngineError(error, 'UNDO_CONFLICT')) throw error;
    return error.conflicts.map(({ path, why }) => `${path}: ${why}`);
  }
  throw new Error('UNDO_CONFLICT was expected, and nothing failed');
}

test('an older transaction is undone and redone, and all others stay as they are', async () => {
  const collection = await three();
  await collection.tag(['easel'], { add: ['t'] });
  const before = readTree(place.root);
  const [manifest, lock] = [read('collection.toml'), read('collection.lock')];
  const undo = await collection.undo({ transaction: 3 });
  expect(undo).toMatchObject({
    undone: 3,
    transaction: { message: 'undo 3: add paint', annotations: { undoes: 3 } },
  });
  expect(undo.paths).toEqual([
    { path: 'collection.lock', outcome: 'merged' },
    { path: 'collection.toml', outcome: 'merged' },
    { path: 'skills/paint', outcome: 'restored' },
    { path: 'skills/paint/SKILL.md', outcome: 'restored' },
    { path: 'skills/paint/scripts', outcome: 'restored' },
    { path: 'skills/paint/scripts/run.sh', outcome: 'restored' },
  ]);
  expect(await names(collection)).toEqual(['canvas', 'easel']);
  const facts = (await collection.reader.files()).manifest.facts();
  expect(facts.updated).not.toBe(/updated = "(.*)"/.exec(manifest)?.[1]);

  await collection.tag(['easel'], { remove: ['t'] });
  await collection.tag(['easel'], { add: ['t'] });
  await collection.redo({ transaction: 3 });
  expect(await names(collection)).toEqual(['canvas', 'paint', 'easel']);
  expect(withoutTime(read('collection.toml'))).toBe(withoutTime(manifest));
  expect(read('collection.lock')).toBe(lock);
  const { 'collection.toml': _now, ...now } = readTree(place.root);
  const { 'collection.toml': _then, ...then } = before;
  expect(now).toEqual(then);
});

test('undoing again and again walks back over what older undos have left', async () => {
  const collection = await three();
  await collection.undo({ transaction: 2 });
  await collection.undo();
  expect(await names(collection)).toEqual(['paint']);
  await collection.undo();
  expect(await names(collection)).toEqual([]);
});

test('the newest transaction is undone to the byte, `updated` too', async () => {
  const collection = await three();
  const before = readTree(place.root);
  await collection.tag(['canvas', 'easel'], { add: ['t'] });
  await collection.undo();
  expect(readTree(place.root)).toEqual(before);
});

test.each<[string, (collection: Collection) => Promise<unknown>]>([
  ['a removal', (collection) => collection.remove(['paint'])],
  ['a rename', (collection) => collection.rename('paint', 'brush')],
  ['tags', (collection) => collection.tag(['paint', 'canvas'], { add: ['t'] })],
  [
    'two that were replaced',
    (collection) =>
      collection.add(
        ['paint', 'canvas'].map((name) =>
          place.skill(name, { 'SKILL.md': '---\ntitle: x\n---\n' }),
        ),
        { force: true },
      ),
  ],
  [
    'a table and a comment of another program',
    async ({ store }) =>
      store.transact({}, async (tx) => {
        await tx.write(
          'collection.toml',
          `${read('collection.toml')}\n# mine\n[[groups]]\nname = "g"\n`,
        );
      }),
  ],
  [
    'what is about no artifact',
    async ({ store }) => store.transact({}, (tx) => tx.write('notes', 'x')),
  ],
])('%s: undone after something else, it is as if it had not been', async (_, change) => {
  const collection = await three();
  const before = readTree(place.root);
  const texts = [withoutTime(read('collection.toml')), read('collection.lock')];
  await change(collection);
  const changed = (await collection.store.status()).head;
  await collection.add([place.skill('other')]);
  await collection.undo({ transaction: changed });
  await requireConsistent(place.root);
  await collection.remove(['other']);
  expect([withoutTime(read('collection.toml')), read('collection.lock')]).toEqual(texts);
  const { 'collection.toml': _now, ...now } = readTree(place.root);
  const { 'collection.toml': _then, ...then } = before;
  expect(now).toEqual(then);
});

test('what was changed since is refused by its name; --merge merges it, --force lets it give way', async () => {
  const collection = await three();
  await collection.tag(['paint', 'easel'], { add: ['one'] });
  const tagged = read('collection.toml');
  await collection.change({}, (draft) => {
    draft.setArtifact('paint::skill', { origin: 'elsewhere' });
    return ['paint::skill'];
  });
  const before = readTree(place.root);
  const merged = { transaction: 5, merge: true } as const;
  expect(await conflictsOf(collection.undo({ transaction: 5 }))).toEqual([
    'collection.toml: skill/paint is not as the transaction left it',
  ]);
  expect(readTree(place.root)).toEqual(before);
  const planned = await collection.undo({ ...merged, dryRun: true });
  expect(planned.transaction?.changes.map(({ path }) => path)).toEqual(['collection.toml']);
  expect(readTree(place.root)).toEqual(before);
  await collection.undo(merged);
  const artifact = { name: 'paint', origin: 'elsewhere', tags: [] };
  expect((await collection.reader.artifacts())[1]).toMatchObject(artifact);
  await collection.undo({ transaction: 7 });

  // The same lines.
  await collection.tag(['paint'], { add: ['two'] });
  expect(await conflictsOf(collection.undo(merged))).toHaveLength(1);
  const { paths } = await collection.undo({ ...merged, force: true });
  expect(paths).toEqual([{ path: 'collection.toml', outcome: 'overwritten' }]);
  const { artifacts } = await collection.reader.status();
  expect(artifacts.map((one) => one.artifact.tags)).toEqual([[], [], []]);
  expect(tagged).toContain('one');
  await requireConsistent(place.root);
});

test('an artifact that is gone, or was edited by hand, is in the way as well', async () => {
  const collection = await three();
  await collection.tag(['paint'], { add: ['t'] });
  await collection.remove(['paint']);
  const [line] = await conflictsOf(collection.undo({ transaction: 5 }));
  expect(line).toBe('collection.toml: skill/paint is not as the transaction left it');
  expect(await conflictsOf(collection.undo({ transaction: 5, merge: true }))).toHaveLength(1);
  // Its lines alone would be an artifact without files.
  await expectCode(collection.undo({ transaction: 5, force: true }), 'RULE_VIOLATED');
  writeFileSync(join(place.root, 'skills/canvas/SKILL.md'), 'by hand');
  const conflicts = await conflictsOf(collection.undo({ transaction: 2 }));
  expect(conflicts).toEqual([
    expect.stringMatching(/^skills\/canvas\/SKILL.md: .*another program/),
  ]);
});

test('an edit of the manifest by hand that a snapshot has recorded is taken back alone', async () => {
  const collection = await three();
  await collection.store.snapshots.create({ name: 'before' });
  const edited = read('collection.toml').replace('name = "mine"', 'name = "ours"\nx = 1');
  writeFileSync(join(place.root, 'collection.toml'), `${edited}\n[[groups]]\nname = "g"\n`);
  await collection.store.snapshots.create({ name: 'after' });
  await collection.tag(['paint'], { add: ['t'] });
  expect(await collection.store.show(5)).toMatchObject({ annotations: { adopts: true } });
  await collection.undo({ transaction: 5 });
  await requireConsistent(place.root);
  const { manifest } = await collection.reader.files();
  expect(manifest.facts().name).toBe('mine');
  expect(manifest.text).not.toMatch(/groups|x = 1/);
  expect(manifest.get('paint::skill')?.tags).toEqual(['t']);
  await collection.redo({ transaction: 5 });
  expect((await collection.reader.files()).manifest.text).toMatch(/"ours"\nx = 1\n[^]*groups/);
});

test('the first artifact goes although others came into its directory since', async () => {
  const collection = await three();
  const kept = await collection.undo({ transaction: 2 });
  expect(kept.paths).toContainEqual({ path: 'skills', outcome: 'kept' });
  expect(await names(collection)).toEqual(['paint', 'easel']);
  // What somebody put into the artifact itself is in the way as ever.
  writeFileSync(join(place.root, 'skills/paint/mine'), 'mine');
  expect(await conflictsOf(collection.undo({ transaction: 3 }))).toEqual([
    expect.stringMatching(/^skills\/paint: it holds "skills\/paint\/mine"/),
  ]);
});

test('where there was no lock before, its entries go; where there was no manifest, it is refused', async () => {
  place.plant({ 'collection.toml': '[collection]\nname = "old"\n' });
  const collection = await place.open();
  await collection.add([place.skill('canvas')]);
  await collection.add([place.skill('paint')]);
  await collection.undo({ transaction: 1 });
  expect(await names(collection)).toEqual(['paint']);
  expect(read('collection.lock')).toMatch(/^\[lock\]\nversion = "1.0.0"\n/);
});

test('an undo of the transaction that made the collection is refused while it goes on', async () => {
  const collection = await three();
  expect(await conflictsOf(collection.undo({ transaction: 1 }))).toContain(
    'collection.toml: there was no manifest before it',
  );
  await expectCode(collection.undo({ transaction: 1, force: true }), 'RULE_VIOLATED');
});

test('of several artifacts that were undone, one alone is redone, with its lines in both files', async () => {
  const collection = await three();
  await collection.remove(['paint', 'canvas']);
  const undo = await collection.undo({ transaction: 5 });
  const whole = readTree(place.root);
  for (const transaction of [undo.transaction?.id ?? 0, 5]) {
    const redo = await collection.redo({ transaction, only: ['canvas'] });
    await requireConsistent(place.root);
    expect(await names(collection)).toEqual(['paint', 'easel']);
    expect(existsSync(join(place.root, 'skills/canvas'))).toBe(false);
    await collection.undo({ transaction: redo.transaction?.id ?? 0 });
    expect(Object.keys(readTree(place.root))).toEqual(Object.keys(whole));
  }
  await expect(collection.redo({ only: ['paint'] })).rejects.toThrow(TypeError);
});

test('of several artifacts, one alone is undone, with its lines in both files', async () => {
  const collection = await three();
  const fresh = { 'SKILL.md': '# new\n' };
  await collection.add([place.skill('paint', fresh), place.skill('canvas', fresh)], {
    force: true,
  });
  const before = readTree(place.root);
  const texts = [withoutTime(read('collection.toml')), read('collection.lock')];
  const undo = await collection.undo({ transaction: 5, only: ['paint'] });
  const { transaction } = undo;
  expect(transaction?.annotations).toMatchObject({ undoes: 5, paths: expect.any(Array) as object });
  await requireConsistent(place.root);
  expect(read('skills/paint/SKILL.md')).toBe('# paint\n');
  expect(read('skills/canvas/SKILL.md')).toBe('# new\n');
  // Again there is nothing left of it.
  const again = await collection.undo({ transaction: 5, only: ['skill/paint'] });
  expect(again.transaction).toBeNull();
  await collection.tag(['easel'], { add: ['t'] });
  await collection.undo({ transaction: transaction?.id ?? 0 });
  await collection.tag(['easel'], { remove: ['t'] });
  expect([withoutTime(read('collection.toml')), read('collection.lock')]).toEqual(texts);
  expect(Object.keys(readTree(place.root))).toEqual(Object.keys(before));

  await expectCode(collection.undo({ transaction: 5, only: ['easel'] }), 'ARTIFACT_NOT_FOUND');
  await expectCode(collection.undo({ transaction: 5, only: ['none'] }), 'PATH_NOT_FOUND');
  await expect(collection.undo({ only: ['paint'] })).rejects.toThrow(TypeError);
});

test('one artifact alone: tags, an import that made the collection, an edit that gave way', async () => {
  place.plant({ 'skills/canvas/SKILL.md': '# c\n', 'skills/paint/SKILL.md': '# p\n' });
  const collection = await place.open();
  await collection.importArtifacts({ name: 'mine' });
  await collection.tag(['canvas', 'paint'], { add: ['t'] });
  await collection.undo({ transaction: 2, only: ['paint'] });
  expect((await collection.reader.artifacts()).map(({ tags }) => tags)).toEqual([['t'], []]);
  await collection.undo({ transaction: 1, only: ['paint'] });
  expect(await names(collection)).toEqual(['canvas']);

  writeFileSync(join(place.root, 'skills/canvas/SKILL.md'), 'by hand');
  await collection.remove(['canvas'], { force: true });
  await collection.undo({ transaction: 5, only: ['canvas'] });
  expect(read('skills/canvas/SKILL.md')).toBe('by hand');
  expect((await collection.reader.status()).artifacts[0]?.state).toBe('modified');
  // What is no artifact is a path.
  await collection.store.transact({}, (tx) => tx.write('notes', 'x'));
  await collection.undo({ transaction: 7, only: ['notes'] });
  expect(readTree(place.root)).not.toHaveProperty('notes');
});

test('what cannot be taken apart is undone as a whole, or not at all', async () => {
  const collection = await three();
  const good = read('collection.toml');
  await collection.tag(['paint'], { add: ['t'] });
  await collection.store.transact({}, (tx) => tx.write('collection.toml', 'x = [\n'));
  expect(await conflictsOf(collection.undo({ transaction: 5 }))).toEqual([
    'collection.toml: collection.toml:2:1: invalid value',
  ]);
  await collection.undo({ transaction: 5, force: true });
  expect(read('collection.toml')).toBe(good);
});

test('a manifest that nobody keeps as the transaction left it is refused', async () => {
  const collection = await three();
  writeFileSync(join(place.root, 'collection.toml'), `# by hand\n${read('collection.toml')}`);
  expect(await conflictsOf(collection.undo({ transaction: 4 }))).toEqual([
    'collection.toml: its content as the transaction left it is not in history',
  ]);
  // Not even a part of it is undone.
  expect(await names(collection)).toEqual(['canvas', 'paint', 'easel']);
  rmSync(join(place.root, 'collection.toml'));
  const undoing = collection.undo({ transaction: 4 });
  await expect(undoing).rejects.toSatisfy(
    (error) => isEngineError(error) && !isCollectionError(error),
  );
});
