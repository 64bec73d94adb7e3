import {
  addressOf,
  type Artifact,
  isCollectionError,
  isOutdated,
  keyOf,
  type LockEntry,
  type UpdateLook,
} from '../../collection/index.js';
import { toJsonFailedLook, toJsonFinding } from '../artifact-json.js';
import { type CollectionAtHand, readCollectionStatus } from '../collection-root.js';
import type { Context } from '../context.js';
import { describeCollectionStatus, type UpstreamStatus } from '../describe-collection.js';
import { type ExitCode, hasFindings, success } from '../exit-codes.js';
import { openFetcherForCommand } from '../fetching.js';
import { KnownUpstreams } from '../known-upstreams.js';

export interface StatusFlags {
  readonly outdated?: boolean;
}

/**
 * Exits with 3 when a rule is broken, or a source could not be asked; an edit by hand breaks none, and
 * neither does a newer version upstream.
 */
export async function collectionStatus(
  context: Context,
  { outdated: asks = false }: StatusFlags,
): Promise<ExitCode> {
  const { output } = context;
  context.onProgress('comparing artifacts with the lock');
  const found = await readCollectionStatus(context);
  const { root, status } = found;
  const known = new KnownUpstreams();
  const failed = asks ? await ask(context, found, known) : [];
  const artifacts = status.artifacts.map(({ artifact, state }) => ({
    artifact,
    state,
    upstream: upstreamStatus(found, artifact, known),
  }));
  const { findings, untracked } = status;
  output.answer(
    {
      root,
      artifacts: artifacts.map(({ artifact: { name, type, path }, state, upstream }) => ({
        name,
        type,
        path,
        state,
        upstream: upstream ?? null,
      })),
      untracked,
      findings: findings.map(toJsonFinding),
      failed: failed.map(toJsonFailedLook),
    },
    describeCollectionStatus(root, { artifacts, findings, untracked, asked: asks }, output.style),
  );
  return findings.length === 0 && failed.length === 0 ? success : hasFindings;
}

type FailedLook = Extract<UpdateLook, { kind: 'failed' }>;

/** Asks the upstreams of all artifacts. @returns those that gave no answer. */
async function ask(
  context: Context,
  { reader, files }: CollectionAtHand,
  known: KnownUpstreams,
): Promise<readonly FailedLook[]> {
  await using fetcher = await openFetcherForCommand(context);
  const looks = await reader.lookForUpdates([...files.manifest.keys], fetcher, { isPatient: true });
  known.remember(looks);
  const failed = looks.flatMap((look) => (look.kind === 'failed' ? [look] : []));
  for (const { key, error } of failed) {
    context.output.warn(`${addressOf(key)}: ${error.message} [${error.code}]`);
  }
  return failed;
}

/** What upstream was last seen to have of an artifact; `undefined` when nobody ever looked. */
function upstreamStatus(
  { files }: CollectionAtHand,
  artifact: Artifact,
  known: KnownUpstreams,
): UpstreamStatus | undefined {
  const seen = known.of(artifact);
  if (seen === undefined) return undefined;
  const { sha = null, version = null, at } = seen;
  return {
    isOutdated: isOutdated(artifact, lockEntryOf(files, artifact), seen),
    sha,
    version,
    seenAt: at,
  };
}

/** A mistake in it is a finding of its own. */
function lockEntryOf(
  { lock }: CollectionAtHand['files'],
  artifact: Artifact,
): LockEntry | undefined {
  try {
    return lock.get(keyOf(artifact));
  } catch (error) {
    if (!isCollectionError(error, 'TOML_INVALID')) throw error;
    return undefined;
  }
}
