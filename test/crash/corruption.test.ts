import fs from 'node:fs';
import path from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { testify, testMachine } from '../support/evidence.js';
import { cleanUp, describeTree, type Random, seededRandom } from '../support/processes.js';
import { type Damage, damaged, describeDamage, everyDamage } from './damage.js';
import { observe, type Step, untouchedBytes, type Writing, writings } from './observation.js';
import { damageableStores } from './damageable-stores.js';
import { firstFew } from './recovered-state.js';
import type { SavedStore } from './saved-store.js';
import { judge, type Verdict } from './verdict.js';
import { amount, isExhaustive } from '../support/extent.js';

/*
 * One sector or page of one file of a store is flipped, zeroed, overwritten with another one or cut
 * off; then the store is opened, read and written with. What it tells and does must be what it
 * would have without the damage, or it must name the damage and write nothing false.
 */

/** Damages of each store that are tried; all of them when it is exhaustive. */
const damagesEach = amount({ thorough: 40, otherwise: 5 });

afterEach(cleanUp);

test.each(Object.entries(damageableStores))(
  'no damage of a store %s is passed over',
  async (name, make) => {
    const random = seededRandom(`damages of a store ${name}`);
    const saved = await make();
    const undamaged = await lookAtAll(saved);
    const damages = choose(saved, random);
    const counts: Record<string, number> = {};
    const failures: string[] = [];
    for (const [i, damage] of damages.entries()) {
      const order = orders[i % orders.length] ?? writings;
      const verdict = await tryDamage(saved, damage, { ...undamaged, order });
      const kind = typeof verdict === 'string' ? verdict : 'wrong';
      const file = classOf(damage.path);
      counts[`${file} ${kind}`] = (counts[`${file} ${kind}`] ?? 0) + 1;
      if (typeof verdict !== 'string') failures.push(`${describeDamage(damage)}: ${verdict.wrong}`);
    }
    console.log(`${String(damages.length)} damages of a store ${name}: ${JSON.stringify(counts)}`);
    testify({
      fault: 'corruption',
      operation: `a store ${name}`,
      on: testMachine,
      native: 'auto',
      states: damages.length,
      violations: failures.length,
      seed: random.seed,
      note: 'sectors and pages of every file of the store',
    });
    expect(firstFew(failures)).toEqual([]);
  },
);

const orders: readonly (readonly Writing[])[] = writings.map((_, i) => [
  ...writings.slice(i),
  ...writings.slice(0, i),
]);

interface Undamaged {
  /** What the store comes to in each order. */
  readonly steps: ReadonlyMap<readonly Writing[], readonly Step[]>;
  readonly known: ReadonlySet<string>;
  readonly tree: readonly string[];
}

async function lookAtAll(saved: SavedStore): Promise<Undamaged> {
  const steps = new Map<readonly Writing[], readonly Step[]>();
  const known = new Set<string>();
  saved.putBack();
  const tree = describeTree(saved.root);
  for (const order of orders) {
    saved.putBack();
    const observed = await observe(saved.root, order);
    steps.set(order, observed);
    for (const line of [...tree, ...observed.flatMap((step) => step.tree ?? [])]) known.add(line);
  }
  return { steps, known, tree };
}

async function tryDamage(
  saved: SavedStore,
  damage: Damage,
  { steps, known, tree, order }: Undamaged & { readonly order: readonly Writing[] },
): Promise<Verdict> {
  saved.putBack();
  const bytes = saved.files.get(damage.path) ?? Buffer.alloc(0);
  fs.writeFileSync(path.join(saved.root, damage.path), damaged(damage, bytes));
  const before = untouchedBytes(saved.root);
  let found: readonly Step[];
  try {
    found = await observe(saved.root, order);
  } catch (error) {
    const cause = error instanceof Error ? (error.cause ?? error) : error;
    return {
      wrong: `an error without a name: ${String(error)}: ${cause instanceof Error ? (cause.stack ?? '') : String(cause)}`,
    };
  }
  const [open] = found;
  if (open?.error !== undefined) {
    const after = new Set(untouchedBytes(saved.root));
    const gone = before.find((line) => !after.has(line));
    if (gone !== undefined || after.size !== before.length) {
      return { wrong: `${open.error} at open, and something was written: ${gone ?? 'more'}` };
    }
  }
  const expected = steps.get(order) ?? [];
  return judge({ expected, found, tree, known });
}

/** All damages, or some: as many of each class of files, whatever their length. */
function choose(saved: SavedStore, random: Random): readonly Damage[] {
  const classes = new Map<string, Damage[]>();
  for (const [file, bytes] of saved.files) {
    if (!file.startsWith('.skillmeat/')) continue;
    const all = everyDamage(file, bytes, random);
    const kind = classOf(file);
    classes.set(kind, [...(classes.get(kind) ?? []), ...all]);
  }
  if (isExhaustive) return [...classes.values()].flat();
  const each = Math.ceil(damagesEach / classes.size);
  return [...classes.values()].flatMap((all) =>
    Array.from({ length: Math.min(each, all.length) }, () => {
      const [damage] = all.splice(random.below(all.length), 1);
      if (damage === undefined) throw new Error('one was left');
      return damage;
    }),
  );
}

/** `journal.db`, `journal.db-wal`, `owner`, `stage`, `objects`, `scan-cache`. */
function classOf(file: string): string {
  return file.split('/')[1] ?? '';
}
