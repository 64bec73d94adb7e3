import {
  addressOf,
  type Artifact,
  type ArtifactKey,
  type CollectionError,
  idOf,
  type MergeConflict,
  type UpdatedArtifact,
} from '../collection/index.js';
import type { EngineError } from '../engine/index.js';
import { listConflicts } from './list-conflicts.js';
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
  const nothing = { from: null, to: null, conflicts: [], error: null };
  if (outcome.kind === 'failed') {
    const { code, message, hint, conflicts } = outcome.error;
    return {
      name,
      type,
      outcome: 'failed',
      ...nothing,
      conflicts,
      error: { code, message, hint: hint ?? null },
    };
  }
  if (outcome.kind !== 'done') return { name, type, outcome: outcome.kind, ...nothing };
  const { from, to, conflicts } = outcome.updated;
  return {
    ...nothing,
    name,
    type,
    outcome: outcome.updated.outcome,
    from: { sha: from.sha ?? null, version: from.version ?? null },
    to: { sha: to.sha ?? null, version: to.version ?? null },
    conflicts,
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
        ...listConflicts(outcome.error.conflicts).map((line) => `  ! ${line}`),
      ];
    case 'done': {
      const { from, to, conflicts, outcome: done } = outcome.updated;
      const words = isDryRun ? `would be ${done}` : done;
      const versions = `${describeVersion(from)} → ${describeVersion(to)}`;
      return [`${label}  ${words}  ${style.faint(versions)}`, ...conflicts.map(describeConflict)];
    }
  }
}

const resolutions: Readonly<Record<MergeConflict['resolution'], string>> = {
  ours: 'kept as it was here',
  theirs: 'taken from upstream',
  markers: 'marked in the file',
};

function describeConflict({ path, why, hunks, resolution }: MergeConflict): string {
  const places = hunks === 0 ? '' : `, ${counted(hunks, 'place')}`;
  return printable(
    `  ! ${path === '' ? 'the file' : path}: ${why}${places}: ${resolutions[resolution]}`,
  );
}

function describeVersion({ sha, version }: UpdatedArtifact['from']): string {
  return printable(version ?? sha?.slice(0, 7) ?? 'unknown');
}

function keyOfOutcome(outcome: UpdateOutcome): ArtifactKey {
  return outcome.kind === 'done' ? outcome.updated.key : outcome.key;
}
