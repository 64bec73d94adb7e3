import { lstatSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { EngineError } from '../engine/index.js';

const storeName = '.skillmeat';

/** Where SkillMeat keeps a person's collections: `SKILLMEAT_HOME`, or `.skillmeat` in the home directory. */
export function homePath(): string {
  const given = process.env['SKILLMEAT_HOME'] ?? '';
  return given === '' ? join(homedir(), storeName) : resolve(given);
}

/**
 * Returns the directory that `-C` names, or else the nearest one from the working directory
 * upwards that has a store.
 *
 * @throws {EngineError} `STORE_NOT_FOUND`, `PERMISSION_DENIED` when one on the way cannot be
 * looked into: a store further up would be the wrong one.
 */
export function findRoot(given: string | undefined): string {
  const start = given === undefined ? workingDirectory() : resolve(workingDirectory(), given);
  const found = given === undefined ? nearestRoot(start) : start;
  if (found !== undefined) return found;
  throw new EngineError(
    'STORE_NOT_FOUND',
    `neither ${start} nor any directory above it has a ${storeName}`,
    {
      path: start,
      hint: 'Make a store with: skillmeat txn init; or name its directory with -C.',
    },
  );
}

/** Returns the nearest directory upwards that has a store. */
export function findRootAtHand(): string | undefined {
  return nearestRoot(workingDirectory());
}

/** As {@link findRoot}, but where there is none, the place for a new one. */
export function findRootOrPlace(given: string | undefined): string {
  const start = resolve(workingDirectory(), given ?? '.');
  return given === undefined ? (nearestRoot(start) ?? start) : start;
}

/** @throws {EngineError} `STORE_NOT_FOUND` when it was removed. */
export function workingDirectory(): string {
  try {
    return process.cwd();
  } catch (cause) {
    throw new EngineError('STORE_NOT_FOUND', 'the working directory does not exist any more', {
      cause,
      hint: 'Change to a directory that exists.',
    });
  }
}

function nearestRoot(start: string): string | undefined {
  for (let directory = start; ; directory = dirname(directory)) {
    if (hasStore(directory)) return directory;
    if (directory === dirname(directory)) return undefined;
  }
}

function hasStore(directory: string): boolean {
  const path = join(directory, storeName);
  // The home of SkillMeat has the same name, and is no store.
  if (path === homePath()) return false;
  try {
    // Anything by that name: the engine says what is wrong with a link or a file.
    return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch (cause) {
    throw new EngineError('PERMISSION_DENIED', `cannot look for ${path}`, {
      path,
      cause,
      hint: 'Name the directory of the store with -C.',
    });
  }
}
