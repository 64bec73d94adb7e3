import {
  type Artifact,
  type ArtifactKey,
  type CollectionChange,
  type CollectionFinding,
  idOf,
  type UpdateLook,
} from '../collection/index.js';
import { toJsonReceipt } from './json-shapes.js';

/** An artifact as `--json` prints it: every key is there. */
export function toJsonArtifact(artifact: Artifact): object {
  const { name, type, path, origin, added, tags, metadata } = artifact;
  return {
    name,
    type,
    path,
    origin,
    added,
    upstream: artifact.upstream ?? null,
    versionSpec: artifact.versionSpec ?? null,
    resolvedSha: artifact.resolvedSha ?? null,
    resolvedVersion: artifact.resolvedVersion ?? null,
    lastUpdated: artifact.lastUpdated ?? null,
    tags,
    description: metadata.description ?? null,
    metadata: {
      title: metadata.title ?? null,
      description: metadata.description ?? null,
      author: metadata.author ?? null,
      license: metadata.license ?? null,
      version: metadata.version ?? null,
      dependencies: metadata.dependencies,
      tools: metadata.tools,
    },
  };
}

export function toJsonChange({ receipt, artifacts }: CollectionChange): object {
  return { ...toJsonReceipt(receipt), artifacts: artifacts.map(toJsonId) };
}

function toJsonId(key: ArtifactKey): object {
  const { name, type } = idOf(key);
  return { name, type };
}

export function toJsonFinding({ rule, artifact, path, message }: CollectionFinding): object {
  return { rule, artifact: artifact === null ? null : toJsonId(artifact), path, message };
}

/** A source that gave no answer. */
export function toJsonFailedLook({ key, error }: Extract<UpdateLook, { kind: 'failed' }>): object {
  return { ...idOf(key), code: error.code, message: error.message };
}
