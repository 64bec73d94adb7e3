import type { Label, LabelSubject } from '../engine/index.js';
import { addressOf, type Artifact, type ArtifactKey } from './artifact.js';
import type { Draft } from './draft.js';

/** What history calls a change of a collection, and the artifacts that it was about. */
export function labelOf(verb: string, draft: Draft, keys: readonly ArtifactKey[]): Label {
  return { verb, subjects: keys.map((key) => subjectOf(key, draft)) };
}

function subjectOf(key: ArtifactKey, draft: Draft): LabelSubject {
  const oldKey = draft.nameBefore(key);
  const from = versionOf(draft.before.manifest.get(oldKey));
  const to = versionOf(draft.manifest.get(key));
  return {
    name: addressOf(key),
    ...(oldKey !== key && { was: addressOf(oldKey) }),
    ...(from !== undefined && { from }),
    ...(to !== undefined && { to }),
  };
}

function versionOf(artifact: Artifact | undefined): string | undefined {
  return artifact?.resolvedVersion ?? artifact?.resolvedSha?.slice(0, 7);
}
