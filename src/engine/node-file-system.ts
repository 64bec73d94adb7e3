import fs from 'node:fs';
import { constants as osConstants } from 'node:os';
import { dirname, join } from 'node:path';
import { letGo, orLetGo } from './descriptor.js';
import { assert, systemCode } from './errors.js';
import {
  type AttributePair,
  type Capabilities,
  type Directory,
  type Entry,
  type EntryKind,
  type FileSystem,
  type FileSystemType,
  type KeptAttributes,
  type NoDirectory,
  type OpenFile,
  type Place,
  type Stat,
} from './file-system.js';
import {
  type AttributeCopy,
  copyAttributes,
  copyAttributesBySpawn,
  copyDirectoryAttributesBySpawn,
  hasAttributeCopier,
} from './extended-attributes.js';
import { emulateExchange, emulateMoveNew, type PlainCalls } from './emulated-exchange.js';
import { fileSystemTypeOf } from './file-system-types.js';
import { smallContentBytesMax } from './limits.js';
import { mountPointsBelow } from './mount-points.js';
import { loadNative, type Native } from './native.js';
import { Unsynced } from './unsynced.js';

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY } =
  fs.constants;
const isLinux = process.platform === 'linux';
const permissionBits = 0o7777;
const recordBytes = 1_024;
const pageBytes = 4_096;
const pieceBytes = 1_048_576;

/** An open directory. Looks at itself only when asked: most are only passed through. */
class NodeDirectory implements Directory {
  readonly descriptor: number;
  /** Prefix of the paths of everything inside. */
  readonly address: string;
  #stat: fs.BigIntStats | undefined;
  #mount: string | undefined;

  constructor(descriptor: number, address: string) {
    this.descriptor = descriptor;
    this.address = address;
  }

  get device(): bigint {
    return this.stat.dev;
  }

  get inode(): bigint {
    return this.stat.ino;
  }

  /** As it was when first asked. */
  get stat(): fs.BigIntStats {
    this.#stat ??=
      this.descriptor >= 0
        ? fs.fstatSync(this.descriptor, { bigint: true })
        : fs.statSync(this.address, { bigint: true });
    return this.#stat;
  }

  /** The mount's number: a bind mount has the same device and still refuses renames across it. */
  get mount(): string {
    if (!isLinux) return '';
    this.#mount ??=
      /^mnt_id:\s*(\d+)/m.exec(
        fs.readFileSync(`/proc/self/fdinfo/${String(this.descriptor)}`, 'latin1'),
      )?.[1] ?? '';
    return this.#mount;
  }
}

/** The real file system, through Node and, where it can be loaded, the native part. */
export class NodeFileSystem implements FileSystem {
  readonly #native: Native | undefined;
  readonly #nativeReason: string | undefined;
  #exchangeIsAtomic: boolean;
  #opensBeneath = true;
  #looksNatively: boolean;
  readonly #extendedAttributes: Capabilities['extendedAttributes'];
  /** Plain Node only: what the next barrier must sync. */
  readonly #unsynced = new Unsynced();

  constructor(options: { readonly native: 'auto' | 'off' }) {
    const loaded = options.native === 'off' ? 'switched off' : loadNative();
    this.#native = typeof loaded === 'string' ? undefined : loaded;
    this.#nativeReason = typeof loaded === 'string' ? loaded : undefined;
    this.#exchangeIsAtomic = this.#native !== undefined;
    this.#looksNatively = this.#native !== undefined;
    this.#extendedAttributes =
      this.#native !== undefined || hasAttributeCopier() ? 'kept' : 'unknown';
  }

  get capabilities(): Capabilities {
    return {
      native: this.#native === undefined ? 'off' : 'linux',
      nativeReason: this.#nativeReason,
      exchange: this.#exchangeIsAtomic ? 'atomic' : 'emulated',
      extendedAttributes: this.#extendedAttributes,
      barrier: this.#native === undefined ? 'fsync' : 'syncfs',
    };
  }

  // --- directories ---------------------------------------------------------------------------

  openRoot(path: string): Directory {
    const directory = openAt(fs.realpathSync(path));
    return orLetGo(directory.descriptor, () => {
      // guard: node-btrfs-whole-sync
      this.#unsynced.needsWholeSync ||= this.typeOf(directory).name === 'btrfs';
      return directory;
    });
  }

  makeRoot(path: string): void {
    // Not mkdir's own recursion: where nothing can be made, as in /proc, Node's never ends.
    const missing: string[] = [];
    for (let at = path; !fs.existsSync(at); at = dirname(at)) missing.unshift(at);
    for (const at of missing) {
      try {
        fs.mkdirSync(at);
      } catch (error) {
        // Another process wants the same directory, and was first.
        if (systemCode(error) !== 'EEXIST') throw error;
      }
    }
  }

  openDirectory(place: Place): Directory | NoDirectory {
    if (this.#native !== undefined && this.#opensBeneath) {
      const result = this.#native.openBeneath(inner(place.directory).descriptor, place.name);
      if (result >= 0) return openedDirectory(result);
      // ENOSYS, and EPERM from container sandboxes that do not know the call.
      if (result === -ENOSYS || result === -EPERM) this.#opensBeneath = false;
    }
    // Also where that failed: step by step it shows what is in the way.
    let parent = place.directory;
    for (const name of place.name.split('/')) {
      assert(name !== '' && name !== '.' && name !== '..', `a plain name, not "${name}"`);
      let opened;
      try {
        opened = this.#openChild({ directory: parent, name });
      } finally {
        if (parent !== place.directory) this.closeDirectory(parent);
      }
      if (typeof opened === 'string') return opened;
      parent = opened;
    }
    return parent;
  }

  #openChild(place: Place): NodeDirectory | NoDirectory {
    const parent = inner(place.directory);
    let opened: NodeDirectory;
    try {
      opened = openAt(pathIn(place), O_NOFOLLOW);
    } catch (error) {
      const code = systemCode(error);
      if (code === 'ENOENT') return 'absent';
      if (code !== 'ENOTDIR' && code !== 'ELOOP') throw error;
      const found = this.stat(place);
      if (found === undefined) return 'absent';
      return found.kind === 'symlink' ? 'symlink' : 'file';
    }
    const isSameMount = orLetGo(
      opened.descriptor,
      () => opened.device === parent.device && opened.mount === parent.mount,
    );
    if (isSameMount) return opened;
    this.closeDirectory(opened);
    return 'other-mount';
  }

  resolveLinks(path: string): string {
    return fs.realpathSync(path);
  }

  closeDirectory(directory: Directory): void {
    const { descriptor } = inner(directory);
    if (descriptor >= 0) letGo(descriptor);
  }

  list(directory: Directory): readonly Entry[] {
    return fs
      .readdirSync(inner(directory).address, { withFileTypes: true })
      .map((entry) => ({ name: entry.name, kind: kindOf(entry) }));
  }

  holdsOther(directory: Directory, names: ReadonlySet<string>): boolean {
    const opened = fs.opendirSync(inner(directory).address);
    try {
      for (let entry = opened.readSync(); entry !== null; entry = opened.readSync()) {
        if (!names.has(entry.name)) return true;
      }
      return false;
    } finally {
      opened.closeSync();
    }
  }

  makeDirectory(place: Place, mode: number): void {
    fs.mkdirSync(pathIn(place), { mode });
    // guard: node-names-of-make-directory
    this.#changed(place.directory);
  }

  removeDirectory(place: Place): void {
    fs.rmdirSync(pathIn(place));
    // guard: node-names-of-remove-directory
    this.#changed(place.directory);
  }

  // --- looking -------------------------------------------------------------------------------

  stat(place: Place): Stat | undefined {
    const looked = this.#lookNatively(inner(place.directory).descriptor, place.name);
    if (looked === ENOENT) return undefined;
    if (typeof looked === 'number') throw systemError(looked, 'statx', place.name);
    if (looked !== undefined) return looked;
    const found = fs.lstatSync(pathIn(place), { bigint: true, throwIfNoEntry: false });
    return found === undefined ? undefined : toStat(found);
  }

  statFile(file: OpenFile): Stat {
    const looked = this.#lookNatively(file.descriptor, '');
    if (typeof looked === 'number') throw systemError(looked, 'statx', 'an open file');
    if (looked !== undefined) return looked;
    return toStat(fs.fstatSync(file.descriptor, { bigint: true }));
  }

  /** `undefined`: Node has to do it. */
  #lookNatively(descriptor: number, name: string): Stat | number | undefined {
    if (!this.#looksNatively) return undefined;
    // The kernel would look elsewhere (I8).
    assert(!name.startsWith('/') && !name.includes('\0'), 'a name in a directory');
    const looked = this.#native?.stat(descriptor, name);
    // From kernels, container sandboxes and file systems that do not know the call.
    if (typeof looked !== 'number' || !unknownCall.has(looked)) return looked;
    this.#looksNatively = false;
    return undefined;
  }

  statDirectory(directory: Directory): Stat {
    const { descriptor, address } = inner(directory);
    const looked = this.#lookNatively(descriptor, '');
    if (typeof looked === 'number') throw systemError(looked, 'statx', 'an open directory');
    if (looked !== undefined) return looked;
    return toStat(
      descriptor >= 0
        ? fs.fstatSync(descriptor, { bigint: true })
        : fs.statSync(address, { bigint: true }),
    );
  }

  readLink(place: Place): string {
    return fs.readlinkSync(pathIn(place));
  }

  openForReading(place: Place): OpenFile {
    // O_NONBLOCK: opening a FIFO for reading would wait for a writer.
    return { descriptor: fs.openSync(pathIn(place), O_RDONLY | O_NOFOLLOW | O_NONBLOCK) };
  }

  read(file: OpenFile, buffer: Uint8Array): Promise<number> {
    return new Promise((resolve, reject) => {
      fs.read(file.descriptor, buffer, 0, buffer.length, null, (error, count) => {
        if (error === null) resolve(count);
        else reject(error);
      });
    });
  }

  readSync(file: OpenFile, buffer: Uint8Array): number {
    return fs.readSync(file.descriptor, buffer, 0, buffer.length, null);
  }

  readAt(file: OpenFile, buffer: Uint8Array, position: number): number {
    return fs.readSync(file.descriptor, buffer, 0, buffer.length, position);
  }

  dropCached(file: OpenFile): void {
    this.#native?.dropCached(file.descriptor);
  }

  hasWriter(file: OpenFile): boolean | undefined {
    return this.#native?.hasWriter(file.descriptor);
  }

  closeFile(file: OpenFile): void {
    letGo(file.descriptor);
  }

  // --- making --------------------------------------------------------------------------------

  createFile(place: Place, mode: number): OpenFile {
    const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
    const descriptor = fs.openSync(pathIn(place), flags, 0o600);
    return orLetGo(descriptor, () => {
      // The mode of open() is cut by the umask.
      if (mode !== 0o600) fs.fchmodSync(descriptor, mode);
      // guard: node-names-of-create-file
      this.#changed(place.directory);
      return { descriptor };
    });
  }

  async write(file: OpenFile, piece: Uint8Array): Promise<void> {
    for (let done = 0; done < piece.length; ) done += await writeOnce(file, piece, done);
  }

  writeSync(file: OpenFile, piece: Uint8Array): void {
    for (let done = 0; done < piece.length; ) {
      done += fs.writeSync(file.descriptor, piece, done, piece.length - done);
    }
  }

  closeWritten(file: OpenFile): void {
    // guard: node-content-of-write [this.#unsynced.addFile(file.descriptor) becomes fs.closeSync(file.descriptor)]
    if (this.#native === undefined) this.#unsynced.addFile(file.descriptor);
    else fs.closeSync(file.descriptor);
  }

  cloneFile(file: OpenFile, to: Place): boolean {
    if (!isLinux) return false;
    const from = `/proc/self/fd/${String(file.descriptor)}`;
    const { COPYFILE_EXCL, COPYFILE_FICLONE_FORCE } = fs.constants;
    try {
      fs.copyFileSync(from, pathIn(to), COPYFILE_EXCL | COPYFILE_FICLONE_FORCE);
    } catch (error) {
      if (cannotClone.has(systemCode(error) ?? '')) return false;
      throw error;
    }
    // guard: node-names-of-clone
    this.#changed(to.directory);
    // guard: node-content-of-clone
    this.#touched(to);
    return true;
  }

  makeLink(place: Place, target: string): void {
    fs.symlinkSync(target, pathIn(place));
    // guard: node-names-of-link
    this.#changed(place.directory);
  }

  removeFile(place: Place): void {
    fs.unlinkSync(pathIn(place));
    // guard: node-names-of-remove-file
    this.#changed(place.directory);
  }

  setMode(place: Place, mode: number): void {
    fs.chmodSync(pathIn(place), mode);
    // guard: node-mode
    this.#touched(place);
  }

  setModeOf(place: Place, expected: Stat, mode: number): boolean {
    const file = this.openForReading(place);
    try {
      const found = this.statFile(file);
      if (found.inode !== expected.inode || found.device !== expected.device) return false;
      fs.fchmodSync(file.descriptor, mode);
      // guard: node-mode-of
      this.#touched(place);
      return true;
    } finally {
      this.closeFile(file);
    }
  }

  setOwner(place: Place, owner: number, group: number): void {
    fs.lchownSync(pathIn(place), owner, group);
    // guard: node-owner
    this.#touched(place);
  }

  attributeNames(place: Place): readonly string[] | undefined {
    const names = this.#native?.listAttributes(pathIn(place));
    if (typeof names !== 'number') return names;
    const { ENOTSUP, EOPNOTSUPP } = osConstants.errno;
    return names === ENOTSUP || names === EOPNOTSUPP ? [] : undefined;
  }

  async keepExtendedAttributes(
    pairs: readonly AttributePair[],
  ): Promise<readonly KeptAttributes[]> {
    const native = this.#native;
    if (native !== undefined) {
      return pairs.flatMap((pair) => copyAttributes(native, toCopy(pair)) ?? []);
    }
    if (this.#extendedAttributes === 'unknown') return [];
    const isDirectory = ({ to }: AttributePair): boolean => this.stat(to)?.kind === 'directory';
    const files = pairs.filter((pair) => !isDirectory(pair));
    return [
      ...(await copyAttributesBySpawn(files.map(toCopy))),
      ...(await copyDirectoryAttributesBySpawn(pairs.filter(isDirectory).map(toCopy))),
    ];
  }

  // --- renaming ------------------------------------------------------------------------------

  exchange(ours: Place, theirs: Place): void {
    // guard: node-names-of-exchange-ours
    this.#changed(ours.directory);
    // guard: node-names-of-exchange-theirs
    this.#changed(theirs.directory);
    if (this.#native !== undefined && this.#exchangeIsAtomic) {
      const failure = this.#native.exchange(...renameArguments(ours, theirs));
      if (failure === 0) return;
      if (!notSupported.has(failure)) throw systemError(failure, 'exchange', theirs.name);
      this.#exchangeIsAtomic = false;
    }
    emulateExchange(plainCalls(this), ours, theirs);
  }

  moveNew(from: Place, to: Place): void {
    // The new name first: were the old one gone and the power with it, there would be neither.
    // guard: node-names-of-move-to
    this.#changed(to.directory);
    // guard: node-names-of-move-from
    this.#changed(from.directory);
    if (this.#native !== undefined) {
      const failure = this.#native.moveNew(...renameArguments(from, to));
      if (failure === 0) return;
      if (!notSupported.has(failure)) throw systemError(failure, 'rename', to.name);
    }
    emulateMoveNew(plainCalls(this), from, to);
  }

  moveOwn(from: Place, to: Place): void {
    // guard: node-names-of-own-move-from
    this.#changed(from.directory);
    // guard: node-names-of-own-move-to
    this.#changed(to.directory);
    fs.renameSync(pathIn(from), pathIn(to));
  }

  // --- durability ----------------------------------------------------------------------------

  async barrier(root: Directory, bytes: number): Promise<void> {
    if (this.#native === undefined) {
      // guard: node-plain-sync
      this.#unsynced.sync();
      // guard: node-plain-sync-failure
      this.#unsynced.throwFailure();
      return;
    }
    const { descriptor } = inner(root);
    // The journal's own sync blocks this thread as well, and for as long.
    // guard: node-native-sync-now [this.#native.syncFileSystemNow(descriptor) becomes 0]
    // guard: node-native-sync-thread [await this.#native.syncFileSystem(descriptor) becomes 0]
    const failure =
      bytes <= smallContentBytesMax
        ? this.#native.syncFileSystemNow(descriptor)
        : await this.#native.syncFileSystem(descriptor);
    // guard: node-native-sync-failure
    if (failure !== 0) throw systemError(failure, 'syncfs', 'the file system');
  }

  mustReachDisk(place: Place): void {
    // guard: node-names-of-covered
    this.#changed(place.directory);
    // guard: node-content-of-covered
    if (this.stat(place) !== undefined) this.#touched(place);
  }

  close(): void {
    this.#unsynced.close();
  }

  /** For the plain-Node barrier: what is done to names in `directory` must reach the disk. */
  #changed(directory: Directory): void {
    // guard: node-names
    if (this.#native === undefined) this.#unsynced.addDirectory(inner(directory));
  }

  /** For the plain-Node barrier: the mode or owner of a file or directory must reach the disk. */
  #touched(place: Place): void {
    // guard: node-content
    if (this.#native === undefined) this.#unsynced.addPath(pathIn(place));
  }

  // --- the machine ---------------------------------------------------------------------------

  typeOf(directory: Directory): FileSystemType {
    if (!isLinux) return { name: process.platform, support: 'unknown' };
    const node = inner(directory);
    const magic = fs.statfsSync(node.address).type >>> 0;
    const known = fileSystemTypeOf(magic);
    if (known.name === 'overlay' && isVolatileMount(node.mount)) {
      return { name: 'overlay (volatile)', support: 'unknown' };
    }
    return known;
  }

  mountsBelow(directory: Directory): readonly string[] {
    if (!isLinux) return [];
    const mountInfo = fs.readFileSync('/proc/self/mountinfo', 'utf8');
    return mountPointsBelow(mountInfo, this.pathOf({ directory, name: '.' }));
  }

  freeBytes(directory: Directory): number {
    const found = fs.statfsSync(inner(directory).address);
    return found.bavail * found.bsize;
  }

  roomForMapping(directory: Directory): number | undefined {
    if (!isLinux) return undefined;
    const { bsize } = fs.statfsSync(inner(directory).address);
    const isCopied = this.typeOf(directory).name === 'btrfs';
    return isCopied || bsize < pageBytes ? this.freeBytes(directory) : undefined;
  }

  bootId(): string | undefined {
    if (!isLinux) return undefined;
    return fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  }

  processOwner(): { readonly owner: number; readonly group: number } | undefined {
    if (process.geteuid === undefined || process.getegid === undefined) return undefined;
    return { owner: process.geteuid(), group: process.getegid() };
  }

  openRecord(place: Place): OpenFile {
    const descriptor = fs.openSync(pathIn(place), O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
    return orLetGo(descriptor, () => {
      if (this.processOwner()?.owner !== 0) return { descriptor };
      const { uid, gid } = inner(place.directory).stat;
      if (fs.fstatSync(descriptor).uid !== Number(uid)) {
        fs.fchownSync(descriptor, Number(uid), Number(gid));
      }
      return { descriptor };
    });
  }

  writeRecord(file: OpenFile, text: string): void {
    const record = Buffer.alloc(recordBytes, ' ');
    const length = record.write(text, 0, recordBytes - 1, 'utf8');
    assert(length === Buffer.byteLength(text), `a record longer than ${String(recordBytes)} bytes`);
    record.write('\n', recordBytes - 1);
    // One call: another process reads the old record or the new one.
    const written = fs.writeSync(file.descriptor, record, 0, recordBytes, 0);
    if (written === recordBytes) return;
    throw systemError(osConstants.errno.EIO, 'write', 'the whole record');
  }

  readRecord(file: OpenFile): string {
    const record = Buffer.alloc(recordBytes);
    return record.toString('utf8', 0, fs.readSync(file.descriptor, record, 0, recordBytes, 0));
  }

  writeAnew(place: Place): void {
    if (this.stat(place)?.kind !== 'file') return;
    const descriptor = fs.openSync(pathIn(place), O_RDWR | O_NOFOLLOW);
    try {
      const piece = Buffer.allocUnsafe(pieceBytes);
      for (let at = 0, size = 1; size > 0; at += size) {
        size = fs.readSync(descriptor, piece, 0, pieceBytes, at);
        for (let done = 0; done < size; ) {
          done += fs.writeSync(descriptor, piece, done, size - done, at + done);
        }
      }
      // guard: write-anew-sync
      fs.fsyncSync(descriptor);
    } finally {
      letGo(descriptor);
    }
  }

  tryLock(file: OpenFile): boolean {
    assert(this.#native !== undefined, 'plain Node locks through SQLite');
    const failure = this.#native.lock(file.descriptor);
    if (failure === 0) return true;
    const { EACCES, EAGAIN } = osConstants.errno;
    if (failure === EAGAIN || failure === EACCES) return false;
    throw systemError(failure, 'lock', 'the lock file');
  }

  unlock(file: OpenFile): void {
    this.#native?.unlock(file.descriptor);
  }

  pathOf(place: Place): string {
    const { address } = inner(place.directory);
    return join(isLinux ? fs.readlinkSync(address.slice(0, -1)) : address, place.name);
  }
}

function inner(directory: Directory): NodeDirectory {
  return directory as NodeDirectory;
}

function plainCalls(files: NodeFileSystem): PlainCalls {
  return {
    stat: (place) => files.stat(place),
    rename: (from, to) => {
      fs.renameSync(pathIn(from), pathIn(to));
    },
    link: (from, to) => {
      fs.linkSync(pathIn(from), pathIn(to));
    },
    unlink: (place) => {
      fs.unlinkSync(pathIn(place));
    },
    mustReachDisk: (place) => {
      // guard: node-emulated-cover
      files.mustReachDisk(place);
    },
  };
}

function pathIn(place: Place): string {
  return inner(place.directory).address + place.name;
}

function toCopy(pair: AttributePair): AttributeCopy {
  return { pair, from: pathIn(pair.from), to: pathIn(pair.to) };
}

function openAt(path: string, extraFlags = 0): NodeDirectory {
  if (!isLinux) return openByPath(path, extraFlags);
  return openedDirectory(fs.openSync(path, O_RDONLY | O_DIRECTORY | extraFlags));
}

/** The kernel looks names up in the open directory itself, not in what its path names by now. */
function openedDirectory(descriptor: number): NodeDirectory {
  return new NodeDirectory(descriptor, `/proc/self/fd/${String(descriptor)}/`);
}

/** Where no path names an open directory: weaker against somebody who swaps directories for links. */
function openByPath(path: string, extraFlags: number): NodeDirectory {
  const noFollow = (extraFlags & O_NOFOLLOW) !== 0;
  const found = noFollow ? fs.lstatSync(path) : fs.statSync(path);
  if (!found.isDirectory()) throw systemError(osConstants.errno.ENOTDIR, 'open', path);
  const descriptor = process.platform === 'win32' ? -1 : fs.openSync(path, O_RDONLY);
  return new NodeDirectory(descriptor, join(path, '/'));
}

function isVolatileMount(mount: string): boolean {
  const line = fs
    .readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .find((candidate) => candidate.startsWith(`${mount} `));
  return line !== undefined && /[ ,]volatile(?:,|$)/.test(line);
}

function writeOnce(file: OpenFile, piece: Uint8Array, from: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.write(file.descriptor, piece, from, piece.length - from, null, (error, count) => {
      if (error === null) resolve(count);
      else reject(error);
    });
  });
}

function kindOf(entry: {
  isFile(): boolean;
  isDirectory(): boolean;
  isSymbolicLink(): boolean;
}): EntryKind {
  if (entry.isFile()) return 'file';
  if (entry.isDirectory()) return 'directory';
  return entry.isSymbolicLink() ? 'symlink' : 'special';
}

function toStat(found: fs.BigIntStats): Stat {
  return {
    kind: kindOf(found),
    device: found.dev,
    inode: found.ino,
    size: Number(found.size),
    mode: Number(found.mode) & permissionBits,
    owner: Number(found.uid),
    group: Number(found.gid),
    links: Number(found.nlink),
    modifiedNs: found.mtimeNs,
    changedNs: found.ctimeNs,
    bornNs: found.birthtimeNs,
  };
}

// --- native calls ------------------------------------------------------------------------------

const { EINVAL, ENOENT, ENOSYS, ENOTSUP, EOPNOTSUPP, EPERM } = osConstants.errno;
/** What is answered where `statx` is not known; see libuv, which asks otherwise then as well. */
const unknownCall = new Set([EINVAL, ENOSYS, EOPNOTSUPP, EPERM]);
/** What a file system answers that does not know a flag of `renameat2`. */
const notSupported = new Set([EINVAL, ENOSYS, ENOTSUP, EOPNOTSUPP]);

/** What a file system answers whose files cannot share blocks, or not these two. */
const cannotClone: ReadonlySet<string> = new Set([
  'EINVAL',
  'ENOSYS',
  'ENOTSUP',
  'ENOTTY',
  'EOPNOTSUPP',
  'EXDEV',
]);

const errorNames = new Map(
  Object.entries(osConstants.errno).map(([name, number]) => [number, name]),
);

function systemError(number: number, call: string, name: string): Error {
  const code = errorNames.get(number) ?? `errno ${String(number)}`;
  return Object.assign(new Error(`${code}: ${call} '${name}'`), { code, errno: -number });
}

function renameArguments(from: Place, to: Place): [number, string, number, string] {
  return [inner(from.directory).descriptor, from.name, inner(to.directory).descriptor, to.name];
}
