import { isCompressible } from './compression.js';
import { isEngineError, systemCode } from './errors.js';
import type { ContentHash } from './hash.js';
import {
  packChunkBytes,
  packedAtOnceBytesMax,
  packedAtOnceLooksMax,
  packedAtOnceSlotFilesMax,
  packFromBytesDefault,
  packSampleBytes,
  unpackedTransactionsMin,
} from './limits.js';
import { type Candidate, isPacked, type PackingHistory, readCandidate } from './pack-candidate.js';
import { groupForPacks } from './pack-contents.js';
import { removeUnneededPacks } from './pack-history.js';
import type { PackingProgress } from './pack-table.js';
import {
  isStillDisplaced,
  type Judging,
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
 * What it passes by stays for whoever asks for packing. Packs that nothing needs any more go now and then.
 */

/**
 * Where a read lease is refused while anybody can write. That of overlayfs knows nothing of mappings, nor
 * need those of others know of writers elsewhere.
 */
const leasesTell: ReadonlySet<string> = new Set(['ext4', 'xfs', 'btrfs', 'tmpfs']);

const unreadable: ReadonlySet<string> = new Set([
  'EIO',
  'EACCES',
  'EPERM',
  'ELOOP',
  'ENOENT',
  'ENOTDIR',
  'ENXIO',
]);

/** @returns whether there is more. Runs under the lock. */
export async function packLazily(packing: PackingHistory): Promise<boolean> {
  const { journal, session } = packing;
  const { packFromBytes = packFromBytesDefault } = journal.keeping.policy();
  if (packFromBytes === 0) return false;
  // guard: lazy-packing-fence
  session.requireFence();
  const prunedThrough = journal.keeping.prunedThrough();
  const head = journal.head().id;
  const progress = await clean(journal.packs.progress(), head, packing);
  const isPruned = progress.transaction <= prunedThrough;
  const from = isPruned ? { ...progress, transaction: prunedThrough + 1, files: 0 } : progress;
  const last = head - unpackedTransactionsMin;
  const isEnough = (through: number): boolean =>
    journal.displacedBytes(from.transaction, through) >= packFromBytes;
  // The next transactions make these old enough.
  if (!isEnough(last)) return isEnough(head);
  return new Piece(packing, last).run(from);
}

/**
 * Removes packs that nothing needs when an eighth of what is kept was pruned since (I9): to know that, all
 * that is kept is looked through.
 */
async function clean(
  progress: PackingProgress,
  head: number,
  packing: PackingHistory,
): Promise<PackingProgress> {
  const { journal, session } = packing;
  const prunedThrough = journal.keeping.prunedThrough();
  const pruned = prunedThrough - progress.cleanedThrough;
  if (pruned <= 0 || pruned * 8 < head - prunedThrough) return progress;
  await removeUnneededPacks(packing);
  const cleaned = { ...progress, cleanedThrough: prunedThrough };
  journal.packs.setProgress(cleaned, session.epoch);
  return cleaned;
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
  readonly #judging: Judging;
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
    const { journal, looking, directory, now } = packing;
    const { store } = directory;
    const [head, keeping] = [journal.head().id, journal.keeping.get()];
    const { name } = looking.files.typeOf(store);
    // guard: lazy-pack-leases [leasesTell.has(name) becomes true]
    const takesYoung = leasesTell.has(name);
    this.#judging = { looking, store, head, keeping, isDryRun: false, takesYoung, now };
  }

  async run(from: PackingProgress): Promise<boolean> {
    const { journal, session } = this.#packing;
    const next = await this.#gather(from);
    await this.#write();
    if (this.#covered.size > 0) await this.#remove();
    const isSame = next.transaction === from.transaction && next.files === from.files;
    if (!isSame || next.isMore !== from.isMore) journal.packs.setProgress(next, session.epoch);
    return next.isMore;
  }

  /** @returns where the next piece begins. */
  async #gather(from: PackingProgress): Promise<PackingProgress> {
    const { journal, directory } = this.#packing;
    for (let { transaction: id, files: done } = from; id <= this.#last; id += 1, done = 0) {
      const transaction = journal.transaction(id);
      if (transaction === undefined) continue;
      if (isPending(transaction)) return { ...from, transaction: id, files: done, isMore: false };
      let begin = 0;
      for (const slot of slotsWithin(transaction, journal, directory.stage)) {
        const skipped = Math.max(0, done - begin);
        if (skipped < slot.files.length) {
          const taken = await this.#unlessUnreadable(slot.files.length - skipped, () =>
            this.#takeSlot(slot, skipped),
          );
          const files = begin + skipped + (taken ?? 0);
          const isEnd = taken === undefined || files < begin + slot.files.length;
          if (isEnd) return { ...from, transaction: id, files, isMore: taken !== undefined };
        }
        begin += slot.files.length;
      }
    }
    return { ...from, transaction: this.#last + 1, files: 0, isMore: false };
  }

  /** What cannot be looked at in one slot is passed by: it must not keep all others from being packed. */
  async #unlessUnreadable<T>(otherwise: T, look: () => Promise<T>): Promise<T> {
    try {
      return await look();
    } catch (error) {
      if (isUnreadable(error)) return otherwise;
      throw error;
    }
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
    return this.#bytes >= packedAtOnceBytesMax || this.#looks >= packedAtOnceLooksMax;
  }

  async #whyNot(slot: Slot): Promise<string | undefined> {
    const { looking } = this.#packing;
    this.#looks += 1;
    if (looking.pace.isDue()) await looking.pace.turn();
    if (looking.files.stat(slot.place) === undefined) return 'packed';
    if (slot.files.length > packedAtOnceSlotFilesMax) return 'of many files';
    return whyNotPacked(slot, this.#judging);
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
      read: () => this.#unlessUnreadable(undefined, () => readCandidate(one, this.#packing)),
    }));
    for (const group of groupForPacks(contents)) {
      const written = await writePack(group, writing);
      for (const sha256 of written?.contents ?? []) this.#covered.add(sha256);
    }
  }

  async #remove(): Promise<void> {
    const { looking, session } = this.#packing;
    // guard: lazily-packed-removal-fence
    session.requireFence();
    const filesOf = new Map<Slot, SlotFile[]>();
    for (const { slot, file } of this.#leavers) {
      filesOf.set(slot, [...(filesOf.get(slot) ?? []), file]);
    }
    for (const [slot, files] of filesOf) {
      if (looking.pace.isDue()) await looking.pace.turn();
      await this.#unlessUnreadable(undefined, async () => {
        await this.#removeFiles(slot, files);
        await this.#removeHollow(slot);
      });
    }
  }

  async #removeFiles(slot: Slot, files: readonly SlotFile[]): Promise<void> {
    const { looking, directory, now } = this.#packing;
    using history = new RootTree(looking.files, directory.stage);
    for (const { image, keptAt, path } of files) {
      history.trim();
      const place = history.locate(keptAt);
      // guard: lazy-pack-covers-file [this.#covered.has(image.sha256) becomes true]
      if (isObstacle(place) || !this.#covered.has(image.sha256)) continue;
      if (looking.files.stat(place) === undefined) continue;
      // guard: lazy-pack-late-writes [if false]
      if (!(await isStillDisplaced({ slot, place, path }, { looking, now }))) continue;
      await removeTreeIfPossible(looking, place);
    }
  }

  /** Directories and links of a slot without files: the journal says what they are. */
  async #removeHollow(slot: Slot): Promise<void> {
    const { looking, now } = this.#packing;
    const { place, unit } = slot;
    if (looking.files.stat(place) === undefined) return;
    for await (const { stat } of statTree(looking, place, unit.path)) {
      if (stat?.kind === 'file') return;
    }
    if (await isStillDisplaced({ slot, place, path: unit.path }, { looking, now })) {
      // I3: somebody may be in there, and make a file at any time.
      await removeTreeIfPossible(looking, place, { keepsFiles: true });
    }
  }
}

/** Tells whether what failed concerns nothing but what was looked at. */
function isUnreadable(error: unknown): boolean {
  if (isEngineError(error, 'PATH_INVALID', 'PATH_IN_ENGINE_DIRECTORY', 'PATH_ON_OTHER_MOUNT')) {
    return true;
  }
  const cause = isEngineError(error) ? error.cause : error;
  return unreadable.has(systemCode(cause) ?? '');
}

/** Neither done nor undone yet; what is in trouble stays so for long. */
function isPending({ state, trouble }: TransactionRow): boolean {
  return trouble === undefined && (state === 'committed' || state === 'undoing');
}
