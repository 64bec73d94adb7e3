import { EngineError, fromSystemError, systemCode } from './errors.js';
import type { FileSystem, OpenFile, Place, Stat } from './file-system.js';
import { ContentHasher, type ContentHash, hashContent } from './hash.js';
import { absent, type FoundImage, type Image, special } from './image.js';
import { chunkBytes, smallContentBytesMax } from './limits.js';
import type { Pace } from './pace.js';
import { childOf, namesEngineDirectory, quote, type RelativePath } from './path.js';

/** What is at a place: the image, and the `stat` that went with it. */
export interface Found {
  readonly image: FoundImage;
  /** `undefined` when the image is absent. */
  readonly stat: Stat | undefined;
}

export interface FoundAt extends Found {
  readonly path: RelativePath;
  readonly place: Place;
}

/** Tools that every look at the disk needs. */
export interface Looking {
  readonly files: FileSystem;
  readonly pace: Pace;
}

const nothing: Found = { image: absent, stat: undefined };

/**
 * Returns what is at `place`, with the hash of a file's content. `path` is for messages.
 *
 * @throws {EngineError} `PERMISSION_DENIED`, `IO_FAILED`, … when it cannot be read.
 */
export async function inspect(looking: Looking, place: Place, path: string): Promise<Found> {
  const { files } = looking;
  const stat = files.stat(place);
  if (stat === undefined) return nothing;
  switch (stat.kind) {
    case 'special':
      return { image: special, stat };
    case 'directory':
      return { image: { kind: 'directory', mode: stat.mode }, stat };
    case 'symlink':
      return { image: { kind: 'symlink', target: files.readLink(place) }, stat };
    case 'file':
      return inspectFile(looking, place, path);
  }
}

/** As {@link inspect}, for what is known to be a file. */
export async function inspectFile(looking: Looking, place: Place, path: string): Promise<Found> {
  const { files } = looking;
  let file: OpenFile;
  try {
    file = files.openForReading(place);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return nothing;
    throw fromSystemError(error, 'read', path);
  }
  try {
    const stat = files.statFile(file);
    // Somebody put something else there since the first look.
    if (stat.kind !== 'file') return { image: special, stat };
    const { sha256, size } = await hashFile(looking, file, stat.size);
    return { image: { kind: 'file', sha256, size, mode: stat.mode }, stat };
  } catch (error) {
    throw fromSystemError(error, 'read', path);
  } finally {
    files.closeFile(file);
  }
}

async function hashFile(
  { files, pace }: Looking,
  file: OpenFile,
  expectedSize: number,
): Promise<{ sha256: ContentHash; size: number }> {
  if (expectedSize <= smallContentBytesMax) {
    // One byte more than expected: a read that does not fill the buffer has met the end.
    const buffer = Buffer.allocUnsafe(expectedSize + 1);
    const size = files.readSync(file, buffer);
    const begun = buffer.subarray(0, size);
    if (size === expectedSize) return { sha256: hashContent(begun), size };
    return hashRest(file, begun, { files, pace });
  }
  return hashRest(file, Buffer.alloc(0), { files, pace });
}

async function hashRest(
  file: OpenFile,
  begun: Uint8Array,
  { files, pace }: Looking,
): Promise<{ sha256: ContentHash; size: number }> {
  const hasher = new ContentHasher();
  hasher.update(begun);
  const buffer = Buffer.allocUnsafe(chunkBytes);
  for (let size = begun.length; ; ) {
    const count = await files.read(file, buffer);
    if (count === 0) return { sha256: hasher.digest(), size };
    hasher.update(buffer.subarray(0, count));
    size += count;
    pace.refuseStopped();
  }
}

/** Looks at one place: {@link inspect}, or less than that. */
type Look = (place: Place, path: RelativePath) => Found | Promise<Found>;

/**
 * What becomes of a name below that no transaction can have (a nested store's, one that is not UTF-8)
 * and of a mount: refused, or yielded as `special` and not entered; a mount after its directory, once more.
 */
type OddNames = 'refused' | 'yielded';

/**
 * Yields what is at `place` and, for a directory, everything below, each directory before its
 * content, names in code unit order. A yielded place is good until the next step. What is yielded of a
 * name that is not UTF-8, for which nothing is found by that name, and of a mount has no `stat`.
 *
 * @throws {EngineError} where odd names are refused: `PATH_ON_OTHER_MOUNT`, `PATH_IN_ENGINE_DIRECTORY`,
 * `PATH_INVALID` for a name that is not UTF-8.
 */
export function inspectTree(
  looking: Looking,
  place: Place,
  path: RelativePath,
  oddNames: OddNames = 'refused',
): AsyncGenerator<FoundAt, void> {
  const look = (at: Place, name: RelativePath): Promise<Found> => inspect(looking, at, name);
  return walkTree({ looking, look, oddNames }, place, path);
}

/** As {@link inspectTree}, but reads no content and no link: every file's image is `special`. */
export function statTree(
  looking: Looking,
  place: Place,
  path: RelativePath,
  oddNames: OddNames = 'refused',
): AsyncGenerator<FoundAt, void> {
  const look = (at: Place): Found => {
    const stat = looking.files.stat(at);
    if (stat === undefined) return nothing;
    if (stat.kind !== 'directory') return { image: special, stat };
    return { image: { kind: 'directory', mode: stat.mode }, stat };
  };
  return walkTree({ looking, look, oddNames }, place, path);
}

interface Walk {
  readonly looking: Looking;
  readonly look: Look;
  readonly oddNames: OddNames;
}

async function* walkTree(
  walk: Walk,
  place: Place,
  path: RelativePath,
): AsyncGenerator<FoundAt, void> {
  const { looking, look, oddNames } = walk;
  const found = await look(place, path);
  yield { path, place, ...found };
  if (found.image.kind !== 'directory') return;
  const directory = looking.files.openDirectory(place);
  // guard: walk-other-mount [if false]
  if (directory === 'other-mount') {
    if (oddNames === 'refused') throw onOtherMount(path);
    yield { path, place, image: special, stat: undefined };
    return;
  }
  // Gone or replaced since: whoever compares will see that it is not what it was.
  if (typeof directory === 'string') return;
  try {
    const names = looking.files.list(directory).map((entry) => entry.name);
    for (const name of names.toSorted()) {
      if (looking.pace.isDue()) await looking.pace.turn();
      const child: Place = { directory, name };
      const childPath = childOf(path, name);
      const odd = oddNameOf(looking.files, child, path);
      if (odd === undefined) {
        yield* walkTree(walk, child, childPath);
        continue;
      }
      if (oddNames === 'refused') throw odd;
      yield { path: childPath, place: child, image: special, stat: looking.files.stat(child) };
    }
  } finally {
    looking.files.closeDirectory(directory);
  }
}

/** Returns what is wrong with a name that no transaction can have. */
function oddNameOf(files: FileSystem, place: Place, parent: RelativePath): EngineError | undefined {
  const { name } = place;
  // Reading another store's journal would drop the locks that this process may hold on it.
  if (namesEngineDirectory(name)) {
    return new EngineError('PATH_IN_ENGINE_DIRECTORY', `${quote(parent)} is a store of its own`, {
      path: parent,
      hint: `Move or remove its ${name} first.`,
    });
  }
  // Node turns each byte that is not UTF-8 into U+FFFD, and then finds nothing by that name.
  if (!name.includes('\ufffd') || files.stat(place) !== undefined) return undefined;
  return new EngineError('PATH_INVALID', `${quote(parent)} holds a name that is not UTF-8`, {
    path: childOf(parent, name),
    hint: 'Rename it first.',
  });
}

function onOtherMount(path: RelativePath): EngineError {
  return new EngineError('PATH_ON_OTHER_MOUNT', `${quote(path)} is another mounted file system`, {
    path,
    hint: 'A transaction stays on one file system; unmount it first.',
  });
}

/** Narrows a found image to one that a transaction can have. @throws {EngineError} `PATH_SPECIAL`. */
export function requirePlain(found: Pick<FoundAt, 'image' | 'path'>): Image {
  if (found.image.kind !== 'special') return found.image;
  throw new EngineError(
    'PATH_SPECIAL',
    `${quote(found.path)} is a FIFO, socket or device, which is never read or replaced`,
    { path: found.path, hint: 'Remove it by hand, or choose another path.' },
  );
}
