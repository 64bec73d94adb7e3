import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { firstFew } from '../crash/recovered-state.js';
import { cleanUp, seededRandom } from '../support/processes.js';
import type { SnapshotCutReport } from './children/snapshot-power-cut-child.js';
import { cutVariants } from './cut-variants.js';
import type { FileSystemVariant } from './disk/file-systems.js';
import { whyNoDisk } from './disk/recording-disk.js';
import { skippedBecause } from '../support/skipped.js';
import { testify } from '../support/evidence.js';

/*
 * Power cuts while snapshots are taken and deleted: see children/snapshot-power-cut-child.ts.
 *
 * SKILLMEAT_SNAPSHOT_CUTS: how many states of each variant.
 */

const states = Number(process.env['SKILLMEAT_SNAPSHOT_CUTS'] ?? 100);

const variants: readonly FileSystemVariant[] = [
  { name: 'ext4', type: 'ext4', mountOptions: [], native: 'auto' },
  { name: 'ext4 without native', type: 'ext4', mountOptions: [], native: 'off' },
  { name: 'ext4 data=writeback', type: 'ext4', mountOptions: ['data=writeback'], native: 'auto' },
  { name: 'xfs', type: 'xfs', mountOptions: ['nouuid'], native: 'auto' },
  { name: 'xfs without native', type: 'xfs', mountOptions: ['nouuid'], native: 'off' },
  { name: 'btrfs', type: 'btrfs', mountOptions: [], native: 'auto' },
];

const whyNot = whyNoDisk(['mkfs.ext4', 'mkfs.xfs', 'mkfs.btrfs']);
if (whyNot !== undefined) {
  console.warn(`\n!!! NOT RUN: power cuts while snapshots are taken; ${whyNot}.\n`);
  for (const on of new Set(variants.map(({ type }) => type))) {
    testify({ fault: 'power cut', on, whyNot });
  }
}

describe('after a power cut while snapshots are taken', skippedBecause(whyNot), () => {
  let reports: ReadonlyMap<string, SnapshotCutReport> = new Map();
  let failures: readonly string[] = [];

  beforeAll(async () => {
    const { seed } = seededRandom('snapshots');
    ({ reports, failures } = await cutVariants<SnapshotCutReport>(
      'snapshot-power-cut-child.ts',
      variants,
      {
        seed,
        countsFor: () => ({ states, recoveries: 0, statesPerRecovery: 0 }),
      },
    ));
    tell(seed, reports);
  });
  afterAll(cleanUp);

  test('every variant is cut', () => {
    expect(failures).toEqual([]);
  });

  test.each(variants)('$name keeps every acknowledged snapshot, whole', ({ name }) => {
    const report = reports.get(name);
    expect(firstFew(report?.violations ?? ['no report'])).toEqual([]);
    expect(report?.restored ?? 0).toBeGreaterThan(0);
  });
});

function tell(seed: number, reports: ReadonlyMap<string, SnapshotCutReport>): void {
  for (const { name, type, mountOptions, native } of variants) {
    const found = reports.get(name);
    if (found === undefined) continue;
    console.log(
      `power cut, snapshots, ${name}: ${String(found.states)} of ${String(found.possible)} states, ${String(found.restored)} snapshots brought back`,
    );
    testify({
      fault: 'power cut',
      operation: 'snapshots',
      // Of a clone of the disk, which changes nothing about what is tested.
      on: [type, ...mountOptions.filter((option) => option !== 'nouuid')].join(', '),
      native,
      states: found.states,
      violations: found.violations.length,
      seed,
    });
  }
}
