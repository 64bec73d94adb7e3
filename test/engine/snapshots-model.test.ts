import { amount } from '../support/extent.js';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { openStore, type Store } from '../../src/engine/index.js';
import { modes, openDescriptors, requireHealthy } from '../support/store.js';
import { readTree, type Tree } from '../support/tree.js';

/*
 * The model of a snapshot is what the root held then. Whatever was done to the root by hand or by
 * restores meanwhile, a restore gives exactly that. A deleted one is in the trash for a week.
 *
 * SKILLMEAT_SNAPSHOT_RUNS: how many random histories in each native mode.
 */

type Step =
  | { readonly do: 'edit'; readonly path: string; readonly how: Edit }
  | { readonly do: 'snapshot' }
  | { readonly do: 'restore'; readonly which: number }
  | { readonly do: 'restore elsewhere'; readonly which: number }
  /** Other clocks go ahead meanwhile, by so many days. */
  | { readonly do: Removal; readonly which: number; readonly days: number };

type Removal = 'delete' | 'delete for good' | 'undelete' | 'prune';

type Edit = 'one' | 'two' | 'empty' | 'large' | 'directory' | 'link' | 'remove' | 'executable';

const paths = ['a', 'b', 'd', 'd/a', 'd/b', 'd/e', 'd/e/a'];
const path = fc.constantFrom(...paths);
const how = fc.constantFrom<Edit>(
  'one',
  'two',
  'empty',
  'large',
  'directory',
  'link',
  'remove',
  'executable',
);
const which = fc.nat({ max: 5 });
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('edit' as const), path, how }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('snapshot' as const) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('restore' as const), which }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restore elsewhere' as const), which }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom<Removal>('delete', 'delete', 'delete for good', 'undelete', 'prune'),
      which,
      days: fc.constantFrom(0, 0, 2, 4, 8),
    }),
  },
) satisfies fc.Arbitrary<Step>;

/** Changes the root by hand; files of the same size follow each other within the clock's tick. */
function edit(root: string, at: string, what: Edit): void {
  const place = join(root, at);
  if (what === 'one' || what === 'two') {
    // In place, where that can be: the inode stays.
    try {
      writeFileSync(place, what);
      return;
    } catch {
      // Something else is there.
    }
  }
  const names = at.split('/');
  for (const [i] of names.slice(1).entries()) {
    const above = names.slice(0, i + 1).join('/');
    if (readTree(root)[above]?.kind !== 'directory') rmSync(join(root, above), { force: true });
  }
  rmSync(place, { recursive: true, force: true });
  if (what === 'remove') return;
  mkdirSync(dirname(place), { recursive: true });
  if (what === 'directory') mkdirSync(place);
  else if (what === 'link') symlinkSync('a', place);
  else {
    const text = { one: 'one', two: 'two', empty: '', large: 'x'.repeat(9_000), executable: 'one' };
    writeFileSync(place, text[what]);
    if (what === 'executable') chmodSync(place, 0o755);
  }
}

const day = 86_400_000;
const runs = Number(
  process.env['SKILLMEAT_SNAPSHOT_RUNS'] ?? amount({ thorough: 60, otherwise: 25 }),
);

describe.each(modes)('native %s', (mode) => {
  test('each restore gives exactly the tree of then', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 30 }), async (steps) => {
        const directory = realpathSync(mkdtempSync(join(tmpdir(), 'skillmeat-model-')));
        try {
          const root = join(directory, 'root');
          await run(root, steps);
          requireHealthy(root);
          expect(openDescriptors(directory)).toEqual([]);
        } finally {
          rmSync(directory, { recursive: true });
        }
      }),
      { numRuns: runs },
    );
  });

  async function run(root: string, steps: readonly Step[]): Promise<void> {
    await using store = await openStore(root, { create: true, native: mode });
    const model = new Map<number, Tree>();
    const pick = (index: number): number | undefined => [...model.keys()][index % model.size];
    // The scan's clock must be that of the files: another opening of the store is ahead of it.
    let ahead = 0;
    const now = (): number => Date.now() + ahead;
    await using later = await openStore(root, { native: mode, now });
    const trash: Trash = new Map();
    for (const one of steps) {
      if (one.do === 'edit') {
        edit(root, one.path, one.how);
        continue;
      }
      const present = readTree(root);
      if (one.do === 'snapshot') {
        const { snapshot } = await store.snapshots.create();
        model.set(snapshot.id ?? 0, present);
        continue;
      }
      const id = pick(one.which);
      if (id === undefined) continue;
      if ('days' in one) {
        ahead += one.days * day;
        await remove(later, { ...one, id }, { model, trash, now });
        expect(readTree(root)).toEqual(present);
      } else if (one.do === 'restore') {
        const { notRestored } = await store.snapshots.restore(id, { force: true });
        expect(notRestored).toEqual([]);
        expect(readTree(root)).toEqual(model.get(id));
      } else {
        const to = `${root}-elsewhere`;
        await store.snapshots.restore(id, { to });
        expect(readTree(to)).toEqual(model.get(id));
        rmSync(to, { recursive: true });
      }
    }
    for (const [id, { tree }] of trash) {
      await later.snapshots.undelete(id);
      model.set(id, tree);
    }
    const listed = await store.snapshots.list();
    expect(listed.map(({ id }) => id)).toEqual([...model.keys()].toSorted((a, b) => b - a));
    expect(await store.snapshots.list({ deleted: true })).toEqual([]);
    for (const [id, tree] of model) {
      const to = `${root}-elsewhere`;
      expect((await store.snapshots.restore(id, { to })).notRestored).toEqual([]);
      expect(readTree(to)).toEqual(tree);
      rmSync(to, { recursive: true });
    }
  }

  type Trash = Map<number, { readonly tree: Tree; readonly deletedAt: number }>;

  /** Deletes, prunes or brings back, in the store and in the model. */
  async function remove(
    store: Store,
    { id, ...one }: { readonly do: Removal; readonly which: number; readonly id: number },
    {
      model,
      trash,
      now,
    }: {
      readonly model: Map<number, Tree>;
      readonly trash: Trash;
      readonly now: () => number;
    },
  ): Promise<void> {
    const drop = (dropped: number): void => {
      trash.set(dropped, { tree: model.get(dropped) ?? {}, deletedAt: now() });
      model.delete(dropped);
    };
    if (one.do === 'undelete') {
      const back = [...trash.keys()][one.which % trash.size];
      if (back === undefined) return;
      await store.snapshots.undelete(back);
      model.set(back, trash.get(back)?.tree ?? {});
      trash.delete(back);
      return;
    }
    if (one.do === 'prune') {
      await store.snapshots.prune({ keepLast: 2 });
      const newest = [...model.keys()].toSorted((a, b) => b - a).slice(0, 2);
      for (const listed of model.keys()) if (!newest.includes(listed)) drop(listed);
    } else if (one.do === 'delete') {
      await store.snapshots.delete(id);
      drop(id);
    } else {
      await store.snapshots.delete(id, { now: true });
      model.delete(id);
    }
    // Whoever deletes empties the trash of what is a week old.
    for (const [old, { deletedAt }] of trash) {
      if (deletedAt + 7 * day < now()) trash.delete(old);
    }
    const deleted = await store.snapshots.list({ deleted: true });
    expect(new Set(deleted.map((snapshot) => snapshot.id))).toEqual(new Set(trash.keys()));
  }
});
