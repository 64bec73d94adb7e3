import {
  type AddedArtifact,
  type ArtifactType,
  artifactTypes,
  type Collection,
  type CollectionChange,
  CollectionError,
  type FetchedArtifact,
  isCollectionError,
  parseArtifactName,
  parseArtifactType,
  pathFor,
} from '../../collection/index.js';
import { parseTag } from '../../engine/index.js';
import { openCollectionForChange } from '../collection-root.js';
import type { Context } from '../context.js';
import type { ExitCode } from '../exit-codes.js';
import { UsageError } from '../failure.js';
import { openFetcherForCommand, parseTypedSource } from '../fetching.js';
import { KnownUpstreams } from '../known-upstreams.js';
import { answerEach, changeEach, type EachFlags } from './each.js';
import { answerChange, changeOptions } from './edit.js';

export interface AddFlags extends EachFlags {
  readonly name?: string;
  readonly tag?: readonly string[];
  readonly force?: boolean;
}

/** Fetches artifacts and brings them in, all or none. */
export async function add(
  context: Context,
  typed: readonly string[],
  { name, tag = [], force = false, each = false, ...flags }: AddFlags,
): Promise<ExitCode> {
  const { type, texts } = splitType(typed);
  if (name !== undefined && texts.length > 1) {
    throw new UsageError('--name is for one source', 'Add the others by a command of their own.');
  }
  const named = name === undefined ? undefined : parseArtifactName(name);
  // What makes no sense is refused before anything is fetched.
  if (!each) texts.forEach(parseTypedSource);
  tag.forEach(parseTag);
  const options = { ...changeOptions(context, flags), force };
  const words = { done: 'Added', planned: 'add' };
  await using collection = await openCollectionForChange(context, flags);
  await using fetcher = await openFetcherForCommand(context);
  const notes: CopyNote[] = [];
  const fetchOne = async (text: string): Promise<AddedArtifact> => {
    const fetched = await fetcher.fetch(parseTypedSource(text));
    notes.push(...tellNotes(context, text, fetched));
    return { ...describe(fetched, { type, name: named, text }), tags: tag };
  };
  if (each) {
    const outcomes = await changeEach(texts, async (text) =>
      collection.add([await fetchOne(text)], options),
    );
    const changes = outcomes.flatMap((outcome) => (outcome.kind === 'done' ? outcome.change : []));
    await rememberUpstreams(collection, changes, flags);
    return answerEach(context, outcomes, flags, words, { notes });
  }
  const added: AddedArtifact[] = [];
  for (const text of texts) added.push(await fetchOne(text));
  const change = await collection.add(added, options);
  await rememberUpstreams(collection, [change], flags);
  return answerChange(context, change, flags, words, { notes });
}

/** So that `status` need not ask what is known. */
async function rememberUpstreams(
  { reader }: Collection,
  changes: readonly CollectionChange[],
  { dryRun = false }: AddFlags,
): Promise<void> {
  const keys = changes.flatMap(({ artifacts }) => artifacts);
  if (!dryRun) new KnownUpstreams().rememberInstalled(await reader.files(), keys);
}

/** How a copy differs from what was added. */
interface CopyNote {
  readonly source: string;
  readonly path: string;
  readonly why: string;
}

/** More left-out paths than these are counted. */
const leftOutNamedMax = 5;

function tellNotes(
  { output }: Context,
  source: string,
  { neutralised, leftOut }: FetchedArtifact,
): readonly CopyNote[] {
  for (const { path, why } of neutralised) output.warn(`${path}: ${why}`);
  if (leftOut.length > 0) {
    const more = leftOut.length - leftOutNamedMax;
    const named = leftOut.slice(0, leftOutNamedMax).join(', ');
    output.notice(`left out of ${source}: ${named}${more > 0 ? ` and ${String(more)} more` : ''}`);
  }
  return [
    ...neutralised.map(({ path, why }) => ({ source, path, why })),
    ...leftOut.map((path) => ({ source, path, why: 'left out: it is never copied' })),
  ];
}

/** The first word may say of what type all of them are. */
function splitType(words: readonly string[]): {
  readonly type: ArtifactType | undefined;
  readonly texts: readonly string[];
} {
  const [first, ...rest] = words;
  if (first === undefined || rest.length === 0) return { type: undefined, texts: words };
  if (Object.hasOwn(artifactTypes, first)) return { type: parseArtifactType(first), texts: rest };
  if (isSource(first)) return { type: undefined, texts: words };
  // A word that is no source either was meant for a type.
  if (/^[a-z_-]+$/i.test(first)) parseArtifactType(first);
  return { type: undefined, texts: words };
}

function isSource(text: string): boolean {
  try {
    parseTypedSource(text);
    return true;
  } catch (error) {
    if (!isCollectionError(error, 'SOURCE_INVALID')) throw error;
    return false;
  }
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
