import { expect, test } from 'vitest';
import { Explorer } from '../simulation/explorer.js';
import { type Profile, profiles } from '../simulation/profiles.js';
import { testify } from '../support/evidence.js';
import { amount, isExhaustive } from '../support/extent.js';
import { type Action, editing, together, write } from '../simulation/workload.js';

/*
 * Crash states of transactions that shared a flush. See test/simulation/README.md.
 */

const statesEach = isExhaustive ? 1_500 : amount({ thorough: 300, otherwise: 30 });

/** As those of a collection: each writes the manifest and the lock. */
const members = ['one', 'two', 'three'].map((text) => [
  write('d/a', `${text} manifest`),
  write('d/b', `${text} lock`),
  write(text === 'two' ? 'e/b' : 'e/a', text),
]);

interface Chosen {
  readonly what: string;
  readonly actions: readonly Action[];
  /** Where it is tried; by default everywhere. */
  readonly order?: Profile['order'];
}

const workloads: readonly Chosen[] = [
  { what: 'of a collection', actions: [together(members)] },
  { what: 'of a collection, two groups', actions: [together(members), together(members)] },
  {
    what: 'that make, replace and remove a file',
    actions: [
      together([
        [write('e/b', 'one')],
        [write('e/b', 'two')],
        [{ op: 'remove', path: 'e/b' }],
        [write('e/b', 'three')],
      ]),
    ],
  },
  {
    what: 'that bring back what was there',
    actions: [
      together([
        [write('d/a', 'one')],
        [write('d/a', 'first d/a')],
        [write('d/a', 'two')],
        [write('d/a', 'first d/a'), write('e/a', 'three')],
      ]),
    ],
  },
  {
    what: 'that replace a tree and what is in it',
    // A recovery that is crashed too: see what is open in test/crash/LEDGER.md.
    order: 'prefix',
    actions: [
      together([
        [{ op: 'replace tree', path: 'd', text: 'one' }],
        [write('d/a', 'two'), write('d/more', 'two')],
        [{ op: 'remove', path: 'd/new' }],
        [{ op: 'replace tree', path: 'd', text: 'three' }],
      ]),
    ],
  },
  {
    what: 'that make a tree, and change modes',
    order: 'prefix',
    actions: [
      together([
        [write('e/made/a', 'one')],
        [write('e/made/b', 'two')],
        [{ op: 'chmod', path: 'd/a', mode: 0o700 }],
        [write('d/a', 'three')],
        [{ op: 'remove', path: 'e/made' }],
      ]),
    ],
  },
  {
    what: 'of which the second cannot be applied',
    actions: [
      together([...members, [{ op: 'symlink', path: 'link2', target: 'd/a' }]], {
        failingSwitch: 4,
      }),
    ],
  },
  {
    what: 'of which the first cannot be applied',
    actions: [together(members, { failingSwitch: 2 }), together(members)],
  },
  {
    what: 'whose flush fails',
    actions: [together(members, { failingSync: 1 }), { do: 'reopen' }, together(members)],
  },
  ...[6, 14, 22, 30, 38].map((at) => ({
    what: `while the manifest is edited in place, ${String(at)}`,
    actions: [together(members, editing('in place', 'd/a', at))],
  })),
  ...[9, 27, 36].map((at) => ({
    what: `while a file is replaced, ${String(at)}`,
    actions: [together(members, editing('by rename', 'e/a', at))],
  })),
  ...[12, 31].map((at) => ({
    what: `while the lock is deleted, ${String(at)}`,
    actions: [together(members, editing('delete', 'd/b', at)), together(members)],
  })),
  {
    what: 'that are undone one by one',
    actions: [together(members), { do: 'undo', edits: [] }, { do: 'undo', edits: [] }],
  },
];

const native = profiles.filter(({ calls }) => calls === 'native');
const cases = workloads.flatMap(({ what, actions, order }) =>
  native
    .filter((profile) => order === undefined || profile.order === order)
    .map((profile) => ({ what, on: profile.name, actions, profile })),
);

test.each(cases)('transactions together $what, on $on', async ({ actions, profile }) => {
  using explorer = new Explorer({ every: 6, states: 3 });
  try {
    await explorer.explore(profile, { actions, seed: 11 }, statesEach);
  } finally {
    testify({
      fault: 'crash after any step',
      on: `simulated ${profile.name}`,
      native: 'auto',
      states: explorer.seen.size,
      violations: explorer.violatedOn.size,
      note: 'also chosen workloads',
    });
  }
  expect(explorer.seen.size).toBeGreaterThan(30);
});
