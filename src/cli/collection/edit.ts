import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import {
  type Collection,
  type CollectionChange,
  CollectionError,
  CollectionReader,
  type FoundArtifact,
  type FoundArtifacts,
  parseArtifactType,
  type SkippedPath,
} from '../../collection/index.js';
import { toJsonChange } from '../artifact-json.js';
import { givenCollection, openCollectionAt, openCollectionForChange } from '../collection-root.js';
import type { Context } from '../context.js';
import { describeCollectionChange } from '../describe-collection.js';
import { type ExitCode, success } from '../exit-codes.js';
import { UsageError } from '../failure.js';
import { isCollection } from '../home.js';
import { counted, printable } from '../printable.js';
import { workingDirectory } from '../store-root.js';
import { warnOfSuperseded } from '../superseded.js';
import { answerEach, changeEach, type EachFlags, toJsonDone } from './each.js';

export interface EditFlags {
  readonly message?: string;
  readonly dryRun?: boolean;
}

export interface RemoveFlags extends EachFlags {
  readonly force?: boolean;
}

export interface TagFlags extends EditFlags {
  readonly add?: readonly string[];
  readonly remove?: readonly string[];
}

export interface ImportFlags extends EachFlags {
  readonly as?: string;
  readonly name?: string;
}

/** What a change is called when it is done, and in `Would …`. */
export interface ChangeWords {
  readonly done: string;
  readonly planned: string;
}

export async function remove(
  context: Context,
  addresses: readonly string[],
  { force = false, each = false, ...flags }: RemoveFlags,
): Promise<ExitCode> {
  const options = { ...changeOptions(context, flags), force };
  const words = { done: 'Removed', planned: 'remove' };
  await using collection = await openCollectionForChange(context, flags);
  if (each) {
    const outcomes = await changeEach(addresses, (address) =>
      collection.remove([address], options),
    );
    return answerEach(context, outcomes, flags, words);
  }
  return answerChange(context, await collection.remove(addresses, options), flags, words);
}

export async function rename(
  context: Context,
  { address, name }: { readonly address: string; readonly name: string },
  flags: EditFlags,
): Promise<ExitCode> {
  await using collection = await openCollectionForChange(context, flags);
  const change = await collection.rename(address, name, changeOptions(context, flags));
  return answerChange(context, change, flags, {
    done: `Renamed ${printable(address)} to`,
    planned: 'rename to',
  });
}

export async function tag(
  context: Context,
  addresses: readonly string[],
  { add = [], remove: away = [], ...flags }: TagFlags,
): Promise<ExitCode> {
  if (add.length === 0 && away.length === 0) {
    throw new UsageError('tag got no tag', 'Use --add TAG or --remove TAG.');
  }
  const options = { ...changeOptions(context, flags), add, remove: away };
  await using collection = await openCollectionForChange(context, flags);
  const change = await collection.tag(addresses, options);
  return answerChange(context, change, flags, { done: 'Tagged', planned: 'tag' });
}

/** Makes a directory of artifacts a collection, or names what a collection does not know yet. */
export async function importDirectory(
  context: Context,
  directory: string,
  { as, name, each = false, ...flags }: ImportFlags,
): Promise<ExitCode> {
  if (directory === '') throw new UsageError('DIR is empty', 'Use . for this directory.');
  const markdown = as === undefined ? undefined : parseArtifactType(as);
  const root = resolve(workingDirectory(), directory);
  if ((givenCollection(context.options) ?? root) !== root) {
    throw new UsageError(
      'import got two directories',
      'Give DIR, and neither -C nor --collection.',
    );
  }
  requireDirectory(root);
  if (!isCollection(root)) {
    // Before a store is made: neither a dry run nor one that finds nothing makes any.
    const { found, skipped } = await new CollectionReader(root).lookForArtifacts(markdown);
    if (flags.dryRun === true) return answerPlanned(context, { found, skipped }, each);
  }
  await using collection: Collection = await openCollectionAt(context, root, flags);
  const options = {
    ...changeOptions(context, flags),
    name: name ?? root.split(/[/\\]/).at(-1) ?? 'default',
    markdown,
  };
  const words = { done: 'Imported', planned: 'import' };
  if (each) {
    const { found, skipped } = await collection.reader.lookForNewArtifacts(markdown);
    const outcomes = await changeEach(
      found.map(({ path }) => path),
      (path) =>
        collection.importArtifacts({ ...options, found: found.filter((one) => one.path === path) }),
    );
    warnOfSkipped(context, skipped);
    return answerEach(context, outcomes, flags, words, { skipped });
  }
  const imported = await collection.importArtifacts(options);
  const { skipped } = imported;
  warnOfSkipped(context, skipped);
  return answerChange(context, imported, flags, words, { skipped });
}

function requireDirectory(root: string): void {
  if (statSync(root, { throwIfNoEntry: false })?.isDirectory() === true) return;
  throw new CollectionError('SOURCE_NOT_FOUND', `there is no directory ${root}`, {
    path: root,
    hint: 'Check the path; a relative one starts from where the command runs.',
  });
}

function answerPlanned(
  context: Context,
  { found, skipped }: FoundArtifacts,
  each: boolean,
): ExitCode {
  warnOfSkipped(context, skipped);
  const lines = found.map(({ name, type, path }) => printable(`${type}/${name}  ${path}`));
  const text = [`Would import ${counted(found.length, 'artifact')}.`, ...lines].join('\n');
  const planned = (some: readonly FoundArtifact[]): object => ({
    transaction: null,
    artifacts: some.map(({ name, type }) => ({ name, type })),
  });
  const answer = each
    ? { results: found.map((one) => toJsonDone(one.path, planned([one]))) }
    : planned(found);
  context.output.answer({ ...answer, skipped }, text);
  return success;
}

function warnOfSkipped({ output }: Context, skipped: readonly SkippedPath[]): void {
  for (const { path, why } of skipped) output.warn(`left out ${path}: ${why}`);
}

export function changeOptions(
  { signal }: Context,
  { message, dryRun = false }: EditFlags,
): { readonly signal: AbortSignal; readonly dryRun: boolean; readonly message?: string } {
  return { signal, dryRun, ...(message !== undefined && { message }) };
}

/** Prints what a change did, or would do. */
export function answerChange(
  context: Context,
  change: CollectionChange,
  { dryRun: isDryRun = false }: EditFlags,
  words: ChangeWords,
  more: object = {},
): ExitCode {
  warnOfSuperseded(change.receipt, context);
  context.output.answer(
    { ...toJsonChange(change), ...more },
    describeCollectionChange(change, { ...words, isDryRun }),
  );
  return success;
}
