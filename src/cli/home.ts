import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import {
  activeCollection,
  CollectionError,
  configName,
  manifestName,
  parseCollectionName,
  withActiveCollection,
} from '../collection/index.js';
import { homePath, workingDirectory } from './store-root.js';

/** Returns where the collection of this name is, or would be. @throws `COLLECTION_NAME_INVALID`. */
export function collectionDirectory(name: string): string {
  return join(homePath(), 'collections', parseCollectionName(name));
}

/** Returns the directory that a person means by `--collection`: a name, or a path. */
export function namedCollection(nameOrPath: string): string {
  const isPath = /[/\\]/.test(nameOrPath) || nameOrPath.startsWith('.');
  return isPath ? resolve(workingDirectory(), nameOrPath) : collectionDirectory(nameOrPath);
}

/** Returns the name of the collection in use. @throws `TOML_INVALID`, `CONFIG_INVALID`. */
export function activeName(): string {
  return activeCollection(readConfig());
}

/** Says which collection is used from now on. The file is replaced in one step. */
export function useCollection(name: string): void {
  const home = homePath();
  const before = readConfig();
  const text = withActiveCollection(before, name);
  if (text === before) return;
  replaceFile(join(home, configName), text);
}

/** Writes a file of the home in one step. @throws the error of the system call that failed. */
export function replaceFile(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  const fresh = `${path}.new-${String(process.pid)}`;
  const file = openSync(fresh, 'w');
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(fresh, path);
}

/** Returns the names of a person's collections, sorted. */
export function collectionNames(): readonly string[] {
  const directory = join(homePath(), 'collections');
  return orNothing(() => readdirSync(directory), [])
    .filter((name) => !name.startsWith('.') && isCollection(join(directory, name)))
    .toSorted();
}

/** Tells whether a directory is a collection. */
export function isCollection(directory: string): boolean {
  return orNothing(() => readdirSync(directory), []).includes(manifestName);
}

function readConfig(): string {
  const path = join(homePath(), configName);
  return orNothing(() => readFileSync(path, 'utf8'), '');
}

function orNothing<T>(read: () => T, nothing: T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error)) throw error;
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return nothing;
    throw new CollectionError('COLLECTION_UNREADABLE', error.message, {
      path: homePath(),
      cause: error,
      hint: 'Check the owner and mode, or name another home with SKILLMEAT_HOME.',
    });
  }
}
