import type { Transaction } from '../engine/index.js';
import { addressOf, type Artifact, type ArtifactId, type ArtifactKey, keyOf } from './artifact.js';
import type { CollectionFiles } from './collection-files.js';
import { contentHash } from './content-hash.js';
import { CollectionError } from './errors.js';
import { isInside } from './findings.js';
import { parseFrontMatter, readFrontMatter } from './front-matter.js';
import type { LockFile } from './lock-file.js';
import { lockName } from './lock-file.js';
import { type Manifest, manifestName } from './manifest.js';
import { changedMetadata, metadataEdits } from './metadata.js';
import type { TableEdits } from './toml/edit-table.js';

/** Where an artifact came from, as the manifest and the lock both say it (C3). */
export interface Provenance {
  readonly upstream: string | undefined;
  readonly resolvedSha: string | undefined;
  readonly resolvedVersion: string | undefined;
}

/** An artifact that comes into the collection. */
export interface NewArtifact extends Provenance {
  readonly name: string;
  readonly type: string;
  /** Relative to the collection. */
  readonly path: string;
  /** `local` or `github`. */
  readonly origin: string;
  readonly versionSpec: string | undefined;
  readonly tags: readonly string[];
}

/** The manifest, the lock and the artifacts of one transaction, while it is collected. */
export class Draft {
  readonly tx: Transaction;
  /** When the transaction happens, as the files write it. */
  readonly time: string;
  /** Both files as the transaction found them. */
  readonly before: CollectionFiles;
  #manifest: Manifest;
  #lock: LockFile;
  readonly #keys = new Set<ArtifactKey>();
  readonly #mayDiffer = new Set<ArtifactKey>();
  readonly #renamed = new Map<ArtifactKey, ArtifactKey>();

  constructor(tx: Transaction, files: CollectionFiles, time: string) {
    this.tx = tx;
    this.time = time;
    this.before = files;
    this.#manifest = files.manifest;
    this.#lock = files.lock;
  }

  get manifest(): Manifest {
    return this.#manifest;
  }

  get lock(): LockFile {
    return this.#lock;
  }

  /** Artifacts that were touched. */
  get keys(): ReadonlySet<ArtifactKey> {
    return this.#keys;
  }

  /** Artifacts that may differ from the lock afterwards. */
  get mayDiffer(): ReadonlySet<ArtifactKey> {
    return this.#mayDiffer;
  }

  /** What the transaction found the artifact called. */
  nameBefore(key: ArtifactKey): ArtifactKey {
    return this.#renamed.get(key) ?? key;
  }

  /** @throws {CollectionError} `ARTIFACT_NOT_FOUND`. */
  artifact(key: ArtifactKey): Artifact {
    const artifact = this.#manifest.get(key);
    if (artifact !== undefined) return artifact;
    throw artifactNotFound(key);
  }

  /** Tells whether the artifact is there and not as the lock has it. */
  async isModified(key: ArtifactKey): Promise<boolean> {
    const { path } = this.artifact(key);
    const hash = await contentHash(this.tx, path);
    return hash !== undefined && hash !== this.#lock.get(key)?.contentHash;
  }

  /** The artifact's front matter; to be asked before it is replaced. */
  async frontMatterOf(key: ArtifactKey): Promise<string> {
    const artifact = this.#manifest.get(key);
    if (artifact === undefined || !isInside(artifact.path)) return '';
    return readFrontMatter(this.tx, artifact);
  }

  /** Makes the manifest say what the artifact, which was replaced, says of itself now. */
  async describe(key: ArtifactKey, frontMatterBefore: string): Promise<void> {
    const frontMatter = await this.frontMatterOf(key);
    if (frontMatter === frontMatterBefore) return;
    const edits = changedMetadata({
      current: this.artifact(key).metadata,
      before: (await parseFrontMatter(frontMatterBefore)).metadata,
      after: (await parseFrontMatter(frontMatter)).metadata,
    });
    if (Object.keys(edits).length === 0) return;
    this.#keys.add(key);
    this.#manifest = this.#manifest.editMetadata(key, edits);
  }

  /**
   * Names an artifact whose files are in place, in both files.
   *
   * @param frontMatterBefore that of the one that it replaces.
   */
  async record(artifact: NewArtifact, frontMatterBefore = ''): Promise<ArtifactKey> {
    const key = keyOf(artifact);
    const { name, type, path, origin, upstream, versionSpec, resolvedSha, resolvedVersion } =
      artifact;
    const values = {
      path,
      origin,
      added: this.time,
      upstream,
      version_spec: versionSpec,
      resolved_sha: resolvedSha,
      resolved_version: resolvedVersion,
      last_updated: upstream === undefined ? undefined : this.time,
    };
    const { added: _added, ...renewed } = values;
    this.#keys.add(key);
    if (this.#manifest.has(key)) {
      const tags = artifact.tags.length > 0 ? { tags: artifact.tags } : {};
      this.#manifest = this.#manifest.edit(key, { ...renewed, ...tags });
      await this.describe(key, frontMatterBefore);
    } else {
      const own = await parseFrontMatter(await readFrontMatter(this.tx, artifact));
      const all = [...new Set([...artifact.tags, ...own.tags])];
      const tags = all.length > 0 ? { tags: all } : {};
      const metadata = metadataEdits(own.metadata);
      this.#manifest = this.#manifest.add({ name, type, ...values, ...tags }, metadata);
    }
    await this.lockContent(key, artifact);
    return key;
  }

  /** Makes the lock say what is in place now. */
  async lockContent(key: ArtifactKey, from: Provenance): Promise<void> {
    const hash = await contentHash(this.tx, this.artifact(key).path);
    this.setLock(key, {
      content_hash: hash ?? '',
      fetched: this.time,
      upstream: from.upstream,
      resolved_sha: from.resolvedSha,
      resolved_version: from.resolvedVersion,
    });
  }

  /** Names an artifact in the manifest whose entry the lock has already. */
  name(
    artifact: ArtifactId & { readonly path: string; readonly origin: string },
    from: Provenance,
  ): void {
    const { name, type, path, origin } = artifact;
    this.#keys.add(keyOf(artifact));
    this.#manifest = this.#manifest.add({
      name,
      type,
      path,
      origin,
      added: this.time,
      upstream: from.upstream,
      resolved_sha: from.resolvedSha,
      resolved_version: from.resolvedVersion,
    });
  }

  /** Takes an entry out of the lock that the manifest does not name. */
  unlock(key: ArtifactKey): void {
    this.#keys.add(key);
    this.#lock = this.#lock.remove(key);
  }

  setArtifact(key: ArtifactKey, edits: TableEdits): void {
    this.#keys.add(key);
    this.#manifest = this.#manifest.edit(key, edits);
  }

  setLock(key: ArtifactKey, values: TableEdits): void {
    this.#keys.add(key);
    this.#lock = this.#lock.set(key, values);
  }

  /** Gives the artifact another name in both files; a `path` of its own where it moves. */
  rename(
    key: ArtifactKey,
    to: { readonly key: ArtifactKey; readonly name: string; readonly path: string },
  ): void {
    this.#keys.add(key).add(to.key);
    this.#renamed.set(to.key, this.nameBefore(key));
    this.#manifest = this.#manifest.edit(key, { name: to.name, path: to.path });
    this.#lock = this.#lock.rename(key, to.key);
  }

  /** Takes artifacts out of both files; their own files are the caller's to remove. */
  forget(keys: ReadonlySet<ArtifactKey>): void {
    // The last one first: then those before it stand where they did.
    for (const key of [...this.#manifest.keys].toReversed()) {
      if (!keys.has(key)) continue;
      this.#keys.add(key);
      this.#manifest = this.#manifest.remove(key);
      this.#lock = this.#lock.remove(key);
    }
  }

  /** Makes both files say of the artifact what other ones say, or that it is not there. */
  putBack(key: ArtifactKey, from: CollectionFiles | undefined): void {
    this.#keys.add(key);
    const inManifest = from?.manifest.textOf(key);
    if (inManifest !== undefined) this.#manifest = this.#manifest.put(key, inManifest);
    else if (this.#manifest.has(key)) this.#manifest = this.#manifest.remove(key);
    const inLock = from?.lock.textOf(key);
    this.#lock = inLock === undefined ? this.#lock.remove(key) : this.#lock.put(key, inLock);
  }

  /** The artifact may be other than the lock has it: somebody decided so. */
  allowDifference(key: ArtifactKey): void {
    this.#keys.add(key);
    this.#mayDiffer.add(key);
  }

  /** Writes the files that changed; both when the collection is new. */
  async save(isNew: boolean): Promise<void> {
    const isManifestSame = this.#manifest.isSame(this.before.manifest);
    const isLockSame = this.#lock.isSame(this.before.lock);
    if (isManifestSame && isLockSame && !isNew) return;
    this.#manifest = this.#manifest.touch(this.time);
    await this.tx.write(manifestName, this.#manifest.bytes);
    if (!isLockSame || isNew) await this.tx.write(lockName, this.#lock.bytes);
  }
}

export function artifactNotFound(key: ArtifactKey): CollectionError {
  return new CollectionError('ARTIFACT_NOT_FOUND', `the collection has no ${addressOf(key)}`, {
    path: addressOf(key),
    hint: 'Somebody removed it meanwhile. See: skillmeat list',
  });
}
