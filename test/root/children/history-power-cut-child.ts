import path from 'node:path';
import {
  carryOut,
  doToHistory,
  type Expected,
  historyActNames,
  type HistoryPlace,
  makeHistory,
  requireCutOff,
} from '../../crash/history-stores.js';
import { seededRandom } from '../../support/processes.js';
import type { Promised } from '../disk/chosen-states.js';
import { giveReport, lookAtCuts } from '../disk/cut-in-steps.js';
import { DiskImage } from '../disk/disk-image.js';
import { EarlierBoot } from '../disk/earlier-boot.js';
import { makeFileSystem } from '../disk/file-systems.js';
import { readLog } from '../disk/recorded-log.js';
import { mount, RecordingDisk, unmount } from '../disk/recording-disk.js';
import type { PowerCutInput } from './power-cut-child.js';

/*
 * As power-cut-child.ts, for all that is done to history or from it, each act in a directory of its own on
 * one disk: what is acknowledged is done; what is not is done or not begun, or every step of it leaves a
 * store without a finding; a repair is finished by the next (test/crash/history-stores.ts).
 *
 * Runs in a namespace of its own.
 */

export interface HistoryCutReport {
  readonly possible: number;
  /** How many were looked at, by act. */
  readonly states: Readonly<Record<string, number>>;
  readonly violations: readonly string[];
}

const { directory, program, states, variant } = JSON.parse(process.argv[2] ?? '') as PowerCutInput;
const { native } = variant;
const image = path.join(directory, 'disk.img');
const mountPoint = path.join(directory, 'mounted');

function placeOf(act: string, parent = mountPoint): HistoryPlace {
  return { root: path.join(parent, act, 'root'), scratch: directory, act };
}

async function main(): Promise<void> {
  const expected = new Map<string, Expected>();
  for (const act of historyActNames) {
    const place = placeOf(act, path.join(directory, 'expected'));
    await makeHistory(place.root, act, { native });
    expected.set(act, await carryOut(place, { native }));
  }
  makeFileSystem(image, variant);
  mount(image, mountPoint, variant.mountOptions);
  for (const act of historyActNames) {
    // Or the cut could leave the record of a writer of this boot, who let go in order.
    await makeHistory(placeOf(act).root, act, { fileSystem: new EarlierBoot({ native }) });
  }
  unmount(mountPoint);
  const base = DiskImage.read(image);
  await record();
  const log = readLog(path.join(directory, 'disk.log'));
  const random = seededRandom(`history ${variant.name}`);
  const { possible, mounted, violations } = await lookAtCuts(
    { base, log },
    {
      variant,
      image,
      mountPoint,
      count: states,
      random,
      requireKept: (promised) => requireKept(promised, expected),
    },
  );
  const report: HistoryCutReport = { possible, states: mounted, violations };
  giveReport(report);
}

async function record(): Promise<void> {
  const disk = await RecordingDisk.start({
    program,
    image,
    log: path.join(directory, 'disk.log'),
    mountPoint: path.join(directory, 'fuse'),
  });
  mount(disk.file, mountPoint, variant.mountOptions);
  for (const [index, act] of historyActNames.entries()) {
    disk.mark(`begin ${String(index + 1)} ${act}`);
    const fileSystem = new EarlierBoot({ native });
    await doToHistory(placeOf(act), { fileSystem }, () => {
      disk.mark(`ack ${String(index + 1)}`);
    });
  }
  unmount(mountPoint);
  await disk.stop();
}

/** Looks at what was going on, and at what was acknowledged last. */
async function requireKept(
  { least, most }: Promised,
  expected: ReadonlyMap<string, Expected>,
): Promise<void> {
  for (const number of new Set([least, most])) {
    const act = historyActNames[number - 1];
    const toBe = act === undefined ? undefined : expected.get(act);
    if (act === undefined || toBe === undefined) continue;
    const isAcknowledged = number <= least;
    await requireCutOff(placeOf(act), toBe, { isAcknowledged, options: { native } });
  }
}

await main();
