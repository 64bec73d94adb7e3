import { posix } from 'node:path';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { type ArtifactKey, keyOf } from '../../src/collection/artifact.js';
import { readFiles } from '../../src/collection/collection-files.js';
import { commitRule } from '../../src/collection/commit-rule.js';
import { contentHash } from '../../src/collection/content-hash.js';
import { LockFile } from '../../src/collection/lock-file.js';
import { Manifest } from '../../src/collection/manifest.js';
import type { Change, PathEntry, PathStat, ReadableView } from '../../src/engine/index.js';

/*
 * A commit looks at the artifacts that it touches. What it refuses must be what looking at all of
 * them refuses, whatever it says that it meant to touch.
 */

const runs = Number(process.env['SKILLMEAT_RULES'] ?? 250);

/** The files of a directory, by their paths. */
type Files = ReadonlyMap<string, string>;

/** Artifacts of which some lie inside of others. */
const places = [
  { name: 'a', type: 'skill', path: 'skills/a' },
  { name: 'b', type: 'skill', path: 'skills/b' },
  { name: 'inner', type: 'command', path: 'skills/a/inner.md' },
  { name: 'deep', type: 'skill', path: 'skills/a/deep' },
  { name: 'odd', type: 'skill', path: './skills//b/' },
  { name: 'c', type: 'command', path: 'commands/c.md' },
  { name: 'out', type: 'skill', path: '../a' },
] as const;
const paths = [
  'skills/a/SKILL.md',
  'skills/a/x',
  'skills/a/inner.md',
  'skills/a/deep/SKILL.md',
  'skills/b/SKILL.md',
  'skills/b/y',
  'commands/c.md',
  'notes.md',
];

class MapView implements ReadableView {
  readonly #files: Files;

  constructor(files: Files) {
    this.#files = files;
  }

  async read(path: string): Promise<Uint8Array | undefined> {
    const content = this.#files.get(posix.normalize(path));
    return content === undefined ? undefined : Buffer.from(content);
  }

  async stat(path: string): Promise<PathStat | undefined> {
    const at = posix.normalize(path).replace(/\/$/, '');
    const content = this.#files.get(at);
    if (content !== undefined) return { kind: 'file', size: content.length, mode: 0o644 };
    const isDirectory = [...this.#files.keys()].some((file) => file.startsWith(`${at}/`));
    return isDirectory ? { kind: 'directory', size: 0, mode: 0o755 } : undefined;
  }

  async list(path = '.'): Promise<readonly PathEntry[] | undefined> {
    const at = posix.normalize(path).replace(/\/$/, '');
    const entries = new Map<string, PathEntry>();
    for (const file of this.#files.keys()) {
      if (at !== '.' && !file.startsWith(`${at}/`)) continue;
      const [name = '', ...rest] = (at === '.' ? file : file.slice(at.length + 1)).split('/');
      entries.set(name, { name, kind: rest.length === 0 ? 'file' : 'directory' });
    }
    return entries.size === 0 ? undefined : [...entries.values()];
  }
}

/** A collection of the artifacts that are wanted, mostly as the lock has them. */
async function plant(wanted: readonly (typeof places)[number][], files: Files): Promise<Files> {
  const view = new MapView(files);
  let [manifest, lock] = [new Manifest('[collection]\nname = "c"\n'), new LockFile('')];
  for (const { name, type, path } of wanted) {
    manifest = manifest.add({ name, type, path, resolved_sha: 'one' });
    const hash = (await contentHash(view, path)) ?? '';
    lock = lock.set(keyOf({ name, type }), { content_hash: hash, resolved_sha: 'one' });
  }
  const both = [
    ['collection.toml', manifest.text],
    ['collection.lock', lock.text],
  ] as const;
  return new Map([...files, ...both]);
}

type Edit =
  | { readonly kind: 'write'; readonly path: string; readonly content: string | undefined }
  | { readonly kind: 'manifest' | 'lock'; readonly at: number; readonly field: string }
  | { readonly kind: 'forget' | 'unlock'; readonly at: number }
  | { readonly kind: 'relock'; readonly at: number };

const place = fc.nat({ max: places.length - 1 });
const field = fc.constantFrom('resolved_sha', 'content_hash', 'path', 'tags');
const edit: fc.Arbitrary<Edit> = fc.oneof(
  fc.record({
    kind: fc.constant('write' as const),
    path: fc.constantFrom(...paths),
    content: fc.constantFrom('one', 'two', undefined),
  }),
  fc.record({ kind: fc.constantFrom('manifest' as const, 'lock' as const), at: place, field }),
  fc.record({ kind: fc.constantFrom('forget' as const, 'unlock' as const), at: place }),
  fc.record({ kind: fc.constant('relock' as const), at: place }),
);

async function change(before: Files, edits: readonly Edit[]): Promise<Files> {
  const files = new Map(before);
  const rewrite = async (act: (manifest: Manifest, lock: LockFile) => [Manifest, LockFile]) => {
    const known = await readFiles(new MapView(files), '/');
    const [manifest, lock] = act(known.manifest, known.lock);
    files.set('collection.toml', manifest.text).set('collection.lock', lock.text);
  };
  for (const one of edits) {
    if (one.kind === 'write') {
      if (one.content === undefined) files.delete(one.path);
      else files.set(one.path, one.content);
      continue;
    }
    const artifact = places[one.at] ?? places[0];
    const key = keyOf(artifact);
    const hash = await contentHash(new MapView(files), artifact.path);
    await rewrite((manifest, lock) => {
      const isNamed = manifest.has(key);
      switch (one.kind) {
        case 'manifest':
          return [isNamed ? manifest.edit(key, { [one.field]: 'two' }) : manifest, lock];
        case 'lock':
          return [manifest, lock.set(key, { [one.field]: 'two' })];
        case 'forget':
          return [isNamed ? manifest.remove(key) : manifest, lock];
        case 'unlock':
          return [manifest, lock.remove(key)];
        case 'relock':
          return [manifest, lock.set(key, { content_hash: hash ?? '' })];
      }
    });
  }
  return files;
}

function changesOf(before: Files, after: Files): readonly Change[] {
  const image = (content: string | undefined): Change['before'] =>
    content === undefined
      ? { kind: 'absent' }
      : { kind: 'symlink', target: `stands for ${content}` };
  return [...new Set([...before.keys(), ...after.keys()])]
    .filter((path) => before.get(path) !== after.get(path))
    .map((path) => ({ path, before: image(before.get(path)), after: image(after.get(path)) }));
}

async function violations(
  before: Files,
  after: Files,
  keys: ReadonlySet<ArtifactKey> | undefined,
): Promise<readonly string[]> {
  const filesBefore = await readFiles(new MapView(before), '/');
  const rule = commitRule(() => ({
    root: '/',
    before: new MapView(before),
    filesBefore,
    filesMeant: undefined,
    keys,
    mayDiffer: new Set(),
  }));
  const found = await rule(new MapView(after), changesOf(before, after));
  return [...new Set(found.map(({ rule: name, message }) => `${name} ${message}`))].toSorted();
}

test('a commit that looks at what it touches refuses what looking at everything refuses', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.subarray([...places]),
      fc.subarray(paths, { minLength: 3 }),
      fc.array(edit, { maxLength: 2 }),
      fc.array(edit, { minLength: 1, maxLength: 4 }),
      fc.subarray(places.map(keyOf)),
      async (wanted, there, broken, edits, meant) => {
        const planted = await plant(wanted, new Map(there.map((path) => [path, 'one'])));
        const before = await change(planted, broken);
        const after = await change(before, edits);
        const all = await violations(before, after, undefined);
        expect(await violations(before, after, new Set(meant))).toEqual(all);
      },
    ),
    { numRuns: runs },
  );
});
