import { EngineError, fromSystemError, isEngineError, systemCode } from './errors.js';
import type { Directory, FileSystem, FileSystemType, Place, Stat } from './file-system.js';
import { Journal } from './journal.js';
import { logIndexRoomBytes } from './limits.js';
import { engineDirectoryName, foldSegment, quote } from './path.js';
import { readOwner } from './writer-lock.js';

export const journalName = 'journal.db';
/** SQLite's write-ahead log. */
export const journalLogName = 'journal.db-wal';
const privateMode = 0o700;
const writableByOthers = 0o022;

/** The open directories of a store, checked. */
export interface StoreDirectory {
  readonly files: FileSystem;
  /** Absolute, links resolved. */
  readonly rootPath: string;
  /** Absolute path of `<root>/.skillmeat`. */
  readonly storePath: string;
  readonly root: Directory;
  /** `<root>/.skillmeat` */
  readonly store: Directory;
  readonly stage: Directory;
  readonly quarantine: Directory;
  readonly fileSystemType: FileSystemType;
  /** Whether the file system takes `Foo` and `foo` for one name. */
  readonly foldsNames: boolean;
}

export interface OpenStoreDirectoryOptions {
  readonly files: FileSystem;
  readonly rootPath: string;
  readonly acceptsFileSystem: boolean;
  /**
   * For who builds the journal anew: it need not be there, and what else is missing is made. Called
   * with the name of each directory that was.
   */
  readonly onMissing?: (name: string) => void;
}

/**
 * Opens and checks the directories of a store that was made before.
 *
 * @throws {EngineError} `STORE_NOT_FOUND`, `STORE_UNSAFE`, `FILE_SYSTEM_UNSUPPORTED`,
 * `JOURNAL_DAMAGED`, `JOURNAL_FOREIGN`.
 */
export function openStoreDirectory(options: OpenStoreDirectoryOptions): StoreDirectory {
  const { files } = options;
  const root = openRoot(options);
  const opened: Directory[] = [root];
  try {
    const fileSystemType = requireFileSystem(options, root);
    const store = openOwn(files, { directory: root, name: engineDirectoryName }, options.rootPath);
    opened.push(store);
    requirePrivate(files, root, store);
    if (options.onMissing !== undefined) {
      requirePlainJournal(files, store);
      for (const name of ['stage', 'quarantine']) {
        const place: Place = { directory: store, name };
        if (files.stat(place) !== undefined) continue;
        ensureDirectory(files, place);
        options.onMissing(name);
      }
    } else requireJournal(files, store, options.rootPath);
    const stage = openOwn(files, { directory: store, name: 'stage' }, options.rootPath);
    opened.push(stage);
    const quarantine = openOwn(files, { directory: store, name: 'quarantine' }, options.rootPath);
    opened.push(quarantine);
    const foldsNames = foldsCase(files, root);
    const rootPath = files.pathOf({ directory: root, name: '.' });
    const storePath = files.pathOf({ directory: root, name: engineDirectoryName });
    return {
      files,
      rootPath,
      storePath,
      root,
      store,
      stage,
      quarantine,
      fileSystemType,
      foldsNames,
    };
  } catch (error) {
    for (const directory of opened) files.closeDirectory(directory);
    throw error;
  }
}

export function closeStoreDirectory({
  files,
  root,
  store,
  stage,
  quarantine,
}: StoreDirectory): void {
  for (const directory of [quarantine, stage, store, root]) files.closeDirectory(directory);
}

/** Gives the owner all rights to a directory of the engine's own; `.` is `.skillmeat` itself. */
export function makeWritable({ files, root, store }: StoreDirectory, name: string): void {
  const isOwn = name === '.';
  const place = isOwn ? { directory: root, name: engineDirectoryName } : { directory: store, name };
  const stat = files.stat(place);
  if (stat?.kind === 'directory') files.setModeOf(place, stat, stat.mode | privateMode);
}

/**
 * SQLite maps the index of its log. On some file systems a page of it that finds no room on the disk
 * ends the process (`SIGBUS`): see docs/design.md, "Bus errors".
 *
 * @throws {EngineError} `DISK_FULL`.
 */
export function requireRoomForIndex({
  files,
  rootPath,
  root,
}: Pick<StoreDirectory, 'files' | 'rootPath' | 'root'>): void {
  const free = files.roomForMapping(root);
  if (free !== undefined && free < logIndexRoomBytes) throw tooFullToOpen(rootPath, free);
}

function tooFullToOpen(rootPath: string, free: number): EngineError {
  return new EngineError(
    'DISK_FULL',
    `the disk of ${rootPath} has ${String(Math.floor(free / 1_024))} KiB left, and opening the journal needs ${String(logIndexRoomBytes / 1_024)}`,
    { path: rootPath, hint: 'Free some space on this file system and try again.' },
  );
}

/** SQLite says only that it cannot open the journal: even to read it, it makes files beside it. */
export function explainUnopened(
  error: unknown,
  { files, root, store, rootPath }: StoreDirectory,
): unknown {
  if (!isEngineError(error, 'PERMISSION_DENIED')) return error;
  try {
    const free = files.freeBytes(root);
    if (free < logIndexRoomBytes) return tooFullToOpen(rootPath, free);
    files.closeFile(files.openRecord({ directory: store, name: 'owner' }));
  } catch (cause) {
    if (systemCode(cause) !== 'EROFS') return error;
    return new EngineError('READ_ONLY', `${rootPath} is mounted read-only: ${error.message}`, {
      path: rootPath,
      cause: error,
      hint: 'Remount it for writing; or copy the directory to where you may write, and adopt the copy.',
    });
  }
  return error;
}

/** The absolute path of the journal, for SQLite. */
export function journalPath({ files, store }: Pick<StoreDirectory, 'files' | 'store'>): string {
  return files.pathOf({ directory: store, name: journalName });
}

/** Identity of a root: a copied or restored directory has another. */
export interface RootIdentity {
  readonly inode: string;
  readonly born: string;
}

export function rootIdentity({ files, root, store }: StoreDirectory): RootIdentity {
  return identityOf(files.statDirectory(root), store);
}

/** The error for a journal that came with a copied or cloned directory. */
export function detached(directory: Pick<StoreDirectory, 'rootPath'>): EngineError {
  return new EngineError(
    'STORE_DETACHED',
    `the journal in ${directory.rootPath}/.skillmeat was made for another directory: this one was copied, cloned or restored`,
    {
      path: directory.rootPath,
      hint: 'If you trust where it came from: skillmeat txn recover --adopt. Else remove .skillmeat.',
    },
  );
}

function identityOf({ inode, bornNs }: Stat, store: Directory): RootIdentity {
  return { inode: `${String(inode)}/${String(store.inode)}`, born: String(bornNs) };
}

/**
 * Makes what is missing of a store, so that a first initialisation that was cut off is finished by
 * the next. The journal's own first commit is what makes it a store.
 *
 * @returns whether this call made it one.
 * @throws {EngineError} `STORE_UNSAFE`, `FILE_SYSTEM_UNSUPPORTED`, `PERMISSION_DENIED`, …
 */
export async function makeStoreDirectory(
  options: OpenStoreDirectoryOptions & {
    readonly meta: (identity: RootIdentity) => Readonly<Record<string, string | number>>;
    /** Runs its argument while no other process initialises the same store. */
    readonly exclusively: (store: Directory, make: () => Promise<void>) => Promise<void>;
  },
): Promise<boolean> {
  const { files } = options;
  const root = openRoot(options);
  try {
    requireFileSystem(options, root);
    const place: Place = { directory: root, name: engineDirectoryName };
    ensureDirectory(files, place);
    const store = openOwn(files, place, options.rootPath);
    try {
      requirePrivate(files, root, store);
      if (hasJournal(files, store)) return false;
      // guard: init-lost-journal
      refuseLostJournal(files, store, options.rootPath);
      let isMade = false;
      await options.exclusively(store, async () => {
        // Somebody else may have been first while this process waited.
        if (hasJournal(files, store)) return;
        requireRoomForIndex({ ...options, root });
        for (const name of ['stage', 'quarantine']) {
          ensureDirectory(files, { directory: store, name });
        }
        const stat = files.statDirectory(root);
        const identity = identityOf(stat, store);
        // I2: the names must be durable before anything that the journal says.
        // guard: init-barrier-directories
        await files.barrier(root, 0);
        createJournal(files, store, options.meta(identity));
        giveToOwner(files, root, store);
        // guard: init-barrier-journal
        await files.barrier(root, 0);
        isMade = true;
      });
      return isMade;
    } finally {
      files.closeDirectory(store);
    }
  } catch (error) {
    throw fromSystemError(error, 'make a store in', options.rootPath);
  } finally {
    files.closeDirectory(root);
  }
}

/** Inodes of an open journal and its log. */
export interface JournalFiles {
  readonly database: bigint | undefined;
  readonly log: bigint | undefined;
}

/**
 * @throws {EngineError} `STORE_REPLACED` when an open store is no longer the one at its path. The
 * log as well: were SQLite's lock lost, another process could delete it (I2).
 */
export function requireInPlace(directory: StoreDirectory, journal: JournalFiles): void {
  const { files, root, store } = directory;
  const atRoot = files.stat({ directory: root, name: engineDirectoryName });
  const { database, log } = journalFiles(directory);
  // guard: journal-in-place [database === journal.database becomes true]
  // guard: journal-log-in-place [log === journal.log becomes true]
  const isSame = database === journal.database && log === journal.log;
  // guard: store-directory-in-place [atRoot?.inode === store.inode becomes true]
  if (atRoot?.inode === store.inode && isSame) return;
  throw new EngineError(
    'STORE_REPLACED',
    `${directory.rootPath}/${engineDirectoryName} was removed or replaced while it was open`,
    { hint: 'Nothing was committed. Open the store again, or make a new one.' },
  );
}

/** Looks at the files of a journal that is open. */
export function journalFiles({ files, store }: StoreDirectory): JournalFiles {
  return {
    database: files.stat({ directory: store, name: journalName })?.inode,
    log: files.stat({ directory: store, name: `${journalName}-wal` })?.inode,
  };
}

/**
 * Makes the journal under another name: so a journal that has its name is whole, and SQLite is
 * never asked to play back what a stranger left beside it.
 */
function createJournal(
  files: FileSystem,
  store: Directory,
  meta: Readonly<Record<string, string | number>>,
): void {
  const unfinished: Place = { directory: store, name: `${journalName}.new` };
  for (const suffix of ['', '-journal', '-wal', '-shm']) {
    const left: Place = { directory: store, name: unfinished.name + suffix };
    if (files.stat(left) !== undefined) files.removeFile(left);
  }
  Journal.create(files.pathOf(unfinished), meta);
  files.moveNew(unfinished, { directory: store, name: journalName });
}

/** A store that root makes in a user's directory is the user's: it would lock the user out. */
function giveToOwner(files: FileSystem, root: Directory, store: Directory): void {
  const { owner, group } = files.statDirectory(root);
  if (files.processOwner()?.owner !== 0 || owner === 0) return;
  for (const { name } of files.list(store)) {
    files.setOwner({ directory: store, name }, owner, group);
  }
  files.setOwner({ directory: root, name: engineDirectoryName }, owner, group);
}

function openRoot({ files, rootPath }: OpenStoreDirectoryOptions): Directory {
  try {
    return files.openRoot(rootPath);
  } catch (error) {
    const code = systemCode(error);
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw fromSystemError(error, 'open', rootPath);
    const what = code === 'ENOENT' ? 'does not exist' : 'is not a directory';
    throw new EngineError('STORE_NOT_FOUND', `${rootPath} ${what}`, {
      path: rootPath,
      cause: error,
      hint: 'Check the path given with -C.',
    });
  }
}

function openOwn(files: FileSystem, place: Place, rootPath: string): Directory {
  const opened = files.openDirectory(place);
  if (typeof opened !== 'string') return opened;
  const isStore = place.name === engineDirectoryName;
  if (opened === 'absent' && isStore) {
    throw new EngineError('STORE_NOT_FOUND', `${rootPath} has no ${engineDirectoryName}`, {
      path: rootPath,
      hint: `Make one with: skillmeat txn init ${rootPath}`,
    });
  }
  if (opened === 'absent') {
    // guard: store-part-missing
    throw new EngineError('JOURNAL_DAMAGED', `${engineDirectoryName}/${place.name} is missing`, {
      path: rootPath,
      hint: 'Restore the .skillmeat directory from a backup, or move it away and start anew.',
    });
  }
  // guard: store-plain
  throw new EngineError(
    'STORE_UNSAFE',
    `${quote(place.name)} below ${rootPath} is not a plain directory on the same file system (${opened})`,
    { path: rootPath, hint: 'Move it away, then run: skillmeat txn init' },
  );
}

function ensureDirectory(files: FileSystem, place: Place): void {
  try {
    files.makeDirectory(place, privateMode);
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error;
  }
}

/** The stage directory holds what was in private files: nobody else may read or write it. */
function requirePrivate(files: FileSystem, root: Directory, store: Directory): void {
  const ours = files.processOwner();
  if (ours === undefined) return;
  const { owner, mode } = files.statDirectory(store);
  const trusted = ours.owner === 0 ? [0, files.statDirectory(root).owner] : [ours.owner];
  const hint = 'If you trust it: chown it to yourself, then chmod 700 it.';
  // guard: store-owner [if false]
  if (!trusted.includes(owner)) {
    throw new EngineError(
      'STORE_UNSAFE',
      `${engineDirectoryName} belongs to user ${String(owner)}, you are ${String(ours.owner)}`,
      { hint },
    );
  }
  // guard: store-private [if false]
  if ((mode & writableByOthers) !== 0) {
    throw new EngineError('STORE_UNSAFE', `${engineDirectoryName} is writable by other users`, {
      hint,
    });
  }
}

function hasJournal(files: FileSystem, store: Directory): boolean {
  requirePlainJournal(files, store);
  return files.stat({ directory: store, name: journalName }) !== undefined;
}

function requireJournal(files: FileSystem, store: Directory, rootPath: string): void {
  if (hasJournal(files, store)) return;
  // guard: open-lost-journal
  refuseLostJournal(files, store, rootPath);
  throw new EngineError(
    'STORE_NOT_FOUND',
    `${rootPath}/${engineDirectoryName} was never finished`,
    {
      path: rootPath,
      hint: `Make it with: skillmeat txn init ${rootPath}`,
    },
  );
}

/**
 * A journal that is a link, or whose log is one, would make SQLite write elsewhere; a rollback
 * journal beside it, which ours never has, would make SQLite delete whatever file it names (I8).
 */
function requirePlainJournal(files: FileSystem, store: Directory): void {
  // guard: journal-beside [if false]
  if (files.stat({ directory: store, name: `${journalName}-journal` }) !== undefined) {
    throw new EngineError(
      'JOURNAL_FOREIGN',
      `${engineDirectoryName}/${journalName}-journal is nothing that this program made`,
      {
        path: `${journalName}-journal`,
        hint: 'Do not trust this .skillmeat directory; move it away.',
      },
    );
  }
  for (const name of [journalName, `${journalName}-wal`, `${journalName}-shm`]) {
    const stat = files.stat({ directory: store, name });
    // guard: journal-plain [if true]
    if (stat === undefined || stat.kind === 'file') continue;
    throw new EngineError('JOURNAL_FOREIGN', `${engineDirectoryName}/${name} is a ${stat.kind}`, {
      path: name,
      hint: 'Move the .skillmeat directory away and run: skillmeat txn init',
    });
  }
}

/** No journal beside traces of committed transactions: somebody removed it. */
function refuseLostJournal(files: FileSystem, store: Directory, rootPath: string): void {
  const head = readOwner(files, store)?.mark.head.id ?? 0;
  // guard: lost-journal [if true]
  if (head === 0) return;
  throw new EngineError(
    'JOURNAL_DAMAGED',
    `${rootPath}/${engineDirectoryName}/${journalName} is missing, though it held ${String(head)} transactions`,
    {
      path: rootPath,
      hint: 'See what can be kept: skillmeat repair; or restore it from a backup.',
    },
  );
}

function requireFileSystem(
  { files, acceptsFileSystem, rootPath }: OpenStoreDirectoryOptions,
  root: Directory,
): FileSystemType {
  const type = files.typeOf(root);
  if (acceptsFileSystem || type.support === 'supported' || type.support === 'volatile') return type;
  const why = {
    network: 'a network file system, where neither locks nor syncs can be relied on',
    unknown: 'a file system that nobody has proved the promises on',
  }[type.support];
  throw new EngineError('FILE_SYSTEM_UNSUPPORTED', `${rootPath} is on ${type.name}: ${why}`, {
    path: rootPath,
    hint: 'Use a local directory (ext4, XFS, btrfs), or take the risk with --accept-file-system.',
  });
}

/** Looks for the engine's own directory by another spelling. */
function foldsCase(files: FileSystem, root: Directory): boolean {
  const other = files.stat({ directory: root, name: foldSegment(engineDirectoryName) });
  const own = files.stat({ directory: root, name: engineDirectoryName });
  return other !== undefined && other.inode === own?.inode;
}
