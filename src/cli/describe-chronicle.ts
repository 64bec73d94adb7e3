import type { HistoryEntry } from '../engine/index.js';
import { stateRemark } from './describe-change.js';
import { counted, printable } from './printable.js';
import type { Style } from './style.js';

/** What `history` tells people: for each transaction a line of facts and one of reasons. */
export function describeChronicle(
  entries: readonly HistoryEntry[],
  {
    path,
    hasMore,
    style,
  }: {
    readonly path: string | undefined;
    readonly hasMore: boolean;
    readonly style: Style;
  },
): string {
  if (entries.length === 0) return 'No transactions.';
  const width = String(entries[0]?.id ?? '').length;
  const lines = entries.flatMap((entry) => describeEntry(entry, width, style));
  const last = entries.at(-1)?.id;
  const rest = path === undefined ? '' : ` ${printable(path)}`;
  if (hasMore) lines.push(`Older ones: skillmeat history --before ${String(last)}${rest}`);
  return lines.join('\n');
}

function describeEntry(entry: HistoryEntry, width: number, style: Style): readonly string[] {
  const { id, state, message, committedAt, changeCount, annotations, reason } = entry;
  const { by, paths } = annotations;
  const [subject = ''] = message.split('\n', 1);
  const facts = [
    style.strong(String(id).padStart(width)),
    style.faint((committedAt ?? '').replace(/\.\d+Z$/, 'Z')),
    describeKind(entry).padEnd(14),
    counted(changeCount, 'change'),
    by === undefined ? '' : `by ${printable(by)}`,
    paths === undefined ? '' : `only ${paths.map(printable).join(', ')}`,
    stateRemark[state] === '' ? '' : style.alarming(`[${stateRemark[state]}]`),
  ].filter((word) => word !== '');
  const indent = ' '.repeat(width + 2);
  const why = [subject, reason ?? ''].filter((text) => text !== '');
  return [facts.join('  '), ...why.map((text) => `${indent}${printable(text)}`)];
}

/** `undo of 5`, `rollback 7 → 2` */
function describeKind({ kind, from, to, annotations }: HistoryEntry): string {
  const { undoes } = annotations;
  if (to !== null) return `${kind} ${String(from)} → ${printable(String(to))}`;
  return undoes === undefined ? kind : `${kind} of ${String(undoes)}`;
}
