import { afterAll, describe, expect, test } from 'vitest';
import { firstFew } from '../crash/recovered-state.js';
import { testify } from '../support/evidence.js';
import { Child, cleanUp, makeDirectory, seededRandom } from '../support/processes.js';
import { skippedBecause } from '../support/skipped.js';
import type {
  FullDiskCase,
  FullDiskInput,
  FullDiskOperation,
  FullDiskOutcome,
} from './children/full-disk-child.js';
import type { FileSystemVariant } from './disk/file-systems.js';
import { toolsOf } from './disk/file-systems.js';
import { inOwnNamespace, whyNoDisk } from './disk/recording-disk.js';
import { isExhaustive } from '../support/extent.js';

/*
 * Tiny disks that run out of room, at every step of size: see children/full-disk-child.ts. Usually
 * SKILLMEAT_SIZES sizes for each operation, from a seed; SKILLMEAT_EXHAUSTIVE=1 takes all of them.
 */

const operations: readonly FullDiskOperation[] = [
  'transaction',
  'first opening',
  'snapshot',
  'undo',
  'recovery',
];
/** Small steps where the journal and its index are made, larger ones where contents are staged. */
const sizes = [
  ...Array.from({ length: 65 }, (_, i) => i * 2),
  ...Array.from({ length: 48 }, (_, i) => 136 + i * 8),
];
/** All of it succeeds. */
const sizeOfSuccess = 3_072;
const sizesTaken = Number(process.env['SKILLMEAT_SIZES'] ?? 4);
const random = seededRandom('full disks');

interface Variant extends Pick<FullDiskInput, 'makeOptions' | 'imageBytes'> {
  readonly name: string;
  readonly on: string;
  readonly variant: FileSystemVariant;
}

const variants = (['auto', 'off'] as const).flatMap((native): readonly Variant[] => {
  const make = (
    on: string,
    type: FileSystemVariant['type'],
    makeOptions: readonly string[] = [],
    imageBytes = toolsOf[type].imageBytes,
  ): Variant => {
    const name = `${on}, native ${native}`;
    const mountOptions = type === 'xfs' ? ['nouuid'] : [];
    return { name, on, makeOptions, imageBytes, variant: { name, type, mountOptions, native } };
  };
  const small = 24 * 1_048_576;
  return [
    make('ext4', 'ext4', ['-m', '0'], small),
    make('ext4, blocks of 1 KiB', 'ext4', ['-m', '0', '-b', '1024'], small),
    make('xfs', 'xfs'),
    make('btrfs', 'btrfs'),
  ];
});

const whyNot = whyNoDisk(['mkfs.ext4', 'mkfs.xfs', 'mkfs.btrfs', 'fallocate']);
if (whyNot !== undefined) {
  console.warn(`\n!!! NOT RUN: full disks; ${whyNot}.\n`);
  for (const on of new Set(variants.map((variant) => variant.on))) {
    testify({ fault: 'full disk', on, whyNot });
  }
}

afterAll(cleanUp);

describe('a disk that runs out of room', skippedBecause(whyNot), () => {
  test.each(variants)(
    '$name: whatever room is left, nothing is lost, and all works when there is room',
    async (variant) => {
      const outcomes = await runAll(variant, chooseCases());
      const violations = outcomes.filter(({ violation }) => violation !== undefined);
      const killed = outcomes.filter(({ said }) => said === 'SIGBUS');
      testify({
        fault: 'full disk',
        on: variant.on,
        native: variant.variant.native,
        states: outcomes.length,
        violations: violations.length,
        seed: random.seed,
        ...(killed.length > 0 ? { note: `ended by SIGBUS: ${String(killed.length)}` } : {}),
      });
      console.log(`${variant.name}: ${describeOutcomes(outcomes)}`);
      expect(firstFew(violations.map((one) => JSON.stringify(one)))).toEqual([]);
      // What is left on btrfs stands in docs/design.md, "Bus errors".
      if (variant.variant.type !== 'btrfs') expect(killed).toEqual([]);
      const said = new Set(outcomes.map((outcome) => outcome.said));
      expect(said).toContain('DISK_FULL');
      expect(said).not.toContain('PERMISSION_DENIED');
      expect(said).toContain('done');
    },
  );
});

function chooseCases(): readonly FullDiskCase[] {
  return operations.flatMap((operation) => {
    const stride = isExhaustive ? 1 : Math.ceil(sizes.length / sizesTaken);
    const first = random.below(stride);
    const taken = sizes.filter((_, i) => i % stride === first);
    return [...taken, sizeOfSuccess].map((freeKibibytes) => ({ operation, freeKibibytes }));
  });
}

/** A child for all of the cases; one that the kernel kills is followed by another. */
async function runAll(
  { variant, makeOptions, imageBytes }: Variant,
  cases: readonly FullDiskCase[],
): Promise<readonly FullDiskOutcome[]> {
  const directory = makeDirectory({ inMemory: true });
  const outcomes: FullDiskOutcome[] = [];
  let isKilled = false;
  while (outcomes.length < cases.length) {
    const rest = cases.slice(outcomes.length);
    const input = { variant, makeOptions, imageBytes, directory, cases: rest, isKilled };
    const child = new Child('../../root/children/full-disk-child.ts', input, {
      under: inOwnNamespace,
      environment: { NODE_OPTIONS: '--import tsx' },
    });
    const { code, signal, errors } = await child.ended;
    outcomes.push(...child.said('OUTCOME').map((text) => JSON.parse(text) as FullDiskOutcome));
    isKilled = signal === 'SIGBUS';
    if (code !== 0 && !isKilled) throw new Error(`${variant.name}: ${String(signal)} ${errors}`);
  }
  return outcomes;
}

/** `undo: done 5, DISK_FULL 3`, for each operation. */
function describeOutcomes(outcomes: readonly FullDiskOutcome[]): string {
  return operations
    .map((operation) => {
      const counts = new Map<string, number>();
      for (const { said } of outcomes.filter((one) => one.operation === operation)) {
        counts.set(said, (counts.get(said) ?? 0) + 1);
      }
      return `${operation}: ${[...counts].map(([said, count]) => `${said} ${String(count)}`).join(', ')}`;
    })
    .join('; ');
}
