import type { StoreStatus } from '../engine/index.js';
import { counted, printable } from './printable.js';
import type { Style } from './style.js';

export interface StatusReport extends StoreStatus {
  /** Whether somebody holds the lock right now. */
  readonly isLocked: boolean;
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
  return lines.join('\n');
}

function describeLock({ isLocked, writer }: StatusReport): string {
  if (!isLocked) return 'free';
  if (writer === null || writer.isDone) return 'held by another process';
  const { pid, host, command, since } = writer;
  return printable(`held by process ${String(pid)} on ${host} (${command}) since ${since}`);
}
