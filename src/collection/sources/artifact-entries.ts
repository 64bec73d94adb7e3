import path from 'node:path';
import { foldSegment, isEngineError, parsePath, type PathConflict } from '../../engine/index.js';
import { artifactBytesMax, artifactDepthMax, artifactEntriesMax, linkHopsMax } from './limits.js';
import type { Neutralised } from './source.js';

/*
 * What of an artifact is copied, decided over plain data: the same for a local directory and for a
 * git tree, and before the first byte is written.
 */

/** One name in an artifact, as found. Paths are relative to the artifact, names joined by `/`. */
export type FoundEntry =
  | { readonly kind: 'directory'; readonly path: string }
  | {
      readonly kind: 'file';
      readonly path: string;
      readonly isExecutable: boolean;
      /** Set-user-id, set-group-id or sticky. */
      readonly hasSpecialBits: boolean;
      /** `undefined` when only reading it tells. */
      readonly bytes: number | undefined;
      /** What the reader of the artifact finds its content by. */
      readonly content: string;
    }
  | { readonly kind: 'link'; readonly path: string; readonly target: string }
  /** What cannot be copied, with the reason. */
  | { readonly kind: 'refused'; readonly path: string; readonly why: string };

type FileEntry = Extract<FoundEntry, { kind: 'file' }>;

/** What is in an artifact. */
export interface FoundEntries {
  readonly entries: readonly FoundEntry[];
  /** What {@link isLeftOut}, and was not looked into. */
  readonly leftOut: readonly string[];
}

/** A file of the copy. */
export interface CopiedFile {
  readonly path: string;
  readonly isExecutable: boolean;
  readonly content: string;
}

export interface Selection {
  readonly files: readonly CopiedFile[];
  /** Parents before children. */
  readonly directories: readonly string[];
  readonly neutralised: readonly Neutralised[];
  readonly leftOut: readonly string[];
  /** Everything that speaks against copying it; empty when it is fine. */
  readonly problems: readonly PathConflict[];
}

const leftOut = new Set([
  '.github',
  '.gitignore',
  '__pycache__',
  'node_modules',
  '.venv',
  'venv',
  '.DS_Store',
  'Thumbs.db',
]);
const leftOutEndings = ['.pyc', '.pyo', '.egg-info'];

/**
 * Tells whether a name is never copied, with everything below it. `.git` in every spelling that some
 * file system takes for it: a copied repository would bring its hooks along.
 */
export function isLeftOut(name: string): boolean {
  const plain = foldSegment(name).replace(/[. ]+$/, '');
  if (plain === '.GIT' || /^GIT~\d+$/.test(plain)) return true;
  return leftOut.has(name) || leftOutEndings.some((ending) => name.endsWith(ending));
}

/** Decides what of an artifact is copied. */
export function selectEntries({ entries, leftOut: skipped }: FoundEntries): Selection {
  const problems: PathConflict[] = [];
  const neutralised: Neutralised[] = [];
  const files: CopiedFile[] = [];
  const directories: string[] = [];
  const byPath = new Map(entries.map((entry) => [entry.path, entry]));
  if (entries.length > artifactEntriesMax) {
    problems.push({ path: '.', why: `it has more than ${String(artifactEntriesMax)} entries` });
  }
  for (const entry of entries) {
    const bad = nameProblem(entry.path);
    if (bad !== undefined) problems.push({ path: entry.path, why: bad });
    switch (entry.kind) {
      case 'directory':
        directories.push(entry.path);
        break;
      case 'file':
        if (entry.hasSpecialBits) {
          neutralised.push({ path: entry.path, why: 'copied without its set-id or sticky bit' });
        }
        files.push(copyOf(entry, entry.path));
        break;
      case 'link': {
        const target = followLink(entry.path, entry.target, byPath);
        if (typeof target === 'string') problems.push({ path: entry.path, why: target });
        else {
          files.push(copyOf(target, entry.path));
          neutralised.push({
            path: entry.path,
            why: `a link to ${target.path}, copied as a file of its own`,
          });
        }
        break;
      }
      case 'refused':
        problems.push({ path: entry.path, why: entry.why });
        break;
    }
  }
  problems.push(...collisions(entries), ...sizeProblems(entries));
  return { files, directories, neutralised, leftOut: skipped, problems };
}

function copyOf({ isExecutable, content }: FileEntry, at: string): CopiedFile {
  return { path: at, isExecutable, content };
}

function nameProblem(location: string): string | undefined {
  if (location.split('/').length > artifactDepthMax) {
    return `it is deeper than ${String(artifactDepthMax)} levels`;
  }
  try {
    parsePath(location);
    return undefined;
  } catch (error) {
    if (!isEngineError(error)) throw error;
    return error.message;
  }
}

/** Returns the file that a link leads to, or why it is not followed. */
function followLink(
  from: string,
  target: string,
  byPath: ReadonlyMap<string, FoundEntry>,
): FileEntry | string {
  let at = from;
  let next = target;
  for (let hops = 0; hops < linkHopsMax; hops += 1) {
    if (next.startsWith('/') || /^[a-z]:|\\/i.test(next)) {
      return `it links to ${JSON.stringify(next)}, outside of the artifact`;
    }
    at = path.posix.join(path.posix.dirname(at), next);
    if (at === '..' || at.startsWith('../')) {
      return `it links to ${JSON.stringify(target)}, outside of the artifact`;
    }
    const entry = byPath.get(at.replace(/\/$/, ''));
    if (entry === undefined) return `it links to ${JSON.stringify(target)}, which is not copied`;
    if (entry.kind === 'file') return entry;
    if (entry.kind === 'directory') return `it links to the directory ${JSON.stringify(target)}`;
    if (entry.kind === 'refused') return `it links to ${entry.path}, which is refused`;
    next = entry.target;
  }
  return 'it links to itself, or through too many links';
}

/** Names that some file system takes for one: both would be written there, one after the other. */
function collisions(entries: readonly FoundEntry[]): readonly PathConflict[] {
  const seen = new Map<string, string>();
  const found: PathConflict[] = [];
  for (const { path: at } of entries) {
    const key = at.split('/').map(foldSegment).join('/');
    const other = seen.get(key);
    if (other === undefined) seen.set(key, at);
    // Below a pair of directories every child is in the way too; the pair says it all.
    else if (!isBelowCollision(at, other)) {
      found.push({ path: at, why: `${JSON.stringify(other)} has the same name on other systems` });
    }
  }
  return found;
}

function isBelowCollision(one: string, other: string): boolean {
  return (
    path.posix.dirname(one) !== path.posix.dirname(other) &&
    path.posix.basename(one) === path.posix.basename(other)
  );
}

function sizeProblems(entries: readonly FoundEntry[]): readonly PathConflict[] {
  let bytes = 0;
  for (const entry of entries) if (entry.kind === 'file') bytes += entry.bytes ?? 0;
  return bytes > artifactBytesMax ? [tooManyBytes] : [];
}

/** What is wrong with an artifact whose files are too large together. */
export const tooManyBytes: PathConflict = {
  path: '.',
  why: `it has more than ${String(artifactBytesMax)} bytes`,
};
