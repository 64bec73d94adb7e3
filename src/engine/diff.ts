import { assert, EngineError } from './errors.js';
import { lookAt } from './drift.js';
import { placesOf, readFileAt, readKept } from './history.js';
import type { FileImage, FoundImage, Image } from './image.js';
import { isSameImage } from './image.js';
import type { Looking } from './inspect.js';
import type { Journal } from './journal.js';
import { isWithin, type KnownPath, readKnownPaths } from './known-path.js';
import { changesMax } from './limits.js';
import { differingPaths } from './listing-differences.js';
import { comparePaths, quote, type RelativePath } from './path.js';
import type { ObjectStore } from './object-store.js';
import { isObstacle, type RootTree } from './root-tree.js';
import type { Scanned } from './scan.js';
import type { SnapshotRow } from './snapshot-table.js';
import { findSnapshot } from './snapshot-trash.js';
import { listingReader, TreeLookup } from './snapshot-tree.js';
import { type DiffText, unifiedDiff } from './unified-diff.js';

/** A moment that the directory can be looked at. */
export type Moment =
  /** After a transaction; 0 is before the first. */
  | { readonly kind: 'transaction'; readonly id: number }
  /** What a snapshot holds; by its name or number, or `latest`. */
  | { readonly kind: 'snapshot'; readonly snapshot: string | number }
  | { readonly kind: 'now' };

type SnapshotMoment = Extract<Moment, { kind: 'snapshot' }>;

/** A path that differs between two moments. */
export interface DiffChange {
  readonly path: string;
  readonly before: FoundImage;
  readonly after: FoundImage;
  /** `null` when no text was asked for. */
  readonly diff: DiffText | null;
}

/** What the journal and the disk are read with. */
export interface Reading {
  readonly journal: Journal;
  readonly looking: Looking;
  readonly tree: RootTree;
  readonly history: RootTree;
  readonly objects: ObjectStore;
}

/** The directory at one moment, as far as the journal knows. */
interface Side {
  /** Paths that this side can tell of by itself. */
  readonly paths: Iterable<RelativePath>;
  /** What is at a path; `undefined` when this side does not know, so that it is as now. */
  imageOf(path: RelativePath): FoundImage | undefined;
}

export interface DiffOptions {
  readonly from: Moment;
  readonly to: Moment;
  readonly within: readonly RelativePath[] | undefined;
  readonly hasText: boolean;
  /** Looks at the whole directory as a snapshot did. */
  readonly scanNow: (row: SnapshotRow) => Promise<Pick<Scanned, 'sha256' | 'listings'>>;
}

/** A path, and what it was at either moment. */
type TwoImages = Pick<DiffChange, 'before' | 'after'> & { readonly path: RelativePath };

/**
 * Yields the paths that differ, sorted. Without a snapshot only those are looked at that the journal
 * knows. What a snapshot left out differs from nothing.
 *
 * @throws {EngineError} `TRANSACTION_NOT_FOUND`, `SNAPSHOT_NOT_FOUND`, `HISTORY_DAMAGED`, `LIMIT_EXCEEDED`.
 */
export async function* compareMoments(
  options: DiffOptions,
  reading: Reading,
): AsyncGenerator<DiffChange, void> {
  const { from, to, hasText } = options;
  const hasSnapshot = from.kind === 'snapshot' || to.kind === 'snapshot';
  const images = hasSnapshot ? imagesOfTrees(options, reading) : imagesKnown(options, reading);
  for await (const { path, before, after } of images) {
    if (isSameImage(before, after)) continue;
    const diff = hasText
      ? unifiedDiff(
          path,
          { image: before, bytes: await contentOf(path, before, reading) },
          { image: after, bytes: await contentOf(path, after, reading) },
        )
      : null;
    yield { path, before, after, diff };
  }
}

async function* imagesKnown(
  { from, to, within }: DiffOptions,
  reading: Reading,
): AsyncGenerator<TwoImages, void> {
  const { pace } = reading.looking;
  const [old, now] = [await openSide(from, within, reading), await openSide(to, within, reading)];
  const paths = new Set([...old.paths, ...now.paths]);
  for (const path of [...paths].toSorted(comparePaths)) {
    if (pace.isDue()) await pace.turn();
    const [before, after] = [await imageAt(path, old, reading), await imageAt(path, now, reading)];
    yield { path, before, after };
  }
}

/** With a snapshot on either side: that knows every path, and what is now is scanned as it was. */
async function* imagesOfTrees(
  { from, to, within, scanNow }: DiffOptions,
  reading: Reading,
): AsyncGenerator<TwoImages, void> {
  const { journal, objects } = reading;
  const { pace } = reading.looking;
  const rowOf = (moment: Moment): SnapshotRow | undefined =>
    moment.kind === 'snapshot' ? findSnapshot(moment.snapshot, journal) : undefined;
  const rows = { from: rowOf(from), to: rowOf(to) };
  const row = rows.from ?? rows.to;
  assert(row !== undefined, 'one of the moments is a snapshot');
  const isBoth = rows.from !== undefined && rows.to !== undefined;
  const now = isBoth ? undefined : await scanNow(row);
  const lookup = new TreeLookup(listingReader(objects, now?.listings));
  const old = {
    root: (rows.from ?? now ?? row).sha256,
    side: await openSide(from, within, reading),
  };
  const young = { root: (rows.to ?? now ?? row).sha256, side: await openSide(to, within, reading) };
  const paths = new Set([...old.side.paths, ...young.side.paths]);
  for await (const { path } of differingPaths(lookup, { from: old.root, to: young.root })) {
    if (pace.isDue()) await pace.turn();
    if (isWithin(path, within)) paths.add(path);
    // I9: listings that name each other again and again are small, and what they unfold to is not.
    if (paths.size > changesMax) throw tooManyPaths();
  }
  for (const path of [...paths].toSorted(comparePaths)) {
    if (pace.isDue()) await pace.turn();
    const before = old.side.imageOf(path) ?? (await lookup.imageAt(old.root, path));
    const after = young.side.imageOf(path) ?? (await lookup.imageAt(young.root, path));
    if (before !== undefined && after !== undefined) yield { path, before, after };
  }
}

/**
 * Returns a file as it was at a moment.
 *
 * @throws {EngineError} `PATH_NOT_FOUND`, `PATH_IS_DIRECTORY`, `PATH_IS_LINK`, `PATH_SPECIAL`,
 * `HISTORY_PRUNED`, `HISTORY_DAMAGED`, `TRANSACTION_NOT_FOUND`, `SNAPSHOT_NOT_FOUND`.
 */
export async function readFileOf(
  path: RelativePath,
  moment: Moment,
  reading: Reading,
): Promise<{ readonly image: FileImage; readonly bytes: Uint8Array }> {
  const isOfSnapshot = moment.kind === 'snapshot';
  const image = isOfSnapshot
    ? await imageInSnapshot(path, moment, reading)
    : await imageAt(path, await openSide(moment, [path], reading), reading);
  if (image.kind !== 'file') throw notAFile(path, image);
  const bytes = await contentOf(path, image, reading);
  if (bytes !== undefined) return { image, bytes };
  const { journal, objects } = reading;
  const isHeld = isOfSnapshot || placesOf(image.sha256, path, journal).next().done !== true;
  // guard: read-damaged [if false]
  if (isHeld || objects.has(image.sha256)) {
    throw new EngineError(
      'HISTORY_DAMAGED',
      `the content that ${quote(path)} had then (sha256:${image.sha256}) is not in history, or no longer what it was`,
      { path, hint: 'A snapshot or a backup may still have it.' },
    );
  }
  throw new EngineError(
    'HISTORY_PRUNED',
    `the content that ${quote(path)} had then (sha256:${image.sha256}) is no longer kept`,
    { path, hint: 'See which transactions changed it: skillmeat txn log PATH' },
  );
}

async function imageInSnapshot(
  path: RelativePath,
  { snapshot }: SnapshotMoment,
  { journal, objects }: Reading,
): Promise<Image> {
  const lookup = new TreeLookup(listingReader(objects));
  const image = await lookup.imageAt(findSnapshot(snapshot, journal).sha256, path);
  if (image !== undefined) return image;
  throw new EngineError(
    'PATH_NOT_FOUND',
    `${quote(path)} was left out of snapshot ${String(snapshot)}`,
    {
      path,
      hint: `See what it holds: skillmeat snapshot show ${String(snapshot)} --files`,
    },
  );
}

async function openSide(
  moment: Moment,
  within: readonly RelativePath[] | undefined,
  { journal, looking }: Reading,
): Promise<Side> {
  if (moment.kind !== 'transaction') return { paths: [], imageOf: () => undefined };
  const { id: asOf } = moment;
  if (asOf > journal.head().id || asOf < journal.anchors.get().through) {
    throw journal.anchors.unknown(asOf);
  }
  const { pace } = looking;
  const known: ReadonlyMap<RelativePath, KnownPath> = await readKnownPaths(journal, {
    asOf,
    within,
    pace,
  });
  return { paths: known.keys(), imageOf: (path) => known.get(path)?.image };
}

function tooManyPaths(): EngineError {
  return new EngineError('LIMIT_EXCEEDED', `more than ${String(changesMax)} paths differ`, {
    hint: 'Compare some of them, with --path.',
  });
}

async function imageAt(path: RelativePath, side: Side, reading: Reading): Promise<FoundImage> {
  return side.imageOf(path) ?? (await lookAt(path, reading));
}

/** Returns a file's bytes from wherever they still are. */
async function contentOf(
  path: RelativePath,
  image: FoundImage,
  { journal, tree, ...reading }: Reading,
): Promise<Uint8Array | undefined> {
  if (image.kind !== 'file') return undefined;
  tree.trim();
  const located = tree.locate(path);
  const present = isObstacle(located)
    ? undefined
    : await readFileAt(located, image, reading.looking);
  if (present !== undefined) return present;
  return readKept(image, placesOf(image.sha256, path, journal), reading);
}

function notAFile(path: RelativePath, { kind }: FoundImage): EngineError {
  switch (kind) {
    case 'directory':
      return new EngineError('PATH_IS_DIRECTORY', `${quote(path)} was a directory then`, {
        path,
        hint: 'Name a file in it.',
      });
    case 'symlink':
      return new EngineError('PATH_IS_LINK', `${quote(path)} was a link then`, {
        path,
        hint: 'See where it led: skillmeat txn diff',
      });
    case 'special':
      return new EngineError('PATH_SPECIAL', `${quote(path)} is a FIFO, socket or device`, {
        path,
        hint: 'Name a file.',
      });
    case 'absent':
    case 'file':
      return new EngineError('PATH_NOT_FOUND', `${quote(path)} did not exist then`, {
        path,
        hint: 'See when it did: skillmeat txn log PATH',
      });
  }
}
