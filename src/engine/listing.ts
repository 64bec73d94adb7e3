import { EngineError } from './errors.js';
import { type ContentHash, parseContentHash } from './hash.js';
import type { Image } from './image.js';
import { isInnerPath, namesEngineDirectory } from './path.js';

/*
 * What a directory holds, as one object: JSON Lines, sorted by name. Its hash names the state of
 * the directory with everything below; docs/format.md has the lines.
 */

/** Why something that was there is not in a snapshot. */
export type LeftOutReason = (typeof leftOutReasons)[number];
export const leftOutReasons = [
  'ignored',
  'too-large',
  'special',
  'other-mount',
  'store',
  'name-not-utf8',
  'too-deep',
] as const;

export type ListingEntry =
  | {
      readonly kind: 'file';
      readonly name: string;
      readonly mode: number;
      readonly size: number;
      readonly sha256: ContentHash;
    }
  | {
      readonly kind: 'directory';
      readonly name: string;
      readonly mode: number;
      /** Names the directory's own listing. */
      readonly sha256: ContentHash;
    }
  | { readonly kind: 'symlink'; readonly name: string; readonly target: string }
  | { readonly kind: 'left-out'; readonly name: string; readonly why: LeftOutReason };

/** Returns what an entry says of its name; `undefined` for what was left out. */
export function imageOfEntry(entry: ListingEntry): Image | undefined {
  switch (entry.kind) {
    case 'file':
      return { kind: 'file', sha256: entry.sha256, size: entry.size, mode: entry.mode };
    case 'directory':
      return { kind: 'directory', mode: entry.mode };
    case 'symlink':
      return { kind: 'symlink', target: entry.target };
    case 'left-out':
      return undefined;
  }
}

/** Tells whether two entries say the same of a name itself, whatever is below it. */
export function isSameEntry(
  one: ListingEntry | undefined,
  other: ListingEntry | undefined,
): boolean {
  switch (one?.kind) {
    case undefined:
      return other === undefined;
    case 'file':
      return other?.kind === 'file' && other.sha256 === one.sha256 && other.mode === one.mode;
    case 'symlink':
      return other?.kind === 'symlink' && other.target === one.target;
    case 'directory':
      return other?.kind === 'directory' && other.mode === one.mode;
    case 'left-out':
      return other?.kind === 'left-out';
  }
}

/** Returns the text of a listing. `entries` are sorted by name. */
export function encodeListing(entries: readonly ListingEntry[]): Buffer {
  const lines = entries.flatMap((entry) =>
    // No name of an engine directory is ever read back.
    namesEngineDirectory(entry.name) ? [] : [`${JSON.stringify(toLine(entry))}\n`],
  );
  return Buffer.from(lines.join(''));
}

function toLine(entry: ListingEntry): readonly (string | number)[] {
  switch (entry.kind) {
    case 'file':
      return [entry.name, 'file', entry.mode, entry.size, entry.sha256];
    case 'directory':
      return [entry.name, 'directory', entry.mode, entry.sha256];
    case 'symlink':
      return [entry.name, 'symlink', entry.target];
    case 'left-out':
      return [entry.name, 'left-out', entry.why];
  }
}

/**
 * Reads a listing back. Its hash says that it is what was stored, not that a friend stored it: no
 * name may lead anywhere but into its own directory (I8).
 *
 * @throws {EngineError} `HISTORY_DAMAGED`.
 */
export function parseListing(text: string, sha256: ContentHash): readonly ListingEntry[] {
  let last: string | undefined;
  return text.split('\n').flatMap((line, i, lines) => {
    if (i === lines.length - 1 && line === '') return [];
    const entry = parseLine(line);
    // guard: listing-line [if false]
    if (entry === undefined || (last !== undefined && entry.name <= last)) {
      throw new EngineError(
        'HISTORY_DAMAGED',
        `line ${String(i + 1)} of the listing ${sha256} is not what a snapshot can have: ${line.slice(0, 200)}`,
        { hint: 'Do not trust this .skillmeat directory; nothing was changed by this line.' },
      );
    }
    last = entry.name;
    return [entry];
  });
}

function parseLine(line: string): ListingEntry | undefined {
  let fields: unknown;
  try {
    fields = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (!Array.isArray(fields)) return undefined;
  const [name, kind, ...rest] = fields as readonly unknown[];
  if (typeof name !== 'string' || !isPlainName(name)) return undefined;
  switch (kind) {
    case 'file': {
      const [mode, size, hash] = rest;
      const sha256 = parseHash(hash);
      if (rest.length !== 3 || !isMode(mode) || !isSize(size)) return undefined;
      if (sha256 === undefined) return undefined;
      return { kind, name, mode, size, sha256 };
    }
    case 'directory': {
      const [mode, hash] = rest;
      const sha256 = parseHash(hash);
      if (rest.length !== 2 || !isMode(mode) || sha256 === undefined) return undefined;
      return { kind, name, mode, sha256 };
    }
    case 'symlink': {
      const [target] = rest;
      if (rest.length !== 1 || typeof target !== 'string') return undefined;
      return target === '' || target.includes('\0') ? undefined : { kind, name, target };
    }
    case 'left-out': {
      const why = leftOutReasons.find((reason) => reason === rest[0]);
      return why === undefined || rest.length !== 1 ? undefined : { kind, name, why };
    }
    default:
      return undefined;
  }
}

function isPlainName(name: string): boolean {
  return !name.includes('/') && name.isWellFormed() && isInnerPath(name);
}

function isMode(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 0o7777;
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function parseHash(value: unknown): ContentHash | undefined {
  return typeof value === 'string' ? parseContentHash(value) : undefined;
}
