import type { Context } from '../context.js';
import { titleOf } from '../describe-snapshot.js';
import { type ExitCode, success } from '../exit-codes.js';
import { openForCommand } from '../open-store.js';

export interface DeleteFlags {
  readonly force?: boolean;
  readonly now?: boolean;
  readonly dryRun?: boolean;
}

export interface UndeleteFlags {
  readonly name?: string;
  readonly dryRun?: boolean;
}

export async function deleteSnapshot(
  context: Context,
  reference: string,
  { force = false, now = false, dryRun = false }: DeleteFlags,
): Promise<ExitCode> {
  const { output, signal } = context;
  await using store = await openForCommand(context);
  const deleted = await store.snapshots.delete(reference, { force, now, dryRun, signal });
  const { snapshot, collected } = deleted;
  if (collected.blocked !== null) output.warn(`no contents were removed: ${collected.blocked}`);
  const doing = dryRun ? 'Would delete' : 'Deleted';
  const until = snapshot.keptUntil?.slice(0, 10);
  const back =
    until === undefined || dryRun ? '' : `; until ${until} "snapshot undelete" brings it back`;
  output.answer(deleted, `${doing} snapshot ${titleOf(snapshot)}${back}.`);
  return success;
}

export async function undeleteSnapshot(
  context: Context,
  reference: string,
  { name, dryRun = false }: UndeleteFlags,
): Promise<ExitCode> {
  const { output, signal } = context;
  await using store = await openForCommand(context);
  const given = { dryRun, signal, ...(name !== undefined && { name }) };
  const snapshot = await store.snapshots.undelete(reference, given);
  const doing = dryRun ? 'Would bring back' : 'Brought back';
  output.answer({ snapshot }, `${doing} snapshot ${titleOf(snapshot)}.`);
  return success;
}
