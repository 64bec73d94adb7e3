import type { Stat } from './file-system.js';

/**
 * Within how long of a change a file may change again and keep its time: the clock of the kernel
 * ticks every 10 ms at the slowest, that of FAT every two seconds.
 */
const tickNs = 50_000_000n;
const coarseTickNs = 2_000_000_000n;
const secondNs = 1_000_000_000n;

/**
 * Tells whether a file changed so shortly before it was looked at that it can change once more
 * without another time (git's racy rule).
 *
 * @param lookedAtNs nanoseconds since 1970, taken before the look.
 */
export function isRacy(
  { modifiedNs, changedNs }: Pick<Stat, 'modifiedNs' | 'changedNs'>,
  lookedAtNs: bigint,
): boolean {
  const isCoarse = changedNs % secondNs === 0n || modifiedNs % secondNs === 0n;
  const limit = lookedAtNs - (isCoarse ? coarseTickNs : tickNs);
  return changedNs >= limit || (isCoarse && modifiedNs >= limit);
}

/** @param now milliseconds since 1970. */
export function toNanoseconds(now: number): bigint {
  return BigInt(Math.floor(now)) * 1_000_000n;
}
