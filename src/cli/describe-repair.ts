import type { Finding, Rebuilt, Repair } from '../engine/index.js';
import { counted, printable } from './printable.js';
import type { Style } from './style.js';

const marks: Readonly<Record<Repair['outcome'], string>> = {
  planned: 'would',
  done: 'done',
  failed: 'FAILED',
  'by-hand': 'by hand',
};

interface RepairCounts {
  readonly found: number;
  readonly left: number;
  /** Those that `--yes` would answer. */
  readonly planned: number;
}

/** What `repair` tells people: each finding, what is done about it, and what is left. */
export function describeRepairs(
  repairs: readonly Repair[],
  {
    rebuilt,
    findings,
    collection,
    style,
  }: {
    readonly rebuilt: Rebuilt | null;
    readonly findings: readonly Finding[] | null;
    /** Findings of the collection. */
    readonly collection: RepairCounts;
    readonly style: Style;
  },
): string {
  const lines = repairs.flatMap((repair) => describeRepair(repair, style));
  if (rebuilt !== null) lines.push(describeRebuilt(rebuilt, findings === null));
  return [...lines, style.strong(describeResult(repairs, findings, collection))].join('\n');
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

function describeResult(
  repairs: readonly Repair[],
  findings: readonly Finding[] | null,
  collection: RepairCounts,
): string {
  const found = repairs.length + collection.found;
  if (found === 0) return 'Nothing to repair.';
  if (findings === null) {
    const isPlanned =
      collection.planned > 0 || repairs.some(({ outcome }) => outcome === 'planned');
    if (!isPlanned) return `${counted(found, 'finding')}, for a person to answer: see above.`;
    return `${counted(found, 'finding')}; nothing was changed. Do it with: skillmeat repair --yes`;
  }
  const ofStore = repairs.filter(({ outcome }) => outcome === 'done').length;
  const done = ofStore + collection.found - collection.left;
  const count = findings.length + collection.left;
  const left = count === 0 ? 'none is left' : `${String(count)} left`;
  return `${counted(done, 'finding')} answered, ${left}.`;
}

/** What is kept of a journal, and plainly what is lost. */
function describeRebuilt(
  { transactions, traces, snapshots, snapshotsFound, setAside }: Rebuilt,
  isDryRun: boolean,
): string {
  const lost =
    traces <= transactions
      ? 'no transaction is lost'
      : `transactions ${String(transactions + 1)} to ${String(traces)} are lost: nothing says any more whether they were applied, and they cannot be undone`;
  const found =
    snapshotsFound === 0 ? '' : `, ${String(snapshotsFound)} of them by their contents alone`;
  const aside = isDryRun
    ? ''
    : `; ${counted(setAside, 'thing')} set aside in .skillmeat/quarantine`;
  return `${isDryRun ? 'Would build' : 'Built'} the journal anew: ${counted(transactions, 'transaction')} and ${counted(snapshots, 'snapshot')} kept${found}; ${lost}${aside}.`;
}
