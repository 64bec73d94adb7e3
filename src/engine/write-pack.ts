import { compressChunk } from './compression.js';
import { EngineError, fromSystemErrorOnly, systemCode } from './errors.js';
import type { FileSystem, Place } from './file-system.js';
import { ContentHasher, type ContentHash, hashContent } from './hash.js';
import type { Journal } from './journal.js';
import { chunkBytes, packChunkBytes } from './limits.js';
import type { ObjectStore } from './object-store.js';
import { formatPack, type NewChunk } from './pack-format.js';
import type { Pace } from './pace.js';
import { describePack, type Pack, packFileName, type PackName } from './packs.js';

/*
 * How a pack comes to be, under the lock:
 *
 * 1. Write it beside its name; barrier. So a pack never has its name before it is whole on disk.
 * 2. Give it its name; barrier.
 * 3. Read it back, past the cache where that can be asked for, and hash the whole and each content.
 * 4. The journal says, synced, that it must be there. Only from here on may anybody remove what it holds.
 *
 * Killed or cut off before, it is a pack that nobody needs, and everything else is as it was.
 */

/** A content that is to be packed. */
export interface ContentToPack {
  readonly sha256: ContentHash;
  readonly size: number;
  /** Returns its bytes; `undefined`, or others than it must have: it is not packed. */
  readonly read: () => Promise<Uint8Array | undefined>;
}

export interface WritingPacks {
  readonly objects: ObjectStore;
  readonly journal: Journal;
  readonly files: FileSystem;
  /** Waits until everything is on disk. */
  readonly barrier: () => Promise<void>;
  readonly pace: Pace;
  readonly epoch: number;
}

/** @returns the new pack, its bytes on disk and what it holds; `undefined`: none of it was to be had. */
export async function writePack(
  contents: readonly ContentToPack[],
  writing: WritingPacks,
): Promise<
  | {
      readonly name: PackName;
      readonly bytes: number;
      readonly contents: readonly ContentHash[];
    }
  | undefined
> {
  const chunks = await compressAll(contents, writing.pace);
  if (chunks.length === 0) return undefined;
  const bytes = formatPack(chunks);
  const name: PackName = hashContent(bytes);
  await store(name, bytes, writing);
  await recordPack(name, writing);
  const packed = chunks.flatMap((chunk) => chunk.contents.map(({ sha256 }) => sha256));
  return { name, bytes: bytes.length, contents: packed };
}

/**
 * Reads a pack back, and notes that it must be there.
 *
 * @throws {EngineError} `HISTORY_DAMAGED` when it is not what it must be.
 */
async function recordPack(name: PackName, writing: WritingPacks): Promise<void> {
  const { objects, journal, epoch, pace } = writing;
  objects.packs.forget();
  const pack = objects.packs.list().find((one) => one.name === name);
  const damage =
    pack === undefined
      ? 'it is gone'
      : await damageOf(pack, { objects, files: writing.files, pace });
  // guard: pack-read-back [if false]
  if (pack === undefined || damage !== undefined || typeof pack.index === 'string') {
    throw new EngineError(
      'HISTORY_DAMAGED',
      `${describePack(name)} was read back and is not what was written: ${damage ?? ''}`,
      { hint: 'Check the disk. Nothing that it was to hold was removed.' },
    );
  }
  journal.packs.add(name, pack.index.count, epoch);
}

/** As {@link recordPack}, for a pack that was found: whoever wrote it may have died before it was noted. */
export async function recordFoundPack({ name, place }: Pack, writing: WritingPacks): Promise<void> {
  const { files, barrier } = writing;
  // guard: found-pack-cover
  files.mustReachDisk(place);
  // guard: found-pack-barrier
  await barrier();
  await recordPack(name, writing);
}

/** Reads all of a pack. @returns what is wrong with it, in a few words; `undefined`: nothing. */
export async function damageOf(
  pack: Pack,
  {
    objects,
    files,
    pace,
    onBroken = () => undefined,
  }: {
    readonly objects: ObjectStore;
    readonly files: FileSystem;
    readonly pace: Pace;
    /** Called with each content that cannot be had from it. */
    readonly onBroken?: (sha256: ContentHash) => void;
  },
): Promise<string | undefined> {
  if (typeof pack.index === 'string') return pack.index;
  // First: what follows is read from what this has fetched from the disk.
  const isWhole = (await hashPack(pack, files, pace)) === pack.name;
  let broken = 0;
  for (const entry of pack.index.entries) {
    if (pace.isDue()) await pace.turn();
    try {
      await objects.packs.readFrom({ ...entry, pack });
    } catch (error) {
      // What concerns this process says nothing about the pack.
      if (systemCode(error) === 'EMFILE' || systemCode(error) === 'ENFILE') throw error;
      broken += 1;
      onBroken(entry.sha256);
    }
  }
  const all = pack.index.count;
  if (broken > 0) return `${String(broken)} of its ${String(all)} contents cannot be read`;
  // guard: pack-whole [if true]
  if (isWhole) return undefined;
  return 'its bytes do not match its name, though each content does';
}

async function hashPack({ place }: Pack, files: FileSystem, pace: Pace): Promise<ContentHash> {
  const file = files.openForReading(place);
  try {
    files.dropCached(file);
    const hasher = new ContentHasher();
    const buffer = Buffer.allocUnsafe(chunkBytes);
    for (;;) {
      const count = await files.read(file, buffer);
      if (count === 0) return hasher.digest();
      hasher.update(buffer.subarray(0, count));
      pace.refuseStopped();
    }
  } finally {
    files.closeFile(file);
  }
}

async function compressAll(
  contents: readonly ContentToPack[],
  pace: Pace,
): Promise<readonly NewChunk[]> {
  const chunks: NewChunk[] = [];
  let held: { sha256: ContentHash; size: number; bytes: Uint8Array }[] = [];
  let size = 0;
  const finish = async (): Promise<void> => {
    if (held.length === 0) return;
    const compressed = await compressChunk(Buffer.concat(held.map(({ bytes }) => bytes)));
    chunks.push({
      compressed,
      contents: held.map((one) => ({ sha256: one.sha256, size: one.size })),
    });
    held = [];
    size = 0;
  };
  for (const content of contents) {
    if (pace.isDue()) await pace.turn();
    const bytes = await content.read();
    // guard: pack-input [if false]
    if (bytes === undefined || hashContent(bytes) !== content.sha256) continue;
    if (size + bytes.length > packChunkBytes) await finish();
    held.push({ sha256: content.sha256, size: bytes.length, bytes });
    size += bytes.length;
  }
  await finish();
  return chunks;
}

async function store(name: PackName, bytes: Uint8Array, writing: WritingPacks): Promise<void> {
  const { objects, files, barrier } = writing;
  const draft = objects.newDraft();
  const place: Place = { directory: objects.directory, name: packFileName(name) };
  // One of this name has these bytes, or is damaged: then it may still be the only place of some.
  const isThere = files.stat(place) !== undefined;
  try {
    const file = files.createFile(draft, 0o600);
    try {
      await files.write(file, bytes);
    } finally {
      files.closeWritten(file);
    }
    objects.give(draft);
    // guard: pack-barrier
    await barrier();
    files.moveOwn(draft, place);
    // guard: pack-name-barrier
    await barrier();
  } catch (error) {
    // I10: what a failed sync was to cover may look well and be lost.
    for (const left of isThere ? [draft] : [draft, place]) removeIfThere(files, left);
    throw fromSystemErrorOnly(error, 'write', describePack(name));
  }
}

function removeIfThere(files: FileSystem, place: Place): void {
  try {
    if (files.stat(place) !== undefined) files.removeFile(place);
  } catch (error) {
    // The disk fails; a draft goes with a later collection, and nothing relies on a pack without a record.
    if (systemCode(error) === undefined) throw error;
  }
}
