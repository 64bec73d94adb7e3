import fs from 'node:fs';
import type { Random } from '../../support/processes.js';
import { chooseStates, type Promised } from './chosen-states.js';
import type { DiskImage } from './disk-image.js';
import type { FileSystemVariant } from './file-systems.js';
import { describeCut, PowerCutReplay } from './power-cuts.js';
import type { LogEntry } from './recorded-log.js';
import { mount, unmountLazily } from './recording-disk.js';

/** What power cuts during numbered steps left. */
export interface CutStates {
  /** Different disks that a cut could have left. */
  readonly possible: number;
  /** How many were chosen, … */
  readonly chosen: number;
  /** … and how many of them could be mounted, by step. */
  readonly mounted: Readonly<Record<string, number>>;
  readonly violations: readonly string[];
}

interface Recorded {
  readonly base: DiskImage;
  readonly log: readonly LogEntry[];
}

interface Looking {
  readonly variant: FileSystemVariant;
  readonly image: string;
  readonly mountPoint: string;
  /** How many states to choose. */
  readonly count: number;
  readonly random: Random;
  /** Throws when what was promised is not kept on the disk that is mounted. */
  readonly requireKept: (promised: Promised) => Promise<void>;
}

/** Mounts states that a power cut could have left, one after the other, and looks at each. */
export async function lookAtCuts(
  { base, log }: Recorded,
  { variant, image, mountPoint, count, random, requireKept }: Looking,
): Promise<CutStates> {
  const choice = { count, random, promisedBy: promisedInSteps };
  const { possible, chosen } = chooseStates({ base, log }, choice);
  const replay = new PowerCutReplay(log, base.fork());
  const violations: string[] = [];
  const mounted: Record<string, number> = {};
  for (const { cut, promised } of chosen) {
    replay.imageAfter(cut).save(image);
    try {
      mount(image, mountPoint, variant.mountOptions);
    } catch (error) {
      if (!cut.isTorn) throw error;
      continue;
    }
    mounted[promised.during] = (mounted[promised.during] ?? 0) + 1;
    try {
      await requireKept(promised);
    } catch (error) {
      const stack = error instanceof Error ? error.stack : String(error);
      violations.push(`${promised.during}: ${describeCut(cut)}: ${stack ?? ''}`);
    } finally {
      // A check that failed may have left the store open.
      unmountLazily(mountPoint);
    }
  }
  return { possible, chosen: chosen.length, mounted, violations };
}

/** Of steps that are marked `begin NUMBER NAME` and `ack NUMBER`. */
export function promisedInSteps(marks: readonly string[]): Promised {
  const begun = marks.findLast((mark) => mark.startsWith('begin '))?.split(' ') ?? [];
  const acknowledged = marks.findLast((mark) => mark.startsWith('ack '))?.split(' ')[1];
  const during = begun.slice(2).join(' ');
  return { least: Number(acknowledged ?? 0), most: Number(begun[1]), during };
}

/** What a child tells the test that started it. */
export function giveReport(report: object): void {
  fs.writeSync(1, `REPORT ${JSON.stringify(report)}\n`);
}
