import { basename } from 'node:path';
import { defaultCollectionName } from '../../collection/index.js';
import { givenCollection, openCollectionAt } from '../collection-root.js';
import type { Context } from '../context.js';
import { type ExitCode, success } from '../exit-codes.js';
import { UsageError } from '../failure.js';
import { activeName, collectionDirectory, isCollection, useCollection } from '../home.js';
import { printable } from '../printable.js';

/** Makes a collection: of this name in the home of SkillMeat, or in the directory that was named. */
export async function init(
  context: Context,
  name: string | undefined,
  { dryRun = false }: { readonly dryRun?: boolean },
): Promise<ExitCode> {
  const { options, output } = context;
  const given = givenCollection(options);
  if (given !== undefined && options.collection !== undefined && name !== undefined) {
    throw new UsageError('init got a collection twice', 'Give either NAME or --collection.');
  }
  const root = given ?? collectionDirectory(name ?? defaultCollectionName);
  const isNew = !isCollection(root);
  if (isNew && !dryRun) {
    await using collection = await openCollectionAt(context, root);
    await collection.init(name ?? basename(root));
  }
  const isAtHome = root === collectionDirectory(basename(root));
  const isUsed = isAtHome && (activeName() === basename(root) || becomesUsed());
  if (isUsed && !dryRun) useCollection(basename(root));
  const makes = dryRun ? 'Would make a collection in' : 'Made a collection in';
  const made = isNew ? makes : 'There is a collection already in';
  const used = isUsed ? ` It ${dryRun && isNew ? 'would be' : 'is'} the one in use.` : '';
  output.answer(
    {
      collection: {
        root,
        name: name ?? basename(root),
        created: isNew,
        inUse: isUsed,
        isDryRun: dryRun,
      },
    },
    `${made} ${printable(root)}.${used}`,
  );
  return success;
}

/** The first collection of a person is the one that they want to use. */
function becomesUsed(): boolean {
  return !isCollection(collectionDirectory(activeName()));
}
