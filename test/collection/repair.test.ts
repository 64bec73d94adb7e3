import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { requireConsistent, useCollectionPlace } from '../support/collection.js';

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
