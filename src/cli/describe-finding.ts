import type { Finding, FindingLevel, Verified } from '../engine/index.js';
import { counted, printable } from './printable.js';
import type { Style } from './style.js';

const marks: Readonly<Record<FindingLevel, string>> = {
  damage: 'DAMAGE',
  drift: 'drift',
  leftover: 'leftover',
};

/** What `verify` tells people: one line for each finding, then how much was looked at. */
export function describeFindings(
  findings: readonly Finding[],
  {
    verified,
    before,
    style,
  }: {
    readonly verified: Verified | null;
    /** Lines of findings that are told first. */
    readonly before: readonly string[];
    readonly style: Style;
  },
): string {
  const lines = [...before, ...findings.map((finding) => describeFinding(finding, style))];
  const result = lines.length === 0 ? 'No findings' : counted(lines.length, 'finding');
  const looked =
    verified === null ? 'the store cannot be opened' : `looked at ${describeVerified(verified)}`;
  return [...lines, style.strong(`${result}; ${looked}.`)].join('\n');
}

function describeFinding({ level, kind, promise, message }: Finding, style: Style): string {
  const mark = marks[level].padEnd(8);
  const shown = level === 'damage' ? style.alarming(mark) : mark;
  return `${shown} ${printable(message)} ${style.faint(`[${kind}, ${promise}]`)}`;
}

function describeVerified({ transactions, slots, snapshots, objects, paths }: Verified): string {
  return [
    counted(transactions, 'transaction'),
    `${counted(slots, 'content')} in history`,
    counted(snapshots, 'snapshot'),
    counted(objects, 'object'),
    counted(paths, 'path'),
  ].join(', ');
}
