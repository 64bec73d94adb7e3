import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Collection } from '../../src/collection/index.js';
import { keptFiles } from '../../src/collection/kept-files.js';
import { putBack } from '../../src/collection/put-back.js';
import { expectCode, requireConsistent, useCollectionPlace } from '../support/collection.js';

const place = useCollectionPlace();
const sha = '0123456789012345678901234567890123456789';

function read(path: string): string {
  return readFileSync(join(place.root, path), 'utf8');
}

function write(path: string, text: string): void {
  writeFileSync(join(place.root, path), text);
}

/** Cuts the table of `canvas` out of a file. */
function without(file: string): string {
  return read(file).replace(/\[(?:\[artifacts\]|lock\.entries\."canvas).*?(?=\n\[|$)/s, '');
}

test.each<[string, () => void, string, boolean]>([
  [
    'C2, not in the lock',
    () => {
      write('collection.lock', without('collection.lock'));
    },
    'lock-as-is',
    true,
  ],
  [
    'C2, not in the manifest',
    () => {
      write('collection.toml', without('collection.toml'));
    },
    'record-artifact',
    true,
  ],
  [
    'C2, in the lock and nowhere else',
    () => {
      write('collection.toml', without('collection.toml'));
      rmSync(join(place.root, 'skills/canvas'), { recursive: true });
    },
    'drop-entry',
    true,
  ],
  [
    'C3, two commits',
    () => {
      write('collection.lock', `${read('collection.lock')}resolved_sha = "${sha}"\n`);
    },
    'trust-lock',
    true,
  ],
  [
    'C4, missing',
    () => {
      rmSync(join(place.root, 'skills/canvas'), { recursive: true });
    },
    'none',
    false,
  ],
  [
    'C4, outside',
    () => {
      write('collection.toml', read('collection.toml').replace('skills/canvas', '../x'));
    },
    'none',
    false,
  ],
  [
    'C1, twice',
    () => {
      write(
        'collection.toml',
        read('collection.toml') +
          read('collection.toml').slice(read('collection.toml').indexOf('[[artifacts]]')),
      );
    },
    'none',
    false,
  ],
])(
  '%s: a repair is shown first, then done as a transaction',
  async (_, breakIt, action, isMended) => {
    const collection = await place.open();
    await collection.init('c');
    await collection.add([place.skill('canvas')]);
    breakIt();
    const broken = read('collection.toml') + read('collection.lock');
    const planned = await collection.repair({ dryRun: true });
    expect(planned.repairs.map((repair) => repair.action)).toEqual([action]);
    expect(read('collection.toml') + read('collection.lock')).toBe(broken);
    const { receipt, repairs } = await collection.repair();
    expect(repairs).toEqual(planned.repairs);
    if (!isMended) {
      expect(receipt.transaction).toBeNull();
      return;
    }
    await requireConsistent(place.root);
    expect((await collection.repair()).repairs).toEqual([]);
    await collection.store.undo();
    expect(read('collection.toml') + read('collection.lock')).toBe(broken);
  },
);

test('an edit by hand needs no repair', async () => {
  const collection = await place.open();
  await collection.init('c');
  await collection.add([place.skill('canvas')]);
  write('skills/canvas/SKILL.md', 'mine');
  expect((await collection.repair()).repairs).toEqual([]);
});

/** A collection with two skills; the newest transaction tags one of them. */
async function tagged(): Promise<Collection> {
  const collection = await place.open();
  await collection.init('c');
  await collection.add([place.skill('canvas')]);
  await collection.add([place.skill('paint')]);
  await collection.tag(['canvas'], { add: ['t'] });
  return collection;
}

const broken = 'name = "x" "y"\n';

test('a manifest that is no TOML is put back; the lock stays, and what broke is in history', async () => {
  const collection = await tagged();
  const lock = read('collection.lock');
  write('collection.toml', broken);
  const planned = await collection.repair({ dryRun: true });
  expect(planned.repairs).toEqual([
    {
      finding: {
        rule: 'C1',
        artifact: null,
        path: 'collection.toml',
        message: expect.stringMatching(/^collection\.toml:1:12: /) as string,
        isMissing: false,
      },
      action: 'put-back',
      message:
        'put back collection.toml, as before transaction 4: of what history keeps, that fits best; what is there now stays in history',
    },
  ]);
  expect(read('collection.toml')).toBe(broken);
  const { receipt, repairs } = await collection.repair();
  expect(repairs).toEqual(planned.repairs);
  expect(receipt.transaction?.changes.map(({ path }) => path)).toEqual(['collection.toml']);
  expect(receipt.transaction?.annotations.label).toEqual({ verb: 'repair', subjects: [] });
  await requireConsistent(place.root);
  expect(read('collection.lock')).toBe(lock);
  expect(await collection.reader.artifacts()).toHaveLength(2);
  await collection.store.undo();
  expect(read('collection.toml')).toBe(broken);
});

test('what the newest transaction added is named again in a manifest from before it', async () => {
  const collection = await tagged();
  await collection.undo();
  await collection.add([place.skill('easel')]);
  write('collection.toml', broken);
  const { repairs } = await collection.repair();
  expect(repairs.map(({ action }) => action)).toEqual(['put-back', 'record-artifact']);
  await requireConsistent(place.root);
  const names = (await collection.reader.artifacts()).map(({ name }) => name);
  expect(names).toEqual(['canvas', 'paint', 'easel']);
});

test('a lock that is no TOML is put back, and what it lacks is locked as it is', async () => {
  const collection = await tagged();
  await collection.add([place.skill('easel')]);
  const manifest = read('collection.toml');
  write('collection.lock', broken);
  const { repairs } = await collection.repair();
  expect(repairs.map(({ action, finding }) => [action, finding.path])).toEqual([
    ['put-back', 'collection.lock'],
    ['lock-as-is', 'collection.lock'],
  ]);
  await requireConsistent(place.root);
  expect(read('collection.toml').replace(/^updated.*/m, '')).toBe(
    manifest.replace(/^updated.*/m, ''),
  );
});

test('both files come back from the moment that fits what is there', async () => {
  const collection = await tagged();
  write('collection.toml', broken);
  write('collection.lock', broken);
  const { repairs, receipt } = await collection.repair();
  expect(repairs.map(({ action, finding }) => [action, finding.path])).toEqual([
    ['put-back', 'collection.toml'],
    ['put-back', 'collection.lock'],
  ]);
  expect(receipt.transaction?.changes).toHaveLength(2);
  await requireConsistent(place.root);
});

test('an older version wins where it leaves less to decide', async () => {
  const collection = await tagged();
  // The newest that is kept names an artifact that is gone, and so did the one before it.
  await collection.rename('paint', 'easel');
  await collection.rename('easel', 'paint');
  await collection.tag(['paint'], { add: ['u'] });
  await collection.rename('paint', 'easel');
  await collection.rename('easel', 'brush');
  rmSync(join(place.root, 'skills/brush'), { recursive: true });
  place.plant({
    'skills/paint/SKILL.md': '# paint\n',
    'skills/paint/scripts/run.sh': 'echo run\n',
  });
  write('collection.toml', broken);
  write('collection.lock', broken);
  const { repairs } = await collection.repair();
  expect(repairs[0]?.message).toContain('before transaction 8');
  await requireConsistent(place.root);
  expect((await collection.reader.artifacts())[1]).toMatchObject({ name: 'paint', tags: ['u'] });
});

test('of versions that leave nothing to decide, that wins which needs no answer', async () => {
  const collection = await tagged();
  await collection.remove(['canvas']);
  await collection.tag(['paint'], { add: ['u'] });
  await collection.undo({ transaction: 5 });
  // What it is now is nowhere else; the newest that is kept does not name the skill.
  write('collection.toml', broken);
  const { repairs } = await collection.repair();
  expect(repairs.map(({ action }) => action)).toEqual(['put-back']);
  expect(repairs[0]?.message).toContain('as before transaction 5:');
  expect((await collection.reader.artifacts())[0]).toMatchObject({ name: 'canvas', tags: ['t'] });
  await requireConsistent(place.root);
});

test('a snapshot has what no transaction displaced', async () => {
  const collection = await tagged();
  await collection.store.snapshots.create({ name: 'then' });
  write('collection.toml', broken);
  const { repairs } = await collection.repair();
  expect(repairs[0]?.message).toContain('as in snapshot then');
  expect((await collection.reader.artifacts())[0]?.tags).toEqual(['t']);
  await requireConsistent(place.root);
});

test('where nothing is kept that can be read, it says so and leaves all as it is', async () => {
  write('collection.toml', broken);
  const collection = await place.open();
  const { receipt, repairs } = await collection.repair();
  expect(receipt.transaction).toBeNull();
  expect(repairs).toMatchObject([
    {
      action: 'none',
      message: 'correct collection.toml by hand: no earlier version of it that can be read is kept',
    },
  ]);
  expect(read('collection.toml')).toBe(broken);
});

test('files that somebody corrected meanwhile are left alone', async () => {
  const collection = await tagged();
  const kept = await keptFiles(collection.store);
  await expectCode(
    collection.store.transact({}, (tx) => putBack(tx, kept, '2026-01-01T00:00:00.000000')),
    'MANIFEST_CHANGED',
  );
});

test('a finding about two versions names the artifact', async () => {
  const collection = await tagged();
  write('collection.lock', `${read('collection.lock')}resolved_sha = "${sha}"\n`);
  expect(await collection.reader.findings()).toEqual([
    {
      rule: 'C3',
      artifact: 'paint::skill',
      path: 'collection.lock',
      message: `skill/paint: resolved_sha is missing in the manifest and "${sha}" in the lock`,
      isMissing: false,
    },
  ]);
});
