import type { Finding, Repair } from '../engine/index.js';
import { counted, printable } from './printable.js';
import type { Style } from './style.js';

const marks: Readonly<Record<Repair['outcome'], string>> = {
  planned: 'would',
  done: 'done',
  failed: 'FAILED',
  'by-hand': 'by hand',
};

/** What `repair` tells people: each finding, what is done about it, and what is left. */
export function describeRepairs(
  repairs: readonly Repair[],
  { findings, style }: { readonly findings: readonly Finding[] | null; readonly style: Style },
): string {
  const lines = repairs.flatMap((repair) => describeRepair(repair, style));
  return [...lines, style.strong(describeResult(repairs, findings))].join('\n');
}

function describeRepair(
  { finding, message, outcome, error }: Repair,
  style: Style,
): readonly string[] {
  const mark = marks[outcome].padEnd(8);
  const shown = outcome === 'failed' ? style.alarming(mark) : mark;
  return [
    `${printable(finding.message)} ${style.faint(`[${finding.kind}]`)}`,
    `  ${shown} ${printable(message)}`,
    ...(error === null ? [] : [`           ${printable(error)}`]),
  ];
}

function describeResult(repairs: readonly Repair[], findings: readonly Finding[] | null): string {
  if (repairs.length === 0) return 'Nothing to repair.';
  if (findings === null) {
    return `${counted(repairs.length, 'finding')}; nothing was changed. Do it with: skillmeat repair --yes`;
  }
  const done = repairs.filter(({ outcome }) => outcome === 'done').length;
  const left = findings.length === 0 ? 'none is left' : `${String(findings.length)} left`;
  return `${counted(done, 'finding')} answered, ${left}.`;
}
