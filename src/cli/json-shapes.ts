import type {
  CreatedSnapshot,
  FoundImage,
  Receipt,
  SnapshotPath,
  TransactionRecord,
} from '../engine/index.js';
import { octal } from './describe-change.js';

/** An image in `--json`: every key is always there. docs/cli.md is the contract. */
export interface JsonImage {
  readonly kind: FoundImage['kind'];
  readonly sha256: string | null;
  readonly size: number | null;
  /** Four octal digits, as plans have them. */
  readonly mode: string | null;
  readonly target: string | null;
}

export interface JsonTransaction extends Omit<TransactionRecord, 'changes'> {
  readonly changes: readonly {
    readonly path: string;
    readonly before: JsonImage;
    readonly after: JsonImage;
  }[];
}

export function toJsonReceipt({ transaction }: Receipt): { transaction: JsonTransaction | null } {
  return { transaction: transaction === null ? null : toJsonTransaction(transaction) };
}

export function toJsonTransaction(transaction: TransactionRecord): JsonTransaction {
  const changes = transaction.changes.map(({ path, before, after }) => ({
    path,
    before: toJsonImage(before),
    after: toJsonImage(after),
  }));
  return { ...transaction, changes };
}

export function toJsonImage(image: FoundImage): JsonImage {
  const { kind } = image;
  return {
    kind,
    sha256: kind === 'file' ? image.sha256 : null,
    size: kind === 'file' ? image.size : null,
    mode: kind === 'file' || kind === 'directory' ? octal(image.mode) : null,
    target: kind === 'symlink' ? image.target : null,
  };
}

export function toJsonCreated({ adopted, ...created }: CreatedSnapshot): object {
  return { ...created, adopted: adopted === null ? null : toJsonTransaction(adopted) };
}

export function toJsonSnapshotPath(path: SnapshotPath): object {
  return { ...path, mode: path.mode === null ? null : octal(path.mode) };
}
