import type { StoreDiagnosis } from '../engine/index.js';
import type { Check, CheckLevel } from './diagnosis.js';
import { counted, printable } from './printable.js';
import type { Style } from './style.js';

const marks: Readonly<Record<CheckLevel, string>> = {
  ok: 'ok',
  notice: 'note',
  problem: 'PROBLEM',
};

/** What `doctor` tells people. */
export function describeDiagnosis(
  diagnosis: StoreDiagnosis,
  { checks, style }: { readonly checks: readonly Check[]; readonly style: Style },
): string {
  const { root, format, transactions } = diagnosis;
  const lines = [
    style.strong(printable(root)),
    `format ${String(format)}, ${counted(transactions, 'transaction')}`,
  ];
  for (const { level, name, message, hint } of checks) {
    const mark = marks[level].padEnd(7);
    const shown = level === 'problem' ? style.alarming(mark) : mark;
    lines.push(`${shown} ${name}: ${printable(message)}`);
    if (hint !== null) lines.push(`        ${printable(hint)}`);
  }
  return lines.join('\n');
}
