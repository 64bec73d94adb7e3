import type { HistoryEntry, Store } from '../../engine/index.js';
import type { Context } from '../context.js';
import { type ExitCode, success } from '../exit-codes.js';
import { openForReading } from '../open-store.js';
import { printable } from '../printable.js';

export interface MetricsFlags {
  readonly prometheus?: boolean;
}

type Kind = HistoryEntry['kind'];

/** Counts over the whole log of a store. */
interface Metrics {
  readonly root: string;
  /** All that were committed, whatever became of them. */
  readonly transactions: number;
  /** Paths that those changed which stand. */
  readonly changes: number;
  readonly kinds: Readonly<Record<Kind, number>>;
  /** Applying failed, and all of it was taken back. */
  readonly rolledBack: number;
  /** Neither finished nor undone. */
  readonly blocked: number;
  readonly damaged: number;
  /** Applied, and not yet known to be on disk as a whole. */
  readonly unsettled: number;
  readonly quarantined: number;
  readonly snapshots: number;
  /** Of the newest that was rolled back, or `null`. */
  readonly lastFailure: {
    readonly id: number | null;
    readonly at: string | null;
    readonly reason: string | null;
  } | null;
}

/** Rows of the log that are read at a time. */
const pageRows = 1_000;

/** Counts what the log holds: what was done, and what failed. */
export async function metrics(
  context: Context,
  { prometheus = false }: MetricsFlags,
): Promise<ExitCode> {
  const reading = await openForReading(context);
  await using store = reading.store;
  const counted = await count(store);
  const text = prometheus ? describeForPrometheus(counted) : describe(counted);
  context.output.answer({ metrics: counted }, text);
  return success;
}

async function count(store: Store): Promise<Metrics> {
  const { root, unsettled, quarantined } = await store.status();
  const kinds: Record<Kind, number> = {
    change: 0,
    undo: 0,
    redo: 0,
    rollback: 0,
    restore: 0,
    adopt: 0,
  };
  const states = { rolledBack: 0, blocked: 0, damaged: 0 };
  let transactions = 0;
  let changes = 0;
  let lastFailure: Metrics['lastFailure'] = null;
  for (let before: number | undefined; ; ) {
    const page = await store.history({ limit: pageRows, ...(before !== undefined && { before }) });
    for (const { id, kind, state, changeCount, committedAt: at, reason } of page) {
      transactions += 1;
      if (state === 'rolled-back' || state === 'undoing') {
        states.rolledBack += 1;
        lastFailure ??= { id, at, reason };
        continue;
      }
      if (state === 'blocked' || state === 'damaged') states[state] += 1;
      kinds[kind] += 1;
      changes += changeCount;
    }
    before = page.at(-1)?.id ?? undefined;
    if (before === undefined) break;
  }
  const snapshots = (await store.snapshots.list()).length;
  return {
    root,
    transactions,
    changes,
    kinds,
    ...states,
    unsettled,
    quarantined,
    snapshots,
    lastFailure,
  };
}

function rowsOf(
  counts: Metrics,
): readonly (readonly [name: string, label: string, value: number])[] {
  const { kinds } = counts;
  return [
    ['transactions_total', 'Transactions', counts.transactions],
    ['changes_total', 'Changed paths', counts.changes],
    ...Object.entries(kinds).map(
      ([kind, value]) => [`kind_total{kind="${kind}"}`, `  ${kind}`, value] as const,
    ),
    ['rolled_back_total', 'Rolled back', counts.rolledBack],
    ['blocked', 'Blocked', counts.blocked],
    ['damaged', 'Damaged', counts.damaged],
    ['unsettled', 'Unsettled', counts.unsettled],
    ['quarantined', 'Quarantined', counts.quarantined],
    ['snapshots', 'Snapshots', counts.snapshots],
  ];
}

function describe(counts: Metrics): string {
  const lines = rowsOf(counts).map(([, label, value]) => `${label.padEnd(14)} ${String(value)}`);
  const { lastFailure } = counts;
  if (lastFailure !== null) {
    const { id, at, reason } = lastFailure;
    lines.push(
      printable(
        `Last failure   transaction ${String(id)}, ${at ?? ''}: ${reason ?? 'no reason kept'}`,
      ),
    );
  }
  return lines.join('\n');
}

/** The text format that Prometheus scrapes, for its collector of text files. */
function describeForPrometheus(counts: Metrics): string {
  return rowsOf(counts)
    .map(([name, , value]) => `skillmeat_${name} ${String(value)}`)
    .join('\n');
}
