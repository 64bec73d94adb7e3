import type { ChangeRow } from './change-row.js';
import { succeeds } from './errors.js';
import { displacedSuffix, type Place } from './file-system.js';
import { displacedRows } from './history.js';
import { type FoundImage, isSameImage } from './image.js';
import { type FoundAt, inspectTree, type Looking } from './inspect.js';
import type { Journal } from './journal.js';
import { journalPageRows } from './limits.js';
import { parentOf, type RelativePath } from './path.js';
import type { Quarantine } from './quarantine.js';
import { isObstacle, RootTree } from './root-tree.js';
import type { StoreDirectory } from './store-directory.js';
import type { TransactionRow } from './transaction-row.js';
import { slotName, spareOf, toUnits } from './units.js';

/*
 * Looks at what transactions displaced, before anybody settles or deletes it: bytes in there that are
 * neither before- nor after-image of their path are somebody else's, and go to quarantine (I3).
 */

export interface SettingAside {
  readonly looking: Looking;
  readonly directory: StoreDirectory;
  readonly journal: Journal;
  readonly quarantine: Quarantine;
  /** Waits until everything is on disk; when that fails, the store is poisoned (I10). */
  readonly barrier: () => Promise<void>;
}

/**
 * Moves out of a transaction's slots what is neither before- nor after-image of its path.
 *
 * @returns the paths that it belonged to.
 */
export async function setAsideForeign(
  transaction: TransactionRow,
  aside: SettingAside,
): Promise<readonly string[]> {
  const { looking, directory, journal, quarantine } = aside;
  const late: string[] = [];
  // guard: late-before-image [transaction.state === 'undoing' becomes false]
  const isUndone = transaction.state === 'undoing' || transaction.state === 'rolled-back';
  for (const { slot, path, rows } of toUnits(journal.changes(transaction.id))) {
    if (slot === undefined) continue;
    const rowOf = new Map(rows.map((row) => [row.path, row]));
    const place = slotPlace(transaction, slot, directory);
    const displaced: Place = { ...place, name: place.name + displacedSuffix };
    // guard: late-displaced-beside [if false]
    if (looking.files.stat(displaced) !== undefined) {
      late.push(path);
      quarantine.takeIn(displaced, {
        path,
        transaction: transaction.id,
        why: 'another program took the path while the engine was replacing it',
      });
    }
    const isKnown = (at: RelativePath, image: FoundImage): boolean => {
      const row = rowOf.get(at);
      // An undone transaction's before-images are back in place, unless somebody took the place.
      const known = row === undefined ? [] : isUndone ? [row.after] : [row.before, row.after];
      return known.some((candidate) => isSameImage(candidate, image));
    };
    late.push(...(await setAsideIn({ place, path, isKnown }, transaction, aside)));
  }
  return late;
}

/**
 * As {@link setAsideForeign}, for what a recovery that went path by path had to move beside the slots.
 *
 * @param name in the stage directory; what is none of those stays as it is.
 * @param id of the transaction that it belongs to.
 */
export async function setAsideForeignSpare(
  name: string,
  id: number,
  aside: SettingAside,
): Promise<void> {
  const { directory, journal } = aside;
  const sequence = spareOf(name);
  const transaction = sequence === undefined ? undefined : journal.transaction(id);
  if (transaction === undefined) return;
  const row = journal.changes(id).find((one) => one.sequence === sequence);
  if (row === undefined) return;
  const { path } = row;
  // Another transaction's image may have been in the way of this one.
  const images = [row, ...rowsOf(path, journal)].flatMap(({ before, after }) => [before, after]);
  const isKnown = (at: RelativePath, image: FoundImage): boolean =>
    at === path && images.some((candidate) => isSameImage(candidate, image));
  const place: Place = { directory: directory.stage, name };
  await setAsideIn({ place, path, isKnown }, transaction, aside);
}

function rowsOf(path: RelativePath, journal: Journal): readonly ChangeRow[] {
  return journal.changesAfter({ id: 0, sequence: 0 }, journalPageRows, { among: new Set([path]) });
}

/** Something of the engine's own, and what may be in it. */
interface Displaced {
  readonly place: Place;
  /** Where it was. */
  readonly path: RelativePath;
  readonly isKnown: (path: RelativePath, image: FoundImage) => boolean;
}

async function setAsideIn(
  { place, path, isKnown }: Displaced,
  transaction: TransactionRow,
  aside: SettingAside,
): Promise<readonly string[]> {
  const late: string[] = [];
  const directories = new Map<RelativePath, FoundAt>();
  for await (const found of inspectTree(aside.looking, place, path, 'yielded')) {
    const { image } = found;
    if (image.kind === 'directory') directories.set(found.path, found);
    if (image.kind === 'directory' || image.kind === 'absent') continue;
    // guard: late-write-known [if true]
    if (isKnown(found.path, image)) continue;
    const parent = found.path === path ? undefined : parentOf(found.path);
    const around = parent === undefined ? undefined : directories.get(parent);
    const isBack = await whileWritable(around, aside, () => setAside(found, transaction, aside));
    if (!isBack) late.push(found.path);
  }
  return late;
}

/** @returns whether an earlier transaction's history has it now, so that nothing is amiss. */
async function setAside(
  found: FoundAt,
  transaction: TransactionRow,
  aside: SettingAside,
): Promise<boolean> {
  // guard: return-to-history
  if (returnToHistory(found, transaction, aside)) return true;
  // By a name that is not UTF-8 it cannot be moved, nor removed, and a mount cannot: it stays in history.
  if (found.stat === undefined) return false;
  const takeIn = (): void => {
    aside.quarantine.takeIn(found.place, {
      path: found.path,
      transaction: transaction.id,
      why: 'neither in place nor in history: another program wrote to it or took its place',
    });
  };
  // A store of somebody else's may not let itself be moved either.
  if (isNestedStore(found)) await succeeds(takeIn);
  else takeIn();
  return false;
}

/**
 * What was displaced may be a directory that nobody may write in, as module caches have: while something
 * is moved out of it, somebody may.
 */
async function whileWritable<T>(
  directory: FoundAt | undefined,
  { barrier, looking: { files } }: SettingAside,
  act: () => Promise<T>,
): Promise<T> {
  const { place, stat } = directory ?? {};
  if (place === undefined || stat === undefined || (stat.mode & 0o300) === 0o300) return act();
  // The power could keep the mode, and take back that it was displaced: then it would seem edited.
  // guard: writable-barrier
  await barrier();
  files.setModeOf(place, stat, stat.mode | 0o700);
  try {
    return await act();
  } finally {
    files.setModeOf(place, stat, stat.mode);
  }
}

/**
 * Puts what an earlier transaction had displaced where its history expects it. The power may take that
 * move, or of plain Node's link and unlink the second, and keep the move of a directory above.
 *
 * @returns whether it was such a file or link.
 */
function returnToHistory(
  { image, path, place, stat }: FoundAt,
  { id }: TransactionRow,
  { looking: { files }, directory, journal }: SettingAside,
): boolean {
  using history = new RootTree(files, directory.stage);
  for (const earlier of journal.unsettled()) {
    if (earlier.id >= id) break;
    for (const row of displacedRows(earlier, journal.changes(earlier.id))) {
      if (row.path !== path || row.keptAt === undefined) continue;
      const kept = history.locate(row.keptAt);
      if (isObstacle(kept) || !isSameImage(row.before, image)) continue;
      const held = files.stat(kept);
      if (held !== undefined && held.inode !== stat?.inode) continue;
      if (held === undefined) files.moveNew(place, kept);
      else files.removeFile(place);
      return true;
    }
  }
  return false;
}

/** A directory by whose name no transaction can have it. */
export function isNestedStore({ image, stat }: FoundAt): boolean {
  return image.kind === 'special' && stat?.kind === 'directory';
}

export function slotPlace(
  { stage }: TransactionRow,
  slot: string,
  directory: StoreDirectory,
): Place {
  return { directory: directory.stage, name: slotName(stage, slot) };
}
