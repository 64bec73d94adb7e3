import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect } from 'vitest';
import {
  EngineError,
  type EngineErrorCode,
  openStore,
  type OpenStoreOptions,
  type Receipt,
  type Store,
} from '../../src/engine/index.js';
import { Journal } from '../../src/engine/journal.js';
import type { MetaValue } from '../../src/engine/meta-table.js';
import type { TransactionUpdate } from '../../src/engine/transaction-row.js';
import { openDatabase } from '../../src/engine/sqlite.js';
import { formatOwner, type OwnerRecord } from '../../src/engine/writer-lock.js';
import { expectedChanges, readTree, type Tree } from './tree.js';

/** Everything that touches the disk is tested with the native part and without. */
export const modes = ['auto', 'off'] as const;
export type Mode = (typeof modes)[number];

export type Seed = Readonly<
  Record<string, string | { readonly directory: number } | { readonly link: string } | SeedFile>
>;
interface SeedFile {
  readonly content: string;
  readonly mode: number;
}

/** A directory of one test's own, with the stores that it opened. */
export interface Sandbox {
  readonly mode: Mode;
  /** Absolute, links resolved; holds the root and whatever else the test needs. */
  readonly directory: string;
  readonly root: string;
  /** Opens the store of the root, making it; closed when the test ends. */
  open(options?: OpenStoreOptions): Promise<Store>;
  /** As {@link open}, for a root elsewhere in the sandbox. */
  openAt(root: string, options?: OpenStoreOptions): Promise<Store>;
  /** Absolute path of a root-relative one. */
  at(path: string): string;
  /** Makes files (`'text'` or content with mode), directories and links in the root. */
  seed(seed: Seed): void;
  tree(): Tree;
  /** The store is broken on purpose: do not check its journal when the test ends. */
  breaksStore(): void;
}

/** Gives each test of the enclosing `describe` a fresh root, and checks its store afterwards. */
export function useSandbox(mode: Mode): Sandbox {
  let current: TestSandbox | undefined;
  const get = (): TestSandbox => {
    if (current === undefined) throw new Error('the sandbox is there while a test runs');
    return current;
  };
  beforeEach(() => {
    current = new TestSandbox(mode);
  });
  afterEach(async () => {
    await get().end();
    current = undefined;
  });
  return {
    mode,
    get directory() {
      return get().directory;
    },
    get root() {
      return get().root;
    },
    open: (options) => get().openAt(get().root, options),
    openAt: (root, options) => get().openAt(root, options),
    at: (path) => join(get().root, path),
    seed: (seed) => {
      plant(get().root, seed);
    },
    tree: () => readTree(get().root),
    breaksStore: () => {
      get().isBroken = true;
    },
  };
}

class TestSandbox {
  readonly directory: string;
  readonly root: string;
  readonly #mode: Mode;
  readonly #stores: Store[] = [];
  readonly #roots = new Set<string>();
  isBroken = false;

  constructor(mode: Mode) {
    this.#mode = mode;
    this.directory = realpathSync(mkdtempSync(join(tmpdir(), 'skillmeat-test-')));
    this.root = join(this.directory, 'root');
    mkdirSync(this.root);
  }

  async openAt(root: string, options: OpenStoreOptions = {}): Promise<Store> {
    const store = await openStore(root, { create: true, native: this.#mode, ...options });
    this.#stores.push(store);
    this.#roots.add(root);
    return store;
  }

  async end(): Promise<void> {
    try {
      for (const store of this.#stores) await store.close();
      if (!this.isBroken) for (const root of this.#roots) requireHealthy(root);
      expect(openDescriptors(this.directory), 'descriptors that were not closed').toEqual([]);
    } finally {
      removeAll(this.directory);
    }
  }
}

/** Removes a directory, whatever the modes in it. */
function removeAll(directory: string): void {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    if (!entry.isDirectory()) continue;
    const path = join(directory, entry.name);
    chmodSync(path, 0o700);
    removeAll(path);
  }
  rmSync(directory, { recursive: true, force: true });
}

/** Makes files, directories and links below `root`, with their parents. */
export function plant(root: string, seed: Seed): void {
  const directories: [string, number][] = [];
  for (const [path, what] of Object.entries(seed)) {
    const at = join(root, path);
    mkdirSync(dirname(at), { recursive: true });
    if (typeof what === 'string' || 'content' in what) {
      const { content, mode } = typeof what === 'string' ? { content: what, mode: 0o644 } : what;
      writeFileSync(at, content);
      chmodSync(at, mode);
    } else if ('link' in what) symlinkSync(what.link, at);
    else {
      mkdirSync(at, { recursive: true });
      directories.push([at, what.directory]);
    }
  }
  for (const [at, mode] of directories) chmodSync(at, mode);
}

/** This process's descriptors of files below `directory`. */
export function openDescriptors(directory: string): readonly string[] {
  return readdirSync('/proc/self/fd').flatMap((descriptor) => {
    try {
      const path = readlinkSync(`/proc/self/fd/${descriptor}`);
      return path.startsWith(directory) ? [path] : [];
    } catch {
      // The descriptor that lists this very directory is gone by now.
      return [];
    }
  });
}

/** Checks a store that nobody has open: chain, stage directory, owner record. */
export function requireHealthy(root: string): void {
  const store = join(root, '.skillmeat');
  if (!existsSync(join(store, 'journal.db'))) return;
  using journal = Journal.open(join(store, 'journal.db'));
  journal.quickCheck();
  const transactions = journal.log(Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
  for (const { id } of transactions) journal.verifyChain(id);
  // What was undone stays for a while too: it was in place for an instant.
  const { prunedThrough, marks } = journal.keeping.get();
  const kept = transactions.filter(({ id }) => id > prunedThrough || marks.has(id));
  const stages = new Set(kept.map(({ stage }) => stage));
  const orphans = readdirSync(join(store, 'stage')).filter(
    (name) => !stages.has(name.split('.')[0] ?? ''),
  );
  expect(orphans, 'staged contents of no transaction').toEqual([]);
  const owner = readOwnerFile(root);
  expect(owner === undefined || owner.isReleased, 'the lock was released in order').toBe(true);
}

export function readOwnerFile(root: string): OwnerRecord | undefined {
  const path = join(root, '.skillmeat/owner');
  if (!existsSync(path)) return undefined;
  const text = readFileSync(path, 'utf8');
  return text === '' ? undefined : (JSON.parse(text) as OwnerRecord);
}

/** Makes the owner record of a store, of `at` if that is not where it is now, say something else. */
export function changeOwner(root: string, changes: Partial<OwnerRecord>, at = root): void {
  const { checksum: _, ...record } = readOwnerFile(root) as OwnerRecord & { checksum: string };
  writeFileSync(join(at, '.skillmeat/owner'), formatOwner({ ...record, ...changes }));
}

/** Runs `statement` in the journal through a connection of its own. */
export function changeJournal(root: string, statement: string): void {
  const database = openDatabase(join(root, '.skillmeat/journal.db'));
  try {
    database.exec(statement);
  } finally {
    database.close();
  }
}

/** Changes where transactions stand, or what `meta` says, as the journal itself would. */
export function setInJournal(
  root: string,
  {
    states = [],
    meta = {},
  }: {
    readonly states?: readonly TransactionUpdate[];
    readonly meta?: Readonly<Record<string, MetaValue>>;
  },
): void {
  using journal = Journal.open(join(root, '.skillmeat/journal.db'));
  journal.update(states);
  journal.setMeta(meta);
}

/** As another writer does that takes over. */
export function bumpEpoch(root: string): void {
  using journal = Journal.open(join(root, '.skillmeat/journal.db'));
  journal.bumpEpoch(journal.epoch());
}

/** Everything that the journal says, but for what counts writes: taking the lock over may be one. */
export function dumpJournal(root: string): unknown {
  const database = openDatabase(join(root, '.skillmeat/journal.db'), { readonly: true });
  try {
    return ['meta', 'journal_transaction', 'journal_change', 'snapshot'].map((table) =>
      database
        .prepare<[], { key?: string }>(`SELECT * FROM ${table}`)
        .all()
        .filter(({ key }) => key !== 'epoch' && key !== 'writes'),
    );
  } finally {
    database.close();
  }
}

/** Names in a directory of the engine's own, sorted. */
export function listOwn(root: string, name: 'stage' | 'quarantine' | '.'): readonly string[] {
  return readdirSync(join(root, '.skillmeat', name)).toSorted();
}

/** Numbers of the transactions that have something in `stage/`, in order. */
export function stagedTransactions(root: string): readonly number[] {
  const ids = listOwn(root, 'stage').map((name) => Number(name.split('-')[0]));
  return [...new Set(ids)].toSorted((a, b) => a - b);
}

export interface QuarantinedFile {
  readonly path: string;
  readonly transaction: number;
  readonly why: string;
  readonly bytes: string;
}

/** What lies in quarantine, with its notes. */
export function readQuarantine(root: string): readonly QuarantinedFile[] {
  return listOwn(root, 'quarantine')
    .filter((name) => name.endsWith('.json'))
    .map((name) => {
      const at = join(root, '.skillmeat/quarantine', name);
      const { path, transaction, why } = JSON.parse(readFileSync(at, 'utf8')) as QuarantinedFile;
      return { path, transaction, why, bytes: readFileSync(at.slice(0, -5), 'utf8') };
    });
}

/** Checks an error's code, path and hint. */
export async function expectError(
  act: Promise<unknown> | (() => Promise<unknown>),
  code: EngineErrorCode,
  details: { readonly path?: string; readonly message?: RegExp } = {},
): Promise<EngineError> {
  let caught: unknown;
  try {
    await (typeof act === 'function' ? act() : act);
  } catch (error) {
    caught = error;
  }
  if (!(caught instanceof EngineError)) {
    throw new Error(`expected an EngineError ${code}, got ${String(caught)}`, { cause: caught });
  }
  expect(`${caught.code}: ${caught.message}`).toMatch(new RegExp(`^${code}: `));
  if (details.path !== undefined) expect(caught.path).toBe(details.path);
  if (details.message !== undefined) expect(caught.message).toMatch(details.message);
  expect(caught.hint ?? '', `the hint of ${code}`).not.toBe('');
  return caught;
}

/** As {@link expectError}, and nothing in the root or in the journal has changed. */
export async function expectRefused(
  root: string,
  act: () => Promise<unknown>,
  code: EngineErrorCode,
  details: { readonly path?: string; readonly message?: RegExp } = {},
): Promise<EngineError> {
  const [tree, journal, stage] = [readTree(root), dumpJournal(root), listOwn(root, 'stage')];
  const error = await expectError(act, code, details);
  expect(readTree(root)).toEqual(tree);
  expect(dumpJournal(root)).toEqual(journal);
  expect(listOwn(root, 'stage')).toEqual(stage);
  return error;
}

/** Checks that a receipt tells exactly what happened between two trees. */
export function expectReceipt(receipt: Receipt, before: Tree, after: Tree): void {
  const changes = receipt.transaction?.changes ?? [];
  const sorted = changes.toSorted((a, b) => (a.path < b.path ? -1 : 1));
  expect(sorted).toEqual(expectedChanges(before, after));
  if (receipt.transaction === null) return;
  expect(receipt.transaction.changeCount).toBe(changes.length);
  expect(receipt.transaction.superseded).toEqual([]);
}
