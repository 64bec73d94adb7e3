import * as fc from 'fast-check';
import { parse } from 'smol-toml';
import { expect, test } from 'vitest';
import { type ArtifactKey, keyOf, readArtifact } from '../../src/collection/artifact.js';
import { LockFile } from '../../src/collection/lock-file.js';
import { artifactsIn, Manifest } from '../../src/collection/manifest.js';

/*
 * An edit takes apart only what it touches. What comes out must be what taking the whole text apart
 * gives, whatever stands around it.
 */

const runs = Number(process.env['SKILLMEAT_PIECES'] ?? 200);
const names = ['a', 'b', 'c', 'd "q"', 'é'];
const keys = names.map((name) => keyOf({ name, type: 'skill' }));

/** Lines that stand between artifacts, and may go together with what comes next to them. */
const between = fc.constantFrom(
  '',
  '\n',
  '# about the next one\n',
  '# about nothing\n\n',
  '[[groups]]\nname = "g"\n',
  '[collection]\nname = "c"\nupdated = "t"\n',
  '[artifacts.metadata]\ntitle = "t"\n',
  '[lock.entries."a::skill".more]\nx = 1\n',
  'loose = """\n[[artifacts]]\n"""\n',
);

function artifactText(name: string, more: string): string {
  return `[[artifacts]]\nname = ${JSON.stringify(name)}\ntype = "skill"\npath = "p"\n${more}`;
}

function entryText(name: string, more: string): string {
  return `[lock.entries.${JSON.stringify(`${name}::skill`)}]\ncontent_hash = "h"\n${more}`;
}

function textOf(make: (name: string, more: string) => string): fc.Arbitrary<string> {
  const block = fc.tuple(fc.constantFrom(...names), between, between);
  return fc
    .tuple(between, fc.array(block, { maxLength: 5 }), fc.constantFrom('', '# end', '\n\n'))
    .map(([first, blocks, last]) => {
      const lines = blocks.map(([name, more, after]) => make(name, more) + after);
      return first + lines.join('') + last;
    });
}

const action = fc.record({
  kind: fc.constantFrom('edit', 'rename', 'add', 'put', 'remove', 'touch'),
  key: fc.constantFrom(...keys),
  to: fc.constantFrom(...names),
  value: fc.constantFrom('v', undefined, 'x\ny', '[[artifacts]]'),
  field: fc.constantFrom('path', 'more', 'content_hash'),
});

type Action = typeof action extends fc.Arbitrary<infer T> ? T : never;

function editManifest(manifest: Manifest, { kind, key, to, value, field }: Action): Manifest {
  const isThere = manifest.has(key) && !manifest.duplicates.includes(key);
  if (kind === 'touch') return manifest.touch('later');
  if (kind === 'add') return manifest.add({ name: to, type: 'skill', path: 'p' });
  if (kind === 'put' && !manifest.duplicates.includes(key)) {
    return manifest.put(key, artifactText(to, 'more = 1\n\n'));
  }
  if (!isThere) return manifest;
  if (kind === 'remove') return manifest.remove(key);
  return manifest.edit(key, kind === 'rename' ? { name: to } : { [field]: value });
}

function editLock(lock: LockFile, { kind, key, to, value, field }: Action): LockFile {
  if (lock.duplicates.includes(key)) return lock;
  if (kind === 'remove') return lock.remove(key);
  if (kind === 'rename') return lock.rename(key, keyOf({ name: to, type: 'skill' }));
  if (kind === 'put') return lock.put(key, entryText(to, 'more = 1\n\n'));
  return lock.set(key, { [field]: value });
}

/** What a file says about where its artifacts stand: what its pieces are. */
function layout(file: Manifest | LockFile): unknown {
  return {
    text: file.text,
    bytes: Buffer.from(file.bytes).toString(),
    keys: [...file.keys],
    places: keys.map((key) => [file.has(key), file.textOf(key)]),
    duplicates: file.duplicates,
    nameless: file instanceof Manifest ? file.namelessCount : 0,
  };
}

/** `undefined` where an edit is refused: the same edit of the whole text then is, too. */
function attempt<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch (error) {
    if (error instanceof Error && error.message.startsWith('bug')) throw error;
    return undefined;
  }
}

function requireLikeWhole<F extends Manifest | LockFile>(
  first: F,
  actions: readonly Action[],
  { edit, read }: { edit: (file: F, action: Action) => F; read: (text: string) => F },
): void {
  expect(Buffer.from(first.bytes).toString()).toBe(first.text);
  const versions = [first];
  for (const [at, one] of actions.entries()) {
    // Sometimes from an earlier version, as a transaction that was rolled back does.
    const from = versions[at % 3 === 2 ? Math.floor(at / 2) : versions.length - 1] ?? first;
    const edited = attempt(() => edit(from, one));
    if (edited === undefined) continue;
    versions.push(edited);
    // What comes next is put together from these.
    if (at % 2 === 0) expect(Buffer.from(edited.bytes).toString()).toBe(edited.text);
  }
  for (const [at, version] of versions.entries()) {
    const whole = read(version.text);
    expect(layout(version)).toEqual(layout(whole));
    const before = versions[Math.floor(at / 2)] ?? first;
    expect(changed(version, before)).toEqual(changed(whole, read(before.text)));
  }
}

function changed(file: Manifest | LockFile, before: Manifest | LockFile): ReadonlySet<ArtifactKey> {
  return file instanceof Manifest
    ? file.changedSince(before as Manifest)
    : file.changedSince(before as LockFile);
}

test('a manifest that is edited is in pieces as the same text read anew', () => {
  fc.assert(
    fc.property(textOf(artifactText), fc.array(action, { maxLength: 8 }), (text, actions) => {
      const first = attempt(() => new Manifest(text));
      if (first === undefined) return;
      const read = (all: string): Manifest => new Manifest(all);
      requireLikeWhole(first, actions, { edit: editManifest, read });
    }),
    { numRuns: runs },
  );
});

test('a lock that is edited is in pieces as the same text read anew', () => {
  fc.assert(
    fc.property(textOf(entryText), fc.array(action, { maxLength: 8 }), (text, actions) => {
      const first = attempt(() => new LockFile(text));
      if (first === undefined) return;
      const read = (all: string): LockFile => new LockFile(all);
      requireLikeWhole(first, actions, { edit: editLock, read });
    }),
    { numRuns: runs },
  );
});

test('a text that is read again is in pieces as without what was known of it', () => {
  fc.assert(
    fc.property(
      fc.oneof(textOf(artifactText), fc.string({ maxLength: 20 })),
      textOf(artifactText),
      fc.nat(),
      fc.nat(),
      (one, other, from, count) => {
        const before = attempt(() => new Manifest(one));
        if (before === undefined) return;
        const at = from % (one.length + 1);
        // Another text altogether, and the same one with some of it replaced.
        for (const text of [other, one.slice(0, at) + other + one.slice(at + (count % 40))]) {
          const whole = attempt(() => new Manifest(text));
          const rebased = attempt(() => new Manifest(text, before));
          expect(rebased && layout(rebased)).toEqual(whole && layout(whole));
        }
      },
    ),
    { numRuns: runs },
  );
});

test('artifacts that are read one by one are what a parser reads in the whole file', () => {
  const more = fc.oneof(
    between,
    fc.constantFrom(
      'origin = "github"\nupstream = "u"\n\n',
      'tags = ["t"]\n',
      'origin = "a\\u0041"\n',
      'origin = "a\u0001"\n',
      'origin = "one"\norigin = "two"\n',
      '__proto__ = "p"\n',
      '[artifacts]\nname = "n"\n',
      'artifacts = []\n',
      '[[artifacts]]\n',
    ),
  );
  const block = fc.tuple(fc.constantFrom(...names), more, more);
  fc.assert(
    fc.property(more, fc.array(block, { maxLength: 4 }), fc.boolean(), (first, blocks, isCrLf) => {
      const lines = blocks.map(([name, inside, after]) => artifactText(name, inside) + after);
      const unix = first + lines.join('');
      const text = isCrLf ? unix.replaceAll('\n', '\r\n') : unix;
      const whole = attempt(() => {
        const { artifacts } = parse(text, { integersAsBigInt: 'asNeeded' });
        return Array.isArray(artifacts) ? artifacts.flatMap((one) => readArtifact(one) ?? []) : [];
      });
      expect(attempt(() => artifactsIn(text))).toEqual(whole);
    }),
    { numRuns: runs },
  );
});
