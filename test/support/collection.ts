import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect } from 'vitest';
import {
  type AddedArtifact,
  type Collection,
  type CollectionErrorCode,
  CollectionReader,
  isCollectionError,
  openCollection,
} from '../../src/collection/index.js';
import {
  type EngineErrorCode,
  isEngineError,
  type OpenStoreOptions,
} from '../../src/engine/index.js';

/** A directory of one test's own for a collection, and another for what comes into it. */
export interface CollectionPlace {
  readonly directory: string;
  readonly root: string;
  /** Opens the store of the collection, making it; closed when the test ends. */
  open(options?: OpenStoreOptions): Promise<Collection>;
  /** Writes files below the collection's directory. */
  plant(files: Readonly<Record<string, string>>): void;
  /** Writes the files of an artifact elsewhere, and returns what `add` takes. */
  skill(name: string, files?: Readonly<Record<string, string>>): AddedArtifact;
}

export function useCollectionPlace(): CollectionPlace {
  let directory = '';
  let count = 0;
  const open: Collection[] = [];
  beforeEach(() => {
    directory = realpathSync(mkdtempSync(join(tmpdir(), 'skillmeat-collection-')));
    mkdirSync(join(directory, 'collection'));
  });
  afterEach(async () => {
    for (const collection of open.splice(0)) await collection.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const plantIn = (at: string, files: Readonly<Record<string, string>>): void => {
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(dirname(join(at, path)), { recursive: true });
      writeFileSync(join(at, path), content);
    }
  };
  const root = (): string => join(directory, 'collection');
  return {
    get directory() {
      return directory;
    },
    get root() {
      return root();
    },
    open: async (options) => {
      const collection = await openCollection(root(), { create: true, ...options });
      open.push(collection);
      return collection;
    },
    plant: (files) => {
      plantIn(root(), files);
    },
    skill: (name, files = { 'SKILL.md': `# ${name}\n`, 'scripts/run.sh': 'echo run\n' }) => {
      const from = join(directory, `source-${String((count += 1))}`);
      plantIn(from, files);
      return { ...localSkill(name), from };
    },
  };
}

function localSkill(name: string): Omit<AddedArtifact, 'from'> {
  return {
    name,
    type: 'skill',
    path: `skills/${name}`,
    origin: 'local',
    upstream: undefined,
    versionSpec: undefined,
    resolvedSha: undefined,
    resolvedVersion: undefined,
    tags: [],
  };
}

/** The manifest, the lock and the artifacts agree. */
export async function requireConsistent(root: string): Promise<void> {
  expect(await new CollectionReader(root).findings()).toEqual([]);
}

/** Waits for a rejection, and requires its code. Returns the error. */
export async function expectCode(
  work: Promise<unknown>,
  code: CollectionErrorCode | EngineErrorCode,
): Promise<Error> {
  try {
    await work;
  } catch (error) {
    if (!isCollectionError(error) && !isEngineError(error)) throw error;
    expect(error.code).toBe(code);
    return error;
  }
  throw new Error(`${code} was expected, and nothing failed`);
}
