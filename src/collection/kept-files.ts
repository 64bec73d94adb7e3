import { isEngineError, type Store } from '../engine/index.js';
import { isCollectionError } from './errors.js';
import { LockFile, lockName } from './lock-file.js';
import { Manifest, manifestName } from './manifest.js';
import { decodeToml } from './toml/parse-toml.js';

/** How many transactions, and how many snapshots, are looked through for earlier versions. */
const momentsMax = 50;

/** What history has of both files at one moment, each only if its bytes are kept and are TOML. */
export interface KeptFiles {
  /** As in `after transaction 7`. */
  readonly when: string;
  readonly manifest: Manifest | undefined;
  readonly lock: LockFile | undefined;
}

interface KeptMoment {
  readonly when: string;
  /** ISO 8601. */
  readonly time: string;
  /** Throws what says that nobody has the bytes. */
  readonly read: (path: string) => Promise<Uint8Array>;
}

/** Returns the versions of both files that history can still give, newest first. */
export async function keptFiles(store: Store): Promise<readonly KeptFiles[]> {
  const kept: KeptFiles[] = [];
  const seen = new Set<string>();
  for (const { when, read } of await momentsOf(store)) {
    const manifest = await tryRead(async () => parseManifest(await read(manifestName)));
    const lock = await tryRead(async () => parseLock(await read(lockName)));
    const name = JSON.stringify([manifest?.text, lock?.text]);
    if ((manifest === undefined && lock === undefined) || seen.has(name)) continue;
    seen.add(name);
    kept.push({ when, manifest, lock });
  }
  return kept;
}

/** Parses all of a manifest. @throws {CollectionError} `TOML_INVALID`. */
export function parseManifest(bytes: Uint8Array): Manifest {
  const manifest = new Manifest(decodeToml(bytes, manifestName));
  manifest.all();
  return manifest;
}

/** Parses all of a lock. @throws {CollectionError} `TOML_INVALID`. */
export function parseLock(bytes: Uint8Array): LockFile {
  const lock = new LockFile(decodeToml(bytes, lockName));
  lock.all();
  return lock;
}

async function momentsOf(store: Store): Promise<readonly KeptMoment[]> {
  const moments: KeptMoment[] = [];
  const logs = [
    await store.log({ path: manifestName, limit: momentsMax }),
    await store.log({ path: lockName, limit: momentsMax }),
  ];
  const rows = new Map(logs.flat().map((row) => [row.id, row]));
  for (const { id, committedAt, state } of rows.values()) {
    const isDone = state === 'committed' || state === 'settled';
    if (id === null || committedAt === null || !isDone) continue;
    const at = (number: number, when: string): KeptMoment => ({
      when,
      time: committedAt,
      read: async (path) => (await store.read(path, { kind: 'transaction', id: number })).bytes,
    });
    moments.push(at(id, `after transaction ${String(id)}`));
    moments.push(at(id - 1, `before transaction ${String(id)}`));
  }
  for (const { id, name, createdAt } of (await store.snapshots.list()).slice(0, momentsMax)) {
    if (id === null) continue;
    const when = `in snapshot ${name ?? String(id)}`;
    moments.push({
      when,
      time: createdAt,
      read: async (path) => (await store.read(path, { kind: 'snapshot', snapshot: id })).bytes,
    });
  }
  return moments.toSorted((a, b) => (a.time < b.time ? 1 : a.time > b.time ? -1 : 0));
}

const notToBeHad = [
  'PATH_NOT_FOUND',
  'PATH_IS_DIRECTORY',
  'PATH_IS_LINK',
  'PATH_SPECIAL',
  'HISTORY_PRUNED',
  'HISTORY_DAMAGED',
  'TRANSACTION_NOT_FOUND',
] as const;

/** Returns `undefined` for what nobody keeps, or what is no TOML either. */
async function tryRead<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    const isGone = isEngineError(error, ...notToBeHad);
    if (isGone || isCollectionError(error, 'TOML_INVALID', 'TOML_LAYOUT_UNSUPPORTED')) {
      return undefined;
    }
    throw error;
  }
}
