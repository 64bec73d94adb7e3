import { resolve } from 'node:path';
import { isEngineError } from '../../engine/index.js';
import { givenCollection } from '../collection-root.js';
import type { Context } from '../context.js';
import { type ExitCode, success } from '../exit-codes.js';
import { UsageError } from '../failure.js';
import { openForCommand, openOrMake } from '../open-store.js';
import { printable } from '../printable.js';
import { workingDirectory } from '../store-root.js';

export interface InitFlags {
  readonly dryRun?: boolean;
}

export async function init(
  context: Context,
  directory: string | undefined,
  { dryRun = false }: InitFlags,
): Promise<ExitCode> {
  const { options, output } = context;
  const given = givenCollection(options);
  if (directory !== undefined && given !== undefined) {
    throw new UsageError('init got a directory twice', 'Give DIR, -C or --collection, only one.');
  }
  if (directory === '') throw new UsageError('DIR is empty', 'Leave it out for this directory.');
  const root = resolve(workingDirectory(), directory ?? given ?? '.');
  if (dryRun) return planInit(context, root);
  // Whoever writes to it, a store that is there is there.
  const { isNew, ...opened } = await openOrMake(context, { root, recover: 'never' });
  await using store = opened.store;
  output.answer(
    { store: { root: store.root, created: isNew, isDryRun: false } },
    describeInit(store.root, isNew),
  );
  return success;
}

async function planInit(context: Context, root: string): Promise<ExitCode> {
  let isNew = false;
  try {
    await (await openForCommand(context, { root, recover: 'never' })).close();
  } catch (error) {
    if (!isEngineError(error, 'STORE_NOT_FOUND')) throw error;
    isNew = true;
  }
  const text = isNew
    ? `Would make a store in ${printable(root)}/.skillmeat.`
    : describeInit(root, false);
  context.output.answer({ store: { root, created: isNew, isDryRun: true } }, text);
  return success;
}

function describeInit(root: string, isNew: boolean): string {
  return isNew
    ? `Made a store in ${printable(root)}/.skillmeat.`
    : `There is a store already in ${printable(root)}/.skillmeat.`;
}
