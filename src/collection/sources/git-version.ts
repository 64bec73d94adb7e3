import { CollectionError } from '../errors.js';
import { isObjectName } from './git-objects.js';
import type { GitRepository } from './git-repository.js';
import { formatSource, type GitSource, type ResolvedVersion } from './source.js';

/**
 * Asks the remote what a version stands for now. `latest` is the head of the default branch; then
 * come tags, branches, and the beginning of a commit's name (7 characters or more). The full name of
 * a commit is not asked for: it can only stand for itself.
 *
 * @throws {CollectionError} `SOURCE_VERSION_NOT_FOUND`; {@link GitFailure}.
 */
export async function resolveIn(
  repository: GitRepository,
  source: GitSource,
): Promise<ResolvedVersion> {
  const { version } = source;
  const asName = version.toLowerCase();
  if (isObjectName(asName)) return { sha: asName, tag: undefined };

  const wanted = refsOf(version);
  const refs = await repository.listRefs(wanted.flatMap((ref) => [ref, `${ref}^{}`]));
  for (const ref of wanted) {
    // An annotated tag is an object of its own; what it tags is listed after it.
    const sha = refs.get(`${ref}^{}`) ?? refs.get(ref);
    if (sha === undefined) continue;
    const isTag = ref.startsWith('refs/tags/');
    return { sha, tag: isTag ? ref.slice('refs/tags/'.length) : undefined };
  }
  if (/^[0-9a-f]{7,63}$/.test(asName)) {
    const commits = await repository.findCommits(asName);
    const [sha] = commits;
    if (sha !== undefined && commits.length === 1) return { sha, tag: undefined };
    if (commits.length > 1) {
      throw new CollectionError(
        'SOURCE_VERSION_NOT_FOUND',
        `${source.url}: ${version} begins the names of ${String(commits.length)} commits`,
        {
          path: formatSource(source),
          hint: `Write more of it: ${commits.slice(0, 5).join(', ')}.`,
        },
      );
    }
  }
  throw await versionNotFound(repository, source);
}

function refsOf(version: string): readonly string[] {
  if (version === 'latest') return ['HEAD'];
  if (version.startsWith('refs/')) return [version];
  return [`refs/tags/${version}`, `refs/heads/${version}`];
}

async function versionNotFound(
  repository: GitRepository,
  source: GitSource,
): Promise<CollectionError> {
  const refs = await repository.listRefs(['refs/heads/*', 'refs/tags/*']);
  const names = [...refs.keys()].filter((ref) => !ref.endsWith('^{}'));
  const tags = names.filter((ref) => ref.startsWith('refs/tags/'));
  const shown = (tags.length > 0 ? tags : names)
    .map((ref) => ref.replace(/^refs\/(?:tags|heads)\//, ''))
    .toSorted((a, b) => b.localeCompare(a, 'en', { numeric: true }))
    .slice(0, 5);
  return new CollectionError(
    'SOURCE_VERSION_NOT_FOUND',
    source.version === 'latest'
      ? `${source.url} has no commit on its default branch`
      : `${source.url} has no tag, branch or commit ${JSON.stringify(source.version)}`,
    {
      path: formatSource(source),
      hint:
        shown.length === 0
          ? 'The repository is empty; ask its owner.'
          : `It has ${shown.join(', ')}${names.length > shown.length ? ', and others' : ''}.`,
    },
  );
}
