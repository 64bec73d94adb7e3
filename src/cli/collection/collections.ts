import { CollectionError, parseCollectionName } from '../../collection/index.js';
import { findCollection } from '../collection-root.js';
import type { Context } from '../context.js';
import { type ExitCode, success } from '../exit-codes.js';
import {
  activeName,
  collectionDirectory,
  collectionNames,
  isCollection,
  namedCollection,
  useCollection,
} from '../home.js';
import { printable } from '../printable.js';

export async function listCollections({ output }: Context): Promise<ExitCode> {
  const active = activeName();
  const collections = collectionNames().map((name) => ({
    name,
    root: collectionDirectory(name),
    inUse: name === active,
  }));
  const lines = collections.map(
    ({ name, root, inUse }) =>
      `${inUse ? '*' : ' '} ${output.style.strong(printable(name))}  ${output.style.faint(printable(root))}`,
  );
  const text =
    lines.length === 0 ? 'No collections. Make one with: skillmeat init' : lines.join('\n');
  output.answer({ collections }, text);
  return success;
}

export async function useNamed(
  { output }: Context,
  name: string,
  { dryRun = false }: { readonly dryRun?: boolean },
): Promise<ExitCode> {
  const root = collectionDirectory(name);
  if (!isCollection(root)) {
    throw new CollectionError(
      'COLLECTION_NOT_FOUND',
      `there is no collection "${name}" in ${root}`,
      {
        path: root,
        hint: `Make it with: skillmeat init ${name}; or see: skillmeat collection list`,
      },
    );
  }
  const parsed = parseCollectionName(name);
  if (!dryRun) useCollection(parsed);
  output.answer(
    { collection: { name: parsed, root, inUse: true, isDryRun: dryRun } },
    `${dryRun ? 'Would use' : 'Using'} ${printable(parsed)}.`,
  );
  return success;
}

export async function printPath(
  { options, output }: Context,
  name: string | undefined,
): Promise<ExitCode> {
  const root = name === undefined ? findCollection(options) : namedCollection(name);
  output.answer({ collection: { root, exists: isCollection(root) } }, root);
  return success;
}
