/** What a kind of file system promises about the order in which changes reach the disk. */
export interface Profile {
  readonly name: string;
  /** `prefix`: changes of names and modes reach the disk in order. `any`: each by itself. */
  readonly order: 'prefix' | 'any';
  /** Whether one fsync writes the whole log, and with it every change of names so far. */
  readonly syncForcesLog: boolean;
  /** Whether a rename over a file writes the new file's data before (ext4's auto_da_alloc). */
  readonly replaceForcesData: boolean;
  /** Whether a directory can be synced. */
  readonly syncsDirectories: boolean;
  readonly foldsNames: boolean;
  /** Whether a file that somebody holds open can be neither renamed nor replaced. */
  readonly hasBusyFiles: boolean;
  /** `native`: atomic exchange and syncfs; `plain`: neither, as without the native part. */
  readonly calls: 'native' | 'plain';
}

const posix = {
  order: 'prefix',
  syncForcesLog: false,
  replaceForcesData: false,
  syncsDirectories: true,
  foldsNames: false,
  hasBusyFiles: false,
} as const;

const kinds = [
  { ...posix, name: 'ext4', syncForcesLog: true, replaceForcesData: true },
  { ...posix, name: 'ext4 noauto_da_alloc', syncForcesLog: true },
  { ...posix, name: 'XFS', syncForcesLog: true },
  // fsync writes a tree log of one inode and its names, nothing else.
  { ...posix, name: 'btrfs' },
  { ...posix, name: 'worst-case POSIX', order: 'any' },
] as const;

/** APFS and NTFS have no native part here. */
const foreignKinds = [
  { ...posix, name: 'APFS-like', foldsNames: true },
  {
    ...posix,
    name: 'NTFS-like',
    syncForcesLog: true,
    syncsDirectories: false,
    foldsNames: true,
    hasBusyFiles: true,
  },
] as const;

export const profiles: readonly Profile[] = [
  ...kinds.map((kind): Profile => ({ ...kind, calls: 'native' })),
  ...[...kinds, ...foreignKinds].map(
    (kind): Profile => ({ ...kind, name: `${kind.name}, plain`, calls: 'plain' }),
  ),
];
