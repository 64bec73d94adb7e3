/**
 * The seam between the engine and the disk. Everything that the engine does to files goes through
 * {@link FileSystem}; `node-file-system.ts` is the real one, tests bring simulated ones.
 *
 * Names are always looked up in an open directory, never by a path from the root: whoever swaps
 * a directory for a link between our check and our act moves nothing of ours (I8).
 *
 * Failed calls throw the operating system's error (`code` is `ENOENT`, `EACCES`, …), unless a
 * method says otherwise.
 */

/** An open directory: names in it stay in it, whatever happens to its own name. */
export interface Directory {
  readonly device: bigint;
  readonly inode: bigint;
}

/** An open file. */
export interface OpenFile {
  readonly descriptor: number;
}

/** A name in an open directory. The name need not exist. */
export interface Place {
  readonly directory: Directory;
  readonly name: string;
}

export type EntryKind = 'file' | 'directory' | 'symlink' | 'special';

export interface Entry {
  readonly name: string;
  readonly kind: EntryKind;
}

/** What `lstat` says. */
export interface Stat {
  readonly kind: EntryKind;
  readonly device: bigint;
  readonly inode: bigint;
  /** Bytes. */
  readonly size: number;
  /** Permission bits, `0o0000`–`0o7777`. */
  readonly mode: number;
  readonly owner: number;
  readonly group: number;
  readonly links: number;
  /** Nanoseconds since 1970. */
  readonly modifiedNs: bigint;
  /** Nanoseconds since 1970 of the last change of content, mode, owner or name. Nobody can set it. */
  readonly changedNs: bigint;
  /** Nanoseconds since 1970; 0 where the file system does not know. */
  readonly bornNs: bigint;
}

/** Why a directory could not be opened below another one. */
export type NoDirectory = 'absent' | 'symlink' | 'file' | 'other-mount';

/** What the file system below a root can do; reported by `doctor`. */
export interface Capabilities {
  /** `linux`: system calls through FFI; `off`: plain Node. */
  readonly native: 'linux' | 'off';
  /** Why the native part is not used, when it is not. */
  readonly nativeReason: string | undefined;
  /** `atomic`: a reader never misses a replaced file; `emulated`: it may, for an instant. */
  readonly exchange: 'atomic' | 'emulated';
  /** `kept`: copied to what replaces a file; `unknown`: cannot be seen here, may be lost. */
  readonly extendedAttributes: 'kept' | 'unknown';
  readonly barrier: 'syncfs' | 'fsync';
}

/** A file system as `statfs` names it. */
export interface FileSystemType {
  readonly name: string;
  /**
   * `supported`: the promises hold. `volatile`: they hold but for power loss. `network`, `unknown`:
   * they do not, or nobody tried.
   */
  readonly support: 'supported' | 'volatile' | 'network' | 'unknown';
}

/** A pair for {@link FileSystem.keepExtendedAttributes}. */
export interface AttributePair {
  readonly from: Place;
  readonly to: Place;
}

export interface KeptAttributes {
  readonly pair: AttributePair;
  /** Name of the attribute that could not be copied. */
  readonly lost: string | undefined;
}

export interface FileSystem {
  readonly capabilities: Capabilities;

  // --- directories -------------------------------------------------------------------------
  /** Opens the directory at an absolute path, following links. */
  openRoot(path: string): Directory;
  /** Makes the directory at an absolute path, with its parents; one that is there is left alone. */
  makeRoot(path: string): void;
  /**
   * Opens a directory below another one, without following a link and on the same mount. The name
   * may be a path of several names.
   */
  openDirectory(place: Place): Directory | NoDirectory;
  /** The absolute path that `path` leads to when every link in it is followed. */
  resolveLinks(path: string): string;
  /** Never fails: nothing is lost by it. */
  closeDirectory(directory: Directory): void;
  list(directory: Directory): readonly Entry[];
  /** Tells whether a directory holds anything but `names`, reading no more of it than it must. */
  holdsOther(directory: Directory, names: ReadonlySet<string>): boolean;
  makeDirectory(place: Place, mode: number): void;
  removeDirectory(place: Place): void;

  // --- looking -----------------------------------------------------------------------------
  /** Returns `undefined` when there is nothing. */
  stat(place: Place): Stat | undefined;
  statFile(file: OpenFile): Stat;
  /** A fresh look at an open directory itself. */
  statDirectory(directory: Directory): Stat;
  readLink(place: Place): string;
  /**
   * Returns where something is mounted below an open directory, files too, relative to it. A bind
   * mount has the same device as what is around it.
   */
  mountsBelow(directory: Directory): readonly string[];
  /** Never blocks on a FIFO and never follows a link: the caller checks what it got. */
  openForReading(place: Place): OpenFile;
  /** Returns how many bytes it read, 0 at the end. */
  read(file: OpenFile, buffer: Uint8Array): Promise<number>;
  /** As {@link read}, on the caller's thread: for small contents. */
  readSync(file: OpenFile, buffer: Uint8Array): number;
  /** As {@link readSync}, from a position in the file. */
  readAt(file: OpenFile, buffer: Uint8Array, position: number): number;
  /** Makes the next read come from the disk, as far as this machine can be asked for that. */
  dropCached(file: OpenFile): void;
  /**
   * Tells whether any program has an open file open for writing, or mapped, so that it may still write
   * to it under whatever name; `undefined` where nobody can know. Of overlayfs it does not see mappings.
   */
  hasWriter(file: OpenFile): boolean | undefined;
  /** Closes a file that was read, or a record. Never fails. */
  closeFile(file: OpenFile): void;

  // --- making ------------------------------------------------------------------------------
  /** Creates a file that must not exist. */
  createFile(place: Place, mode: number): OpenFile;
  write(file: OpenFile, piece: Uint8Array): Promise<void>;
  writeSync(file: OpenFile, piece: Uint8Array): void;
  /** Closes a file that was written, not losing sight of what its write-back will say. */
  closeWritten(file: OpenFile): void;
  /**
   * Creates a file that must not exist and shares the blocks of an open one. Returns false, and
   * leaves nothing, where the file system cannot do that.
   */
  cloneFile(file: OpenFile, to: Place): boolean;
  makeLink(place: Place, target: string): void;
  removeFile(place: Place): void;
  setMode(place: Place, mode: number): void;
  /** Sets the mode of a file or directory that is still `expected` (by inode), else returns false. */
  setModeOf(place: Place, expected: Stat, mode: number): boolean;
  setOwner(place: Place, owner: number, group: number): void;
  /**
   * Copies the extended attributes (access control lists among them) of each `from` to its `to`.
   * Returns those that had any, whose mode may have changed by it; with the name of an attribute
   * that could not be copied.
   */
  keepExtendedAttributes(pairs: readonly AttributePair[]): Promise<readonly KeptAttributes[]>;

  /** Names of the extended attributes of a place; `undefined` where they cannot be seen. */
  attributeNames(place: Place): readonly string[] | undefined;

  // --- renaming ----------------------------------------------------------------------------
  /**
   * Switches what two names stand for. `ours` is a name in the engine's own directory, `theirs`
   * one that other programs use. Emulated with {@link displacedSuffix} where it has to be.
   */
  exchange(ours: Place, theirs: Place): void;
  /** Renames; throws `EEXIST` when `to` exists. */
  moveNew(from: Place, to: Place): void;
  /** Renames within the engine's own directory. */
  moveOwn(from: Place, to: Place): void;

  // --- durability --------------------------------------------------------------------------
  /**
   * Returns when everything that was done through this object is on disk: contents before the
   * directories that name them. After a failure nothing done since the last barrier may be trusted,
   * and a second try proves nothing (I10).
   *
   * @param bytes about how many bytes were written, to choose between a call on this thread, which
   * is faster, and one on another, which blocks nobody.
   */
  barrier(root: Directory, bytes: number): Promise<void>;
  /**
   * Makes the next barrier cover a place that another process, or an object before this one, may
   * have changed. Nothing to do where a barrier covers the whole file system.
   */
  mustReachDisk(place: Place): void;
  /** Lets go of everything that is open for the next barrier. */
  close(): void;

  // --- the machine -------------------------------------------------------------------------
  typeOf(directory: Directory): FileSystemType;
  /** Free bytes for this user. */
  freeBytes(directory: Directory): number;
  /**
   * Free bytes, where a write to a mapped file needs room although the file has its size already:
   * without room the kernel ends the process. `undefined` where that cannot happen.
   */
  roomForMapping(directory: Directory): number | undefined;
  /** Identifies this boot of this machine, or `undefined` where nothing does. */
  bootId(): string | undefined;
  /** Owner of what this process creates. */
  processOwner(): { readonly owner: number; readonly group: number } | undefined;
  /** Replaces the small text that `file` holds. */
  writeRecord(file: OpenFile, text: string): void;
  /**
   * Opens or creates a small text file of the engine's own, for reading and {@link writeRecord}. It
   * belongs to the owner of its directory, also when root makes it.
   */
  openRecord(place: Place): OpenFile;
  readRecord(file: OpenFile): string;
  /**
   * Writes over a file what it holds, and syncs it: a disk that failed to write it is asked once more,
   * which no sync does by itself. Does nothing where there is no file.
   */
  writeAnew(place: Place): void;
  /**
   * Tries to get the exclusive lock on an open record file; held until it is closed. Native only:
   * plain Node has no lock of its own, see `writer-lock.ts`.
   */
  tryLock(file: OpenFile): boolean;
  unlock(file: OpenFile): void;
  /** An absolute path that names `place` now, for SQLite and for people. */
  pathOf(place: Place): string;
}

/** An emulated exchange parks the displaced file under its own slot's name and this suffix. */
export const displacedSuffix = '.displaced';
