import { readCacheFile, replaceCacheFile } from './cache-file.js';
import type { Directory, FileSystem, Stat } from './file-system.js';
import type { ContentHash } from './hash.js';
import { type LeftOutReason, leftOutReasons } from './listing.js';
import { isRacy } from './racy.js';

/*
 * `.skillmeat/scan-cache`: what the last snapshot saw, so that the next one reads only what has
 * changed. Per directory the hash of its listing, and per name in it what `lstat` said; a directory that
 * is as it was itself need not be listed. It is
 * believed only whole (cache-file.ts) and only as long as no object was collected: what it names is
 * in the object store.
 */

const cacheName = 'scan-cache';
const version = 2;
const lengthBytes = 8;
/** Inode, size and two times of one name. */
const fieldsPerName = 4;

/** What the last scan saw in one directory. */
export interface SeenDirectory {
  /** Of its listing. */
  readonly sha256: ContentHash;
  /** Says that {@link names} are still all; see {@link stampOf}. */
  readonly stamp: string;
  /** Sorted. */
  readonly names: readonly string[];
  /** {@link fieldsPerName} for each name. */
  readonly stats: BigInt64Array<ArrayBuffer>;
}

/** What must be the same for the cache to be true. */
export interface CacheKey {
  readonly store: string;
  /** How often objects were collected. */
  readonly collections: number;
  /** After a power failure a file may have the times that it had, and other bytes. */
  readonly boot: string;
  /** Identifies the object store. */
  readonly objects: string;
}

/** By path; the root is ''. */
export type SeenTree = ReadonlyMap<string, SeenDirectory>;

/**
 * Returns what is another as soon as a name is added to a directory or taken away, as every file system
 * that we support dates that; empty when nothing can be said.
 *
 * @param stat of the directory, before it was listed.
 * @param lookedAtNs when that was; see {@link noteStat}.
 */
export function stampOf(stat: Stat, lookedAtNs: bigint): string {
  // guard: scan-cache-names-racy
  if (isRacy(stat, lookedAtNs)) return '';
  // 0: it keeps no such time.
  return stat.changedNs === 0n ? '' : `${String(stat.inode)} ${String(stat.changedNs)}`;
}

export function newStats(count: number): BigInt64Array<ArrayBuffer> {
  return new BigInt64Array(count * fieldsPerName);
}

/** Returns the stats of the first `count` names. */
export function firstStats(
  stats: BigInt64Array<ArrayBuffer>,
  count: number,
): BigInt64Array<ArrayBuffer> {
  return stats.slice(0, count * fieldsPerName);
}

/**
 * Notes what `lstat` said of the name at `index`.
 *
 * @param lookedAtNs when it was looked at. A file that changed so shortly before that it can change
 * once more without another time is noted as unknown (git's racy rule).
 */
export function noteStat(
  stats: BigInt64Array,
  index: number,
  { stat, lookedAtNs }: { readonly stat: Stat; readonly lookedAtNs: bigint },
): void {
  const at = index * fieldsPerName;
  if (stat.kind === 'directory') {
    // What is in it is looked at anyway.
    stats[at] = stat.inode;
    stats[at + 1] = BigInt(stat.mode);
    return;
  }
  // guard: scan-cache-racy
  if (isRacy(stat, lookedAtNs)) return;
  stats[at] = stat.inode;
  stats[at + 1] = BigInt(stat.size);
  stats[at + 2] = stat.modifiedNs;
  stats[at + 3] = stat.changedNs;
}

export function isSeenStat(stats: BigInt64Array, index: number, stat: Stat): boolean {
  const at = index * fieldsPerName;
  if (stat.kind === 'directory') {
    return stats[at] === stat.inode && stats[at + 1] === BigInt(stat.mode) && stats[at + 3] === 0n;
  }
  // guard: scan-cache-change-time [stats[at + 3] === stat.changedNs becomes true]
  // guard: scan-cache-inode [stats[at] === stat.inode becomes true]
  // guard: scan-cache-modified [stats[at + 2] === stat.modifiedNs becomes true]
  // guard: scan-cache-size [stats[at + 1] === BigInt(stat.size) becomes true]
  return (
    stats[at + 3] === stat.changedNs &&
    stats[at] === stat.inode &&
    stats[at + 2] === stat.modifiedNs &&
    stats[at + 1] === BigInt(stat.size)
  );
}

/** Notes that the name at `index` was left out. No inode is negative. */
export function noteLeftOut(stats: BigInt64Array, index: number, why: LeftOutReason): void {
  stats[index * fieldsPerName] = leftOutMark(why);
}

export function isSeenLeftOut(stats: BigInt64Array, index: number, why: LeftOutReason): boolean {
  return stats[index * fieldsPerName] === leftOutMark(why);
}

function leftOutMark(why: LeftOutReason): bigint {
  return -1n - BigInt(leftOutReasons.indexOf(why));
}

/** Returns what the last scan saw; nothing when there is no cache that can be believed. */
export function loadSeen(files: FileSystem, store: Directory, key: CacheKey): SeenTree {
  const rest = readCacheFile(files, { directory: store, name: cacheName });
  return (rest === undefined ? undefined : decode(rest, key)) ?? new Map();
}

/** Replaces the cache. A failure is nobody's concern: the next scan reads more. */
export function saveSeen(
  files: FileSystem,
  store: Directory,
  {
    key,
    seen,
    draftName,
  }: { readonly key: CacheKey; readonly seen: SeenTree; readonly draftName: string },
): void {
  const rest = encode(seen, key);
  replaceCacheFile(files, store, { name: cacheName, rest, id: draftName });
}

type CachedDirectory = readonly [
  path: string,
  sha256: string,
  stamp: string,
  names: readonly string[],
];

interface CacheText {
  readonly version: number;
  readonly key: CacheKey;
  readonly directories: readonly CachedDirectory[];
}

/** Length of the text · stats · text. */
function encode(seen: SeenTree, key: CacheKey): Buffer {
  const directories = Array.from(
    seen,
    ([path, { sha256, stamp, names }]): CachedDirectory => [path, sha256, stamp, names],
  );
  const content: CacheText = { version, key, directories };
  const text = Buffer.from(JSON.stringify(content));
  const length = Buffer.alloc(lengthBytes);
  length.writeDoubleLE(text.length);
  const stats = Array.from(seen.values(), ({ stats: { buffer, byteOffset, byteLength } }) =>
    Buffer.from(buffer, byteOffset, byteLength),
  );
  return Buffer.concat([length, ...stats, text]);
}

function decode(rest: Buffer, key: CacheKey): SeenTree | undefined {
  const textLength = rest.readDoubleLE();
  const text = rest.toString('utf8', rest.length - textLength);
  const content = JSON.parse(text) as CacheText;
  // guard: scan-cache-key [JSON.stringify(content.key) !== JSON.stringify(key) becomes false]
  if (content.version !== version || JSON.stringify(content.key) !== JSON.stringify(key)) {
    return undefined;
  }
  const seen = new Map<string, SeenDirectory>();
  let offset = rest.byteOffset + lengthBytes;
  for (const [path, sha256, stamp, names] of content.directories) {
    const count = names.length * fieldsPerName;
    const stats = new BigInt64Array(rest.buffer as ArrayBuffer, offset, count);
    offset += stats.byteLength;
    // As encode() made it, and the hash says that it is that.
    seen.set(path, { sha256: sha256 as ContentHash, stamp, names, stats });
  }
  return seen;
}
