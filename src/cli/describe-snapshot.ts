import type { CreatedSnapshot, Snapshot, SnapshotPath } from '../engine/index.js';
import { describeCounts, octal } from './describe-change.js';
import { counted, printable, printableLines } from './printable.js';
import type { Style } from './style.js';

/** More paths that were left out than these are counted, not listed. */
const listedMax = 20;

/** What `snapshot create` tells people. */
export function describeCreated(
  { snapshot, added, leftOut, adopted, pruned }: CreatedSnapshot,
  { isQuiet, style }: { readonly isQuiet: boolean; readonly style: Style },
): string {
  const holds = `${counted(snapshot.files, 'file')}, ${counted(snapshot.bytes, 'byte')}`;
  const result =
    snapshot.id === null
      ? `Would hold ${holds}.`
      : `Took snapshot ${titleOf(snapshot)}: ${holds}; ${counted(added.bytes, 'byte')} stored anew.`;
  const notes = [
    ...(adopted === null ? [] : [describeAdopted(adopted)]),
    ...(pruned.snapshots.length === 0 ? [] : [describePruned(pruned.snapshots)]),
  ];
  const listed = leftOut
    .slice(0, listedMax)
    .map(({ path, why }) => `left out: ${printable(path)} (${why})`);
  const more = leftOut.length - listed.length;
  if (more > 0) listed.push(`… and ${String(more)} more`);
  return [style.strong(result), ...(isQuiet ? [] : [...notes, ...listed])].join('\n');
}

function describeAdopted({ id, changes }: NonNullable<CreatedSnapshot['adopted']>): string {
  const counts = describeCounts(changes);
  return id === null
    ? `Would adopt what other programs changed: ${counts}.`
    : `Adopted what other programs changed as transaction ${String(id)}: ${counts}.`;
}

function describePruned(snapshots: readonly Snapshot[]): string {
  const numbers = snapshots.map(({ id }) => String(id)).join(', ');
  const until = snapshots[0]?.keptUntil?.slice(0, 10) ?? '';
  return `Deleted ${counted(snapshots.length, 'snapshot')} that no rule of this store keeps: ${numbers}; until ${until} "snapshot undelete" brings them back.`;
}

/** What `snapshot list` tells people: one line for each, newest first. */
export function describeSnapshots(snapshots: readonly Snapshot[], style: Style): string {
  if (snapshots.length === 0) return 'No snapshots.';
  const width = String(snapshots[0]?.id ?? '').length;
  return snapshots
    .map((snapshot) => {
      const [subject = ''] = snapshot.message.split('\n', 1);
      const words = [
        style.strong(String(snapshot.id).padStart(width)),
        style.faint(snapshot.createdAt.replace(/\.\d+Z$/, 'Z')),
        counted(snapshot.files, 'file').padEnd(10),
        snapshot.name === null ? '' : style.strong(printable(snapshot.name)),
        snapshot.isPinned ? '[pinned]' : '',
        snapshot.keptUntil === null
          ? ''
          : `[deleted, kept until ${snapshot.keptUntil.slice(0, 10)}]`,
        ...snapshot.tags.map((tag) => `#${printable(tag)}`),
        printable(subject),
      ];
      return words
        .filter((word) => word !== '')
        .join('  ')
        .trimEnd();
    })
    .join('\n');
}

/** What `snapshot show` tells people. */
export function describeSnapshot(
  snapshot: Snapshot,
  paths: readonly SnapshotPath[],
  style: Style,
): string {
  const { createdAt, head, files, directories, links, bytes, leftOut, sha256 } = snapshot;
  const lines = [
    style.strong(`Snapshot ${titleOf(snapshot)}${snapshot.isPinned ? ' (pinned)' : ''}`),
    `Taken:   ${createdAt}, after transaction ${String(head)}`,
    `State:   ${sha256}`,
    `Holds:   ${counted(files, 'file')}, ${counted(bytes, 'byte')}; directories: ${String(directories)}, links: ${String(links)}, left out: ${String(leftOut)}`,
  ];
  if (snapshot.tags.length > 0) lines.push(`Tags:    ${printable(snapshot.tags.join(', '))}`);
  if (snapshot.message !== '') lines.push('', printableLines(snapshot.message));
  if (paths.length > 0) lines.push('', ...paths.map(describePath));
  return lines.join('\n');
}

function describePath({ path, kind, mode, size, target, why }: SnapshotPath): string {
  const what =
    kind === 'file'
      ? `file ${octal(mode ?? 0)}, ${counted(size ?? 0, 'byte')}`
      : kind === 'directory'
        ? `directory ${octal(mode ?? 0)}`
        : kind === 'symlink'
          ? `link to ${printable(target ?? '')}`
          : `left out: ${why ?? ''}`;
  return `${printable(path)}  ${what}`;
}

export function titleOf({ id, name }: Snapshot): string {
  return name === null ? String(id) : `${String(id)} "${printable(name)}"`;
}
