import { basename, dirname } from 'node:path';
import type { Artifact, ArtifactKey } from '../artifact.js';
import type { CollectionFiles } from '../collection-files.js';
import { contentHash } from '../content-hash.js';
import { artifactNotFound } from '../draft.js';
import { CollectionError, isCollectionError } from '../errors.js';
import { LiveView } from '../live-view.js';
import type { FetchedArtifact } from '../sources/fetched-artifact.js';
import { type Fetcher, sourceOf } from './fetcher.js';
import type { SeenUpstream } from './seen-upstream.js';

/** An artifact as it was last fetched: what an edit by hand started from. */
export type BaseCopy = FetchedArtifact;

/** A newer version of an artifact, fetched and not in the collection yet. */
export interface AvailableUpdate {
  readonly key: ArtifactKey;
  /** As the manifest had it. */
  readonly artifact: Artifact;
  readonly fetched: FetchedArtifact;
  /** `content_hash` of what was fetched. */
  readonly contentHash: string;
}

/** An update with what its merge needs. */
export interface PreparedUpdate extends AvailableUpdate {
  readonly base: BaseCopy | undefined;
}

/** `current`: what is installed is what upstream has. `unlinked`: there is no upstream. */
export type UpdateLook =
  | {
      readonly kind: 'available';
      readonly key: ArtifactKey;
      readonly artifact: Artifact;
      readonly update: AvailableUpdate;
      readonly seen: SeenUpstream;
    }
  | {
      readonly kind: 'current';
      readonly key: ArtifactKey;
      readonly artifact: Artifact;
      readonly seen: SeenUpstream;
    }
  | {
      readonly kind: 'unlinked';
      readonly key: ArtifactKey;
      readonly artifact: Artifact;
      readonly error: CollectionError;
    }
  | { readonly kind: 'failed'; readonly key: ArtifactKey; readonly error: CollectionError };

/** Fetches what upstream has of each artifact; see {@link lookForUpdate}. */
export async function lookForUpdates(
  files: CollectionFiles,
  keys: readonly ArtifactKey[],
  { fetcher, isPatient }: { readonly fetcher: Fetcher; readonly isPatient: boolean },
): Promise<readonly UpdateLook[]> {
  const looks: UpdateLook[] = [];
  for (const key of keys) {
    try {
      looks.push(await lookForUpdate(files, key, fetcher));
    } catch (error) {
      if (!isPatient || !isCollectionError(error)) throw error;
      looks.push({ kind: 'failed', key, error });
    }
  }
  return looks;
}

/** Fetches what upstream has of one artifact, and compares it with the lock. */
async function lookForUpdate(
  { manifest, lock }: CollectionFiles,
  key: ArtifactKey,
  fetcher: Fetcher,
): Promise<Exclude<UpdateLook, { readonly kind: 'failed' }>> {
  const artifact = manifest.get(key);
  if (artifact === undefined) throw artifactNotFound(key);
  let source;
  try {
    source = sourceOf(artifact);
  } catch (error) {
    if (!isCollectionError(error, 'ARTIFACT_UNLINKED')) throw error;
    return { kind: 'unlinked', key, artifact, error };
  }
  const { sha } = await fetcher.resolve(source);
  const entry = lock.get(key);
  if (sha === artifact.resolvedSha && entry !== undefined) {
    const seen = { sha, version: artifact.resolvedVersion, contentHash: entry.contentHash };
    return { kind: 'current', key, artifact, seen };
  }
  const fetched = await fetcher.fetch(source);
  const hash = await hashOf(fetched);
  const seen = { sha, version: fetched.resolvedVersion, contentHash: hash };
  // Another commit with the same content is nothing to do: the lock says what is installed.
  if (hash === entry?.contentHash) return { kind: 'current', key, artifact, seen };
  const update = { key, artifact, fetched, contentHash: hash };
  return { kind: 'available', key, artifact, update, seen };
}

/**
 * Fetches the artifact as it was last fetched; `undefined` when that cannot be had any more, or is not
 * what the lock says. Where manifest and lock disagree about which version that was, the lock is asked first.
 */
export async function fetchBase(
  { manifest, lock }: CollectionFiles,
  key: ArtifactKey,
  fetcher: Fetcher,
): Promise<BaseCopy | undefined> {
  const artifact = manifest.get(key);
  const entry = lock.get(key);
  if (artifact === undefined || entry === undefined) return undefined;
  const tried = new Set<string>();
  for (const { upstream = artifact.upstream, resolvedSha } of [entry, artifact]) {
    const name = JSON.stringify([upstream, resolvedSha]);
    if (resolvedSha === undefined || tried.has(name)) continue;
    tried.add(name);
    const base = await tryFetch({ ...artifact, upstream }, { version: resolvedSha, fetcher });
    if (base === undefined) continue;
    if ((await hashOf(base)) === entry.contentHash) return base;
    await base[Symbol.asyncDispose]();
  }
  return undefined;
}

async function tryFetch(
  artifact: Artifact,
  { version, fetcher }: { readonly version: string; readonly fetcher: Fetcher },
): Promise<BaseCopy | undefined> {
  try {
    return await fetcher.fetch({ ...sourceOf(artifact), version });
  } catch (error) {
    // Rewritten history, a repository that is gone: the merge then says that it has no base.
    if (isCollectionError(error, ...goneFor)) return undefined;
    throw error;
  }
}

const goneFor = [
  'SOURCE_NOT_FOUND',
  'SOURCE_VERSION_NOT_FOUND',
  'ARTIFACT_REFUSED',
  // What somebody wrote by hand.
  'SOURCE_INVALID',
  'ARTIFACT_UNLINKED',
] as const;

/** A copy as a view and a path in it. */
export function viewOf({ path }: Pick<FetchedArtifact, 'path'>): {
  readonly view: LiveView;
  readonly path: string;
} {
  return { view: new LiveView(dirname(path)), path: basename(path) };
}

async function hashOf(fetched: FetchedArtifact): Promise<string> {
  const { view, path } = viewOf(fetched);
  const hash = await contentHash(view, path);
  if (hash === undefined) {
    throw new CollectionError('FETCH_FAILED', 'what was fetched is gone', { path });
  }
  return hash;
}
