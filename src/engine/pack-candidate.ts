import { isEngineError } from './errors.js';
import type { ContentHash } from './hash.js';
import { readFileAt } from './history.js';
import type { Looking } from './inspect.js';
import type { Journal } from './journal.js';
import type { ObjectStore } from './object-store.js';
import type { NeededContent } from './pack-contents.js';
import type { SlotFile } from './packable-slots.js';
import type { PackedContent, PackName } from './packs.js';
import { isObstacle, RootTree } from './root-tree.js';
import type { StoreDirectory } from './store-directory.js';
import type { Session } from './writer.js';

/** What packing works with. */
export interface PackingHistory {
  readonly directory: StoreDirectory;
  readonly journal: Journal;
  readonly objects: ObjectStore;
  readonly looking: Looking;
  readonly session: Pick<Session, 'requireFence' | 'epoch'>;
  /** Waits until everything is on disk; when that fails, the store is poisoned (I10). */
  readonly barrier: () => Promise<void>;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/** A content that is packed now, and where it is to be had. */
export interface Candidate extends NeededContent {
  /** Below `stage/`. */
  readonly slots: SlotFile[];
}

/** Returns the bytes of the first source that has the right ones. */
export async function readCandidate(
  { sha256, size, slots }: Candidate,
  { looking, directory, objects }: PackingHistory,
): Promise<Uint8Array | undefined> {
  using history = new RootTree(looking.files, directory.stage);
  for (const { image, keptAt } of slots) {
    history.trim();
    const place = history.locate(keptAt);
    const bytes = isObstacle(place) ? undefined : await readFileAt(place, image, looking);
    if (bytes !== undefined) return bytes;
  }
  if (objects.placeOf(sha256) === undefined) return undefined;
  try {
    return await objects.read(sha256, size);
  } catch (error) {
    if (isEngineError(error, 'HISTORY_DAMAGED', 'STORE_FORMAT_NEWER')) return undefined;
    throw error;
  }
}

/** Tells whether a content is in packs that must be there, having read it in each. */
export async function isPacked(
  sha256: ContentHash,
  packs: { readonly has: (name: PackName) => boolean },
  { looking, objects }: PackingHistory,
): Promise<boolean> {
  const copies = objects.packs.copies(sha256).filter(({ pack }) => packs.has(pack.name));
  for (const copy of copies) {
    if (looking.pace.isDue()) await looking.pace.turn();
    // guard: packed-before [if false]
    if (!(await isReadable(copy, objects))) return false;
  }
  return copies.length > 0;
}

export async function isReadable(content: PackedContent, objects: ObjectStore): Promise<boolean> {
  try {
    await objects.packs.readFrom(content);
    return true;
  } catch {
    return false;
  }
}
