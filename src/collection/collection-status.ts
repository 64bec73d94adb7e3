import type { PathEntry, ReadableView } from '../engine/index.js';
import { type Artifact, type ArtifactKey, artifactTypes, keyOf } from './artifact.js';
import type { CollectionFiles } from './collection-files.js';
import { isCollectionError } from './errors.js';
import { type CollectionFinding, type ContentHashOf, findingsOf } from './findings.js';

/**
 * `unchanged`: as the lock has it. `modified`: edited by hand. `missing`: its files are gone.
 * `broken`: another rule does not hold for it.
 */
export type ArtifactState = 'unchanged' | 'modified' | 'missing' | 'broken';

export interface ArtifactStatus {
  readonly artifact: Artifact;
  readonly state: ArtifactState;
}

export interface CollectionStatus {
  readonly artifacts: readonly ArtifactStatus[];
  /** What breaks a rule, edits by hand left out. */
  readonly findings: readonly CollectionFinding[];
  /** What lies where artifacts live, and is none. */
  readonly untracked: readonly string[];
}

/** Compares each artifact with the lock. @param hashOf as that of {@link findingsOf}. */
export async function statusOf(
  files: CollectionFiles,
  view: ReadableView,
  hashOf?: ContentHashOf,
): Promise<CollectionStatus> {
  const all = await findingsOf(files, view, { hashOf, namesUnreadable: true });
  const byKey = new Map<ArtifactKey | null, CollectionFinding[]>();
  for (const finding of all) {
    const same = byKey.get(finding.artifact);
    if (same === undefined) byKey.set(finding.artifact, [finding]);
    else same.push(finding);
  }
  const known = files.manifest.all();
  const artifacts = known.map((artifact) => ({
    artifact,
    state: stateOf(byKey.get(keyOf(artifact)) ?? []),
  }));
  return {
    artifacts,
    findings: all.filter(({ rule }) => rule !== 'C5'),
    untracked: await untrackedIn(known, view),
  };
}

/** What an artifact's findings come to. */
export function stateOf(findings: readonly CollectionFinding[]): ArtifactState {
  if (findings.length === 0) return 'unchanged';
  if (findings.some(({ isMissing }) => isMissing)) return 'missing';
  return findings.every(({ rule }) => rule === 'C5') ? 'modified' : 'broken';
}

/** Returns what lies where artifacts live, and is none of these. */
export async function untrackedIn(
  artifacts: readonly Artifact[],
  view: ReadableView,
): Promise<readonly string[]> {
  const known = artifacts.map(({ path }) => path);
  const tracked = new Set<string>(known);
  const parents = new Set(known.flatMap(ancestorsOf));
  const found: string[] = [];
  for (const { directory } of Object.values(artifactTypes)) {
    for (const { name } of await listIfReadable(view, directory)) {
      const path = `${directory}/${name}`;
      if (!name.startsWith('.') && !tracked.has(path) && !parents.has(path)) found.push(path);
    }
  }
  return found;
}

/** What cannot be read has been told, artifact by artifact. */
async function listIfReadable(view: ReadableView, path: string): Promise<readonly PathEntry[]> {
  try {
    return (await view.list(path)) ?? [];
  } catch (error) {
    if (!isCollectionError(error, 'COLLECTION_UNREADABLE')) throw error;
    return [];
  }
}

function ancestorsOf(path: string): readonly string[] {
  const names = path.split('/');
  return names.slice(1).map((_, index) => names.slice(0, index + 1).join('/'));
}
