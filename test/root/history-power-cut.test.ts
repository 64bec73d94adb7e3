import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { historyActNames } from '../crash/history-stores.js';
import { firstFew } from '../crash/recovered-state.js';
import { testify } from '../support/evidence.js';
import { cleanUp, seededRandom } from '../support/processes.js';
import { skippedBecause } from '../support/skipped.js';
import type { HistoryCutReport } from './children/history-power-cut-child.js';
import { cutVariants } from './cut-variants.js';
import type { FileSystemVariant } from './disk/file-systems.js';
import { whyNoDisk } from './disk/recording-disk.js';

/*
 * Power cuts during each of the acts of test/crash/children/history-acts.mjs: see
 * children/history-power-cut-child.ts.
 *
 * SKILLMEAT_HISTORY_CUTS: how many states of each variant.
 */

const states = Number(process.env['SKILLMEAT_HISTORY_CUTS'] ?? 160);

const variants: readonly FileSystemVariant[] = [
  { name: 'ext4', type: 'ext4', mountOptions: [], native: 'auto' },
  { name: 'ext4 without native', type: 'ext4', mountOptions: [], native: 'off' },
  { name: 'xfs', type: 'xfs', mountOptions: ['nouuid'], native: 'auto' },
  { name: 'btrfs', type: 'btrfs', mountOptions: [], native: 'auto' },
];

const whyNot = whyNoDisk(['mkfs.ext4', 'mkfs.xfs', 'mkfs.btrfs']);
if (whyNot !== undefined) {
  console.warn(`\n!!! NOT RUN: power cuts while history is changed; ${whyNot}.\n`);
  for (const on of new Set(variants.map(({ type }) => type))) {
    testify({ fault: 'power cut', on, whyNot });
  }
}

describe('after a power cut while history is changed', skippedBecause(whyNot), () => {
  let reports: ReadonlyMap<string, HistoryCutReport> = new Map();
  let failures: readonly string[] = [];

  beforeAll(async () => {
    const { seed } = seededRandom('history');
    ({ reports, failures } = await cutVariants<HistoryCutReport>(
      'history-power-cut-child.ts',
      variants,
      {
        seed,
        countsFor: () => ({ states, recoveries: 0, statesPerRecovery: 0 }),
      },
    ));
    tell(seed, reports);
  });
  afterAll(cleanUp);

  test('every variant is cut in all that changes history', () => {
    expect(failures).toEqual([]);
    for (const { states: counts } of reports.values()) {
      const cut = historyActNames.filter((act) => (counts[act] ?? 0) > 5);
      expect(cut).toEqual(historyActNames);
    }
  });

  test.each(variants)(
    '$name keeps what is acknowledged, and no step leaves a finding',
    ({ name }) => {
      expect(firstFew(reports.get(name)?.violations ?? ['no report'])).toEqual([]);
    },
  );
});

function tell(seed: number, reports: ReadonlyMap<string, HistoryCutReport>): void {
  for (const { name, type, native } of variants) {
    const found = reports.get(name);
    if (found === undefined) continue;
    const looked = Object.values(found.states).reduce((sum, count) => sum + count, 0);
    console.log(
      `power cut, history, ${name}: ${String(looked)} of ${String(found.possible)} states: ${JSON.stringify(found.states)}`,
    );
    testify({
      fault: 'power cut',
      operation: 'undo, snapshots, pruning, repair and the like',
      on: type,
      native,
      states: looked,
      violations: found.violations.length,
      seed,
    });
  }
}
