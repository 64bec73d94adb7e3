import { CollectionError } from '../errors.js';

/** A git URL taken apart: `repository` for git, `tail` for what follows it. */
export interface GitUrl {
  readonly repository: string;
  /** Still encoded; may begin with the version. */
  readonly path: string;
  readonly version: string | undefined;
}

const schemes: readonly string[] = ['https', 'ssh', 'git', 'file'];
const loopbackHost = /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;
const passwordName = /^(?:gh[a-z]_|github_pat_|glpat-)/;
const scpForm = /^(?<user>[\w.+-]+)@(?<host>[\w.-]+|\[[0-9a-f:]+\]):(?<rest>.*)$/i;

/** Tells whether `text` can only be meant as a git URL. */
export function looksLikeGitUrl(text: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(text) || scpForm.test(text);
}

/** Returns the protocols that git may use for `url`, as `GIT_ALLOW_PROTOCOL` takes them. */
export function protocolsFor(url: string): string {
  // What this machine serves to itself nobody can change on the way.
  return isLoopback(url) ? [...schemes, 'http'].join(':') : schemes.join(':');
}

/**
 * Takes a git URL with its tail apart: `…/repo.git/path@version`, `…/repo//path@version`.
 *
 * @throws {CollectionError} `SOURCE_INVALID`.
 */
export function parseGitUrl(text: string): GitUrl {
  const scp = scpForm.exec(text)?.groups;
  if (scp !== undefined && !text.includes('://')) {
    const { user = '', host = '', rest = '' } = scp;
    refuseOption(text, user, host);
    return splitTail(text, `${user}@${host}:`, rest);
  }
  const [, scheme = '', authority = '', rest = ''] =
    /^([a-z][a-z0-9+.-]*):\/\/([^/]*)(.*)$/i.exec(text) ?? [];
  refuseScheme(text, scheme.toLowerCase());
  refuseSecret(text, authority);
  const host = authority.slice(authority.lastIndexOf('@') + 1);
  refuseOption(text, authority, host);
  if (host === '' && scheme.toLowerCase() !== 'file') {
    throw invalid(text, 'names no host', 'Write https://host/owner/repo.git.');
  }
  if (rest.includes('?') || rest.includes('#')) {
    throw invalid(text, 'has a query or a fragment', 'Leave out what follows "?" or "#".');
  }
  return splitTail(text, `${scheme.toLowerCase()}://${authority}`, rest);
}

function splitTail(text: string, front: string, rest: string): GitUrl {
  const { before, version } = splitVersion(rest);
  const afterSlashes = before.indexOf('//', 1);
  const afterSuffix = /\.git(?=\/)/.exec(before);
  const end =
    afterSlashes > 0
      ? afterSlashes
      : afterSuffix === null
        ? before.length
        : afterSuffix.index + '.git'.length;
  const repository = before.slice(0, end).replace(/\/+$/, '');
  if (repository === '' || repository.startsWith('-')) {
    throw invalid(text, 'names no repository', 'Write https://host/owner/repo.git//path@version.');
  }
  return { repository: front + repository, path: before.slice(end), version };
}

/** The version follows the last "@", unless that begins a name, as in `@scope/skill`. */
export function splitVersion(text: string): { before: string; version: string | undefined } {
  const at = text.lastIndexOf('@');
  if (at <= 0 || text[at - 1] === '/') return { before: text, version: undefined };
  return { before: text.slice(0, at), version: text.slice(at + 1) };
}

function isLoopback(url: string): boolean {
  const [, host = ''] = /^http:\/\/(?:[^/@]*@)?(\[[^\]]*\]|[^/:]*)/i.exec(url) ?? [];
  return loopbackHost.test(host);
}

function refuseScheme(text: string, scheme: string): void {
  if (schemes.includes(scheme) || (scheme === 'http' && isLoopback(text))) return;
  if (scheme === 'http') {
    throw invalid(
      text,
      'is not encrypted: anybody on the way could change it',
      'Write https:// instead.',
    );
  }
  throw invalid(text, `has the scheme "${scheme}"`, `Use one of ${schemes.join(', ')}.`);
}

/** The URL is written into the manifest, which people publish. */
function refuseSecret(text: string, authority: string): void {
  const user = authority.slice(0, Math.max(authority.lastIndexOf('@'), 0));
  if (!user.includes(':') && !passwordName.test(user)) return;
  const shown = text.replace(`${user}@`, '***@');
  throw invalid(
    shown,
    'contains a password',
    'Leave it out, and give it to git instead: git help credentials.',
  );
}

/** git and ssh would take such a name for an option. */
function refuseOption(text: string, ...names: readonly string[]): void {
  if (!names.some((name) => name.startsWith('-'))) return;
  throw invalid(text, 'has a name that begins with "-"', 'Give the URL as its host shows it.');
}

/** An error about a source that makes no sense: what is wrong with it, and what to write instead. */
export function invalid(text: string, what: string, hint: string): CollectionError {
  const shown = JSON.stringify(text.length > 300 ? `${text.slice(0, 300)}…` : text);
  return new CollectionError('SOURCE_INVALID', `the source ${shown} ${what}`, { path: text, hint });
}
