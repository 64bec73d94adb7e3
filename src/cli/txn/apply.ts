import type { ApplyOptions, PlanFormat, Store } from '../../engine/index.js';
import { givenCollection } from '../collection-root.js';
import type { Context } from '../context.js';
import { describeReceipt } from '../describe-receipt.js';
import { type ExitCode, success } from '../exit-codes.js';
import { toJsonReceipt } from '../json-shapes.js';
import { openForCommand, openOrMake, withHint } from '../open-store.js';
import { findRootOrPlace, workingDirectory } from '../store-root.js';
import { warnOfSuperseded } from '../superseded.js';
import { openPlanFile, type PlanFile, refuseTerminal } from './plan-file.js';

export interface ApplyFlags {
  readonly message?: string;
  readonly format?: PlanFormat;
  readonly dryRun?: boolean;
  readonly init?: boolean;
}

export async function apply(
  context: Context,
  plan: string | undefined,
  flags: ApplyFlags,
): Promise<ExitCode> {
  const { output, signal } = context;
  const isDryRun = flags.dryRun ?? false;
  refuseTerminal(plan);
  const file = await openPlanFile({
    plan: plan ?? '-',
    workingDirectory: workingDirectory(),
    signal,
  });
  const options = applyOptions(file, flags, context);
  // Checked first: a plan that is refused makes no store either.
  const { readPlan } = await import('../../engine/index.js');
  const checked = await readPlan(file.bytes, options);
  await using store = await openTarget(context, flags);
  const receipt = await store.apply(checked, options);
  warnOfSuperseded(receipt, context);
  const { style, isQuiet } = output;
  output.answer(toJsonReceipt(receipt), describeReceipt(receipt, { isDryRun, isQuiet, style }));
  return success;
}

async function openTarget(context: Context, flags: ApplyFlags): Promise<Store> {
  const makesStore = flags.init === true && flags.dryRun !== true;
  if (makesStore) {
    const root = findRootOrPlace(givenCollection(context.options));
    const { store, isNew } = await openOrMake(context, { root });
    if (isNew) context.output.notice(`made a store in ${store.root}/.skillmeat`);
    return store;
  }
  try {
    return await openForCommand(context);
  } catch (error) {
    // A dry run changes nothing, so it cannot make the store either.
    throw flags.init === true
      ? withHint(error, 'A dry run makes no store. Run first: skillmeat txn init')
      : error;
  }
}

function applyOptions(
  file: PlanFile,
  { message, dryRun = false, format = file.format }: ApplyFlags,
  { signal }: Context,
): ApplyOptions {
  const { name, baseDirectory } = file;
  return {
    name,
    baseDirectory,
    dryRun,
    signal,
    ...(format === undefined ? {} : { format }),
    ...(message === undefined ? {} : { message }),
  };
}
