import {
  addressOf,
  type AvailableUpdate,
  type UpdateLook,
  resolveArtifact,
} from '../../collection/index.js';
import { toJsonFailedLook } from '../artifact-json.js';
import { readCollection } from '../collection-root.js';
import type { Context } from '../context.js';
import { type ExitCode, hasFindings, success } from '../exit-codes.js';
import { openFetcherForCommand } from '../fetching.js';
import { KnownUpstreams } from '../known-upstreams.js';
import { counted, printable } from '../printable.js';

/** Lists what `update` would bring in; exits with 3 when a source could not be asked. */
export async function outdated(context: Context, addresses: readonly string[]): Promise<ExitCode> {
  const { output } = context;
  const reader = await readCollection(context);
  await using fetcher = await openFetcherForCommand(context);
  const { manifest } = await reader.files();
  const keys =
    addresses.length === 0
      ? [...manifest.keys]
      : addresses.map((address) => resolveArtifact(manifest, address));
  const looks = await reader.lookForUpdates(keys, fetcher, { isPatient: true });
  new KnownUpstreams().remember(looks);
  const available = looks.flatMap((look) => (look.kind === 'available' ? [look.update] : []));
  const failed = looks.flatMap((look) => (look.kind === 'failed' ? [look] : []));
  for (const { key, error } of failed) {
    output.warn(`${addressOf(key)}: ${error.message} [${error.code}]`);
  }
  output.answer(
    { outdated: available.map(toJsonAvailable), failed: failed.map(toJsonFailedLook) },
    (available.length === 0 ? describeOthers(looks) : available.map(describeAvailable)).join('\n'),
  );
  return failed.length === 0 ? success : hasFindings;
}

/** How many are up to date, and how many nobody can say that of. */
function describeOthers(looks: readonly UpdateLook[]): readonly string[] {
  const count = (wanted: UpdateLook['kind']): number =>
    looks.filter(({ kind }) => kind === wanted).length;
  const [current, unlinked] = [count('current'), count('unlinked')];
  const lines = [
    ...(current === 0 ? [] : [`${counted(current, 'artifact')} up to date.`]),
    ...(unlinked === 0 ? [] : [`${counted(unlinked, 'artifact')} without an upstream.`]),
  ];
  return looks.length === 0 ? ['No artifacts.'] : lines;
}

function toJsonAvailable({ artifact, fetched }: AvailableUpdate): object {
  return {
    name: artifact.name,
    type: artifact.type,
    upstream: artifact.upstream ?? null,
    versionSpec: artifact.versionSpec ?? null,
    from: { sha: artifact.resolvedSha ?? null, version: artifact.resolvedVersion ?? null },
    to: { sha: fetched.resolvedSha ?? null, version: fetched.resolvedVersion ?? null },
  };
}

function describeAvailable({ artifact, fetched }: AvailableUpdate): string {
  const from = artifact.resolvedVersion ?? artifact.resolvedSha?.slice(0, 7) ?? 'unknown';
  const to = fetched.resolvedVersion ?? fetched.resolvedSha?.slice(0, 7) ?? 'unknown';
  return printable(`${artifact.type}/${artifact.name}  ${from} → ${to}`);
}
