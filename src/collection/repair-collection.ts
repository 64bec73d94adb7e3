import { type Artifact, type ArtifactKey, idOf, isArtifactType, pathFor } from './artifact.js';
import type { Draft } from './draft.js';
import { type CollectionFinding, type ContentHashOf, findingsOf, isInside } from './findings.js';

/** What can be done about a finding. `none`: only a person can decide. */
export type CollectionRepairAction =
  | 'put-back'
  | 'lock-as-is'
  | 'record-artifact'
  | 'drop-entry'
  | 'trust-lock'
  | 'none';

/** A finding and what is done about it. */
export interface CollectionRepair {
  readonly finding: CollectionFinding;
  readonly action: CollectionRepairAction;
  /** What is done, or what a person can do. */
  readonly message: string;
}

/** The answer to a finding of files that can be read. */
type FindingRepair = CollectionRepair & {
  readonly action: Exclude<CollectionRepairAction, 'put-back'>;
};

/**
 * Decides what to do about each finding, edits by hand left out, and does it to the draft. The lock
 * says what is installed, so where the two files disagree about a version, it is right.
 *
 * @param hashOf as that of {@link findingsOf}.
 */
export async function repairDraft(
  draft: Draft,
  hashOf?: ContentHashOf,
): Promise<readonly CollectionRepair[]> {
  const files = { manifest: draft.manifest, lock: draft.lock };
  const findings = await findingsOf(files, draft.tx, { hashOf });
  const repairs: CollectionRepair[] = [];
  const done = new Set<string>();
  for (const finding of findings) {
    if (finding.rule === 'C5') continue;
    const repair = await repairFinding(draft, finding);
    // One answer may be for several findings, as about the fields that two files disagree in.
    const name = `${repair.action} ${finding.artifact ?? ''}`;
    if (repair.action !== 'none' && !done.has(name) && finding.artifact !== null) {
      await act(draft, finding.artifact, repair.action);
    }
    done.add(name);
    repairs.push(repair);
  }
  return repairs;
}

async function repairFinding(draft: Draft, finding: CollectionFinding): Promise<FindingRepair> {
  const { rule, artifact: key, path } = finding;
  if (key === null || rule === 'C1') {
    return { finding, action: 'none', message: `correct ${path} by hand` };
  }
  const { type, name } = idOf(key);
  const artifact = draft.manifest.get(key);
  switch (rule) {
    case 'C2':
      return artifact === undefined
        ? { finding, ...(await answerOrphan(draft, key)) }
        : { finding, ...(await answerUnlocked(draft, artifact)) };
    case 'C3':
      return { finding, action: 'trust-lock', message: 'make the manifest say what the lock says' };
    case 'C4':
      return {
        finding,
        action: 'none',
        message: `bring it back (skillmeat restore, skillmeat add --force), or: skillmeat remove ${type}/${name}`,
      };
    case 'C5':
      return { finding, action: 'none', message: 'an edit by hand is allowed' };
  }
}

type Answer = Pick<FindingRepair, 'action' | 'message'>;

async function answerOrphan(draft: Draft, key: ArtifactKey): Promise<Answer> {
  const path = await placeOf(draft, key);
  return path === undefined
    ? { action: 'drop-entry', message: 'take its entry out of the lock: nothing of it is here' }
    : { action: 'record-artifact', message: `name ${path} in the manifest again` };
}

async function answerUnlocked(draft: Draft, { path, name, type }: Artifact): Promise<Answer> {
  const isThere = isInside(path) && (await draft.tx.stat(path)) !== undefined;
  return isThere
    ? { action: 'lock-as-is', message: `lock ${path} as it is` }
    : { action: 'none', message: `nothing of it is here: skillmeat remove ${type}/${name}` };
}

async function act(draft: Draft, key: ArtifactKey, action: FindingRepair['action']): Promise<void> {
  const entry = draft.lock.get(key);
  switch (action) {
    case 'lock-as-is':
      await draft.lockContent(key, draft.artifact(key));
      return;
    case 'record-artifact': {
      const path = await placeOf(draft, key);
      if (path === undefined || entry === undefined) return;
      draft.name(
        { ...idOf(key), path, origin: entry.upstream === undefined ? 'local' : 'github' },
        entry,
      );
      draft.allowDifference(key);
      return;
    }
    case 'drop-entry':
      draft.unlock(key);
      return;
    case 'trust-lock':
      draft.setArtifact(key, {
        upstream: entry?.upstream,
        resolved_sha: entry?.resolvedSha,
        resolved_version: entry?.resolvedVersion,
      });
      draft.allowDifference(key);
      return;
    case 'none':
  }
}

/** Where an artifact of this name would be, if it is there. */
async function placeOf(draft: Draft, key: ArtifactKey): Promise<string | undefined> {
  const { type, name } = idOf(key);
  if (!isArtifactType(type)) return undefined;
  for (const isFile of [false, true]) {
    const path = pathFor(type, name, isFile);
    if (!isInside(path)) continue;
    const found = await draft.tx.stat(path);
    if (found?.kind === (isFile ? 'file' : 'directory')) return path;
  }
  return undefined;
}
