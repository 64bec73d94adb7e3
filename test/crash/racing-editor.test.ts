import fs from 'node:fs';
import path from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { isEngineError, openStore, type Store } from '../../src/engine/index.js';
import { Journal } from '../../src/engine/journal.js';
import { historyTransactionsMax, unsettledTransactionsMax } from '../../src/engine/limits.js';
import { type Evidence, testify, testMachine } from '../support/evidence.js';
import { Child, cleanUp, makeDirectory, removeDirectory, sha256 } from '../support/processes.js';
import type { EditInput, EditWay } from './children/racing-editor.mjs';
import { recordOf, recordsIn } from './children/records.mjs';
import { type NativeMode, nativeModes } from './recovered-state.js';
import { amount, isExhaustive } from '../support/extent.js';

/*
 * I3 against a real editor, in another process, that edits the very files that transactions replace.
 * Its bytes may end in place, in the history, in quarantine, or overwritten by the editor itself,
 * which says what it found when it wrote. Nowhere else.
 */

afterEach(cleanUp);

const names = ['one.txt', 'two.txt', 'three.txt', 'folder/four.txt'];
const ways: readonly EditWay[] = ['rename', 'overwrite', 'truncate', 'append', 'map'];
const racingEdits = Number(
  process.env['SKILLMEAT_RACING_EDITS'] ?? amount({ thorough: 3_000, otherwise: 800 }),
);
/** Plain Node runs a program for every file that it replaces, so its transactions take longer. */
const editsOf: Readonly<Record<NativeMode, number>> = { auto: racingEdits, off: racingEdits / 10 };
/** So many, that all transactions of a round stay within the history. */
const roundEdits = 4_000;
const burst = 8;

describe.each(nativeModes)('native %s', (native) => {
  const rounds = Math.ceil(editsOf[native] / roundEdits);
  const sum = emptyTally();

  test.each(Array.from({ length: rounds }, (_, i) => i * roundEdits))(
    'no edit by another program is lost to transactions on the same files (from edit %i)',
    async (done) => {
      const tally = emptyTally();
      const edits = Math.min(roundEdits, editsOf[native] - done);
      // On a busy machine all edits may be done before a transaction is, and nothing was raced.
      for (let round = 0; round < 20 && !hasRaced(tally); round += 1) {
        await race(native, edits, tally);
      }
      testify({ ...about, native, states: tally.written, violations: tally.lost.length });
      for (const what of counted) sum[what] += tally[what];
      sum.lost.push(...tally.lost);
      console.log(`edits against transactions, native ${native}: ${describeTally(sum)}`);
      expect(tally.lost).toEqual([]);
      // Or it tested nothing.
      expect(hasRaced(tally), describeTally(tally)).toBe(true);
    },
  );
});

function hasRaced(tally: Tally): boolean {
  const needed = ['written', 'inPlace', 'inHistory', 'committed', 'drifted'] as const;
  return needed.every((what) => tally[what] > 0);
}

test('what is written late to a displaced file outlives the history', async () => {
  const root = makeRoot();
  const store = await openStore(root, { create: true });
  const raced = await raceIn(root, { store, native: 'auto', count: 800 }, emptyTally());
  const unknown = await bytesWithoutImage(root, raced);
  await raced.store.close();
  appendHistory(root);
  await using again = await openStore(root);
  // The second checkpoint prunes what the first has settled.
  for (let n = 0; n < 2 * unsettledTransactionsMax; n += 1) {
    await again.transact({}, (tx) => tx.write('other.txt', String(n)));
  }
  const left = keptBelow(root);
  const pruned = [...raced.written].filter(
    (text) => !left.has(text) && !raced.overwritten.has(text),
  );
  console.log(
    `when the history has gone: ${String(pruned.length)} edits that it named gone with it, ${String(unknown.length)} late ones kept`,
  );
  expect(pruned.length).toBeGreaterThan(0);
  expect(unknown.length).toBeGreaterThan(0);
  expect(unknown.filter((text) => !left.has(text))).toEqual([]);
});

test('a program that looks, and then renames over the file, loses edits of the same editor', async () => {
  const root = makeRoot();
  const editor = await startEditor(root, 1_600);
  const history = new Set<string>();
  let replaced = 0;
  for (let n = 0; editor.isRunning; n += 1) {
    if (n < 1_600 / burst) editor.tell('1');
    for (const name of names) {
      const text = `plain ${String(n)} ${name}`;
      if (replacePlainly(path.join(root, name), text, history)) replaced += 1;
    }
    await setImmediate();
  }
  await editor.succeeded();
  const { written, overwritten } = whatItSaid(editor);
  const kept = keptBelow(root);
  const lost = [...written].filter(
    (text) => !overwritten.has(text) && !kept.has(text) && !history.has(text),
  );
  console.log(
    `edits against check and rename: ${String(written.size)} edits, ${String(replaced)} files replaced, ${String(lost.length)} edits lost`,
  );
  expect(lost.length).toBeGreaterThan(0);
});

const about: Omit<Evidence, 'states' | 'violations' | 'native'> = {
  fault: 'race with an editor',
  on: testMachine,
  note: 'states are edits',
};

const counted = [
  'written',
  'overwrittenByEditor',
  'inPlace',
  'inHistory',
  'inQuarantine',
  'committed',
  'drifted',
  'blocked',
] as const;

type Tally = Record<(typeof counted)[number], number> & { readonly lost: string[] };

function emptyTally(): Tally {
  return {
    written: 0,
    overwrittenByEditor: 0,
    inPlace: 0,
    inHistory: 0,
    inQuarantine: 0,
    committed: 0,
    drifted: 0,
    blocked: 0,
    lost: [],
  };
}

function describeTally(tally: Tally): string {
  const counts = counted.map((what) => `${what} ${String(tally[what])}`);
  return [...counts, `lost ${String(tally.lost.length)}`].join(', ');
}

async function race(native: NativeMode, count: number, tally: Tally): Promise<void> {
  const root = makeRoot();
  const store = await openStore(root, { create: true, native });
  const { store: last } = await raceIn(root, { store, native, count }, tally);
  await last.close();
  await using after = await openStore(root, { native });
  expect(await after.status()).toMatchObject({ troubled: [] });
  removeDirectory(path.dirname(root));
}

interface Raced {
  /** Another than before when that had to be opened again. */
  readonly store: Store;
  readonly written: ReadonlySet<string>;
  readonly overwritten: ReadonlySet<string>;
}

/** Lets the editor and transactions at the same files; counts where each edit is afterwards. */
async function raceIn(
  root: string,
  {
    store: first,
    native,
    count,
  }: { readonly store: Store; readonly native: NativeMode; readonly count: number },
  tally: Tally,
): Promise<Raced> {
  const editor = await startEditor(root, count);
  let store = first;
  let lastMs = 2;
  let bursts = Math.ceil(count / burst) - 1;
  for (let n = 1; bursts > 0; n += 1) {
    // Each second transaction is left alone, or few would get through.
    if (n % 2 === 0) {
      editor.tell(String(lastMs));
      bursts -= 1;
    }
    const begun = performance.now();
    try {
      await store.transact({}, async (tx) => {
        for (const name of names) {
          await tx.write(name, recordOf(`transaction ${String(n)} ${name}`));
        }
      });
      tally.committed += 1;
      lastMs = performance.now() - begun;
    } catch (error) {
      if (isEngineError(error, 'BLOCKED')) {
        // The editor came in again while its first edit was given back: the next open finishes that.
        tally.blocked += 1;
        await store.close();
        store = await openStore(root, { native });
      } else if (isEngineError(error, 'DRIFT_DETECTED', 'PATH_NOT_FOUND')) {
        tally.drifted += 1;
      } else {
        throw error;
      }
    }
  }
  // The last burst meets nobody.
  editor.tell('0');
  await editor.succeeded();
  const said = whatItSaid(editor);
  const kept = keptBelow(root);
  for (const text of said.written) {
    tally.written += 1;
    const at = kept.get(text);
    if (at === undefined && !said.overwritten.has(text)) tally.lost.push(text);
    else tally[at ?? 'overwrittenByEditor'] += 1;
  }
  return { store, ...said };
}

function makeRoot(): string {
  const root = path.join(makeDirectory({ inMemory: !isExhaustive }), 'root');
  fs.mkdirSync(path.join(root, 'folder'), { recursive: true });
  for (const name of names) fs.writeFileSync(path.join(root, name), recordOf(`first ${name}`));
  return root;
}

async function startEditor(root: string, count: number): Promise<Child> {
  const input: EditInput = { root, names, ways, count, burst };
  const editor = new Child('racing-editor.mjs', input);
  if (!(await editor.hears('READY'))) await editor.succeeded();
  return editor;
}

function whatItSaid(editor: Child): {
  readonly written: ReadonlySet<string>;
  readonly overwritten: ReadonlySet<string>;
} {
  return { written: new Set(editor.said('WROTE')), overwritten: new Set(editor.said('FOUND')) };
}

type KeptIn = 'inPlace' | 'inHistory' | 'inQuarantine';

/** Every record in a file below the root, with the best place that it is at. */
function keptBelow(root: string): ReadonlyMap<string, KeptIn> {
  const places: readonly (readonly [KeptIn, string])[] = [
    ['inHistory', '.skillmeat/stage'],
    ['inQuarantine', '.skillmeat/quarantine'],
    ['inPlace', '.'],
  ];
  const kept = new Map<string, KeptIn>();
  for (const [keptIn, below] of places) {
    for (const file of filesBelow(path.join(root, below), keptIn === 'inPlace')) {
      for (const text of recordsIn(fs.readFileSync(file))) kept.set(text, keptIn);
    }
  }
  return kept;
}

function filesBelow(directory: string, withoutStore: boolean): readonly string[] {
  if (!fs.existsSync(directory)) return [];
  return fs
    .readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .filter((file) => !withoutStore || !file.includes('/.skillmeat/'));
}

/** As many transactions, of nothing, as the history keeps: what is older is beyond the limit. */
function appendHistory(root: string): void {
  using journal = Journal.open(path.join(root, '.skillmeat/journal.db'));
  for (let n = 0; n < historyTransactionsMax; n += 1) {
    const head = journal.head();
    const transaction = {
      uuid: '01234567-0000',
      stage: `${String(head.id + 1)}-01234567`,
      message: '',
      committedAt: 0,
      bootId: '',
      changeCount: 0,
      displacedBytes: 0,
      flush: 'before' as const,
      annotations: '{}',
    };
    journal.commit(transaction, [], { epoch: journal.epoch(), head });
  }
}

/** What the editor wrote and only a file holds whose content no image of the journal names. */
async function bytesWithoutImage(
  root: string,
  { store, written }: Raced,
): Promise<readonly string[]> {
  const named = new Set<string>();
  for (const { id } of await store.log({ limit: roundEdits })) {
    for (const { before, after } of (await store.show(id ?? 0)).changes) {
      for (const image of [before, after]) if (image.kind === 'file') named.add(image.sha256);
    }
  }
  return filesBelow(path.join(root, '.skillmeat/stage'), false).flatMap((file) => {
    const content = fs.readFileSync(file);
    if (named.has(sha256(content))) return [];
    return recordsIn(content).filter((text) => written.has(text));
  });
}

/**
 * What a careful program does without transactions: keeps what it found, makes the new file, looks
 * whether the old one is still the same, and renames.
 */
function replacePlainly(file: string, text: string, history: Set<string>): boolean {
  const before = fs.readFileSync(file);
  const beside = `${file}.new`;
  fs.writeFileSync(beside, recordOf(text));
  if (!fs.readFileSync(file).equals(before)) return false;
  for (const kept of recordsIn(before)) history.add(kept);
  fs.renameSync(beside, file);
  return true;
}
