import { EngineError, isEngineError } from '../errors.js';
import type { ContentHash } from '../hash.js';
import { unnamedObjectAgeMs } from '../limits.js';
import type { ObjectStore } from '../object-store.js';
import { type RelativePath, quote } from '../path.js';
import type { SnapshotRow } from '../snapshot-table.js';
import {
  childPath,
  listingReader,
  type ReadListing,
  type SnapshotEntry,
} from '../snapshot-tree.js';
import { type FindingKind, toFinding } from './finding.js';
import type { Part, Suspicion, Verifying } from './verifying.js';

/** Each snapshot's row against its checksum. */
export const verifySnapshotRows: Part = async function* ({ journal, count }, wants) {
  for (const { id, row } of journal.snapshots.examine()) {
    const unit = String(id);
    if (!wants(unit)) continue;
    count('snapshots');
    if (row !== undefined) continue;
    const message = `the record of snapshot ${unit} does not match its checksum`;
    const details = { snapshot: id, place: 'journal.db' };
    yield { unit, finding: toFinding('snapshot-damaged', message, details) };
  }
};

/** Everything that snapshots name, and what none names. */
export const verifyObjects: Part = async function* (verifying, wants) {
  using objects = verifying.openObjects();
  const look = new ObjectLook(verifying, objects, wants);
  for (const { row } of verifying.journal.snapshots.examine()) yield* look.snapshot(row);
  yield* look.unnamed();
};

class ObjectLook {
  readonly #verifying: Verifying;
  readonly #objects: ObjectStore;
  readonly #wants: (unit: string) => boolean;
  readonly #read: ReadListing;
  readonly #named = new Set<ContentHash>();
  /** What a listing or a row that cannot be read names, nobody knows. */
  #knowsAll = true;

  constructor(verifying: Verifying, objects: ObjectStore, wants: (unit: string) => boolean) {
    this.#verifying = verifying;
    this.#objects = objects;
    this.#wants = wants;
    this.#read = listingReader(objects);
  }

  async *snapshot(row: SnapshotRow | undefined): AsyncGenerator<Suspicion, void> {
    if (row === undefined) this.#knowsAll = false;
    else yield* this.#listing(row.sha256, row.id, undefined);
  }

  async *#listing(
    sha256: ContentHash,
    snapshot: number,
    path: RelativePath | undefined,
  ): AsyncGenerator<Suspicion, void> {
    if (this.#named.has(sha256)) return;
    this.#named.add(sha256);
    const { pace } = this.#verifying.looking;
    if (pace.isDue()) await pace.turn();
    if (this.#wants(sha256)) this.#verifying.count('objects');
    const entries: SnapshotEntry[] = [];
    try {
      for (const entry of await this.#read(sha256)) {
        entries.push({ entry, path: childPath(path, entry.name) });
      }
    } catch (error) {
      this.#knowsAll = false;
      const where = path === undefined ? 'the whole directory' : `the directory ${quote(path)}`;
      yield* this.#broken(error, { sha256, snapshot, path, where });
      return;
    }
    for (const { entry, path: at } of entries) {
      if (entry.kind === 'directory') yield* this.#listing(entry.sha256, snapshot, at);
      if (entry.kind === 'file') yield* this.#content(entry, snapshot, at);
    }
  }

  async *#content(
    { sha256, size }: { readonly sha256: ContentHash; readonly size: number },
    snapshot: number,
    path: RelativePath,
  ): AsyncGenerator<Suspicion, void> {
    if (this.#named.has(sha256)) return;
    this.#named.add(sha256);
    if (!this.#wants(sha256)) return;
    const { looking, isDeep, count } = this.#verifying;
    if (looking.pace.isDue()) await looking.pace.turn();
    count('objects');
    try {
      // guard: verify-broken-object [if false]
      if (this.#isBroken(sha256)) throw brokenContent(sha256);
      // What is packed was read with its pack.
      const isToRead = isDeep && !this.#objects.isOnlyPacked(sha256);
      if (isToRead) await this.#objects.requireContent(sha256, size, looking.pace);
      else this.#objects.requirePresence(sha256, size);
    } catch (error) {
      yield* this.#broken(error, { sha256, snapshot, path, where: quote(path) });
    }
  }

  #isBroken(sha256: ContentHash): boolean {
    return this.#verifying.broken.has(sha256) && this.#objects.isOnlyPacked(sha256);
  }

  *#broken(
    error: unknown,
    about: {
      readonly sha256: ContentHash;
      readonly snapshot: number;
      readonly path: RelativePath | undefined;
      readonly where: string;
    },
  ): Generator<Suspicion, void> {
    const { sha256, snapshot, path = null, where } = about;
    if (!isEngineError(error, 'HISTORY_DAMAGED', 'STORE_FORMAT_NEWER')) throw error;
    if (!this.#wants(sha256)) return;
    if (this.#isLost(error, sha256)) {
      this.#verifying.count('lost');
      return;
    }
    const kind: FindingKind =
      error.code === 'STORE_FORMAT_NEWER'
        ? 'object-unreadable'
        : this.#objects.has(sha256)
          ? 'object-damaged'
          : 'object-missing';
    const message = `${where} of snapshot ${String(snapshot)}: ${error.message}`;
    const place = `objects/${sha256.slice(0, 2)}/${sha256.slice(2)}`;
    yield { unit: sha256, finding: toFinding(kind, message, { path, place, snapshot, sha256 }) };
  }

  #isLost(error: unknown, sha256: ContentHash): boolean {
    const isMissing = isEngineError(error, 'HISTORY_DAMAGED') && !this.#objects.has(sha256);
    return isMissing && this.#verifying.journal.isLost(sha256);
  }

  async *unnamed(): AsyncGenerator<Suspicion, void> {
    if (!this.#knowsAll) return;
    const { looking, now } = this.#verifying;
    // As long as that, a snapshot that is being taken may be about to name it.
    const beforeMs = now() - unnamedObjectAgeMs;
    for (const object of this.#objects.list()) {
      if (looking.pace.isDue()) await looking.pace.turn();
      const { sha256 } = object;
      if (this.#named.has(sha256) || !this.#wants(sha256)) continue;
      if (!this.#objects.isOlder(object, beforeMs)) continue;
      const place = `objects/${sha256.slice(0, 2)}/${object.place.name}`;
      const message = `no snapshot names the object ${sha256}`;
      yield { unit: sha256, finding: toFinding('object-orphan', message, { place, sha256 }) };
    }
  }
}

function brokenContent(sha256: ContentHash): EngineError {
  return new EngineError(
    'HISTORY_DAMAGED',
    `the object ${sha256} is damaged in the pack that holds it`,
  );
}
