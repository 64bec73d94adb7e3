import type { Transform } from 'node:stream';
import {
  canDecompress,
  compress,
  type CompressionLevel,
  decompress,
  type Encoding,
  nameEndings,
  openCompressor,
  openDecompressor,
} from './compression.js';
import { EngineError, fromSystemError, isEngineError, systemCode } from './errors.js';
import type { Directory, FileSystem, OpenFile, Place } from './file-system.js';
import { ContentHasher, type ContentHash, hashContent, parseContentHash } from './hash.js';
import { chunkBytes, openDirectoriesMax, smallContentBytesMax } from './limits.js';
import type { Pace } from './pace.js';
import { Packs } from './packs.js';

/*
 * `.skillmeat/objects/ab/cdef…`: contents and listings by the SHA-256 of their bytes.
 *
 * An object is written beside its place and moved there without a flush: one barrier serves all
 * objects of a snapshot. So a power cut may leave a torn one under its name, of which no snapshot
 * knows. That is why an object that is there already is read before it is relied upon, and why one
 * that is not what its name says is replaced only after a barrier: the row of a snapshot that
 * relies on it may be on disk before the rename.
 *
 * What has no file of its own may be in a pack (packs.ts), where `prune --pack` puts contents of
 * snapshots and of displaced files alike. Every reader of either comes here.
 */

const objectsName = 'objects';
const unfinishedPrefix = '.new-';
const encodings: readonly Encoding[] = ['raw', 'zstd', 'brotli'];

export interface StoredObject {
  readonly sha256: ContentHash;
  readonly encoding: Encoding;
  /** Good until the next object is looked for. */
  readonly place: Place;
}

export interface ObjectStoreOptions {
  readonly files: FileSystem;
  /** `<root>/.skillmeat` */
  readonly store: Directory;
  /** See `FileSystem.barrier`. */
  readonly barrier: (bytes: number) => Promise<void>;
  readonly level: CompressionLevel;
  readonly newId: () => string;
}

/** The contents of snapshots. Open while one call works. */
export class ObjectStore implements Disposable {
  readonly #options: ObjectStoreOptions;
  readonly #packs: Packs;
  #directory: Directory | undefined;
  readonly #shards = new Map<string, Directory>();
  /** Names in the shards that were looked into. */
  readonly #names = new Map<string, Set<string>>();
  /** Objects that this call wrote, or found and read. */
  readonly #trusted = new Set<ContentHash>();
  readonly #added = new Set<ContentHash>();
  #bytes = 0;
  #needsBarrier = false;
  #isUnsure = false;

  constructor(options: ObjectStoreOptions) {
    this.#options = options;
    this.#packs = new Packs(options.files, () => this.#open());
  }

  /** What is packed. */
  get packs(): Packs {
    return this.#packs;
  }

  /** Opens the directory that packs lie in. */
  get directory(): Directory {
    return this.#directoryOrNew();
  }

  /** Objects that were written, and the bytes that they take. */
  get added(): { readonly objects: number; readonly bytes: number } {
    return { objects: this.#added.size, bytes: this.#bytes };
  }

  /** Whether a sync failed: what of this call's objects is on disk, nobody knows (I10). */
  get isUnsure(): boolean {
    return this.#isUnsure;
  }

  /** Whether the next sync is to cover objects of this call. */
  get needsBarrier(): boolean {
    return this.#needsBarrier;
  }

  /** Identifies the directory, for who remembers what is in it. An inode number is used again. */
  get identity(): string {
    const { files, store } = this.#options;
    const stat = files.stat({ directory: store, name: objectsName });
    return stat === undefined ? '' : `${String(stat.inode)} ${String(stat.bornNs)}`;
  }

  /** Returns where the object of a content is, `undefined` when it has no file of its own. */
  placeOf(sha256: ContentHash): Place | undefined {
    return this.#find(sha256)?.place;
  }

  /** Tells whether there is such a content, packed or not, without reading it. */
  has(sha256: ContentHash): boolean {
    return this.#find(sha256) !== undefined || this.#packs.find(sha256) !== undefined;
  }

  /** Tells whether a content is in a pack and has no file of its own. */
  isOnlyPacked(sha256: ContentHash): boolean {
    return this.#find(sha256) === undefined && this.#packs.find(sha256) !== undefined;
  }

  /** Every content, once: those with files of their own, then those that are packed. */
  *contents(): Generator<ContentHash, void> {
    const own = new Set<ContentHash>();
    for (const { sha256 } of this.list()) {
      own.add(sha256);
      yield sha256;
    }
    for (const { sha256 } of this.#packs.contents()) if (!own.has(sha256)) yield sha256;
  }

  /** Stores `bytes`. */
  async put(bytes: Uint8Array, sha256: ContentHash = hashContent(bytes)): Promise<void> {
    if (await this.#isThere(sha256, bytes.length)) return;
    const compressed = compress(bytes, this.#options.level);
    const draft = this.newDraft();
    try {
      const file = this.#options.files.createFile(draft, 0o600);
      try {
        this.#options.files.writeSync(file, compressed.bytes);
      } finally {
        this.#options.files.closeWritten(file);
      }
      await this.#name(draft, sha256, compressed);
    } catch (error) {
      this.#drop(draft);
      throw fromSystemError(error, 'store an object in', objectsName);
    }
  }

  /** Stores what an open file holds, in pieces; where the file system can, without copying. */
  async putFile(
    file: OpenFile,
    isStill: () => boolean,
  ): Promise<{ readonly sha256: ContentHash; readonly size: number } | undefined> {
    const { files } = this.#options;
    const draft = this.newDraft();
    try {
      const written = await this.#fill(draft, file);
      // guard: object-still [if false]
      if (!isStill()) {
        this.#drop(draft);
        return undefined;
      }
      const { sha256, size } = written;
      if (await this.#isThere(sha256, size)) this.#drop(draft);
      else {
        const bytes = { length: files.stat(draft)?.size ?? 0 };
        await this.#name(draft, sha256, { encoding: written.encoding, bytes });
      }
      return { sha256, size };
    } catch (error) {
      this.#drop(draft);
      throw error;
    }
  }

  async #fill(
    draft: Place,
    file: OpenFile,
  ): Promise<{ readonly sha256: ContentHash; readonly size: number; readonly encoding: Encoding }> {
    const { files, level } = this.#options;
    if (files.cloneFile(file, draft)) {
      files.setMode(draft, 0o600);
      const clone = files.openForReading(draft);
      try {
        return { ...(await hashAll(files, clone)), encoding: 'raw' };
      } finally {
        files.closeFile(clone);
      }
    }
    const target = files.createFile(draft, 0o600);
    try {
      const hasher = new ContentHasher();
      const sample = Buffer.allocUnsafe(chunkBytes);
      const first = sample.subarray(0, await files.read(file, sample));
      const compressor = openCompressor(first, level);
      let size = 0;
      const pieces = (async function* () {
        for await (const piece of beginningWith(first, chunksOf(files, file))) {
          hasher.update(piece);
          size += piece.length;
          yield piece;
        }
      })();
      const stored = compressor === undefined ? pieces : through(compressor.stream, pieces);
      for await (const piece of stored) await files.write(target, piece);
      return { sha256: hasher.digest(), size, encoding: compressor?.encoding ?? 'raw' };
    } finally {
      files.closeWritten(target);
    }
  }

  /** Reads an object and checks it (I5). @throws {EngineError} `HISTORY_DAMAGED`. */
  async read(sha256: ContentHash, bytesMax: number): Promise<Uint8Array> {
    const packed = await this.#readPacked(sha256, bytesMax);
    if (packed !== undefined) return packed;
    const object = this.#locate(sha256);
    const { files } = this.#options;
    try {
      const file = files.openForReading(object.place);
      try {
        const { size, kind } = files.statFile(file);
        // guard: object-size
        if (kind !== 'file' || size > bytesMax) throw new Error('it is longer than it can be');
        const stored = await readAll(files, file, size);
        const bytes = decompress(stored, object.encoding, bytesMax);
        // guard: object-content [if true]
        if (hashContent(bytes) === sha256) return bytes;
        throw new Error('its bytes do not match its name');
      } finally {
        files.closeFile(file);
      }
    } catch (error) {
      return this.#readPackedMeanwhile(sha256, error);
    }
  }

  /** The bytes of an object in pieces; whoever reads them must compare their hash. */
  async *pieces(sha256: ContentHash, bytesMax: number): AsyncGenerator<Uint8Array, void> {
    const packed = await this.#readPacked(sha256, bytesMax);
    if (packed !== undefined) {
      yield packed;
      return;
    }
    const object = this.#locate(sha256);
    const { files } = this.#options;
    let file: OpenFile | undefined;
    try {
      file = files.openForReading(object.place);
      if (files.statFile(file).kind !== 'file') throw new Error('it is not a file');
      const stored = chunksOf(files, file);
      const { encoding } = object;
      const pieces = encoding === 'raw' ? stored : through(openDecompressor(encoding), stored);
      let size = 0;
      for await (const piece of pieces) {
        size += piece.length;
        // guard: object-size-large
        if (size > bytesMax) throw new Error('it is longer than its snapshot says');
        yield piece;
      }
    } catch (error) {
      if (file !== undefined) throw damagedObject(sha256, error);
      yield await this.#readPackedMeanwhile(sha256, error);
    } finally {
      if (file !== undefined) files.closeFile(file);
    }
  }

  /** Checks that an object is there and has the size that it must, without reading it. */
  requirePresence(sha256: ContentHash, size: number): void {
    if (this.isOnlyPacked(sha256)) {
      // guard: packed-presence [if true]
      if (this.#packs.find(sha256)?.size === size) return;
      throw damagedObject(sha256, new Error('it has another size than its snapshot says'));
    }
    const { encoding, place } = this.#locate(sha256);
    const stat = this.#options.files.stat(place);
    const isPlausible = encoding === 'raw' ? stat?.size === size : (stat?.size ?? 0) > 0;
    // guard: object-presence [if true]
    if (stat?.kind === 'file' && isPlausible) return;
    const found = stat?.kind === 'file' ? `${String(stat.size)} bytes` : 'no file';
    const expected = encoding === 'raw' ? `${String(size)} bytes` : 'some bytes';
    throw damagedObject(sha256, new Error(`expected ${expected}, found ${found}`));
  }

  /** Reads an object through and checks its bytes (I5). @throws {EngineError} `HISTORY_DAMAGED`. */
  async requireContent(sha256: ContentHash, size: number, pace: Pace): Promise<void> {
    const hasher = new ContentHasher();
    for await (const piece of this.pieces(sha256, size)) {
      hasher.update(piece);
      pace.refuseStopped();
    }
    // guard: object-content-large [if true]
    if (hasher.digest() === sha256) return;
    throw damagedObject(sha256, new Error('its bytes do not match its name'));
  }

  /** Reads what is no larger than memory bears whole, else in pieces that are not checked. */
  async content(
    sha256: ContentHash,
    size: number,
  ): Promise<Uint8Array | AsyncIterable<Uint8Array>> {
    if (!this.isOnlyPacked(sha256)) this.#locate(sha256);
    return size <= smallContentBytesMax ? this.read(sha256, size) : this.pieces(sha256, size);
  }

  /** Shares the blocks of an object that is stored as it is. */
  cloneTo(sha256: ContentHash, to: Place): boolean {
    const { files } = this.#options;
    if (this.isOnlyPacked(sha256)) return false;
    const object = this.#locate(sha256);
    if (object.encoding !== 'raw') return false;
    const file = files.openForReading(object.place);
    try {
      return files.cloneFile(file, to);
    } finally {
      files.closeFile(file);
    }
  }

  /**
   * Returns when all that was stored, or found to be there, is on disk.
   *
   * @param options.alsoOthers whether it is to cover other files too, of any size.
   */
  async barrier({ alsoOthers = false }: { readonly alsoOthers?: boolean } = {}): Promise<void> {
    if (!this.#needsBarrier && !alsoOthers) return;
    // guard: snapshot-barrier
    await this.#sync(alsoOthers ? Number.POSITIVE_INFINITY : this.#bytes);
    this.#needsBarrier = false;
  }

  /** Every object with a file of its own, whoever needs it. */
  *list(): Generator<StoredObject, void> {
    const directory = this.#open();
    if (directory === undefined) return;
    for (const { name: shard } of this.#options.files.list(directory)) {
      if (!/^[0-9a-f]{2}$/.test(shard)) continue;
      for (const name of this.#namesIn(shard)) {
        const object = this.#toObject(shard, name);
        if (object !== undefined) yield object;
      }
    }
  }

  /** Returns the bytes that an object takes on disk, compressed as it is; 0 when it is gone. */
  sizeOf(object: StoredObject): number {
    return this.#options.files.stat(this.#placeNow(object))?.size ?? 0;
  }

  /** Tells whether an object was there before this time. */
  isOlder(object: StoredObject, beforeMs: number): boolean {
    const stat = this.#options.files.stat(this.#placeNow(object));
    return stat !== undefined && Number(stat.changedNs / 1_000_000n) < beforeMs;
  }

  /** Removes what this call stored, but for what is `named`. */
  removeAdded(named: ReadonlySet<ContentHash> = new Set()): void {
    for (const sha256 of this.#added) {
      const object = named.has(sha256) ? undefined : this.#find(sha256);
      if (object !== undefined) this.remove(object);
    }
  }

  /** Removes an object that nobody needs any more. */
  remove(object: StoredObject): void {
    this.#options.files.removeFile(this.#placeNow(object));
  }

  /** The directory that an object was found in may have been closed since: few are kept open. */
  #placeNow({ sha256, place: { name } }: StoredObject): Place {
    return { directory: this.#shard(sha256.slice(0, 2)), name };
  }

  /** Removes what was being written when a process died, once it is older than `before`. */
  removeDrafts(beforeMs: number): void {
    const directory = this.#open();
    if (directory === undefined) return;
    const { files } = this.#options;
    for (const { name } of files.list(directory)) {
      const place = { directory, name };
      const stat = name.startsWith(unfinishedPrefix) ? files.stat(place) : undefined;
      if (stat?.kind === 'file' && Number(stat.modifiedNs / 1_000_000n) < beforeMs) {
        files.removeFile(place);
      }
    }
  }

  /** Makes the directory when it is missing. */
  prepare(): void {
    this.#directoryOrNew();
  }

  #directoryOrNew(): Directory {
    const opened = this.#open();
    if (opened !== undefined) return opened;
    const { files, store } = this.#options;
    this.#make({ directory: store, name: objectsName });
    this.#directory = requireDirectory(
      files.openDirectory({ directory: store, name: objectsName }),
      objectsName,
    );
    return this.#directory;
  }

  [Symbol.dispose](): void {
    this.#closeShards();
    if (this.#directory !== undefined) this.#options.files.closeDirectory(this.#directory);
    this.#directory = undefined;
  }

  // --- inside --------------------------------------------------------------------------------

  /** Tells whether the object is there, having read it: see the top of this file. */
  async #isThere(sha256: ContentHash, size: number): Promise<boolean> {
    if (this.#trusted.has(sha256)) return true;
    const place = this.#find(sha256)?.place ?? this.#packs.find(sha256)?.pack.place;
    if (place === undefined) return false;
    try {
      const hasher = new ContentHasher();
      for await (const piece of this.pieces(sha256, size)) hasher.update(piece);
      // guard: object-there
      if (hasher.digest() !== sha256) return false;
    } catch (error) {
      // Another Node may have compressed it with what this one does not know.
      if (isEngineError(error, 'HISTORY_DAMAGED', 'STORE_FORMAT_NEWER')) return false;
      throw error;
    }
    // guard: snapshot-cover-object
    this.#options.files.mustReachDisk(place);
    this.#needsBarrier = true;
    this.#trusted.add(sha256);
    return true;
  }

  async #sync(bytes: number): Promise<void> {
    try {
      // guard: object-sync
      await this.#options.barrier(bytes);
    } catch (error) {
      this.#isUnsure = true;
      throw error;
    }
  }

  /** Gives a draft its name. */
  async #name(
    draft: Place,
    sha256: ContentHash,
    {
      encoding,
      bytes,
    }: { readonly encoding: Encoding; readonly bytes: { readonly length: number } },
  ): Promise<void> {
    const { files } = this.#options;
    this.give(draft);
    const shard = sha256.slice(0, 2);
    const name = sha256.slice(2) + nameEndings[encoding];
    const damaged = this.#find(sha256);
    const place: Place = { directory: this.#shard(shard, true), name };
    if (damaged === undefined) {
      try {
        files.moveNew(draft, place);
      } catch (error) {
        // Another process stored the same meanwhile.
        if (systemCode(error) !== 'EEXIST') throw error;
        this.#namesIn(shard).add(name);
        if (!(await this.#isThere(sha256, Number.MAX_SAFE_INTEGER))) throw error;
        this.#drop(draft);
        return;
      }
    } else {
      // guard: object-replace-barrier
      await this.#sync(bytes.length);
      files.moveOwn(draft, place);
      if (damaged.place.name !== name) files.removeFile(damaged.place);
    }
    const names = this.#namesIn(shard);
    if (damaged !== undefined) names.delete(damaged.place.name);
    names.add(name);
    this.#needsBarrier = true;
    this.#trusted.add(sha256);
    this.#added.add(sha256);
    this.#bytes += bytes.length;
  }

  /** Returns a content that has no file of its own; `undefined`: it has, or is nowhere. */
  async #readPacked(sha256: ContentHash, bytesMax: number): Promise<Uint8Array | undefined> {
    if (this.#find(sha256) !== undefined) return undefined;
    try {
      const packed = this.#packs.find(sha256);
      // guard: packed-size
      if ((packed?.size ?? 0) > bytesMax) throw new Error('it is longer than it can be');
      return await this.#packs.read(sha256);
    } catch (error) {
      // Its pack was written anew meanwhile.
      if (systemCode(error) === 'ENOENT') return this.#readPackedMeanwhile(sha256, error);
      throw damagedObject(sha256, error);
    }
  }

  /** Packing may have taken a file away since this call began. */
  async #readPackedMeanwhile(sha256: ContentHash, missing: unknown): Promise<Uint8Array> {
    this.#packs.forget();
    try {
      const packed = systemCode(missing) === 'ENOENT' ? await this.#packs.read(sha256) : undefined;
      if (packed !== undefined) return packed;
    } catch (error) {
      throw damagedObject(sha256, error);
    }
    throw damagedObject(sha256, missing);
  }

  #locate(sha256: ContentHash): StoredObject {
    const object = this.#find(sha256);
    // guard: object-missing
    if (object === undefined) throw damagedObject(sha256, new Error('it is missing'));
    if (canDecompress(object.encoding)) return object;
    throw new EngineError(
      'STORE_FORMAT_NEWER',
      `the object ${sha256} is compressed with ${object.encoding}, which this Node cannot read`,
      { hint: 'Use Node 22.15 or newer for this store.' },
    );
  }

  #find(sha256: ContentHash): StoredObject | undefined {
    const shard = sha256.slice(0, 2);
    const names = this.#namesIn(shard);
    for (const encoding of encodings) {
      const name = sha256.slice(2) + nameEndings[encoding];
      if (names.has(name)) return this.#toObject(shard, name);
    }
    return undefined;
  }

  #toObject(shard: string, name: string): StoredObject | undefined {
    const encoding = encodings.toReversed().find((one) => name.endsWith(nameEndings[one])) ?? 'raw';
    const ending = nameEndings[encoding];
    const sha256 = parseContentHash(shard + name.slice(0, name.length - ending.length));
    if (sha256 === undefined) return undefined;
    return { sha256, encoding, place: { directory: this.#shard(shard), name } };
  }

  #namesIn(shard: string): Set<string> {
    let names = this.#names.get(shard);
    if (names === undefined) {
      const isThere = this.#open() !== undefined && this.#hasShard(shard);
      const found = isThere ? this.#options.files.list(this.#shard(shard)) : [];
      names = new Set(found.map(({ name }) => name));
      this.#names.set(shard, names);
    }
    return names;
  }

  #hasShard(shard: string): boolean {
    const place = { directory: this.#directoryOrNew(), name: shard };
    return this.#shards.has(shard) || this.#options.files.stat(place) !== undefined;
  }

  #shard(shard: string, make = false): Directory {
    const known = this.#shards.get(shard);
    if (known !== undefined) return known;
    if (this.#shards.size >= openDirectoriesMax) this.#closeShards();
    const { files } = this.#options;
    const place: Place = { directory: this.#directoryOrNew(), name: shard };
    if (make && !this.#hasShard(shard)) this.#make(place);
    const opened = requireDirectory(files.openDirectory(place), `${objectsName}/${shard}`);
    this.#shards.set(shard, opened);
    return opened;
  }

  #open(): Directory | undefined {
    if (this.#directory !== undefined) return this.#directory;
    const { files, store } = this.#options;
    const opened = files.openDirectory({ directory: store, name: objectsName });
    if (opened === 'absent') return undefined;
    this.#directory = requireDirectory(opened, objectsName);
    return this.#directory;
  }

  #make(place: Place): void {
    try {
      this.#options.files.makeDirectory(place, 0o700);
    } catch (error) {
      // Another process was first.
      if (systemCode(error) !== 'EEXIST') throw fromSystemError(error, 'make', place.name);
    }
    this.give(place);
  }

  /** What root stores in a user's directory is the user's: it would lock the user out. */
  give(place: Place): void {
    const { files, store } = this.#options;
    if (files.processOwner()?.owner !== 0) return;
    const { owner, group } = files.statDirectory(store);
    if (owner !== 0) files.setOwner(place, owner, group);
  }

  /** Returns a place for what is being written. */
  newDraft(): Place {
    return {
      directory: this.#directoryOrNew(),
      name: `${unfinishedPrefix}${this.#options.newId()}`,
    };
  }

  #drop(draft: Place): void {
    try {
      this.#options.files.removeFile(draft);
    } catch (error) {
      // Never made; or the disk fails, and the next collection removes it.
      if (systemCode(error) === undefined) throw error;
    }
  }

  #closeShards(): void {
    for (const directory of this.#shards.values()) this.#options.files.closeDirectory(directory);
    this.#shards.clear();
  }
}

function requireDirectory(
  opened: ReturnType<FileSystem['openDirectory']>,
  name: string,
): Directory {
  // guard: objects-plain [if true]
  if (typeof opened !== 'string') return opened;
  throw new EngineError('STORE_UNSAFE', `.skillmeat/${name} is not a plain directory (${opened})`, {
    hint: 'Move it away: what lies there is not from this program.',
  });
}

async function readAll(files: FileSystem, file: OpenFile, size: number): Promise<Buffer> {
  if (size <= smallContentBytesMax) {
    const buffer = Buffer.allocUnsafe(size + 1);
    return buffer.subarray(0, files.readSync(file, buffer));
  }
  const pieces: Buffer[] = [];
  for await (const piece of chunksOf(files, file)) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}

async function* chunksOf(files: FileSystem, file: OpenFile): AsyncGenerator<Uint8Array, void> {
  for (;;) {
    const buffer = Buffer.allocUnsafe(chunkBytes);
    const count = await files.read(file, buffer);
    if (count === 0) return;
    yield buffer.subarray(0, count);
  }
}

async function* beginningWith(
  first: Uint8Array,
  rest: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void> {
  if (first.length > 0) yield first;
  yield* rest;
}

/** What a stream makes of pieces. Once it ends, in whatever way, nothing is read from these any more. */
async function* through(
  stream: Transform,
  pieces: AsyncGenerator<Uint8Array, void>,
): AsyncGenerator<Uint8Array, void> {
  const { pipeline } = await import('node:stream/promises');
  const feeding = pipeline(pieces, stream);
  feeding.catch(() => undefined);
  try {
    for await (const piece of stream) yield piece as Uint8Array;
    await feeding;
  } finally {
    // The pipeline ends before the read that it waits for. Who called closes the file next: that read would
    // go on in whatever has its descriptor by then, and take bytes from who reads that.
    // guard: stream-read-over
    await pieces.return();
  }
}

async function hashAll(
  files: FileSystem,
  file: OpenFile,
): Promise<{ readonly sha256: ContentHash; readonly size: number }> {
  const hasher = new ContentHasher();
  let size = 0;
  for await (const piece of chunksOf(files, file)) {
    hasher.update(piece);
    size += piece.length;
  }
  return { sha256: hasher.digest(), size };
}

function damagedObject(sha256: ContentHash, cause: unknown): unknown {
  if (cause instanceof EngineError) return cause;
  const code = systemCode(cause);
  // What concerns this process says nothing about the object.
  if (code === 'EMFILE' || code === 'ENFILE' || code === 'EACCES' || code === 'EPERM') {
    return fromSystemError(cause, 'read', `the object ${sha256}`);
  }
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new EngineError('HISTORY_DAMAGED', `the object ${sha256} is damaged: ${reason}`, {
    cause,
    hint: 'Restore other paths or another snapshot; a copy of .skillmeat/objects may have it.',
  });
}
