import { expect, test } from 'vitest';
import { Explorer, type SecondCrashes } from '../simulation/explorer.js';
import { profiles } from '../simulation/profiles.js';
import { testify } from '../support/evidence.js';
import { type Action, together, transaction, type Workload } from '../simulation/workload.js';
import { amount } from '../support/extent.js';

/*
 * Workloads in whose crash states a promise was broken once. See test/crash/LEDGER.md.
 */

/** With fewer states where each of their recoveries is crashed as well. */
const statesEach = amount({ thorough: 400, otherwise: 150 });

interface Found {
  readonly what: string;
  readonly profile: string;
  readonly actions: readonly Action[];
  readonly seed: number;
  readonly secondCrashes?: SecondCrashes;
}

const found: readonly Found[] = [
  {
    what: 'a staged directory whose mode was not on disk was switched in',
    profile: 'ext4',
    actions: [transaction([{ op: 'replace tree', path: 'e', text: 'replaced' }])],
    seed: 79_207,
  },
  {
    what: 'an acknowledged removal, cut in its emulated move, was taken for never flushed',
    profile: 'worst-case POSIX, plain',
    actions: [
      transaction([{ op: 'remove', path: 'e/a' }]),
      transaction([{ op: 'rename', from: 'd/a', to: 'e/a' }]),
    ],
    seed: 80_217,
  },
  {
    what: 'a file made anew after an unsettled removal was taken for one that is not there',
    profile: 'XFS, plain',
    actions: [
      transaction([{ op: 'remove', path: 'd' }]),
      transaction([{ op: 'write', path: 'd/b', text: 'written' }]),
    ],
    seed: 79_724,
  },
  {
    what: 'a torn content of our own was reported as a foreign edit',
    profile: 'ext4',
    actions: [
      transaction([{ op: 'replace tree', path: 'd', text: 'one' }], {
        edits: [{ how: 'in place', path: 'd/a', afterSteps: 4 }],
      }),
      transaction([{ op: 'rename', from: 'd/a', to: 'd/a' }]),
    ],
    seed: 0,
  },
  {
    what: 'the same, on a path that an earlier transaction had not yet removed',
    profile: 'worst-case POSIX',
    actions: [
      transaction([{ op: 'replace tree', path: 'd', text: 'one' }], {
        edits: [{ how: 'in place', path: 'd/a', afterSteps: 0 }],
      }),
      transaction([
        { op: 'write', path: 'd/b', text: 'one' },
        { op: 'rename', from: 'd/a', to: 'd/a' },
      ]),
    ],
    seed: 0,
  },
  {
    what: 'a half-done emulated exchange was taken for never flushed',
    profile: 'XFS, plain',
    actions: [
      transaction([{ op: 'rename', from: 'd/a', to: 'd/a' }], {
        edits: [{ how: 'in place', path: 'd/a', afterSteps: 0 }],
      }),
      transaction([{ op: 'file to directory', path: 'd/a', text: 'one' }]),
    ],
    seed: 0,
  },
  {
    what: 'what a first recovery had set aside was missing for the second',
    profile: 'ext4',
    actions: [
      transaction(
        [
          { op: 'directory to file', path: 'd', text: 'one' },
          { op: 'file to directory', path: 'd/a', text: 'one' },
        ],
        { edits: [{ how: 'in place', path: 'd/a', afterSteps: 8 }], held: 'd/a' },
      ),
      transaction([
        { op: 'write', path: 'd/a', text: 'one' },
        { op: 'change case', path: 'd/b' },
        { op: 'replace tree', path: 'e', text: 'one' },
      ]),
      { do: 'recover' },
    ],
    seed: 1,
    secondCrashes: { every: 1, states: 12 },
  },
  {
    what: 'a directory with a foreign file, which a file was to replace, was parked by the second recovery',
    profile: 'XFS, plain',
    actions: [
      transaction([{ op: 'rename', from: 'd/a', to: 'e' }], {
        edits: [{ how: 'in place', path: 'e/a', afterSteps: 14 }],
      }),
    ],
    seed: 1,
    secondCrashes: { every: 1, states: 40 },
  },
  {
    what: 'a directory whose mode had not reached the disk was kept although it was removed since',
    profile: 'ext4',
    actions: [
      transaction([
        { op: 'chmod', path: 'd', mode: 0o700 },
        { op: 'symlink', path: 'd/a', target: 'd/a' },
      ]),
      transaction([{ op: 'remove', path: 'd' }]),
    ],
    seed: 0,
  },
  {
    what: 'a move into a spare place, cut between link and unlink, was not taken up again',
    profile: 'btrfs, plain',
    actions: [
      transaction([{ op: 'change case', path: 'd' }], {
        edits: [{ how: 'in place', path: 'd/b', afterSteps: 14 }],
      }),
    ],
    seed: 1,
    secondCrashes: { every: 1, states: 40 },
  },
  {
    what: 'a staged copy of an edit, dropped after the editor had overwritten it, was taken for lost bytes',
    profile: 'ext4',
    actions: [
      transaction([{ op: 'file to directory', path: 'd/b', text: 'one' }], {
        edits: [{ how: 'in place', path: 'd/a', afterSteps: 0 }],
        held: 'd/a',
      }),
      transaction(
        [
          { op: 'rename', from: 'd/a', to: 'e/a' },
          { op: 'file to directory', path: 'd/a', text: 'one' },
        ],
        { edits: [{ how: 'in place', path: 'd/a', afterSteps: 2 }] },
      ),
    ],
    seed: 0,
  },
  {
    what: 'the old name of a removed file, which the power kept, came along with its directory as an edit',
    profile: 'worst-case POSIX, plain',
    actions: [
      transaction([
        { op: 'remove', path: 'd/a' },
        { op: 'replace tree', path: 'e', text: 'one' },
      ]),
      { do: 'reopen' },
      transaction([{ op: 'replace tree', path: 'd', text: 'one' }]),
    ],
    seed: 0,
  },
  {
    what: 'the power took back the name of a directory that a recovery had made, and kept what moved into it',
    profile: 'worst-case POSIX, plain',
    actions: [
      transaction([{ op: 'directory to file', path: 'e', text: 'one' }]),
      transaction([{ op: 'directory to file', path: 'd', text: 'one' }], {
        edits: [{ how: 'delete', path: 'd/a', afterSteps: 4 }],
        failingSync: 5,
      }),
    ],
    seed: 1,
    secondCrashes: { every: 1, states: 12 },
  },
  {
    what: 'a file that another program made between two transactions, lost with the power, was to be exchanged',
    profile: 'worst-case POSIX',
    actions: [
      transaction([{ op: 'swap', one: 'd/a', other: 'd/a' }], {
        edits: [{ how: 'in place', path: 'd/a', afterSteps: 0 }],
        held: 'd/a',
      }),
      transaction([{ op: 'write', path: 'd/a', text: 'one' }], {
        edits: [{ how: 'in place', path: 'd/a', afterSteps: 0 }],
        held: 'd/a',
      }),
      { do: 'undo', edits: [] },
    ],
    seed: 0,
  },
  {
    what: 'an acknowledged file, made again as it was before another program removed it, was taken for never flushed',
    profile: 'btrfs',
    actions: [
      transaction([{ op: 'write', path: 'd/b', text: 'one' }]),
      { do: 'edit', edit: { how: 'delete', path: 'd/b', afterSteps: 0 } },
      transaction([{ op: 'write', path: 'd/b', text: 'one' }]),
    ],
    seed: 11,
  },
  {
    what: 'a journal whose log had failed to be written, which nobody was told, was opened again',
    profile: 'APFS-like, plain',
    actions: [
      { do: 'undo', edits: [] },
      { do: 'reopen' },
      together(
        [
          [{ op: 'replace tree', path: 'd', text: 'one' }],
          [{ op: 'write', path: 'd/a', text: 'one' }],
        ],
        { failingSync: 1 },
      ),
      { do: 'reopen' },
    ],
    seed: 0,
  },
  {
    what: 'the mode that the next of a group gave a file made it be taken for never flushed',
    profile: 'worst-case POSIX',
    actions: [
      together([
        [{ op: 'write', path: 'e/b', text: 'one' }],
        [{ op: 'chmod', path: 'e/b', mode: 0o700 }],
      ]),
    ],
    seed: 0,
  },
  {
    what: 'a new file that another program overwrote in place made a transaction be taken for never flushed',
    profile: 'ext4',
    actions: [
      transaction([{ op: 'write', path: 'e/b', text: 'one' }]),
      transaction([{ op: 'write', path: 'd/a', text: 'one' }], {
        edits: [
          { how: 'in place', path: 'e/b', afterSteps: 0 },
          { how: 'in place', path: 'd/a', afterSteps: 0 },
        ],
      }),
    ],
    seed: 0,
  },
  {
    what: 'modes that a recovery gave were lost, and what it moved after that was not',
    profile: 'worst-case POSIX',
    actions: [
      transaction([{ op: 'chmod', path: 'd/a', mode: 0o700 }]),
      transaction([{ op: 'write', path: 'd/a', text: 'one' }]),
    ],
    seed: 7,
    secondCrashes: { every: 1, states: 12 },
  },
  {
    what: 'what a recovery had moved in a directory was lost, and the move of the directory was not',
    profile: 'worst-case POSIX',
    actions: [
      together([
        [{ op: 'write', path: 'd/a', text: 'one' }],
        [{ op: 'directory to file', path: 'd', text: 'one' }],
      ]),
    ],
    seed: 8,
    secondCrashes: { every: 1, states: 12 },
  },
  {
    what: 'a directory that a recovery had moved was lost, and what moved into it after that was not',
    profile: 'worst-case POSIX',
    actions: [
      together([
        [{ op: 'replace tree', path: 'd', text: 'one' }],
        [{ op: 'write', path: 'd/a', text: 'two' }],
      ]),
    ],
    seed: 14,
    secondCrashes: { every: 1, states: 12 },
  },
  {
    what: 'files that a recovery had moved were lost, and the mode that it gave the last of them was not',
    profile: 'worst-case POSIX',
    actions: [
      together([
        [{ op: 'write', path: 'd/a', text: 'one' }],
        [{ op: 'write', path: 'd/a', text: 'two' }],
      ]),
      transaction([{ op: 'chmod', path: 'd/a', mode: 0o700 }]),
    ],
    seed: 5,
    secondCrashes: { every: 1, states: 12 },
  },
  {
    // The model's own: a copy in the slot of a refused transaction was taken for the edited file.
    what: 'a file that an editor writes to while a group that copies it is refused',
    profile: 'ext4',
    actions: [
      {
        do: 'together',
        transactions: [
          [
            { op: 'swap', one: 'e/a', other: 'e/b' },
            { op: 'write', path: 'd/a', text: 'one' },
          ],
          [{ op: 'file to directory', path: 'd/a', text: 'one' }],
        ],
        edits: [
          { how: 'in place', path: 'e/a', afterSteps: 10 },
          { how: 'in place', path: 'e/a', afterSteps: 0 },
        ],
        failingSwitch: 0,
        failingSync: 0,
        held: undefined,
      },
    ],
    seed: 0,
  },
];

test.each(found)('no longer: $what', async ({ profile: name, actions, seed, secondCrashes }) => {
  const profile = profiles.find((one) => one.name === name);
  if (profile === undefined) throw new Error(`there is no profile ${name}`);
  const workload: Workload = { actions, seed };
  using explorer = new Explorer(secondCrashes);
  try {
    await explorer.explore(profile, workload, secondCrashes === undefined ? statesEach : 80);
  } finally {
    testify({
      fault: 'crash states that broke a promise once',
      on: `simulated ${profile.name.replace(', plain', '')}`,
      native: profile.calls === 'native' ? 'auto' : 'off',
      states: explorer.seen.size,
      violations: explorer.violatedOn.size,
    });
  }
  expect(explorer.seen.size).toBeGreaterThan(0);
});
