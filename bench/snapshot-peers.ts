import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

/** A program that keeps versions of a directory. */
export interface SnapshotPeer {
  readonly name: string;
  readonly program: string;
  readonly series: { readonly keep: string; readonly restore: string };
  /** Up to how many files it is waited for. */
  readonly filesMax: number;
  /** Makes the repository and keeps the first version. */
  readonly begin: (place: PeerPlace) => void;
  readonly keep: (place: PeerPlace) => void;
  /** Brings `paths` back as they were in the first version. */
  readonly restore: (place: PeerPlace, paths: readonly string[]) => void;
}

export interface PeerPlace {
  readonly root: string;
  /** Where a repository and caches may be that are not in the root. */
  readonly aside: string;
}

const who = ['-c', 'user.name=b', '-c', 'user.email=b@b', '-c', 'gc.auto=0'];
let archives = 0;

const git = gitWith('git', { keep: 'git add -A, git commit', restore: 'git checkout' }, []);
const flushingGit = gitWith(
  'git that flushes',
  { keep: 'the same, flushing what it keeps', restore: 'git that flushes, checkout' },
  ['-c', 'core.fsync=all'],
);

function gitWith(
  name: string,
  series: SnapshotPeer['series'],
  settings: readonly string[],
): SnapshotPeer {
  const keep = (place: PeerPlace): void => {
    command(place, ['git', ...settings, 'add', '-A']);
    command(place, ['git', ...settings, ...who, 'commit', '-q', '--allow-empty', '-m', 'x']);
  };
  return {
    name,
    program: 'git',
    series,
    filesMax: Number.POSITIVE_INFINITY,
    begin: (place) => {
      command(place, ['git', 'init', '-q']);
      keep(place);
      command(place, ['git', 'tag', 'first']);
    },
    keep,
    // Finds out itself what differs, as we do.
    restore: (place) => {
      command(place, ['git', ...settings, 'checkout', '-q', 'first', '--', '.']);
    },
  };
}

const restic: SnapshotPeer = {
  name: 'restic',
  program: 'restic',
  series: { keep: 'restic backup', restore: 'restic restore' },
  filesMax: 10_000,
  begin: (place) => {
    command(place, ['restic', '-q', 'init']);
    command(place, ['restic', '-q', 'backup', '--tag', 'first', '.']);
  },
  keep: (place) => {
    command(place, ['restic', '-q', 'backup', '.']);
  },
  restore: (place, paths) => {
    const included = paths.flatMap((path) => ['--include', join(place.root, path)]);
    command(place, ['restic', '-q', 'restore', 'latest', '--tag', 'first', '-t', '/', ...included]);
  },
};

const borg: SnapshotPeer = {
  name: 'borg',
  program: 'borg',
  series: { keep: 'borg create', restore: 'borg extract' },
  filesMax: 10_000,
  begin: (place) => {
    command(place, ['borg', 'init', '-e', 'none']);
    command(place, ['borg', 'create', '::first', '.']);
  },
  keep: (place) => {
    archives += 1;
    command(place, ['borg', 'create', `::later-${String(archives)}`, '.']);
  },
  restore: (place, paths) => {
    command(place, ['borg', 'extract', '::first', ...paths]);
  },
};

export const snapshotPeers: readonly SnapshotPeer[] = [git, flushingGit, restic, borg];

/** What a peer says of its version; `undefined`: it is not installed. */
export function versionOf({ program }: SnapshotPeer): string | undefined {
  const asks = program === 'restic' ? 'version' : '--version';
  const { status, stdout } = spawnSync(program, [asks], { encoding: 'utf8' });
  return status === 0 ? stdout.trim().split(' ').slice(0, 3).join(' ') : undefined;
}

function command({ root, aside }: PeerPlace, [program = '', ...args]: readonly string[]): void {
  mkdirSync(aside, { recursive: true });
  const { status, stderr } = spawnSync(program, args, {
    cwd: root,
    encoding: 'utf8',
    env: {
      ...process.env,
      BORG_BASE_DIR: join(aside, 'borg-home'),
      BORG_REPO: join(aside, 'borg'),
      BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: 'yes',
      BORG_RELOCATED_REPO_ACCESS_IS_OK: 'yes',
      GIT_CONFIG_GLOBAL: '/dev/null',
      GIT_CONFIG_SYSTEM: '/dev/null',
      RESTIC_CACHE_DIR: join(aside, 'restic-cache'),
      RESTIC_PASSWORD: 'bench',
      RESTIC_REPOSITORY: join(aside, 'restic'),
    },
  });
  if (status !== 0) throw new Error(`${program} ${args[0] ?? ''} failed: ${stderr}`);
}
