import type { Finding, Rebuilt, Repair } from '../../engine/index.js';
import type { Context } from '../context.js';
import { describeRepairs } from '../describe-repair.js';
import { type ExitCode, hasFindings, success } from '../exit-codes.js';
import { openForVerifying, rebuildForCommand } from '../open-store.js';
import {
  type CollectionAnswer,
  explainWithoutStore,
  repairCollection,
} from '../verify-collection.js';

export interface RepairFlags {
  readonly deep?: boolean;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly adopt?: boolean;
}

interface Asked {
  readonly deep: boolean;
  /** A directory that was copied, moved or restored is taken over. */
  readonly adopt: boolean;
  readonly isDryRun: boolean;
}

interface Answered {
  readonly repairs: readonly Repair[];
  /** `null`: the journal was not built anew. */
  readonly rebuilt: Rebuilt | null;
  /** What is left; `null`: a dry run. */
  readonly findings: readonly Finding[] | null;
}

export async function repair(
  context: Context,
  { deep = false, yes = false, adopt = false }: RepairFlags,
): Promise<ExitCode> {
  const { output } = context;
  const asked = { deep, adopt, isDryRun: !yes };
  const { repairs, rebuilt, findings } = await answer(context, asked).catch(
    async (error: unknown) => {
      throw await explainWithoutStore(error, context);
    },
  );
  const collection = await ofCollection(context, !yes);
  const counts = {
    found: collection?.json.length ?? 0,
    left: collection?.count ?? 0,
    planned: collection?.planned ?? 0,
  };
  const terms = { rebuilt, findings, collection: counts, style: output.style };
  const text = describeRepairs(repairs, terms);
  output.answer(
    {
      repair: { isDryRun: !yes, repairs, rebuilt, findings, collection: collection?.json ?? null },
    },
    [...(collection?.lines ?? []), text].join('\n'),
  );
  const left = (findings ?? repairs).length + (collection?.count ?? 0);
  return left === 0 ? success : hasFindings;
}

/** Once the store is in order; commands below `txn` know of no collection. */
async function ofCollection(
  context: Context,
  dryRun: boolean,
): Promise<CollectionAnswer | undefined> {
  if (!context.options.usesCollection) return undefined;
  const opened = await openForVerifying(context);
  if ('kind' in opened) return undefined;
  await using store = opened;
  return await repairCollection(store, { dryRun, signal: context.signal });
}

async function answer(context: Context, { deep, adopt, isDryRun }: Asked): Promise<Answered> {
  const planned = await repairOpened(context, { deep, adopt, isDryRun: true });
  const ofJournal = planned.filter(({ action }) => action === 'rebuild');
  const rebuilt =
    ofJournal.length === 0 ? null : await rebuildForCommand(context, { dryRun: isDryRun, adopt });
  if (isDryRun) return { repairs: planned, rebuilt, findings: null };
  const done = ofJournal.map((one): Repair => ({ ...one, outcome: 'done' }));
  // What hung on the damaged journal is another finding now, or none.
  const rest = await repairOpened(context, { deep, adopt, isDryRun: false });
  const findings = (await repairOpened(context, { deep, adopt, isDryRun: true })).map(
    ({ finding }) => finding,
  );
  return { repairs: [...done, ...rest], rebuilt, findings };
}

async function repairOpened(
  context: Context,
  { deep, adopt, isDryRun }: Asked,
): Promise<readonly Repair[]> {
  const opened = await openForVerifying(context, { adopt });
  if ('kind' in opened) {
    const message = 'build the journal anew';
    return [{ finding: opened, action: 'rebuild', message, outcome: 'by-hand', error: null }];
  }
  await using store = opened;
  return await store.repair({ deep, dryRun: isDryRun, signal: context.signal });
}
