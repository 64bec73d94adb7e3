import { applyChange, type Change, type Disk, type Inode } from './inodes.js';
import type { Profile } from './profiles.js';

/** A change that is not known to be on disk. */
export interface PendingChange {
  readonly change: Change;
  /** Earlier changes that cannot be missing when this one is there. */
  readonly needs: readonly PendingChange[];
}

/** What of a disk is durable, and what is on its way. Immutable. */
export interface DurableAndPending {
  readonly durable: Disk;
  readonly pending: readonly PendingChange[];
}

/** Keeps what a crash would leave, apart from what everybody sees. */
export class PendingChanges {
  readonly #profile: Profile;
  #durable: Disk;
  #pending: readonly PendingChange[] = [];
  /** The newest pending change of an entry, an inode's data, or an inode's mode. */
  readonly #newest = new Map<string, PendingChange>();

  constructor(profile: Profile, durable: Disk) {
    this.#profile = profile;
    this.#durable = durable;
  }

  snapshot(): DurableAndPending {
    return { durable: this.#durable, pending: this.#pending };
  }

  add(change: Change): void {
    const keys = keysOf(change);
    const needs = [...keys, ...neededKeysOf(change)].flatMap((key) => this.#newest.get(key) ?? []);
    const pending: PendingChange = { change, needs };
    for (const key of keys) this.#newest.set(key, pending);
    this.#pending = [...this.#pending, pending];
  }

  /**
   * Forgets the data that is on its way, as a kernel does whose disk did not take it: the pages count
   * as written, and no later sync writes them. @returns the inodes that it was of.
   */
  loseData(): ReadonlySet<number> {
    const inodes = new Set<number>();
    this.#pending = this.#pending.filter(({ change }) => {
      if (change.kind === 'data') inodes.add(change.inode);
      return change.kind !== 'data';
    });
    for (const inode of inodes) this.#newest.delete(`data ${String(inode)}`);
    return inodes;
  }

  /** syncfs. */
  syncAll(): void {
    this.#makeDurable(new Set(this.#pending));
  }

  /** fsync of a file: its data and mode, and more where one sync writes the whole log. */
  syncFile(inode: number): void {
    this.#sync(({ change }) => change.kind !== 'names' && change.inode === inode);
  }

  /** fsync of a directory: the names in it. */
  syncDirectory(inode: number): void {
    if (!this.#profile.syncsDirectories) return;
    this.#sync(({ change }) =>
      change.kind === 'names'
        ? change.edits.some(({ directory }) => directory === inode)
        : change.kind === 'mode' && change.inode === inode,
    );
  }

  /** A sync of a file that is not on this disk, but in its log. */
  syncLog(): void {
    this.#sync(() => false);
  }

  #sync(isMeant: (pending: PendingChange) => boolean): void {
    const isLogged = ({ change }: PendingChange): boolean =>
      this.#profile.syncForcesLog && change.kind !== 'data';
    this.#makeDurable(
      withNeeds(this.#pending.filter((pending) => isMeant(pending) || isLogged(pending))),
    );
  }

  #makeDurable(chosen: ReadonlySet<PendingChange>): void {
    const disk: Map<number, Inode> = new Map(this.#durable);
    // Whatever is chosen has all that it needs with it, so it commutes with the rest.
    for (const pending of this.#pending) if (chosen.has(pending)) applyChange(disk, pending.change);
    this.#durable = disk;
    this.#pending = this.#pending.filter((pending) => !chosen.has(pending));
    for (const [key, pending] of this.#newest) if (chosen.has(pending)) this.#newest.delete(key);
  }
}

/** The changes with everything that they need. */
export function withNeeds(changes: Iterable<PendingChange>): ReadonlySet<PendingChange> {
  const all = new Set<PendingChange>();
  const add = (pending: PendingChange): void => {
    if (all.has(pending)) return;
    all.add(pending);
    for (const needed of pending.needs) add(needed);
  };
  for (const pending of changes) add(pending);
  return all;
}

function keysOf(change: Change): readonly string[] {
  if (change.kind !== 'names') return [`${change.kind} ${String(change.inode)}`];
  const entries = change.edits.flatMap(({ directory, key, from, to }) => [
    `entry ${String(directory)} ${key}`,
    // An assumption: the names of one inode change in order, or a link in the place of a rename
    // (emulated-exchange.ts) could lose the file.
    ...[from, to?.inode].flatMap((inode) =>
      inode === undefined ? [] : `names of ${String(inode)}`,
    ),
  ]);
  return change.made === undefined ? entries : [...entries, `made ${String(change.made.inode)}`];
}

/** An inode must have been made before anything can be said of it. */
function neededKeysOf(change: Change): readonly string[] {
  const inodes =
    change.kind === 'names' ? change.edits.map(({ directory }) => directory) : [change.inode];
  return inodes.map((inode) => `made ${String(inode)}`);
}
