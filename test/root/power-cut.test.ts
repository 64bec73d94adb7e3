import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { firstFew } from '../crash/recovered-state.js';
import { testify } from '../support/evidence.js';
import { cleanUp, seededRandom } from '../support/processes.js';
import type { PowerCutReport } from './children/power-cut-child.js';
import { type CutCounts, cutVariants } from './cut-variants.js';
import type { FileSystemVariant } from './disk/file-systems.js';
import { whyNoDisk } from './disk/recording-disk.js';
import { skippedBecause } from '../support/skipped.js';

/*
 * Power cuts on real file systems: see children/power-cut-child.ts for how, disk/power-cuts.ts for
 * which states. Recorded block writes rather than snapshots of the disk image: a snapshot holds only
 * what the block layer had sent up to then, in the order in which it sent it; the log gives every
 * order that a disk may choose between two flushes.
 *
 * SKILLMEAT_POWER_CUTS: how many states of each file system, by all of its variants; more in the
 * deep run.
 */

const statesPerFileSystem = Number(process.env['SKILLMEAT_POWER_CUTS'] ?? 320);
const statesPerRecovery = 20;
/** Only against a hang: how long some thousand mounts take is the machine's business. */
const hangMs = 1_800_000;
/** Of so many states one is recovered a second time, with the power cut in between. */
const statesPerCutRecovery = 50;

const variants: readonly FileSystemVariant[] = [
  { name: 'ext4', type: 'ext4', mountOptions: [], native: 'auto' },
  { name: 'ext4 without native', type: 'ext4', mountOptions: [], native: 'off' },
  { name: 'ext4 commit=1', type: 'ext4', mountOptions: ['commit=1'], native: 'auto' },
  {
    name: 'ext4 noauto_da_alloc',
    type: 'ext4',
    mountOptions: ['noauto_da_alloc'],
    native: 'auto',
  },
  { name: 'ext4 data=writeback', type: 'ext4', mountOptions: ['data=writeback'], native: 'auto' },
  { name: 'xfs', type: 'xfs', mountOptions: ['nouuid'], native: 'auto' },
  { name: 'xfs without native', type: 'xfs', mountOptions: ['nouuid'], native: 'off' },
  { name: 'btrfs', type: 'btrfs', mountOptions: [], native: 'auto' },
  { name: 'btrfs without native', type: 'btrfs', mountOptions: [], native: 'off' },
  { name: 'btrfs compress=zstd', type: 'btrfs', mountOptions: ['compress=zstd'], native: 'auto' },
];

const programs = ['mkfs.ext4', 'mkfs.xfs', 'mkfs.btrfs', 'e2fsck', 'xfs_repair', 'btrfs'];
const whyNot = whyNoDisk(programs);
if (whyNot !== undefined) {
  console.warn(`\n!!! NOT RUN: power cuts on real file systems; ${whyNot}.\n`);
  for (const on of new Set(variants.map(({ type }) => type))) {
    testify({ fault: 'power cut', on, whyNot });
    testify({ fault: 'power cut while recovering', on, whyNot });
  }
}

describe('after a power cut at any write', skippedBecause(whyNot), () => {
  let reports: ReadonlyMap<string, PowerCutReport> = new Map();
  let failures: readonly string[] = [];

  beforeAll(async () => {
    const { seed } = seededRandom('power cuts');
    ({ reports, failures } = await cutVariants<PowerCutReport>('power-cut-child.ts', variants, {
      seed,
      countsFor,
    }));
    report(seed, reports);
  }, hangMs);
  afterAll(cleanUp);

  test('every variant is cut', () => {
    expect(failures).toEqual([]);
  });

  test.each(variants)(
    '$name keeps every acknowledged transaction, and each as a whole',
    ({ name }) => {
      const { violations, unmountable, states } = reports.get(name) as PowerCutReport;
      expect(firstFew(violations)).toEqual([]);
      expect(firstFew(unmountable)).toEqual([]);
      expect(states).toBeGreaterThan(0);
    },
  );
});

function countsFor({ type }: FileSystemVariant): CutCounts {
  const siblings = variants.filter((variant) => variant.type === type);
  const states = Math.ceil(statesPerFileSystem / siblings.length);
  return { states, recoveries: Math.ceil(states / statesPerCutRecovery), statesPerRecovery };
}

function report(seed: number, reports: ReadonlyMap<string, PowerCutReport>): void {
  for (const { name, type, mountOptions, native } of variants) {
    const found = reports.get(name);
    if (found === undefined) continue;
    const { possible, states, secondStates, violations, unmountable, tornBeyondMounting } = found;
    console.log(
      `power cut, ${name}: ${String(states)} of ${String(possible)} states and ${String(secondStates)} of cut recoveries; ${String(violations.length)} violations, ${String(unmountable.length)} not mountable, ${String(tornBeyondMounting)} torn so that the file system itself was lost`,
    );
    // `nouuid` is needed for a clone of a disk, and changes nothing about what is tested.
    const options = mountOptions.filter((option) => option !== 'nouuid');
    const operation = 'transactions';
    const at = { on: [type, ...options].join(', '), operation, native, seed };
    testify(
      {
        ...at,
        fault: 'power cut',
        states,
        violations: violations.length + unmountable.length,
        note: `of ${String(possible)} that the recorded writes allow; ${String(tornBeyondMounting)} torn so that the file system itself was lost`,
      },
      // What one of these breaks is among the violations above.
      { ...at, fault: 'power cut while recovering', states: secondStates, violations: 0 },
    );
  }
}
