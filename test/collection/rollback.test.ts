import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { expectCode, useCollectionPlace } from '../support/collection.js';
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
