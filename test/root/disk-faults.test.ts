import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testify } from '../support/evidence.js';
import { Child, cleanUp, inParallel, makeDirectory } from '../support/processes.js';
import type {
  DiskFaultInput,
  DiskFaultOutcome,
  FaultCase,
  FaultPoint,
  Witness,
} from './children/disk-fault-child.js';
import type { FileSystemVariant } from './disk/file-systems.js';
import { compileDisk, inOwnNamespace, whyNoDisk } from './disk/recording-disk.js';
import { skippedBecause } from '../support/skipped.js';

/*
 * Disks that fail under a real file system: see children/disk-fault-child.ts. A failed write-back
 * may be met by the engine, or be gone from memory before, or be reported to another process first.
 */

const witnesses: readonly Witness[] = ['kept', 'evicted', 'consumed'];
const points: readonly FaultPoint[] = [
  'staged',
  'committed',
  'acknowledged',
  'checkpoint',
  'recovery',
];

const fileSystems = (['auto', 'off'] as const).flatMap((native): readonly FileSystemVariant[] => [
  { name: `ext4, native ${native}`, type: 'ext4', mountOptions: [], native },
  { name: `xfs, native ${native}`, type: 'xfs', mountOptions: ['nouuid'], native },
  { name: `btrfs, native ${native}`, type: 'btrfs', mountOptions: [], native },
]);

function casesOf({ type }: FileSystemVariant): readonly FaultCase[] {
  const kinds = type === 'btrfs' ? [] : (['stopped'] as const);
  return [
    ...witnesses.map((point): FaultCase => ({ fault: 'content', point })),
    ...(['writes', 'flushes', 'full', ...kinds] as const).flatMap((fault) =>
      points.map((point): FaultCase => ({ fault, point })),
    ),
  ];
}

const whyNot = whyNoDisk(['mkfs.ext4', 'mkfs.xfs', 'mkfs.btrfs', 'xfs_io', 'findmnt']);
if (whyNot !== undefined) {
  console.warn(`\n!!! NOT RUN: failing disks under real file systems; ${whyNot}.\n`);
  for (const on of new Set(fileSystems.map(({ type }) => type))) {
    testify({ fault: 'failing disk', on, whyNot });
  }
}

describe('a disk that fails', skippedBecause(whyNot), () => {
  const outcomes = new Map<string, readonly DiskFaultOutcome[]>();

  beforeAll(async () => {
    const program = compileDisk(makeDirectory());
    await inParallel(fileSystems, async (variant) => {
      outcomes.set(variant.name, await runFaults(variant, program));
    });
    report(outcomes);
  });
  afterAll(cleanUp);

  test('is met in every case', () => {
    for (const variant of fileSystems) {
      expect(outcomes.get(variant.name)?.length).toBe(casesOf(variant).length);
    }
  });

  test.each(fileSystems)(
    '$name: nothing acknowledged is lost, nothing is half done',
    ({ name }) => {
      const found = outcomes.get(name) ?? [];
      console.log(
        found
          .map(
            ({ fault, point, said, found: count }) =>
              `${name}: ${fault} ${point}: ${said.join(', ')}; found ${String(count)}`,
          )
          .join('\n'),
      );
      const violations = found.filter(({ violation }) => violation !== undefined);
      expect(violations).toEqual([]);
    },
  );

  test.each(fileSystems)(
    '$name: a content that cannot be written back is no success',
    ({ name }) => {
      const content = (outcomes.get(name) ?? []).filter(({ fault }) => fault === 'content');
      expect(content).toHaveLength(witnesses.length);
      // Where the record was written already and the disk does not let it be taken back, nobody knows.
      const honest = expect.stringMatching(/^(?:IO_FAILED|COMMIT_UNKNOWN)$/) as unknown;
      for (const { said } of content) expect(said).toEqual([honest]);
    },
  );
});

function report(outcomes: ReadonlyMap<string, readonly DiskFaultOutcome[]>): void {
  for (const { name, type, native } of fileSystems) {
    const found = outcomes.get(name) ?? [];
    const killed = found.filter(({ said }) => said.includes('SIGBUS')).length;
    testify({
      fault: 'failing disk',
      on: type,
      native,
      states: found.length,
      violations: found.filter(({ violation }) => violation !== undefined).length,
      note: `failed write-backs, writes, flushes, full, stopped; SQLite ended by SIGBUS in ${String(killed)}`,
    });
  }
}

/**
 * A child for all of the cases; one that the kernel kills is followed by another, which first looks
 * at what is on the disk.
 */
async function runFaults(
  variant: FileSystemVariant,
  program: string,
): Promise<readonly DiskFaultOutcome[]> {
  const directory = makeDirectory({ inMemory: true });
  const faults = casesOf(variant);
  const outcomes: DiskFaultOutcome[] = [];
  let acknowledged: number | undefined;
  while (outcomes.length < faults.length || acknowledged !== undefined) {
    const rest = faults.slice(outcomes.length);
    const killed = acknowledged === undefined ? {} : { acknowledged };
    const input: DiskFaultInput = { variant, directory, program, faults: rest, ...killed };
    const child = new Child('../../root/children/disk-fault-child.ts', input, {
      under: inOwnNamespace,
      environment: { NODE_OPTIONS: '--import tsx' },
    });
    const { code, signal, errors } = await child.ended;
    outcomes.push(...child.said('OUTCOME').map((text) => JSON.parse(text) as DiskFaultOutcome));
    const fault = faults[outcomes.length];
    const isKilled = signal === 'SIGBUS' && fault !== undefined;
    if (code !== 0 && !isKilled) throw new Error(`${variant.name}: ${String(signal)} ${errors}`);
    acknowledged = isKilled ? Number(child.said('ACK').at(-1)) : undefined;
    if (!isKilled) continue;
    outcomes.push({ ...fault, said: [signal], found: undefined, violation: undefined });
  }
  return outcomes;
}
