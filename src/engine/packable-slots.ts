import type { ChangeRow } from './change-row.js';
import { systemCode } from './errors.js';
import type { Directory, FileSystem, Place } from './file-system.js';
import type { FileImage, Image } from './image.js';
import { type FoundAt, inspectTree, type Looking, statTree } from './inspect.js';
import type { Journal } from './journal.js';
import { type Keeping, reasonOfMark } from './keeping.js';
import { packContentBytesMax, unnamedObjectAgeMs } from './limits.js';
import type { RelativePath } from './path.js';
import { isSameImage } from './image.js';
import type { TransactionRow } from './transaction-row.js';
import { type JournalUnit, slotName, slotPath, toUnits } from './units.js';

/*
 * Which slots may give their files to a pack. What comes back from a pack has the bytes, modes and
 * links that the journal says, and nothing else; so a slot is packed only when it has nothing else.
 */

/** A file in a slot. */
export interface SlotFile {
  readonly image: FileImage;
  /** In the root. */
  readonly path: RelativePath;
  /** Below `stage/`. */
  readonly keptAt: RelativePath;
}

export interface Slot {
  readonly transaction: TransactionRow;
  readonly unit: JournalUnit;
  /** In `stage/`. */
  readonly place: Place;
  readonly files: readonly SlotFile[];
}

/** Yields every slot that holds files of a transaction which keeps them, newest transactions first. */
export function* slotsOf(journal: Journal, stage: Directory): Generator<Slot, void> {
  for (const transaction of journal.keepers()) yield* slotsWithin(transaction, journal, stage);
}

/** Yields the slots that hold files of one transaction, in the order of its rows. */
export function* slotsWithin(
  transaction: TransactionRow,
  journal: Journal,
  stage: Directory,
): Generator<Slot, void> {
  for (const unit of toUnits(journal.changes(transaction.id))) {
    const { slot, path, rows } = unit;
    if (slot === undefined) continue;
    const files = rows.flatMap(({ before, path: member }) => {
      const keptAt = slotPath(transaction.stage, slot, { member, unit: path });
      return before.kind === 'file' ? [{ image: before, path: member, keptAt }] : [];
    });
    if (files.length === 0) continue;
    const place = { directory: stage, name: slotName(transaction.stage, slot) };
    yield { transaction, unit, place, files };
  }
}

export interface Judging {
  readonly looking: Looking;
  readonly store: Directory;
  readonly head: number;
  readonly keeping: Keeping;
  /** Whether what is committed counts as settled: a dry run settles nothing. */
  readonly isDryRun: boolean;
  /** Milliseconds since 1970. */
  readonly now: number;
  /** Whether a younger slot may go as well, where it can be seen that nobody has its files open. */
  readonly takesYoung?: boolean;
}

/** Why a slot has to wait; all other reasons stay. */
export const notOldEnough = 'not a day old';

/** Returns why a slot is not packed, without reading a file; `undefined`: it is, as far as can be seen. */
export async function whyNotPacked(
  { transaction, unit, place }: Slot,
  judging: Judging,
): Promise<string | undefined> {
  const { id, state, trouble, committedAt } = transaction;
  const isSettled = state === 'settled' || (state === 'committed' && judging.isDryRun);
  if (!isSettled || trouble !== undefined) return 'undone, or neither done nor undone';
  const mark = reasonOfMark(judging.keeping.marks.get(id));
  if (mark !== undefined) return mark.replace(/^tagged .*/, 'tagged');
  // It is evidence that the journal has not lost its end.
  if (id === judging.head) return 'the newest transaction';
  const isYoung = judging.now - committedAt < unnamedObjectAgeMs;
  // I3: by the names in a directory somebody may still write who is in there, as shells are.
  const isDirectory = unit.rows[0]?.before.kind === 'directory';
  // guard: pack-age
  // guard: pack-young-directory [|| isDirectory becomes || false]
  if (isYoung && (judging.takesYoung !== true || isDirectory)) return notOldEnough;
  const isSuperseded = unit.rows.some(({ superseded }) => superseded !== undefined);
  if (isSuperseded) return 'not as it was displaced';
  const { store, looking } = judging;
  const { owner, group } = looking.files.statDirectory(store);
  const isOrdinary = (at: FoundAt): boolean =>
    at.stat?.owner === owner && at.stat.group === group && !hasAttributes(at.place, looking.files);
  return judge(statTree(looking, place, unit.path, 'yielded'), unit, (at, before) => {
    const stat = at.stat;
    if (stat === undefined || stat.kind !== before.kind) return 'not as it was displaced';
    if (before.kind === 'file') {
      if (before.size > packContentBytesMax) return 'larger than 16 MiB';
      if (stat.size !== before.size || stat.mode !== before.mode) return 'not as it was displaced';
    }
    // guard: pack-attributes [if false]
    if (!isOrdinary(at)) return 'with an owner or attributes of its own';
    if (isYoung && before.kind === 'file' && hasWriter(at.place, looking.files) !== false) {
      return notOldEnough;
    }
    return undefined;
  });
}

/** What may go: a slot, or one of its files. */
interface Leaving {
  readonly slot: Slot;
  readonly place: Place;
  readonly path: RelativePath;
}

/** I3: the last look before something goes. Reads all of it. */
export async function isStillDisplaced(
  { slot: { transaction, unit }, place, path }: Leaving,
  { looking, now }: Pick<Judging, 'looking' | 'now'>,
): Promise<boolean> {
  const isYoung = now - transaction.committedAt < unnamedObjectAgeMs;
  // First: what is written before it is read is seen then, and nobody opens it any more.
  for await (const { place: at, stat } of statTree(looking, place, path, 'yielded')) {
    if (stat?.kind !== 'file') continue;
    const isWritten = hasWriter(at, looking.files);
    // guard: pack-open-writers [if false]
    if (isWritten === true || (isYoung && isWritten === undefined)) return false;
  }
  const found = inspectTree(looking, place, path, 'yielded');
  const reason = await judge(found, unit, ({ image }, before) => {
    if (image.kind === 'directory' && before.kind === 'directory') return undefined;
    return isSameImage(image, before) ? undefined : 'not as it was displaced';
  });
  return reason === undefined;
}

function hasWriter(place: Place, files: FileSystem): boolean | undefined {
  const file = files.openForReading(place);
  try {
    return files.hasWriter(file);
  } finally {
    files.closeFile(file);
  }
}

async function judge(
  found: AsyncIterable<FoundAt>,
  { rows }: JournalUnit,
  complain: (at: FoundAt, before: Image) => string | undefined,
): Promise<string | undefined> {
  const rowOf = new Map<RelativePath, ChangeRow>(rows.map((row) => [row.path, row]));
  for await (const at of found) {
    const before = rowOf.get(at.path)?.before;
    if (before === undefined || before.kind === 'absent') return 'not as it was displaced';
    const complaint = complain(at, before);
    if (complaint !== undefined) return complaint;
  }
  return undefined;
}

/** Security contexts of SELinux do not count: what is made anew gets that of its place. */
function hasAttributes(place: Place, files: FileSystem): boolean {
  try {
    const names = files.attributeNames(place);
    // Where nobody can see them, they are kept only by what copies them unseen.
    if (names === undefined) return files.capabilities.extendedAttributes === 'kept';
    return names.some((name) => name !== 'security.selinux');
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return true;
  }
}
