import { type Anchor, noAnchor } from '../anchor.js';
import type { BaseRow } from '../anchor-table.js';
import { isEngineError } from '../errors.js';
import type { Place } from '../file-system.js';
import type { ChangeRow } from '../change-row.js';
import { Journal } from '../journal.js';
import type { MetaValue } from '../meta-table.js';
import { emptyChain, type TransactionRow } from '../transaction-row.js';
import { chunkBytes } from '../limits.js';
import type { SnapshotRow } from '../snapshot-table.js';
import type { StoreDirectory } from '../store-directory.js';

/** A transaction that can be believed, with its rows. */
interface SalvagedTransaction {
  readonly row: TransactionRow;
  readonly rows: readonly ChangeRow[];
}

/** What a damaged journal still says for certain. */
export interface Salvage extends Disposable {
  /** Transactions up to this number match the hash chain. */
  readonly head: number;
  /** What transactions that were removed had left, as far as it can be believed. */
  readonly base: Pick<Anchor, 'through' | 'chain'> & { readonly rows: readonly BaseRow[] };
  readonly transactions: () => Iterable<SalvagedTransaction>;
  readonly meta: Readonly<Record<string, MetaValue>>;
  /** `undefined`: the table cannot be read as a whole. */
  readonly snapshots: readonly SnapshotRow[] | undefined;
}

const nothing: Salvage = {
  head: 0,
  base: { ...noAnchor, rows: [] },
  transactions: () => [],
  meta: {},
  snapshots: undefined,
  [Symbol.dispose]: () => undefined,
};

/**
 * Reads what can be read of a journal, from a copy: opening a database plays back its log and so
 * changes it, and the original is evidence.
 *
 * @param name where the copy goes, in the engine's own directory; it is gone when this is disposed.
 */
export async function salvage(directory: StoreDirectory, name: string): Promise<Salvage> {
  const { files, store } = directory;
  const remove = (): void => {
    for (const suffix of ['', '-wal', '-shm']) {
      const place: Place = { directory: store, name: name + suffix };
      if (files.stat(place) !== undefined) files.removeFile(place);
    }
  };
  remove();
  for (const suffix of ['', '-wal']) {
    const from: Place = { directory: store, name: `journal.db${suffix}` };
    if (files.stat(from)?.kind === 'file') {
      await copy(directory, from, { directory: store, name: name + suffix });
    }
  }
  const copied: Place = { directory: store, name };
  const journal = files.stat(copied) === undefined ? undefined : open(files.pathOf(copied));
  if (journal === undefined) {
    remove();
    return nothing;
  }
  const base = believableBase(journal);
  const head = believableHead(journal, base.through);
  return {
    head,
    base,
    transactions: () => read(journal, base.through, head),
    meta: sound(() => readMeta(journal)) ?? {},
    snapshots: sound(() => readSnapshots(journal)),
    [Symbol.dispose]: () => {
      journal[Symbol.dispose]();
      remove();
    },
  };
}

function open(path: string): Journal | undefined {
  return sound(() => Journal.open(path));
}

/**
 * Where the log begins. When the journal does not say so any more, what is left of it does: the first
 * transaction names the chain that it builds on. This is a copy, so that can be written down.
 */
function believableBase(journal: Journal): Salvage['base'] {
  let anchor: Pick<Anchor, 'through' | 'chain'> | undefined = sound(() => journal.anchors.get());
  if (anchor === undefined) {
    const first = sound(() => journal.firstTransaction()) ?? 1;
    const chain = sound(() => journal.previousChain(first)) ?? emptyChain;
    anchor = { through: first - 1, chain };
    const guessed = anchor;
    sound(() => {
      journal.anchors.assume(guessed);
    });
  }
  const { through, chain } = anchor;
  const rows = through === 0 ? [] : (sound(() => journal.anchors.soundRows(through)) ?? []);
  return { through, chain, rows };
}

function believableHead(journal: Journal, through: number): number {
  for (let id = through + 1; ; id += 1) {
    const isSound = sound(() => {
      if (journal.transaction(id) === undefined) return false;
      journal.verifyChain(id);
      return true;
    });
    if (isSound !== true) return id - 1;
  }
}

function* read(
  journal: Journal,
  through: number,
  head: number,
): Generator<SalvagedTransaction, void> {
  for (let id = through + 1; id <= head; id += 1) {
    const row = journal.transaction(id);
    if (row !== undefined) yield { row, rows: journal.changes(id) };
  }
}

function readMeta(journal: Journal): Readonly<Record<string, MetaValue>> {
  const meta: Record<string, MetaValue> = {};
  for (const [key, value] of journal.examineMeta()) if (value !== undefined) meta[key] = value;
  return meta;
}

function readSnapshots(journal: Journal): readonly SnapshotRow[] {
  return journal.snapshots.examine().flatMap(({ row }) => row ?? []);
}

/** Returns `undefined` for what is damaged. */
function sound<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (isEngineError(error, 'JOURNAL_DAMAGED', 'JOURNAL_FOREIGN', 'IO_FAILED')) return undefined;
    throw error;
  }
}

async function copy({ files }: StoreDirectory, from: Place, to: Place): Promise<void> {
  const source = files.openForReading(from);
  try {
    const target = files.createFile(to, 0o600);
    try {
      for (;;) {
        const buffer = Buffer.allocUnsafe(chunkBytes);
        const count = await files.read(source, buffer);
        if (count === 0) return;
        await files.write(target, buffer.subarray(0, count));
      }
    } finally {
      files.closeWritten(target);
    }
  } finally {
    files.closeFile(source);
  }
}
