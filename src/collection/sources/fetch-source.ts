import { removeTree } from './disk.js';
import { fetchGit, resolveGit } from './fetch-git.js';
import { fetchLocal } from './fetch-local.js';
import type { FetchedArtifact, FetchOptions } from './fetched-artifact.js';
import type { GitSource, ResolvedVersion, Source } from './source.js';

/**
 * Makes a clean copy of what `source` names, in the workspace. To fetch exactly what was fetched
 * before: `{ ...source, version: resolvedSha }`.
 *
 * @throws {CollectionError} `SOURCE_NOT_FOUND`, `SOURCE_VERSION_NOT_FOUND`, `SOURCE_DENIED`,
 * `FETCH_FAILED` (after some tries, when the reason may pass), `GIT_MISSING`, `ARTIFACT_REFUSED`.
 * @throws {EngineError} `ABORTED`, `DISK_FULL`, `PERMISSION_DENIED`, ….
 */
export async function fetchSource(source: Source, options: FetchOptions): Promise<FetchedArtifact> {
  const directory = options.workspace.makeDirectory();
  try {
    return source.kind === 'local'
      ? await fetchLocal(source, directory, options)
      : await fetchGit(source, directory, options);
  } catch (error) {
    await removeTree(directory);
    throw error;
  }
}

/**
 * Asks what the version of `source` stands for now. Nothing is fetched, but for a version that is
 * the beginning of a commit's name: to find it, the names of all commits are.
 *
 * @throws {CollectionError} and {@link EngineError}, as {@link fetchSource} does.
 */
export async function resolveVersion(
  source: GitSource,
  options: FetchOptions,
): Promise<ResolvedVersion> {
  const directory = options.workspace.makeDirectory();
  try {
    return await resolveGit(source, directory, options);
  } finally {
    await removeTree(directory);
  }
}
