import fs from 'node:fs';
import path from 'node:path';
import {
  emulateExchange,
  emulateMoveNew,
  type PlainCalls,
} from '../../src/engine/emulated-exchange.js';
import type {
  Capabilities,
  Directory,
  Entry,
  FileSystem,
  FileSystemType,
  KeptAttributes,
  NoDirectory,
  OpenFile,
  Place,
  Stat,
} from '../../src/engine/file-system.js';
import { systemError } from '../support/faults.js';
import { type Inode, topInode } from './inodes.js';
import type { JournalDisk } from './journal-disk.js';
import type { Machine, Name } from './machine.js';

const device = 1n;
const user = 1_000;
const recordBytes = 512;
/** Names that SQLite uses; they lie in a real directory. */
const journalNames = ['journal.db', 'journal.db-wal', 'journal.db-shm'];
const firstJournalInode = 1_000_000n;

interface OpenState {
  readonly inode: number;
  position: number;
  /** Failed write-backs until it was opened; see `Machine.failureCount`. */
  readonly heardThrough: number;
}

/** The engine's seam over a simulated machine and a real SQLite journal. */
export class SimulatedFileSystem implements FileSystem {
  readonly #machine: Machine;
  readonly #journal: JournalDisk;
  readonly #isPlain: boolean;
  readonly #plainCalls: PlainCalls;
  readonly #open = new Map<number, OpenState>();
  #newestDescriptor = 2;
  /** Plain Node only: what the next barrier must sync; see `Unsynced`. */
  readonly #unsyncedFiles = new Map<number, OpenState['heardThrough']>();
  readonly #unsyncedDirectories = new Set<number>();
  /** Failed write-backs that an open directory has told of. */
  readonly #heardThrough = new WeakMap<Directory, number>();
  /** Asked before each change of names between the engine's directory and the root; may throw. */
  beforeSwitch: (place: Place) => void = () => undefined;

  constructor(machine: Machine, journal: JournalDisk) {
    this.#machine = machine;
    this.#journal = journal;
    this.#isPlain = machine.profile.calls === 'plain';
    this.#plainCalls = {
      stat: (place) => this.stat(place),
      rename: (from, to) => {
        machine.rename(nameOf(from), nameOf(to));
      },
      link: (from, to) => {
        machine.link(nameOf(from), nameOf(to));
      },
      unlink: (place) => {
        machine.removeFile(nameOf(place));
      },
      mustReachDisk: (place) => {
        this.mustReachDisk(place);
      },
    };
  }

  get capabilities(): Capabilities {
    return {
      // The lock is not what is tried here: it is always the simulated one.
      native: 'linux',
      nativeReason: undefined,
      exchange: this.#isPlain ? 'emulated' : 'atomic',
      extendedAttributes: 'kept',
      barrier: this.#isPlain ? 'fsync' : 'syncfs',
    };
  }

  // --- directories -------------------------------------------------------------------------

  openRoot(at: string): Directory {
    const top: Directory = { device, inode: BigInt(topInode) };
    const opened = this.openDirectory({ directory: top, name: at.slice(1) });
    if (typeof opened === 'string') throw systemError('ENOENT');
    return opened;
  }

  makeRoot(): void {
    // Every simulation begins with one.
  }

  openDirectory({ directory, name }: Place): Directory | NoDirectory {
    let inode = Number(directory.inode);
    for (const step of name.split('/')) {
      const found = this.#machine.find({ directory: inode, name: step });
      if (found === undefined) return 'absent';
      const { kind } = this.#machine.inode(found.inode);
      if (kind !== 'directory') return kind;
      ({ inode } = found);
    }
    const opened: Directory = { device, inode: BigInt(inode) };
    this.#heardThrough.set(opened, this.#machine.failureCount);
    return opened;
  }

  resolveLinks(at: string): string {
    return at;
  }

  closeDirectory(): void {
    // Inodes are never reused, so an open directory needs no place of its own.
  }

  list(directory: Directory): readonly Entry[] {
    const node = this.#machine.inode(Number(directory.inode));
    if (node.kind !== 'directory') throw systemError('ENOTDIR');
    return [...node.entries.values()].map(({ name, inode }) => ({
      name,
      kind: this.#machine.inode(inode).kind,
    }));
  }

  holdsOther(directory: Directory, names: ReadonlySet<string>): boolean {
    return this.list(directory).some(({ name }) => !names.has(name));
  }

  makeDirectory(place: Place, mode: number): void {
    this.#machine.makeDirectory(nameOf(place), mode);
    this.#changed(place.directory);
  }

  removeDirectory(place: Place): void {
    this.#machine.removeDirectory(nameOf(place));
    this.#changed(place.directory);
  }

  // --- looking -----------------------------------------------------------------------------

  stat(place: Place): Stat | undefined {
    if (journalNames.includes(place.name)) return this.#statJournal(place.name);
    const found = this.#machine.find(nameOf(place));
    return found === undefined ? undefined : this.#statOf(found.inode);
  }

  statFile(file: OpenFile): Stat {
    return this.#statOf(this.#state(file).inode);
  }

  statDirectory(directory: Directory): Stat {
    return this.#statOf(Number(directory.inode));
  }

  readLink(place: Place): string {
    const node = this.#nodeAt(place);
    if (node.kind !== 'symlink') throw systemError('EINVAL');
    return node.target;
  }

  openForReading(place: Place): OpenFile {
    const found = this.#machine.find(nameOf(place));
    if (found === undefined) throw systemError('ENOENT');
    if (this.#machine.inode(found.inode).kind === 'symlink') throw systemError('ELOOP');
    return this.#openInode(found.inode);
  }

  async read(file: OpenFile, buffer: Uint8Array): Promise<number> {
    return this.readSync(file, buffer);
  }

  readSync(file: OpenFile, buffer: Uint8Array): number {
    const state = this.#state(file);
    const { bytes } = this.#machine.file(state.inode);
    const count = bytes.copy(buffer, 0, state.position);
    state.position += count;
    return count;
  }

  readAt(file: OpenFile, buffer: Uint8Array, position: number): number {
    const { bytes } = this.#machine.file(this.#state(file).inode);
    return bytes.copy(buffer, 0, position);
  }

  dropCached(): void {
    // Its cache and its disk are told apart by the machine.
  }

  hasWriter(): undefined {
    return undefined;
  }

  closeFile(file: OpenFile): void {
    if (!this.#open.delete(file.descriptor)) throw systemError('EBADF');
  }

  // --- making ------------------------------------------------------------------------------

  createFile(place: Place, mode: number): OpenFile {
    const inode = this.#machine.makeFile(nameOf(place), mode);
    this.#changed(place.directory);
    return this.#openInode(inode);
  }

  async write(file: OpenFile, piece: Uint8Array): Promise<void> {
    this.writeSync(file, piece);
  }

  writeSync(file: OpenFile, piece: Uint8Array): void {
    const { inode } = this.#state(file);
    const { bytes } = this.#machine.file(inode);
    this.#machine.setBytes(inode, Buffer.concat([bytes, piece]));
  }

  closeWritten(file: OpenFile): void {
    // The descriptor that wrote it stays open for the barrier.
    const { inode, heardThrough } = this.#state(file);
    this.#unsyncedFiles.set(
      inode,
      Math.min(heardThrough, this.#unsyncedFiles.get(inode) ?? heardThrough),
    );
    this.closeFile(file);
  }

  cloneFile(): boolean {
    return false;
  }

  makeLink(place: Place, target: string): void {
    this.#machine.makeLink(nameOf(place), target);
    this.#changed(place.directory);
  }

  removeFile(place: Place): void {
    this.#machine.removeFile(nameOf(place));
    this.#changed(place.directory);
  }

  setMode(place: Place, mode: number): void {
    const found = this.#machine.find(nameOf(place));
    if (found === undefined) throw systemError('ENOENT');
    this.#machine.setMode(found.inode, mode);
    this.#touched(found.inode);
  }

  setModeOf(place: Place, expected: Stat, mode: number): boolean {
    const found = this.#machine.find(nameOf(place));
    if (found === undefined) throw systemError('ENOENT');
    if (BigInt(found.inode) !== expected.inode) return false;
    this.setMode(place, mode);
    return true;
  }

  setOwner(): void {
    throw new Error('everything in the simulation belongs to one user');
  }

  attributeNames(): readonly string[] {
    return [];
  }

  async keepExtendedAttributes(): Promise<readonly KeptAttributes[]> {
    return [];
  }

  // --- renaming ----------------------------------------------------------------------------

  exchange(ours: Place, theirs: Place): void {
    this.beforeSwitch(theirs);
    this.#changed(ours.directory);
    this.#changed(theirs.directory);
    if (this.#isPlain) emulateExchange(this.#plainCalls, ours, theirs);
    else this.#machine.exchange(nameOf(ours), nameOf(theirs));
  }

  moveNew(from: Place, to: Place): void {
    this.beforeSwitch(to);
    this.#changed(from.directory);
    this.#changed(to.directory);
    if (this.#isPlain) emulateMoveNew(this.#plainCalls, from, to);
    else this.#machine.renameNew(nameOf(from), nameOf(to));
  }

  moveOwn(from: Place, to: Place): void {
    this.#changed(from.directory);
    this.#changed(to.directory);
    this.#machine.rename(nameOf(from), nameOf(to));
  }

  // --- durability --------------------------------------------------------------------------

  async barrier(directory: Directory): Promise<void> {
    if (!this.#isPlain) {
      this.#machine.syncAll();
      this.#journal.syncAll();
      const failures = this.#machine.failureCount;
      const hears = failures > (this.#heardThrough.get(directory) ?? 0);
      this.#heardThrough.set(directory, failures);
      if (hears) throw systemError('EIO');
      return;
    }
    let hasFailed = false;
    for (const [inode, heardThrough] of this.#unsyncedFiles) {
      this.#machine.syncFile(inode);
      hasFailed ||= this.#machine.failureOf(inode) > heardThrough;
    }
    for (const inode of this.#unsyncedDirectories) this.#machine.syncDirectory(inode);
    this.close();
    if (hasFailed) throw systemError('EIO');
  }

  mustReachDisk(place: Place): void {
    this.#changed(place.directory);
    const found = this.#machine.find(nameOf(place));
    if (found !== undefined) this.#touched(found.inode);
  }

  close(): void {
    this.#unsyncedFiles.clear();
    this.#unsyncedDirectories.clear();
  }

  #changed(directory: Directory): void {
    this.#unsyncedDirectories.add(Number(directory.inode));
  }

  #touched(inode: number): void {
    if (this.#machine.inode(inode).kind === 'symlink' || this.#unsyncedFiles.has(inode)) return;
    this.#unsyncedFiles.set(inode, this.#machine.failureCount);
  }

  // --- the machine -------------------------------------------------------------------------

  typeOf(): FileSystemType {
    return { name: this.#machine.profile.name, support: 'supported' };
  }

  freeBytes(): number {
    return Number.MAX_SAFE_INTEGER;
  }

  roomForMapping(): undefined {
    return undefined;
  }

  mountsBelow(): readonly string[] {
    return [];
  }

  bootId(): string {
    return `boot ${String(this.#machine.boot)}`;
  }

  processOwner(): { readonly owner: number; readonly group: number } {
    return { owner: user, group: user };
  }

  openRecord(place: Place): OpenFile {
    const found = this.#machine.find(nameOf(place));
    return this.#openInode(found?.inode ?? this.#machine.makeFile(nameOf(place), 0o600));
  }

  writeRecord(file: OpenFile, text: string): void {
    const { inode } = this.#state(file);
    this.#machine.setBytes(inode, Buffer.from(text.padEnd(recordBytes)), 'write record');
  }

  readRecord(file: OpenFile): string {
    return this.#machine.file(this.#state(file).inode).bytes.toString('utf8');
  }

  writeAnew(): void {
    // Nothing else is ever written anew.
    this.#journal.writeLogAnew();
  }

  /** Writers of one process queue up before they ask, and nothing here has a second process. */
  tryLock(): boolean {
    return true;
  }

  unlock(): void {
    // See tryLock.
  }

  pathOf({ directory, name }: Place): string {
    if (journalNames.includes(name)) return path.join(path.dirname(this.#journal.path), name);
    const top = this.#pathOfDirectory(Number(directory.inode));
    return name === '.' ? top : path.posix.join(top, name);
  }

  // --- inside ------------------------------------------------------------------------------

  #pathOfDirectory(inode: number): string {
    if (inode === topInode) return '/';
    for (const [parent, node] of this.#machine.visible) {
      if (node.kind !== 'directory') continue;
      for (const entry of node.entries.values()) {
        if (entry.inode !== inode) continue;
        return path.posix.join(this.#pathOfDirectory(parent), entry.name);
      }
    }
    throw new Error(`inode ${String(inode)} has no path`);
  }

  #nodeAt(place: Place): Inode {
    const found = this.#machine.find(nameOf(place));
    if (found === undefined) throw systemError('ENOENT');
    return this.#machine.inode(found.inode);
  }

  #openInode(inode: number): OpenFile {
    this.#newestDescriptor += 1;
    this.#open.set(this.#newestDescriptor, {
      inode,
      position: 0,
      heardThrough: this.#machine.failureCount,
    });
    return { descriptor: this.#newestDescriptor };
  }

  #state({ descriptor }: OpenFile): OpenState {
    const state = this.#open.get(descriptor);
    if (state === undefined) throw systemError('EBADF');
    return state;
  }

  #statOf(inode: number): Stat {
    const node = this.#machine.inode(inode);
    return {
      kind: node.kind,
      device,
      inode: BigInt(inode),
      size: node.kind === 'file' ? node.bytes.length : 0,
      mode: node.kind === 'symlink' ? 0o777 : node.mode,
      owner: user,
      group: user,
      links: node.kind === 'directory' ? 2 : this.#machine.countLinks(inode),
      modifiedNs: node.kind === 'file' ? node.modifiedNs : 0n,
      changedNs: node.kind === 'file' ? node.modifiedNs : 0n,
      bornNs: 0n,
    };
  }

  #statJournal(name: string): Stat | undefined {
    const at = path.join(path.dirname(this.#journal.path), name);
    // The database itself is always there, and nobody asks for its size.
    if (at !== this.#journal.path && !fs.existsSync(at)) return undefined;
    const inode = firstJournalInode + BigInt(journalNames.indexOf(name));
    return {
      kind: 'file',
      device,
      inode,
      size: 0,
      mode: 0o600,
      owner: user,
      group: user,
      links: 1,
      modifiedNs: 0n,
      changedNs: 0n,
      bornNs: 0n,
    };
  }
}

function nameOf({ directory, name }: Place): Name {
  return { directory: Number(directory.inode), name };
}
