import path from 'node:path';
import { CollectionError } from '../errors.js';
import { type FoundEntries, type FoundEntry, selectEntries } from './artifact-entries.js';
import { CopyWriter } from './copy-writer.js';
import { makeUniqueDirectory } from './disk.js';
import { explainFailure } from './fetch-failure.js';
import { describeCopy, type FetchedArtifact, type FetchOptions } from './fetched-artifact.js';
import { cachedObjects, forgetCached, tidyCache } from './git-cache.js';
import { GitFailure } from './git-failure.js';
import { DamagedObject, type TreeEntry } from './git-objects.js';
import { entryOf, GitRepository } from './git-repository.js';
import { resolveIn } from './git-version.js';
import { artifactRefused } from './refusal.js';
import { formatSource, type GitSource, type ResolvedVersion, upstreamOf } from './source.js';

/** Copies what a git source names into `directory`. */
export async function fetchGit(
  source: GitSource,
  directory: string,
  options: FetchOptions,
): Promise<FetchedArtifact> {
  const objects = cachedObjects(options.cache, source.url);
  try {
    const fetched = await fetchThrough(objects, source, directory, options);
    await tidyCache(options.cache, objects, options.now());
    return fetched;
  } catch (error) {
    const mayBeTheCache =
      error instanceof DamagedObject || (error instanceof GitFailure && error.kind === 'other');
    if (!mayBeTheCache) throw explainFailure(error, source);
  }
  try {
    // Nobody else removes or damages these objects.
    const own = makeUniqueDirectory(path.join(directory, 'objects-'));
    const fetched = await fetchThrough(own, source, directory, options);
    // So it was the cache: whatever is wrong with it, it goes.
    await forgetCached(objects);
    return fetched;
  } catch (error) {
    throw explainFailure(error, source);
  }
}

/** As `resolveVersion`, with a directory for what git needs. */
export async function resolveGit(
  source: GitSource,
  directory: string,
  options: FetchOptions,
): Promise<ResolvedVersion> {
  const own = makeUniqueDirectory(path.join(directory, 'objects-'));
  try {
    return await resolveIn(openRepository(own, source, directory, options), source);
  } catch (error) {
    throw explainFailure(error, source);
  }
}

function openRepository(
  objectDirectory: string,
  { url }: GitSource,
  workspace: string,
  { environment, signal, stallMs, patience, onProgress }: FetchOptions,
): GitRepository {
  const settings = { environment, signal, stallMs, patience, onProgress };
  return new GitRepository({ ...settings, url, workspace, objectDirectory });
}

async function fetchThrough(
  objectDirectory: string,
  source: GitSource,
  directory: string,
  options: FetchOptions,
): Promise<FetchedArtifact> {
  const { signal, onProgress } = options;
  const shown = formatSource(source);
  const repository = openRepository(objectDirectory, source, directory, options);
  onProgress?.({ step: 'resolve', message: `asking for ${source.version} of ${source.url}` });
  const { sha, tag } = await resolveIn(repository, source);
  const { commit, found, kind, name } = await withCommit(repository, sha, () =>
    findArtifact(repository, source, sha),
  );
  const selection = selectEntries(found);
  if (selection.problems.length > 0) throw artifactRefused(shown, selection.problems);

  const oids = selection.files.map(({ content }) => content);
  await repository.ensureContents(oids, commit);
  // Not that one itself, which nobody else may read: an artifact has the mode of any new directory.
  const copy = path.join(makeUniqueDirectory(path.join(directory, 'copy-')), 'copy');
  const writer = new CopyWriter({ directory: copy, shown, signal, onProgress }, selection);
  let index = 0;
  for await (const object of repository.read(oids)) {
    const file = selection.files[index];
    index += 1;
    if (file === undefined || object.type !== 'blob') throw new DamagedObject(sha, 'is no tree');
    await writer.write(file, object.pieces());
  }
  return describeCopy({
    directory,
    copy,
    kind,
    name,
    selection,
    foundAt: source.path,
    origin: 'github',
    upstream: upstreamOf(source, commit),
    versionSpec: source.version,
    resolvedSha: commit,
    resolvedVersion: tag,
  });
}

/** What is not here is fetched; what is missing after that too is damage. */
async function withCommit<T>(
  repository: GitRepository,
  sha: string,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof DamagedObject)) throw error;
  }
  await repository.fetchCommit(sha);
  return work();
}

interface FoundArtifact {
  readonly commit: string;
  readonly kind: 'file' | 'directory';
  readonly name: string;
  readonly found: FoundEntries;
}

async function findArtifact(
  repository: GitRepository,
  source: GitSource,
  sha: string,
): Promise<FoundArtifact> {
  const found = await repository.readCommit(sha);
  if (found === undefined) {
    throw new CollectionError('SOURCE_VERSION_NOT_FOUND', `${source.url}: ${sha} is no commit`, {
      path: formatSource(source),
      hint: 'Give the name of a commit, a tag or a branch.',
    });
  }
  const { commit, tree } = found;
  const names = source.path === '' ? [] : source.path.split('/');
  let at: TreeEntry = { name: nameOf(source.url), isText: true, mode: '40000', oid: tree };
  for (const [depth, name] of names.entries()) {
    const children = at.mode === '40000' ? await repository.readTree(at.oid) : [];
    const child = children.find((candidate) => candidate.name === name);
    if (child === undefined) throw pathNotFound(source, commit, names.slice(0, depth), children);
    at = child;
  }
  const { name, oid, mode } = at;
  if (mode === '40000') {
    return {
      commit,
      kind: 'directory',
      name,
      found: await repository.listEntries(oid, commit),
    };
  }
  const entry = entryOf(at, name);
  const why = 'it is a link; name what it leads to instead';
  const isLink = entry === 'link';
  const entries: readonly FoundEntry[] = [isLink ? { kind: 'refused', path: name, why } : entry];
  return { commit, kind: 'file', name, found: { entries, leftOut: [] } };
}

function nameOf(url: string): string {
  return path.posix.basename(url.replace(/^.*:/, '')).replace(/\.git$/, '');
}

function pathNotFound(
  source: GitSource,
  commit: string,
  parents: readonly string[],
  children: readonly TreeEntry[],
): CollectionError {
  const where = parents.length === 0 ? 'its top' : parents.join('/');
  const shown = children.slice(0, 8).map(({ name }) => name);
  const more = children.length > shown.length ? ', and others' : '';
  return new CollectionError(
    'SOURCE_NOT_FOUND',
    `${source.url} has no ${source.path} in ${source.version} (${commit.slice(0, 12)})`,
    {
      path: formatSource(source),
      hint:
        shown.length === 0
          ? `${where} is no directory there; check the path.`
          : `At ${where} there is: ${shown.join(', ')}${more}.`,
    },
  );
}
