import { isEngineError, systemCode } from './errors.js';
import type { FileSystem, OpenFile, Place } from './file-system.js';
import { hashContent, type ContentHash } from './hash.js';
import type { FileImage } from './image.js';
import type { Looking } from './inspect.js';
import type { ChangeRow } from './change-row.js';
import type { Journal } from './journal.js';
import type { TransactionRow } from './transaction-row.js';
import type { ObjectStore } from './object-store.js';
import type { RelativePath } from './path.js';
import { isObstacle, type RootTree } from './root-tree.js';
import { slotPath, toUnits } from './units.js';

/** What reading from history needs. */
export interface HistoryReading {
  readonly looking: Looking;
  /** Places below the store's `stage` directory. */
  readonly history: RootTree;
  /** The contents of snapshots: they may have what no slot has. */
  readonly objects: ObjectStore;
}

/** One path that a transaction changed, and where what it displaced there lies. */
export interface DisplacedRow extends ChangeRow {
  /** Below the stage directory; `undefined` where nothing was moved. */
  readonly keptAt: RelativePath | undefined;
}

/** Returns the rows of a transaction with the places of what it displaced. */
export function displacedRows(
  { stage }: TransactionRow,
  rows: readonly ChangeRow[],
): readonly DisplacedRow[] {
  return toUnits(rows).flatMap(({ slot, path: unit, rows: members }) =>
    members.map((row) => ({
      ...row,
      keptAt:
        slot === undefined || row.before.kind === 'absent'
          ? undefined
          : slotPath(stage, slot, { member: row.path, unit }),
    })),
  );
}

/** Yields the places where history should hold a content, those of `path` itself first. */
export function* placesOf(
  content: ContentHash,
  path: RelativePath,
  journal: Journal,
): Generator<RelativePath, void> {
  for (const { id, sequence } of journal.displaced(content, path)) {
    const transaction = journal.transaction(id);
    // Its record may have been removed meanwhile.
    if (transaction === undefined) continue;
    const rows = displacedRows(transaction, journal.changes(id));
    const place = rows.find((row) => row.sequence === sequence)?.keptAt;
    if (place !== undefined) yield place;
  }
}

/** Returns the bytes at the first of `places` that are `image`, else those that a snapshot stored. */
export async function readKept(
  image: FileImage,
  places: Iterable<RelativePath>,
  { looking, history, objects }: HistoryReading,
): Promise<Uint8Array | undefined> {
  for (const place of places) {
    history.trim();
    const located = history.locate(place);
    if (isObstacle(located)) continue;
    const bytes = await readFileAt(located, image, looking);
    if (bytes !== undefined) return bytes;
  }
  return readStored(image, objects);
}

async function readStored(
  { sha256, size }: FileImage,
  objects: ObjectStore,
): Promise<Uint8Array | undefined> {
  // Its slot may have gone for a pack that is newer than the last look at packs.
  if (!objects.has(sha256)) objects.packs.forget();
  if (!objects.has(sha256)) return undefined;
  try {
    return await objects.read(sha256, size);
  } catch (error) {
    if (isEngineError(error, ...notToBeHad)) return undefined;
    throw error;
  }
}

/** What an object says that is damaged, gone meanwhile, or of a newer program. */
export const notToBeHad = ['HISTORY_DAMAGED', 'STORE_FORMAT_NEWER'] as const;

/** Returns the bytes of the file at a place if they are `image`, else `undefined`. */
export async function readFileAt(
  place: Place,
  { sha256, size }: FileImage,
  { files, pace }: Looking,
): Promise<Uint8Array | undefined> {
  const stat = files.stat(place);
  if (stat?.kind !== 'file' || stat.size !== size) return undefined;
  const file = openIfThere(files, place);
  if (file === undefined) return undefined;
  try {
    const bytes = Buffer.allocUnsafe(size + 1);
    let length = 0;
    for (;;) {
      const count = await files.read(file, bytes.subarray(length));
      length += count;
      if (count === 0 || length > size) break;
      pace.refuseStopped();
    }
    const content = bytes.subarray(0, length);
    // guard: history-content [hashContent(content) === sha256 becomes true]
    return length === size && hashContent(content) === sha256 ? content : undefined;
  } finally {
    files.closeFile(file);
  }
}

/** Who reads without the lock may come when a slot has just gone: for a pack, or because it was pruned. */
function openIfThere(files: FileSystem, place: Place): OpenFile | undefined {
  try {
    return files.openForReading(place);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}
