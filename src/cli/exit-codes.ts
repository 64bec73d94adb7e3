import type { CollectionErrorCode } from '../collection/index.js';
import type { EngineErrorCode } from '../engine/index.js';

/** Exit codes are public: listed in the README and never renumbered. */
export type ExitCode = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10 | 11 | 130;

export const success: ExitCode = 0;
/** A bug of ours. */
export const unexpectedFailure: ExitCode = 1;
export const wrongUsage: ExitCode = 2;
/** The command worked and found something that needs attention. */
export const hasFindings: ExitCode = 3;
/** The answer could not be written, for instance because the disk is full. */
export const outputFailed: ExitCode = 9;
/** A transaction is neither finished nor undone. */
export const isUnresolved: ExitCode = 11;

/** What the command exits with for each code of the engine and of collections: a new code without one does not compile. */
export const exitCodes: Readonly<Record<EngineErrorCode | CollectionErrorCode, ExitCode>> = {
  // Refused input: correct it.
  PATH_INVALID: 4,
  PATH_ESCAPES_ROOT: 4,
  PATH_RESERVED: 4,
  PATH_TOO_LONG: 4,
  PATH_IN_ENGINE_DIRECTORY: 4,
  PATH_COLLISION: 4,
  PATH_IS_LINK: 4,
  PATH_IS_DIRECTORY: 4,
  PATH_NOT_DIRECTORY: 4,
  PATH_NOT_FOUND: 4,
  PATH_EXISTS: 4,
  PATH_SPECIAL: 4,
  PATH_ON_OTHER_MOUNT: 4,
  SOURCE_UNREADABLE: 4,
  SOURCE_CHANGED: 4,
  PLAN_INVALID: 4,
  PLAN_CONTRADICTS: 4,
  LIMIT_EXCEEDED: 4,
  METADATA_NOT_KEPT: 4,
  TRANSACTION_NOT_FOUND: 4,
  TAG_INVALID: 4,
  NOTHING_TO_UNDO: 4,
  HISTORY_PRUNED: 4,
  SNAPSHOT_INVALID: 4,
  SNAPSHOT_NOT_FOUND: 4,
  SNAPSHOT_EXISTS: 4,
  SNAPSHOT_PINNED: 4,
  SOURCE_INVALID: 4,
  SOURCE_NOT_FOUND: 4,
  SOURCE_VERSION_NOT_FOUND: 4,
  ARTIFACT_REFUSED: 4,
  COLLECTION_EXISTS: 4,
  COLLECTION_NAME_INVALID: 4,
  ARTIFACT_NAME_INVALID: 4,
  ARTIFACT_TYPE_INVALID: 4,
  ARTIFACT_NOT_FOUND: 4,
  ARTIFACT_AMBIGUOUS: 4,
  ARTIFACT_EXISTS: 4,
  NOTHING_TO_IMPORT: 4,
  ARTIFACT_UNLINKED: 4,
  BASE_LOST: 4,
  // The directory is not what the plan takes for granted: make the plan anew.
  EXPECTATION_FAILED: 5,
  RULE_VIOLATED: 5,
  DRIFT_DETECTED: 5,
  UNDO_CONFLICT: 5,
  REMOVAL_TOO_LARGE: 5,
  ARTIFACT_MODIFIED: 5,
  MANIFEST_CHANGED: 5,
  MERGE_CONFLICT: 5,
  // Somebody else writes: wait.
  STORE_LOCKED: 6,
  STORE_NOT_FOUND: 7,
  COLLECTION_NOT_FOUND: 7,
  // The store cannot be used as it is.
  STORE_CLOSED: 8,
  STORE_POISONED: 8,
  STORE_REPLACED: 8,
  STORE_DETACHED: 8,
  STORE_UNSAFE: 8,
  STORE_FORMAT_NEWER: 8,
  JOURNAL_FOREIGN: 8,
  JOURNAL_DAMAGED: 8,
  HISTORY_DAMAGED: 8,
  SQLITE_UNSUITABLE: 8,
  FILE_SYSTEM_UNSUPPORTED: 8,
  CONFIG_INVALID: 8,
  TOML_INVALID: 8,
  TOML_LAYOUT_UNSUPPORTED: 8,
  // The machine is in the way.
  DISK_FULL: 9,
  QUOTA_EXCEEDED: 9,
  PERMISSION_DENIED: 9,
  READ_ONLY: 9,
  TOO_MANY_OPEN_FILES: 9,
  PATH_BUSY: 9,
  IO_FAILED: 9,
  COLLECTION_UNREADABLE: 9,
  SOURCE_DENIED: 9,
  FETCH_FAILED: 9,
  GIT_MISSING: 9,
  // Nobody knows yet whether it happened: the next command recovers and shows it.
  COMMIT_UNKNOWN: 10,
  FENCED: 10,
  // A transaction needs a decision.
  BLOCKED: 11,
  DAMAGED: 11,
  // Stopped by Ctrl-C, as the shell would report it.
  ABORTED: 130,
  // The command never does what leads to these.
  TRANSACTION_CLOSED: 1,
  TRANSACTION_NESTED: 1,
};
