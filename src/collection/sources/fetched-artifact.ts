import path from 'node:path';
import type { Selection } from './artifact-entries.js';
import { removeTree } from './disk.js';
import type { Environment } from './git-program.js';
import { type GuessedType, guessType } from './guess-type.js';
import type { Patience } from './retry.js';
import type { Neutralised, SourceProgress } from './source.js';
import type { Workspace } from './workspace.js';

export interface FetchOptions {
  /** Absolute path of the directory that keeps what was fetched; it may be deleted at any time. */
  readonly cache: string;
  readonly workspace: Workspace;
  /** What git inherits: the variables of the calling program. */
  readonly environment: Environment;
  /** Milliseconds since 1970; tells which repositories of the cache were used last. */
  readonly now: () => number;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: SourceProgress) => void) | undefined;
  readonly patience?: Patience | undefined;
  /** How long git may say nothing before that counts as a failure, in milliseconds. */
  readonly stallMs?: number | undefined;
}

/** A clean copy of an artifact, removed when it is disposed of. */
export interface FetchedArtifact extends AsyncDisposable {
  /** Absolute path of the copy. */
  readonly path: string;
  readonly kind: 'file' | 'directory';
  /** The manifest's `origin`: `github` for whatever comes from git, as the predecessor knows no other. */
  readonly origin: 'local' | 'github';
  /** What it is called where it comes from, without `.md`. */
  readonly originName: string;
  /** As its content and its place suggest. */
  readonly guessedType: GuessedType | undefined;
  /** The manifest's `upstream`; `undefined` for a local source. */
  readonly upstream: string | undefined;
  /** The version as asked for; `undefined` for a local source. */
  readonly versionSpec: string | undefined;
  /** The commit, in full; `undefined` for a local source. */
  readonly resolvedSha: string | undefined;
  /** The tag, when the version names one. */
  readonly resolvedVersion: string | undefined;
  /** What was copied otherwise than it was found, for a person to read. */
  readonly neutralised: readonly Neutralised[];
  /** What was not copied, as SkillMeat never does: `.git`, `node_modules`, …. Paths in the artifact. */
  readonly leftOut: readonly string[];
}

/** What a copy that is made leads to. */
export interface FinishedCopy
  extends Pick<
    FetchedArtifact,
    'kind' | 'origin' | 'upstream' | 'versionSpec' | 'resolvedSha' | 'resolvedVersion'
  > {
  /** Removed with the artifact. */
  readonly directory: string;
  /** The copy of a directory; a file lies in it, under its name. */
  readonly copy: string;
  readonly name: string;
  /** Where it was, for a guess at its type. */
  readonly foundAt: string;
  readonly selection: Selection;
}

/** Describes a copy that is made. */
export function describeCopy(finished: FinishedCopy): FetchedArtifact {
  const { directory, copy, name, foundAt, selection, kind, ...facts } = finished;
  const hasSkillFile = selection.files.some((file) => file.path === 'SKILL.md');
  return {
    ...facts,
    kind,
    path: kind === 'file' ? path.join(copy, name) : copy,
    originName: kind === 'file' ? name.replace(/\.md$/i, '') : name,
    guessedType: guessType({ kind, path: foundAt, hasSkillFile }),
    neutralised: selection.neutralised,
    leftOut: selection.leftOut,
    [Symbol.asyncDispose]: () => removeTree(directory),
  };
}
