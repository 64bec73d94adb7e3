import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { firstFew } from '../crash/recovered-state.js';
import { testify } from '../support/evidence.js';
import { Child, cleanUp, inParallel, makeDirectory, seededRandom } from '../support/processes.js';
import { skippedBecause } from '../support/skipped.js';
import type { HistoryCutReport } from './children/history-power-cut-child.js';
import type { PowerCutInput } from './children/power-cut-child.js';
import type { FileSystemVariant } from './disk/file-systems.js';
import { compileDisk, inOwnNamespace, whyNoDisk } from './disk/recording-disk.js';

/*
 * Power cuts while history is pruned and packed, records are removed, and a store is repaired or its journal
 * rebuilt: see children/history-power-cut-child.ts.
 *
 * SKILLMEAT_HISTORY_CUTS: how many states of each variant.
 */

const states = Number(process.env['SKILLMEAT_HISTORY_CUTS'] ?? 80);

const variants: readonly FileSystemVariant[] = [
  { name: 'ext4', type: 'ext4', mountOptions: [], native: 'auto' },
  { name: 'ext4 without native', type: 'ext4', mountOptions: [], native: 'off' },
  { name: 'xfs', type: 'xfs', mountOptions: ['nouuid'], native: 'auto' },
  { name: 'btrfs', type: 'btrfs', mountOptions: [], native: 'auto' },
];

const whyNot = whyNoDisk(['mkfs.ext4', 'mkfs.xfs', 'mkfs.btrfs']);
if (whyNot !== undefined) {
  console.warn(`\n!!! NOT RUN: power cuts while history is changed; ${whyNot}.\n`);
}

describe('after a power cut while history is changed', skippedBecause(whyNot), () => {
  const reports = new Map<string, HistoryCutReport>();
  let failures: readonly string[] = [];

  beforeAll(async () => {
    const { seed } = seededRandom('history');
    const program = compileDisk(makeDirectory());
    const outcomes = await inParallel(variants, async (variant) => {
      try {
        reports.set(variant.name, await cutPower(variant, program, seed));
        return [];
      } catch (error) {
        return [`${variant.name}: ${String(error)}`];
      }
    });
    failures = outcomes.flat();
    tell(seed, reports);
  });
  afterAll(cleanUp);

  test('every variant is cut in all that changes history', () => {
    expect(failures).toEqual([]);
    for (const { states: counts } of reports.values()) {
      expect(Object.values(counts).filter((count) => count > 5)).toHaveLength(5);
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
      operation: 'pruning, repair and rebuilding',
      on: type,
      native,
      states: looked,
      violations: found.violations.length,
      seed,
    });
  }
}

async function cutPower(
  variant: FileSystemVariant,
  program: string,
  seed: number,
): Promise<HistoryCutReport> {
  const input: PowerCutInput = {
    variant,
    directory: makeDirectory({ inMemory: true }),
    program,
    states,
    recoveries: 0,
    statesPerRecovery: 0,
  };
  const child = new Child('../../root/children/history-power-cut-child.ts', input, {
    under: inOwnNamespace,
    environment: { NODE_OPTIONS: '--import tsx', SKILLMEAT_SEED: String(seed) },
  });
  await child.succeeded();
  return JSON.parse(child.said('REPORT')[0] ?? '') as HistoryCutReport;
}
