import { EngineError, fromSystemError, isEngineError, systemCode } from './errors.js';
import type { Directory, Place, Stat } from './file-system.js';
import type { ContentHash } from './hash.js';
import { hashContent } from './hash.js';
import { compileRules, type IgnoreRules } from './ignore-rules.js';
import type { Looking } from './inspect.js';
import { pathBytesMax, pathSegmentsMax, scanTriesMax } from './limits.js';
import { encodeListing, type LeftOutReason, type ListingEntry } from './listing.js';
import { childOf, namesEngineDirectory, quote, type RelativePath } from './path.js';
import { toNanoseconds } from './racy.js';
import {
  isSeenLeftOut,
  isSeenStat,
  firstStats,
  newStats,
  noteLeftOut,
  noteStat,
  stampOf,
  type SeenDirectory,
  type SeenTree,
} from './scan-cache.js';

/*
 * Looks at everything below a root: one `lstat` of each name. What the last scan saw is taken from
 * its listing; only directories that changed since are listed, and only files that did are read. No link is
 * followed, no other mount entered.
 */

/** How much a directory holds, with everything below it. */
interface Counts {
  readonly files: number;
  readonly directories: number;
  readonly links: number;
  /** Of the files. */
  readonly bytes: number;
  readonly leftOut: number;
}

export interface LeftOut {
  readonly path: RelativePath;
  readonly why: LeftOutReason;
}

export interface Scanned {
  /** Of the root's listing: names the state of everything. */
  readonly sha256: ContentHash;
  readonly counts: Counts;
  readonly leftOut: readonly LeftOut[];
  /** Listings that the last scan did not see. */
  readonly listings: ReadonlyMap<ContentHash, Buffer>;
  /** For the next scan. */
  readonly seen: SeenTree;
}

/** A file's content as it was taken in; `stat` is what it was then. */
export interface CapturedFile {
  readonly sha256: ContentHash;
  readonly size: number;
  readonly stat: Stat;
}

export interface Scanning {
  readonly looking: Looking;
  readonly root: Directory;
  readonly rules: IgnoreRules;
  readonly seen: SeenTree;
  /** Milliseconds since 1970, of the clock that the file system's times come from. */
  readonly now: () => number;
  /** Reads a new or changed file; `undefined` when it is none any more. */
  readonly capture: (place: Place, path: RelativePath) => Promise<CapturedFile | undefined>;
  /** Returns the entries of a listing that the last scan saw. @throws `HISTORY_DAMAGED`. */
  readonly readListing: (sha256: ContentHash) => Promise<readonly ListingEntry[]>;
  /** Called now and then with the number of names so far. */
  readonly onProgress: (done: number) => void;
}

/** @throws {EngineError} `SOURCE_CHANGED`, `PERMISSION_DENIED`, `IO_FAILED`, `ABORTED`. */
export async function scan(scanning: Scanning): Promise<Scanned> {
  const scanner = new Scanner(scanning);
  try {
    const { sha256, counts } = await scanner.directory(scanning.root, '');
    const { leftOut, listings, seen } = scanner;
    return { sha256, counts, leftOut, listings, seen };
  } catch (error) {
    throw systemCode(error) === undefined ? error : fromSystemError(error, 'read', scanner.current);
  }
}

/** What is at one name. */
interface Visited {
  /** `undefined`: as the last scan saw it. */
  readonly entry: ListingEntry | undefined;
  readonly stat: Stat | undefined;
  readonly leftOut?: LeftOutReason;
  /** Of what is below a directory. */
  readonly below?: Counts;
}

class Scanner {
  readonly #scanning: Scanning;
  readonly #isIgnored: ((path: string, isDirectory: boolean) => boolean) | undefined;
  /** Of a file system that is not known to, each directory is listed. */
  readonly #datesDirectories: boolean;
  readonly leftOut: LeftOut[] = [];
  readonly listings = new Map<ContentHash, Buffer>();
  readonly seen = new Map<string, SeenDirectory>();
  #done = 0;
  /** For messages. */
  current = '';

  constructor(scanning: Scanning) {
    this.#scanning = scanning;
    this.#isIgnored = compileRules(scanning.rules.patterns);
    const { name, support } = scanning.looking.files.typeOf(scanning.root);
    // A merged directory of overlayfs keeps its times when somebody changes the layer below.
    const isDated = support === 'supported' || support === 'volatile';
    // guard: scan-cache-overlay [name !== 'overlay' becomes true]
    this.#datesDirectories = isDated && name !== 'overlay';
  }

  async directory(directory: Directory, path: RelativePath | ''): Promise<ScannedDirectory> {
    return this.#scan(directory, path, this.#scanning.seen.get(path));
  }

  async #scan(
    directory: Directory,
    path: RelativePath | '',
    known: SeenDirectory | undefined,
  ): Promise<ScannedDirectory> {
    const { pace } = this.#scanning.looking;
    this.current = path === '' ? 'the root' : path;
    // Taken before anything is looked at: a later time would hide a write in the same tick.
    const lookedAtNs = toNanoseconds(this.#scanning.now());
    const stamp = this.#stampOf(directory, lookedAtNs);
    // guard: scan-cache-names [known?.stamp === stamp becomes known !== undefined]
    const isAsListed = stamp !== '' && known?.stamp === stamp;
    const names = isAsListed ? known.names : this.#namesIn(directory, path);
    const present: string[] = [];
    const stats = newStats(names.length);
    /** What is not as the last scan saw it. */
    const changed = new Map<string, ListingEntry>();
    const counts = { files: 0, directories: 0, links: 0, bytes: 0, leftOut: 0 };
    const leftOutBefore = this.leftOut.length;
    let knownIndex = 0;
    let areAllThere = true;
    for (const name of names) {
      if (pace.isDue()) await this.#turn();
      if (known !== undefined) knownIndex = findFrom(known.names, name, knownIndex);
      const isKnown = known?.names[knownIndex] === name;
      const child = childOf(path === '' ? undefined : path, name);
      const visiting = this.#visit(
        { directory, name },
        child,
        isKnown ? known : undefined,
        knownIndex,
      );
      const visited = visiting instanceof Promise ? await visiting : visiting;
      // An encrypted directory has other names without its key, and keeps its times.
      // guard: scan-cache-name-gone [visited === undefined && isAsListed becomes false]
      if (visited === undefined && isAsListed) {
        this.leftOut.length = leftOutBefore;
        return this.#scan(directory, path, undefined);
      }
      if (visited === undefined) {
        areAllThere = false;
        continue;
      }
      const { entry, stat, leftOut, below } = visited;
      if (entry !== undefined) changed.set(name, entry);
      if (leftOut !== undefined) noteLeftOut(stats, present.length, leftOut);
      else if (stat !== undefined) noteStat(stats, present.length, { stat, lookedAtNs });
      count(counts, visited);
      if (below !== undefined) add(counts, below);
      present.push(name);
      this.#done += 1;
    }
    // guard: scan-cache-name-missing [areAllThere ? becomes true ?]
    const nextStamp = areAllThere ? stamp : '';
    if (known !== undefined && changed.size === 0 && present.length === known.names.length) {
      this.seen.set(path, known.stamp === nextStamp ? known : { ...known, stamp: nextStamp });
      return { sha256: known.sha256, counts };
    }
    const entries = await this.#entries(present, changed, known);
    if (entries === undefined) {
      // The listing that the last scan saw is damaged: look again as if there had been none.
      this.leftOut.length = leftOutBefore;
      return this.#scan(directory, path, undefined);
    }
    const listing = encodeListing(entries);
    const sha256 = hashContent(listing);
    if (sha256 !== known?.sha256) this.listings.set(sha256, listing);
    const seen = { stamp: nextStamp, names: present, stats: firstStats(stats, present.length) };
    this.seen.set(path, { sha256, ...seen });
    return { sha256, counts };
  }

  /** Not async: a promise for each name would cost more than the look. */
  #visit(
    place: Place,
    path: RelativePath,
    known: SeenDirectory | undefined,
    index: number,
  ): Visited | undefined | Promise<Visited | undefined> {
    const stat = this.#scanning.looking.files.stat(place);
    const why = this.#leaveOut(stat, place.name, path);
    if (why !== undefined) {
      const isSeen = known !== undefined && isSeenLeftOut(known.stats, index, why);
      const visited = this.#left(place.name, path, why);
      return isSeen ? { ...visited, entry: undefined } : visited;
    }
    if (stat === undefined) return undefined;
    const isSeen = known !== undefined && isSeenStat(known.stats, index, stat);
    if (isSeen && stat.kind !== 'directory') return { entry: undefined, stat };
    return this.#look(place, path, { stat, isSeen });
  }

  #stampOf(directory: Directory, lookedAtNs: bigint): string {
    if (!this.#datesDirectories) return '';
    return stampOf(this.#scanning.looking.files.statDirectory(directory), lookedAtNs);
  }

  #namesIn(directory: Directory, path: RelativePath | ''): readonly string[] {
    const names = this.#scanning.looking.files.list(directory).map(({ name }) => name);
    const ours = path === '' ? names.filter((name) => !namesEngineDirectory(name)) : names;
    // Names that are not UTF-8 may look the same.
    return [...new Set(ours)].toSorted();
  }

  #leaveOut(stat: Stat | undefined, name: string, path: RelativePath): LeftOutReason | undefined {
    // Node turns each byte that is not UTF-8 into U+FFFD, and then finds nothing by that name.
    if (stat === undefined) return name.includes('\ufffd') ? 'name-not-utf8' : undefined;
    if (namesEngineDirectory(name)) return 'store';
    if (this.#isIgnored?.(path, stat.kind === 'directory') === true) return 'ignored';
    if (stat.kind === 'special') return 'special';
    const { fileBytesMax } = this.#scanning.rules;
    if (fileBytesMax !== undefined && stat.kind === 'file' && stat.size > fileBytesMax) {
      return 'too-large';
    }
    return isTooDeep(path) ? 'too-deep' : undefined;
  }

  #left(name: string, path: RelativePath, why: LeftOutReason): Visited {
    this.leftOut.push({ path, why });
    return { entry: { kind: 'left-out', name, why }, stat: undefined, leftOut: why };
  }

  /** Looks at what is new or changed, or a directory; `undefined` when it is gone. */
  async #look(
    place: Place,
    path: RelativePath,
    first: { readonly stat: Stat; readonly isSeen: boolean },
  ): Promise<Visited | undefined> {
    this.current = path;
    let stat: Stat | undefined = first.stat;
    for (let tries = 0; stat !== undefined && tries < scanTriesMax; tries += 1) {
      const visited = await this.#lookOnce(place, path, { stat, isSeen: first.isSeen });
      if (visited !== undefined) return visited;
      stat = this.#scanning.looking.files.stat(place);
    }
    if (stat === undefined) return undefined;
    // guard: scan-keeps-changing
    throw new EngineError(
      'SOURCE_CHANGED',
      `${quote(path)} became something else ${String(scanTriesMax)} times while it was looked at`,
      { path, hint: 'Try again when nothing else writes there.' },
    );
  }

  /** `undefined`: it is no longer what `stat` says. */
  async #lookOnce(
    place: Place,
    path: RelativePath,
    { stat, isSeen }: { readonly stat: Stat; readonly isSeen: boolean },
  ): Promise<Visited | undefined> {
    const { looking, capture } = this.#scanning;
    const { name } = place;
    switch (stat.kind) {
      case 'special':
        return this.#left(name, path, 'special');
      case 'symlink': {
        const target = readLinkIfThere(looking.files, place);
        if (target === undefined) return undefined;
        // A target that Node cannot spell could not be made again.
        if (target.includes('\ufffd')) return this.#left(name, path, 'name-not-utf8');
        return { entry: { kind: 'symlink', name, target }, stat };
      }
      case 'file': {
        const file = await capture(place, path);
        if (file === undefined) return undefined;
        const { sha256, size, stat: captured } = file;
        const entry = { kind: 'file', name, mode: captured.mode, size, sha256 } as const;
        return { entry, stat: captured };
      }
      case 'directory': {
        const opened = looking.files.openDirectory(place);
        if (opened === 'other-mount') return this.#left(name, path, 'other-mount');
        if (typeof opened === 'string') return undefined;
        try {
          const { sha256, counts: below } = await this.directory(opened, path);
          if (isSeen && this.#scanning.seen.get(path)?.sha256 === sha256) {
            return { entry: undefined, stat, below };
          }
          return { entry: { kind: 'directory', name, mode: stat.mode, sha256 }, stat, below };
        } finally {
          looking.files.closeDirectory(opened);
        }
      }
    }
  }

  async #entries(
    names: readonly string[],
    changed: ReadonlyMap<string, ListingEntry>,
    known: SeenDirectory | undefined,
  ): Promise<readonly ListingEntry[] | undefined> {
    const old = new Map<string, ListingEntry>();
    if (known !== undefined && changed.size < names.length) {
      try {
        for (const entry of await this.#scanning.readListing(known.sha256)) {
          old.set(entry.name, entry);
        }
      } catch (error) {
        if (!isEngineError(error, 'HISTORY_DAMAGED')) throw error;
      }
    }
    const entries: ListingEntry[] = [];
    for (const name of names) {
      const entry = changed.get(name) ?? old.get(name);
      if (entry !== undefined) entries.push(entry);
      else if (!namesEngineDirectory(name)) return undefined;
    }
    return entries;
  }

  async #turn(): Promise<void> {
    this.#scanning.onProgress(this.#done);
    await this.#scanning.looking.pace.turn();
  }
}

interface ScannedDirectory {
  readonly sha256: ContentHash;
  readonly counts: Counts;
}

interface Counting {
  files: number;
  directories: number;
  links: number;
  bytes: number;
  leftOut: number;
}

function count(counts: Counting, { stat, leftOut }: Visited): void {
  if (leftOut !== undefined || stat === undefined) counts.leftOut += 1;
  else if (stat.kind === 'symlink') counts.links += 1;
  else if (stat.kind === 'directory') counts.directories += 1;
  else {
    counts.files += 1;
    counts.bytes += stat.size;
  }
}

function add(counts: Counting, more: Counts): void {
  counts.files += more.files;
  counts.directories += more.directories;
  counts.links += more.links;
  counts.bytes += more.bytes;
  counts.leftOut += more.leftOut;
}

/** Where `name` is in `names`, or would be. Both are gone through in order. */
function findFrom(names: readonly string[], name: string, from: number): number {
  let at = from;
  while (at < names.length && (names[at] ?? '') < name) at += 1;
  return at;
}

function isTooDeep(path: RelativePath): boolean {
  // Cheap first: nearly every path is short.
  if (path.length * 3 <= pathSegmentsMax) return false;
  return path.split('/').length > pathSegmentsMax || Buffer.byteLength(path) > pathBytesMax;
}

function readLinkIfThere(files: Looking['files'], place: Place): string | undefined {
  try {
    return files.readLink(place);
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT' || code === 'EINVAL') return undefined;
    throw error;
  }
}
