import { EngineError } from './errors.js';
import { compileGlob, type PathMatcher } from './ignore-rules.js';
import { ancestorsOf, isInnerPath, parsePath, quote, type RelativePath } from './path.js';

/** Which paths of a snapshot somebody wants: exact ones with everything below, and globs. */
export interface PathSelection {
  has(path: RelativePath): boolean;
  /** Those that are no globs; each must exist somewhere. */
  readonly exact: readonly RelativePath[];
  /** Each must match something, itself as a name or as a pattern. */
  readonly globs: readonly { readonly pattern: RelativePath; readonly matches: PathMatcher }[];
}

const everything: PathSelection = { has: () => true, exact: [], globs: [] };

const globCharacters = /[*?[\]{}()]/;

/** @throws {EngineError} `PATH_INVALID`, `PATH_ESCAPES_ROOT`, `PATH_IN_ENGINE_DIRECTORY`, … */
export function selectPaths(inputs: readonly string[] | undefined): PathSelection {
  if (inputs === undefined || inputs.length === 0) return everything;
  const exact: RelativePath[] = [];
  const below = new Set<RelativePath>();
  const globs: { readonly pattern: RelativePath; readonly matches: PathMatcher }[] = [];
  for (const input of inputs) {
    const path = parseSelected(input);
    below.add(path);
    if (globCharacters.test(path)) {
      const isMatch = compileGlob(path);
      globs.push({ pattern: path, matches: (other) => other === path || isMatch(other) });
    } else exact.push(path);
  }
  const isNamed = (path: RelativePath): boolean =>
    below.has(path) || globs.some(({ matches }) => matches(path));
  return {
    exact,
    globs,
    has: (path) => {
      if (isNamed(path)) return true;
      for (const ancestor of ancestorsOf(path)) if (isNamed(ancestor)) return true;
      return false;
    },
  };
}

/** What is on disk may have a name that Windows could not have; nothing else is forgiven. */
function parseSelected(input: string): RelativePath {
  try {
    return parsePath(input);
  } catch (error) {
    const bare = typeof input === 'string' ? input.replace(/\/$/, '') : '';
    const isOnlyOdd =
      error instanceof EngineError &&
      (error.code === 'PATH_RESERVED' || (error.code === 'PATH_INVALID' && bare.includes('\\')));
    if (isOnlyOdd && isInnerPath(bare)) return bare;
    throw error;
  }
}

export function notInSnapshot(path: RelativePath): EngineError {
  return new EngineError(
    'PATH_NOT_FOUND',
    `${quote(path)} is neither in the snapshot nor in the directory`,
    { path, hint: 'List what it has with: skillmeat snapshot show SNAPSHOT --files' },
  );
}
