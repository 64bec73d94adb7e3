import { type DiffChange, type DiffContent, unifiedDiff } from '../../engine/index.js';
import { isSameEntry, type Tree, type TreeEntry } from './tree.js';

/** Returns the files that differ between two trees, sorted, named below `path`. */
export async function compareTrees(
  path: string,
  trees: { readonly from: Tree; readonly to: Tree },
  { hasText }: { readonly hasText: boolean },
): Promise<readonly DiffChange[]> {
  const changes: DiffChange[] = [];
  for (const below of [...new Set([...trees.from.keys(), ...trees.to.keys()])].toSorted()) {
    const [from, to] = [trees.from.get(below), trees.to.get(below)];
    if (isSameEntry(from, to)) continue;
    const [before, after] = [await contentOf(from), await contentOf(to)];
    const at = below === '' ? path : `${path}/${below}`;
    const diff = hasText ? unifiedDiff(at, before, after) : null;
    changes.push({ path: at, before: before.image, after: after.image, diff });
  }
  return changes;
}

async function contentOf(entry: TreeEntry | undefined): Promise<DiffContent> {
  if (entry === undefined) return { image: { kind: 'absent' }, bytes: undefined };
  if (entry.kind === 'symlink') return { image: entry, bytes: undefined };
  const bytes = await entry.read();
  const mode = entry.isExecutable ? 0o755 : 0o644;
  return { image: { kind: 'file', sha256: entry.sha256, size: bytes.length, mode }, bytes };
}
