import { isEngineError, systemCode } from '../errors.js';
import type { OpenFile, Place } from '../file-system.js';
import { ContentHasher, type ContentHash } from '../hash.js';
import { placesOf } from '../history.js';
import { readKnownPaths } from '../known-path.js';
import { chunkBytes } from '../limits.js';
import type { ObjectStore } from '../object-store.js';
import { isInnerPath, quote, type RelativePath } from '../path.js';
import { isObstacle, RootTree } from '../root-tree.js';
import type { Verifying } from '../verify/verifying.js';

/** Where a content that is missing somewhere else still is. */
export interface ContentSource {
  /** For people: `history (stage/…)`, `the file "a"`, `a snapshot`. */
  readonly name: string;
  /** Its bytes; who copies them compares their hash. */
  readonly pieces: () => AsyncIterable<Uint8Array>;
}

export interface Sought {
  readonly sha256: ContentHash;
  /** A path that should have it, or had it. */
  readonly path: string | null;
  /** The place that is damaged, which is no source. */
  readonly except: string | null;
}

/** Finds contents by their hash: in history, in the root, in snapshots, in this order. */
export class ContentSources {
  readonly #verifying: Verifying;
  readonly #objects: ObjectStore;
  #live: Promise<ReadonlyMap<ContentHash, readonly RelativePath[]>> | undefined;

  constructor(verifying: Verifying, objects: ObjectStore) {
    this.#verifying = verifying;
    this.#objects = objects;
  }

  /** Returns the first source whose bytes are right, having read them. */
  async find(sought: Sought): Promise<ContentSource | undefined> {
    for await (const source of this.#candidates(sought)) {
      if (await this.#isRight(source, sought.sha256)) return source;
    }
    return undefined;
  }

  async *#candidates({ sha256, path, except }: Sought): AsyncGenerator<ContentSource, void> {
    const { journal, directory } = this.#verifying;
    // Any path will do: it only says which of equal places comes first.
    const first = path !== null && isInnerPath(path) ? path : ('.' as RelativePath);
    for (const place of placesOf(sha256, first, journal)) {
      const name = `stage/${place}`;
      if (name !== except) yield this.#file(`history (${name})`, directory.stage, place);
    }
    const live = (await this.#livePaths()).get(sha256) ?? [];
    const paths = path !== null && isInnerPath(path) ? [path, ...live] : live;
    for (const at of new Set(paths)) yield this.#file(`the file ${quote(at)}`, directory.root, at);
    const isSnapshot = except?.startsWith('objects/') === true;
    if (!isSnapshot && this.#objects.has(sha256)) {
      const pieces = (): AsyncIterable<Uint8Array> =>
        this.#objects.pieces(sha256, Number.MAX_SAFE_INTEGER);
      yield { name: 'a snapshot', pieces };
    }
  }

  /** Paths by the content that the journal says they have. */
  async #livePaths(): Promise<ReadonlyMap<ContentHash, readonly RelativePath[]>> {
    const { journal, looking } = this.#verifying;
    const read = async (): Promise<Map<ContentHash, RelativePath[]>> => {
      const { pace } = looking;
      const paths = new Map<ContentHash, RelativePath[]>();
      for (const [path, { image }] of await readKnownPaths(journal, {
        asOf: journal.head().id,
        pace,
      })) {
        if (image.kind !== 'file') continue;
        paths.set(image.sha256, [...(paths.get(image.sha256) ?? []), path]);
      }
      return paths;
    };
    this.#live ??= read();
    return this.#live;
  }

  #file(name: string, directory: RootTree['root'], path: RelativePath): ContentSource {
    const { files, pace } = this.#verifying.looking;
    const pieces = async function* (): AsyncGenerator<Uint8Array, void> {
      using tree = new RootTree(files, directory);
      const place = tree.locate(path);
      if (isObstacle(place) || files.stat(place)?.kind !== 'file') return;
      const file = files.openForReading(place);
      try {
        for (;;) {
          const buffer = Buffer.allocUnsafe(chunkBytes);
          const count = await files.read(file, buffer);
          if (count === 0) return;
          pace.refuseStopped();
          yield buffer.subarray(0, count);
        }
      } finally {
        files.closeFile(file);
      }
    };
    return { name, pieces };
  }

  async #isRight({ pieces }: ContentSource, sha256: ContentHash): Promise<boolean> {
    try {
      const hasher = new ContentHasher();
      for await (const piece of pieces()) hasher.update(piece);
      // guard: repair-source [hasher.digest() === sha256 becomes true]
      return hasher.digest() === sha256;
    } catch (error) {
      // It cannot be read: no source.
      if (isEngineError(error, 'HISTORY_DAMAGED', 'STORE_FORMAT_NEWER')) return false;
      if (systemCode(error) !== undefined) return false;
      throw error;
    }
  }
}

/**
 * Writes a content to a new file.
 *
 * @returns false, having left nothing, when its bytes changed since they were found.
 */
export async function writeContent(
  { files }: Verifying['looking'],
  source: ContentSource,
  {
    draft,
    sha256,
    mode,
  }: { readonly draft: Place; readonly sha256: ContentHash; readonly mode: number },
): Promise<boolean> {
  const hasher = new ContentHasher();
  const file: OpenFile = files.createFile(draft, 0o600);
  try {
    for await (const piece of source.pieces()) {
      hasher.update(piece);
      await files.write(file, piece);
    }
  } finally {
    files.closeWritten(file);
  }
  // guard: repair-copy [if false]
  if (hasher.digest() !== sha256) {
    files.removeFile(draft);
    return false;
  }
  files.setMode(draft, mode);
  return true;
}
