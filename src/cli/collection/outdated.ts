import { type AvailableUpdate, type UpdateLook, resolveArtifact } from '../../collection/index.js';
import { openCollectionForChange } from '../collection-root.js';
import type { Context } from '../context.js';
import { type ExitCode, hasFindings, success } from '../exit-codes.js';
import { openFetcherForCommand } from '../fetching.js';
import { counted, printable } from '../printable.js';

/** Lists what `update` would bring in; exits with 3 when a source could not be asked. */
export async function outdated(context: Context, addresses: readonly string[]): Promise<ExitCode> {
  const { output } = context;
  await using collection = await openCollectionForChange(context, { dryRun: true });
  await using fetcher = await openFetcherForCommand(context);
  const { manifest } = await collection.reader.files();
  const keys =
    addresses.length === 0
      ? [...manifest.keys]
      : addresses.map((address) => resolveArtifact(manifest, address));
  const looks = await collection.lookForUpdates(keys, fetcher, { isPatient: true });
  const available = looks.flatMap((look) => (look.kind === 'available' ? [look.update] : []));
  const failed = looks.flatMap((look) => (look.kind === 'failed' ? [look] : []));
  for (const { key, error } of failed) output.warn(`${key}: ${error.message} [${error.code}]`);
  output.answer(
    { outdated: available.map(toJsonAvailable), failed: failed.map(toJsonFailed) },
    available.length === 0
      ? `${counted(looks.length - failed.length, 'artifact')} looked at; all up to date.`
      : available.map(describeAvailable).join('\n'),
  );
  return failed.length === 0 ? success : hasFindings;
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

function toJsonFailed({ key, error }: Extract<UpdateLook, { kind: 'failed' }>): object {
  return { key, code: error.code, message: error.message };
}

function describeAvailable({ artifact, fetched }: AvailableUpdate): string {
  const from = artifact.resolvedVersion ?? artifact.resolvedSha?.slice(0, 7) ?? 'unknown';
  const to = fetched.resolvedVersion ?? fetched.resolvedSha?.slice(0, 7) ?? 'unknown';
  return printable(`${artifact.type}/${artifact.name}  ${from} → ${to}`);
}
