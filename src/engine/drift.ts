import { type EngineError, fromSystemErrorOnly, isEngineError } from './errors.js';
import { absent, type FoundImage, type Image, isSameImage, special } from './image.js';
import { type Found, inspect, type Looking } from './inspect.js';
import type { Place } from './file-system.js';
import type { KnownPath } from './known-path.js';
import { comparePaths, type RelativePath } from './path.js';
import { isObstacle, type RootTree } from './root-tree.js';

/** A path that is not as the newest transaction that touched it left it. */
export interface DriftedPath {
  readonly path: string;
  /** What the journal says. */
  readonly expected: Image;
  readonly found: FoundImage;
  /** The transaction that changed it last; `null` when none has changed it. */
  readonly transaction: number | null;
}

export interface DriftOptions {
  readonly looking: Looking;
  readonly tree: RootTree;
  /** Tells what is at a place; what knows a file by its `stat` alone need not read it. */
  readonly look?: (place: Place, path: RelativePath) => Found | Promise<Found>;
  /** Told of a path that cannot be read, which then counts as `special`. Default: that is an error. */
  readonly onUnreadable?: (path: RelativePath, failure: EngineError) => void;
}

/** Yields the known paths that are not as the journal says, sorted. Reads every file among them. */
export async function* findDrift(
  known: ReadonlyMap<RelativePath, KnownPath>,
  options: DriftOptions,
): AsyncGenerator<DriftedPath & { readonly path: RelativePath }, void> {
  const { pace } = options.looking;
  for (const path of [...known.keys()].toSorted(comparePaths)) {
    const expected = known.get(path);
    if (expected === undefined) continue;
    if (pace.isDue()) await pace.turn();
    const found = await lookAt(path, options);
    if (isSameImage(found, expected.image)) continue;
    yield { path, expected: expected.image, found, transaction: expected.changedBy ?? null };
  }
}

/**
 * Returns what is at a path of the root; below what is no directory there is nothing.
 *
 * @throws {EngineError} `PERMISSION_DENIED`, `IO_FAILED`, … when it cannot be read.
 */
export async function lookAt(
  path: RelativePath,
  { looking, tree, look = (place) => inspect(looking, place, path), onUnreadable }: DriftOptions,
): Promise<FoundImage> {
  tree.trim();
  try {
    const located = tree.locate(path);
    return isObstacle(located) ? absent : (await look(located, path)).image;
  } catch (error) {
    const failure = fromSystemErrorOnly(error, 'read', path);
    const isUnreadable = isEngineError(failure, 'IO_FAILED', 'PERMISSION_DENIED');
    if (onUnreadable === undefined || !isUnreadable) throw failure;
    onUnreadable(path, failure);
    return special;
  }
}
