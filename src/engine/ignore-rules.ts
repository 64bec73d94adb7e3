import { createRequire } from 'node:module';
import { EngineError } from './errors.js';

/*
 * What a snapshot leaves out, as in `.skillmeatignore` and `--ignore`: one glob a line, the last one
 * that matches counts. `#` begins a comment, `!` takes back, a `/` at the end means directories
 * only. A glob without another `/` matches a name at any depth, one with starts at the root.
 */

/** What a snapshot leaves out; kept with it, so that restoring it leaves the same alone. */
export interface IgnoreRules {
  readonly patterns: readonly string[];
  /** Larger files are left out. */
  readonly fileBytesMax: number | undefined;
}

export const ignoreFileName = '.skillmeatignore';

const patternsMax = 10_000;
const patternLengthMax = 4_096;

/** Tells whether a root-relative path matches. */
export type PathMatcher = (path: string) => boolean;

const require = createRequire(import.meta.url);

interface Micromatch {
  matcher(pattern: string, options: object): PathMatcher;
}

/** Returns the lines of an ignore file that say something. */
export function readPatterns(text: string): readonly string[] {
  return text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
}

/** Returns the patterns of `input` checked. @throws {EngineError} `SNAPSHOT_INVALID`. */
export function parsePatterns(input: readonly string[]): readonly string[] {
  if (input.length > patternsMax) throw badPattern('', `more than ${String(patternsMax)} patterns`);
  for (const pattern of input) {
    if (typeof pattern !== 'string') throw new TypeError('a pattern must be a string');
    const glob = pattern.replace(/^!/, '');
    if (glob === '' || glob === '/' || pattern.length > patternLengthMax || glob.includes('\0')) {
      throw badPattern(pattern, 'expected a glob');
    }
    if (glob.split('/').includes('..')) throw badPattern(pattern, 'a glob never leads upwards');
  }
  return input;
}

/** Compiles one glob: exactly as written, from the root. */
export function compileGlob(glob: string): PathMatcher {
  // Loaded only when there are patterns; it carries no types.
  const micromatch = require('micromatch') as Micromatch;
  return micromatch.matcher(glob, {
    dot: true,
    nonegate: true,
    nocomment: true,
    posixSlashes: false,
  });
}

/** Returns what tells whether a path is ignored. */
export function compileRules(
  patterns: readonly string[],
): ((path: string, isDirectory: boolean) => boolean) | undefined {
  if (patterns.length === 0) return undefined;
  const rules = patterns.map((pattern) => {
    const isNegated = pattern.startsWith('!');
    const glob = isNegated ? pattern.slice(1) : pattern;
    const bare = glob.replace(/\/$/, '');
    const isAnchored = bare.includes('/');
    return {
      isIgnoring: !isNegated,
      isForDirectories: glob.endsWith('/'),
      matches: compileGlob(isAnchored ? bare.replace(/^\//, '') : `**/${bare}`),
    };
  });
  return (path, isDirectory) => {
    let isIgnored = false;
    for (const { isIgnoring, isForDirectories, matches } of rules) {
      if (isIgnoring === isIgnored || (isForDirectories && !isDirectory)) continue;
      if (matches(path)) isIgnored = isIgnoring;
    }
    return isIgnored;
  };
}

function badPattern(pattern: string, what: string): EngineError {
  return new EngineError('SNAPSHOT_INVALID', `${JSON.stringify(pattern)} is no pattern: ${what}`, {
    hint: 'Write globs relative to the root, such as node_modules/ or **/*.log.',
  });
}
