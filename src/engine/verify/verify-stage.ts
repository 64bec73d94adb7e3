import { fromSystemErrorOnly, isEngineError } from '../errors.js';
import type { ContentHash } from '../hash.js';
import { displacedRows, type DisplacedRow } from '../history.js';
import { absent, describeImage, type FoundImage, type Image, isSameContent } from '../image.js';
import { inspect } from '../inspect.js';
import { type Keeping, keepsDisplaced } from '../keeping.js';
import type { ObjectStore } from '../object-store.js';
import type { TransactionRow } from '../transaction-row.js';
import { quote, type RelativePath } from '../path.js';
import { isObstacle, RootTree } from '../root-tree.js';
import { transactionOf } from '../units.js';
import { toFinding } from './finding.js';
import {
  isAtRest,
  type Part,
  type Suspicion,
  uncertainTransactions,
  type Verifying,
} from './verifying.js';

/** What each transaction displaced, against its before-images. */
export const verifySlots: Part = async function* (verifying, wants) {
  const { journal, looking, directory } = verifying;
  using objects = verifying.openObjects();
  const uncertain = uncertainTransactions(verifying);
  for (const transaction of journal.keepers()) {
    const { id, state } = transaction;
    const tookEffect = state === 'settled' || state === 'committed';
    if (!tookEffect || uncertain.has(id) || !wants(String(id))) continue;
    using history = new RootTree(looking.files, directory.stage);
    yield* verifySlotsOf(transaction, { history, objects }, verifying);
  }
};

async function* verifySlotsOf(
  transaction: TransactionRow,
  { history, objects }: { readonly history: RootTree; readonly objects: ObjectStore },
  verifying: Verifying,
): AsyncGenerator<Suspicion, void> {
  const { journal, looking, quarantine, broken, count } = verifying;
  const { id } = transaction;
  const rows = readableRows(() => displacedRows(transaction, journal.changes(id)));
  // A slot that gave its files to a pack is gone, or half of it when that was cut off: what is in no
  // pack of it, links and directories, the journal says by itself.
  const packed = new Set(
    rows
      .filter(({ before }) => before.kind === 'file' && isAtHand(before.sha256, objects, journal))
      .map(({ unit }) => unit),
  );
  for (const { path, before, keptAt, superseded, unit } of rows) {
    // Where another program's bytes won, what came of ours is in quarantine.
    if (keptAt === undefined || superseded !== undefined) continue;
    if (looking.pace.isDue()) await looking.pace.turn();
    count('slots');
    const found = await lookAtSlot(keptAt, before, history, verifying);
    if (typeof found !== 'string' && isSameContent(found, before)) continue;
    const what = `what transaction ${String(id)} displaced at ${quote(path)}`;
    const isMissing = typeof found !== 'string' && found.kind === 'absent';
    if (isMissing && before.kind === 'file' && journal.isLost(before.sha256)) {
      count('lost');
      continue;
    }
    const content = before.kind === 'file' ? before.sha256 : undefined;
    const isBroken =
      isMissing && content !== undefined && broken.has(content) && objects.isOnlyPacked(content);
    const isPacked =
      content === undefined ? packed.has(unit) : objects.packs.find(content) !== undefined;
    if (isMissing && isPacked && !isBroken) continue;
    // A late writer's bytes were set aside, with a note; what they replaced nobody has.
    if (quarantine.holds(path, id)) continue;
    const now = typeof found === 'string' ? found : `found ${describeImage(found)}`;
    const message = isBroken
      ? `${what} is damaged in the pack that holds it: ${describeImage(before)}`
      : isMissing
        ? `${what} is missing: ${describeImage(before)}`
        : `${what} is damaged: expected ${describeImage(before)}, ${now}`;
    const finding = toFinding(isMissing && !isBroken ? 'slot-missing' : 'slot-damaged', message, {
      path,
      transaction: id,
      place: `stage/${keptAt}`,
      sha256: before.kind === 'file' ? before.sha256 : null,
    });
    yield { unit: String(id), finding };
  }
}

function isAtHand(
  sha256: ContentHash,
  objects: ObjectStore,
  journal: Verifying['journal'],
): boolean {
  return objects.packs.find(sha256) !== undefined || journal.isLost(sha256);
}

/** Rows that cannot be read are what `verifyRecords` finds. */
function readableRows(read: () => readonly DisplacedRow[]): readonly DisplacedRow[] {
  try {
    return read();
  } catch (error) {
    if (isEngineError(error, 'JOURNAL_DAMAGED')) return [];
    throw error;
  }
}

/**
 * Returns what is in a slot, or why it cannot be read. Unless deep, a file of the right size is taken
 * for the right one.
 */
async function lookAtSlot(
  keptAt: RelativePath,
  expected: Image,
  history: RootTree,
  { looking, isDeep }: Verifying,
): Promise<FoundImage | string> {
  history.trim();
  try {
    const located = history.locate(keptAt);
    if (isObstacle(located)) return absent;
    const stat = looking.files.stat(located);
    const isLikely = stat?.kind === 'file' && expected.kind === 'file';
    if (!isDeep && isLikely && stat.size === expected.size) return expected;
    return (await inspect(looking, located, keptAt)).image;
  } catch (error) {
    const failure = fromSystemErrorOnly(error, 'read', `stage/${keptAt}`);
    if (isEngineError(failure, 'IO_FAILED', 'PERMISSION_DENIED')) return failure.message;
    throw error;
  }
}

function isNeeded(
  { id, prefix }: { readonly id: number; readonly prefix: string },
  journal: Verifying['journal'],
  keeping: Keeping,
): boolean {
  try {
    const transaction = journal.transaction(id);
    return transaction?.stage === prefix && keepsDisplaced(transaction, keeping);
  } catch (error) {
    // Its row is damaged or gone, as `verifyRecords` says: rebuilding may want it.
    if (isEngineError(error, 'JOURNAL_DAMAGED')) return true;
    throw error;
  }
}

/** What no transaction needs any more, or ever did. */
export const verifyStageNames: Part = async function* (verifying, wants) {
  const { journal, directory, looking } = verifying;
  const keeping = journal.keeping.get();
  const head = journal.head().id;
  const rests = isAtRest(verifying);
  for (const { name } of directory.files.list(directory.stage)) {
    if (looking.pace.isDue()) await looking.pace.turn();
    if (!wants(name)) continue;
    const owner = transactionOf(name);
    // Of lost transactions: `verifyRecords` names them. Of one that is being made, or its maker died:
    // recovery sweeps it.
    if (owner !== undefined && (owner.first > head + 1 || (owner.id > head && !rests))) continue;
    if (owner !== undefined && isNeeded(owner, journal, keeping)) continue;
    const place = `stage/${name}`;
    const message = `${place} belongs to no transaction that needs it`;
    yield { unit: name, finding: toFinding('stage-orphan', message, { place }) };
  }
};
