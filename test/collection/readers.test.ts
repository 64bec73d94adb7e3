import { amount } from '../support/extent.js';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import type { ReaderReport } from '../crash/children/looking-reader.mjs';
import { plantStamped, stampedContent, stampedNames } from '../crash/children/stamped.mjs';
import { testify, testMachine } from '../support/evidence.js';
import { Child, cleanUp, makeDirectory } from '../support/processes.js';
import { openStamped } from '../support/stamped-collection.js';
import { modes } from '../support/store.js';

/*
 * Another process lists and reads a skill all the time while updates replace it. A view is mixed when
 * it holds files of two versions, or not all files of one.
 *
 * Whoever opens the directory once and reads in it cannot get one: the whole directory is switched,
 * and the one that was displaced stays as it was. Whoever looks each file up by its path can: the
 * path leads to version 1 for the first file and to version 2 for the second, each of them whole.
 * That is no half-written artifact, and the reader can tell: the directory has another inode after
 * it than before. Such a view is counted as straddled, and looked for again by a program that minds.
 */

afterEach(cleanUp);

const readerUpdates = Number(
  process.env['SKILLMEAT_READER_UPDATES'] ?? amount({ thorough: 150, otherwise: 60 }),
);
/** Plain Node takes longer over each. */
const updatesOf = { auto: readerUpdates, off: Math.ceil(readerUpdates / 5) } as const;

async function startReader(directory: string): Promise<Child> {
  const reader = new Child('looking-reader.mjs', { directory });
  if (!(await reader.hears('READY'))) await reader.succeeded();
  return reader;
}

async function endReader(reader: Child): Promise<ReaderReport> {
  reader.tell('end');
  await reader.succeeded();
  return JSON.parse(reader.said('REPORT')[0] ?? '{}') as ReaderReport;
}

describe.each(modes)('native %s', (native) => {
  test('a reader never sees half an artifact while updates replace it', async () => {
    const updates = updatesOf[native];
    const directory = makeDirectory({ inMemory: true });
    await using stamped = await openStamped(directory, ['canvas'], native);
    const { collection, fetcher } = stamped;
    const reader = await startReader(join(collection.root, 'skills/canvas'));
    for (let version = 1; version <= updates; version += 1) {
      const update = await stamped.available('canvas', version);
      await collection.update([update], { fetcher, strategy: 'overwrite' });
      await update.fetched[Symbol.asyncDispose]();
    }
    const seen = await endReader(reader);
    const mixed = (seen.descriptor.mixed ?? 0) + (seen.path.mixed ?? 0);
    testify({
      fault: 'reader during an update',
      on: testMachine,
      native,
      states: updates,
      violations: mixed,
      note: 'states are updates',
    });
    console.log(
      `${String(updates)} updates before a reader, native ${native}: ${JSON.stringify(seen)}`,
    );
    expect(mixed).toBe(0);
    // Or it tested nothing.
    expect(seen.versions).toBeGreaterThan(1);
    if (native === 'off') return;
    expect([seen.descriptor.missing, seen.path.missing], 'no look found it gone').toEqual([
      undefined,
      undefined,
    ]);
  });
});

test('a program that replaces an artifact file by file shows halves of it to the same reader', async () => {
  const directory = join(makeDirectory({ inMemory: true }), 'canvas');
  plantStamped(directory, 0);
  const reader = await startReader(directory);
  for (let version = 1; version <= 1_000; version += 1) {
    for (const name of stampedNames) {
      writeFileSync(join(directory, name), stampedContent(name, version));
    }
    await setImmediate();
  }
  const seen = await endReader(reader);
  console.log(`1000 versions written file by file: ${JSON.stringify(seen)}`);
  expect(seen.descriptor.mixed).toBeGreaterThan(0);
  expect(seen.path.mixed).toBeGreaterThan(0);
});
