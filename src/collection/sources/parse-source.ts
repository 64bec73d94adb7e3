import path from 'node:path';
import { exists } from './disk.js';
import { invalid, looksLikeGitUrl, parseGitUrl, splitVersion } from './git-url.js';
import type { GitSource, LocalSource, Source } from './source.js';

/** What a source is read relative to. */
export interface Surroundings {
  /** Absolute path of the directory that local paths start from. */
  readonly workingDirectory: string;
  /** Absolute path that a leading `~` stands for. */
  readonly userHome: string;
}

const ownerName = /^[a-z0-9](?:[a-z0-9_-]*)$/i;
const repositoryName = /^[\w.-]{1,100}$/;
const forms =
  'Write a path such as ./skills/canvas, owner/repo/path@version for GitHub, or a git URL such as https://host/owner/repo.git//path@version.';

/**
 * Reads where an artifact comes from:
 *
 * - a local file or directory: what starts with `.`, `/` or `~`, or exists;
 * - `owner/repo[/path…][@version]` on GitHub, also as the URL of its page;
 * - any git URL (https, ssh, git, file, `user@host:…`), with `//path` or, after `.git`, `/path`, and
 *   `@version`. `http` only from this machine itself.
 *
 * Without a version it is `latest`, the head of the default branch.
 *
 * @throws {CollectionError} `SOURCE_INVALID`.
 */
export function parseSource(text: string, surroundings: Surroundings): Source {
  if (typeof text !== 'string') throw new TypeError(`a source must be a string`);
  // eslint-disable-next-line no-control-regex
  if (text.trim() === '' || /[\u0000-\u001f\u007f]/.test(text)) {
    throw invalid(text, text.trim() === '' ? 'is empty' : 'contains a control character', forms);
  }
  return parseLocal(text, surroundings) ?? parseGit(text);
}

function parseLocal(text: string, surroundings: Surroundings): LocalSource | undefined {
  const isMarked = /^(?:\.{1,2}(?:[/\\]|$)|~(?:[/\\]|$))/.test(text) || path.isAbsolute(text);
  if (!isMarked && looksLikeGitUrl(text)) return undefined;
  const location = locate(text, surroundings);
  if (exists(location)) return { kind: 'local', path: location };
  if (!isMarked) return undefined;
  const { before, version } = splitVersion(text);
  if (version !== undefined && exists(locate(before, surroundings))) {
    throw invalid(
      text,
      'is a local path with a version',
      `Leave out "@${version}", or write file://${locate(before, surroundings)}@${version} if it is a git repository.`,
    );
  }
  return { kind: 'local', path: location };
}

function locate(text: string, { workingDirectory, userHome }: Surroundings): string {
  const isHome = text === '~' || text.startsWith('~/');
  return isHome ? path.resolve(userHome, text.slice(2)) : path.resolve(workingDirectory, text);
}

function parseGit(text: string): GitSource {
  if (looksLikeGitUrl(text)) {
    const { repository, path: encoded, version } = parseGitUrl(text);
    const page = /^https:\/\/(?:www\.)?github\.com\/(?<rest>.*)$/i.exec(repository)?.groups;
    return page === undefined
      ? makeSource(text, repository, decode(text, encoded), version)
      : parseGitHub(text, decode(text, (page['rest'] ?? '') + encoded), version);
  }
  const { before, version } = splitVersion(text);
  if (before.includes(':') || before.includes('\\')) {
    throw invalid(text, 'is neither a path that exists nor a git URL', forms);
  }
  const [owner = '', repository = '', ...names] = before.split('/');
  return makeGitHub(text, { owner, repository, names, version });
}

/** `owner/repo.git//path`, and the pages `owner/repo/tree/version/path` and `…/blob/…`. */
function parseGitHub(text: string, rest: string, version: string | undefined): GitSource {
  const [owner = '', repository = '', ...names] = rest.split('/');
  const [page, ref] = names;
  const isPage = (page === 'tree' || page === 'blob') && ref !== undefined && ref !== '';
  return isPage && !repository.endsWith('.git')
    ? makeGitHub(text, { owner, repository, names: names.slice(2), version: version ?? ref })
    : makeGitHub(text, { owner, repository, names, version });
}

interface GitHubParts {
  readonly owner: string;
  readonly repository: string;
  readonly names: readonly string[];
  readonly version: string | undefined;
}

function makeGitHub(text: string, { owner, repository, names, version }: GitHubParts): GitSource {
  const bare = repository.replace(/\.git$/, '');
  if (!ownerName.test(owner) || !repositoryName.test(bare) || /^\.{1,2}$/.test(bare)) {
    throw invalid(text, 'is neither a path that exists nor owner/repo', forms);
  }
  return makeSource(text, `https://github.com/${owner}/${bare}.git`, names.join('/'), version);
}

function makeSource(
  text: string,
  url: string,
  inner: string,
  version: string | undefined,
): GitSource {
  const names = inner.replace(/^\/+|\/+$/g, '').split('/');
  if (names.length > 1 || names[0] !== '') {
    const bad = names.find((name) => ['', '.', '..', '.git'].includes(name.toLowerCase()));
    if (bad !== undefined || inner.includes('\\')) {
      throw invalid(
        text,
        `has the name ${JSON.stringify(bad ?? '\\')} in its path`,
        'Paths start at the top of the repository and only go down, such as skills/canvas.',
      );
    }
  }
  refuseVersion(text, version);
  return { kind: 'git', url, path: names.join('/'), version: version ?? 'latest' };
}

/** What git refuses as the name of a ref could also be an option or an expression (`HEAD~5`). */
function refuseVersion(text: string, version: string | undefined): void {
  if (version === undefined) return;
  const isName =
    version !== '' &&
    version.length <= 250 &&
    !/^[-/.]|[/.]$|\.\.|\/\/|\/\.|\.lock$|[\s~^:?*[\\\u007f]|@\{/.test(version);
  if (isName) return;
  throw invalid(
    text,
    `has the version ${JSON.stringify(version)}, which no tag, branch or commit can be named`,
    'Write a tag, a branch or a commit after "@", or leave it out for the latest.',
  );
}

function decode(text: string, encoded: string): string {
  try {
    return decodeURIComponent(encoded);
  } catch {
    throw invalid(text, 'has a "%" that encodes nothing', 'Write %25 for a percent sign.');
  }
}
