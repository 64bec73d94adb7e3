import { statSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { openDatabase } from '../../src/engine/sqlite.js';
import { breakTableRule } from '../support/broken-journal.js';
import { whileSqliteFails } from '../support/failing-sqlite.js';
import { openJournal } from '../support/objects.js';
import { modes, requireHealthy, useSandbox } from '../support/store.js';

/* A journal that lost many records becomes smaller, and says the same. */

const mebibyte = 1_048_576;

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);
  const at = (): string => sandbox.at('.skillmeat/journal.db');
  const size = (): number => statSync(at()).size;

  /** Writes so many bytes of rows that nobody reads into the journal, and takes some of them out again. */
  function fill(bytes: number, taken: number): void {
    const database = openDatabase(at());
    database.exec(
      `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${String(bytes / 65_536)})
       INSERT INTO meta SELECT printf('unused/%03d', i), zeroblob(65536), 0 FROM n`,
    );
    const last = String(taken / 65_536).padStart(3, '0');
    database.exec(`DELETE FROM meta WHERE key LIKE 'unused/%' AND key <= 'unused/${last}'`);
    database.pragma('wal_checkpoint(TRUNCATE)');
    database.close();
  }

  test('prune makes a journal smaller of which much is unused', async () => {
    sandbox.seed({ a: 'a0' });
    const store = await sandbox.open();
    for (const text of ['a1', 'a2']) await store.transact({}, (tx) => tx.write('a', text));
    const log = await store.log();
    const small = size();
    fill(2 * mebibyte, 2 * mebibyte);
    await store.prune(undefined, { dryRun: true });
    expect(size()).toBeGreaterThan(2 * mebibyte);
    await store.prune();
    expect(size()).toBeLessThanOrEqual(small);
    expect((await store.log()).map(({ uuid }) => uuid)).toEqual(log.map(({ uuid }) => uuid));
    await store.transact({}, (tx) => tx.write('a', 'a3'));
    await store.close();
    requireHealthy(sandbox.root);
    const again = await sandbox.open();
    await again.undo({ transaction: 3 });
    expect(sandbox.tree()).toMatchObject({ a: { bytes: 'a2' } });
  });

  test.each([
    ['little is unused', mebibyte / 2, mebibyte / 2],
    ['most is used', 8 * mebibyte, mebibyte],
  ])('a journal of which %s stays as it is', async (_what, bytes, taken) => {
    const store = await sandbox.open();
    fill(bytes, taken);
    sandbox.breaksStore();
    const before = size();
    using journal = openJournal(store);
    journal.shrink();
    expect(size()).toBe(before);
  });

  test('a journal that there is no room to write anew stays as it is', async () => {
    const store = await sandbox.open();
    fill(2 * mebibyte, 2 * mebibyte);
    const before = size();
    using journal = openJournal(store);
    const shrink = (): void => {
      journal.shrink();
    };
    whileSqliteFails('SQLITE_FULL', 'VACUUM', shrink);
    expect(size()).toBe(before);
    expect(() => {
      whileSqliteFails('SQLITE_IOERR_WRITE', 'VACUUM', shrink);
    }).toThrow(expect.objectContaining({ code: 'IO_FAILED' }));
    shrink();
    expect(size()).toBeLessThan(mebibyte);
  });

  test('a journal with a damaged page is not written anew', async () => {
    const store = await sandbox.open();
    fill(2 * mebibyte, 2 * mebibyte);
    sandbox.breaksStore();
    using journal = openJournal(store);
    breakTableRule(at());
    const before = size();
    expect(() => {
      journal.shrink();
    }).toThrow(expect.objectContaining({ code: 'JOURNAL_DAMAGED' }));
    expect(size()).toBe(before);
  });
});
