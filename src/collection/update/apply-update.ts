import { join } from 'node:path';
import { addressOf, type ArtifactKey } from '../artifact.js';
import type { Draft } from '../draft.js';
import { CollectionError } from '../errors.js';
import type { MergeConflict, MergeCounts, OnConflict } from '../merge/merge-trees.js';
import { writeTree } from '../merge/write-tree.js';
import type { Fetcher } from './fetcher.js';
import type { PreparedUpdate } from './look-for-updates.js';
import { mergeUpdate } from './merge-update.js';

/** `overwrite`: upstream replaces the artifact. `merge`: edits by hand are kept. */
export type UpdateStrategy = 'merge' | 'overwrite';

export interface UpdateChoice {
  readonly strategy: UpdateStrategy;
  readonly onConflict: OnConflict;
}

/** What an update did to an artifact. */
export interface UpdatedArtifact {
  readonly key: ArtifactKey;
  /** Where it is, relative to the collection. */
  readonly path: string;
  /** `overwritten`: edits by hand gave way; they are in history. */
  readonly outcome: 'updated' | 'merged' | 'overwritten';
  readonly from: ResolvedText;
  readonly to: ResolvedText;
  readonly conflicts: readonly MergeConflict[];
  /** Of what was merged only. */
  readonly merge: MergeCounts | undefined;
}

interface ResolvedText {
  readonly sha: string | undefined;
  readonly version: string | undefined;
}

/**
 * Puts one update into a transaction: the artifact, as a whole, and what both files say of it. The
 * lock has upstream's hash, so that kept edits go on being told as such. With `abort` the caller
 * refuses what has conflicts.
 *
 * @throws {CollectionError} `MANIFEST_CHANGED`.
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
  // Through the transaction: an edit that comes after this look makes the commit fail.
  const place = { view: draft.tx, path: now.path };
  const merged = isMerged ? await mergeUpdate(place, update, choice.onConflict) : undefined;
  let from = fetched.path;
  if (merged !== undefined) {
    from = join(fetcher.makeDirectory(), 'merged');
    await writeTree(from, merged.entries);
  }
  const frontMatter = await draft.frontMatterOf(key);
  await draft.tx.copyIn(now.path, from);
  const { upstream, resolvedSha, resolvedVersion } = fetched;
  const resolved = { upstream, resolved_sha: resolvedSha, resolved_version: resolvedVersion };
  draft.setArtifact(key, { ...resolved, last_updated: draft.time });
  await draft.describe(key, frontMatter);
  draft.setLock(key, { content_hash: update.contentHash, fetched: draft.time, ...resolved });
  if (isMerged) draft.allowDifference(key);
  return {
    key,
    path: now.path,
    outcome: isMerged ? 'merged' : isModified ? 'overwritten' : 'updated',
    from: { sha: artifact.resolvedSha, version: artifact.resolvedVersion },
    to: { sha: resolvedSha, version: resolvedVersion },
    conflicts: merged?.conflicts ?? [],
    merge: merged?.counts,
  };
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
