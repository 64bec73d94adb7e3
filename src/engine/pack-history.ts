import { collecting } from './collect-objects.js';
import { isEngineError } from './errors.js';
import { publish } from './events.js';
import type { ContentHash } from './hash.js';
import { packContentBytesMax, unnamedObjectAgeMs } from './limits.js';
import type { ObjectStore, StoredObject } from './object-store.js';
import {
  decidePacks,
  groupForPacks,
  type NeededContent,
  neededBySnapshots,
  type PackFates,
} from './pack-contents.js';
import {
  type Candidate,
  isPacked,
  isReadable,
  type PackingHistory,
  readCandidate,
} from './pack-candidate.js';
import { isStillDisplaced, type Slot, slotsOf, whyNotPacked } from './packable-slots.js';
import type { Pack, PackName } from './packs.js';
import { removeTreeIfPossible } from './remove-tree.js';
import { recordFoundPack, writePack, type WritingPacks } from './write-pack.js';

/*
 * Puts what transactions displaced and what snapshots hold into packs (pack-format.ts), under the lock:
 *
 * 1. Look which slots (packable-slots.ts) and objects may go, and what becomes of older packs.
 * 2. Write packs, each read back and then noted in the journal (write-pack.ts).
 * 3. Remove older packs, slots and objects that are covered, each slot read once more (I3).
 *
 * Killed or cut off anywhere, a content is where it was or in a pack that was read back. What was not
 * removed any more is removed by the next packing.
 */

/** What `prune` with `pack` did, or would do. */
export interface PackedHistory {
  /** Contents that were put into packs. */
  readonly contents: number;
  /** Packs that were written; `null` in a dry run. */
  readonly packs: number | null;
  /** Of files that went: displaced ones, objects, and packs that were written anew or not needed. */
  readonly bytesBefore: number;
  /** Of the packs that were written; `null` in a dry run: nobody knows yet. */
  readonly bytesAfter: number | null;
  /** What transactions displaced and stays as it is, by reason. */
  readonly left: readonly LeftUnpacked[];
  /** Why the contents of snapshots stay as they are; `null`: nothing keeps them from being packed. */
  readonly blocked: string | null;
}

export interface LeftUnpacked {
  readonly reason: string;
  /** Files and directories that were displaced, each with all that is in it. */
  readonly slots: number;
  readonly bytes: number;
}

/** Runs under the lock. */
export async function packHistory(
  { isDryRun }: { readonly isDryRun: boolean },
  packing: PackingHistory,
): Promise<PackedHistory> {
  return new Packing(packing).run(isDryRun);
}

/** Removes packs that nothing needs. Runs under the lock. @returns how many there were. */
export async function removeUnneededPacks(packing: PackingHistory): Promise<number> {
  const { journal, objects, looking, directory } = packing;
  if (objects.packs.list().length === 0) return 0;
  const needed = await neededBySnapshots(journal.snapshots.all(), objects, looking.pace);
  if (typeof needed === 'string') return 0;
  const all = new Set(needed.keys());
  for (const { files } of slotsOf(journal, directory.stage)) {
    for (const { image } of files) all.add(image.sha256);
  }
  const { unneeded } = decidePacks(readable(objects), all, false);
  return (await removePacks(unneeded, all, packing)).length;
}

class Packing {
  readonly #packing: PackingHistory;
  readonly #writing: WritingPacks;
  readonly #slots: Slot[] = [];
  readonly #candidates = new Map<ContentHash, Candidate>();
  readonly #needed = new Map<ContentHash, NeededContent>();
  /** What was read in a pack that is on disk and noted. */
  readonly #covered = new Set<ContentHash>();
  readonly #left = new Map<string, { slots: number; bytes: number }>();
  #blocked: string | null = null;
  /** Contents that were read to be packed. */
  #done = 0;
  #total: number | undefined;

  constructor(packing: PackingHistory) {
    this.#packing = packing;
    const { objects, journal, looking, directory, session, barrier } = packing;
    const { files, pace } = looking;
    this.#writing = { objects, journal, files, pace, barrier, epoch: session.epoch };
    pace.onTurn = (): void => {
      // Until it is known how much there is, slots and objects are looked at.
      const phase = this.#total === undefined ? 'compare' : 'pack';
      const progress = { phase, done: this.#done, total: this.#total } as const;
      publish('skillmeat:progress', { root: directory.rootPath, ...progress });
    };
  }

  async run(isDryRun: boolean): Promise<PackedHistory> {
    const { journal, objects, session } = this.#packing;
    if (!isDryRun) {
      // guard: packing-fence
      session.requireFence();
      await this.#recordFound();
    }
    await this.#lookAtSlots(isDryRun);
    const loose = await this.#lookAtObjects();
    const recorded = journal.packs.list();
    const packs = readable(objects).filter(({ name }) => isDryRun || recorded.has(name));
    const names = new Set(packs.map(({ name }) => name));
    const fresh: Candidate[] = [];
    for (const candidate of this.#candidates.values()) {
      const { sha256 } = candidate;
      if (await isPacked(sha256, names, this.#packing)) this.#covered.add(sha256);
      else fresh.push(candidate);
    }
    const fates = decidePacks(packs, this.#needed, fresh.length > 0);
    const known = this.#blocked === null ? fates : noFates;
    if (isDryRun) return this.#answer(fresh.length, this.#bytesToGo(loose, known));
    const sizes = await this.#write(fresh, known);
    const contents = fresh.filter(({ sha256 }) => this.#covered.has(sha256)).length;
    const bytesBefore = await this.#remove(loose, known);
    return { ...this.#answer(contents, bytesBefore), ...sizes };
  }

  /** Of a packing that was killed, or of a journal that was built anew. */
  async #recordFound(): Promise<void> {
    const { objects, journal } = this.#packing;
    const recorded = journal.packs.list();
    for (const pack of readable(objects)) {
      if (recorded.has(pack.name)) continue;
      try {
        await recordFoundPack(pack, this.#writing);
      } catch (error) {
        // Nothing relies on it that could not before; `verify` tells of it.
        if (!isEngineError(error, 'HISTORY_DAMAGED')) throw error;
      }
    }
  }

  async #lookAtSlots(isDryRun: boolean): Promise<void> {
    const { journal, looking, directory, now } = this.#packing;
    const { files, store, stage } = directory;
    const [head, keeping] = [journal.head().id, journal.keeping.get()];
    for (const slot of slotsOf(journal, stage)) {
      if (looking.pace.isDue()) await looking.pace.turn();
      for (const file of slot.files) this.#need({ ...file.image, path: file.path });
      if (files.stat(slot.place) === undefined) continue;
      const judging = { looking, store, head, keeping, isDryRun, now };
      const reason = await whyNotPacked(slot, judging);
      if (reason !== undefined) {
        this.#leave(slot, reason);
        continue;
      }
      this.#slots.push(slot);
      for (const file of slot.files) {
        const { sha256, size } = file.image;
        const candidate = this.#candidates.get(sha256);
        if (candidate === undefined) {
          this.#candidates.set(sha256, { sha256, size, path: file.path, slots: [file] });
        } else candidate.slots.push(file);
      }
    }
  }

  /** @returns objects that may go when they are packed. */
  async #lookAtObjects(): Promise<readonly StoredObject[]> {
    const { journal, objects, looking, now } = this.#packing;
    const needed = await neededBySnapshots(journal.snapshots.all(), objects, looking.pace);
    if (typeof needed === 'string') {
      this.#blocked = needed;
      return [];
    }
    for (const content of needed.values()) this.#need(content);
    const loose: StoredObject[] = [];
    for (const object of objects.list()) {
      if (looking.pace.isDue()) await looking.pace.turn();
      const content = this.#needed.get(object.sha256);
      // As long as that, a snapshot that is being taken may be about to name it.
      if (!objects.isOlder(object, now - unnamedObjectAgeMs)) continue;
      if (content === undefined || content.size > packContentBytesMax) continue;
      loose.push(object);
      const { sha256 } = object;
      if (!this.#candidates.has(sha256)) this.#candidates.set(sha256, { ...content, slots: [] });
    }
    return loose;
  }

  #need(content: NeededContent): void {
    if (!this.#needed.has(content.sha256)) this.#needed.set(content.sha256, content);
  }

  #leave({ files }: Slot, reason: string): void {
    const { slots, bytes } = this.#left.get(reason) ?? { slots: 0, bytes: 0 };
    this.#left.set(reason, { slots: slots + 1, bytes: bytes + bytesIn(files) });
  }

  async #write(
    fresh: readonly Candidate[],
    { moved }: PackFates,
  ): Promise<{ readonly packs: number; readonly bytesAfter: number }> {
    const { objects } = this.#packing;
    const contents = [
      ...fresh.map((one) => ({ ...one, read: () => readCandidate(one, this.#packing) })),
      ...moved.map((content) => ({
        ...content,
        path: this.#needed.get(content.sha256)?.path ?? '',
        // What cannot be read stays where it is, with all that is beside it.
        read: () => objects.packs.readFrom(content).catch(() => undefined),
      })),
    ];
    const counted = contents.map((content) => ({
      ...content,
      read: () => {
        this.#done += 1;
        return content.read();
      },
    }));
    this.#total = counted.length;
    let [packs, bytesAfter] = [0, 0];
    for (const group of groupForPacks(counted)) {
      const written = await writePack(group, this.#writing);
      if (written === undefined) continue;
      for (const sha256 of written.contents) this.#covered.add(sha256);
      packs += 1;
      bytesAfter += written.bytes;
    }
    return { packs, bytesAfter };
  }

  /** @returns the bytes of the files that went. */
  async #remove(loose: readonly StoredObject[], fates: PackFates): Promise<number> {
    const { journal, objects, looking, session, now } = this.#packing;
    // guard: packed-removal-fence
    session.requireFence();
    const old = [...fates.unneeded, ...fates.rewritten];
    const removed = await removePacks(old, this.#needed, this.#packing);
    let bytes = removed.reduce((sum, pack) => sum + pack.bytes, 0);
    for (const slot of this.#slots) {
      const { place, unit } = slot;
      if (looking.pace.isDue()) await looking.pace.turn();
      // guard: pack-covers-slot [if false]
      if (!slot.files.every(({ image }) => this.#covered.has(image.sha256))) {
        this.#leave(slot, 'not as it was displaced');
        continue;
      }
      // guard: pack-late-writes [if false]
      if (!(await isStillDisplaced({ slot, place, path: unit.path }, { looking, now }))) {
        this.#leave(slot, 'not as it was displaced');
        continue;
      }
      await removeTreeIfPossible(looking, place);
      bytes += bytesIn(slot.files);
    }
    // guard: pack-covers-object [this.#covered.has(sha256) becomes true]
    const covered = loose.filter(({ sha256 }) => this.#covered.has(sha256));
    if (covered.length === 0) return bytes;
    await collecting(journal, async () => {
      for (const object of covered) {
        if (looking.pace.isDue()) await looking.pace.turn();
        bytes += objects.sizeOf(object);
        objects.remove(object);
      }
    });
    return bytes;
  }

  #bytesToGo(loose: readonly StoredObject[], fates: PackFates): number {
    const { objects } = this.#packing;
    const packs = [...fates.unneeded, ...fates.rewritten];
    return (
      packs.reduce((sum, pack) => sum + pack.bytes, 0) +
      this.#slots.reduce((sum, { files }) => sum + bytesIn(files), 0) +
      loose.reduce((sum, object) => sum + objects.sizeOf(object), 0)
    );
  }

  #answer(contents: number, bytesBefore: number): PackedHistory {
    const left = [...this.#left].map(([reason, amount]) => ({ reason, ...amount }));
    return { contents, packs: null, bytesBefore, bytesAfter: null, left, blocked: this.#blocked };
  }
}

const noFates: PackFates = { unneeded: [], rewritten: [], moved: [] };

function readable(objects: ObjectStore): readonly Pack[] {
  return objects.packs.list().filter(({ index }) => typeof index !== 'string');
}

function bytesIn(files: Slot['files']): number {
  return files.reduce((sum, { image }) => sum + image.size, 0);
}

/**
 * Removes packs: the journal says first that they need not be there any more. One stays when it holds
 * something needed that could not be read in a pack that stays.
 *
 * @returns those that went.
 */
async function removePacks(
  packs: readonly Pack[],
  needed: { readonly has: (sha256: ContentHash) => boolean },
  { journal, objects, looking, session }: PackingHistory,
): Promise<readonly Pack[]> {
  const going = new Set<PackName>(packs.map(({ name }) => name));
  const recorded = journal.packs.list();
  const isKept = async (sha256: ContentHash): Promise<boolean> => {
    for (const copy of objects.packs.copies(sha256)) {
      if (going.has(copy.pack.name) || !recorded.has(copy.pack.name)) continue;
      if (looking.pace.isDue()) await looking.pace.turn();
      if (await isReadable(copy, objects)) return true;
    }
    return false;
  };
  const removed: Pack[] = [];
  for (const pack of packs) {
    const entries = typeof pack.index === 'string' ? [] : pack.index.entries;
    let isFree = true;
    for (const { sha256 } of entries) {
      // guard: pack-still-needed [if false]
      if (needed.has(sha256) && !(await isKept(sha256))) isFree = false;
    }
    if (isFree) removed.push(pack);
  }
  if (removed.length === 0) return [];
  await collecting(journal, () => {
    journal.packs.remove(
      removed.map(({ name }) => name),
      session.epoch,
    );
    for (const { place } of removed) looking.files.removeFile(place);
    objects.packs.forget();
  });
  return removed;
}
