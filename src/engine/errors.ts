/**
 * What to do with an error: each code is public and stable, messages are not.
 * The README lists the exit code that the command gives for each.
 */
export type EngineErrorCode =
  // the caller's input
  | 'PATH_INVALID'
  | 'PATH_ESCAPES_ROOT'
  | 'PATH_RESERVED'
  | 'PATH_TOO_LONG'
  | 'PATH_IN_ENGINE_DIRECTORY'
  | 'PATH_COLLISION'
  | 'PATH_IS_LINK'
  | 'PATH_IS_DIRECTORY'
  | 'PATH_NOT_DIRECTORY'
  | 'PATH_NOT_FOUND'
  | 'PATH_EXISTS'
  | 'PATH_SPECIAL'
  | 'PATH_ON_OTHER_MOUNT'
  | 'SOURCE_UNREADABLE'
  | 'SOURCE_CHANGED'
  | 'PLAN_INVALID'
  | 'PLAN_CONTRADICTS'
  | 'LIMIT_EXCEEDED'
  // what the directory or the caller's rules say against the change
  | 'EXPECTATION_FAILED'
  | 'RULE_VIOLATED'
  | 'DRIFT_DETECTED'
  | 'METADATA_NOT_KEPT'
  // what history says against an undo
  | 'NOTHING_TO_UNDO'
  | 'UNDO_CONFLICT'
  | 'REMOVAL_TOO_LARGE'
  | 'HISTORY_PRUNED'
  | 'HISTORY_DAMAGED'
  // the store
  | 'STORE_NOT_FOUND'
  | 'STORE_LOCKED'
  | 'STORE_CLOSED'
  | 'STORE_POISONED'
  | 'STORE_REPLACED'
  | 'STORE_DETACHED'
  | 'STORE_UNSAFE'
  | 'STORE_FORMAT_NEWER'
  | 'JOURNAL_FOREIGN'
  | 'JOURNAL_DAMAGED'
  | 'SQLITE_UNSUITABLE'
  | 'FILE_SYSTEM_UNSUPPORTED'
  // the machine
  | 'DISK_FULL'
  | 'QUOTA_EXCEEDED'
  | 'PERMISSION_DENIED'
  | 'READ_ONLY'
  | 'TOO_MANY_OPEN_FILES'
  | 'PATH_BUSY'
  | 'IO_FAILED'
  // history
  | 'SNAPSHOT_INVALID'
  | 'SNAPSHOT_NOT_FOUND'
  | 'SNAPSHOT_EXISTS'
  | 'SNAPSHOT_PINNED'
  // the transaction
  | 'TRANSACTION_CLOSED'
  | 'TRANSACTION_NESTED'
  | 'TRANSACTION_NOT_FOUND'
  | 'TAG_INVALID'
  | 'ABORTED'
  | 'FENCED'
  | 'COMMIT_UNKNOWN'
  | 'BLOCKED'
  | 'DAMAGED';

export interface EngineErrorDetails {
  /** The path that the error is about: root-relative, or a source as the caller named it. */
  readonly path?: string | undefined;
  readonly cause?: unknown;
  /** What the user can do next, as one sentence. */
  readonly hint?: string | undefined;
  /** Every path that is in the way, when it may be more than one. */
  readonly conflicts?: readonly PathConflict[] | undefined;
}

/** A path that is not as it has to be, and why. */
export interface PathConflict {
  readonly path: string;
  readonly why: string;
}

/** The only error that the engine throws on purpose, besides `TypeError` for wrong arguments. */
export class EngineError extends Error {
  readonly code: EngineErrorCode;
  readonly path: string | undefined;
  readonly hint: string | undefined;
  readonly conflicts: readonly PathConflict[];

  constructor(code: EngineErrorCode, message: string, details: EngineErrorDetails = {}) {
    super(message, details.cause === undefined ? {} : { cause: details.cause });
    this.name = 'EngineError';
    this.code = code;
    this.path = details.path;
    this.hint = details.hint;
    this.conflicts = details.conflicts ?? [];
  }
}

/** Tells whether `error` is an {@link EngineError}, of one of `codes` when some are given. */
export function isEngineError(
  error: unknown,
  ...codes: readonly EngineErrorCode[]
): error is EngineError {
  return error instanceof EngineError && (codes.length === 0 || codes.includes(error.code));
}

/** Returns the operating system's error name (`ENOENT`, …) or `undefined`. */
export function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

interface SystemErrorMeaning {
  readonly code: EngineErrorCode;
  readonly hint: string;
}

const systemErrorMeanings: Readonly<Record<string, SystemErrorMeaning>> = {
  ENOSPC: { code: 'DISK_FULL', hint: 'Free some space on this file system and try again.' },
  EDQUOT: { code: 'QUOTA_EXCEEDED', hint: 'Free some of your disk quota and try again.' },
  EFBIG: { code: 'LIMIT_EXCEEDED', hint: 'The file is larger than this file system allows.' },
  EACCES: { code: 'PERMISSION_DENIED', hint: 'Check the owner and mode of the path.' },
  EPERM: { code: 'PERMISSION_DENIED', hint: 'Check the owner, mode and flags of the path.' },
  EROFS: { code: 'READ_ONLY', hint: 'Remount the file system for writing.' },
  EMFILE: { code: 'TOO_MANY_OPEN_FILES', hint: 'Raise the limit of open files (ulimit -n).' },
  ENFILE: { code: 'TOO_MANY_OPEN_FILES', hint: 'Raise the limit of open files of the system.' },
  EBUSY: { code: 'PATH_BUSY', hint: 'Close the program that uses the path and try again.' },
  ETXTBSY: { code: 'PATH_BUSY', hint: 'Close the program that uses the path and try again.' },
  EXDEV: {
    code: 'PATH_ON_OTHER_MOUNT',
    hint: 'The path is on another mount, or in a lower layer of an overlay: make a store of its own there, or put a copy in its place first.',
  },
  ENAMETOOLONG: { code: 'PATH_TOO_LONG', hint: 'Use a shorter name.' },
  ELOOP: { code: 'PATH_IS_LINK', hint: 'Name the place that the link leads to, or remove it.' },
};

/** Returns what a failed system call means to a user of the engine, with `doing` and `path` in it. */
export function fromSystemError(error: unknown, doing: string, path: string): EngineError {
  if (error instanceof EngineError) return error;
  const name = systemCode(error);
  const meaning = name === undefined ? undefined : systemErrorMeanings[name];
  const text = error instanceof Error ? error.message : String(error);
  // Through which descriptor a directory was held tells nobody anything.
  const reason = text.replaceAll(/'\/proc\/self\/fd\/\d+\/(?!')/g, "'");
  return new EngineError(meaning?.code ?? 'IO_FAILED', `cannot ${doing} ${path}: ${reason}`, {
    path,
    cause: error,
    hint: meaning?.hint ?? 'Check the disk and the system log.',
  });
}

/** As {@link fromSystemError}, but leaves alone what is not a failed system call. */
export function fromSystemErrorOnly(error: unknown, doing: string, path: string): unknown {
  return systemCode(error) === undefined ? error : fromSystemError(error, doing, path);
}

/** Tries what may fail for a reason that is not ours, and tells whether it did not; a bug is thrown. */
export async function succeeds(act: () => void | Promise<void>): Promise<boolean> {
  try {
    await act();
    return true;
  } catch (error) {
    if (!isEngineError(error) && systemCode(error) === undefined) throw error;
    return false;
  }
}

/** A belief of ours that does not hold: a bug, never caught below the program's `main`. */
export function assert(condition: boolean, belief: string): asserts condition {
  if (!condition) throw new Error(`bug: ${belief}`);
}
