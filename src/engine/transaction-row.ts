import { type ColumnType, hasColumnTypes } from './column-types.js';
import { type Column, fromHex, rowChecksum, rowText, toHex } from './row-text.js';

/** `committed` and `undoing` are unsettled: the disk may have lost what was done. */
type JournalState = 'committed' | 'undoing' | 'settled' | 'rolled-back';
type Trouble = 'blocked' | 'damaged';

export interface TransactionRow {
  readonly id: number;
  readonly uuid: string;
  /** What the names of its contents in `stage/` begin with. */
  readonly stage: string;
  readonly message: string;
  /** Milliseconds since 1970. */
  readonly committedAt: number;
  readonly bootId: string;
  /** Paths whose image changed; rows of a replaced tree that stayed equal do not count. */
  readonly changeCount: number;
  readonly rowCount: number;
  /** Bytes of before-images that the stage directory keeps. */
  readonly displacedBytes: number;
  /**
   * Whether its contents were on disk before its record was written, or came with it; `shared`: with
   * it, and in the same flush as the transaction before.
   */
  readonly flush: 'before' | 'with' | 'shared';
  /** JSON, made and read by `annotations.ts`. */
  readonly annotations: string;
  readonly chain: ChainHash;
  readonly state: JournalState;
  readonly trouble: Trouble | undefined;
  readonly reason: string | undefined;
}

declare const chainHashBrand: unique symbol;
/** SHA-256 over a transaction and the chain hash of the one before, in hexadecimal. */
export type ChainHash = string & { readonly [chainHashBrand]: true };

/** What `Journal.commit` is given. */
export type NewTransaction = Pick<
  TransactionRow,
  | 'uuid'
  | 'stage'
  | 'message'
  | 'committedAt'
  | 'bootId'
  | 'changeCount'
  | 'displacedBytes'
  | 'flush'
  | 'annotations'
> & {
  /** `settled`: nothing is to be applied, the rows only record what other programs did. */
  readonly state?: 'committed' | 'settled';
};

export const emptyChain: ChainHash = '0'.repeat(64) as ChainHash;

/** The newest transaction, or number 0 of an empty journal. */
export interface Head {
  readonly id: number;
  readonly chain: ChainHash;
}

export const noHead: Head = { id: 0, chain: emptyChain };

/** Where a transaction stands now. */
export interface TransactionUpdate {
  readonly id: number;
  readonly state: JournalState;
  readonly trouble?: Trouble | undefined;
  readonly reason?: string | undefined;
  /** Reason by row sequence. */
  readonly superseded?: ReadonlyMap<number, string> | undefined;
}

/** A row of `journal_transaction`. */
export interface StoredTransaction {
  id: bigint;
  uuid: string;
  stage: string;
  message: string;
  committed_at: bigint;
  boot_id: string;
  change_count: bigint;
  row_count: bigint;
  displaced_bytes: bigint;
  flush: TransactionRow['flush'];
  annotations: string;
  previous_chain: Buffer;
  chain: Buffer;
  state: JournalState;
  trouble: Trouble | null;
  reason: string | null;
  checksum: bigint;
}

/**
 * What the names in `stage/` of a transaction's contents begin with.
 *
 * @param first the oldest transaction that was not known to be on disk when these were staged.
 */
export function stagePrefix(id: number, uuid: string, first: number = id): string {
  const own = `${String(id)}-${uuid.replaceAll(/[^0-9a-f]/g, '').slice(0, 8)}`;
  return first === id ? own : `${own}-${String(first)}`;
}

/** The `first` of a {@link stagePrefix}, if it is one of transaction `id`. */
export function firstStagedWith(id: number, prefix: string): number {
  const match = /^\d+-[^-]*-([1-9]\d*)$/.exec(prefix);
  return Math.min(id, Number(match?.[1] ?? id));
}

/** Returns what a row says, or `undefined` when it does not match its checksum. */
export function parseTransaction(stored: StoredTransaction): TransactionRow | undefined {
  if (!hasColumnTypes(stored, transactionTypes)) return undefined;
  // guard: transaction-checksum [if true]
  if (rowChecksum(columnsOf(stored)) === stored.checksum) return toTransaction(stored);
  return undefined;
}

/** The first line that a transaction's chain hash covers; the lines of its rows follow. */
export function chainText(
  previous: ChainHash,
  row: Omit<TransactionRow, 'chain' | 'rowCount' | 'state' | 'trouble' | 'reason'>,
  rowCount: number,
): string {
  const { id, uuid, stage, message, committedAt, bootId, changeCount } = row;
  const { displacedBytes, flush, annotations } = row;
  const known = [previous, id, uuid, stage, message, committedAt, bootId, changeCount];
  return rowText([...known, rowCount, displacedBytes, flush, annotations]);
}

/** Every column of a row, in order, with its checksum. */
export function transactionValues(row: TransactionRow, previous: ChainHash): readonly Column[] {
  const columns = [
    row.id,
    row.uuid,
    row.stage,
    row.message,
    row.committedAt,
    row.bootId,
    row.changeCount,
    row.rowCount,
    row.displacedBytes,
    row.flush,
    row.annotations,
    fromHex(previous),
    fromHex(row.chain),
    row.state,
    row.trouble ?? null,
    row.reason ?? null,
  ];
  return [...columns, rowChecksum(columns)];
}

function columnsOf(row: StoredTransaction): readonly Column[] {
  return [
    row.id,
    row.uuid,
    row.stage,
    row.message,
    row.committed_at,
    row.boot_id,
    row.change_count,
    row.row_count,
    row.displaced_bytes,
    row.flush,
    row.annotations,
    row.previous_chain,
    row.chain,
    row.state,
    row.trouble,
    row.reason,
  ];
}

const transactionTypes: Readonly<Record<keyof StoredTransaction, ColumnType>> = {
  id: 'integer',
  uuid: 'text',
  stage: 'text',
  message: 'text',
  committed_at: 'integer',
  boot_id: 'text',
  change_count: 'integer',
  row_count: 'integer',
  displaced_bytes: 'integer',
  flush: 'text',
  annotations: 'text',
  previous_chain: 'blob',
  chain: 'blob',
  state: 'text',
  trouble: 'text?',
  reason: 'text?',
  checksum: 'integer',
};

function toTransaction(row: StoredTransaction): TransactionRow {
  return {
    id: Number(row.id),
    uuid: row.uuid,
    stage: row.stage,
    message: row.message,
    committedAt: Number(row.committed_at),
    bootId: row.boot_id,
    changeCount: Number(row.change_count),
    rowCount: Number(row.row_count),
    displacedBytes: Number(row.displaced_bytes),
    flush: row.flush,
    annotations: row.annotations,
    chain: toHex(row.chain) as ChainHash,
    state: row.state,
    trouble: row.trouble ?? undefined,
    reason: row.reason ?? undefined,
  };
}
