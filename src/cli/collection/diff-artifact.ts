import { isCollectionError, type Manifest, resolveArtifact } from '../../collection/index.js';
import { readCollection } from '../collection-root.js';
import type { Context } from '../context.js';
import { type ExitCode, success } from '../exit-codes.js';
import { UsageError } from '../failure.js';
import { openFetcherForCommand } from '../fetching.js';
import { answerDiff, type DiffFlags } from '../txn/diff.js';

/** Prints what somebody changed of an artifact since it was fetched, or what upstream has instead. */
export async function diffArtifact(
  context: Context,
  address: string,
  {
    patch = false,
    names = false,
    path,
    to,
    upstream = false,
  }: Omit<DiffFlags, 'from'> & { readonly upstream?: boolean },
): Promise<ExitCode> {
  const reader = await readCollection(context).catch((error: unknown) => {
    // Whoever knows of no collection means a moment.
    if (!isCollectionError(error, 'COLLECTION_NOT_FOUND')) throw error;
    throw noMoment(address);
  });
  const { manifest } = await reader.files();
  if (to !== undefined || path !== undefined) {
    if (!isArtifact(manifest, address)) throw noMoment(address);
    throw new UsageError(
      `"${address}" names an artifact, which is compared as a whole`,
      'Leave out TO and --path, or give the number of a transaction first.',
    );
  }
  await using fetcher = await openFetcherForCommand(context);
  const key = resolveArtifact(manifest, address);
  const changes = await reader.diff(key, {
    fetcher,
    to: upstream ? 'upstream' : 'local',
    hasText: patch,
  });
  const sides = upstream
    ? { from: 'local', to: 'upstream' }
    : { from: 'last fetched', to: 'local' };
  answerDiff(context, sides, changes, { patch, names });
  return success;
}

function isArtifact(manifest: Manifest, address: string): boolean {
  try {
    resolveArtifact(manifest, address);
    return true;
  } catch (error) {
    if (isCollectionError(error, 'ARTIFACT_AMBIGUOUS')) return true;
    if (!isCollectionError(error, 'ARTIFACT_NOT_FOUND')) throw error;
    return false;
  }
}

function noMoment(address: string): UsageError {
  return new UsageError(
    `"${address}" is no moment: expected the number of a transaction, "now" or "snapshot:NAME"`,
    'An artifact is compared in its collection: skillmeat -C DIR, or --collection.',
  );
}
