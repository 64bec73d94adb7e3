import type { RecoveryReport } from '../../engine/index.js';
import type { Context } from '../context.js';
import { describeRecovery } from '../describe-recovery.js';
import { type ExitCode, isUnresolved, success } from '../exit-codes.js';
import { UsageError } from '../failure.js';
import { openForCommand } from '../open-store.js';

export interface RecoverFlags {
  readonly redo?: number;
  readonly undo?: number;
  readonly adopt?: boolean;
  readonly dryRun?: boolean;
}

export async function recover(context: Context, flags: RecoverFlags): Promise<ExitCode> {
  const { output, signal } = context;
  const { adopt = false, redo, undo, dryRun = false } = flags;
  if (adopt && dryRun) {
    throw new UsageError(
      '--adopt takes a store over, which a dry run does not',
      'Leave out one of the two.',
    );
  }
  const recovering = dryRun ? ({ recover: 'never' } as const) : { adopt };
  await using store = await openForCommand(context, { ...recovering, reportsRecovery: true });
  const later = await store.recover({
    signal,
    dryRun,
    ...(redo === undefined ? {} : { redo }),
    ...(undo === undefined ? {} : { undo }),
  });
  const report = store.recoveryOnOpen === undefined ? later : joined(store.recoveryOnOpen, later);
  output.answer(
    { recovery: report },
    describeRecovery(report, { isDryRun: dryRun, style: output.style }),
  );
  return report.unresolved.length === 0 ? success : isUnresolved;
}

/** Opening has recovered already; what is left is what the second look says. */
function joined(first: RecoveryReport, second: RecoveryReport): RecoveryReport {
  const ids = new Set([...first.transactions, ...second.transactions]);
  return {
    transactions: [...ids].toSorted((a, b) => a - b),
    changed: first.changed + second.changed,
    superseded: [...first.superseded, ...second.superseded],
    unresolved: second.unresolved,
  };
}
