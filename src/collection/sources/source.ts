import type { PathConflict } from '../../engine/index.js';

/** A file or directory on this machine. */
export interface LocalSource {
  readonly kind: 'local';
  /** Absolute. */
  readonly path: string;
}

/** A place in a git repository at a version. To fetch another one: `{ ...source, version }`. */
export interface GitSource {
  readonly kind: 'git';
  /** As git takes it; never with a password. */
  readonly url: string;
  /** From the top of the repository, names joined by `/`; empty for the whole repository. */
  readonly path: string;
  /** `latest` (the head of the default branch), a tag, a branch or a commit. */
  readonly version: string;
}

/** Where an artifact comes from; made by `parseSource`. */
export type Source = LocalSource | GitSource;

/** What a version of a git source stands for now. */
export interface ResolvedVersion {
  /** The commit, in full. */
  readonly sha: string;
  /** The tag, when the version names one. */
  readonly tag: string | undefined;
}

/** What is going on, for a person who waits. */
export interface SourceProgress {
  readonly step: 'resolve' | 'fetch' | 'copy' | 'wait';
  /** One line, in English. */
  readonly message: string;
}

/** Something that was changed or left out for safety while copying, for a person to read. */
export type Neutralised = PathConflict;

const gitHub = /^https:\/\/github\.com\/(?<owner>[^/]+)\/(?<repository>[^/]+)\.git$/;

/** Returns the text that `parseSource` reads as `source`, the shorter form for GitHub. */
export function formatSource(source: Source): string {
  if (source.kind === 'local') return source.path;
  const { url, path, version } = source;
  const at = version === 'latest' ? '' : `@${version}`;
  const names = gitHub.exec(url)?.groups;
  // A name that begins with "@" or contains one would read as a version without a version.
  if (names !== undefined && !(at === '' && path.includes('@'))) {
    return [names['owner'], names['repository'], ...(path === '' ? [] : [path])].join('/') + at;
  }
  return upstreamOf(source) + at;
}

/**
 * Returns the URL that the manifest keeps as `upstream`; `parseSource` reads it back. For GitHub the
 * page of the directory at `sha`, in the form that the predecessor of this program reads.
 */
export function upstreamOf({ url, path }: GitSource, sha?: string): string {
  const names = gitHub.exec(url)?.groups;
  const tail = path.split('/').map(encodeName).join('/');
  if (names === undefined || sha === undefined) return path === '' ? url : `${url}//${tail}`;
  const page = `https://github.com/${names['owner'] ?? ''}/${names['repository'] ?? ''}/tree/${sha}`;
  return path === '' ? page : `${page}/${tail}`;
}

/** Only what would be read as something else: people read these URLs. */
function encodeName(name: string): string {
  return name.replaceAll(/[%@?#\s]/g, encodeURIComponent).replaceAll('@', '%40');
}
