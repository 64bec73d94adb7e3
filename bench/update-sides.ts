/** The ways to update one artifact that the question `collections` compares; each has a directory of its own. */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, stringify } from 'smol-toml';
import { Collection, openFetcher } from '../src/collection/index.js';
import { openStore } from '../src/engine/index.js';
import { NodeFileSystem } from '../src/engine/node-file-system.js';
import { updateAsPredecessor } from '../test/crash/children/predecessor.mjs';
import { fetchedStamped, plantStamped, stampedHash } from '../test/crash/children/stamped.mjs';
import { nameOf, plantCollection } from './planted-collection.js';

/** One way; `prepare` makes what is fetched elsewhere, and is not measured. */
export interface Side {
  readonly name: string;
  /** Whether it is the yardstick of the others, or none of them. */
  readonly role: 'engine' | 'ours' | 'peer';
  /** Of ours: the side that ends in the same way and is the least that this can cost. */
  readonly yardstick?: string;
  readonly prepare: (round: number) => Promise<() => unknown>;
}

export interface Sides extends AsyncDisposable {
  readonly all: readonly Side[];
}

interface SidesOptions {
  /** Empty. */
  readonly directory: string;
  readonly artifacts: number;
  /** Whether copying the whole collection is measured, too. */
  readonly hasPredecessor: boolean;
}

export async function openSides(options: SidesOptions): Promise<Sides> {
  const { directory } = options;
  const engine = await engineSides(join(directory, 'engine'));
  const ours = await collectionSides(join(directory, 'ours'), options);
  const peers = options.hasPredecessor
    ? predecessorSides(join(directory, 'predecessor'), options)
    : [];
  const toml = tomlSide(join(directory, 'ours'));
  return {
    all: [...engine.all, ...ours.all, toml, ...peers],
    [Symbol.asyncDispose]: async () => {
      await ours[Symbol.asyncDispose]();
      await engine[Symbol.asyncDispose]();
    },
  };
}

const engineAlone = 'engine: the same 7 files';
const engineFailing = 'engine, fails at the lock';

/** The real file system, whose switch of the lock can be made to fail. */
function failingAtLock(): { readonly files: NodeFileSystem; fails: boolean } {
  const state = { files: new NodeFileSystem({ native: 'auto' }), fails: false };
  const exchange = state.files.exchange.bind(state.files);
  state.files.exchange = (ours, theirs) => {
    if (state.fails && theirs.name === 'collection.lock') throw refused();
    exchange(ours, theirs);
  };
  return state;
}

function refused(): Error {
  return Object.assign(new Error('EACCES: refused by the bench'), { code: 'EACCES' });
}

/** Requires that it fails, as it was made to. */
async function rolledBack(work: Promise<unknown>): Promise<void> {
  const outcome = await work.then(
    () => 'done',
    () => 'rolled back',
  );
  if (outcome === 'done') throw new Error('bug: it was to fail');
}

/** A transaction of an artifact and two small files, which is what no collection can be below. */
async function engineSides(directory: string): Promise<Sides> {
  const root = join(directory, 'root');
  mkdirSync(root, { recursive: true });
  const artifacts = 20;
  plantCollection(root, artifacts);
  const seam = failingAtLock();
  const store = await openStore(root, { create: true, fileSystem: seam.files });
  const side = (name: string, fails: boolean): Side => ({
    name,
    role: 'engine',
    prepare: async (round) => {
      const from = join(directory, `${String(fails)}-${String(round)}`);
      plantStamped(from, round);
      const text = `# ${String(round)} ${String(fails)}\n${'x'.repeat(5000)}`;
      const act = () =>
        store.transact({ message: 'bench' }, async (tx) => {
          await tx.copyIn(`skills/${nameOf(round % artifacts)}`, from);
          await tx.write('collection.toml', text);
          await tx.write('collection.lock', text);
        });
      return async () => {
        seam.fails = fails;
        await (fails ? rolledBack(act()) : act());
      };
    },
  });
  return {
    all: [side(engineAlone, false), side(engineFailing, true)],
    [Symbol.asyncDispose]: () => store.close(),
  };
}

async function collectionSides(directory: string, { artifacts }: SidesOptions): Promise<Sides> {
  const root = join(directory, 'root');
  mkdirSync(root, { recursive: true });
  plantCollection(root, artifacts);
  const home = join(directory, 'home');
  const cache = join(home, 'cache');
  const given = { home, cache, pid: process.pid, environment: {}, now: Date.now };
  const fetcher = await openFetcher(given);
  const seam = failingAtLock();
  const store = await openStore(root, { create: true, fileSystem: seam.files });
  const open = new Collection(store);
  let version = 0;
  const side = (name: string, { fails = false, isFresh = false }): Side => ({
    name,
    role: 'ours',
    yardstick: fails ? engineFailing : engineAlone,
    prepare: async (round) => {
      const key = `${nameOf((round * 7) % artifacts)}::skill` as const;
      const artifact = (await open.reader.files()).manifest.get(key);
      if (artifact === undefined) throw new Error(`bug: ${key} is in the manifest`);
      version += 1;
      const fetched = fetchedStamped(join(fetcher.makeDirectory(), 'x'), version);
      const update = { key, artifact, fetched, contentHash: stampedHash(version) };
      const collection = isFresh ? new Collection(store) : open;
      return async () => {
        seam.fails = fails;
        const work = collection.update([update], { fetcher, strategy: 'overwrite' });
        await (fails ? rolledBack(work) : work);
      };
    },
  });
  return {
    all: [
      side('update, 5 files', {}),
      side('update that fails at the lock', { fails: true }),
      side('update, the first after opening', { isFresh: true }),
    ],
    [Symbol.asyncDispose]: async () => {
      await store.close();
      await fetcher[Symbol.asyncDispose]();
    },
  };
}

/** What a tool that reads and writes both files as a whole cannot be below. */
function tomlSide(directory: string): Side {
  const root = join(directory, 'root');
  return {
    name: 'smol-toml: parse and write both files',
    role: 'peer',
    prepare: async () => {
      const names = ['collection.toml', 'collection.lock'];
      const texts = names.map((name) => readFileSync(join(root, name), 'utf8'));
      return () => {
        for (const text of texts) stringify(parse(text));
      };
    },
  };
}

function predecessorSides(directory: string, { artifacts }: SidesOptions): readonly Side[] {
  const root = join(directory, 'root');
  mkdirSync(root, { recursive: true });
  plantCollection(root, artifacts);
  const side = (name: string, fails: boolean): Side => ({
    name,
    role: 'peer',
    prepare: async (round) => {
      const from = join(directory, `${String(fails)}-${String(round)}`);
      plantStamped(from, round);
      const update = {
        root,
        archive: join(directory, 'archive.gz'),
        artifact: `skills/${nameOf(round % artifacts)}`,
        from,
        manifest: (text: string) => `# ${String(round)}\n${text}`,
        lock: (text: string) => {
          if (fails) throw refused();
          return `# ${String(round)}\n${text}`;
        },
      };
      return () => {
        try {
          updateAsPredecessor(update);
        } catch (error) {
          if (!fails) throw error;
        }
      };
    },
  });
  return [side("predecessor's way", false), side("predecessor's way, fails at the lock", true)];
}
