import { type FoundImage, type Image, isSameImage } from './image.js';

/*
 * The newest transaction's record may be on disk without its contents: one flush carries both, and
 * the power may fail in it. Such a transaction was acknowledged to nobody, and nothing of it was
 * applied, because renaming begins when the flush has returned. It never happened.
 *
 * It must be told from one that was flushed and applied, and then lost bytes: that is damage, and
 * nobody may decide it by himself. Pure, and tested over its cases.
 */

/** What is left of one change of the transaction. */
export interface Trace {
  readonly before: Image;
  readonly after: Image;
  readonly atPath: FoundImage;
  /** `undefined` for a change without a slot: only a mode. */
  readonly inSlot: FoundImage | undefined;
  /** What may be at the path without it: earlier unsettled transactions may have changed it too. */
  readonly otherwise: readonly Image[];
}

/** Tells whether something is missing although nothing was done. */
export function wasNeverFlushed(traces: readonly Trace[]): boolean {
  const isMissing = (trace: Trace): boolean =>
    // Of what removes, nothing was to be flushed.
    trace.after.kind !== 'absent' && !isPending(trace);
  return !traces.some(isDone) && traces.some(isMissing);
}

function isPending({ after, inSlot }: Trace): boolean {
  return inSlot === undefined || isSameImage(inSlot, after);
}

/** Only what a torn or missing content cannot look like counts. */
function isDone(trace: Trace): boolean {
  const { before, after, atPath, inSlot, otherwise } = trace;
  if (isSameImage(before, after) || (inSlot !== undefined && isPending(trace))) return false;
  if (isSameImage(atPath, after) && !otherwise.some((image) => isSameImage(image, after))) {
    return true;
  }
  if (inSlot === undefined || !isSameImage(inSlot, before)) return false;
  const isLikeTorn = before.kind === 'absent' || (before.kind === 'file' && before.size === 0);
  return !isLikeTorn && !isUntouched(trace);
}

/** Tells whether the path is what it would be without the transaction. */
export function isUntouched({ atPath, otherwise }: Trace): boolean {
  return otherwise.some((image) => isSameImage(image, atPath));
}
