import {
  type ArtifactKey,
  type AvailableUpdate,
  type Collection,
  type Fetcher,
  resolveArtifact,
  type UpdateChange,
  type UpdateChoice,
  type UpdateLook,
} from '../../collection/index.js';
import { openCollectionForChange } from '../collection-root.js';
import type { Context } from '../context.js';
import { type UpdateOutcome, describeUpdates, toJsonOutcome } from '../describe-update.js';
import { type ExitCode, hasFindings, success } from '../exit-codes.js';
import { UsageError } from '../failure.js';
import { openFetcherForCommand } from '../fetching.js';
import { toJsonReceipt } from '../json-shapes.js';
import { KnownUpstreams } from '../known-upstreams.js';
import { warnOfSuperseded } from '../superseded.js';
import { askForEach } from './ask-for-updates.js';
import { type EachFlags, exitCodeOf, isRefusal } from './each.js';
import { changeOptions } from './edit.js';

export interface UpdateFlags extends EachFlags {
  readonly all?: boolean;
  readonly strategy: 'merge' | 'overwrite' | 'prompt';
  readonly onConflict: UpdateChoice['onConflict'];
}

/** Exits with 3 when conflicts were left in files, or when one of several failed. */
export async function update(
  context: Context,
  addresses: readonly string[],
  flags: UpdateFlags,
): Promise<ExitCode> {
  requireWhich(addresses, flags.all ?? false);
  await using collection = await openCollectionForChange(context, flags);
  await using fetcher = await openFetcherForCommand(context);
  const keys = await keysOf(collection, addresses);
  const looks = await collection.lookForUpdates(keys, fetcher, { isPatient: flags.each ?? false });
  new KnownUpstreams().remember(looks);
  if (addresses.length > 0) refuseUnlinked(looks);
  const available = await chosen(context, { collection, fetcher, looks }, flags);
  const outcomes = new Map<ArtifactKey, UpdateOutcome>(
    looks.map((look) => [look.key, outcomeOf(look)]),
  );
  const changes: UpdateChange[] = [];
  for (const group of flags.each === true ? available.map((one) => [one]) : [available]) {
    if (group.length === 0) continue;
    try {
      const change = await collection.update(group, {
        ...changeOptions(context, flags),
        fetcher,
        strategy: flags.strategy === 'overwrite' ? 'overwrite' : 'merge',
        onConflict: flags.onConflict,
      });
      warnOfSuperseded(change.receipt, context);
      changes.push(change);
      for (const updated of change.updated) outcomes.set(updated.key, { kind: 'done', updated });
    } catch (error) {
      if (flags.each !== true || !isRefusal(error)) throw error;
      const [one] = group;
      if (one !== undefined) outcomes.set(one.key, { kind: 'failed', key: one.key, error });
    }
  }
  return answer(context, [...outcomes.values()], changes, flags);
}

function requireWhich(addresses: readonly string[], isAll: boolean): void {
  if (addresses.length === 0 && !isAll) {
    throw new UsageError('update got no artifact', 'Name artifacts, or use --all.');
  }
  if (addresses.length > 0 && isAll) {
    throw new UsageError('update got artifacts and --all', 'Use one or the other.');
  }
}

async function keysOf(
  collection: Collection,
  addresses: readonly string[],
): Promise<readonly ArtifactKey[]> {
  const { manifest } = await collection.reader.files();
  if (addresses.length === 0) return [...manifest.keys];
  return [...new Set(addresses.map((address) => resolveArtifact(manifest, address)))];
}

async function chosen(
  context: Context,
  given: {
    readonly collection: Collection;
    readonly fetcher: Fetcher;
    readonly looks: readonly UpdateLook[];
  },
  { strategy, onConflict }: UpdateFlags,
): Promise<readonly AvailableUpdate[]> {
  const available = given.looks.flatMap((look) => (look.kind === 'available' ? [look.update] : []));
  return strategy === 'prompt'
    ? askForEach(context, available, { ...given, onConflict })
    : available;
}

/** Somebody who names an artifact wants it updated. */
function refuseUnlinked(looks: readonly UpdateLook[]): void {
  const unlinked = looks.find((look) => look.kind === 'unlinked');
  if (unlinked !== undefined) throw unlinked.error;
}

function outcomeOf(look: UpdateLook): UpdateOutcome {
  // What is available and was not taken.
  if (look.kind === 'available') return { kind: 'declined', key: look.key };
  return look;
}

function answer(
  { output }: Context,
  outcomes: readonly UpdateOutcome[],
  changes: readonly UpdateChange[],
  { dryRun = false, onConflict }: UpdateFlags,
): ExitCode {
  const transactions = changes.flatMap(({ receipt }) => {
    const { transaction } = toJsonReceipt(receipt) as { readonly transaction: object | null };
    return transaction === null ? [] : [transaction];
  });
  output.answer(
    { artifacts: outcomes.map(toJsonOutcome), transactions },
    describeUpdates(outcomes, { isDryRun: dryRun, style: output.style }),
  );
  const failures = outcomes.flatMap((outcome) => (outcome.kind === 'failed' ? outcome.error : []));
  // With `markers` somebody still has to look at them.
  const left = outcomes.some(
    (outcome) =>
      onConflict === 'markers' && outcome.kind === 'done' && outcome.updated.conflicts.length > 0,
  );
  const exitCode = exitCodeOf(failures, outcomes.length);
  return exitCode === success && left ? hasFindings : exitCode;
}
