import { EngineError, isEngineError, systemCode } from './errors.js';

/** @returns `TRANSACTION_NOT_FOUND`. */
export function notFound(id: number): EngineError {
  return new EngineError('TRANSACTION_NOT_FOUND', `there is no transaction ${String(id)}`, {
    hint: 'List them with: skillmeat txn log',
  });
}

/** Another writer has taken a later epoch. */
export function fenced(epoch: number): EngineError {
  return new EngineError(
    'FENCED',
    `another writer took over this store (epoch ${String(epoch)} is past)`,
    { hint: 'The lock file was removed while in use. Open the store again.' },
  );
}

/** A number without a transaction: they are numbered without gaps. */
export function missing(path: string, id: number): EngineError {
  return damaged(path, `transaction ${String(id)} is missing`);
}

/** @returns `JOURNAL_DAMAGED`. */
export function damaged(path: string, found: string): EngineError {
  return new EngineError('JOURNAL_DAMAGED', `${path} is damaged: ${found}`, {
    path,
    hint: 'Nothing is written until this is resolved. Keep a copy of the .skillmeat directory.',
  });
}

/** Names an error of SQLite that came up while reading; any other is returned as it is. */
export function readFailure(error: unknown, path: string): unknown {
  if (systemCode(error) !== 'SQLITE_NOTADB') return writeFailure(error, path);
  return new EngineError('JOURNAL_FOREIGN', `${path} is not an SQLite database`, {
    path,
    cause: error,
    hint: 'See what can be kept of it: skillmeat repair',
  });
}

/** Tells whether SQLite's sync failed: what else it was to cover, nobody knows (I10). */
export function isSyncFailure(error: unknown): error is EngineError {
  const code = isEngineError(error, 'IO_FAILED') ? systemCode(error.cause) : undefined;
  return code === 'SQLITE_IOERR_FSYNC' || code === 'SQLITE_IOERR_DIR_FSYNC';
}

/** As {@link readFailure}, of a write that has been rolled back. */
export function writeFailure(error: unknown, path: string): unknown {
  const code = systemCode(error);
  const isOfSqlite = code !== undefined && code.startsWith('SQLITE_');
  if (!(error instanceof Error) || isEngineError(error) || !isOfSqlite) return error;
  if (code.startsWith('SQLITE_CORRUPT')) return damaged(path, error.message);
  return failure(code, path, error.message, error);
}

function failure(code: string, path: string, text: string, cause: unknown): EngineError {
  const doing = `the journal ${path} failed: ${text} (${code})`;
  // Memory that processes share is a file, and this is for want of room in it.
  if (code === 'SQLITE_FULL' || code === 'SQLITE_IOERR_SHMSIZE') {
    return new EngineError('DISK_FULL', doing, { path, cause, hint: 'Free some space.' });
  }
  if (code.startsWith('SQLITE_READONLY')) {
    return new EngineError('READ_ONLY', doing, { path, cause, hint: 'Make it writable.' });
  }
  if (code === 'SQLITE_CANTOPEN' || code === 'SQLITE_PERM' || code === 'SQLITE_AUTH') {
    return new EngineError('PERMISSION_DENIED', doing, {
      path,
      cause,
      hint: 'Check the owner and mode of the .skillmeat directory.',
    });
  }
  if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED')) {
    return new EngineError('STORE_LOCKED', doing, {
      path,
      cause,
      hint: 'Another program holds the journal; try again when it is done.',
    });
  }
  return new EngineError('IO_FAILED', doing, { path, cause, hint: 'Check the disk.' });
}
