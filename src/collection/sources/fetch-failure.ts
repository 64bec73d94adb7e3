import { CollectionError } from '../errors.js';
import { GitFailure, type GitFailureKind } from './git-failure.js';
import { DamagedObject } from './git-objects.js';
import { formatSource, type GitSource } from './source.js';

/** Says what a failure of git means to the person who named `source`; other errors stay as they are. */
export function explainFailure(error: unknown, source: GitSource): unknown {
  const shown = formatSource(source);
  if (error instanceof DamagedObject) {
    return new CollectionError(
      'FETCH_FAILED',
      `cannot fetch ${shown}: what came is not what was asked for (${error.message})`,
      { path: shown, cause: error, hint: 'Try again; if it stays so, the repository is damaged.' },
    );
  }
  if (!(error instanceof GitFailure)) return error;
  const { code, what, hint } = explanations[error.kind];
  return new CollectionError(code, `${what} ${shown}: ${error.message}`, {
    path: shown,
    cause: error,
    hint,
  });
}

interface Explanation {
  readonly code: CollectionError['code'];
  readonly what: string;
  readonly hint: string;
}

const versionMissing: Explanation = {
  code: 'SOURCE_VERSION_NOT_FOUND',
  what: 'there is no such commit in',
  hint: 'Check the commit, or leave the version out for the latest.',
};

const explanations: Readonly<Record<GitFailureKind, Explanation>> = {
  transient: {
    code: 'FETCH_FAILED',
    what: 'cannot reach',
    hint: 'Nothing was changed. Check the network and try again.',
  },
  'not-found': {
    code: 'SOURCE_NOT_FOUND',
    what: 'there is no repository at',
    hint: 'Check the spelling, and whether you may see it.',
  },
  denied: {
    code: 'SOURCE_DENIED',
    what: 'not allowed to read',
    hint: 'It does not exist, or git has no credentials for it: try git ls-remote with its URL.',
  },
  'version-not-found': versionMissing,
  unadvertised: versionMissing,
  'too-large': {
    code: 'ARTIFACT_REFUSED',
    what: 'too much to fetch from',
    hint: 'Nothing was changed. Fetch it by hand and add the part that is needed from there.',
  },
  other: {
    code: 'FETCH_FAILED',
    what: 'cannot fetch',
    hint: 'Nothing was changed. What git says above tells what to do.',
  },
};
