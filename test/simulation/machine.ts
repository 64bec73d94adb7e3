import { systemError } from '../support/faults.js';
import {
  applyChange,
  type Change,
  type DirectoryInode,
  type Disk,
  type EntryEdit,
  type FileInode,
  type Inode,
  type NamedInode,
} from './inodes.js';
import { type DurableAndPending, PendingChanges } from './pending-changes.js';
import type { Profile } from './profiles.js';

/** A name in a directory, by inode. */
export interface Name {
  readonly directory: number;
  readonly name: string;
}

const clockStartNs = 1_700_000_000_000_000_000n;
const stepNs = 1_000_000n;
/** Times are as coarse as the kernel's tick. */
const tickNs = 4_000_000n;

/**
 * The kernel of the simulation: what every program sees of the disk, and what would be left of it
 * after a crash. The engine and the other programs act through it.
 */
export class Machine {
  readonly profile: Profile;
  /** Counts the boots of this machine. */
  readonly boot: number;
  /** Called after everything that changes the disk or makes a change durable. */
  onStep: (call: string) => void = () => undefined;
  /** Inodes that other programs hold open. */
  readonly held = new Set<number>();
  readonly #visible: Map<number, Inode>;
  readonly #pending: PendingChanges;
  /** Called before every sync. */
  beforeSync: () => void = () => undefined;
  #failureCount = 0;
  /** The newest failed write-back of each inode. */
  readonly #failureOf = new Map<number, number>();
  #clockNs: bigint;
  #newestInode: number;

  constructor(profile: Profile, disk: Disk, boot: number) {
    this.profile = profile;
    this.boot = boot;
    this.#visible = new Map(disk);
    this.#pending = new PendingChanges(profile, disk);
    this.#clockNs = clockStartNs + BigInt(boot) * 3_600_000_000_000n;
    this.#newestInode = Math.max(...disk.keys());
  }

  /** What every program sees. */
  get visible(): Disk {
    return this.#visible;
  }

  afterCrash(): DurableAndPending {
    return this.#pending.snapshot();
  }

  now(): number {
    return Number(this.#clockNs / 1_000_000n);
  }

  // --- looking -----------------------------------------------------------------------------

  find({ directory, name }: Name): NamedInode | undefined {
    return this.#entries(directory).get(this.#key(name));
  }

  inode(number: number): Inode {
    const node = this.#visible.get(number);
    if (node === undefined) throw new Error(`inode ${String(number)} was never made`);
    return node;
  }

  file(number: number): FileInode {
    const node = this.inode(number);
    if (node.kind !== 'file') throw systemError(node.kind === 'symlink' ? 'ELOOP' : 'EISDIR');
    return node;
  }

  countLinks(inode: number): number {
    let count = 0;
    for (const node of this.#visible.values()) {
      if (node.kind !== 'directory') continue;
      for (const entry of node.entries.values()) if (entry.inode === inode) count += 1;
    }
    return count;
  }

  // --- making and removing -----------------------------------------------------------------

  makeFile(at: Name, mode: number): number {
    const modifiedNs = this.#tick();
    return this.#make(at, { kind: 'file', bytes: Buffer.alloc(0), mode, modifiedNs });
  }

  makeDirectory(at: Name, mode: number): number {
    return this.#make(at, { kind: 'directory', mode, entries: new Map() });
  }

  makeLink(at: Name, target: string): number {
    return this.#make(at, { kind: 'symlink', target });
  }

  removeFile(at: Name): void {
    const { inode } = this.#require(at);
    if (this.inode(inode).kind === 'directory') throw systemError('EISDIR');
    this.#change({ kind: 'names', edits: [this.#edit(at, undefined)] }, 'unlink');
  }

  removeDirectory(at: Name): void {
    const { inode } = this.#require(at);
    if (this.#entries(inode).size > 0) throw systemError('ENOTEMPTY');
    this.#change({ kind: 'names', edits: [this.#edit(at, undefined)] }, 'rmdir');
  }

  link(from: Name, to: Name): void {
    const { inode } = this.#require(from);
    this.#requireFree(to);
    this.#change({ kind: 'names', edits: [this.#edit(to, inode)] }, 'link');
  }

  // --- renaming ----------------------------------------------------------------------------

  /** Replaces what is at `to`, as `rename` does. */
  rename(from: Name, to: Name): void {
    const { inode } = this.#require(from);
    const replaced = this.find(to);
    this.#refuseBusy(inode, replaced?.inode);
    // Two names of one inode: POSIX wants nothing to happen.
    if (replaced?.inode === inode && !this.#isSameKey(from, to)) return;
    if (replaced !== undefined && replaced.inode !== inode) {
      const node = this.inode(replaced.inode);
      const isDirectory = this.inode(inode).kind === 'directory';
      if (isDirectory !== (node.kind === 'directory')) {
        throw systemError(isDirectory ? 'ENOTDIR' : 'EISDIR');
      }
      if (node.kind === 'directory' && node.entries.size > 0) throw systemError('ENOTEMPTY');
    }
    const edits = this.#isSameKey(from, to)
      ? [this.#edit(to, inode)]
      : [this.#edit(from, undefined), this.#edit(to, inode)];
    const replacesBy = replaced === undefined ? undefined : inode;
    this.#change({ kind: 'names', edits, replacesBy }, 'rename');
  }

  /** `RENAME_NOREPLACE`. */
  renameNew(from: Name, to: Name): void {
    this.#require(from);
    if (!this.#isSameKey(from, to)) this.#requireFree(to);
    this.rename(from, to);
  }

  /** `RENAME_EXCHANGE`. */
  exchange(one: Name, other: Name): void {
    const { inode: first } = this.#require(one);
    const { inode: second } = this.#require(other);
    this.#refuseBusy(first, second);
    const edits = [this.#edit(one, second), this.#edit(other, first)];
    this.#change({ kind: 'names', edits }, 'exchange');
  }

  // --- contents ----------------------------------------------------------------------------

  setBytes(inode: number, bytes: Buffer, call = 'write'): void {
    this.#change({ kind: 'data', inode, bytes, modifiedNs: this.#tick() }, call);
  }

  setMode(inode: number, mode: number): void {
    this.#change({ kind: 'mode', inode, mode }, 'chmod');
  }

  // --- durability --------------------------------------------------------------------------

  /**
   * How many write-backs have failed. A descriptor hears once of those since it was opened, and never
   * of those before: its inode may have been evicted in between.
   */
  get failureCount(): number {
    return this.#failureCount;
  }

  failureOf(inode: number): number {
    return this.#failureOf.get(inode) ?? 0;
  }

  /** The disk takes none of the data that is on its way. */
  failWriteBack(): void {
    this.#failureCount += 1;
    for (const inode of this.#pending.loseData()) this.#failureOf.set(inode, this.#failureCount);
  }

  syncAll(): void {
    this.beforeSync();
    this.#pending.syncAll();
    this.onStep('syncfs');
  }

  syncFile(inode: number): void {
    this.beforeSync();
    this.#pending.syncFile(inode);
    this.onStep('fsync');
  }

  syncDirectory(inode: number): void {
    this.beforeSync();
    this.#pending.syncDirectory(inode);
    this.onStep('fsync directory');
  }

  /** The journal was synced. That it takes the log along matters only where nothing else could. */
  noteJournalSync(): void {
    if (!this.profile.syncsDirectories) this.#pending.syncLog();
  }

  // --- inside ------------------------------------------------------------------------------

  #change(change: Change, call: string): void {
    this.#clockNs += stepNs;
    applyChange(this.#visible, change);
    this.#pending.add(change);
    this.onStep(call);
  }

  #make(at: Name, node: Inode): number {
    this.#requireFree(at);
    this.#newestInode += 1;
    const inode = this.#newestInode;
    const edits = [this.#edit(at, inode)];
    this.#change({ kind: 'names', edits, made: { inode, node } }, `make ${node.kind}`);
    return inode;
  }

  #tick(): bigint {
    return (this.#clockNs / tickNs) * tickNs;
  }

  #entries(directory: number): DirectoryInode['entries'] {
    const node = this.inode(directory);
    if (node.kind !== 'directory') throw systemError('ENOTDIR');
    return node.entries;
  }

  #require(at: Name): NamedInode {
    const found = this.find(at);
    if (found === undefined) throw systemError('ENOENT');
    return found;
  }

  #requireFree(at: Name): void {
    if (this.find(at) !== undefined) throw systemError('EEXIST');
  }

  /** EPERM, as Windows says it: the engine's retries for Windows would only make tests wait. */
  #refuseBusy(...inodes: readonly (number | undefined)[]): void {
    if (!this.profile.hasBusyFiles) return;
    if (inodes.some((inode) => inode !== undefined && this.held.has(inode))) {
      throw systemError('EPERM');
    }
  }

  #edit({ directory, name }: Name, inode: number | undefined): EntryEdit {
    const to = inode === undefined ? undefined : { name, inode };
    const from = this.find({ directory, name })?.inode;
    return { directory, key: this.#key(name), from, to };
  }

  #isSameKey(one: Name, other: Name): boolean {
    return one.directory === other.directory && this.#key(one.name) === this.#key(other.name);
  }

  #key(name: string): string {
    return this.profile.foldsNames ? name.toLowerCase() : name;
  }
}
