import { keyOf, resolveArtifact } from '../../collection/index.js';
import { toJsonArtifact } from '../artifact-json.js';
import { readCollection } from '../collection-root.js';
import type { Context } from '../context.js';
import { describeArtifact } from '../describe-collection.js';
import { type ExitCode, success } from '../exit-codes.js';

export async function show(context: Context, address: string): Promise<ExitCode> {
  const { output } = context;
  const reader = await readCollection(context);
  const { manifest, lock } = await reader.files();
  const key = resolveArtifact(manifest, address);
  const { artifact, state } = await reader.artifactStatus(key);
  const entry = lock.get(keyOf(artifact));
  const locked =
    entry === undefined ? null : { contentHash: entry.contentHash, fetched: entry.fetched ?? null };
  output.answer(
    { artifact: toJsonArtifact(artifact), state, lock: locked },
    describeArtifact(artifact, state, output.style),
  );
  return success;
}
