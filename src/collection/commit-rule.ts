import { posix } from 'node:path';
import type { Change, ReadableView, Rule, Violation } from '../engine/index.js';
import type { ArtifactKey } from './artifact.js';
import { type CollectionFiles, readFiles } from './collection-files.js';
import { isCollectionError } from './errors.js';
import { type CollectionFinding, findingsOf } from './findings.js';
import { lockName } from './lock-file.js';
import { manifestName } from './manifest.js';

export interface Committing {
  readonly root: string;
  /** The directory before the transaction. */
  readonly before: ReadableView;
  /** What the transaction found; `undefined` when it makes the collection. */
  readonly filesBefore: CollectionFiles | undefined;
  /** What the transaction means to write; what it does write is read all the same. */
  readonly filesMeant: CollectionFiles | undefined;
  /**
   * Artifacts that the transaction means to touch; `undefined` when nobody knows: then all are looked at.
   * `changed`: those of which it changes a line or a file, so that what it costs is up to the change.
   */
  readonly keys: ReadonlySet<ArtifactKey> | 'changed' | undefined;
  /** Artifacts that may differ from their lock afterwards: somebody decided so. */
  readonly mayDiffer: ReadonlySet<ArtifactKey>;
}

/**
 * C1–C5 as a commit rule (I6), asked for what is known when the changes are collected: the result may
 * not break one that was not broken before, so a broken collection can only get better. Looks at the
 * artifacts that the transaction touches, and at those whose files it changes with them; at all of
 * them when it touches something that belongs to none.
 */
export function commitRule(committing: () => Committing): Rule {
  return async (view, changes) => {
    const { root, before, filesBefore, filesMeant, keys, mayDiffer } = committing();
    let files;
    try {
      files = await readFiles(view, root, filesMeant);
    } catch (error) {
      if (!isCollectionError(error, 'TOML_INVALID', 'COLLECTION_NOT_FOUND')) throw error;
      return [{ rule: 'C1', message: error.message, path: manifestName }];
    }
    const touched = keys === undefined ? undefined : touchedKeys(keys, changes, filesBefore, files);
    const found = (await findingsOf(files, view, { keys: touched })).filter(
      ({ rule, artifact }) => rule !== 'C5' || artifact === null || !mayDiffer.has(artifact),
    );
    if (found.length === 0) return [];
    const known =
      filesBefore === undefined ? [] : await findingsOf(filesBefore, before, { keys: touched });
    return found
      .filter((finding) => !known.some((old) => isSameFinding(old, finding)))
      .map(toViolation);
  };
}

function isSameFinding(a: CollectionFinding, b: CollectionFinding): boolean {
  return a.rule === b.rule && a.artifact === b.artifact;
}

function toViolation({ rule, message, path }: CollectionFinding): Violation {
  return { rule, message, path };
}

/**
 * Returns `undefined`, which is all, when a change lies outside of what was meant, or of every artifact: one
 * may have a link to it.
 */
function touchedKeys(
  meant: ReadonlySet<ArtifactKey> | 'changed',
  changes: readonly Change[],
  before: CollectionFiles | undefined,
  after: CollectionFiles,
): ReadonlySet<ArtifactKey> | undefined {
  const keys = meant === 'changed' ? new Set<ArtifactKey>() : meant;
  const manifests = [before?.manifest, after.manifest].filter((one) => one !== undefined);
  const places = new Set(
    meant === 'changed'
      ? manifests.flatMap((manifest) => manifest.places)
      : [...keys].flatMap((key) => manifests.flatMap((manifest) => manifest.get(key)?.path ?? [])),
  );
  const isWithin = (path: string): boolean => withAncestors([path]).some((at) => places.has(at));
  // A directory that came or went with what is in it, such as `skills`.
  const isAround = (path: string): boolean => withAncestors([...places]).includes(path);
  const isMeant = ({ path }: Change): boolean =>
    path === manifestName || path === lockName || isWithin(path) || isAround(path);
  if (!changes.every(isMeant)) return undefined;
  return new Set([
    ...keys,
    ...changedKeys(before, after),
    // An artifact may lie inside of another one: what is meant for one of them concerns both.
    ...after.manifest.artifactsAt(new Set(withAncestors(changes.map(({ path }) => path)))),
  ]);
}

/** The paths and the directories above them, each once. */
function withAncestors(paths: readonly string[]): readonly string[] {
  const all = new Set<string>();
  for (const path of paths) {
    for (let at = path; at !== '.' && !all.has(at); at = posix.dirname(at)) all.add(at);
  }
  return [...all];
}

/** Artifacts whose lines in either file changed. */
function changedKeys(
  before: CollectionFiles | undefined,
  after: CollectionFiles,
): Iterable<ArtifactKey> {
  if (before === undefined) return [...after.manifest.keys, ...after.lock.keys];
  return [...after.manifest.changedSince(before.manifest), ...after.lock.changedSince(before.lock)];
}
