import { type FoundImage, type Image, isSameImage } from './image.js';

/*
 * The newest transaction's record may be on disk without its contents: one flush carries both, and
 * the power may fail in it. So may those of several that shared a flush. Such transactions were
 * acknowledged to nobody, and nothing of them was applied, because renaming begins when the flush has
 * returned. They never happened.
 *
 * They must be told from ones that were flushed and applied, and then lost bytes: that is damage, and
 * nobody may decide it by himself. Pure, and tested over its cases.
 */

/** What is left of one change of the transaction. */
export interface Trace {
  readonly before: Image;
  readonly after: Image;
  readonly atPath: FoundImage;
  /** `undefined` for a change without a slot: only a mode. */
  readonly inSlot: FoundImage | undefined;
  /**
   * What may be at the path without it and those that shared its flush: earlier unsettled
   * transactions may have changed it too.
   */
  readonly otherwise: readonly Image[];
  /** Whether an earlier unsettled transaction has yet to move what is at the path. */
  readonly isMoving?: boolean;
}

/**
 * Returns which of the transactions that shared a flush, oldest first, is the first of which something
 * is missing although nothing of any was done; `undefined`: there is none.
 */
export function firstUnflushed(traces: readonly (readonly Trace[])[]): number | undefined {
  if (traces.flat().some(isDone)) return undefined;
  const first = traces.findIndex((one) => one.some(isMissing));
  return first < 0 ? undefined : first;
}

/**
 * What is in place already is not missing, though another program may have put it there; nor is a new file
 * that left its slot for a path that another program has written to since.
 */
function isMissing(trace: Trace): boolean {
  const { before, after, atPath, inSlot, isMoving = false } = trace;
  // Of what removes, nothing was to be flushed.
  if (after.kind === 'absent' || isPending(trace)) return false;
  if (isMoving || isSameImage(before, after)) return true;
  const hasLeft = before.kind === 'absent' && inSlot?.kind === 'absent' && !isUntouched(trace);
  return !hasLeft && !isSameImage(atPath, after);
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
