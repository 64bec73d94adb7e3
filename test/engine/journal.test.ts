import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { EngineError, isEngineError } from '../../src/engine/index.js';
import { hashContent } from '../../src/engine/hash.js';
import { absent } from '../../src/engine/image.js';
import type { ChangeRow } from '../../src/engine/change-row.js';
import { emptyChain, type Head, type NewTransaction } from '../../src/engine/transaction-row.js';
import { Journal } from '../../src/engine/journal.js';
import { readFailure } from '../../src/engine/journal-failure.js';
import { parsePath, type RelativePath } from '../../src/engine/path.js';
import { breakTableRule, sealJournal } from '../support/broken-journal.js';
import { whileSqliteFails } from '../support/failing-sqlite.js';
import { prepareConnection, requireDurability, requireOurSchema } from '../../src/engine/schema.js';
import type { NewSnapshot } from '../../src/engine/snapshot-table.js';
import {
  openDatabase,
  preparedWhenUsed,
  type SqliteDatabase,
  sqliteDriver,
} from '../../src/engine/sqlite.js';

let directory = '';
let path = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'skillmeat-journal-'));
  path = join(directory, 'journal.db');
  Journal.create(path, { epoch: 1, pruned_through: 0, settled_through: 0 });
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

function rowsOf(id: number): readonly ChangeRow[] {
  return ['a', 'b'].map((name, i) => ({
    sequence: i + 1,
    unit: i + 1,
    act: 'create',
    slot: String(i + 1),
    path: parsePath(`${name}${String(id)}`),
    before: absent,
    after: { kind: 'file', sha256: hashContent(name), size: name.length, mode: 0o644 },
    superseded: undefined,
  }));
}

function newTransaction(id: number): NewTransaction {
  const uuid = `${String(id).padStart(8, '0')}-rest`;
  return {
    uuid,
    stage: `${String(id)}-${uuid.slice(0, 8)}`,
    message: `message ${String(id)}`,
    committedAt: 1_000 + id,
    bootId: 'boot',
    changeCount: 2,
    displacedBytes: 0,
    flush: 'before',
    annotations: '{}',
  };
}

const snapshot: NewSnapshot = {
  name: undefined,
  message: '',
  tags: [],
  isPinned: false,
  createdAt: 0,
  head: 0,
  sha256: hashContent(''),
  files: 0,
  directories: 0,
  links: 0,
  bytes: 0,
  leftOut: 0,
  patterns: [],
  fileBytesMax: undefined,
  deletedAt: undefined,
};

/** What is executed while `act` runs, in every connection of this process. */
function statementsDuring(act: () => void): readonly string[] {
  const executing = vi.spyOn(sqliteDriver().prototype, 'exec');
  try {
    act();
    return executing.mock.calls.map(([statement]) => statement);
  } finally {
    executing.mockRestore();
  }
}

function commit(journal: Journal, count: number): readonly Head[] {
  return Array.from({ length: count }, () => {
    const head = journal.head();
    const id = head.id + 1;
    return journal.commit(newTransaction(id), rowsOf(id), {
      epoch: journal.epoch(),
      head,
    });
  });
}

function change(statement: string): void {
  const database = openDatabase(path);
  database.exec(statement);
  database.close();
}

function codeOf(act: () => unknown): string {
  try {
    act();
    return 'fine';
  } catch (error) {
    return isEngineError(error) ? error.code : String(error);
  }
}

test('a journal gives back what was committed', () => {
  using journal = Journal.open(path);
  expect(journal.head()).toEqual({ id: 0, chain: '0'.repeat(64) });
  const heads = commit(journal, 3);
  expect(journal.head()).toEqual(heads[2]);
  expect(journal.changes(2)).toEqual(rowsOf(2));
  expect(journal.transaction(2)).toMatchObject({
    id: 2,
    message: 'message 2',
    committedAt: 1_002,
    rowCount: 2,
    state: 'committed',
    trouble: undefined,
  });
  expect(journal.transaction(9)).toBeUndefined();
  expect(journal.unsettled().map(({ id }) => id)).toEqual([1, 2, 3]);
  expect(journal.epoch(), 'each commit takes an epoch').toBe(4);
});

test('the same commits have the same chain on every machine', () => {
  const other = join(directory, 'other.db');
  Journal.create(other, { epoch: 1, pruned_through: 0, settled_through: 0 });
  using one = Journal.open(path);
  using two = Journal.open(other);
  expect(commit(one, 3)).toEqual(commit(two, 3));
});

test.each([
  ['SQLITE_FULL', 'DISK_FULL'],
  ['SQLITE_IOERR_SHMSIZE', 'DISK_FULL'],
  ['SQLITE_IOERR_FSYNC', 'IO_FAILED'],
] as const)('a new journal whose log cannot be emptied is not made: %s', (code, expected) => {
  const other = join(directory, 'other.db');
  let thrown: unknown;
  whileSqliteFails(code, 'wal_checkpoint(TRUNCATE)', () => {
    try {
      Journal.create(other, { epoch: 1, pruned_through: 0, settled_through: 0 });
    } catch (error) {
      thrown = error;
    }
  });
  expect(thrown).toMatchObject({ code: expected });
});

test('a new journal that somebody reads is not made, because its log cannot be emptied', () => {
  const other = join(directory, 'other.db');
  const reader = openDatabase(other);
  try {
    reader.pragma('journal_mode = WAL');
    reader.exec('CREATE TABLE t (a); BEGIN; SELECT * FROM t');
    expect(() => {
      Journal.create(other, { epoch: 1, pruned_through: 0, settled_through: 0 });
    }).toThrow('could not be made whole');
  } finally {
    reader.close();
  }
});

test('settled ones are unsettled no more, in whatever order', () => {
  using journal = Journal.open(path);
  commit(journal, 5);
  const unsettled = (): number[] => journal.unsettled().map(({ id }) => id);
  journal.update([{ id: 2, state: 'settled' }]);
  expect(unsettled()).toEqual([1, 3, 4, 5]);
  journal.update([{ id: 1, state: 'committed', trouble: 'blocked', reason: 'r' }]);
  expect(unsettled()).toEqual([1, 3, 4, 5]);
  journal.update([3, 4, 5].map((id) => ({ id, state: 'settled' })));
  expect(unsettled()).toEqual([1]);
  expect(journal.troubled().map(({ id }) => id)).toEqual([1]);
  journal.update([{ id: 1, state: 'undoing', trouble: 'blocked', reason: 'r' }]);
  expect(unsettled(), 'decided, but not done yet').toEqual([1]);
  journal.update([{ id: 1, state: 'rolled-back' }]);
  expect(unsettled()).toEqual([]);
  commit(journal, 1);
  expect(unsettled()).toEqual([6]);
});

test.each([
  [
    'a changed path',
    "UPDATE journal_change SET path = 'x' WHERE transaction_id = 2 AND sequence = 1",
    2,
  ],
  ['a changed mode', 'UPDATE journal_change SET after_mode = 511 WHERE transaction_id = 2', 2],
  [
    'a changed content',
    'UPDATE journal_change SET after_sha256 = zeroblob(32) WHERE transaction_id = 2',
    2,
  ],
  ['a changed size', 'UPDATE journal_change SET after_size = 9 WHERE transaction_id = 2', 2],
  [
    'a changed slot',
    "UPDATE journal_change SET slot = '../x' WHERE transaction_id = 2 AND sequence = 1",
    2,
  ],
  [
    'a changed act',
    "UPDATE journal_change SET act = 'member' WHERE transaction_id = 2 AND sequence = 2",
    2,
  ],
  ['a missing row', 'DELETE FROM journal_change WHERE transaction_id = 2 AND sequence = 2', 2],
  [
    'a row too many',
    'INSERT INTO journal_change SELECT transaction_id, 3, 3, act, slot, path, before_kind, before_sha256, before_size, before_mode, before_target, after_kind, after_sha256, after_size, after_mode, after_target, superseded, checksum FROM journal_change WHERE transaction_id = 2 AND sequence = 2',
    2,
  ],
  [
    'changed annotations',
    'UPDATE journal_transaction SET annotations = \'{"undoes":1}\' WHERE id = 2',
    2,
  ],
  ['a changed message', "UPDATE journal_transaction SET message = 'x' WHERE id = 2", 2],
  ['a changed stage', "UPDATE journal_transaction SET stage = '2-evil' WHERE id = 2", 2],
  ['a changed time', 'UPDATE journal_transaction SET committed_at = 0 WHERE id = 2', 2],
  ['a missing transaction', 'DELETE FROM journal_transaction WHERE id = 2', 3],
  ['another chain before', 'UPDATE journal_transaction SET chain = zeroblob(32) WHERE id = 2', 3],
])('the chain shows %s', (_name, statement, id) => {
  {
    using journal = Journal.open(path);
    commit(journal, 3);
    for (const one of [1, 2, 3]) journal.verifyChain(one);
  }
  change(statement);
  using journal = Journal.open(path);
  expect(codeOf(() => journal.verifyChain(id))).toBe('JOURNAL_DAMAGED');
  expect(codeOf(() => journal.verifyChain(1))).toBe('fine');
  sealJournal(path);
  expect(
    codeOf(() => journal.verifyChain(id)),
    'with good checksums',
  ).toBe('JOURNAL_DAMAGED');
  expect(codeOf(() => journal.verifyChain(1))).toBe('fine');
});

test('what does not match its checksum gets no new one', () => {
  using journal = Journal.open(path);
  commit(journal, 2);
  const settle = (id: number): string =>
    codeOf(() => {
      journal.update([{ id, state: 'settled', superseded: new Map([[1, 'edited']]) }]);
    });
  change("UPDATE journal_transaction SET message = 'x' WHERE id = 1");
  expect(settle(1)).toBe('JOURNAL_DAMAGED');
  change("UPDATE journal_change SET path = 'x' WHERE transaction_id = 2 AND sequence = 1");
  expect(settle(2)).toBe('JOURNAL_DAMAGED');
  expect(journal.transaction(2)?.state).toBe('committed');
  change("UPDATE meta SET value = 7 WHERE key = 'settled_through'");
  expect(codeOf(() => journal.unsettled())).toBe('JOURNAL_DAMAGED');
  expect(settle(2)).toBe('JOURNAL_DAMAGED');
});

test('a page that turns out to be damaged while it is written to is damage', () => {
  {
    using journal = Journal.open(path);
    commit(journal, 1);
    journal.truncateLog({ waits: true });
  }
  const database = openDatabase(path);
  const root = database
    .prepare("SELECT rootpage FROM sqlite_schema WHERE name = 'journal_troubled'")
    .pluck()
    .get();
  const size = database.pragma('page_size', { simple: true });
  database.close();
  const file = openSync(path, 'r+');
  const zeros = Buffer.alloc(Number(size));
  writeSync(file, zeros, 0, zeros.length, (Number(root) - 1) * zeros.length);
  closeSync(file);
  using journal = Journal.open(path);
  const block = (): void => {
    journal.update([{ id: 1, state: 'committed', trouble: 'blocked' }]);
  };
  expect(codeOf(block)).toBe('JOURNAL_DAMAGED');
});

test('what is restored stands there as it did', () => {
  const other = join(directory, 'restored.db');
  Journal.create(other, { epoch: 1, settled_through: 0 });
  using journal = Journal.open(path);
  commit(journal, 4);
  journal.update([
    { id: 1, state: 'settled', superseded: new Map([[2, 'edited']]) },
    { id: 2, state: 'rolled-back', reason: 'why' },
    { id: 3, state: 'committed', trouble: 'blocked', reason: 'in the way' },
  ]);
  const all = (of: Journal): unknown =>
    [1, 2, 3, 4].map((id) => [of.transaction(id), of.changes(id)]);
  using restored = Journal.open(other);
  restored.restore(
    [1, 2, 3, 4].flatMap((id) => {
      const row = journal.transaction(id);
      return row === undefined ? [] : [{ row, rows: journal.changes(id) }];
    }),
  );
  expect(all(restored)).toEqual(all(journal));
  expect(restored.meta('settled_through')).toBe(3);
  for (const id of [1, 2, 3, 4]) restored.verifyChain(id);
});

test.each([
  ['path', { path: '../x' as RelativePath }],
  ['slot', { slot: '../x' }],
])('a %s outside of the store is refused, whatever its checksum says', (_what, outside) => {
  using journal = Journal.open(path);
  const rows = rowsOf(1).map((row) => ({ ...row, ...outside }));
  journal.commit(newTransaction(1), rows, { epoch: journal.epoch(), head: journal.head() });
  expect(codeOf(() => journal.changes(1))).toBe('JOURNAL_DAMAGED');
});

test('a stage that is not its own is refused, whatever the chain says', () => {
  using journal = Journal.open(path);
  const planted = { ...newTransaction(1), stage: '1-01234567/../../..' };
  journal.commit(planted, rowsOf(1), { epoch: journal.epoch(), head: journal.head() });
  expect(codeOf(() => journal.verifyChain(1))).toBe('JOURNAL_DAMAGED');
});

test('a transaction that lost a row is not given out', () => {
  using journal = Journal.open(path);
  commit(journal, 1);
  change('DELETE FROM journal_change WHERE sequence = 2');
  expect(codeOf(() => journal.changes(1))).toBe('JOURNAL_DAMAGED');
});

test('a flipped row is not given out', () => {
  using journal = Journal.open(path);
  commit(journal, 1);
  change('UPDATE journal_change SET after_size = 9 WHERE sequence = 2');
  expect(codeOf(() => journal.changes(1))).toBe('JOURNAL_DAMAGED');
});

test.each([
  ['a state', "UPDATE journal_transaction SET state = 'rolled-back' WHERE id = 2"],
  ['a trouble', "UPDATE journal_transaction SET trouble = 'blocked' WHERE id = 2"],
  ['a reason', "UPDATE journal_transaction SET reason = 'x' WHERE id = 2"],
  ['a chain', 'UPDATE journal_transaction SET chain = zeroblob(32) WHERE id = 2'],
  ['a missing transaction', 'DELETE FROM journal_transaction WHERE id = 2'],
])('reading shows %s that was changed', (_name, statement) => {
  {
    using journal = Journal.open(path);
    commit(journal, 3);
  }
  change(statement);
  using journal = Journal.open(path);
  expect(codeOf(() => journal.log(10, 10))).toBe('JOURNAL_DAMAGED');
  expect(codeOf(() => journal.log(2, 3))).toBe('JOURNAL_DAMAGED');
  expect(codeOf(() => journal.transaction(2))).toBe('JOURNAL_DAMAGED');
  expect(codeOf(() => journal.transaction(1))).toBe('fine');
});

test.each([
  ['journal_change', 'superseded', 'checksum'],
  ['journal_change', 'path', 'transaction_id'],
  ['journal_change', 'after_sha256', 'unit'],
  ['journal_transaction', 'message', 'id'],
  ['journal_transaction', 'chain', 'id'],
])('a row of %s whose %s became a number is damage', (table, column, number) => {
  {
    using journal = Journal.open(path);
    commit(journal, 3);
  }
  const loosened = openDatabase(path);
  loosened.unsafeMode();
  const { sql } = loosened
    .prepare<[string], { sql: string }>('SELECT sql FROM sqlite_schema WHERE name = ?')
    .get(table) ?? { sql: '' };
  const setSchema = (text: string): void => {
    loosened.exec('PRAGMA writable_schema = ON');
    loosened.prepare('UPDATE sqlite_schema SET sql = ? WHERE name = ?').run(text, table);
    loosened.exec('PRAGMA writable_schema = RESET');
  };
  // As a flipped bit on disk would: nothing of the table keeps it from it.
  setSchema(
    sql
      .replaceAll('TEXT', 'ANY')
      .replaceAll('BLOB', 'ANY')
      .replaceAll(/CHECK \(.*\)/g, ''),
  );
  loosened.exec(`UPDATE ${table} SET ${column} = ${number}`);
  setSchema(sql);
  loosened.close();
  using journal = Journal.open(path);
  const read = (): unknown => (table === 'journal_change' ? journal.changes(2) : journal.log(3, 9));
  expect(codeOf(read)).toBe('JOURNAL_DAMAGED');
});

test('reading shows that meta was changed', () => {
  {
    using journal = Journal.open(path);
    commit(journal, 3);
  }
  for (const key of ['epoch', 'writes', 'settled_through', 'pruned_through']) {
    change(`UPDATE meta SET value = 77 WHERE key = '${key}'`);
    using journal = Journal.open(path);
    expect(codeOf(() => journal.meta(key))).toBe('JOURNAL_DAMAGED');
    expect(codeOf(() => journal.setMeta({ other: 1 }))).toBe(
      key === 'epoch' ? 'fine' : 'JOURNAL_DAMAGED',
    );
  }
});

test('what meta says in bytes is damage', () => {
  change("UPDATE meta SET value = x'00' WHERE key = 'epoch'");
  using journal = Journal.open(path);
  expect(codeOf(() => journal.epoch())).toBe('JOURNAL_DAMAGED');
});

test('the oldest transaction is missed too', () => {
  {
    using journal = Journal.open(path);
    commit(journal, 3);
  }
  change('DELETE FROM journal_transaction WHERE id = 1');
  using journal = Journal.open(path);
  expect(codeOf(() => journal.log(10, 10))).toBe('JOURNAL_DAMAGED');
  expect(codeOf(() => journal.log(2, 10))).toBe('fine');
});

test('a transaction that another process adds while it is looked for is found', () => {
  using journal = Journal.open(path);
  using other = Journal.open(path);
  const position = journal.position.bind(journal);
  vi.spyOn(journal, 'position').mockImplementationOnce(() => {
    commit(other, 1);
    return position();
  });
  expect(journal.transaction(1)?.message).toBe('message 1');
  expect(journal.transaction(2)).toBeUndefined();
  expect(journal.changes(2)).toEqual([]);
});

test.each(['epoch', 'writes'])('a journal that does not say %s is damaged', (key) => {
  {
    using journal = Journal.open(path);
    commit(journal, 1);
  }
  change(`DELETE FROM meta WHERE key = '${key}'`);
  using journal = Journal.open(path);
  expect(codeOf(() => journal.position())).toBe('JOURNAL_DAMAGED');
});

test('reading shows a reason that a path was superseded for that was changed', () => {
  {
    using journal = Journal.open(path);
    commit(journal, 1);
    journal.update([{ id: 1, state: 'settled', superseded: new Map([[1, 'edited']]) }]);
    expect(journal.changes(1)[0]?.superseded).toBe('edited');
  }
  change("UPDATE journal_change SET superseded = 'deleted'");
  using journal = Journal.open(path);
  expect(codeOf(() => journal.changes(1))).toBe('JOURNAL_DAMAGED');
});

test('a writer with a past epoch cannot commit', () => {
  using journal = Journal.open(path);
  commit(journal, 1);
  const head = journal.head();
  const transaction = { ...journal.transaction(1), uuid: 'u', stage: '2-u' };
  journal.bumpEpoch(journal.epoch());
  expect(codeOf(() => journal.bumpEpoch(1))).toBe('FENCED');
  expect(codeOf(() => journal.commit(transaction as never, [], { epoch: 2, head }))).toBe('FENCED');
  expect(journal.head()).toEqual(head);
});

test('a writer with a past epoch changes nothing', () => {
  using journal = Journal.open(path);
  commit(journal, 1);
  const past = journal.epoch();
  journal.bumpEpoch(past);
  const undoing = [{ id: 1, state: 'undoing' as const }];
  expect(codeOf(() => journal.update(undoing, past))).toBe('FENCED');
  expect(journal.transaction(1)?.state).toBe('committed');
  journal.update(undoing, past + 1);
  expect(journal.epoch()).toBe(past + 2);
});

test('a snapshot is neither added, removed nor rewritten by a writer with a past epoch', () => {
  using journal = Journal.open(path);
  const past = journal.epoch();
  const { id } = journal.snapshots.add(snapshot, past);
  journal.bumpEpoch(past);
  expect(codeOf(() => journal.snapshots.add(snapshot, past))).toBe('FENCED');
  expect(codeOf(() => journal.snapshots.remove(id, past))).toBe('FENCED');
  const renamed = { ...snapshot, id, message: 'other' };
  expect(codeOf(() => journal.snapshots.rewrite(renamed, past))).toBe('FENCED');
  expect(journal.snapshots.list().map((row) => [row.id, row.message])).toEqual([[id, '']]);
  journal.snapshots.remove(id, past + 1);
  expect(journal.snapshots.list()).toEqual([]);
});

test('records are not removed by a writer with a past epoch', () => {
  using journal = Journal.open(path);
  const past = journal.epoch();
  commit(journal, 3);
  journal.update([1, 2, 3].map((id) => ({ id, state: 'settled' })));
  const chain = journal.transaction(2)?.chain ?? emptyChain;
  expect(codeOf(() => journal.anchors.removeThrough(2, chain, past))).toBe('FENCED');
  expect(journal.log(9, 9).map(({ id }) => id)).toEqual([3, 2, 1]);
  journal.anchors.removeThrough(2, chain, journal.epoch());
  expect(journal.log(9, 9).map(({ id }) => id)).toEqual([3]);
  journal.verifyChain(3);
  journal.anchors.verify();
  // The rest is as bound to what went as it was before.
  journal.setMeta({
    anchor: JSON.stringify({ ...journal.anchors.get(), chain: '1'.repeat(64) }),
  });
  expect(codeOf(() => journal.verifyChain(3))).toBe('JOURNAL_DAMAGED');
});

test.each(['not JSON', 'null', '{}', '{"through":0}', '{"through":1,"rowCount":0,"chain":"x"}'])(
  'an anchor that nobody can have written is damage: %s',
  (value) => {
    using journal = Journal.open(path);
    journal.setMeta({ anchor: value });
    expect(codeOf(() => journal.anchors.get())).toBe('JOURNAL_DAMAGED');
  },
);

test('neither a mark nor a policy is set by a writer with a past epoch', () => {
  using journal = Journal.open(path);
  const past = journal.epoch();
  commit(journal, 1);
  const now = journal.epoch();
  const mark = { isPinned: true, tags: ['x'] };
  expect(codeOf(() => journal.keeping.mark(1, mark, past))).toBe('FENCED');
  expect(codeOf(() => journal.keeping.setPolicy({ keepLast: 1 }, past))).toBe('FENCED');
  expect(codeOf(() => journal.keeping.setSnapshotPolicy({ keepLast: 1 }, past))).toBe('FENCED');
  expect(journal.keeping.get().marks.size).toBe(0);
  expect(journal.keeping.ownPolicy()).toBeUndefined();
  journal.keeping.mark(1, mark, now);
  journal.keeping.setPolicy({ keepLast: 1 }, now);
  expect(journal.keeping.get().marks).toEqual(new Map([[1, mark]]));
  expect(journal.keeping.policy()).toEqual({ keepLast: 1 });
  expect(journal.keeping.ownSnapshotPolicy()).toBeUndefined();
  journal.keeping.mark(1, { isPinned: false, tags: [] }, now);
  expect(journal.keeping.get().marks.size).toBe(0);
});

test.each([
  ['kept/1', 'not JSON'],
  ['kept/1', '[]'],
  ['kept/1', '{"isPinned":1,"tags":[]}'],
  ['kept/1', '{"isPinned":true,"tags":[1]}'],
  ['kept/x', '{"isPinned":true,"tags":[]}'],
])('a mark that nobody can have written is damage: %s %s', (key, value) => {
  using journal = Journal.open(path);
  journal.setMeta({ [key]: value });
  expect(codeOf(() => journal.keeping.get())).toBe('JOURNAL_DAMAGED');
});

test.each(['not JSON', '[1]', 'null', '{"keepLast":-1}', '{"keepFirst":1}'])(
  'a policy that nobody can have written is damage: %s',
  (value) => {
    using journal = Journal.open(path);
    journal.setMeta({ history_policy: value });
    expect(codeOf(() => journal.keeping.policy())).toBe('JOURNAL_DAMAGED');
    journal.setMeta({ snapshot_policy: value });
    expect(codeOf(() => journal.keeping.ownSnapshotPolicy())).toBe('JOURNAL_DAMAGED');
  },
);

test('a mark that does not match its checksum is damage', () => {
  using journal = Journal.open(path);
  journal.setMeta({ 'kept/1': '{"isPinned":true,"tags":[]}' });
  change("UPDATE meta SET value = replace(value, 'true', 'false') WHERE key = 'kept/1'");
  expect(() => journal.keeping.get()).toThrow('does not match its checksum');
});

test('only the record that a flush follows is written without a sync of its own', () => {
  using journal = Journal.open(path);
  const statements = statementsDuring(() => {
    const given = { epoch: journal.epoch(), head: journal.head() };
    journal.commit({ ...newTransaction(1), flush: 'with' }, rowsOf(1), given);
  });
  expect(statements).toEqual([
    'PRAGMA synchronous = NORMAL',
    'BEGIN IMMEDIATE',
    'COMMIT',
    'PRAGMA synchronous = FULL',
  ]);
  const others = statementsDuring(() => {
    journal.bumpEpoch(journal.epoch());
    commit(journal, 1);
    journal.update([{ id: 1, state: 'settled' }]);
  });
  expect(others.filter((statement) => statement.includes('synchronous'))).toEqual([]);
});

describe('when SQLite fails', () => {
  test.each([
    ['SQLITE_FULL', 'DISK_FULL'],
    ['SQLITE_READONLY', 'READ_ONLY'],
    ['SQLITE_READONLY_DBMOVED', 'READ_ONLY'],
    ['SQLITE_CANTOPEN', 'PERMISSION_DENIED'],
    ['SQLITE_PERM', 'PERMISSION_DENIED'],
    ['SQLITE_AUTH', 'PERMISSION_DENIED'],
    ['SQLITE_BUSY', 'STORE_LOCKED'],
    ['SQLITE_LOCKED', 'STORE_LOCKED'],
    ['SQLITE_IOERR_WRITE', 'IO_FAILED'],
  ])('with %s, that is %s, and nothing was written', (sqliteCode, code) => {
    using journal = Journal.open(path);
    for (const statement of ['BEGIN IMMEDIATE', 'COMMIT']) {
      whileSqliteFails(sqliteCode, statement, () => {
        expect(codeOf(() => journal.setMeta({ epoch: 9 }))).toBe(code);
      });
      expect(journal.epoch()).toBe(1);
    }
    expect(
      codeOf(() => commit(journal, 1)),
      'it goes on',
    ).toBe('fine');
  });

  test.each([
    ['before its commit', 'SQLITE_IOERR_WRITE', 'BEGIN IMMEDIATE', 'IO_FAILED'],
    ['for want of room in its commit', 'SQLITE_FULL', 'COMMIT', 'DISK_FULL'],
  ])('a transaction that fails %s is not there', (_when, sqliteCode, statement, code) => {
    using journal = Journal.open(path);
    whileSqliteFails(sqliteCode, statement, () => {
      expect(codeOf(() => commit(journal, 1))).toBe(code);
    });
    expect(journal.head().id).toBe(0);
    expect(codeOf(() => commit(journal, 1))).toBe('fine');
  });

  test('in a commit in any other way, nobody knows, and nothing is written after it', () => {
    using journal = Journal.open(path);
    const flushed = { ...journal.head() };
    const given = { epoch: 1, head: flushed };
    const transaction = {
      uuid: '00000001-rest',
      stage: '1-00000001',
      message: '',
      committedAt: 0,
      bootId: '',
      annotations: '{}',
      changeCount: 2,
      displacedBytes: 0,
      flush: 'with' as const,
    };
    whileSqliteFails('SQLITE_IOERR_FSYNC', 'COMMIT', () => {
      expect(codeOf(() => journal.commit(transaction, rowsOf(1), given))).toBe('COMMIT_UNKNOWN');
      // SQLite may still be within it: a second transaction cannot even begin.
      expect(codeOf(() => journal.commit(transaction, rowsOf(1), given))).toMatch(/^(?!fine)/);
    });
  });

  test('its own check tells of a row that breaks the rules of its table', () => {
    breakTableRule(path);
    using journal = Journal.open(path);
    expect(codeOf(() => journal.quickCheck())).toBe('JOURNAL_DAMAGED');
  });

  test.each([
    ['a file without its hash', "after_kind = 'file', after_sha256 = NULL"],
    [
      'a link without its target',
      "after_kind = 'symlink', after_sha256 = NULL, after_size = NULL, after_mode = NULL, after_target = NULL",
    ],
  ])('%s is damage', (_name, columns) => {
    {
      using journal = Journal.open(path);
      commit(journal, 1);
    }
    change(`PRAGMA ignore_check_constraints = ON; UPDATE journal_change SET ${columns}`);
    using journal = Journal.open(path);
    expect(codeOf(() => journal.changes(1))).toBe('JOURNAL_DAMAGED');
  });

  test.each([
    ['a file without its hash', 'after_sha256 = NULL'],
    ['a directory without its mode', "after_kind = 'directory', after_mode = NULL"],
    ['a link without its target', "after_kind = 'symlink', after_target = NULL"],
    ['something that is neither', "before_kind = 'socket'"],
  ])('%s is damage, though somebody made the checksum match', (_name, columns) => {
    {
      using journal = Journal.open(path);
      commit(journal, 1);
    }
    change(`PRAGMA ignore_check_constraints = ON; UPDATE journal_change SET ${columns}`);
    sealJournal(path);
    using journal = Journal.open(path);
    expect(() => journal.changes(1)).toThrow(/has an image without a part/);
  });

  test('its whole check does not take a disk that fails for damage', () => {
    using journal = Journal.open(path);
    whileSqliteFails('SQLITE_IOERR', 'integrity_check(20)', () => {
      expect(codeOf(() => journal.integrityFindings())).toBe('IO_FAILED');
    });
    whileSqliteFails('SQLITE_CORRUPT', 'integrity_check(20)', () => {
      expect(journal.integrityFindings()).toEqual([expect.stringContaining('is damaged')]);
    });
    expect(journal.integrityFindings()).toEqual([]);
  });

  test('a journal that does not say how far it was pruned was not pruned', () => {
    change("DELETE FROM meta WHERE key = 'pruned_through'");
    using journal = Journal.open(path);
    expect(journal.keeping.prunedThrough()).toBe(0);
  });
});

describe('a connection', () => {
  test('is made durable whatever it was, and says when it cannot be', () => {
    const database = openDatabase(path);
    // What better-sqlite3 does with a WAL database.
    expect(database.pragma('synchronous', { simple: true })).toBe(1);
    prepareConnection(database);
    requireDurability(database);
    expect(database.pragma('synchronous', { simple: true })).toBe(2);
    expect(database.pragma('journal_mode', { simple: true })).toBe('wal');
    expect(database.pragma('wal_autocheckpoint', { simple: true })).toBe(0);
    expect(database.pragma('trusted_schema', { simple: true })).toBe(0);
    requireOurSchema(database, path);
    database.close();
    const inMemory = openDatabase(':memory:');
    expect(codeOf(() => requireDurability(inMemory))).toBe('SQLITE_UNSUITABLE');
    inMemory.close();
    // It has a name already, though its code looks like one of SQLite's.
    const missing = new EngineError('SQLITE_UNSUITABLE', 'better-sqlite3 is not installed');
    expect(readFailure(missing, path)).toBe(missing);
  });

  test('prepares a statement once, when it is first used', () => {
    const prepared: string[] = [];
    const prepare = (name: string) => (): string => {
      prepared.push(name);
      return `${name} is prepared`;
    };
    const statements = preparedWhenUsed({ one: prepare('one'), other: prepare('other') });
    expect(prepared).toEqual([]);
    expect([statements.one, statements.one]).toEqual(['one is prepared', 'one is prepared']);
    expect(prepared).toEqual(['one']);
  });

  test('to an SQLite that can corrupt its log is refused', () => {
    const old = {
      exec: () => undefined,
      prepare: () => ({ pluck: () => ({ get: () => '3.51.2' }) }),
    } as unknown as SqliteDatabase;
    expect(codeOf(() => prepareConnection(old))).toBe('SQLITE_UNSUITABLE');
  });

  test('to something else is refused', () => {
    const other = openDatabase(join(directory, 'other.db'));
    other.exec('CREATE TABLE t (x)');
    expect(codeOf(() => requireOurSchema(other, 'other.db'))).toBe('JOURNAL_FOREIGN');
    other.close();
  });
});
