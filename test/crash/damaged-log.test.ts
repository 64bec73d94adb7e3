import fs from 'node:fs';
import path from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { openStore } from '../../src/engine/index.js';
import { cleanUp } from '../support/processes.js';
import { expectError, readOwnerFile } from '../support/store.js';
import { damageableStores, takeHalfDone } from './damageable-stores.js';
import { untouchedBytes } from './observation.js';
import { makePlace } from './recovered-state.js';
import { SavedStore } from './saved-store.js';
import { testifyOfEachTest, testMachine } from '../support/evidence.js';

/*
 * SQLite takes a log with a damaged frame for one that ends there, and says nothing. What `owner`
 * says of the journal tells the two apart.
 */

afterEach(cleanUp);
testifyOfEachTest({
  fault: 'corruption',
  operation: 'the newest frames of the log',
  on: testMachine,
  native: 'auto',
});

/** Cuts the log to its first `bytes`, and requires that nobody can write with the store any more. */
async function requireFoundOut(saved: SavedStore, bytes: number, message: RegExp): Promise<void> {
  saved.putBack();
  fs.truncateSync(path.join(saved.root, '.skillmeat/journal.db-wal'), bytes);
  const before = untouchedBytes(saved.root);
  for (const _ of [1, 2]) {
    await expectError(openStore(saved.root), 'JOURNAL_DAMAGED', { message });
    expect(untouchedBytes(saved.root)).toEqual(before);
  }
  const looking = await openStore(saved.root, { recover: 'never' });
  await expectError(
    looking.transact({}, (tx) => tx.write('a', 'a')),
    'JOURNAL_DAMAGED',
  );
  await looking.close();
  expect(untouchedBytes(saved.root)).toEqual(before);
}

test('a log that lost a transaction which is half applied is found out', async () => {
  const saved = await takeHalfDone(4);
  await requireFoundOut(saved, 0, /ends at transaction 2, .*traces of transaction 3/);
});

test('a log that lost that its newest transaction is being undone is found out', async () => {
  const applying = await takeHalfDone(4, 5);
  const bytes = applying.files.get('.skillmeat/journal.db-wal')?.length ?? 0;
  const undoing = await takeHalfDone(7, 5);
  expect(undoing.files.get('.skillmeat/journal.db-wal')?.length).toBeGreaterThan(bytes);
  await requireFoundOut(undoing, bytes, /written to \d+ times, and only \d+ are left/);
});

test('a log that lost a snapshot is found out', async () => {
  const { root } = makePlace();
  const store = await openStore(root, { create: true });
  await store.transact({}, (tx) => tx.write('a', 'a'));
  const { size } = fs.statSync(path.join(root, '.skillmeat/journal.db-wal'));
  await store.snapshots.create({ name: 'lost' });
  const saved = SavedStore.take(root);
  await store.close();
  await requireFoundOut(saved, size, /written to \d+ times, and only \d+ are left/);
});

test('an owner record with a flipped bit neither vouches for anything nor accuses the journal', async () => {
  const saved = await damageableStores['closed in order']?.();
  if (saved === undefined) throw new Error('there is such a store');
  saved.putBack();
  const owner = path.join(saved.root, '.skillmeat/owner');
  const text = fs.readFileSync(owner, 'utf8');
  const lies: readonly (readonly [string, string])[] = [
    ['"id":3', '"id":7'],
    [`"writes":${String(readOwnerFile(saved.root)?.mark.writes)}`, '"writes":999'],
    ['"chain":"', '"chain":"f'],
  ];
  for (const [truth, lie] of lies) {
    expect(text).toContain(truth);
    fs.writeFileSync(owner, text.replace(truth, lie).slice(0, text.length));
    const store = await openStore(saved.root);
    expect((await store.log()).length).toBe(3);
    expect(store.recoveryOnOpen?.transactions).toEqual([1, 2, 3]);
    await store.close();
    saved.putBack();
  }
});
