import { parseAnnotations } from './annotations.js';
import { EngineError } from './errors.js';
import { displacedRows } from './history.js';
import type { Journal } from './journal.js';
import type { TransactionRow } from './transaction-row.js';
import { quote, type RelativePath } from './path.js';
import type { KnownParts, UndoRequest } from './undo.js';
import type { UndoTerms } from './undo-decision.js';
import { pathWithoutRow, rowsWithin, UndoneRows } from './undo-rows.js';

export interface UndoOfTransaction extends UndoTerms, KnownParts {
  /** Only these and what is below them. */
  readonly paths: readonly RelativePath[] | undefined;
  /** Default: as the transaction's own, with `undo` before it. */
  readonly message: string | undefined;
}

/** Returns what undoing one transaction means. @throws {EngineError} `PATH_NOT_FOUND`. */
export function requestUndo(
  journal: Journal,
  transaction: TransactionRow,
  { paths, message, ...terms }: UndoOfTransaction,
): UndoRequest {
  const { id } = transaction;
  const { merges, forces } = terms;
  const all = new UndoneRows();
  all.add(id, displacedRows(transaction, journal.changes(id)));
  const rows = all.sorted();
  const missing = paths && pathWithoutRow(rows, paths);
  if (missing !== undefined) throw notChanged(missing, id);
  const instead = merges ? 'Choose the other paths' : 'Choose other paths, merge with --merge';
  return {
    rows: rowsWithin(rows, paths),
    ...terms,
    keepsUnknown: merges,
    removesAll: forces,
    tellsConflicts: false,
    message: message ?? messageFor(transaction),
    annotations: { undoes: id, ...(paths !== undefined && { paths }) },
    words: {
      refusal: `transaction ${String(id)} cannot be undone`,
      unknown: 'which the transaction did not put there',
      conflictHint: `${instead}, or overwrite with --force: what is there now stays in history.`,
      damagedHint: `Choose the other paths of it: skillmeat txn show ${String(id)}`,
    },
  };
}

/** `undo 5: install canvas`, then `redo 5: install canvas`, and so on. */
function messageFor({ id, message, annotations }: TransactionRow): string {
  const [subject = ''] = message.split('\n', 1);
  const [, verb, rest = ''] = /^(undo|redo) (\d.*)$/.exec(subject) ?? [];
  const isUndo = parseAnnotations(annotations).undoes !== undefined;
  if (isUndo && verb !== undefined) return `${verb === 'undo' ? 'redo' : 'undo'} ${rest}`;
  return `undo ${String(id)}${subject === '' ? '' : `: ${subject}`}`;
}

function notChanged(path: RelativePath, id: number): EngineError {
  return new EngineError(
    'PATH_NOT_FOUND',
    `transaction ${String(id)} changed nothing at ${quote(path)}`,
    { path, hint: `See what it changed: skillmeat txn show ${String(id)}` },
  );
}
