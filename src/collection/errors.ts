/**
 * What to do with an error of a collection: each code is public and stable, messages are not. What
 * the engine says comes out as an `EngineError`.
 */
export type CollectionErrorCode =
  | 'COLLECTION_NOT_FOUND'
  | 'COLLECTION_EXISTS'
  | 'COLLECTION_UNREADABLE'
  | 'COLLECTION_NAME_INVALID'
  | 'CONFIG_INVALID'
  | 'TOML_INVALID'
  | 'TOML_LAYOUT_UNSUPPORTED'
  | 'ARTIFACT_NAME_INVALID'
  | 'ARTIFACT_TYPE_INVALID'
  | 'ARTIFACT_NOT_FOUND'
  | 'ARTIFACT_AMBIGUOUS'
  | 'ARTIFACT_EXISTS'
  | 'ARTIFACT_MODIFIED'
  | 'NOTHING_TO_IMPORT';

export interface CollectionErrorDetails {
  /** The path, artifact or source that the error is about. */
  readonly path?: string | undefined;
  readonly cause?: unknown;
  /** What the user can do next, as one sentence. */
  readonly hint?: string | undefined;
  /** Everything that is in the way, when it may be more than one. */
  readonly conflicts?: readonly { readonly path: string; readonly why: string }[] | undefined;
}

/** What the collection layer throws on purpose, besides `TypeError` for wrong arguments. */
export class CollectionError extends Error {
  readonly code: CollectionErrorCode;
  readonly path: string | undefined;
  readonly hint: string | undefined;
  readonly conflicts: readonly { readonly path: string; readonly why: string }[];

  constructor(code: CollectionErrorCode, message: string, details: CollectionErrorDetails = {}) {
    super(message, details.cause === undefined ? {} : { cause: details.cause });
    this.name = 'CollectionError';
    this.code = code;
    this.path = details.path;
    this.hint = details.hint;
    this.conflicts = details.conflicts ?? [];
  }
}

/** Tells whether `error` is a {@link CollectionError}, of one of `codes` when some are given. */
export function isCollectionError(
  error: unknown,
  ...codes: readonly CollectionErrorCode[]
): error is CollectionError {
  return error instanceof CollectionError && (codes.length === 0 || codes.includes(error.code));
}
