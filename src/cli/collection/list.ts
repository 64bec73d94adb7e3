import { parseArtifactType } from '../../collection/index.js';
import { toJsonArtifact } from '../artifact-json.js';
import { readCollection } from '../collection-root.js';
import type { Context } from '../context.js';
import { describeArtifacts } from '../describe-collection.js';
import { type ExitCode, success } from '../exit-codes.js';

export interface ListFlags {
  readonly type?: string;
  readonly tag?: readonly string[];
}

export async function list(context: Context, { type, tag = [] }: ListFlags): Promise<ExitCode> {
  const wanted = type === undefined ? undefined : parseArtifactType(type);
  const reader = await readCollection(context);
  const artifacts = (await reader.artifacts()).filter(
    (artifact) =>
      (wanted === undefined || artifact.type === wanted) &&
      tag.every((one) => artifact.tags.includes(one)),
  );
  const { output } = context;
  output.answer(
    { artifacts: artifacts.map(toJsonArtifact) },
    describeArtifacts(artifacts, output.style),
  );
  return success;
}
