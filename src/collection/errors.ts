import type { PathConflict } from '../engine/index.js';
import type { FileConflict, MergeCounts } from './merge/merge-trees.js';

/**
 * What to do with an error of a collection: each code is public and stable, messages are not.
 * What the engine finds it says itself, with an `EngineError`.
 */
export type CollectionErrorCode =
  // the collection
  | 'COLLECTION_NOT_FOUND'
  | 'COLLECTION_EXISTS'
  | 'COLLECTION_UNREADABLE'
  | 'COLLECTION_NAME_INVALID'
  | 'CONFIG_INVALID'
  | 'TOML_INVALID'
  | 'TOML_LAYOUT_UNSUPPORTED'
  // its artifacts
  | 'ARTIFACT_NAME_INVALID'
  | 'ARTIFACT_TYPE_INVALID'
  | 'ARTIFACT_NOT_FOUND'
  | 'ARTIFACT_AMBIGUOUS'
  | 'ARTIFACT_EXISTS'
  | 'ARTIFACT_MODIFIED'
  | 'NOTHING_TO_IMPORT'
  | 'ARTIFACT_UNLINKED'
  | 'MANIFEST_CHANGED'
  | 'MERGE_CONFLICT'
  | 'BASE_LOST'
  // where an artifact comes from
  | 'SOURCE_INVALID'
  | 'SOURCE_NOT_FOUND'
  | 'SOURCE_VERSION_NOT_FOUND'
  | 'SOURCE_DENIED'
  | 'FETCH_FAILED'
  | 'GIT_MISSING'
  | 'ARTIFACT_REFUSED';

export interface CollectionErrorDetails {
  /** What the error is about, as the caller named it: a source, a path, an artifact. */
  readonly path?: string | undefined;
  readonly cause?: unknown;
  /** What the user can do next, as one sentence. */
  readonly hint?: string | undefined;
  /** Everything that is in the way, when it may be more than one thing. */
  readonly conflicts?: readonly (PathConflict | FileConflict)[] | undefined;
  /** How much was merged and how much was not, of a `MERGE_CONFLICT`. */
  readonly merge?: MergeCounts | undefined;
}

/** The only error that the collection layer throws on purpose, besides the engine's and `TypeError`. */
export class CollectionError extends Error {
  readonly code: CollectionErrorCode;
  readonly path: string | undefined;
  readonly hint: string | undefined;
  readonly conflicts: readonly (PathConflict | FileConflict)[];
  readonly merge: MergeCounts | undefined;

  constructor(code: CollectionErrorCode, message: string, details: CollectionErrorDetails = {}) {
    super(message, details.cause === undefined ? {} : { cause: details.cause });
    this.name = 'CollectionError';
    this.code = code;
    this.path = details.path;
    this.hint = details.hint;
    this.conflicts = details.conflicts ?? [];
    this.merge = details.merge;
  }
}

/** Tells whether `error` is a {@link CollectionError}, of one of `codes` when some are given. */
export function isCollectionError(
  error: unknown,
  ...codes: readonly CollectionErrorCode[]
): error is CollectionError {
  return error instanceof CollectionError && (codes.length === 0 || codes.includes(error.code));
}
