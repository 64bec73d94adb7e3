import { isCompressible } from './compression.js';
import type { ContentHash } from './hash.js';
import {
  packChunkBytes,
  packedAtOnceBytesMax,
  packedAtOnceFilesMax,
  packFromBytesDefault,
  packSampleBytes,
  unpackedTransactionsMin,
} from './limits.js';
import { type Candidate, isPacked, type PackingHistory, readCandidate } from './pack-candidate.js';
import { groupForPacks } from './pack-contents.js';
import type { PackingProgress } from './pack-table.js';
import {
  isStillDisplaced,
  notOldEnough,
  type Slot,
  type SlotFile,
  slotsWithin,
  whyNotPacked,
} from './packable-slots.js';
import { isObstacle, RootTree } from './root-tree.js';
import { removeTreeIfPossible } from './remove-tree.js';
import { statTree } from './inspect.js';
import type { TransactionRow } from './transaction-row.js';
import { writePack } from './write-pack.js';

/*
 * What packing does by itself after a checkpoint, as pack-history.ts does it when it is asked to, but
 * a piece at a time, so that no commit waits for long:
 *
 * 1. Go on where the last piece ended, oldest first, up to the newest few transactions; when there is
 *    enough. What is neither settled nor, where nobody can see who has it open, a day old ends it.
 * 2. Take files that are small, or that become small. A large one that does not is only taken where it
 *    lies twice or more: what is written once more frees more.
 * 3. Write one pack, read it back, note it (write-pack.ts).
 * 4. Remove each file that it covers, looked at once more (I3).
 * 5. Note where to go on.
 *
 * What it passes by stays for whoever asks for packing.
 */

/** @returns whether there is more. Runs under the lock. */
export async function packLazily(packing: PackingHistory): Promise<boolean> {
  const { journal, session } = packing;
  const { packFromBytes = packFromBytesDefault } = journal.keeping.policy();
  if (packFromBytes === 0) return false;
  const progress = journal.packs.progress();
  const kept = journal.keeping.prunedThrough() + 1;
  const from = progress.transaction < kept ? { transaction: kept, files: 0 } : progress;
  const head = journal.head().id;
  const last = head - unpackedTransactionsMin;
  const isEnough = (through: number): boolean =>
    journal.displacedBytes(from.transaction, through) >= packFromBytes;
  // The next transactions make these old enough.
  if (!isEnough(last)) return isEnough(head);
  // guard: lazy-packing-fence
  session.requireFence();
  return new Piece(packing, last).run(from);
}

/** A file that may go when its content is packed. */
interface Leaver {
  readonly slot: Slot;
  readonly file: SlotFile;
}

class Piece {
  readonly #packing: PackingHistory;
  /** The newest transaction that is packed. */
  readonly #last: number;
  readonly #candidates = new Map<ContentHash, Candidate>();
  /** What was read in a pack that is on disk and noted. */
  readonly #covered = new Set<ContentHash>();
  readonly #leavers: Leaver[] = [];
  readonly #packs: ReadonlyMap<ContentHash, number>;
  #repeated: ReadonlySet<ContentHash> | undefined;
  #bytes = 0;
  #looks = 0;

  constructor(packing: PackingHistory, last: number) {
    this.#packing = packing;
    this.#last = last;
    this.#packs = packing.journal.packs.list();
  }

  async run(from: PackingProgress): Promise<boolean> {
    const { journal, session } = this.#packing;
    const { next, isMore } = await this.#gather(from);
    await this.#write();
    if (this.#covered.size > 0) await this.#remove();
    const isMoved = next.transaction !== from.transaction || next.files !== from.files;
    if (isMoved) journal.packs.setProgress(next, session.epoch);
    return isMore;
  }

  /** @returns where the next piece begins, and whether it is worth while to begin it soon. */
  async #gather(
    from: PackingProgress,
  ): Promise<{ readonly next: PackingProgress; readonly isMore: boolean }> {
    const { journal, directory } = this.#packing;
    for (let { transaction: id, files: done } = from; id <= this.#last; id += 1, done = 0) {
      const transaction = journal.transaction(id);
      if (transaction === undefined) continue;
      if (isPending(transaction)) return { next: { transaction: id, files: done }, isMore: false };
      let begin = 0;
      for (const slot of slotsWithin(transaction, journal, directory.stage)) {
        const skipped = Math.max(0, done - begin);
        if (skipped < slot.files.length) {
          const taken = await this.#takeSlot(slot, skipped);
          const end = begin + skipped + (taken ?? 0);
          if (taken === undefined || end < begin + slot.files.length) {
            return { next: { transaction: id, files: end }, isMore: taken !== undefined };
          }
        }
        begin += slot.files.length;
      }
    }
    return { next: { transaction: this.#last + 1, files: 0 }, isMore: false };
  }

  /** @returns how many files after `skipped` were looked at; `undefined`: the slot has to wait. */
  async #takeSlot(slot: Slot, skipped: number): Promise<number | undefined> {
    const all = slot.files.length - skipped;
    if (this.#isFull()) return 0;
    const reason = await this.#whyNot(slot);
    if (reason === notOldEnough) return undefined;
    if (reason !== undefined) return all;
    let taken = 0;
    for (const file of slot.files.slice(skipped)) {
      if (this.#isFull()) break;
      await this.#take(slot, file);
      taken += 1;
    }
    return taken;
  }

  #isFull(): boolean {
    return this.#bytes >= packedAtOnceBytesMax || this.#looks >= packedAtOnceFilesMax;
  }

  async #whyNot(slot: Slot): Promise<string | undefined> {
    const { journal, looking, directory, now } = this.#packing;
    this.#looks += 1;
    if (looking.pace.isDue()) await looking.pace.turn();
    if (looking.files.stat(slot.place) === undefined) return 'packed';
    if (slot.files.length > packedAtOnceFilesMax) return 'of many files';
    const [head, keeping] = [journal.head().id, journal.keeping.get()];
    const where = { looking, store: directory.store, head, keeping };
    return whyNotPacked(slot, { ...where, isDryRun: false, takesYoung: true, now });
  }

  async #take(slot: Slot, file: SlotFile): Promise<void> {
    const { image, path } = file;
    const { sha256, size } = image;
    this.#looks += 1;
    if (!this.#covered.has(sha256) && !this.#candidates.has(sha256)) {
      if (await isPacked(sha256, this.#packs, this.#packing)) this.#covered.add(sha256);
      else if (size > packChunkBytes) return;
      else {
        const others = await this.#copiesThatPay(slot, file);
        if (others === undefined) return;
        this.#bytes += size;
        this.#candidates.set(sha256, { sha256, size, path, slots: [] });
        for (const other of others) this.#leave(other);
      }
    }
    this.#leave({ slot, file });
  }

  #leave(leaver: Leaver): void {
    this.#leavers.push(leaver);
    this.#candidates.get(leaver.file.image.sha256)?.slots.push(leaver.file);
  }

  /** @returns other files that go with this one; `undefined`: it costs more than it frees. */
  async #copiesThatPay(slot: Slot, file: SlotFile): Promise<readonly Leaver[] | undefined> {
    if (file.image.size <= packSampleBytes || this.#isCompressible(file)) return [];
    const { journal } = this.#packing;
    this.#repeated ??= journal.displacedAgain(1, this.#last, packSampleBytes + 1);
    if (!this.#repeated.has(file.image.sha256)) return undefined;
    const others = await this.#copiesOf(slot, file);
    return others.length > 0 ? others : undefined;
  }

  #isCompressible({ keptAt }: SlotFile): boolean {
    const { looking, directory } = this.#packing;
    using history = new RootTree(looking.files, directory.stage);
    const place = history.locate(keptAt);
    if (isObstacle(place) || looking.files.stat(place)?.kind !== 'file') return false;
    const file = looking.files.openForReading(place);
    try {
      const sample = Buffer.allocUnsafe(packSampleBytes);
      return isCompressible(sample.subarray(0, looking.files.readAt(file, sample, 0)));
    } finally {
      looking.files.closeFile(file);
    }
  }

  async #copiesOf(slot: Slot, { image, path, keptAt }: SlotFile): Promise<readonly Leaver[]> {
    const { journal, directory } = this.#packing;
    const found: Leaver[] = [];
    for (const { id } of journal.displaced(image.sha256, path)) {
      const transaction = id > this.#last ? undefined : journal.transaction(id);
      if (transaction === undefined) continue;
      for (const other of slotsWithin(transaction, journal, directory.stage)) {
        const copies = other.files.filter(
          (file) => file.image.sha256 === image.sha256 && file.keptAt !== keptAt,
        );
        const isMine = other.place.name === slot.place.name;
        if (copies.length === 0 || (!isMine && (await this.#whyNot(other)) !== undefined)) continue;
        found.push(...copies.map((file) => ({ slot: other, file })));
      }
    }
    return found;
  }

  async #write(): Promise<void> {
    const { objects, journal, looking, session, barrier } = this.#packing;
    const { files, pace } = looking;
    const writing = { objects, journal, files, pace, barrier, epoch: session.epoch };
    const contents = [...this.#candidates.values()].map((one) => ({
      ...one,
      read: () => readCandidate(one, this.#packing),
    }));
    for (const group of groupForPacks(contents)) {
      const written = await writePack(group, writing);
      for (const sha256 of written?.contents ?? []) this.#covered.add(sha256);
    }
  }

  async #remove(): Promise<void> {
    const { looking, directory, session, now } = this.#packing;
    // guard: lazily-packed-removal-fence
    session.requireFence();
    for (const { slot, file } of this.#leavers) {
      if (looking.pace.isDue()) await looking.pace.turn();
      // Directories that are open may be gone by the next one.
      using history = new RootTree(looking.files, directory.stage);
      const [place, path] = [history.locate(file.keptAt), file.path];
      // guard: lazy-pack-covers-file [this.#covered.has(file.image.sha256) becomes true]
      if (isObstacle(place) || !this.#covered.has(file.image.sha256)) continue;
      if (looking.files.stat(place) === undefined) continue;
      // guard: lazy-pack-late-writes [if false]
      if (!(await isStillDisplaced({ slot, place, path }, { looking, now }))) continue;
      await removeTreeIfPossible(looking, place);
    }
    for (const slot of new Set(this.#leavers.map((leaver) => leaver.slot))) {
      await this.#removeHollow(slot);
    }
  }

  /** Directories and links of a slot without files: the journal says what they are. */
  async #removeHollow(slot: Slot): Promise<void> {
    const { looking, now } = this.#packing;
    const { place, unit } = slot;
    for await (const { stat } of statTree(looking, place, unit.path)) {
      if (stat === undefined || stat.kind === 'file') return;
    }
    if (await isStillDisplaced({ slot, place, path: unit.path }, { looking, now })) {
      await removeTreeIfPossible(looking, place);
    }
  }
}

/** Neither done nor undone yet; what is in trouble stays so for long. */
function isPending({ state, trouble }: TransactionRow): boolean {
  return trouble === undefined && (state === 'committed' || state === 'undoing');
}
