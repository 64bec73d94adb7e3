import type { DriftedPath, StoreStatus } from '../engine/index.js';
import { describeChange } from './describe-change.js';
import { counted, printable } from './printable.js';
import type { Style } from './style.js';

export interface StatusReport extends StoreStatus {
  /** Whether somebody holds the lock right now. */
  readonly isLocked: boolean;
  /** What other programs changed; `null` when that was not asked for. */
  readonly drift: readonly DriftedPath[] | null;
}

/** What `status` tells people. */
export function describeStatus(status: StatusReport, style: Style): string {
  const { root, head, unsettled, troubled, quarantined } = status;
  const rows: readonly (readonly [string, string])[] = [
    ['Root', printable(root)],
    ['Newest', head === 0 ? 'no transaction yet' : `transaction ${String(head)}`],
    [
      'Unsettled',
      unsettled === 0
        ? 'none'
        : `${counted(unsettled, 'transaction')}, applied and kept for recovery`,
    ],
    ['Lock', describeLock(status)],
    [
      'Quarantine',
      quarantined === 0
        ? 'empty'
        : `${counted(quarantined, 'item')} set aside in .skillmeat/quarantine`,
    ],
  ];
  const lines = rows.map(([label, text]) => `${style.strong(`${label}:`.padEnd(11))} ${text}`);
  for (const { id, state, reason } of troubled) {
    lines.push(
      style.alarming(
        `Transaction ${String(id)} is ${state}: ${printable(reason ?? 'no reason kept')}`,
      ),
    );
  }
  if (troubled.length > 0) lines.push('Try: skillmeat txn recover');
  if (status.drift !== null) lines.push(...describeDrift(status.drift));
  return lines.join('\n');
}

function describeDrift(drift: readonly DriftedPath[]): readonly string[] {
  if (drift.length === 0) return ['Drift:      none'];
  return [
    `Drift:      ${counted(drift.length, 'path')} changed by other programs (record them: skillmeat txn adopt)`,
    ...drift.map(({ path, expected, found }) =>
      describeChange({ path, before: expected, after: found }),
    ),
  ];
}

function describeLock({ isLocked, writer }: StatusReport): string {
  if (!isLocked) return 'free';
  if (writer === null || writer.isDone) return 'held by another process';
  const { pid, host, command, since } = writer;
  return printable(`held by process ${String(pid)} on ${host} (${command}) since ${since}`);
}
