import { resolve } from 'node:path';
import { givenCollection } from '../collection-root.js';
import type { Context } from '../context.js';
import { type ExitCode, success } from '../exit-codes.js';
import { UsageError } from '../failure.js';
import { openOrMake } from '../open-store.js';
import { printable } from '../printable.js';
import { workingDirectory } from '../store-root.js';

export async function init(context: Context, directory: string | undefined): Promise<ExitCode> {
  const { options, output } = context;
  const given = givenCollection(options);
  if (directory !== undefined && given !== undefined) {
    throw new UsageError('init got a directory twice', 'Give DIR, -C or --collection, only one.');
  }
  if (directory === '') throw new UsageError('DIR is empty', 'Leave it out for this directory.');
  const root = resolve(workingDirectory(), directory ?? given ?? '.');
  // Whoever writes to it, a store that is there is there.
  const { isNew, ...opened } = await openOrMake(context, { root, recover: 'never' });
  await using store = opened.store;
  output.answer({ store: { root: store.root, created: isNew } }, describeInit(store.root, isNew));
  return success;
}

export function describeInit(root: string, isNew: boolean): string {
  return isNew
    ? `Made a store in ${printable(root)}/.skillmeat.`
    : `There is a store already in ${printable(root)}/.skillmeat.`;
}
