import {
  addressOf,
  type Artifact,
  type ArtifactKey,
  type CollectionError,
  idOf,
  type MergeConflict,
  type MergeCounts,
  type UpdatedArtifact,
} from '../collection/index.js';
import type { EngineError } from '../engine/index.js';
import { describeMerged, listConflicts, listPlaces } from './list-conflicts.js';
import { counted, printable } from './printable.js';
import type { Style } from './style.js';

/** What became of an artifact that an update was about. */
export type UpdateOutcome =
  | { readonly kind: 'done'; readonly updated: UpdatedArtifact }
  | {
      readonly kind: 'current' | 'unlinked';
      readonly key: ArtifactKey;
      readonly artifact: Artifact;
    }
  | { readonly kind: 'declined'; readonly key: ArtifactKey }
  | {
      readonly kind: 'failed';
      readonly key: ArtifactKey;
      readonly error: CollectionError | EngineError;
    };

export function toJsonOutcome(outcome: UpdateOutcome): object {
  const { name, type } = idOf(keyOfOutcome(outcome));
  const nothing = { from: null, to: null, conflicts: [], merge: null, error: null };
  if (outcome.kind === 'failed') {
    const { code, message, hint, conflicts } = outcome.error;
    return {
      name,
      type,
      outcome: 'failed',
      ...nothing,
      conflicts,
      merge: 'merge' in outcome.error ? (outcome.error.merge ?? null) : null,
      error: { code, message, hint: hint ?? null },
    };
  }
  if (outcome.kind !== 'done') return { name, type, outcome: outcome.kind, ...nothing };
  const { from, to, conflicts, merge = null } = outcome.updated;
  return {
    ...nothing,
    name,
    type,
    outcome: outcome.updated.outcome,
    from: { sha: from.sha ?? null, version: from.version ?? null },
    to: { sha: to.sha ?? null, version: to.version ?? null },
    conflicts,
    merge,
  };
}

/** A line for each artifact that something was done to, or that is in the way; the rest is counted. */
export function describeUpdates(
  outcomes: readonly UpdateOutcome[],
  { isDryRun, style }: { readonly isDryRun: boolean; readonly style: Style },
): string {
  const lines = outcomes.flatMap((outcome) => describeOutcome(outcome, isDryRun, style));
  const current = outcomes.filter(({ kind }) => kind === 'current').length;
  const unlinked = outcomes.filter(({ kind }) => kind === 'unlinked').length;
  if (current > 0) lines.push(`${counted(current, 'artifact')} up to date.`);
  if (unlinked > 0) lines.push(`${counted(unlinked, 'artifact')} without an upstream.`);
  return lines.length === 0 ? 'No artifacts.' : lines.join('\n');
}

function describeOutcome(
  outcome: UpdateOutcome,
  isDryRun: boolean,
  style: Style,
): readonly string[] {
  const label = style.strong(printable(addressOf(keyOfOutcome(outcome))));
  switch (outcome.kind) {
    case 'current':
    case 'unlinked':
      return [];
    case 'declined':
      return [`${label}  left as it is`];
    case 'failed':
      return [
        `${label}  ${style.alarming('failed')}: ${printable(outcome.error.message)} [${outcome.error.code}]`,
        ...listConflicts(outcome.error.conflicts).map((line) => `  ${line}`),
      ];
    case 'done': {
      const { from, to, conflicts, merge, outcome: done } = outcome.updated;
      const words = isDryRun ? `would be ${done}` : done;
      const versions = `${describeVersion(from)} → ${describeVersion(to)}`;
      return [
        `${label}  ${words}  ${style.faint(versions)}`,
        ...describeCounts(merge),
        ...conflicts.flatMap((conflict) =>
          describeConflict(conflict, resolutions[conflict.resolution]),
        ),
      ];
    }
  }
}

/** What somebody who is asked has to know besides the difference. */
export function describePreview(
  { conflicts, merge }: Pick<UpdatedArtifact, 'conflicts' | 'merge'>,
  { hasFiles, aborts }: { readonly hasFiles: boolean; readonly aborts: boolean },
): readonly string[] {
  const words = aborts ? undecided : plannedResolutions;
  return [
    ...(hasFiles ? [] : ['No file would change: upstream has what is here.']),
    ...describeCounts(merge),
    ...conflicts.flatMap((conflict) => describeConflict(conflict, words[conflict.resolution])),
    ...(aborts && conflicts.length > 0
      ? [
          '  With yes the whole update is refused; with --on-conflict ours, theirs or markers it is not.',
        ]
      : []),
  ];
}

type ResolutionWords = Readonly<Record<MergeConflict['resolution'], string>>;

const plannedResolutions: ResolutionWords = {
  ours: 'would stay as it is here',
  theirs: 'would be taken from upstream',
  markers: 'would be marked in the file',
};

const undecided: ResolutionWords = {
  ours: 'not decided',
  theirs: 'not decided',
  markers: 'not decided; both are shown',
};

const resolutions: ResolutionWords = {
  ours: 'kept as it was here',
  theirs: 'taken from upstream',
  markers: 'marked in the file',
};

/** How much was merged and how much was not; nothing where the sides changed other files. */
function describeCounts(merge: MergeCounts | undefined): readonly string[] {
  if (merge === undefined) return [];
  const { conflictingFiles, conflictingHunks, mergedFiles, mergedHunks } = merge;
  const parts = [
    ...(conflictingFiles === 0 ? [] : [amounts('in conflict', conflictingFiles, conflictingHunks)]),
    ...(mergedFiles + mergedHunks === 0 ? [] : [amounts('merged', mergedFiles, mergedHunks)]),
  ];
  return parts.length === 0 ? [] : [`  ${parts.join('; ')}`];
}

function amounts(label: string, files: number, places: number): string {
  const counts = files === 0 ? [] : [counted(files, 'file')];
  return `${label}: ${[...counts, counted(places, 'place')].join(', ')}`;
}

function describeConflict(conflict: MergeConflict, becomes: string): readonly string[] {
  const { path, why } = conflict;
  const at = path === '' ? 'the file' : path;
  return [
    printable(`  ! ${at}: ${why}${describeMerged(conflict)}: ${becomes}`),
    ...listPlaces(conflict).map((place) => `    ${place}`),
  ];
}

function describeVersion({ sha, version }: UpdatedArtifact['from']): string {
  return printable(version ?? sha?.slice(0, 7) ?? 'unknown');
}

function keyOfOutcome(outcome: UpdateOutcome): ArtifactKey {
  return outcome.kind === 'done' ? outcome.updated.key : outcome.key;
}
