import type { Artifact } from '../artifact.js';
import { isCollectionError } from '../errors.js';
import type { LockEntry } from '../lock-file.js';
import { formatSource } from '../sources/source.js';
import { sourceOf } from './fetcher.js';

/** What upstream had at the version that was asked for, when somebody looked. */
export interface SeenUpstream {
  readonly sha: string | undefined;
  readonly version: string | undefined;
  /** `content_hash` of the artifact there. */
  readonly contentHash: string;
}

/**
 * Returns what an artifact's upstream is known by, whatever commit is installed; `undefined` when it
 * has none.
 */
export function upstreamName(artifact: Artifact): string | undefined {
  try {
    return formatSource(sourceOf(artifact));
  } catch (error) {
    if (!isCollectionError(error, 'ARTIFACT_UNLINKED', 'SOURCE_INVALID')) throw error;
    return undefined;
  }
}

/** Tells whether upstream had something else than what is installed; edits by hand do not matter. */
export function isOutdated(
  { resolvedSha }: Pick<Artifact, 'resolvedSha'>,
  entry: Pick<LockEntry, 'contentHash'> | undefined,
  { sha, contentHash }: SeenUpstream,
): boolean {
  return sha !== resolvedSha && contentHash !== entry?.contentHash;
}
