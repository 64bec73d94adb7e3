import { systemCode } from './errors.js';
import type { Directory, FileSystem, Place } from './file-system.js';
import { hashContent } from './hash.js';

/*
 * A file of `.skillmeat` that spares work and may be deleted at any time: SHA-256 of the rest (32
 * bytes) · the rest.
 *
 * Plain files and no database: reading all of one at once is faster, and SQLite would follow
 * whatever a stranger put beside it.
 */

const hashBytes = 32;

/** Returns what the file holds behind its hash; nothing when it is damaged or cannot be read. */
export function readCacheFile(files: FileSystem, place: Place): Buffer | undefined {
  const bytes = readAll(files, place);
  if (bytes === undefined || bytes.length < hashBytes) return undefined;
  const rest = bytes.subarray(hashBytes);
  // I5: a wrong hash in here would be a wrong file in a snapshot, or an edit that nobody is told of.
  // guard: cache-file-hash
  if (hashContent(rest) !== bytes.toString('hex', 0, hashBytes)) return undefined;
  return rest;
}

function readAll(files: FileSystem, place: Place): Buffer | undefined {
  const stat = files.stat(place);
  if (stat?.kind !== 'file') return undefined;
  try {
    const file = files.openForReading(place);
    try {
      const buffer = Buffer.allocUnsafeSlow(stat.size);
      const count = files.readSync(file, buffer);
      return count === stat.size ? buffer : undefined;
    } finally {
      files.closeFile(file);
    }
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return undefined;
  }
}

/**
 * Replaces the file. A failure is nobody's concern: the next one finds less.
 *
 * @param id for the name of the file while it is written.
 */
export function replaceCacheFile(
  files: FileSystem,
  store: Directory,
  { name, rest, id }: { readonly name: string; readonly rest: Buffer; readonly id: string },
): void {
  const draft: Place = { directory: store, name: `${name}.${id}` };
  try {
    const file = files.createFile(draft, 0o600);
    try {
      files.writeSync(file, Buffer.from(hashContent(rest), 'hex'));
      files.writeSync(file, rest);
    } finally {
      files.closeWritten(file);
    }
    files.moveOwn(draft, { directory: store, name });
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    dropIfThere(files, draft);
  }
}

function dropIfThere(files: FileSystem, place: Place): void {
  try {
    files.removeFile(place);
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
  }
}
