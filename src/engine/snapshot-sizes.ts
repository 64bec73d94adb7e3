import type { ContentHash } from './hash.js';
import type { ObjectStore } from './object-store.js';
import type { Pace } from './pace.js';
import type { ReadListing } from './snapshot-tree.js';

/** How many snapshots need each object, and what objects take on disk. */
export class SnapshotSizes {
  readonly #needs = new Map<number, ReadonlySet<ContentHash>>();
  readonly #users = new Map<ContentHash, number>();
  readonly #bytes: ReadonlyMap<ContentHash, number>;
  #total = 0;

  constructor(bytes: ReadonlyMap<ContentHash, number>) {
    this.#bytes = bytes;
  }

  /** What the snapshots that were added and not dropped take, each content once. */
  get bytes(): number {
    return this.#total;
  }

  /** @throws {EngineError} `HISTORY_DAMAGED` when a listing cannot be read. */
  async add(id: number, listing: ContentHash, read: ReadListing): Promise<void> {
    const needed = new Set<ContentHash>();
    await addNeeded(needed, listing, read);
    this.#needs.set(id, needed);
    for (const sha256 of needed) {
      const users = this.#users.get(sha256) ?? 0;
      if (users === 0) this.#total += this.#bytes.get(sha256) ?? 0;
      this.#users.set(sha256, users + 1);
    }
  }

  /** Tells whether any snapshot needs it. */
  isNeeded(sha256: ContentHash): boolean {
    return (this.#users.get(sha256) ?? 0) > 0;
  }

  /** Returns the bytes that a snapshot needs, shared or not; `undefined`: it was not added. */
  allBytes(id: number): number | undefined {
    const needs = this.#needs.get(id);
    if (needs === undefined) return undefined;
    let all = 0;
    for (const sha256 of needs) all += this.#bytes.get(sha256) ?? 0;
    return all;
  }

  /** Returns the bytes that only this snapshot needs. */
  ownBytes(id: number): number {
    let own = 0;
    for (const sha256 of this.#needs.get(id) ?? []) {
      if (this.#users.get(sha256) === 1) own += this.#bytes.get(sha256) ?? 0;
    }
    return own;
  }

  /** Counts the snapshot out, and returns the bytes that nothing needs any more. */
  drop(id: number): number {
    const freed = this.ownBytes(id);
    for (const sha256 of this.#needs.get(id) ?? []) {
      this.#users.set(sha256, (this.#users.get(sha256) ?? 1) - 1);
    }
    this.#needs.delete(id);
    this.#total -= freed;
    return freed;
  }
}

/** Returns what each content takes on disk; of a packed one, its share of what is packed with it. */
export async function objectSizes(
  objects: ObjectStore,
  pace: Pace,
): Promise<ReadonlyMap<ContentHash, number>> {
  const bytes = new Map<ContentHash, number>();
  for (const object of objects.list()) {
    if (pace.isDue()) await pace.turn();
    bytes.set(object.sha256, objects.sizeOf(object));
  }
  for (const { sha256, size, chunk } of objects.packs.contents()) {
    const share = Math.round((chunk.length * size) / Math.max(chunk.size, 1));
    if (!bytes.has(sha256)) bytes.set(sha256, share);
  }
  return bytes;
}

/** Adds every object that a listing needs, itself included. */
export async function addNeeded(
  needed: Set<ContentHash>,
  listing: ContentHash,
  read: ReadListing,
): Promise<void> {
  if (needed.has(listing)) return;
  needed.add(listing);
  for (const entry of await read(listing)) {
    if (entry.kind === 'directory') await addNeeded(needed, entry.sha256, read);
    else if (entry.kind === 'file') needed.add(entry.sha256);
  }
}
