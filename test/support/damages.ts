import {
  chmodSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
  closeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { FindingKind, RepairAction } from '../../src/engine/index.js';
import { rowChecksum } from '../../src/engine/row-text.js';
import { openDatabase } from '../../src/engine/sqlite.js';
import { copyTree } from './copier.js';
import { plantObject } from './objects.js';
import { changeJournal, plant, setInJournal, type Sandbox } from './store.js';
import { sha256 } from './tree.js';

/** Long enough to be stored compressed. */
const longText = 'all work and no play\n'.repeat(1_000);

/** Planted once, then copied: a copy needs none of the syncs, which wait for the whole disk. */
const planted = new Map<string, string>();

/**
 * A store with all that can be damaged: five transactions, the first two settled, and two snapshots.
 * Closed when this returns.
 */
export async function plantHistory(sandbox: Sandbox): Promise<void> {
  const { mode, root } = sandbox;
  const original = planted.get(mode);
  if (original !== undefined) {
    rmSync(root, { recursive: true });
    copyTree(original, root);
    takeOver(root);
    return;
  }
  await plantOriginal(sandbox);
  const kept = join(mkdtempSync(join(tmpdir(), 'skillmeat-planted-')), 'root');
  copyTree(root, kept);
  planted.set(mode, kept);
}

/** To be called when the tests of a file are over. */
export function removePlanted(): void {
  for (const kept of planted.values()) rmSync(dirname(kept), { recursive: true });
  planted.clear();
}

/** What `recover --adopt` does, without a sync. */
function takeOver(root: string): void {
  const { ino, birthtimeNs } = lstatSync(root, { bigint: true });
  const store = lstatSync(own(root), { bigint: true });
  const identity = {
    root_inode: `${String(ino)}/${String(store.ino)}`,
    root_born: String(birthtimeNs),
  };
  const statements = Object.entries(identity).map(([key, value]) => {
    const checksum = String(rowChecksum([key, value]));
    return `UPDATE meta SET value = '${value}', checksum = ${checksum} WHERE key = '${key}';`;
  });
  changeJournal(root, ['PRAGMA synchronous = OFF;', ...statements].join(''));
}

async function plantOriginal(sandbox: Sandbox): Promise<void> {
  sandbox.seed({ seeded: 'as it was', 'd/x': 'x1', 'd/y': 'y1', link: { link: 'seeded' } });
  const store = await sandbox.open();
  await store.transact({}, async (tx) => {
    await tx.write('a', 'a1');
    await tx.write('d/x', 'x2');
  });
  await store.transact({}, async (tx) => {
    await tx.write('a', 'a2');
    await tx.write('long', longText);
  });
  await store.recover();
  await store.snapshots.create({ name: 'first' });
  await store.transact({}, (tx) => tx.remove('d'));
  await store.transact({}, (tx) => tx.write('a', 'a4'));
  await store.snapshots.create();
  await store.transact({}, async (tx) => {
    await tx.chmod('seeded', 0o600);
    await tx.write('long', 'short');
  });
  await store.close();
}

export interface Damage {
  readonly name: string;
  /** Runs while nobody has the store open. */
  readonly inflict: (root: string) => void;
  /** What `verify --deep` finds, each as its kind and the path or place that it names. */
  readonly finds: readonly (readonly [FindingKind, string])[];
  /** What `repair` does about them, each once, sorted. */
  readonly answers: readonly RepairAction[];
  /** Without `--deep` nothing is found. */
  readonly needsDeep?: true;
  /** Opening recovers, which would mend it or fail. */
  readonly isSeenBeforeRecovery?: true;
}

const own = (root: string, ...names: readonly string[]): string =>
  join(root, '.skillmeat', ...names);

/** Names in `stage/` of one transaction, sorted. */
function slotsOf(root: string, transaction: number): readonly string[] {
  return readdirSync(own(root, 'stage'))
    .filter((name) => name.startsWith(`${String(transaction)}-`))
    .toSorted();
}

/** The path of the first slot of transaction 2: `a` as it was before, `a1`. */
function slotOfA(root: string): string {
  const [first] = slotsOf(root, 2);
  if (first === undefined) throw new Error('transaction 2 has a slot');
  return own(root, 'stage', first);
}

function compressedObject(root: string): string {
  const hash = sha256(longText);
  const [name = ''] = readdirSync(own(root, 'objects', hash.slice(0, 2))).filter((one) =>
    one.startsWith(hash.slice(2)),
  );
  return own(root, 'objects', hash.slice(0, 2), name);
}

function overwrite(at: string, position: number, bytes: Buffer): void {
  const file = openSync(at, 'r+');
  writeSync(file, bytes, 0, bytes.length, position);
  closeSync(file);
}

/** Scribbles over a part of the page that a table or index begins at. */
function scribble(root: string, name: string, { from = 8, length = 64 } = {}): void {
  const at = own(root, 'journal.db');
  const database = openDatabase(at, { readonly: true });
  const row = database
    .prepare<[string], { rootpage: number }>('SELECT rootpage FROM sqlite_schema WHERE name = ?')
    .get(name);
  const pageBytes = Number(database.pragma('page_size', { simple: true }));
  database.close();
  if (row === undefined) throw new Error(`there is no ${name}`);
  overwrite(at, (row.rootpage - 1) * pageBytes + from, Buffer.alloc(length, 0xa5));
}

/** Returns the hash of the listing of the first snapshot. */
function listingOfFirst(root: string): string {
  const database = openDatabase(own(root, 'journal.db'), { readonly: true });
  try {
    const row = database.prepare<[], { sha256: Buffer }>('SELECT sha256 FROM snapshot').get();
    return row?.sha256.toString('hex') ?? '';
  } finally {
    database.close();
  }
}

const objectPlace = (content: string): string =>
  `objects/${sha256(content).slice(0, 2)}/${sha256(content).slice(2)}`;

/** Everything that `verify` knows to find, each made by a real damage. */
export const damages: readonly Damage[] = [
  {
    name: 'a slot is gone',
    inflict: (root) => rmSync(slotOfA(root)),
    answers: ['accept-loss'],
    finds: [['slot-missing', 'a']],
  },
  {
    name: 'a slot is longer than it was',
    inflict: (root) => writeFileSync(slotOfA(root), 'a1 and more'),
    answers: ['accept-loss'],
    finds: [['slot-damaged', 'a']],
  },
  {
    name: 'a slot has other bytes of the same length',
    inflict: (root) => writeFileSync(slotOfA(root), 'A1'),
    answers: ['accept-loss'],
    finds: [['slot-damaged', 'a']],
    needsDeep: true,
  },
  {
    name: 'a file of a displaced directory is gone',
    inflict: (root) => rmSync(own(root, 'stage', slotsOf(root, 3)[0] ?? '', 'y')),
    answers: ['restore'],
    finds: [['slot-missing', 'd/y']],
  },
  {
    name: 'a displaced directory is gone',
    inflict: (root) => rmSync(own(root, 'stage', slotsOf(root, 3)[0] ?? ''), { recursive: true }),
    answers: ['restore'],
    finds: [
      ['slot-missing', 'd'],
      ['slot-missing', 'd/x'],
      ['slot-missing', 'd/y'],
    ],
  },
  {
    name: 'strangers lie in the stage directory',
    inflict: (root) => {
      writeFileSync(own(root, 'stage', 'mine'), 'mine');
      plant(own(root, 'stage'), { '2-00000000.1/deep': 'deep' });
    },
    answers: ['set-aside'],
    finds: [
      ['stage-orphan', 'stage/2-00000000.1'],
      ['stage-orphan', 'stage/mine'],
    ],
  },
  {
    name: 'an object is gone',
    inflict: (root) => plantObject(root, 'a2', undefined),
    answers: ['restore'],
    finds: [['object-missing', 'a']],
  },
  {
    name: 'an object is cut',
    inflict: (root) => plantObject(root, 'as it was', 'as it'),
    answers: ['restore'],
    finds: [['object-damaged', 'seeded']],
  },
  {
    name: 'an object has other bytes of the same length',
    inflict: (root) => plantObject(root, 'x2', 'X2'),
    answers: ['restore'],
    finds: [['object-damaged', 'd/x']],
    needsDeep: true,
  },
  {
    name: 'a compressed object has a flipped byte',
    inflict: (root) => {
      const at = compressedObject(root);
      const middle = Math.floor(statSync(at).size / 2);
      overwrite(at, middle, Buffer.from([(readFileSync(at)[middle] ?? 0) ^ 0x10]));
    },
    answers: ['restore'],
    finds: [['object-damaged', 'long']],
    needsDeep: true,
  },
  {
    name: 'the listing of a snapshot is gone',
    inflict: (root) => {
      const hash = listingOfFirst(root);
      rmSync(own(root, 'objects', hash.slice(0, 2), hash.slice(2)));
    },
    answers: ['drop-snapshot'],
    finds: [['object-missing', 'objects/']],
  },
  {
    name: 'the listing of a directory in a snapshot is damaged',
    inflict: (root) => {
      const line = (name: string, content: string): string =>
        `${JSON.stringify([name, 'file', 0o644, content.length, sha256(content)])}\n`;
      plantObject(root, line('x', 'x2') + line('y', 'y1'), 'nonsense');
    },
    answers: ['accept-loss'],
    finds: [['object-damaged', 'd']],
  },
  {
    name: 'an object that no snapshot names is older than a day',
    inflict: (root) => {
      plantObject(root, 'nobody', 'nobody');
    },
    answers: ['remove'],
    finds: [['object-orphan', objectPlace('nobody')]],
  },
  {
    name: 'the row of a snapshot was changed',
    inflict: (root) => changeJournal(root, "UPDATE snapshot SET message = 'x' WHERE id = 1"),
    answers: ['rewrite-record'],
    finds: [['snapshot-damaged', 'journal.db']],
  },
  {
    name: 'a row of a change was changed',
    inflict: (root) =>
      changeJournal(
        root,
        "UPDATE journal_change SET after_size = 7 WHERE path = 'a' AND transaction_id = 2",
      ),
    answers: ['rebuild'],
    finds: [['record-damaged', 'journal.db']],
  },
  {
    name: 'the message of a transaction was changed',
    inflict: (root) =>
      changeJournal(root, "UPDATE journal_transaction SET message = 'x' WHERE id = 1"),
    answers: ['rebuild'],
    finds: [['record-damaged', 'journal.db']],
  },
  {
    name: 'the state of a transaction was changed',
    inflict: (root) =>
      changeJournal(root, "UPDATE journal_transaction SET state = 'rolled-back' WHERE id = 2"),
    answers: ['rebuild'],
    finds: [['record-damaged', 'journal.db']],
  },
  {
    name: 'how far history was pruned was changed',
    inflict: (root) =>
      changeJournal(root, "UPDATE meta SET value = 3 WHERE key = 'pruned_through'"),
    answers: ['rebuild'],
    finds: [['record-damaged', 'journal.db']],
  },
  {
    name: 'a transaction in the middle is gone',
    inflict: (root) =>
      changeJournal(
        root,
        'DELETE FROM journal_transaction WHERE id = 4; DELETE FROM journal_change WHERE transaction_id = 4',
      ),
    answers: ['adopt', 'rebuild'],
    finds: [
      // What it displaced is no orphan: rebuilding may want it.
      ['record-damaged', 'journal.db'],
      ['drift', 'a'],
    ],
  },
  {
    name: 'the newest transaction is gone',
    inflict: (root) =>
      changeJournal(
        root,
        'DELETE FROM journal_transaction WHERE id = 5; DELETE FROM journal_change WHERE transaction_id = 5',
      ),
    answers: ['rebuild'],
    finds: [
      ['head-lost', 'journal.db'],
      ['recovery-pending', 'owner'],
      ['drift', 'long'],
    ],
  },
  {
    name: 'a page of the journal is scribbled over',
    // How many bytes are lost between its cells: nobody who reads or writes minds it.
    inflict: (root) => scribble(root, 'snapshot', { from: 7, length: 1 }),
    answers: ['rebuild'],
    finds: [['journal-damaged', 'journal.db']],
  },
  {
    name: 'the pages of the changes are scribbled over',
    inflict: (root) => scribble(root, 'journal_change'),
    answers: ['rebuild'],
    finds: [
      ['journal-damaged', 'journal.db'],
      ...[5, 4, 3, 2, 1].map(() => ['record-damaged', 'journal.db'] as const),
    ],
  },
  {
    name: 'the journal is gone',
    inflict: (root) => rmSync(own(root, 'journal.db')),
    answers: ['rebuild'],
    finds: [['store-unopenable', '.']],
  },
  {
    name: 'the journal is cut in the middle',
    inflict: (root) => truncateSync(own(root, 'journal.db'), 8_192),
    answers: ['rebuild'],
    finds: [['store-unopenable', '.']],
  },
  {
    name: 'the journal is another file',
    inflict: (root) => writeFileSync(own(root, 'journal.db'), 'nonsense'.repeat(1_000)),
    answers: ['rebuild'],
    finds: [['store-unopenable', '.']],
  },
  {
    name: 'the stage directory is gone',
    inflict: (root) => rmSync(own(root, 'stage'), { recursive: true }),
    answers: ['rebuild'],
    finds: [['store-unopenable', '.']],
  },
  {
    name: 'the owner record is nonsense',
    inflict: (root) => writeFileSync(own(root, 'owner'), '{"pid":'),
    answers: ['recover'],
    finds: [['owner-damaged', 'owner']],
    isSeenBeforeRecovery: true,
  },
  {
    name: 'the owner record is gone',
    inflict: (root) => rmSync(own(root, 'owner')),
    answers: ['recover'],
    finds: [['recovery-pending', 'owner']],
    isSeenBeforeRecovery: true,
  },
  {
    name: 'a transaction is blocked',
    inflict: (root) =>
      setInJournal(root, {
        states: [{ id: 5, state: 'committed', trouble: 'blocked', reason: 'r' }],
      }),
    answers: ['recover'],
    finds: [['transaction-blocked', '5']],
    isSeenBeforeRecovery: true,
  },
  {
    name: 'a transaction is damaged',
    inflict: (root) =>
      setInJournal(root, {
        states: [{ id: 5, state: 'committed', trouble: 'damaged', reason: 'r' }],
      }),
    answers: ['recover'],
    finds: [['transaction-damaged', '5']],
    isSeenBeforeRecovery: true,
  },
  {
    name: 'something in quarantine has no note',
    inflict: (root) => writeFileSync(own(root, 'quarantine/7-1'), 'whose?'),
    answers: ['write-note'],
    finds: [['quarantine-unexplained', 'quarantine/7-1']],
  },
  {
    name: 'a note in quarantine is about nothing',
    inflict: (root) =>
      writeFileSync(own(root, 'quarantine/8-1.json'), '{"path":"a","transaction":7,"why":"w"}'),
    answers: ['remove'],
    finds: [['quarantine-note-alone', 'quarantine/8-1.json']],
  },
  {
    name: 'the stage directory is read-only',
    inflict: (root) => chmodSync(own(root, 'stage'), 0o500),
    answers: ['make-writable'],
    finds: [['directory-read-only', 'stage']],
  },
  {
    name: 'other programs changed files',
    inflict: (root) => {
      writeFileSync(join(root, 'a'), 'edited');
      rmSync(join(root, 'long'));
      plant(root, { 'd/x': 'back', untouched: 'no transaction knows it' });
    },
    answers: ['adopt'],
    finds: [
      ['drift', 'a'],
      ['drift', 'd'],
      ['drift', 'd/x'],
      ['drift', 'long'],
    ],
  },
];
