import { toJsonFinding } from '../artifact-json.js';
import { readCollectionStatus } from '../collection-root.js';
import type { Context } from '../context.js';
import { describeCollectionStatus } from '../describe-collection.js';
import { type ExitCode, hasFindings, success } from '../exit-codes.js';

/** Exits with 3 when a rule is broken; an edit by hand breaks none. */
export async function collectionStatus(context: Context): Promise<ExitCode> {
  const { output } = context;
  const { root, status } = await readCollectionStatus(context);
  const artifacts = status.artifacts.map(({ artifact: { name, type, path }, state }) => ({
    name,
    type,
    path,
    state,
  }));
  const { findings, untracked } = status;
  output.answer(
    { root, artifacts, untracked, findings: findings.map(toJsonFinding) },
    describeCollectionStatus(root, status, output.style),
  );
  return findings.length === 0 ? success : hasFindings;
}
