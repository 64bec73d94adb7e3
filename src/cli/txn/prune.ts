import type { PrunedSnapshot, PrunedSnapshots, RetentionPolicy } from '../../engine/index.js';
import type { Context } from '../context.js';
import { type ExitCode, success } from '../exit-codes.js';
import { openForCommand } from '../open-store.js';
import { counted, printable } from '../printable.js';
import type { Style } from '../style.js';

export interface SnapshotRules {
  readonly keepLast?: number;
  /** Milliseconds. */
  readonly keepWithin?: number;
  readonly keepDaily?: number;
  readonly keepWeekly?: number;
  readonly keepMonthly?: number;
  /** Bytes. */
  readonly maxSize?: number;
}

export interface PruneFlags extends SnapshotRules {
  readonly now?: boolean;
  readonly dryRun?: boolean;
}

export async function pruneSnapshots(context: Context, flags: PruneFlags): Promise<ExitCode> {
  const { output, signal } = context;
  const { now = false, dryRun = false } = flags;
  await using store = await openForCommand(context);
  const { policy } = await store.snapshots.policy();
  const options = { now, dryRun, signal };
  const pruned = await store.snapshots.prune(retentionOf(flags, policy), options);
  const { blocked } = pruned.collected;
  if (blocked !== null) output.warn(`no contents were removed: ${blocked}`);
  output.answer(
    { pruning: { isDryRun: dryRun, ...pruned } },
    describe(pruned, { isNow: now, isDryRun: dryRun, style: output.style }),
  );
  return success;
}

/** Without a rule `otherwise`; a limit of size alone comes on top of it. */
export function retentionOf(flags: SnapshotRules, otherwise: RetentionPolicy): RetentionPolicy {
  const { keepLast, keepWithin, keepDaily, keepWeekly, keepMonthly, maxSize } = flags;
  const rules = { keepLast, keepWithinMs: keepWithin, keepDaily, keepWeekly, keepMonthly };
  const hasRule = Object.values(rules).some((rule) => rule !== undefined);
  if (hasRule) return { ...rules, sizeBytesMax: maxSize };
  return maxSize === undefined ? otherwise : { ...otherwise, sizeBytesMax: maxSize };
}

function describe(
  { snapshots, bytesBefore, bytesAfter }: PrunedSnapshots,
  {
    isNow,
    isDryRun,
    style,
  }: { readonly isNow: boolean; readonly isDryRun: boolean; readonly style: Style },
): string {
  const dropped = snapshots.filter(({ isKept }) => !isKept).length;
  const lines = snapshots.map((snapshot) => describeOne(snapshot, style));
  const doing = isDryRun ? 'Would delete' : 'Deleted';
  const freed = `${counted(bytesBefore - bytesAfter, 'byte')} of ${String(bytesBefore)}`;
  const gone = isNow
    ? 'a day after nothing has named them'
    : 'in a week; until then: snapshot undelete';
  const when = isDryRun || dropped === 0 ? '' : `; contents go ${gone}`;
  const result = `${doing} ${counted(dropped, 'snapshot')}, which frees ${freed}${when}.`;
  return [...lines, style.strong(result)].join('\n');
}

function describeOne({ snapshot, isKept, reasons, bytes }: PrunedSnapshot, style: Style): string {
  const title =
    snapshot.name === null ? String(snapshot.id) : `${String(snapshot.id)} "${snapshot.name}"`;
  const mark = isKept ? 'keep  ' : style.alarming('delete');
  const created = snapshot.createdAt.replace(/\.\d+Z$/, 'Z');
  return `${mark} ${printable(title)}  ${created}  ${printable(reasons.join(', '))}  ${counted(bytes, 'byte')}`;
}
