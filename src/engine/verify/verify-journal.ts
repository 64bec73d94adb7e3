import { anchorKey } from '../anchor-table.js';
import { isEngineError } from '../errors.js';
import { journalPageRows } from '../limits.js';
import { transactionOf } from '../units.js';
import { readOwner, readOwnerText } from '../writer-lock.js';
import { toFinding } from './finding.js';
import { isAtRest, type Part, type Suspicion } from './verifying.js';

/** SQLite's own look at the whole file, indexes included. */
export const verifyDatabase: Part = async function* ({ journal }, wants) {
  if (!wants('database')) return;
  for (const message of journal.integrityFindings()) {
    const finding = toFinding('journal-damaged', `SQLite says of the journal: ${message}`, {
      place: 'journal.db',
    });
    yield { unit: 'database', finding };
  }
};

/** Each row against its checksum, each transaction against the chain, and the chain's end. */
export const verifyRecords: Part = async function* (verifying, wants) {
  const { journal, looking, count } = verifying;
  try {
    for (let before = Number.MAX_SAFE_INTEGER; ; ) {
      const page = journal.transactionIds(journalPageRows, before);
      for (const id of page) {
        if (looking.pace.isDue()) await looking.pace.turn();
        if (!wants(String(id))) continue;
        count('transactions');
        const message = recordDamage(() => {
          journal.verifyChain(id);
        });
        if (message === undefined) continue;
        const details = { transaction: id, place: 'journal.db' };
        yield { unit: String(id), finding: toFinding('record-damaged', message, details) };
      }
      const last = page.at(-1);
      if (last === undefined) break;
      before = last;
    }
    const ofBase = wants('anchor')
      ? recordDamage(() => {
          journal.anchors.verify();
        })
      : undefined;
    if (ofBase !== undefined) {
      const finding = toFinding('record-damaged', ofBase, { place: 'journal.db' });
      yield { unit: 'anchor', finding };
    }
    for (const [key, value] of journal.examineMeta()) {
      // Said already.
      if (key === anchorKey && ofBase !== undefined) continue;
      if (value !== undefined || !wants(key)) continue;
      const message = `what the journal says of ${key} does not match its checksum`;
      yield { unit: key, finding: toFinding('record-damaged', message, { place: 'journal.db' }) };
    }
    if (wants('head')) yield* verifyHead(verifying);
  } catch (error) {
    if (!isEngineError(error, 'JOURNAL_DAMAGED')) throw error;
    const finding = toFinding('journal-damaged', error.message, { place: 'journal.db' });
    yield { unit: 'head', finding };
  }
};

/** A truncated chain is a good chain: what lies beside the journal tells that there was more. */
function* verifyHead({ journal, directory }: Parameters<Part>[0]): Generator<Suspicion, void> {
  const { files, store, stage } = directory;
  const mark = readOwner(files, store)?.mark;
  const { head, writes } = journal.position();
  const staged = files.list(stage).map(({ name }) => transactionOf(name)?.first ?? 0);
  const rows = journal.lastChangedTransaction();
  const evidence = Math.max(mark?.head.id ?? 0, rows, ...staged.map((first) => first - 1));
  const details = { transaction: evidence, place: 'journal.db' };
  if (evidence > head.id) {
    const message = `the journal ends at transaction ${String(head.id)}, but there are traces of transaction ${String(evidence)}`;
    yield { unit: 'head', finding: toFinding('head-lost', message, details) };
  } else if (mark?.head.id === head.id && mark.head.chain !== head.chain) {
    const message = `transaction ${String(head.id)} is not the one that the owner record names`;
    yield { unit: 'head', finding: toFinding('head-lost', message, details) };
  } else if ((mark?.writes ?? 0) > writes) {
    const message = `the journal was written to ${String(mark?.writes)} times, and only ${String(writes)} are left`;
    yield { unit: 'head', finding: toFinding('head-lost', message, details) };
  }
}

/** Transactions that are neither finished nor undone. */
export const verifyTroubled: Part = async function* ({ journal }, wants) {
  for (const { id, trouble, reason } of journal.troubled()) {
    const unit = String(id);
    if (!wants(unit)) continue;
    const kind = trouble === 'damaged' ? 'transaction-damaged' : 'transaction-blocked';
    const message = `transaction ${unit} is neither finished nor undone: ${reason ?? 'no reason kept'}`;
    yield { unit, finding: toFinding(kind, message, { transaction: id }) };
  }
};

/** Whether the last writer let go in order. A living one has the lock, and is none of these. */
export const verifyOwner: Part = async function* (verifying, wants) {
  const { files, store } = verifying.directory;
  if (!wants('owner')) return;
  const text = readOwnerText(files, store);
  if (text !== undefined && text.trim() !== '' && readOwner(files, store) === undefined) {
    const message = 'the record of the last writer cannot be read';
    yield { unit: 'owner', finding: toFinding('owner-damaged', message, { place: 'owner' }) };
  } else if (!isAtRest(verifying)) {
    const message = 'the last writer did not let go in order, and nothing has been recovered since';
    yield { unit: 'owner', finding: toFinding('recovery-pending', message, { place: 'owner' }) };
  }
};

function recordDamage(check: () => void): string | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    if (isEngineError(error, 'JOURNAL_DAMAGED')) return error.message;
    throw error;
  }
}
