import { EngineError, isEngineError } from './errors.js';
import { ContentHasher, type ContentHash } from './hash.js';
import type { ObjectStore } from './object-store.js';
import type { NotRestored, RestorableEntry, RestoreStep } from './restore-plan.js';
import type { Transaction } from './transaction.js';

/*
 * The steps of a restore, as operations of an ordinary transaction. A step that cannot be done is
 * named, and leaves its path as it was.
 */

const permissionBits = 0o777;

/** @returns what could not be restored. */
export async function carryOut(
  steps: readonly RestoreStep[],
  tx: Transaction,
  objects: ObjectStore,
): Promise<readonly NotRestored[]> {
  const notRestored: NotRestored[] = [];
  for (const step of steps) {
    try {
      if (step.act === 'remove') await tx.remove(step.path, { ifPresent: true });
      else await make(step.path, step.entry, tx, objects);
    } catch (error) {
      const reason = reasonOf(error);
      if (reason === undefined) throw error;
      notRestored.push({ path: step.path, why: reason });
    }
  }
  return notRestored;
}

async function make(
  path: string,
  entry: RestorableEntry,
  tx: Transaction,
  objects: ObjectStore,
): Promise<void> {
  try {
    await makeOver(path, entry, tx, objects);
  } catch (error) {
    const isOtherKind = isEngineError(error, 'PATH_EXISTS', 'PATH_IS_DIRECTORY', 'PATH_IS_LINK');
    if (!isOtherKind || error.path !== path) throw error;
    // I3: what is there goes only when what takes its place is known to be whole.
    if (entry.kind === 'file') await requireWhole(entry.sha256, entry.size, objects);
    await tx.remove(path);
    await makeOver(path, entry, tx, objects);
  }
}

async function makeOver(
  path: string,
  entry: RestorableEntry,
  tx: Transaction,
  objects: ObjectStore,
): Promise<void> {
  switch (entry.kind) {
    case 'directory':
      await tx.mkdir(path);
      return tx.chmod(path, entry.mode & permissionBits);
    case 'symlink':
      return tx.symlink(path, entry.target);
    case 'file': {
      const content = await objects.content(entry.sha256, entry.size);
      const checked =
        content instanceof Uint8Array ? content : checkedPieces(content, entry.sha256);
      return tx.write(path, checked, { mode: entry.mode & permissionBits });
    }
  }
}

/** I5: the last piece is followed by a refusal when the whole is not what its name says. */
async function* checkedPieces(
  pieces: AsyncIterable<Uint8Array>,
  sha256: ContentHash,
): AsyncGenerator<Uint8Array, void> {
  const hasher = new ContentHasher();
  for await (const piece of pieces) {
    hasher.update(piece);
    yield piece;
  }
  // guard: restore-content [if true]
  if (hasher.digest() === sha256) return;
  throw new EngineError('HISTORY_DAMAGED', `the object ${sha256} does not match its name`, {
    hint: 'Restore another snapshot.',
  });
}

async function requireWhole(
  sha256: ContentHash,
  size: number,
  objects: ObjectStore,
): Promise<void> {
  const content = await objects.content(sha256, size);
  if (content instanceof Uint8Array) return;
  const pieces = checkedPieces(content, sha256);
  while ((await pieces.next()).done !== true);
}

/** `undefined` for what concerns more than the one path. */
function reasonOf(error: unknown): string | undefined {
  if (!isEngineError(error)) return undefined;
  if (isEngineError(error.cause, 'HISTORY_DAMAGED')) return error.cause.message;
  const isOfThePath =
    error.code.startsWith('PATH_') || error.code === 'HISTORY_DAMAGED' || isBadMode(error);
  return isOfThePath && error.code !== 'PATH_BUSY' ? error.message : undefined;
}

/** A mode that a transaction cannot set: its owner could not read the file. */
function isBadMode({ code }: EngineError): boolean {
  return code === 'PLAN_INVALID';
}
