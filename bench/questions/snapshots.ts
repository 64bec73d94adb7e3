import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openStore, type Store } from '../../src/engine/index.js';
import {
  atLeast,
  atMost,
  type Findings,
  growthOf,
  type Limit,
  type Point,
  type Question,
  type Ratio,
  ratiosOf,
  type Run,
} from '../question.js';
import { fileSystemSync } from '../scratch.js';
import { type SnapshotPeer, snapshotPeers, versionOf } from '../snapshot-peers.js';
import { type Side, takeTurns } from '../turns.js';

const sizes = [100, 1_000, 10_000, 50_000];
const quickFilesMax = 1_000;
const filesPerDirectory = 25;
const changedFiles = 5;
/** The scan cache trusts nothing that changed within the last tick of the clock. */
const settlingMs = 2_100;
const ours = {
  unchanged: 'snapshot, nothing changed',
  keep: `snapshot, ${String(changedFiles)} files changed`,
  restore: `restore of ${String(changedFiles)} files`,
  undo: `undo of ${String(changedFiles)} files`,
};
/** Of issue 4, on the machine that it was written on, with 10 000 files. */
const targetFiles = 10_000;
const unchangedTargetMs = 200;
const restoreTargetMs = 250;

export const snapshots: Question = {
  name: 'snapshots',
  question: `What does it cost to keep a version of a directory, of which ${String(changedFiles)} files or none changed, and to bring ${String(changedFiles)} files back?`,
  peers: 'git, restic and borg, as they are installed; restic and borg up to 10 000 files',
  unequal:
    'ours is the library in this process, the peers are processes (git: two for a commit); ours flushes what it kept and its record before it says so, git only when it is told to (core.fsync=all, a row of its own); ours, undo and restore are transactions that can be undone, git checkout overwrites in place; restic and borg are told which files to bring back, ours and git find out; restic encrypts',
  xLabel: 'files',
  unit: 'ms',
  run,
};

async function run({ place, isQuick, files, reference }: Run): Promise<Findings> {
  const wanted = files ?? (isQuick ? sizes.filter((size) => size <= quickFilesMax) : sizes);
  const versions = snapshotPeers.map((peer) => [peer, versionOf(peer)] as const);
  const present = versions.flatMap(([peer, version]) => (version === undefined ? [] : [peer]));
  const points: Point[] = [];
  const ratios: Ratio[] = [];
  for (const size of wanted) {
    const directory = join(place.directory, String(size));
    const root = join(directory, 'ours');
    const paths = plant(root, size);
    await using store = await openStore(root, { create: true });
    const first = await store.snapshots.create();
    const peers = present.filter(({ filesMax }) => size <= filesMax);
    const peerSides = peers.flatMap((peer) => sidesOfPeer(peer, directory, size));
    await new Promise((resolve) => {
      setTimeout(resolve, settlingMs);
    });
    await store.snapshots.create();
    let newBytes = 0;
    const sides = [
      ...sidesOfOurs(store, { paths, size, first: first.snapshot.id ?? 1 }, (bytes) => {
        newBytes += bytes;
      }),
      ...peerSides,
    ];
    const flush = fileSystemSync(place.directory);
    points.push(...(await takeTurns(sides, { rounds: isQuick ? 3 : 7, warmUpRounds: 1, flush })));
    const what = `${ours.unchanged}: new content`;
    ratios.push({ what, x: size, value: newBytes, unit: ' bytes', limit: atMost(0) });
    await store.close();
    rmSync(directory, { recursive: true });
  }
  const medianOf = (series: string): number | undefined =>
    points.find((point) => point.series === series && point.x === targetFiles)?.spread.median;
  for (const [series, targetMs] of [
    [ours.unchanged, unchangedTargetMs],
    [ours.restore, restoreTargetMs],
  ] as const) {
    const value = medianOf(series);
    const limit = atMost(targetMs * reference.disk);
    if (value !== undefined) {
      ratios.push({ what: `${series}, ms`, x: targetFiles, value, unit: ' ms', limit });
    }
  }
  return {
    points,
    ratios: [
      ...ratios,
      ...growthOf(points, ours.undo, atMost(1.3)),
      ...snapshotPeers.flatMap((peer) => ratiosOfPeer(points, peer)),
    ],
    notes: versions.map(([{ name }, version]) => version ?? `${name} is missing: not installed`),
  };
}

function ratiosOfPeer(
  points: readonly Point[],
  { program, series }: SnapshotPeer,
): readonly Ratio[] {
  const limitAt = (files: number): Limit | undefined => {
    if (program === 'git') return atLeast(1);
    return files === targetFiles ? atLeast(5) : undefined;
  };
  return [
    ...ratiosOf(points, [series.keep, ours.keep], limitAt),
    ...ratiosOf(points, [series.restore, ours.restore]),
  ];
}

function sidesOfOurs(
  store: Store,
  { paths, size: x, first }: { paths: readonly string[]; size: number; first: number },
  addNewBytes: (bytes: number) => void,
): readonly Side[] {
  const changed = chosen(paths);
  const change = (round: number, what: string): void => {
    write(store.root, changed, `${what} ${String(round)}`);
  };
  return [
    {
      series: ours.unchanged,
      x,
      prepare: async () => {
        // Of what the sides before this one changed.
        await store.snapshots.create();
        return async () => {
          addNewBytes((await store.snapshots.create()).added.bytes);
        };
      },
    },
    {
      series: ours.keep,
      x,
      prepare: (round) => {
        change(round, 'kept');
        return () => store.snapshots.create();
      },
    },
    {
      series: ours.restore,
      x,
      prepare: (round) => {
        change(round, 'to be restored');
        return () => store.snapshots.restore(first);
      },
    },
    {
      series: ours.undo,
      x,
      prepare: async (round) => {
        await store.transact({}, async (tx) => {
          for (const path of changed) await tx.write(path, `to be undone ${String(round)}`);
        });
        return () => store.undo();
      },
    },
  ];
}

function sidesOfPeer(peer: SnapshotPeer, directory: string, x: number): readonly Side[] {
  const place = { root: join(directory, peer.name), aside: join(directory, `${peer.name}-aside`) };
  const changed = chosen(plant(place.root, x));
  peer.begin(place);
  return [
    {
      series: peer.series.keep,
      x,
      prepare: (round) => {
        write(place.root, changed, `kept ${String(round)}`);
        return () => {
          peer.keep(place);
        };
      },
    },
    {
      series: peer.series.restore,
      x,
      prepare: (round) => {
        write(place.root, changed, `to be restored ${String(round)}`);
        return () => {
          peer.restore(place, changed);
        };
      },
    },
  ];
}

/** Returns the paths of the files that it makes, of up to 4 kB. */
function plant(root: string, count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => {
    const directory = `skill-${String(Math.floor(index / filesPerDirectory))}`;
    if (index % filesPerDirectory === 0) mkdirSync(join(root, directory), { recursive: true });
    const path = `${directory}/${String(index)}.md`;
    const text = `# ${String(index)}\n${'A line of a skill.\n'.repeat(index % 200)}`;
    writeFileSync(join(root, path), text);
    return path;
  });
}

function chosen(paths: readonly string[]): readonly string[] {
  const step = paths.length / changedFiles;
  return Array.from({ length: changedFiles }, (_, at) => paths[Math.floor(at * step)] ?? '');
}

function write(root: string, paths: readonly string[], text: string): void {
  for (const path of paths) writeFileSync(join(root, path), `${text} ${path}\n`);
}
