import type { LastChange, TransactionRecord, TransactionSummary } from '../engine/index.js';
import { describeChange, describeCounts, marksOf, stateRemark } from './describe-change.js';
import { counted, printable, printableLines } from './printable.js';
import type { Style } from './style.js';

/** What `log` tells people: one line for each transaction, newest first. */
export function describeLog(
  transactions: readonly TransactionSummary[],
  {
    path,
    hasMore,
    style,
  }: {
    readonly path?: string | undefined;
    readonly hasMore: boolean;
    readonly style: Style;
  },
): string {
  if (transactions.length === 0) return 'No transactions.';
  const width = String(transactions[0]?.id ?? '').length;
  const lines = transactions.map((transaction) => {
    const { id, state, message, committedAt, changeCount } = transaction;
    const [subject = ''] = message.split('\n', 1);
    const words = [
      style.strong(String(id).padStart(width)),
      style.faint(timeOf(committedAt)),
      counted(changeCount, 'change').padEnd(10),
      stateRemark[state] === '' ? '' : style.alarming(`[${stateRemark[state]}]`),
      ...marksOf(transaction),
      printable(subject),
    ];
    return words
      .filter((word) => word !== '')
      .join('  ')
      .trimEnd();
  });
  const last = transactions.at(-1)?.id;
  const rest = path === undefined ? '' : ` ${printable(path)}`;
  if (hasMore) lines.push(`Older ones: skillmeat log --before ${String(last)}${rest}`);
  return lines.join('\n');
}

/** What `show` tells people. */
export function describeTransaction(transaction: TransactionRecord, style: Style): string {
  const { id, uuid, state, message, committedAt, reason, annotations } = transaction;
  const { changes, superseded } = transaction;
  const remark = stateRemark[state] === '' ? state : stateRemark[state];
  const lines = [
    style.strong(`Transaction ${String(id)} (${remark})`),
    `Committed: ${committedAt ?? ''}`,
    `UUID:      ${uuid ?? ''}`,
  ];
  const { by, undoes, adopts, restores, rollsBackTo } = annotations;
  if (by !== undefined) lines.push(`By:        ${printable(by)}`);
  if (undoes !== undefined) lines.push(`Undoes:    transaction ${String(undoes)}`);
  if (rollsBackTo !== undefined) lines.push(`Rolls back: to ${printable(String(rollsBackTo))}`);
  if (restores !== undefined) lines.push(`Restores:  snapshot ${printable(restores)}`);
  if (adopts === true) lines.push('Adopts what other programs did');
  if (transaction.isPinned) lines.push('Pinned:    what it displaced is kept');
  if (transaction.tags.length > 0) {
    lines.push(`Tags:      ${transaction.tags.map(printable).join(', ')}`);
  }
  if (transaction.isPruned) {
    lines.push('Pruned:    what it displaced is no longer kept, so it cannot be undone');
  }
  if (reason !== null) lines.push(style.alarming(`Reason:    ${printable(reason)}`));
  if (message !== '') lines.push('', indent(printableLines(message)));
  lines.push('', `${describeCounts(changes)}:`, ...changes.map(describeChange));
  for (const { path, why } of superseded) {
    lines.push(`superseded: ${printable(path)} (${printable(why)})`);
  }
  return lines.join('\n');
}

/** What `blame` tells people: one line for each path. */
export function describeBlame(changes: readonly LastChange[], style: Style): string {
  if (changes.length === 0) return 'No transaction of the log has changed anything there.';
  const width = Math.max(...changes.map(({ changedBy }) => String(changedBy).length));
  return changes
    .map(({ path, image, changedBy, transaction }) => {
      const [subject = ''] = (transaction?.message ?? '').split('\n', 1);
      const words = [
        style.strong(String(changedBy).padStart(width)),
        style.faint(
          transaction === null ? 'no longer in the log' : timeOf(transaction.committedAt),
        ),
        `${printable(path)}${image.kind === 'absent' ? ' (removed)' : ''}`,
        printable(subject),
      ];
      return words.join('  ').trimEnd();
    })
    .join('\n');
}

/** ISO 8601 to the second, UTC. */
function timeOf(committedAt: string | null): string {
  return (committedAt ?? '').replace(/\.\d+Z$/, 'Z');
}

function indent(text: string): string {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => (line === '' ? '' : `    ${line}`))
    .join('\n');
}
