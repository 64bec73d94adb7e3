import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { CollectionReader } from '../../src/collection/index.js';
import { stampedFacts } from '../crash/children/stamped.mjs';
import { cleanUp, makeDirectory } from '../support/processes.js';
import { openStamped } from '../support/stamped-collection.js';
import { isExhaustive } from '../support/extent.js';

/*
 * Large artifacts. `npm test` takes small ones of the same shapes; SKILLMEAT_EXHAUSTIVE=1 takes
 * 200 MB, and 20 000 files, on the disk.
 */

afterEach(cleanUp);

const mebibyte = Buffer.alloc(1_048_576);

interface Large {
  readonly files: number;
  /** Mebibytes of each. */
  readonly mebibytes: number;
}

const sizes: Readonly<Record<string, Large>> = isExhaustive
  ? {
      'one of 200 MB': { files: 1, mebibytes: 200 },
      'ten of 20 MB': { files: 10, mebibytes: 20 },
      '20 000 files': { files: 20_000, mebibytes: 0 },
    }
  : {
      'one of 8 MB': { files: 1, mebibytes: 8 },
      'four of 1 MB': { files: 4, mebibytes: 1 },
      '300 files': { files: 300, mebibytes: 0 },
    };

test.each(Object.entries(sizes))(
  'a large artifact (%s) is updated, replaced by a small one and taken back, as any other',
  async (name, { files, mebibytes }) => {
    const directory = makeDirectory({ inMemory: !isExhaustive });
    await using stamped = await openStamped(directory, ['canvas'], 'auto');
    const { collection, fetcher } = stamped;
    const reader = new CollectionReader(collection.root);
    const from = path.join(fetcher.makeDirectory(), 'large');
    const contentHash = plantLarge(from, { files, mebibytes });
    const update = await stamped.available('canvas', 1);
    const large = { ...update, contentHash, fetched: { ...update.fetched, path: from } };
    const times: string[] = [];
    const timed = async (what: string, work: () => Promise<unknown>): Promise<void> => {
      const start = performance.now();
      await work();
      times.push(`${what} ${String(Math.round(performance.now() - start))} ms`);
      expect(await reader.findings()).toEqual([]);
    };
    const count = (): number =>
      fs.readdirSync(path.join(collection.root, 'skills/canvas/d')).length;
    await timed('update', () => collection.update([large], { fetcher }));
    expect(count()).toBe(files);
    expect((await reader.artifacts())[0]?.resolvedVersion).toBe(stampedFacts(1).resolvedVersion);
    await timed('small', () => stamped.update('canvas', 2));
    await timed('undo', () => collection.undo());
    expect(count()).toBe(files);
    await timed('rollback', () => collection.rollback({ to: { transaction: 2 }, force: true }));
    const { rss } = process.memoryUsage();
    console.log(
      `large artifact, ${name}: ${times.join(', ')}; ${String(Math.round(rss / 1e6))} MB`,
    );
  },
);

/** Writes it, and returns its `content_hash` as the predecessor computes it. */
function plantLarge(directory: string, { files, mebibytes }: Large): string {
  fs.mkdirSync(path.join(directory, 'd'), { recursive: true });
  const hash = createHash('sha256').update('SKILL.md').update('# large\n');
  fs.writeFileSync(path.join(directory, 'SKILL.md'), '# large\n');
  const names = Array.from({ length: files }, (_, at) => `f${String(at)}`).toSorted();
  for (const name of names) {
    hash.update(`d/${name}`);
    const file = fs.openSync(path.join(directory, 'd', name), 'w');
    const pieces = [Buffer.from(name), ...Array.from({ length: mebibytes }, () => mebibyte)];
    for (const piece of pieces) {
      hash.update(piece);
      fs.writeSync(file, piece);
    }
    fs.closeSync(file);
  }
  return hash.digest('hex');
}
