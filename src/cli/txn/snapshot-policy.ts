import { defaultPolicy, type SnapshotPolicy } from '../../engine/index.js';
import { ageOf } from '../amounts.js';
import type { Context } from '../context.js';
import { type ExitCode, success } from '../exit-codes.js';
import { UsageError } from '../failure.js';
import { openForCommand, openForReading } from '../open-store.js';
import { counted } from '../printable.js';
import { retentionOf, type SnapshotRules } from './prune.js';

export interface SnapshotPolicyFlags extends SnapshotRules {
  readonly reset?: boolean;
  readonly dryRun?: boolean;
}

/** Shows or sets which snapshots a store keeps. */
export async function snapshotPolicy(
  context: Context,
  flags: SnapshotPolicyFlags,
): Promise<ExitCode> {
  const { output } = context;
  const kept = await setOrRead(context, flags);
  const words = flags.dryRun === true ? 'would keep' : 'keeps';
  output.answer({ policy: toJsonPolicy(kept) }, describe(kept, words));
  return success;
}

async function setOrRead(
  context: Context,
  { reset = false, dryRun = false, ...rules }: SnapshotPolicyFlags,
): Promise<SnapshotPolicy> {
  const policy = retentionOf(rules, defaultPolicy);
  const isGiven = policy !== defaultPolicy;
  if (reset && isGiven) {
    throw new UsageError('--reset goes with no rule', 'Give either --reset or the new rules.');
  }
  const isChange = reset || isGiven;
  if (!isChange || dryRun) {
    const reading = await openForReading(context);
    await using store = reading.store;
    return isChange ? { policy, isDefault: reset } : await store.snapshots.policy();
  }
  await using store = await openForCommand(context);
  const { signal } = context;
  return await store.snapshots.setPolicy(reset ? undefined : policy, { signal });
}

function toJsonPolicy({ policy, isDefault }: SnapshotPolicy): object {
  const { keepLast = null, keepWithinMs = null, keepDaily = null } = policy;
  const { keepWeekly = null, keepMonthly = null, sizeBytesMax = null } = policy;
  return { isDefault, keepLast, keepWithinMs, keepDaily, keepWeekly, keepMonthly, sizeBytesMax };
}

function describe({ policy, isDefault }: SnapshotPolicy, keeps: string): string {
  const { keepLast, keepWithinMs, sizeBytesMax } = policy;
  const { keepDaily, keepWeekly, keepMonthly } = policy;
  const rules = [
    ...(keepLast === undefined ? [] : [`the last ${String(keepLast)}`]),
    ...(keepWithinMs === undefined ? [] : [`those younger than ${ageOf(keepWithinMs)}`]),
    ...(keepDaily === undefined ? [] : [`one of each of ${counted(keepDaily, 'day')}`]),
    ...(keepWeekly === undefined ? [] : [`one of each of ${counted(keepWeekly, 'week')}`]),
    ...(keepMonthly === undefined ? [] : [`one of each of ${counted(keepMonthly, 'month')}`]),
  ];
  const size = sizeBytesMax === undefined ? '' : `, up to ${counted(sizeBytesMax, 'byte')}`;
  const whose = isDefault ? 'by default' : "by this store's own policy";
  const lazily = isDefault
    ? 'No snapshot goes by itself.'
    : 'Others without name, tag and pin go into the trash when a snapshot is taken.';
  return `"snapshot prune" ${keeps} ${rules.join(', ')}${size}, ${whose}. ${lazily}`;
}
