import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { LockFile } from '../../src/collection/lock-file.js';
import { Manifest } from '../../src/collection/manifest.js';
import {
  type Collection,
  CollectionReader,
  isCollectionError,
  openCollection,
} from '../../src/collection/index.js';
import { isEngineError } from '../../src/engine/index.js';
import { amount } from '../support/extent.js';
import { requireHealthy } from '../support/store.js';
import { readTree } from '../support/tree.js';

/*
 * Any sequence of commands of a collection, with undos of random older transactions in between: the
 * rules hold, what an undo is not about stays byte for byte, an undo that nothing came in the way of is
 * done, and a redo after something else gives back what the undo took, but for `updated`.
 */

const names = ['a', 'b', 'c', 'd'] as const;
const name = fc.constantFrom(...names);
const content = fc.constantFrom('1', '2', '3');

type Step =
  | { readonly do: 'add'; readonly names: readonly string[]; readonly content: string }
  | { readonly do: 'remove'; readonly name: string }
  | { readonly do: 'rename'; readonly name: string; readonly to: string }
  | { readonly do: 'tag'; readonly name: string; readonly tag: string }
  | { readonly do: 'edit'; readonly name: string; readonly content: string }
  | { readonly do: 'plain'; readonly content: string }
  | { readonly do: 'edit manifest'; readonly content: string }
  | {
      readonly do: 'undo';
      readonly at: number;
      readonly terms: { readonly merge?: boolean; readonly force?: boolean };
    };

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('add' as const),
      names: fc.uniqueArray(name, { minLength: 1, maxLength: 2 }),
      content,
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('remove' as const), name }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('rename' as const), name, to: name }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('tag' as const), name, tag: content }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('edit' as const), name, content }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('plain' as const), content }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('edit manifest' as const), content }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('undo' as const),
      at: fc.nat(),
      terms: fc.constantFrom({}, {}, {}, { merge: true }, { force: true }),
    }),
  },
);

/** All that a collection has of each artifact, and of everything else. */
type Parts = ReadonlyMap<string, string>;

function read(root: string, path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

function withoutTime(text: string): string {
  return text.replace(/^updated = .*$/m, 'updated');
}

function partsOf(root: string): Parts {
  const parts = new Map<string, string>();
  const add = (part: string, what: string): void => {
    parts.set(part, `${parts.get(part) ?? ''}${what}\n`);
  };
  const manifest = new Manifest(read(root, 'collection.toml'));
  for (const key of manifest.keys) add(key, manifest.textOf(key)?.trimEnd() ?? '');
  const lock = new LockFile(read(root, 'collection.lock'));
  for (const key of lock.keys) add(key, lock.textOf(key)?.trimEnd() ?? '');
  let rest = withoutTime(manifest.text);
  for (const key of manifest.keys) rest = rest.replace(manifest.textOf(key) ?? '', '');
  add('the manifest', rest.trimEnd());
  for (const [path, entry] of Object.entries(readTree(root))) {
    const [, skill] = /^skills\/([^/]+)/.exec(path) ?? [];
    if (skill !== undefined) add(`${skill}::skill`, JSON.stringify([path, entry]));
    else if (path === 'notes') add('notes', JSON.stringify(entry));
  }
  return parts;
}

function changed(before: Parts, after: Parts): ReadonlySet<string> {
  const all = new Set([...before.keys(), ...after.keys()]);
  return new Set([...all].filter((part) => before.get(part) !== after.get(part)));
}

async function attempt<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (isCollectionError(error) || isEngineError(error)) return undefined;
    throw error;
  }
}

class Trial {
  readonly #collection: Collection;
  readonly #root: string;
  readonly #sources: string;
  /** What each transaction changed, those left out that no undo is tried of. */
  readonly #touched = new Map<number, ReadonlySet<string>>();

  constructor(collection: Collection, sources: string) {
    this.#collection = collection;
    this.#root = collection.root;
    this.#sources = sources;
  }

  async run(step: Step): Promise<void> {
    if (step.do === 'undo') await this.#undo(step.at, step.terms);
    else await this.#watch(() => this.#act(step));
    const { findings } = await new CollectionReader(this.#root).status();
    expect(findings).toEqual([]);
  }

  async #watch(work: () => Promise<unknown>): Promise<void> {
    const before = partsOf(this.#root);
    const { head } = await this.#collection.store.status();
    await attempt(work());
    const after = await this.#collection.store.status();
    if (after.head === head) return;
    expect(after.head).toBe(head + 1);
    this.#touched.set(after.head, changed(before, partsOf(this.#root)));
  }

  async #act(step: Exclude<Step, { do: 'undo' }>): Promise<unknown> {
    const collection = this.#collection;
    switch (step.do) {
      case 'add':
        return collection.add(
          step.names.map((one) => this.skill(one, step.content)),
          { force: true },
        );
      case 'remove':
        return collection.remove([step.name], { force: true });
      case 'rename':
        return collection.rename(step.name, step.to);
      case 'tag':
        return collection.tag([step.name], { add: [step.tag] });
      case 'edit':
        return this.#edit(`skills/${step.name}/SKILL.md`, `by hand ${step.content}`);
      case 'plain':
        return this.#edit('notes', step.content);
      case 'edit manifest':
        return this.#editManifest(step.content);
    }
  }

  /** What knows nothing of collections, and may do what an edit by hand may. */
  async #edit(path: string, text: string): Promise<unknown> {
    return this.#collection.store.transact({}, async (tx) => {
      if (path === 'notes' || (await tx.stat(path)) !== undefined) await tx.write(path, text);
    });
  }

  async #editManifest(group: string): Promise<unknown> {
    const text = read(this.#root, 'collection.toml');
    const lines = `[[groups]]\nname = "${group}"\n\n`;
    const edited = text.includes(lines) ? text.replace(lines, '') : `${lines}${text}`;
    return this.#edit('collection.toml', edited);
  }

  skill(one: string, text: string): Parameters<Collection['add']>[0][number] {
    const from = join(this.#sources, `${one}-${text}`);
    mkdirSync(from, { recursive: true });
    writeFileSync(join(from, 'SKILL.md'), `# ${one} ${text}\n`);
    writeFileSync(join(from, text), text);
    return {
      name: one,
      type: 'skill',
      path: `skills/${one}`,
      from,
      origin: 'local',
      upstream: undefined,
      versionSpec: undefined,
      resolvedSha: undefined,
      resolvedVersion: undefined,
      tags: [],
    };
  }

  async #undo(at: number, terms: { merge?: boolean; force?: boolean }): Promise<void> {
    const ids = [...this.#touched.keys()];
    const transaction = ids[at % ids.length];
    if (transaction === undefined) return;
    const about = this.#touched.get(transaction) ?? new Set<string>();
    const since = ids.filter((id) => id > transaction).map((id) => this.#touched.get(id));
    const isFree = since.every((touched) => isApart(touched, about));
    const [before, tree] = [partsOf(this.#root), readTree(this.#root)];
    let id: number | null | undefined;
    await this.#watch(async () => {
      id = (await this.#collection.undo({ transaction, ...terms })).transaction?.id;
    });
    if (isFree) expect(id).toEqual(expect.any(Number));
    if (id === undefined || id === null) {
      expect(readTree(this.#root)).toEqual(tree);
      return;
    }
    for (const part of changed(before, partsOf(this.#root))) expect(about).toContain(part);
    await this.#takeBack(id, before);
  }

  /** Something that leaves no trace but `updated` comes in between. */
  async #takeBack(id: number, before: Parts): Promise<void> {
    const collection = this.#collection;
    // An undo of an undo is a redo already.
    const [newest] = await collection.store.history({ limit: 1 });
    const kind = newest?.kind === 'undo' ? 'redo' : 'undo';
    const manifest = withoutTime(await this.#textBefore(id, 'collection.toml'));
    const lock = await this.#textBefore(id, 'collection.lock');
    await collection.tag(['other'], { add: ['t'] });
    await collection.tag(['other'], { remove: ['t'] });
    await this.#watch(() => collection[kind]({ transaction: id }));
    expect(partsOf(this.#root)).toEqual(before);
    expect(withoutTime(read(this.#root, 'collection.toml'))).toBe(manifest);
    expect(read(this.#root, 'collection.lock')).toBe(lock);
  }

  async #textBefore(id: number, path: string): Promise<string> {
    const moment = { kind: 'transaction', id: id - 1 } as const;
    return Buffer.from((await this.#collection.store.read(path, moment)).bytes).toString();
  }
}

function isApart(touched: ReadonlySet<string> | undefined, about: ReadonlySet<string>): boolean {
  return [...about].every((part) => touched?.has(part) !== true);
}

async function check(steps: readonly Step[]): Promise<void> {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), 'skillmeat-collection-undo-')));
  const root = join(directory, 'collection');
  mkdirSync(root);
  const collection = await openCollection(root, { create: true });
  try {
    await collection.init('mine');
    const trial = new Trial(collection, directory);
    await collection.add([trial.skill('other', '1')]);
    for (const one of steps) await trial.run(one);
    await collection.close();
    requireHealthy(root);
  } finally {
    await collection.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

const runs = Number(process.env['SKILLMEAT_UNDO_RUNS'] ?? amount({ thorough: 24, otherwise: 8 }));

test('any sequence of commands and undos of older ones keeps the rules, and all that it is not about', async () => {
  await fc.assert(fc.asyncProperty(fc.array(anyStep, { minLength: 3, maxLength: 10 }), check), {
    numRuns: runs,
    includeErrorInReport: true,
  });
});
