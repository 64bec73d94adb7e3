import { randomFillSync } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import writeFileAtomic from 'write-file-atomic';
import { openStore } from '../../src/engine/index.js';
import { plant } from '../contents.js';
import { Floor, type NewFile } from '../floor.js';
import { spreadOf } from '../measure.js';
import {
  atMost,
  type Findings,
  type Point,
  type Question,
  type Ratio,
  ratiosOf,
  type Run,
} from '../question.js';
import { fileSystemSync } from '../scratch.js';

const ours = 'skillmeat';
const peer = 'write-file-atomic';
const floors = { floor: 'two flushes', 'floor with one flush': 'one flush' } as const;
const kibibyte = 1_024;
const sizes = [1, 16, 64, 128, 1_024, 16_384].map((count) => count * kibibyte);
/** Beyond these a transaction is to write no more than 1.2 times the bytes. */
const largeBytesMin = 64 * kibibyte;

export const amplification: Question = {
  name: 'amplification',
  question:
    'How many bytes reach the device for each byte that is changed, and how often does it have to flush, when one file is replaced again and again?',
  peers: 'write-file-atomic, and the floor',
  unequal:
    'ours keeps what it displaced and its journal is emptied once in 128 transactions, which the larger counts of rounds contain. All of it includes what the file system writes for itself, and its own flushes: one syncfs of ext4 is two or three of the device. How often ours waits, which is to be twice a transaction at most, is asserted in test/engine/budgets.test.ts: once',
  xLabel: 'bytes of the file',
  unit: 'bytes written per byte',
  run,
};

interface Written {
  readonly bytes: number;
  /** `undefined` where there is no device of its own. */
  readonly flushes: number | undefined;
}

async function run({ place, isQuick }: Run): Promise<Findings> {
  const points: Point[] = [];
  const flushRatios: Ratio[] = [];
  const flush = fileSystemSync(place.directory);
  const written = (): Written =>
    place.device === undefined ? ofProcess() : ofDevice(place.device);
  for (const bytes of sizes) {
    const rounds = roundsFor(bytes, isQuick);
    const directory = (name: string): string =>
      join(place.directory, String(bytes), name.replaceAll(' ', '-'));
    const measure = async (series: string, replace: (file: NewFile) => unknown): Promise<void> => {
      flush();
      const before = written();
      for (let round = 0; round < rounds; round += 1) {
        await replace({ name: 'file', content: randomFillSync(Buffer.alloc(bytes)) });
      }
      const { flushes } = written();
      flush();
      const value = (written().bytes - before.bytes) / (rounds * bytes);
      points.push({ series, x: bytes, spread: spreadOf([value]) });
      if (flushes === undefined || before.flushes === undefined) return;
      flushRatios.push({
        what: `${series}: flushes of the device a time`,
        x: bytes,
        value: (flushes - before.flushes) / rounds,
        unit: '',
      });
    };
    for (const name of [ours, peer, ...Object.keys(floors)]) {
      mkdirSync(directory(name), { recursive: true });
      plant(directory(name), [{ name: 'file', content: Buffer.alloc(bytes) }]);
    }
    await using store = await openStore(directory(ours), { create: true });
    await measure(ours, ({ name, content }) => store.transact({}, (tx) => tx.write(name, content)));
    await measure(peer, ({ name, content }) =>
      writeFileAtomic(join(directory(peer), name), Buffer.from(content)),
    );
    for (const [name, kind] of Object.entries(floors)) {
      using floor = new Floor(directory(name), kind);
      await measure(name, (file) => {
        floor.replace([file]);
      });
    }
  }
  const ratios = [
    ...points
      .filter(({ series, x }) => series === ours && x > largeBytesMin)
      .map(({ x, spread }) => ({
        what: `${ours}: bytes written per byte`,
        x,
        value: spread.median,
        limit: atMost(1.2),
      })),
    ...ratiosOf(points, [ours, 'floor']),
    ...flushRatios,
  ];
  const notes =
    place.device === undefined
      ? ['no device of its own: bytes are what this process caused, flushes are not seen']
      : [];
  return { points, ratios, notes };
}

function roundsFor(bytes: number, isQuick: boolean): number {
  const most = isQuick ? 20 : 256;
  return Math.max(4, Math.min(most, Math.floor((64 * kibibyte ** 2) / bytes)));
}

const sectorBytes = 512;

/** See Documentation/block/stat.rst of Linux. */
function ofDevice(device: string): Written {
  const fields = readFileSync(`/sys/block/${device}/stat`, 'utf8').trim().split(/\s+/).map(Number);
  return { bytes: (fields[6] ?? Number.NaN) * sectorBytes, flushes: fields[15] };
}

function ofProcess(): Written {
  const found = /^write_bytes: (\d+)/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1];
  return { bytes: Number(found), flushes: undefined };
}
