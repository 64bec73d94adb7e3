import type { HistoryPolicy, PackedHistory, PrunedHistory } from '../../engine/index.js';
import type { Context } from '../context.js';
import { type ExitCode, success } from '../exit-codes.js';
import { openForCommand } from '../open-store.js';
import { counted, printable } from '../printable.js';
import type { Style } from '../style.js';

export interface HistoryRules {
  readonly keepLast?: number;
  /** Milliseconds. */
  readonly keepWithin?: number;
  readonly keepDaily?: number;
  readonly keepWeekly?: number;
  readonly keepMonthly?: number;
  /** Bytes. */
  readonly maxSize?: number;
  readonly keepRecords?: number;
}

export interface PruneHistoryFlags extends HistoryRules {
  readonly dryRun?: boolean;
  readonly pack?: boolean;
  readonly now?: boolean;
}

export async function pruneHistory(context: Context, flags: PruneHistoryFlags): Promise<ExitCode> {
  const { output, signal } = context;
  const { dryRun = false, pack = false, now = false } = flags;
  await using store = await openForCommand(context);
  const pruned = await store.prune(policyOf(flags), { dryRun, pack, now, signal });
  output.answer(
    { pruning: { isDryRun: dryRun, ...pruned } },
    describe(pruned, { isDryRun: dryRun, isQuiet: output.isQuiet, style: output.style }),
  );
  return success;
}

/** `undefined` without any rule: what happens by itself. */
export function policyOf(flags: HistoryRules): HistoryPolicy | undefined {
  const { keepLast, keepWithin, keepDaily, keepWeekly, keepMonthly } = flags;
  const { maxSize, keepRecords } = flags;
  const calendar = { keepDaily, keepWeekly, keepMonthly };
  const limits = { sizeBytesMax: maxSize, keepRecords };
  const rules = { keepLast, keepWithinMs: keepWithin, ...calendar, ...limits };
  return Object.values(rules).every((rule) => rule === undefined) ? undefined : rules;
}

function describe(
  { transactions, bytesBefore, bytesAfter, prunedThrough, removedRecords, packed }: PrunedHistory,
  {
    isDryRun,
    isQuiet,
    style,
  }: { readonly isDryRun: boolean; readonly isQuiet: boolean; readonly style: Style },
): string {
  const dropped = transactions.filter(({ isKept }) => !isKept).length;
  const lines = transactions.map(({ transaction, isKept, reason, bytes }) => {
    const mark = isKept ? 'keep' : style.alarming('drop');
    const at = (transaction.committedAt ?? '').replace(/\.\d+Z$/, 'Z');
    return `${mark}  ${String(transaction.id)}  ${at}  ${printable(reason)}  ${counted(bytes, 'byte')}`;
  });
  const doing = isDryRun ? 'Would drop' : 'Dropped';
  const oldest =
    dropped === 0 ? '' : `; the oldest that can be undone is then ${String(prunedThrough + 1)}`;
  const freed = `${counted(bytesBefore - bytesAfter, 'byte')} of ${String(bytesBefore)}`;
  const result = `${doing} what ${counted(dropped, 'transaction')} displaced, ${freed}${oldest}.`;
  const removing = isDryRun ? 'Would remove' : 'Removed';
  const records = `${removing} ${counted(removedRecords, 'old record')} from the log.`;
  const results = [
    result,
    ...(removedRecords === 0 ? [] : [records]),
    ...(packed === null ? [] : [packedText(packed)]),
  ];
  if (packed !== null) lines.push(...leftLines(packed));
  return [...(isQuiet ? [] : lines), ...results.map((line) => style.strong(line))].join('\n');
}

function packedText({ contents, packs, bytesBefore, bytesAfter, blocked }: PackedHistory): string {
  const amount = counted(contents, 'content');
  const text =
    packs === null || bytesAfter === null
      ? `Would pack ${amount}; files of ${counted(bytesBefore, 'byte')} would go.`
      : `Packed ${amount} into ${counted(packs, 'pack')} of ${counted(bytesAfter, 'byte')}; files of ${counted(bytesBefore, 'byte')} are gone.`;
  if (blocked === null) return text;
  return `${text} What snapshots hold stays as it is: ${printable(blocked)}`;
}

function leftLines({ left }: PackedHistory): readonly string[] {
  return left.map(
    ({ reason, slots, bytes }) =>
      `as it is  ${counted(slots, 'displaced item')}, ${counted(bytes, 'byte')}: ${printable(reason)}`,
  );
}
