import { defaultHistoryPolicy as byDefault, type StoreHistoryPolicy } from '../../engine/index.js';
import { ageOf } from '../amounts.js';
import type { Context } from '../context.js';
import { type ExitCode, success } from '../exit-codes.js';
import { UsageError } from '../failure.js';
import { openForCommand, openForReading } from '../open-store.js';
import { counted } from '../printable.js';
import { type HistoryRules, policyOf } from './prune-history.js';

export interface PolicyFlags extends HistoryRules {
  readonly reset?: boolean;
  /** Bytes. */
  readonly packFrom?: number;
  readonly dryRun?: boolean;
}

/** Shows or sets what a store's history keeps to by itself. */
export async function policy(context: Context, flags: PolicyFlags): Promise<ExitCode> {
  const { output } = context;
  const kept = await setOrRead(context, flags);
  const words = flags.dryRun === true ? 'Kept then' : 'Kept';
  output.answer({ policy: toJsonPolicy(kept) }, `${words} ${describe(kept)}`);
  return success;
}

async function setOrRead(
  context: Context,
  { reset = false, packFrom, dryRun = false, ...rules }: PolicyFlags,
): Promise<StoreHistoryPolicy> {
  const kept = policyOf(rules);
  const given = packFrom === undefined ? kept : { ...kept, packFromBytes: packFrom };
  if (reset && given !== undefined) {
    throw new UsageError('--reset goes with no rule', 'Give either --reset or the new rules.');
  }
  const isChange = reset || given !== undefined;
  if (!isChange || dryRun) {
    const reading = await openForReading(context);
    await using store = reading.store;
    if (!isChange) return await store.historyPolicy();
    return { policy: given ?? byDefault, isDefault: given === undefined };
  }
  await using store = await openForCommand(context);
  return await store.setHistoryPolicy(given, { signal: context.signal });
}

function toJsonPolicy({ policy: rules, isDefault }: StoreHistoryPolicy): object {
  const { keepLast = null, keepWithinMs = null, sizeBytesMax = null } = rules;
  const { keepDaily = null, keepWeekly = null, keepMonthly = null } = rules;
  const { keepRecords = null, packFromBytes = null } = rules;
  const calendar = { keepDaily, keepWeekly, keepMonthly };
  const kept = { isDefault, keepLast, keepWithinMs, ...calendar };
  return { ...kept, sizeBytesMax, keepRecords, packFromBytes };
}

function describe({ policy: rules, isDefault }: StoreHistoryPolicy): string {
  const { keepLast, keepWithinMs, sizeBytesMax } = rules;
  const { keepDaily, keepWeekly, keepMonthly } = rules;
  const { keepRecords = byDefault.keepRecords, packFromBytes = byDefault.packFromBytes } = rules;
  const parts = [
    ...(keepLast === undefined ? [] : [`of the last ${counted(keepLast, 'transaction')}`]),
    ...(keepWithinMs === undefined
      ? []
      : [`of those that are younger than ${ageOf(keepWithinMs)}`]),
  ];
  const periods = [
    ...(keepDaily === undefined ? [] : [counted(keepDaily, 'day')]),
    ...(keepWeekly === undefined ? [] : [counted(keepWeekly, 'week')]),
    ...(keepMonthly === undefined ? [] : [counted(keepMonthly, 'month')]),
  ];
  if (periods.length > 0) parts.push(`of the last one of each of ${periods.join(', ')}`);
  const what = parts.length === 0 ? 'of all transactions' : parts.join(', and ');
  const size = sizeBytesMax === undefined ? '' : `, up to ${counted(sizeBytesMax, 'byte')}`;
  const whose = isDefault ? 'by default' : "by this store's own policy";
  const records = `The log keeps the records of the last ${counted(keepRecords, 'transaction')} at least.`;
  const packing =
    packFromBytes === 0
      ? 'It is packed only when asked for.'
      : `It is packed when it is ${counted(packFromBytes, 'byte')}.`;
  return `is what was displaced ${what}${size}, ${whose}. ${packing} ${records}`;
}
