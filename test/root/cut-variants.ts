import { Child, inParallel, makeDirectory } from '../support/processes.js';
import type { PowerCutInput } from './children/power-cut-child.js';
import type { FileSystemVariant } from './disk/file-systems.js';
import { compileDisk, inOwnNamespace } from './disk/recording-disk.js';

/** How many states a child looks at. */
export type CutCounts = Pick<PowerCutInput, 'states' | 'recoveries' | 'statesPerRecovery'>;

/** What the children told, by the name of the variant, and what became of those that failed. */
export interface CutVariants<Report> {
  readonly reports: ReadonlyMap<string, Report>;
  readonly failures: readonly string[];
}

/**
 * Cuts the power on each variant, in a child of its own.
 *
 * @param script a file of `children`, which gives a `Report`.
 */
export async function cutVariants<Report>(
  script: string,
  variants: readonly FileSystemVariant[],
  { seed, countsFor }: { seed: number; countsFor: (variant: FileSystemVariant) => CutCounts },
): Promise<CutVariants<Report>> {
  const program = compileDisk(makeDirectory());
  const reports = new Map<string, Report>();
  const failures = await inParallel(variants, async (variant) => {
    const directory = makeDirectory({ inMemory: true });
    const input: PowerCutInput = { variant, directory, program, ...countsFor(variant) };
    const child = new Child(`../../root/children/${script}`, input, {
      under: inOwnNamespace,
      environment: { NODE_OPTIONS: '--import tsx', SKILLMEAT_SEED: String(seed) },
    });
    try {
      await child.succeeded();
      reports.set(variant.name, JSON.parse(child.said('REPORT')[0] ?? '') as Report);
      return [];
    } catch (error) {
      return [`${variant.name}: ${String(error)}`];
    }
  });
  return { reports, failures: failures.flat() };
}
