import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { firstFew } from '../crash/recovered-state.js';
import { Child, cleanUp, inParallel, makeDirectory, seededRandom } from '../support/processes.js';
import type { PowerCutInput, PowerCutReport } from './children/power-cut-child.js';
import { type FileSystemVariant, toolsOf } from './disk/file-systems.js';
import { compileDisk, inOwnNamespace, whyNoDisk } from './disk/recording-disk.js';

/*
 * Power cuts on real file systems: see children/power-cut-child.ts for how, disk/power-cuts.ts for
 * which states. Recorded block writes rather than snapshots of the disk image: a snapshot holds only
 * what the block layer had sent up to then, in the order in which it sent it; the log gives every
 * order that a disk may choose between two flushes.
 *
 * SKILLMEAT_POWER_CUTS: how many states of each file system, by all of its variants; more in the
 * deep run.
 * SKILLMEAT_POWER_CUT_REPORT: where to write the counts as JSON.
 */

const statesPerFileSystem = Number(process.env['SKILLMEAT_POWER_CUTS'] ?? 400);
const statesPerRecovery = 20;
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
}

describe.skipIf(whyNot !== undefined)('after a power cut at any write', () => {
  const reports = new Map<string, PowerCutReport>();
  let failures: readonly string[] = [];

  beforeAll(async () => {
    const { seed } = seededRandom('power cuts');
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
    report(seed, reports);
  });
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

async function cutPower(
  variant: FileSystemVariant,
  program: string,
  seed: number,
): Promise<PowerCutReport> {
  const siblings = variants.filter(({ type }) => type === variant.type);
  const states = Math.ceil(statesPerFileSystem / siblings.length);
  const input: PowerCutInput = {
    variant,
    directory: makeDirectory({ inMemory: true }),
    program,
    states,
    recoveries: Math.ceil(states / statesPerCutRecovery),
    statesPerRecovery,
  };
  const child = new Child('../../root/children/power-cut-child.ts', input, {
    under: inOwnNamespace,
    environment: { NODE_OPTIONS: '--import tsx', SKILLMEAT_SEED: String(seed) },
  });
  await child.succeeded();
  return JSON.parse(child.said('REPORT')[0] ?? '') as PowerCutReport;
}

function report(seed: number, reports: ReadonlyMap<string, PowerCutReport>): void {
  const rows = variants.flatMap(({ name, type, mountOptions, native }) => {
    const found = reports.get(name);
    return found === undefined ? [] : [{ name, type, mountOptions, native, ...found }];
  });
  for (const row of rows) {
    const { name, possible, states, secondStates } = row;
    const { violations, unmountable, tornBeyondMounting } = row;
    console.log(
      `power cut, ${name}: ${String(states)} of ${String(possible)} states and ${String(secondStates)} of cut recoveries; ${String(violations.length)} violations, ${String(unmountable.length)} not mountable, ${String(tornBeyondMounting)} torn so that the file system itself was lost`,
    );
  }
  const file = process.env['SKILLMEAT_POWER_CUT_REPORT'];
  if (file === undefined) return;
  const versions = {
    kernel: os.release(),
    node: process.version,
    tools: Object.values(toolsOf).map(({ version }) => versionOf(version)),
  };
  fs.writeFileSync(path.resolve(file), `${JSON.stringify({ seed, versions, rows }, null, 2)}\n`);
}

/** The first line that says a number; some write it to standard error. */
function versionOf([program, ...rest]: readonly [string, ...string[]]): string {
  const { stdout, stderr } = spawnSync(program, rest, { encoding: 'utf8' });
  return `${stdout}${stderr}`.split('\n').find((line) => /\d/.test(line)) ?? program;
}
