import { EngineError } from './errors.js';
import type { Looking } from './inspect.js';
import { removedFilesFree } from './limits.js';
import { engineDirectoryName } from './path.js';
import type { Change } from './receipt.js';
import type { Directory } from './file-system.js';
import type { RootTree } from './root-tree.js';

export interface LookingAtRoot {
  readonly looking: Looking;
  readonly tree: RootTree;
  readonly isDryRun: boolean;
}

/**
 * Refuses what looks like a mistake: to remove more than half of the files, or everything. Looks at
 * no more of the root than twice what would be removed.
 *
 * @returns of a dry run, what would be refused: it shows what would go, as the hint says.
 * @throws {EngineError} `REMOVAL_TOO_LARGE`.
 */
export async function refuseLargeRemoval(
  changes: readonly Change[],
  { isDryRun, ...given }: LookingAtRoot,
): Promise<string | undefined> {
  const refused = await largeRemoval(changes, given);
  if (refused === undefined || isDryRun) return refused;
  throw new EngineError('REMOVAL_TOO_LARGE', refused, {
    hint: 'See what, with --dry-run; if it is meant, add --force.',
  });
}

async function largeRemoval(
  changes: readonly Change[],
  { looking, tree }: Pick<LookingAtRoot, 'looking' | 'tree'>,
): Promise<string | undefined> {
  const removed = changes.filter(
    ({ before, after }) => before.kind === 'file' && after.kind === 'absent',
  ).length;
  if (emptiesRoot(changes, { looking, tree })) {
    return `everything in the directory (${String(removed)} files) would be removed`;
  }
  if (removed <= removedFilesFree) return undefined;
  // Half of this many is what would be removed, so there is no need to count further.
  const filesMax = removed * 2;
  const files = await countFiles(tree.root, filesMax, looking);
  if (files >= filesMax) return undefined;
  return `${String(removed)} of ${String(files)} files would be removed`;
}

function emptiesRoot(
  changes: readonly Change[],
  { looking, tree }: Pick<LookingAtRoot, 'looking' | 'tree'>,
): boolean {
  const names = new Set<string>([engineDirectoryName]);
  for (const { path, after } of changes) {
    if (after.kind !== 'absent') return false;
    if (!path.includes('/')) names.add(path);
  }
  return names.size > 1 && !looking.files.holdsOther(tree.root, names);
}

/** Counts the files below a directory, up to `filesMax` of them; other mounts are left out. */
async function countFiles(
  directory: Directory,
  filesMax: number,
  looking: Looking,
): Promise<number> {
  const { files, pace } = looking;
  let count = 0;
  for (const { name, kind } of files.list(directory)) {
    if (count >= filesMax) break;
    if (pace.isDue()) await pace.turn();
    if (kind === 'file') count += 1;
    if (kind !== 'directory' || name === engineDirectoryName) continue;
    const below = files.openDirectory({ directory, name });
    if (typeof below === 'string') continue;
    try {
      count += await countFiles(below, filesMax - count, looking);
    } finally {
      files.closeDirectory(below);
    }
  }
  return count;
}
