import type { HistoryEntry, Label, LabelSubject } from '../engine/index.js';
import { marksOf, stateRemark } from './describe-change.js';
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
    ...marksOf(entry),
  ].filter((word) => word !== '');
  const indent = ' '.repeat(width + 2);
  const about = describeSubjects(annotations.label);
  const why = [about, subject, reason ?? ''].filter((text) => text !== '');
  return [facts.join('  '), ...why.map((text) => `${indent}${printable(text)}`)];
}

/** How many subjects are named. */
const namedMax = 5;

/** `skill/canvas v1.0 → v1.1, skill/draw (was skill/paint)` */
function describeSubjects(label: Label | undefined): string {
  if (label === undefined) return '';
  const { subjects, more = 0 } = label;
  const left = more + Math.max(0, subjects.length - namedMax);
  const named = subjects.slice(0, namedMax).map(describeSubject);
  return [...named, ...(left > 0 ? [`${String(left)} more`] : [])].join(', ');
}

function describeSubject({ name, was, from, to }: LabelSubject): string {
  const versions = from === to ? [to] : [from, to];
  const known = versions.filter((version) => version !== undefined);
  return [name, was === undefined ? '' : `(was ${was})`, known.join(' → ')]
    .filter((word) => word !== '')
    .join(' ');
}

/** `undo of 5`, `rollback 7 → 2`, and what a collection calls its changes: `update` */
function describeKind({ kind, from, to, annotations }: HistoryEntry): string {
  const { undoes, label } = annotations;
  if (to !== null) return `${kind} ${String(from)} → ${printable(String(to))}`;
  if (kind === 'change' && label !== undefined) return printable(label.verb);
  return undoes === undefined ? kind : `${kind} of ${String(undoes)}`;
}
