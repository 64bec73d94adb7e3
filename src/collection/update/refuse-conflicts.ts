import { addressOf } from '../artifact.js';
import { CollectionError } from '../errors.js';
import type { MergeCounts } from '../merge/merge-trees.js';
import type { UpdatedArtifact } from './apply-update.js';

/** More artifacts than these are counted. */
const namedMax = 5;

/** Throws `MERGE_CONFLICT`, with each file in conflict of all artifacts, when there is any. */
export function refuseConflicts(updated: readonly UpdatedArtifact[]): void {
  const torn = updated.filter(({ conflicts }) => conflicts.length > 0);
  const [first] = torn;
  if (first === undefined) return;
  const conflicts = torn.flatMap(({ path, conflicts: own }) =>
    own.map(({ path: below, why, hunks, mergedHunks, places }) => ({
      path: below === '' ? path : `${path}/${below}`,
      why,
      hunks,
      mergedHunks,
      places,
    })),
  );
  const merge = sumOf(torn.flatMap(({ merge: counts }) => counts ?? []));
  // Several are listed below the message.
  const [only, ...others] = conflicts;
  const where =
    only !== undefined && others.length === 0
      ? `${only.path} (${only.why})`
      : `${String(conflicts.length)} files (places in conflict: ${String(merge.conflictingHunks)})`;
  const names =
    torn.length > namedMax
      ? `${String(torn.length)} artifacts`
      : torn.map(({ key }) => addressOf(key)).join(', ');
  throw new CollectionError(
    'MERGE_CONFLICT',
    `${names}: edits by hand and upstream disagree in ${where}; nothing was changed`,
    {
      path: first.path,
      hint: 'Choose with --on-conflict ours, theirs or markers, or look first: skillmeat diff NAME --upstream',
      conflicts,
      merge,
    },
  );
}

function sumOf(all: readonly MergeCounts[]): MergeCounts {
  const sum = (of: (counts: MergeCounts) => number): number =>
    all.reduce((total, counts) => total + of(counts), 0);
  return {
    conflictingFiles: sum((counts) => counts.conflictingFiles),
    conflictingHunks: sum((counts) => counts.conflictingHunks),
    mergedFiles: sum((counts) => counts.mergedFiles),
    mergedHunks: sum((counts) => counts.mergedHunks),
  };
}
