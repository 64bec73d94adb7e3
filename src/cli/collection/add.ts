import {
  type AddedArtifact,
  type ArtifactType,
  artifactTypes,
  CollectionError,
  type FetchedArtifact,
  parseArtifactName,
  parseArtifactType,
  pathFor,
} from '../../collection/index.js';
import { openCollectionForChange } from '../collection-root.js';
import type { Context } from '../context.js';
import type { ExitCode } from '../exit-codes.js';
import { UsageError } from '../failure.js';
import { openFetcherForCommand, parseTypedSource } from '../fetching.js';
import { answerChange, changeOptions, type EditFlags } from './edit.js';

export interface AddFlags extends EditFlags {
  readonly name?: string;
  readonly tag?: readonly string[];
  readonly force?: boolean;
}

/** Fetches artifacts and brings them in, all or none. */
export async function add(
  context: Context,
  words: readonly string[],
  { name, tag = [], force = false, ...flags }: AddFlags,
): Promise<ExitCode> {
  const { type, texts } = splitType(words);
  if (name !== undefined && texts.length > 1) {
    throw new UsageError('--name is for one source', 'Add the others by a command of their own.');
  }
  const named = name === undefined ? undefined : parseArtifactName(name);
  const sources = texts.map(parseTypedSource);
  await using collection = await openCollectionForChange(context, flags);
  await using fetcher = await openFetcherForCommand(context);
  const added: AddedArtifact[] = [];
  for (const [at, source] of sources.entries()) {
    const fetched = await fetcher.fetch(source);
    for (const { path, why } of fetched.neutralised) context.output.warn(`${path}: ${why}`);
    added.push({ ...describe(fetched, { type, name: named, text: texts[at] ?? '' }), tags: tag });
  }
  const change = await collection.add(added, { ...changeOptions(context, flags), force });
  return answerChange(context, change, flags, { done: 'Added', planned: 'add' });
}

/** The first word may say of what type all of them are. */
function splitType(words: readonly string[]): {
  readonly type: ArtifactType | undefined;
  readonly texts: readonly string[];
} {
  const [first, ...rest] = words;
  const isType = first !== undefined && rest.length > 0 && Object.hasOwn(artifactTypes, first);
  return isType
    ? { type: parseArtifactType(first), texts: rest }
    : { type: undefined, texts: words };
}

function describe(
  fetched: FetchedArtifact,
  given: {
    readonly type: ArtifactType | undefined;
    readonly name: string | undefined;
    readonly text: string;
  },
): Omit<AddedArtifact, 'tags'> {
  const type = given.type ?? fetched.guessedType;
  if (type === undefined) {
    throw new CollectionError('ARTIFACT_TYPE_INVALID', `nothing tells what ${given.text} is`, {
      path: given.text,
      hint: `Say so: skillmeat add TYPE ${given.text}; the types are ${Object.keys(artifactTypes).join(', ')}.`,
    });
  }
  const { shape } = artifactTypes[type];
  if (shape !== 'either' && shape !== fetched.kind) {
    throw new CollectionError(
      'ARTIFACT_TYPE_INVALID',
      `${given.text} is a ${fetched.kind}, and a ${type} is a ${shape}`,
      {
        path: given.text,
        hint: shape === 'file' ? 'Name the one file.' : 'Name the directory that it is in.',
      },
    );
  }
  const name = given.name ?? parseArtifactName(fetched.originName);
  const { path: from, origin, upstream, versionSpec, resolvedSha, resolvedVersion } = fetched;
  const path = pathFor(type, name, fetched.kind === 'file');
  return { name, type, path, from, origin, upstream, versionSpec, resolvedSha, resolvedVersion };
}
