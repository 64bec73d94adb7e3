import { posix } from 'node:path';
import {
  type DiffChange,
  type HashOf,
  openStore,
  type OpenStoreOptions,
  parseTag,
  type Receipt,
  type Restored,
  type RestoreOptions,
  type RollbackOptions,
  type RollbackReceipt,
  type Store,
  type Transaction,
  type TransactOptions,
  type UndoOptions,
  type UndoReceipt,
} from '../engine/index.js';
import {
  addressOf,
  type Artifact,
  type ArtifactKey,
  artifactTypes,
  type ArtifactType,
  idOf,
  keyOf,
  parseArtifactName,
  timeText,
} from './artifact.js';
import {
  type CollectionFiles,
  readArtifacts,
  readFiles,
  readFilesTogether,
  type SeenFiles,
} from './collection-files.js';
import {
  type ArtifactStatus,
  type CollectionStatus,
  stateOf,
  statusOf,
} from './collection-status.js';
import { commitRule } from './commit-rule.js';
import { contentHash } from './content-hash.js';
import { artifactNotFound, Draft, type NewArtifact } from './draft.js';
import { CollectionError, isCollectionError } from './errors.js';
import {
  findArtifacts,
  type FoundArtifact,
  type FoundArtifacts,
  type SkippedPath,
} from './find-artifacts.js';
import { type CollectionFinding, findingsOf, isInside } from './findings.js';
import { labelOf } from './label.js';
import { decodeToml } from './toml/parse-toml.js';
import { LiveView } from './live-view.js';
import { keptFiles } from './kept-files.js';
import { LockFile, lockName, newLock } from './lock-file.js';
import { Manifest, manifestName, newManifest } from './manifest.js';
import { compareTrees } from './merge/compare-trees.js';
import type { OnConflict } from './merge/merge-trees.js';
import { readTree } from './merge/tree.js';
import { presentFiles, putBack } from './put-back.js';
import { type CollectionRepair, repairDraft } from './repair-collection.js';
import { resolveArtifact } from './resolve-artifact.js';
import { planArtifactRollback, readMoments, sortSelection } from './rollback-artifacts.js';
import { rollbackRule } from './rollback-rule.js';
import { choosePart, knownParts } from './undo-entries.js';
import { applyUpdate, type UpdateChoice, type UpdatedArtifact } from './update/apply-update.js';
import { type Fetcher, sourceOf } from './update/fetcher.js';
import {
  type AvailableUpdate,
  fetchBase,
  lookForUpdates,
  type PreparedUpdate,
  type UpdateLook,
  viewOf,
} from './update/look-for-updates.js';
import { mergeUpdate } from './update/merge-update.js';
import { refuseConflicts } from './update/refuse-conflicts.js';

/** How to run one change of a collection. */
export type ChangeOptions = Pick<TransactOptions, 'message' | 'dryRun' | 'signal' | 'lockWaitMs'>;

/** The answer to a change. */
export interface CollectionChange {
  readonly receipt: Receipt;
  /** The artifacts that it was about. */
  readonly artifacts: readonly ArtifactKey[];
}

/** An artifact to bring in, and where its files are. */
export interface AddedArtifact extends Omit<NewArtifact, 'path'> {
  /** Absolute path of a file or directory. */
  readonly from: string;
  /** Relative to the collection. */
  readonly path: string;
}

/** What of a directory became an artifact. */
export interface ImportedArtifacts extends CollectionChange {
  readonly skipped: readonly SkippedPath[];
}

/** What an update did. */
export interface UpdateChange extends CollectionChange {
  readonly updated: readonly UpdatedArtifact[];
}

/** What an update would do. */
export interface UpdatePreview extends Pick<UpdatedArtifact, 'conflicts' | 'merge'> {
  /** From the artifact as it is now to what would be written. */
  readonly changes: readonly DiffChange[];
}

/** Reads a collection without its lock and without a store. */
export class CollectionReader {
  /** Absolute. */
  readonly root: string;
  readonly #view: LiveView;
  readonly #seen: SeenFiles;

  /** @param seen shared with the collection that this reads. */
  constructor(root: string, seen: SeenFiles = {}) {
    this.root = root;
    this.#view = new LiveView(root);
    this.#seen = seen;
  }

  /** @throws {CollectionError} `COLLECTION_NOT_FOUND`, `TOML_INVALID`. */
  async files(): Promise<CollectionFiles> {
    const files = await readFilesTogether(this.#view, this.root, this.#seen.last);
    this.#seen.last = files;
    return files;
  }

  /** The manifest's artifacts, in its order. */
  async artifacts(): Promise<readonly Artifact[]> {
    return readArtifacts(this.#view, this.root);
  }

  /**
   * Compares everything with the lock. Reads every file of every artifact, unless `hashOf` knows better;
   * {@link Collection.status} does.
   */
  async status(hashOf?: HashOf): Promise<CollectionStatus> {
    const files = await this.files();
    if (hashOf === undefined) return statusOf(files, this.#view);
    const compute = (path: string) => contentHash(this.#view, path);
    return statusOf(files, this.#view, (path) => hashOf(path, () => compute(path)));
  }

  /** Compares one artifact with the lock. @throws {CollectionError} `ARTIFACT_NOT_FOUND`. */
  async artifactStatus(key: ArtifactKey): Promise<ArtifactStatus> {
    const files = await this.files();
    const artifact = files.manifest.get(key);
    if (artifact === undefined) throw artifactNotFound(key);
    return { artifact, state: stateOf(await this.#findingsAbout(key, files)) };
  }

  /** Tells whether an artifact is there, and other than the lock has it, whatever rule it breaks besides. */
  async isModified(key: ArtifactKey): Promise<boolean> {
    const findings = await this.#findingsAbout(key, await this.files());
    return findings.some(({ rule }) => rule === 'C5');
  }

  #findingsAbout(key: ArtifactKey, files: CollectionFiles): Promise<readonly CollectionFinding[]> {
    return findingsOf(files, this.#view, { keys: new Set([key]), namesUnreadable: true });
  }

  /**
   * What somebody changed of an artifact since it was fetched, or what upstream has instead of it.
   *
   * @throws {CollectionError} `ARTIFACT_UNLINKED`, `BASE_LOST`, and what `fetchSource` throws.
   */
  async diff(
    key: ArtifactKey,
    {
      fetcher,
      to,
      hasText,
    }: { readonly fetcher: Fetcher; readonly to: 'local' | 'upstream'; readonly hasText: boolean },
  ): Promise<readonly DiffChange[]> {
    const files = await this.files();
    const { artifact } = await this.artifactStatus(key);
    const local = await readTree(this.#view, artifact.path);
    const source = sourceOf(artifact);
    if (to === 'upstream') {
      await using fetched = await fetcher.fetch(source);
      const { view, path } = viewOf(fetched);
      const trees = { from: local, to: await readTree(view, path) };
      // Read to the end before the copy is gone.
      return await compareTrees(artifact.path, trees, { hasText });
    }
    await using base = await fetchBase(files, key, fetcher);
    if (base === undefined) throw baseLost(artifact);
    const { view, path } = viewOf(base);
    const trees = { from: await readTree(view, path), to: local };
    return await compareTrees(artifact.path, trees, { hasText });
  }

  /**
   * What an update with the strategy `merge` would make of an artifact as it is now.
   *
   * @throws what `fetchSource` throws.
   */
  async previewUpdate(
    update: AvailableUpdate,
    {
      fetcher,
      onConflict,
      hasText,
    }: {
      readonly fetcher: Fetcher;
      readonly onConflict: OnConflict;
      readonly hasText: boolean;
    },
  ): Promise<UpdatePreview> {
    const { artifact, fetched } = update;
    const prepared = await this.prepareMerge(update, fetcher);
    const place = { view: this.#view, path: artifact.path };
    const merged =
      prepared === undefined ? undefined : await mergeUpdate(place, prepared, onConflict);
    const upstream = viewOf(fetched);
    const trees = {
      from: await readTree(this.#view, artifact.path),
      to: merged?.entries ?? (await readTree(upstream.view, upstream.path)),
    };
    return {
      changes: await compareTrees(artifact.path, trees, { hasText }),
      conflicts: merged?.conflicts ?? [],
      merge: merged?.counts,
    };
  }

  /** Fetches what the merge of an artifact that was edited by hand needs; `undefined` for any other. */
  async prepareMerge(
    update: AvailableUpdate,
    fetcher: Fetcher,
  ): Promise<PreparedUpdate | undefined> {
    if (!(await this.isModified(update.key))) return undefined;
    return { ...update, base: await fetchBase(await this.files(), update.key, fetcher) };
  }

  /** What {@link Collection.importArtifacts} would take for artifacts. @throws `NOTHING_TO_IMPORT`. */
  async lookForArtifacts(markdown?: ArtifactType): Promise<FoundArtifacts> {
    const search = await findArtifacts(this.#view, { markdown });
    if (search.found.length === 0) throw nothingToImport(this.root);
    return search;
  }

  /** As {@link lookForArtifacts}, without what the collection, if it is one yet, names already. */
  async lookForNewArtifacts(markdown?: ArtifactType): Promise<FoundArtifacts> {
    const { found, skipped } = await this.lookForArtifacts(markdown);
    try {
      return { found: newTo((await this.files()).manifest, found), skipped };
    } catch (error) {
      if (!isCollectionError(error, 'COLLECTION_NOT_FOUND')) throw error;
      return { found, skipped };
    }
  }

  /** As {@link Collection.lookForUpdates}, which changes nothing either. */
  async lookForUpdates(
    keys: readonly ArtifactKey[],
    fetcher: Fetcher,
    { isPatient = false }: { readonly isPatient?: boolean } = {},
  ): Promise<readonly UpdateLook[]> {
    return lookForUpdates(await this.files(), keys, { fetcher, isPatient });
  }

  /** What of both files is no TOML (C1), with line and column: then nothing else can be told. */
  async brokenFiles(): Promise<readonly CollectionFinding[]> {
    return (await presentFiles(this.#view)).findings;
  }

  /** What breaks the rules C1–C5. */
  async findings(): Promise<readonly CollectionFinding[]> {
    return findingsOf(await this.files(), this.#view);
  }
}

export interface PartialUndoOptions extends UndoOptions {
  /**
   * Of a transaction that is given by its number: what it did to these artifacts (`name`, `type/name`, or
   * their path), in both files as well; anything else in it is a path.
   */
  readonly only?: readonly string[];
}

/** A collection that can be changed: each change is one transaction of its store. */
export class Collection implements AsyncDisposable {
  readonly store: Store;
  readonly reader: CollectionReader;
  readonly #now: () => number;
  readonly #seen: SeenFiles = {};

  /** @param options `now`: milliseconds since 1970; a seam for tests. */
  constructor(
    store: Store,
    { now = Date.now }: { readonly now?: (() => number) | undefined } = {},
  ) {
    this.store = store;
    this.reader = new CollectionReader(store.root, this.#seen);
    this.#now = now;
  }

  get root(): string {
    return this.store.root;
  }

  /**
   * Compares everything with the lock. Of an artifact that did not change since the last time no file
   * is read: the store remembers its hash.
   */
  async status(): Promise<CollectionStatus> {
    return this.store.rememberHashes('content_hash', (hashOf) => this.reader.status(hashOf));
  }

  /**
   * Makes the two files in a directory that has none; artifacts that lie there are left alone.
   *
   * @throws {CollectionError} `COLLECTION_EXISTS`.
   */
  async init(name: string, options: ChangeOptions = {}): Promise<CollectionChange> {
    const terms = { verb: 'init', isNew: true, name };
    return this.#change({ message: `init ${name}`, ...options }, terms, () => []);
  }

  /**
   * Brings artifacts in, all or none.
   *
   * @param force replace artifacts of these names that are there, edited ones too.
   * @throws {CollectionError} `ARTIFACT_EXISTS`.
   * @throws {EngineError} `TAG_INVALID`, and what `Store.transact` throws.
   */
  async add(
    added: readonly AddedArtifact[],
    { force = false, ...options }: ChangeOptions & { readonly force?: boolean } = {},
  ): Promise<CollectionChange> {
    for (const { tags } of added) tags.forEach(parseTag);
    const names = added.map(({ name }) => name).join(', ');
    return this.#change({ message: `add ${names}`, ...options }, { verb: 'add' }, async (draft) => {
      const keys: ArtifactKey[] = [];
      for (const artifact of added) {
        await requireRoom(draft, artifact, force);
        const frontMatter = await draft.frontMatterOf(keyOf(artifact));
        await draft.tx.copyIn(artifact.path, artifact.from);
        keys.push(await draft.record(artifact, frontMatter));
      }
      return keys;
    });
  }

  /**
   * Makes artifacts of what lies in the collection's directory already: the command `import`.
   *
   * @param name what to call the collection, where there is none yet; also for the log.
   * @param markdown the type of Markdown files that lie in no directory named for a type.
   * @param found only these, of {@link CollectionReader.lookForNewArtifacts}; nothing else is looked for.
   * @throws {CollectionError} `NOTHING_TO_IMPORT`.
   */
  async importArtifacts({
    name,
    markdown,
    found,
    ...options
  }: ChangeOptions & {
    readonly name: string;
    readonly markdown?: ArtifactType | undefined;
    readonly found?: readonly FoundArtifact[];
  }): Promise<ImportedArtifacts> {
    let skipped: readonly SkippedPath[] = [];
    const change = await this.#change(
      { message: `import ${name}`, ...options },
      { verb: 'import', name },
      async (draft) => {
        const search =
          found === undefined
            ? await findArtifacts(draft.tx, { markdown })
            : { found, skipped: [] };
        skipped = search.skipped;
        const taken = newTo(draft.manifest, search.found);
        if (taken.length === 0 && draft.manifest.all().length === 0) {
          throw nothingToImport(this.root);
        }
        const keys: ArtifactKey[] = [];
        for (const artifact of taken) {
          keys.push(await draft.record({ ...artifact, ...localProvenance, tags: [] }));
        }
        return keys;
      },
    );
    return { ...change, skipped };
  }

  /**
   * Removes artifacts with their files, all or none.
   *
   * @param force remove edited ones too.
   * @throws {CollectionError} `ARTIFACT_NOT_FOUND`, `ARTIFACT_AMBIGUOUS`, `ARTIFACT_MODIFIED`.
   */
  async remove(
    addresses: readonly string[],
    { force = false, ...options }: ChangeOptions & { readonly force?: boolean } = {},
  ): Promise<CollectionChange> {
    const message = `remove ${addresses.join(', ')}`;
    return this.#change({ message, ...options }, { verb: 'remove' }, async (draft) => {
      const keys = new Set(addresses.map((address) => resolveArtifact(draft.manifest, address)));
      if (!force) await refuseModified(draft, keys);
      for (const key of keys) {
        const { path } = draft.artifact(key);
        if (isInside(path)) await draft.tx.remove(path, { ifPresent: true });
      }
      draft.forget(keys);
      return [...keys];
    });
  }

  /** Gives an artifact another name; its file or directory moves along. */
  async rename(
    address: string,
    newName: string,
    options: ChangeOptions = {},
  ): Promise<CollectionChange> {
    const name = parseArtifactName(newName);
    return this.#change(
      { message: `rename ${address} to ${name}`, ...options },
      { verb: 'rename' },
      async (draft) => {
        const key = resolveArtifact(draft.manifest, address);
        const { type, path } = draft.artifact(key);
        const renamed = keyOf({ type, name });
        if (renamed === key) return [key];
        if (draft.manifest.has(renamed)) throw existsError(renamed, 'Choose another name.');
        const extension = path.endsWith('.md') ? '.md' : '';
        const to = posix.join(posix.dirname(path), `${name}${extension}`);
        // It is what it was: an edit by hand stays one.
        if (await draft.isModified(key)) draft.allowDifference(renamed);
        await draft.tx.rename(path, to);
        draft.rename(key, { key: renamed, name, path: to });
        return [renamed];
      },
    );
  }

  /** Adds tags to artifacts, and takes others away. @throws {EngineError} `TAG_INVALID` of a new one. */
  async tag(
    addresses: readonly string[],
    {
      add = [],
      remove = [],
      ...options
    }: ChangeOptions & { readonly add?: readonly string[]; readonly remove?: readonly string[] },
  ): Promise<CollectionChange> {
    add.forEach(parseTag);
    const message = `tag ${addresses.join(', ')}`;
    return this.#change({ message, ...options }, { verb: 'tag' }, (draft) => {
      const keys = addresses.map((address) => resolveArtifact(draft.manifest, address));
      for (const key of keys) {
        const { tags } = draft.artifact(key);
        const next = [...new Set([...tags, ...add])].filter((tag) => !remove.includes(tag));
        const isSame = next.length === tags.length && next.every((tag, at) => tag === tags[at]);
        if (!isSame) draft.setArtifact(key, { tags: next.length === 0 ? undefined : next });
      }
      return keys;
    });
  }

  /**
   * Looks for a newer version of each artifact.
   *
   * @param isPatient a source that fails is told, instead of failing all.
   * @throws {CollectionError} as `fetchSource` does.
   */
  async lookForUpdates(
    keys: readonly ArtifactKey[],
    fetcher: Fetcher,
    { isPatient = false }: { readonly isPatient?: boolean } = {},
  ): Promise<readonly UpdateLook[]> {
    return this.reader.lookForUpdates(keys, fetcher, { isPatient });
  }

  /**
   * Brings newer versions in, all or none. Edits by hand are merged with what upstream did since the
   * version that is installed, or give way; either way they stay in history.
   *
   * @throws {CollectionError} `MERGE_CONFLICT`, `MANIFEST_CHANGED`.
   */
  async update(
    updates: readonly AvailableUpdate[],
    {
      fetcher,
      strategy = 'merge',
      onConflict = 'abort',
      ...options
    }: ChangeOptions & Partial<UpdateChoice> & { readonly fetcher: Fetcher },
  ): Promise<UpdateChange> {
    const prepared: PreparedUpdate[] = [];
    for (const update of updates) {
      const merge =
        strategy === 'merge' ? await this.reader.prepareMerge(update, fetcher) : undefined;
      prepared.push(merge ?? { ...update, base: undefined });
    }
    const message = `update ${updates.map(({ artifact }) => artifact.name).join(', ')}`;
    let updated: readonly UpdatedArtifact[] = [];
    const change = await this.#change(
      { message, ...options },
      { verb: 'update' },
      async (draft) => {
        const done: UpdatedArtifact[] = [];
        for (const update of prepared) {
          done.push(
            await applyUpdate(draft, update, { choice: { strategy, onConflict }, fetcher }),
          );
        }
        if (onConflict === 'abort') refuseConflicts(done);
        updated = done;
        return done.map(({ key }) => key);
      },
    );
    return { ...change, updated };
  }

  /**
   * Answers what breaks the rules C1–C4, as far as no person has to decide. Touches the two files only;
   * one that is no TOML any more is put back from history.
   *
   * @returns each finding with what was done about it, or would be.
   */
  async repair(
    options: ChangeOptions = {},
  ): Promise<CollectionChange & { readonly repairs: readonly CollectionRepair[] }> {
    if ((await this.reader.brokenFiles()).length > 0) return this.#putBack(options);
    let repairs: readonly CollectionRepair[] = [];
    const terms = { verb: 'repair' };
    const change = await this.#change({ message: 'repair', ...options }, terms, async (draft) => {
      repairs = await repairDraft(draft);
      return [...draft.keys];
    });
    return { ...change, repairs };
  }

  async #putBack(
    options: ChangeOptions,
  ): Promise<CollectionChange & { readonly repairs: readonly CollectionRepair[] }> {
    const kept = await keptFiles(this.store);
    const time = timeText(this.#now());
    let repairs: readonly CollectionRepair[] = [];
    let artifacts: readonly ArtifactKey[] = [];
    // No rule: what was broken before cannot be told, and all that still is will be.
    const receipt = await this.store.transact({ message: 'repair', ...options }, async (tx) => {
      const { draft, ...done } = await putBack(tx, kept, time);
      ({ repairs } = done);
      if (draft === undefined) return;
      artifacts = [...draft.keys];
      await tx.describe(labelOf('repair', draft, artifacts));
    });
    return { receipt, artifacts, repairs };
  }

  /**
   * Runs any change of a collection as one transaction that keeps the rules C1–C5.
   *
   * @throws {EngineError} `RULE_VIOLATED`, and what `Store.transact` throws.
   */
  async change(
    options: ChangeOptions,
    callback: (draft: Draft) => Promise<readonly ArtifactKey[]> | readonly ArtifactKey[],
  ): Promise<CollectionChange> {
    return this.#change(options, {}, callback);
  }

  async #change(
    options: ChangeOptions,
    {
      verb,
      isNew = false,
      name,
    }: {
      /** What history calls it. */
      readonly verb?: string;
      readonly isNew?: boolean;
      readonly name?: string;
    },
    callback: (draft: Draft) => Promise<readonly ArtifactKey[]> | readonly ArtifactKey[],
  ): Promise<CollectionChange> {
    const time = timeText(this.#now());
    let draft: Draft | undefined;
    let filesBefore: CollectionFiles | undefined;
    let artifacts: readonly ArtifactKey[] = [];
    const rules = [
      commitRule(() => ({
        root: this.root,
        before: new LiveView(this.root),
        filesBefore,
        filesMeant:
          draft === undefined ? undefined : { manifest: draft.manifest, lock: draft.lock },
        keys: draft?.keys,
        mayDiffer: draft?.mayDiffer ?? new Set(),
      })),
    ];
    // The rule compares with what is on disk, so everything before has to be in place.
    const terms = { ...options, rules, sharesFlush: false };
    const receipt = await this.store.transact(terms, async (tx) => {
      const isThere = (await tx.stat(manifestName)) !== undefined;
      if (isNew && isThere) throw collectionExists(this.root);
      const makes = name !== undefined && !isThere;
      filesBefore = makes ? undefined : await readFiles(tx, this.root, this.#seen.last);
      this.#seen.last = filesBefore;
      draft = new Draft(tx, filesBefore ?? (await emptyFiles(tx, name ?? '', time)), time);
      artifacts = await callback(draft);
      await draft.save(makes);
      if (verb !== undefined) await tx.describe(labelOf(verb, draft, artifacts));
    });
    if (draft !== undefined) this.#seen.last = { manifest: draft.manifest, lock: draft.lock };
    return { receipt, artifacts };
  }

  /**
   * Rolls the collection back, as `Store.rollback` does, keeping the rules C1–C5: a part of it that
   * would tear manifest, lock and files apart is refused.
   *
   * @param only artifacts (`name`, `type/name`, or their path), which go back with what manifest and
   * lock say of them; anything else in it is a path.
   * @throws {EngineError} `RULE_VIOLATED`, and what `Store.rollback` throws.
   * @throws {CollectionError} `ARTIFACT_AMBIGUOUS`, `MANIFEST_CHANGED`, `TOML_INVALID`.
   */
  async rollback({
    only,
    ...options
  }: RollbackOptions & { readonly only?: readonly string[] }): Promise<RollbackReceipt> {
    if (only === undefined) {
      return this.#rollback(options, options.paths === undefined ? 'all' : new Set());
    }
    const { to } = options;
    const moments = await readMoments(this.store, to);
    const { artifacts, paths } = await sortSelection(only, moments, this.root);
    const selection = { artifacts, paths: [...paths, ...(options.paths ?? [])] };
    const given = { ...options, paths: selection.paths };
    if (artifacts.length === 0) return this.#rollback(given, new Set());
    const time = timeText(this.#now());
    const planned = await planArtifactRollback(this.store, selection, { moments, to, time });
    return this.#rollback({ ...given, ...planned }, new Set(artifacts));
  }

  /**
   * Undoes a transaction, as `Store.undo` does. What a later one changed in the manifest and the lock is
   * in the way only where it is about the same artifacts. The result may not break a rule that was kept
   * before; undone as a whole, artifacts come back as they were, edits by hand included.
   *
   * @throws {EngineError} `RULE_VIOLATED`, and what `Store.undo` throws.
   * @throws {CollectionError} `ARTIFACT_NOT_FOUND`, `ARTIFACT_AMBIGUOUS`, `TOML_INVALID`.
   */
  async undo(options: PartialUndoOptions = {}): Promise<UndoReceipt> {
    return this.store.undo(await this.#choosePart(options));
  }

  /** Undoes an undo, as {@link undo}. */
  async redo(options: PartialUndoOptions = {}): Promise<UndoReceipt> {
    return this.store.redo(await this.#choosePart(options));
  }

  async #choosePart({ only, ...options }: PartialUndoOptions): Promise<UndoOptions> {
    if (only === undefined) return this.#undoOptions(options);
    const { transaction } = options;
    if (transaction === undefined) throw new TypeError('only needs the number of a transaction');
    const { keys, paths } = await choosePart(this.store, transaction, only);
    const chosen = {
      ...(keys.size > 0 && knownParts(timeText(this.#now()), keys)),
      ...options,
      paths: [...paths, ...(options.paths ?? [])],
    };
    return this.#undoOptions(chosen, keys);
  }

  /**
   * Restores a snapshot, or a part of one, as `Snapshots.restore` does. In place it may not tear manifest,
   * lock and files apart; artifacts may differ from their lock afterwards, as after an edit by hand.
   *
   * @throws {EngineError} `RULE_VIOLATED`, and what `Snapshots.restore` throws.
   */
  async restore(reference: string | number, options: RestoreOptions = {}): Promise<Restored> {
    const rules = [...(options.rules ?? []), rollbackRule(this.root, 'all')];
    return this.store.snapshots.restore(reference, { ...options, rules });
  }

  /** @param keys artifacts that come back as they were, edits by hand included, where not all do. */
  async #undoOptions(
    options: UndoOptions,
    keys: ReadonlySet<ArtifactKey> = new Set(),
  ): Promise<UndoOptions> {
    const { paths, rules = [] } = options;
    const mayDiffer = paths === undefined ? 'all' : keys;
    const isCollection = (await new LiveView(this.root).stat(manifestName)) !== undefined;
    return {
      ...(isCollection && knownParts(timeText(this.#now()))),
      ...options,
      rules: [...rules, rollbackRule(this.root, mayDiffer, 'changed')],
    };
  }

  async #rollback(
    options: RollbackOptions,
    mayDiffer: ReadonlySet<ArtifactKey> | 'all',
  ): Promise<RollbackReceipt> {
    const rules = [...(options.rules ?? []), rollbackRule(this.root, mayDiffer)];
    return this.store.rollback({ ...options, rules });
  }

  async close(): Promise<void> {
    await this.store.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** Opens the collection of a directory. @throws what `openStore` throws. */
export async function openCollection(
  root: string,
  options: OpenStoreOptions = {},
): Promise<Collection> {
  return new Collection(await openStore(root, options), { now: options.now });
}

const localProvenance = {
  origin: 'local',
  upstream: undefined,
  versionSpec: undefined,
  resolvedSha: undefined,
  resolvedVersion: undefined,
} as const;

/** A lock without a manifest stays as it is. */
async function emptyFiles(tx: Transaction, name: string, time: string): Promise<CollectionFiles> {
  const found = await tx.read(lockName);
  const lock = new LockFile(found === undefined ? newLock() : decodeToml(found, lockName));
  return { manifest: new Manifest(newManifest(name, time)), lock };
}

/** Those whose path and name no artifact has. */
function newTo(manifest: Manifest, found: readonly FoundArtifact[]): readonly FoundArtifact[] {
  const paths = new Set(manifest.all().map(({ path }) => path));
  return found.filter(({ path, ...id }) => !paths.has(path) && !manifest.has(keyOf(id)));
}

async function requireRoom(draft: Draft, artifact: AddedArtifact, force: boolean): Promise<void> {
  const { path } = artifact;
  const key = keyOf(artifact);
  if (force) return;
  if (draft.manifest.has(key)) {
    throw existsError(key, 'Update it, choose a --name, or replace it with --force.');
  }
  if ((await draft.tx.stat(path)) === undefined) return;
  throw new CollectionError('ARTIFACT_EXISTS', `${path} is there, and no artifact names it`, {
    path,
    hint: 'Name it with: skillmeat import; or replace it with --force.',
  });
}

async function refuseModified(draft: Draft, keys: Iterable<ArtifactKey>): Promise<void> {
  const modified: ArtifactKey[] = [];
  for (const key of keys) {
    const { path } = draft.artifact(key);
    if (isInside(path) && (await draft.isModified(key))) modified.push(key);
  }
  const [first] = modified;
  if (first === undefined) return;
  throw new CollectionError(
    'ARTIFACT_MODIFIED',
    `edited by hand: ${modified.map(addressOf).join(', ')}`,
    {
      path: draft.artifact(first).path,
      hint: 'Use --force to remove it all the same; skillmeat undo brings it back.',
      conflicts: modified.map((key) => ({ path: draft.artifact(key).path, why: 'edited by hand' })),
    },
  );
}

function existsError(key: ArtifactKey, hint: string): CollectionError {
  const { name, type } = idOf(key);
  return new CollectionError('ARTIFACT_EXISTS', `the collection has a ${type} "${name}" already`, {
    path: addressOf(key),
    hint,
  });
}

function collectionExists(root: string): CollectionError {
  return new CollectionError('COLLECTION_EXISTS', `there is a collection already in ${root}`, {
    path: root,
    hint: 'See: skillmeat list',
  });
}

function baseLost({ name, type, resolvedSha }: Artifact): CollectionError {
  return new CollectionError(
    'BASE_LOST',
    `${type} ${name} as it was fetched (${resolvedSha ?? 'no commit is recorded'}) cannot be had any more`,
    { path: `${type}/${name}`, hint: 'Compare with what upstream has now: --upstream' },
  );
}

function nothingToImport(root: string): CollectionError {
  const directories = Object.values(artifactTypes).map(({ directory }) => directory);
  return new CollectionError('NOTHING_TO_IMPORT', `${root} has no artifacts to import`, {
    path: root,
    hint: `Skills have a SKILL.md; other artifacts lie in ${directories.join(', ')}. Use --as TYPE for other Markdown files.`,
  });
}
