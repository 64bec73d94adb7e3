import { join } from 'node:path';
import { addressOf, type ArtifactKey } from '../artifact.js';
import type { Draft } from '../draft.js';
import { CollectionError } from '../errors.js';
import { type MergeConflict, mergeTrees, type OnConflict } from '../merge/merge-trees.js';
import { readTree } from '../merge/tree.js';
import { writeTree } from '../merge/write-tree.js';
import type { Fetcher } from './fetcher.js';
import { type AvailableUpdate, type BaseCopy, viewOf } from './look-for-updates.js';

/** `overwrite`: upstream replaces the artifact. `merge`: edits by hand are kept. */
export type UpdateStrategy = 'merge' | 'overwrite';

/** An update with what its merge needs. */
export interface PreparedUpdate extends AvailableUpdate {
  readonly base: BaseCopy | undefined;
}

export interface UpdateChoice {
  readonly strategy: UpdateStrategy;
  readonly onConflict: OnConflict;
}

/** What an update did to an artifact. */
export interface UpdatedArtifact {
  readonly key: ArtifactKey;
  /** `overwritten`: edits by hand gave way; they are in history. */
  readonly outcome: 'updated' | 'merged' | 'overwritten';
  readonly from: ResolvedText;
  readonly to: ResolvedText;
  readonly conflicts: readonly MergeConflict[];
}

interface ResolvedText {
  readonly sha: string | undefined;
  readonly version: string | undefined;
}

/**
 * Puts one update into a transaction: the artifact, as a whole, and what both files say of it. The
 * lock has upstream's hash, so that kept edits go on being told as such.
 *
 * @throws {CollectionError} `MERGE_CONFLICT` (each file in `conflicts`), `MANIFEST_CHANGED`.
 */
export async function applyUpdate(
  draft: Draft,
  update: PreparedUpdate,
  { choice, fetcher }: { readonly choice: UpdateChoice; readonly fetcher: Fetcher },
): Promise<UpdatedArtifact> {
  const { key, artifact, fetched } = update;
  const now = draft.artifact(key);
  if (now.resolvedSha !== artifact.resolvedSha || now.path !== artifact.path) throw changed(key);
  const isModified = await draft.isModified(key);
  const isMerged = isModified && choice.strategy === 'merge';
  const merged = isMerged ? await merge(draft, update, { choice, fetcher }) : undefined;
  const frontMatter = await draft.frontMatterOf(key);
  await draft.tx.copyIn(now.path, merged?.location ?? fetched.path);
  const { upstream, resolvedSha, resolvedVersion } = fetched;
  const resolved = { upstream, resolved_sha: resolvedSha, resolved_version: resolvedVersion };
  draft.setArtifact(key, { ...resolved, last_updated: draft.time });
  await draft.describe(key, frontMatter);
  draft.setLock(key, { content_hash: update.contentHash, fetched: draft.time, ...resolved });
  if (isMerged) draft.allowDifference(key);
  return {
    key,
    outcome: isMerged ? 'merged' : isModified ? 'overwritten' : 'updated',
    from: { sha: artifact.resolvedSha, version: artifact.resolvedVersion },
    to: { sha: resolvedSha, version: resolvedVersion },
    conflicts: merged?.conflicts ?? [],
  };
}

async function merge(
  draft: Draft,
  update: PreparedUpdate,
  { choice, fetcher }: { readonly choice: UpdateChoice; readonly fetcher: Fetcher },
): Promise<{ readonly location: string; readonly conflicts: readonly MergeConflict[] }> {
  const { artifact, base, fetched, key } = update;
  const upstream = viewOf(fetched);
  const last = base === undefined ? undefined : viewOf(base);
  const trees = {
    base: last === undefined ? undefined : await readTree(last.view, last.path),
    // Through the transaction: an edit that comes after this look makes the commit fail.
    ours: await readTree(draft.tx, artifact.path),
    theirs: await readTree(upstream.view, upstream.path),
  };
  const { entries, conflicts } = await mergeTrees(trees, choice.onConflict);
  if (conflicts.length > 0 && choice.onConflict === 'abort') {
    throw conflictError(key, artifact.path, conflicts);
  }
  const location = join(fetcher.makeDirectory(), 'merged');
  await writeTree(location, entries);
  return { location, conflicts };
}

function changed(key: ArtifactKey): CollectionError {
  return new CollectionError(
    'MANIFEST_CHANGED',
    `${addressOf(key)} was changed while its update was fetched`,
    {
      path: addressOf(key),
      hint: 'Run the update again.',
    },
  );
}

function conflictError(
  key: ArtifactKey,
  path: string,
  conflicts: readonly MergeConflict[],
): CollectionError {
  const named = conflicts.map((conflict) => ({
    path: conflict.path === '' ? path : `${path}/${conflict.path}`,
    why: conflict.why,
  }));
  // Several are listed below the message.
  const where = named.length === 1 ? named.map(({ path: at, why }) => `${at} (${why})`) : [];
  const files = where[0] ?? `${String(named.length)} files`;
  return new CollectionError(
    'MERGE_CONFLICT',
    `${addressOf(key)}: edits by hand and upstream disagree in ${files}; nothing was changed`,
    {
      path,
      hint: 'Choose with --on-conflict ours, theirs or markers, or look first: skillmeat diff NAME --upstream',
      conflicts: named,
    },
  );
}
