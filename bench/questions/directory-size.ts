import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openStore, type Store } from '../../src/engine/index.js';
import { updateAsPredecessor } from '../../test/crash/children/predecessor.mjs';
import { newFiles, plant } from '../contents.js';
import { atMost, type Findings, growthOf, type Question, ratiosOf, type Run } from '../question.js';
import { fileSystemSync } from '../scratch.js';
import { type Side, takeTurns } from '../turns.js';

const ours = 'skillmeat';
const peer = "predecessor's way";
const changedFiles = 5;
const sizes = [100, 1_000, 10_000, 100_000, 1_000_000];
const quickFilesMax = 10_000;
/** It reads and packs everything: 6 s for so many on the machine that the issue was written on. */
const peerFilesMax = 10_000;
const filesPerDirectory = 100;
const fillerBytes = 2_000;

export const directorySize: Question = {
  name: 'directory-size',
  question: 'What does a change of 5 files cost in a directory of many?',
  peers: `the predecessor's way, re-implemented (an archive of everything, then in place), up to ${String(peerFilesMax)} files`,
  unequal: `the predecessor's way flushes two small files only and is neither atomic nor durable; after a kill in the middle somebody has to unpack the archive. Directories hold ${String(filesPerDirectory)} files each, of 2 kB up to ${String(peerFilesMax)} files, empty beyond`,
  xLabel: 'files in the directory',
  unit: 'ms',
  run,
};

async function run({ place, isQuick }: Run): Promise<Findings> {
  const wanted = isQuick ? sizes.filter((size) => size <= quickFilesMax) : sizes;
  const stores: Store[] = [];
  try {
    const sides: Side[] = [];
    for (const files of wanted) {
      const directory = join(place.directory, String(files));
      const root = join(directory, 'ours');
      plantMany(root, files);
      const store = await openStore(root, { create: true });
      stores.push(store);
      sides.push({
        series: ours,
        x: files,
        prepare: (round) => {
          const changed = newFiles(changedFiles, round);
          return () =>
            store.transact({}, async (tx) => {
              for (const { name, content } of changed) await tx.write(`0/${name}`, content);
            });
        },
      });
      if (files <= peerFilesMax) sides.push(predecessorSide(directory, files));
    }
    const flush = fileSystemSync(place.directory);
    const points = await takeTurns(sides, { rounds: isQuick ? 5 : 25, warmUpRounds: 2, flush });
    return {
      points,
      ratios: [...growthOf(points, ours, atMost(1.2)), ...ratiosOf(points, [peer, ours])],
      notes: isQuick ? [`quick: no more than ${String(quickFilesMax)} files`] : [],
    };
  } finally {
    for (const store of stores) await store.close();
  }
}

function plantMany(root: string, files: number): void {
  const filler = Buffer.alloc(files <= peerFilesMax ? fillerBytes : 0, 'a line of a skill\n');
  for (let index = 0; index < files - changedFiles; index += 1) {
    const directory = join(root, String(Math.floor(index / filesPerDirectory)));
    if (index % filesPerDirectory === 0) mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, `${String(index)}.md`), filler);
  }
  plant(join(root, '0'), newFiles(changedFiles, -1));
}

function predecessorSide(directory: string, files: number): Side {
  const root = join(directory, 'predecessor');
  plantMany(root, files);
  plant(join(root, 'changed'), newFiles(changedFiles, -1));
  for (const name of ['collection.toml', 'collection.lock']) writeFileSync(join(root, name), '');
  return {
    series: peer,
    x: files,
    prepare: (round) => {
      const from = join(directory, `new-${String(round)}`);
      plant(from, newFiles(changedFiles, round));
      const edit = (): string => `# ${String(round)}\n`;
      const archive = join(directory, 'archive.gz');
      return () => {
        updateAsPredecessor({
          root,
          archive,
          artifact: 'changed',
          from,
          manifest: edit,
          lock: edit,
        });
      };
    },
  };
}
