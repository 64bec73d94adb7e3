import { expect, test } from 'vitest';
import { type ContentHash, hashContent } from '../../src/engine/hash.js';
import type { ListingEntry } from '../../src/engine/listing.js';
import { planRestore } from '../../src/engine/restore-plan.js';
import { expectError } from '../support/store.js';

const file = (name: string, text: string): ListingEntry => ({
  kind: 'file',
  name,
  mode: 0o644,
  size: text.length,
  sha256: hashContent(text),
});
const everything = { has: () => true, exact: [], globs: [] };

test('what is equal is not read', async () => {
  const tree = { sha256: hashContent('same'), read: () => Promise.reject(new Error('was read')) };
  const plan = await planRestore({ current: tree, target: tree, selection: everything });
  expect(plan).toMatchObject({ steps: [], notRestored: [] });
});

test('a directory that holds what was left out is not removed', async () => {
  const [empty, below, root] = ['empty', 'below', 'root'].map(hashContent);
  if (empty === undefined || below === undefined || root === undefined) throw new Error('three');
  const listings = new Map<string, readonly ListingEntry[]>([
    [empty, []],
    [below, [file('gone', 'gone'), { kind: 'left-out', name: 'kept.log', why: 'ignored' }]],
    [root, [{ kind: 'directory', name: 'd', mode: 0o755, sha256: below }]],
  ]);
  const read = async (sha256: string): Promise<readonly ListingEntry[]> =>
    listings.get(sha256) ?? [];
  const { steps } = await planRestore({
    current: { sha256: root, read },
    target: { sha256: empty, read },
    selection: everything,
  });
  expect(steps).toEqual([{ act: 'remove', path: 'd/gone' }]);
});

test('listings that unfold to more than any snapshot are refused', async () => {
  // Ten directories in each, all of them the same: a hundred million on the eighth level.
  const levels = Array.from({ length: 9 }, (_, level) => hashContent(String(level)));
  const listings = new Map<string, readonly ListingEntry[]>(
    levels.map((sha256, level) => {
      const below = levels[level + 1];
      const entries = below === undefined ? [] : Array.from({ length: 10 }, (_, i) => to(below, i));
      return [sha256, entries];
    }),
  );
  const target = { sha256: hashContent('0'), read: async (at: string) => listings.get(at) ?? [] };
  const current = { sha256: hashContent('nothing'), read: async () => [] };
  const selection = { has: () => false, exact: [], globs: [] };
  await expectError(() => planRestore({ current, target, selection }), 'LIMIT_EXCEEDED');
});

function to(sha256: ContentHash, index: number): ListingEntry {
  return { kind: 'directory', name: String(index), mode: 0o755, sha256 };
}
