import { posix } from 'node:path';
import type { ReadableView } from '../engine/index.js';
import {
  addressOf,
  type Artifact,
  type ArtifactKey,
  artifactTypes,
  isArtifactType,
} from './artifact.js';
import type { CollectionFiles } from './collection-files.js';
import { contentHash } from './content-hash.js';
import { isCollectionError } from './errors.js';
import { lockName, type LockEntry } from './lock-file.js';
import { manifestName } from './manifest.js';

/** The rules of `docs/collections.md`. */
export type CollectionRule = 'C1' | 'C2' | 'C3' | 'C4' | 'C5';

/** Where a collection breaks a rule. */
export interface CollectionFinding {
  readonly rule: CollectionRule;
  /** `null` when it is about a file as a whole. */
  readonly artifact: ArtifactKey | null;
  readonly path: string;
  readonly message: string;
  /** Whether the artifact's files are not there at all. */
  readonly isMissing: boolean;
}

/** Returns the `content_hash` of what is at a path. */
export type ContentHashOf = (path: string) => Promise<string | undefined>;

/**
 * Returns what breaks the rules C1–C5, of these artifacts or of all. An edit by hand is allowed, so
 * C5 only tells that there is one.
 *
 * @param hashOf default: reads every file of the artifact.
 * @param namesUnreadable an artifact that cannot be read is a finding (C4), and no error.
 */
export async function findingsOf(
  files: CollectionFiles,
  view: ReadableView,
  {
    keys = allKeys(files),
    hashOf = (path) => contentHash(view, path),
    namesUnreadable = false,
  }: {
    readonly keys?: ReadonlySet<ArtifactKey> | undefined;
    readonly hashOf?: ContentHashOf | undefined;
    readonly namesUnreadable?: boolean;
  } = {},
): Promise<readonly CollectionFinding[]> {
  const findings: CollectionFinding[] = [...shapeFindings(files)];
  for (const key of keys) {
    findings.push(...(await artifactFindings(files, { view, hashOf, namesUnreadable }, key)));
  }
  return findings;
}

function allKeys({ manifest, lock }: CollectionFiles): ReadonlySet<ArtifactKey> {
  return new Set([...manifest.keys, ...lock.keys]);
}

/** C1, as far as it is about whole files. */
function shapeFindings({ manifest, lock }: CollectionFiles): readonly CollectionFinding[] {
  const found: CollectionFinding[] = [];
  const say = (path: string, message: string, artifact: ArtifactKey | null = null): void => {
    found.push({ rule: 'C1', artifact, path, message, isMissing: false });
  };
  const twice = (key: ArtifactKey): string => `${addressOf(key)} is there more than once`;
  for (const key of manifest.duplicates) say(manifestName, twice(key), key);
  for (const key of lock.duplicates) say(lockName, twice(key), key);
  if (manifest.namelessCount > 0) {
    say(manifestName, `${String(manifest.namelessCount)} artifacts have no name, type or path`);
  }
  return found;
}

async function artifactFindings(
  { manifest, lock }: CollectionFiles,
  {
    view,
    hashOf,
    namesUnreadable,
  }: {
    readonly view: ReadableView;
    readonly hashOf: ContentHashOf;
    readonly namesUnreadable: boolean;
  },
  key: ArtifactKey,
): Promise<readonly CollectionFinding[]> {
  const finding = (rule: CollectionRule, path: string, message: string): CollectionFinding => ({
    rule,
    artifact: key,
    path,
    message,
    isMissing: false,
  });
  let artifact: Artifact | undefined;
  let entry: LockEntry | undefined;
  try {
    artifact = manifest.get(key);
    entry = lock.get(key);
  } catch (error) {
    if (!isCollectionError(error, 'TOML_INVALID')) throw error;
    return [finding('C1', error.path ?? manifestName, error.message)];
  }
  if (artifact === undefined) {
    return entry === undefined
      ? []
      : [finding('C2', manifestName, `${addressOf(key)} is in the lock and not in the manifest`)];
  }
  const unreadable = (error: unknown): PlaceProblem => {
    if (!namesUnreadable || !isCollectionError(error, 'COLLECTION_UNREADABLE')) throw error;
    return { message: `it cannot be read: ${error.message}`, isMissing: false };
  };
  const place = await placeProblem(artifact, view).catch(unreadable);
  const found: CollectionFinding[] =
    place === undefined
      ? []
      : [{ ...finding('C4', artifact.path, place.message), isMissing: place.isMissing }];
  if (entry === undefined) {
    return [
      ...found,
      finding('C2', lockName, `${addressOf(key)} is in the manifest and not in the lock`),
    ];
  }
  for (const message of disagreements(artifact, entry)) {
    found.push(finding('C3', lockName, `${addressOf(key)}: ${message}`));
  }
  // What is not there has been told.
  if (place !== undefined) return found;
  try {
    if ((await hashOf(artifact.path)) === entry.contentHash) return found;
  } catch (error) {
    return [...found, finding('C4', artifact.path, unreadable(error).message)];
  }
  const message = `${addressOf(key)} is not as the lock has it: locally modified`;
  return [...found, finding('C5', artifact.path, message)];
}

function disagreements(artifact: Artifact, entry: LockEntry): readonly string[] {
  const pairs = [
    ['upstream', artifact.upstream, entry.upstream],
    ['resolved_sha', artifact.resolvedSha, entry.resolvedSha],
    ['resolved_version', artifact.resolvedVersion, entry.resolvedVersion],
  ] as const;
  return pairs.flatMap(([name, inManifest, inLock]) =>
    inManifest === inLock
      ? []
      : [`${name} is ${shown(inManifest)} in the manifest and ${shown(inLock)} in the lock`],
  );
}

function shown(value: string | undefined): string {
  return value === undefined ? 'missing' : JSON.stringify(value);
}

type PlaceProblem = Pick<CollectionFinding, 'message' | 'isMissing'>;

async function placeProblem(
  { name, type, path }: Artifact,
  view: ReadableView,
): Promise<PlaceProblem | undefined> {
  const problem = (message: string): PlaceProblem => ({ message, isMissing: false });
  if (!isInside(path)) return problem(`"${path}" leads out of the collection`);
  const found = await view.stat(path);
  if (found === undefined) {
    return { message: `${type} ${name} is missing: there is no ${path}`, isMissing: true };
  }
  const shape = isArtifactType(type) ? artifactTypes[type].shape : 'either';
  const isRight =
    shape === 'either' ? found.kind === 'file' || found.kind === 'directory' : found.kind === shape;
  if (!isRight) {
    const wanted = shape === 'either' ? 'file or directory' : shape;
    return problem(`${type} ${name} is a ${found.kind}; it has to be a ${wanted}`);
  }
  const lacksSkill = type === 'skill' && (await view.stat(`${path}/SKILL.md`)) === undefined;
  return lacksSkill ? problem(`skill ${name} has no SKILL.md`) : undefined;
}

/** Tells whether a path of the manifest stays in the collection, and out of the engine's directory. */
export function isInside(path: string): boolean {
  const normal = posix.normalize(path);
  return (
    path !== '' &&
    !path.includes('\\') &&
    !path.includes('\0') &&
    !posix.isAbsolute(path) &&
    normal !== '.' &&
    !normal.split('/').includes('..') &&
    normal.split('/')[0]?.toLowerCase() !== '.skillmeat'
  );
}
