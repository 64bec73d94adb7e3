import { EngineError } from './errors.js';
import { pathBytesMax, pathSegmentsMax, segmentBytesMax } from './limits.js';

declare const relativePathBrand: unique symbol;

/**
 * A checked path below the root: segments joined by `/`, none of them empty, `.` or `..`, none
 * that Windows could not have, and not in the engine's own directory. Made by {@link parsePath}.
 */
export type RelativePath = string & { readonly [relativePathBrand]: true };

/** Name of the engine's own directory, directly below the root; also in `engineDirectory` below. */
export const engineDirectoryName = '.skillmeat';

const windowsDevice =
  /^(?:con|prn|aux|nul|conin\$|conout\$|com[0-9\u00b9\u00b2\u00b3]|lpt[0-9\u00b9\u00b2\u00b3])(?:[.:]|$)/i;
// eslint-disable-next-line no-control-regex
const windowsForbidden = /[<>:"|?*\u0001-\u001f]/;
// Code points that HFS+ ignores in names: `.skill<ZWNJ>meat` would be the engine's directory there.
const ignorableOnMac = /[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]/g;

/**
 * Returns the key under which a folding file system (APFS, NTFS, …) would find `segment`.
 *
 * NFKD, then upper of lower case, as node-tar does it since CVE-2026-23950 (`ß` meets `ss`).
 */
export function foldSegment(segment: string): string {
  return segment
    .replaceAll(ignorableOnMac, '')
    .normalize('NFKD')
    .toLowerCase()
    .toUpperCase()
    .normalize('NFKD');
}

// SKILLM~1 is the 8.3 alias that Windows would give the directory; it drops dots and spaces at the end.
const engineDirectory = /^(?:\.skillmeat|skillm~\d+)[. ]*$/i;
// eslint-disable-next-line no-control-regex
const ascii = /^[\0-\u007f]*$/;

/** Tells whether a file system could take `segment` for the engine's own directory. */
export function namesEngineDirectory(segment: string): boolean {
  // Folding a name takes as long as looking at it, and would not change what is compared of this one.
  return engineDirectory.test(ascii.test(segment) ? segment : foldSegment(segment));
}

/**
 * Checks a caller's path once; whoever holds a `RelativePath` need not check it again.
 *
 * One trailing `/` is allowed and dropped. Links are not looked at: that is the file system's part.
 *
 * @throws {EngineError} `PATH_INVALID`, `PATH_ESCAPES_ROOT`, `PATH_RESERVED`, `PATH_TOO_LONG`,
 * `PATH_IN_ENGINE_DIRECTORY`.
 */
export function parsePath(input: string): RelativePath {
  if (typeof input !== 'string') {
    throw new TypeError(`a path must be a string, not ${typeof input}`);
  }
  const path = input.length > 1 && input.endsWith('/') ? input.slice(0, -1) : input;
  refuseMalformed(path);
  const segments = path.split('/');
  for (const segment of segments) refuseSegment(segment, path);
  refuseTooLong(path, segments);
  if (segments.some(namesEngineDirectory)) {
    throw new EngineError(
      'PATH_IN_ENGINE_DIRECTORY',
      `${quote(path)} is in an engine's own directory ${engineDirectoryName}`,
      { path, hint: 'Only the engine changes its own directory; choose another path.' },
    );
  }
  return path as RelativePath;
}

function refuseMalformed(path: string): void {
  const hint = 'Give a path relative to the root, with / between names, such as skills/a/SKILL.md.';
  if (path === '') throw new EngineError('PATH_INVALID', 'a path is empty', { path, hint });
  if (path.includes('\0')) {
    throw new EngineError('PATH_INVALID', `${quote(path)} contains a NUL character`, {
      path,
      hint,
    });
  }
  if (path.includes('\\')) {
    throw new EngineError('PATH_INVALID', `${quote(path)} contains a backslash`, { path, hint });
  }
  if (path.startsWith('/') || /^[a-z]:/i.test(path)) {
    throw new EngineError('PATH_ESCAPES_ROOT', `${quote(path)} is absolute`, { path, hint });
  }
  if (!path.isWellFormed()) {
    throw new EngineError('PATH_INVALID', `${quote(path)} is not valid Unicode`, { path, hint });
  }
}

function refuseSegment(segment: string, path: string): void {
  if (segment === '..') {
    throw new EngineError('PATH_ESCAPES_ROOT', `${quote(path)} contains ".."`, {
      path,
      hint: 'Paths start at the root and only go down.',
    });
  }
  if (segment === '' || segment === '.') {
    throw new EngineError('PATH_INVALID', `${quote(path)} has an empty or "." segment`, {
      path,
      hint: 'Write each name once, with one / between them.',
    });
  }
  const reserved =
    windowsDevice.test(segment) || windowsForbidden.test(segment) || /[. ]$/.test(segment);
  if (reserved) {
    throw new EngineError(
      'PATH_RESERVED',
      `${quote(path)}: Windows cannot have a file named ${quote(segment)}`,
      { path, hint: 'Choose a name that works on every system.' },
    );
  }
}

function refuseTooLong(path: string, segments: readonly string[]): void {
  const hint = 'Use shorter names or fewer levels.';
  const longest = segments.find((segment) => Buffer.byteLength(segment) > segmentBytesMax);
  if (longest !== undefined) {
    throw new EngineError(
      'PATH_TOO_LONG',
      `${quote(path.slice(0, 80))}…: a name has ${String(Buffer.byteLength(longest))} bytes, at most ${String(segmentBytesMax)} are allowed`,
      { path, hint },
    );
  }
  const bytes = Buffer.byteLength(path);
  if (bytes > pathBytesMax || segments.length > pathSegmentsMax) {
    throw new EngineError(
      'PATH_TOO_LONG',
      `${quote(path.slice(0, 80))}… has ${String(bytes)} bytes in ${String(segments.length)} levels, at most ${String(pathBytesMax)} and ${String(pathSegmentsMax)} are allowed`,
      { path, hint },
    );
  }
}

/**
 * Tells whether a path that was stored earlier stays inside the root. Weaker than
 * {@link parsePath}: what lay in a directory that was removed may have any name.
 */
export function isInnerPath(path: string): path is RelativePath {
  const segments = path.split('/');
  const isPlain = segments.every(
    (segment) => segment !== '' && segment !== '.' && segment !== '..' && !segment.includes('\0'),
  );
  return isPlain && !segments.some(namesEngineDirectory);
}

/** Returns the path of the directory that holds `path`, or `undefined` for the root. */
export function parentOf(path: RelativePath): RelativePath | undefined {
  const slash = path.lastIndexOf('/');
  return slash < 0 ? undefined : (path.slice(0, slash) as RelativePath);
}

/** Returns the last segment of `path`. */
export function nameOf(path: RelativePath): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/**
 * Returns `directory` + `/` + `name` for a name that the file system itself gave, or that
 * completes a checked path; no rule about names applies to what is on disk already.
 */
export function childOf(directory: RelativePath | undefined, name: string): RelativePath {
  return (directory === undefined ? name : `${directory}/${name}`) as RelativePath;
}

/** Returns `path` seen from `ancestor`: `a/b/c` from `a` is `b/c`. */
export function pathBelow(path: RelativePath, ancestor: RelativePath): RelativePath {
  return path.slice(ancestor.length + 1) as RelativePath;
}

/** Tells whether `path` lies below `ancestor` (a path does not lie below itself). */
export function isBelow(path: RelativePath, ancestor: RelativePath): boolean {
  return (
    path.length > ancestor.length && path[ancestor.length] === '/' && path.startsWith(ancestor)
  );
}

/** Yields the ancestors of `path`, the top one first. */
export function* ancestorsOf(path: RelativePath): Generator<RelativePath, void> {
  for (let slash = path.indexOf('/'); slash >= 0; slash = path.indexOf('/', slash + 1)) {
    yield path.slice(0, slash) as RelativePath;
  }
}

/**
 * Orders paths so that a directory comes right before everything below it: by segments, each by
 * UTF-16 code units.
 */
export function comparePaths(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i += 1) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    // '/' sorts before every other character, so that a/b comes before a-b.
    if (x === 0x2f) return -1;
    if (y === 0x2f) return 1;
    return x - y;
  }
  return a.length - b.length;
}

/** Returns `text` in quotes with control characters escaped, fit for a terminal. */
export function quote(text: string): string {
  return JSON.stringify(text);
}
