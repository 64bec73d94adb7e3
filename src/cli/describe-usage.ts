import type { SnapshotUsage, StoreUsage, UsageRange } from '../engine/index.js';
import { titleOf } from './describe-snapshot.js';
import { counted } from './printable.js';
import type { Style } from './style.js';

const ages: Readonly<Record<UsageRange['age'], string>> = {
  day: 'of the last day',
  week: 'of the last 7 days',
  month: 'of the last 30 days',
  older: 'older',
};

/** What `du` tells people: bytes first, parts below their whole. */
export function describeUsage(usage: StoreUsage, style: Style): string {
  const { bytes, journal, displaced, packed, snapshots, trash, unreferenced, quarantine } = usage;
  const rows: (readonly [number | null, string])[] = [
    [journal.bytes, `log of ${counted(journal.transactions, 'transaction')}`],
    [displaced.bytes, `displaced by transactions${prunedText(displaced.prunedThrough)}`],
    ...displaced.ranges.map((range) => [range.bytes, `  ${rangeText(range)}`] as const),
    [packed.bytes, `${counted(packed.packs, 'pack')} of ${counted(packed.contents, 'content')}`],
    [snapshots.bytes, counted(snapshots.each.length, 'snapshot')],
    ...snapshots.each.map(snapshotRow),
    [trash.bytes, `${counted(trash.each.length, 'deleted snapshot')}, kept for a week`],
    ...trash.each.map(snapshotRow),
    unreferenced === null
      ? [null, 'contents that no snapshot names: a snapshot cannot be read']
      : [unreferenced.bytes, `${counted(unreferenced.objects, 'content')} that no snapshot names`],
    [quarantine.bytes, `${counted(quarantine.items, 'item')} in quarantine`],
  ];
  const width = String(bytes).length;
  const lines = rows.map(([size, text]) => `${String(size ?? '?').padStart(width)}  ${text}`);
  return [...lines, style.strong(`${String(bytes)}  bytes in .skillmeat altogether`)].join('\n');
}

function prunedText(prunedThrough: number): string {
  return prunedThrough === 0 ? '' : `; pruned up to transaction ${String(prunedThrough)}`;
}

function rangeText({ age, from, to, transactions }: UsageRange): string {
  const numbers = from === to ? String(from) : `${String(from)}–${String(to)}`;
  return `${counted(transactions, 'transaction')} ${ages[age]}: ${numbers}`;
}

function snapshotRow({
  snapshot,
  bytes,
  ownBytes,
}: SnapshotUsage): readonly [number | null, string] {
  const all =
    bytes === null ? 'cannot be read' : `alone; ${counted(bytes, 'byte')} with what it shares`;
  return [ownBytes, `  ${titleOf(snapshot)} ${all}`];
}
