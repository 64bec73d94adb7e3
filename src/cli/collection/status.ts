import { toJsonFinding } from '../artifact-json.js';
import { readCollection } from '../collection-root.js';
import type { Context } from '../context.js';
import { describeCollectionStatus } from '../describe-collection.js';
import { type ExitCode, hasFindings, success } from '../exit-codes.js';

/** Exits with 3 when a rule is broken; an edit by hand breaks none. */
export async function collectionStatus(context: Context): Promise<ExitCode> {
  const { output } = context;
  const reader = await readCollection(context);
  const status = await reader.status();
  const artifacts = status.artifacts.map(({ artifact: { name, type, path }, state }) => ({
    name,
    type,
    path,
    state,
  }));
  const { findings, untracked } = status;
  output.answer(
    { root: reader.root, artifacts, untracked, findings: findings.map(toJsonFinding) },
    describeCollectionStatus(reader.root, status, output.style),
  );
  return findings.length === 0 ? success : hasFindings;
}
