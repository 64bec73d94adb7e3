import type { ReadableView, Transaction } from '../engine/index.js';
import type { CollectionFiles } from './collection-files.js';
import { untrackedIn } from './collection-status.js';
import { contentHash } from './content-hash.js';
import { Draft } from './draft.js';
import { CollectionError, isCollectionError } from './errors.js';
import { type CollectionFinding, type ContentHashOf, findingsOf } from './findings.js';
import { type KeptFiles, parseLock, parseManifest } from './kept-files.js';
import { type LockFile, lockName } from './lock-file.js';
import { type Manifest, manifestName } from './manifest.js';
import { type CollectionRepair, repairDraft } from './repair-collection.js';

/*
 * A manifest or a lock that is no TOML: history has earlier ones. Of those whose bytes are kept the one
 * is put back that leaves the least for a person to decide, then the least to answer; the newest of several.
 * With it comes the other file of that moment, where that fits better than the one that is there. What then
 * still differs from the files of now is answered as any other finding, in the same transaction.
 */

/** What is there. `undefined`: it is no TOML, and the findings say where. */
export interface PresentFiles {
  readonly manifest: Manifest | undefined;
  readonly lock: LockFile | undefined;
  readonly findings: readonly CollectionFinding[];
}

export interface PutBack {
  readonly repairs: readonly CollectionRepair[];
  /** `undefined`: nothing is kept. */
  readonly draft: Draft | undefined;
}

/** Tells which of the two files cannot be read as TOML (C1), with line and column. */
export async function presentFiles(view: ReadableView): Promise<PresentFiles> {
  const findings: CollectionFinding[] = [];
  const parse = async <T>(path: string, work: (bytes: Uint8Array) => T): Promise<T | undefined> => {
    try {
      return work((await view.read(path)) ?? new Uint8Array());
    } catch (error) {
      if (!isCollectionError(error, 'TOML_INVALID')) throw error;
      const { message } = error;
      findings.push({ rule: 'C1', artifact: null, path, message, isMissing: false });
      return undefined;
    }
  };
  const manifest = await parse(manifestName, parseManifest);
  const lock = await parse(lockName, parseLock);
  return { manifest, lock, findings };
}

/** Chooses what to put back, and stages it. */
export async function putBack(
  tx: Transaction,
  kept: readonly KeptFiles[],
  time: string,
): Promise<PutBack> {
  const present = await presentFiles(tx);
  if (present.findings.length === 0) throw correctedMeanwhile();
  const hashOf = rememberingHashes(tx);
  let best: Candidate | undefined;
  for (const { files, when } of kept.flatMap((one) => pairsWith(present, one))) {
    const draft = new Draft(tx, files, time);
    const repairs = await repairDraft(draft, hashOf);
    const left = await countLeft(draft, hashOf);
    const candidate = { draft, files, when, repairs, left };
    if (best === undefined || isBetter(candidate, best)) best = candidate;
    if (left + repairs.length === 0) break;
  }
  if (best === undefined) {
    return { draft: undefined, repairs: present.findings.map(correctByHand) };
  }
  const { draft, files, when, repairs } = best;
  const paths: string[] = [];
  for (const [path, is, was] of [
    [manifestName, files.manifest, present.manifest],
    [lockName, files.lock, present.lock],
  ] as const) {
    if (is.text === was?.text) continue;
    paths.push(path);
    await tx.write(path, is.bytes);
  }
  await draft.save(false);
  const names = paths.join(' and ');
  const message = `put back ${names}, as ${when}: of what history keeps, that fits best; what is there now stays in history`;
  const answered = present.findings.map((finding) => ({ finding, action, message }) as const);
  return { draft, repairs: [...answered, ...repairs] };
}

const action = 'put-back';

interface Candidate {
  readonly draft: Draft;
  readonly files: CollectionFiles;
  readonly when: string;
  readonly repairs: readonly CollectionRepair[];
  /** How much would be left for a person to decide. */
  readonly left: number;
}

/** Of equals the first one is kept, which is newer. */
function isBetter(one: Candidate, other: Candidate): boolean {
  if (one.left !== other.left) return one.left < other.left;
  return one.repairs.length < other.repairs.length;
}

/** Both files as they may be put together: what is there stays, if it can. */
function pairsWith(
  present: PresentFiles,
  { manifest, lock, when }: KeptFiles,
): readonly { readonly files: CollectionFiles; readonly when: string }[] {
  const completed = { manifest: present.manifest ?? manifest, lock: present.lock ?? lock };
  const isAllBroken = present.manifest === undefined && present.lock === undefined;
  const pairs = isAllBroken ? [completed] : [completed, { manifest, lock }];
  return pairs.flatMap((pair) =>
    pair.manifest === undefined || pair.lock === undefined
      ? []
      : [{ files: { manifest: pair.manifest, lock: pair.lock }, when }],
  );
}

/** What still breaks a rule, artifacts that are not as locked, and what lies about that is none. */
async function countLeft({ tx, manifest, lock }: Draft, hashOf: ContentHashOf): Promise<number> {
  const findings = await findingsOf({ manifest, lock }, tx, { hashOf });
  return findings.length + (await untrackedIn(manifest.all(), tx)).length;
}

function rememberingHashes(view: ReadableView): ContentHashOf {
  const known = new Map<string, Promise<string | undefined>>();
  return (path) => {
    const hash = known.get(path) ?? contentHash(view, path);
    known.set(path, hash);
    return hash;
  };
}

function correctedMeanwhile(): CollectionError {
  return new CollectionError('MANIFEST_CHANGED', 'somebody corrected the files meanwhile', {
    path: manifestName,
    hint: 'Run the repair again.',
  });
}

function correctByHand(finding: CollectionFinding): CollectionRepair {
  const { path } = finding;
  return {
    finding,
    action: 'none',
    message: `correct ${path} by hand: no earlier version of it that can be read is kept`,
  };
}
