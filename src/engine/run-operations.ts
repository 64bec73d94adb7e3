import { isAbsolute, resolve } from 'node:path';
import { EngineError } from './errors.js';
import type { PlanOperation } from './plan-document.js';
import type { TransactionCalls } from './transaction.js';

/** Hands the operations of a plan to a transaction, in order. */
export async function runOperations(
  operations: AsyncIterable<PlanOperation>,
  tx: TransactionCalls,
  baseDirectory: string | undefined,
): Promise<void> {
  for await (const operation of operations) await runOperation(operation, tx, baseDirectory);
}

function runOperation(
  operation: PlanOperation,
  tx: TransactionCalls,
  baseDirectory: string | undefined,
): Promise<void> {
  switch (operation.op) {
    case 'write': {
      const { path, source, mode } = operation;
      if (source.kind === 'bytes') return tx.write(path, source.bytes, { mode });
      return tx.writeFrom(path, sourcePath(source.path, baseDirectory), { mode });
    }
    case 'copy':
      return tx.copyIn(operation.path, sourcePath(operation.from, baseDirectory));
    case 'remove':
      return tx.remove(operation.path, { ifPresent: operation.ifPresent });
    case 'rename':
      return tx.rename(operation.from, operation.to, { replace: operation.replace });
    case 'mkdir':
      return tx.mkdir(operation.path, { mode: operation.mode });
    case 'chmod':
      return tx.chmod(operation.path, operation.mode);
    case 'symlink':
      return tx.symlink(operation.path, operation.target);
  }
}

function sourcePath(from: string, baseDirectory: string | undefined): string {
  if (isAbsolute(from)) return from;
  if (baseDirectory !== undefined) return resolve(baseDirectory, from);
  throw new EngineError('PLAN_INVALID', `the source ${JSON.stringify(from)} is relative`, {
    path: from,
    hint: 'Give an absolute path, or the option baseDirectory.',
  });
}
