import type { FoundImage, TransactionState, TransactionSummary } from '../engine/index.js';
import { counted, printable } from './printable.js';

/** A path of a transaction, or one that differs. */
interface Difference {
  readonly path: string;
  readonly before: FoundImage;
  readonly after: FoundImage;
}

/** `A` for what appears, `D` for what goes away, `M` for everything else. */
type ChangeLetter = 'A' | 'M' | 'D';

function letterOf({ before, after }: Difference): ChangeLetter {
  if (before.kind === 'absent') return 'A';
  return after.kind === 'absent' ? 'D' : 'M';
}

/** `3 changed (1 created, 1 replaced, 1 removed)` */
export function describeCounts(changes: readonly Difference[]): string {
  const counts: Record<ChangeLetter, number> = { A: 0, M: 0, D: 0 };
  for (const change of changes) counts[letterOf(change)] += 1;
  const kinds: readonly (readonly [number, string])[] = [
    [counts.A, 'created'],
    [counts.M, 'replaced'],
    [counts.D, 'removed'],
  ];
  const parts = kinds
    .filter(([count]) => count > 0)
    .map(([count, kind]) => `${String(count)} ${kind}`);
  return `${String(changes.length)} changed (${parts.join(', ')})`;
}

/** One line for each changed path, at most `linesMax` of them and a line that counts the rest. */
export function listChanges(changes: readonly Difference[], linesMax: number): readonly string[] {
  const lines = changes
    .slice(0, linesMax)
    .map((change) => `${letterOf(change)} ${printable(change.path)}`);
  const rest = changes.length - lines.length;
  return rest > 0 ? [...lines, `… and ${String(rest)} more`] : lines;
}

/** `A skills/a.md  file 0644, 12 bytes` */
export function describeChange(change: Difference): string {
  const { before, after } = change;
  const letter = letterOf(change);
  const images: Readonly<Record<ChangeLetter, string>> = {
    A: describeImage(after),
    M: `${describeImage(before)} → ${describeImage(after)}`,
    D: describeImage(before),
  };
  return `${letter} ${printable(change.path)}  ${images[letter]}`;
}

function describeImage(image: FoundImage): string {
  switch (image.kind) {
    case 'absent':
      return 'nothing';
    case 'file':
      return `file ${octal(image.mode)}, ${counted(image.size, 'byte')}, sha256:${image.sha256.slice(0, 12)}`;
    case 'directory':
      return `directory ${octal(image.mode)}`;
    case 'symlink':
      return `link to ${printable(image.target)}`;
    case 'special':
      return 'special file';
  }
}

/** Permission bits as plans have them: `0644`. */
export function octal(mode: number): string {
  return mode.toString(8).padStart(4, '0');
}

/** What people are told about where a transaction stands; nothing when all is well. */
export const stateRemark: Readonly<Record<TransactionState, string>> = {
  planned: 'planned',
  committed: '',
  settled: '',
  undoing: 'being undone',
  'rolled-back': 'rolled back',
  blocked: 'BLOCKED',
  damaged: 'DAMAGED',
};

/** `[pruned]`, `[pinned]` and tags, as one line shows them. */
export function marksOf({
  isPruned,
  isPinned,
  tags,
}: Pick<TransactionSummary, 'isPruned' | 'isPinned' | 'tags'>): readonly string[] {
  return [
    ...(isPruned ? ['[pruned]'] : []),
    ...(isPinned ? ['[pinned]'] : []),
    ...tags.map((tag) => `#${printable(tag)}`),
  ];
}
