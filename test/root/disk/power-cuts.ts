import type { Random } from '../../support/processes.js';
import type { DiskImage } from './disk-image.js';
import type { LogEntry } from './recorded-log.js';

/*
 * The states that a power cut could have left. What was written before a flush is on the disk when
 * the flush is done. What was written since may be there or not, in any combination, and the last
 * write may be torn between sectors. So for every flush epoch:
 *
 * - prefix: the first so many writes;
 * - torn: as prefix, with the first sector only of the last; not of a superblock of btrfs, which
 *   btrfs trusts the disk to write as one;
 * - missing: all but one;
 * - some: a random choice.
 *
 * A prefix is cut just before the write after it, the others just before the flush that ends the
 * epoch: as late as can be, because a cut that is later asks more of the engine.
 */

type CutKind = 'prefix' | 'torn' | 'missing' | 'some';

export interface PowerCut {
  readonly kind: CutKind;
  /** Index of the log entry before which the power went. */
  readonly at: number;
  /** Index of the first entry that no flush covers. */
  readonly since: number;
  /** Indices of the writes since then that reached the disk. */
  readonly kept: readonly number[];
  /** Of the last of these, only the first sector did. */
  readonly isTorn: boolean;
}

const sectorBytes = 512;
const randomChoicesPerEpoch = 8;

/** Every power cut that is looked at, in the order of the log. */
export function listPowerCuts(log: readonly LogEntry[], random: Random): readonly PowerCut[] {
  return epochsOf(log).flatMap((epoch) => cutsOf(epoch, log, random));
}

export function describeCut({ kind, at, since, kept }: PowerCut): string {
  return `${kind} at ${String(at)}, flushed up to ${String(since)}, ${String(kept.length)} writes since then`;
}

/** Builds the disk after one cut after another; these must come in the order of the log. */
export class PowerCutReplay {
  readonly #log: readonly LogEntry[];
  /** Everything up to {@link #flushed}. */
  readonly #durable: DiskImage;
  #flushed = 0;

  /** @param base the disk before the log; changed by this. */
  constructor(log: readonly LogEntry[], base: DiskImage) {
    this.#log = log;
    this.#durable = base;
  }

  /** The disk after a cut; to be used before the next is asked for. */
  imageAfter({ since, kept, isTorn }: PowerCut): DiskImage {
    for (; this.#flushed < since; this.#flushed += 1) this.#write(this.#durable, this.#flushed);
    const image = this.#durable.fork();
    for (const index of kept) this.#write(image, index, isTorn && index === kept.at(-1));
    return image;
  }

  #write(image: DiskImage, index: number, isTorn = false): void {
    const entry = this.#log[index];
    if (entry?.kind !== 'write') return;
    image.write(entry.offset, isTorn ? entry.data.subarray(0, sectorBytes) : entry.data);
  }
}

interface Epoch {
  readonly since: number;
  readonly writes: readonly number[];
  readonly end: number;
}

function epochsOf(log: readonly LogEntry[]): readonly Epoch[] {
  const epochs: Epoch[] = [];
  let since = 0;
  let writes: number[] = [];
  for (const [index, { kind }] of log.entries()) {
    if (kind === 'write') writes.push(index);
    if (kind !== 'flush') continue;
    epochs.push({ since, writes, end: index });
    since = index;
    writes = [];
  }
  return [...epochs, { since, writes, end: log.length }];
}

function cutsOf(
  { since, writes, end }: Epoch,
  log: readonly LogEntry[],
  random: Random,
): readonly PowerCut[] {
  const cut = (kind: CutKind, at: number, kept: readonly number[]): PowerCut => ({
    kind,
    at,
    since,
    kept,
    isTorn: kind === 'torn',
  });
  const cuts: PowerCut[] = [cut('prefix', writes[0] ?? end, [])];
  for (const [position, index] of writes.entries()) {
    const kept = writes.slice(0, position + 1);
    if (!isSuperblock(log[index])) cuts.push(cut('torn', index + 1, kept));
    cuts.push(cut('prefix', writes[position + 1] ?? end, kept));
    cuts.push(cut('missing', end, writes.toSpliced(position, 1)));
  }
  for (let choice = 0; choice < randomChoicesPerEpoch && writes.length > 2; choice += 1) {
    cuts.push(
      cut(
        'some',
        end,
        writes.filter(() => random.below(2) === 0),
      ),
    );
  }
  return cuts;
}

/** Whether a write is a whole superblock of btrfs, by the magic number in it. */
function isSuperblock(entry: LogEntry | undefined): boolean {
  return entry?.kind === 'write' && entry.data.toString('latin1', 64, 72) === '_BHRfS_M';
}
