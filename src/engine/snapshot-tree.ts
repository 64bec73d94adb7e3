import { EngineError } from './errors.js';
import type { ContentHash } from './hash.js';
import { listingBytesMax, pathBytesMax, pathSegmentsMax } from './limits.js';
import { absent, type Image } from './image.js';
import { imageOfEntry, type ListingEntry, parseListing } from './listing.js';
import type { ObjectStore } from './object-store.js';
import { childOf, quote, type RelativePath } from './path.js';

/** Returns the entries of a directory's listing. @throws {EngineError} `HISTORY_DAMAGED`. */
export type ReadListing = (sha256: ContentHash) => Promise<readonly ListingEntry[]>;

/** @param fresh listings that are not in the store. */
export function listingReader(
  objects: ObjectStore,
  fresh: ReadonlyMap<ContentHash, Uint8Array> = new Map(),
): ReadListing {
  return async (sha256) => {
    const bytes = fresh.get(sha256) ?? (await objects.read(sha256, listingBytesMax));
    return parseListing(new TextDecoder().decode(bytes), sha256);
  };
}

/** One path of a snapshot. */
export interface SnapshotEntry {
  readonly path: RelativePath;
  readonly entry: ListingEntry;
}

/** Yields everything below a listing, each directory before its content. */
export async function* walkListing(
  read: ReadListing,
  sha256: ContentHash,
  parent?: RelativePath,
): AsyncGenerator<SnapshotEntry, void> {
  for (const entry of await read(sha256)) {
    const path = childPath(parent, entry.name);
    yield { path, entry };
    if (entry.kind === 'directory') yield* walkListing(read, entry.sha256, path);
  }
}

/** Returns what a listing has at `path`, `undefined` when it has nothing. */
export async function findEntry(
  read: ReadListing,
  root: ContentHash,
  path: RelativePath,
): Promise<ListingEntry | undefined> {
  let found: ListingEntry | undefined;
  let sha256 = root;
  for (const name of path.split('/')) {
    if (found !== undefined && found.kind !== 'directory') return undefined;
    found = (await read(sha256)).find((entry) => entry.name === name);
    if (found === undefined) return undefined;
    if (found.kind === 'directory') sha256 = found.sha256;
  }
  return found;
}

/** Looks paths up in trees of listings. Each listing is read once. */
export class TreeLookup {
  readonly #read: ReadListing;
  readonly #known = new Map<ContentHash, ReadonlyMap<string, ListingEntry>>();

  constructor(read: ReadListing) {
    this.#read = read;
  }

  /** Returns the entries of a directory's listing by name. @throws {EngineError} `HISTORY_DAMAGED`. */
  async entries(sha256: ContentHash): Promise<ReadonlyMap<string, ListingEntry>> {
    const known = this.#known.get(sha256);
    if (known !== undefined) return known;
    const entries = new Map((await this.#read(sha256)).map((entry) => [entry.name, entry]));
    this.#known.set(sha256, entries);
    return entries;
  }

  /** Returns what a tree has at `path`; `undefined` when that, or something above it, was left out. */
  async imageAt(root: ContentHash, path: RelativePath): Promise<Image | undefined> {
    let found: ListingEntry | undefined;
    let sha256 = root;
    for (const name of path.split('/')) {
      if (found?.kind === 'left-out') return undefined;
      if (found !== undefined && found.kind !== 'directory') return absent;
      found = (await this.entries(sha256)).get(name);
      if (found === undefined) return absent;
      if (found.kind === 'directory') sha256 = found.sha256;
    }
    return found === undefined ? absent : imageOfEntry(found);
  }
}

/** As {@link childOf}, for a name that came from a listing: bounded, whatever it says (I8). */
export function childPath(parent: RelativePath | undefined, name: string): RelativePath {
  const path = childOf(parent, name);
  const isShort = path.length <= pathSegmentsMax;
  if (
    isShort ||
    (path.split('/').length <= pathSegmentsMax && Buffer.byteLength(path) <= pathBytesMax)
  ) {
    return path;
  }
  // guard: listing-depth
  throw new EngineError(
    'HISTORY_DAMAGED',
    `${quote(path.slice(0, 80))}… is deeper than any snapshot`,
    {
      hint: 'Do not trust this .skillmeat directory.',
    },
  );
}
