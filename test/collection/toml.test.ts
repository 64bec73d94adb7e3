import * as fc from 'fast-check';
import { parse, stringify } from 'smol-toml';
import { describe, expect, test } from 'vitest';
import { keyOf } from '../../src/collection/artifact.js';
import { isCollectionError } from '../../src/collection/errors.js';
import { LockFile, newLock } from '../../src/collection/lock-file.js';
import { Manifest, newManifest } from '../../src/collection/manifest.js';

const canvas = keyOf({ name: 'canvas', type: 'skill' });
const review = keyOf({ name: 'review', type: 'command' });

/** As the predecessor writes one, with what this project does not know. */
const predecessor = `# kept by hand
[collection]
name = "default"
version = "1.0.0"
created = "2025-11-15T09:30:00.123456"
updated = "2025-11-15T09:30:00.123456"
tool_note = 'mine' # stays

# the drawing one
[[artifacts]]
name = "canvas"
type = "skill"
path = "skills/canvas"
origin = "github"
added = "2025-11-15T09:30:00.123456"
upstream = "https://github.com/a/b/tree/main/canvas"
version_spec = "latest"
resolved_sha = "0123456789012345678901234567890123456789"
tags = [
    "draw", # not paint
]
future_key = { a = 1, b = [ "]", '#' ] }

[artifacts.metadata]
title = "Canvas"
description = """
Many lines, with [[artifacts]]
name = "trap" and \\"quotes\\"
"""

[artifacts.metadata.extra]
"strange key" = 1979-05-27T07:32:00Z

[[artifacts]]
type = "command"
"name" = 'review'
path = "commands/review.md"
origin = "local"
added = "2025-11-15T09:30:00.123456"

[[groups]]
name = "all"

[[mcp_servers]]
name = "fs"
`;

describe('the manifest', () => {
  test('is read as the predecessor wrote it', () => {
    const manifest = new Manifest(predecessor);
    expect([...manifest.keys]).toEqual([canvas, review]);
    expect(manifest.get(canvas)).toMatchObject({
      path: 'skills/canvas',
      versionSpec: 'latest',
      tags: ['draw'],
      metadata: { description: 'Many lines, with [[artifacts]]\nname = "trap" and "quotes"\n' },
    });
    expect(manifest.all()).toHaveLength(2);
    expect(manifest.facts()).toMatchObject({ name: 'default', version: '1.0.0' });
  });

  test('is edited in place: every other byte stays', () => {
    const edited = new Manifest(predecessor)
      .edit(canvas, { resolved_sha: 'new', upstream: undefined, resolved_version: 'v2' })
      .touch('later');
    const expected = predecessor
      .replace('resolved_sha = "0123456789012345678901234567890123456789"', 'resolved_sha = "new"')
      .replace('upstream = "https://github.com/a/b/tree/main/canvas"\n', '')
      .replace("'#' ] }\n", '\'#\' ] }\nresolved_version = "v2"\n')
      .replace('updated = "2025-11-15T09:30:00.123456"', 'updated = "later"');
    expect(edited.text).toBe(expected);
  });

  test('an artifact comes after the last one, and goes with its comment and tables', () => {
    const added = new Manifest(predecessor).add({
      name: 'new "one"',
      type: 'agent',
      path: 'agents/n.md',
    });
    const table = '[[artifacts]]\nname = "new \\"one\\""\ntype = "agent"\npath = "agents/n.md"\n\n';
    expect(added.text).toBe(predecessor.replace('[[groups]]', `${table}[[groups]]`));
    const removed = added.remove(canvas).text;
    expect(removed).toBe(
      added.text.slice(0, added.text.indexOf('# the drawing one')) +
        added.text.slice(added.text.indexOf('[[artifacts]]\ntype = "command"')),
    );
    expect(new Manifest(removed).has(canvas)).toBe(false);
  });

  test('Windows line breaks stay Windows line breaks', () => {
    const text = predecessor.replaceAll('\n', '\r\n');
    const edited = new Manifest(text)
      .edit(canvas, { resolved_version: 'v2' })
      .add({ name: 'x', type: 'skill', path: 'p' });
    expect(edited.text.replaceAll('\r\n', '')).not.toMatch(/[\r\n]/);
    expect(edited.text).toContain('\r\n[[artifacts]]\r\nname = "x"\r\n');
  });

  test.each([
    ['an empty list', 'artifacts = []\n\n[collection]\nname = "c"\n'],
    [
      'inline tables',
      'artifacts = [\n    { name = "a", type = "skill", path = "skills/a" },\n]\n\n[collection]\nname = "c"\n',
    ],
    ['nothing at all', ''],
    ['a byte order mark', '\uFEFF[collection]\nname = "c"\n'],
  ])('%s takes artifacts', (_, text) => {
    const before = (parse(text.replace('\uFEFF', ''))['artifacts'] ?? []) as object[];
    const { text: after } = new Manifest(text).add({ name: 'b', type: 'skill', path: 'skills/b' });
    const parsed = parse(after.replace('\uFEFF', ''));
    expect(parsed['artifacts']).toEqual([
      ...before,
      { name: 'b', type: 'skill', path: 'skills/b' },
    ]);
    expect(after.startsWith('\uFEFF')).toBe(text.startsWith('\uFEFF'));
  });

  test('comments that an edit would lose make it refuse', () => {
    const text =
      'artifacts = [\n  # mine\n  { name = "a", type = "skill", path = "skills/a" },\n]\n';
    const manifest = new Manifest(text);
    expect(manifest.has(keyOf({ name: 'a', type: 'skill' }))).toBe(true);
    expect(() => manifest.add({ name: 'b' })).toThrow('comments');
  });

  test.each([
    ['name = ', 'collection.toml:1:'],
    ['[collection]\nname = "x\n', 'collection.toml:2:10'],
    ['[[artifacts]\nname = "x"\n', 'collection.toml:1:'],
    ['a = [1\n[b]\n', 'collection.toml:'],
  ])('%j is refused with its place', (text, place) => {
    let error: unknown;
    try {
      new Manifest(text).all();
    } catch (caught) {
      error = caught;
    }
    expect(isCollectionError(error, 'TOML_INVALID')).toBe(true);
    expect(String(error)).toContain(place);
  });

  test('an artifact twice, or without a name, is told', () => {
    const twice = `${newManifest('c', 't')}\n${'[[artifacts]]\nname = "a"\ntype = "skill"\npath = "p"\n\n'.repeat(2)}`;
    expect(new Manifest(twice).duplicates).toEqual(['a::skill']);
    expect(new Manifest('[[artifacts]]\nname = "a"\n').namelessCount).toBe(1);
  });
});

describe('the lock', () => {
  const lock = `[lock]
version = "1.0.0"

[lock.entries."canvas::skill"]
content_hash = "aa"
fetched = "2025-11-15T09:30:00.123456"
theirs = 5

# of the review
[lock.entries."review::command"] # here too
content_hash = "bb"
`;

  test('is edited in place', () => {
    const edited = new LockFile(lock)
      .set(canvas, { content_hash: 'cc' })
      .rename(review, keyOf({ name: 'check', type: 'command' }));
    expect(edited.text).toBe(
      lock.replace('"aa"', '"cc"').replace('"review::command"] #', '"check::command"] #'),
    );
    expect(edited.remove(canvas).get(keyOf({ name: 'check', type: 'command' }))?.contentHash).toBe(
      'bb',
    );
  });

  test.each([
    ['nothing', ''],
    ['a new one', newLock()],
    ['an inline one', '[lock]\nversion = "1.0.0"\nentries = {}\n'],
    [
      'inline entries',
      '[lock]\nversion = "1.0.0"\n\n[lock.entries]\n"a::skill" = { content_hash = "1" }\n',
    ],
    ['no line break at the end', '[lock]\nversion = "1.0.0"'],
  ])('%s takes entries', (_, text) => {
    const before = [...new LockFile(text).all().keys()];
    const after = new LockFile(text).set(canvas, { content_hash: 'cc' });
    expect(after.get(canvas)?.contentHash).toBe('cc');
    const parsed = parse(after.text) as { lock: { version: string; entries: object } };
    expect(Object.keys(parsed.lock.entries)).toEqual([...before, 'canvas::skill']);
    expect(parsed.lock.version).toBe('1.0.0');
  });
});

const word = fc.stringMatching(/^[a-z"'\\#[\].= \u00e9\u{1f600}-]{1,12}$/u);
const value = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 30 }),
  fc.integer(),
  fc.boolean(),
  fc.array(fc.string({ maxLength: 8 }), { maxLength: 3 }),
  fc.dictionary(word, fc.string({ maxLength: 8 }), { maxKeys: 2 }),
);
const artifact = fc.record({
  name: word,
  type: fc.constantFrom('skill', 'agent'),
  path: word,
  more: value,
});

test('edits of any manifest are what the same edits of its parsed values are', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(artifact, { selector: ({ name, type }) => `${name}::${type}`, maxLength: 5 }),
      value,
      fc.nat(),
      fc.string({ unit: 'grapheme', maxLength: 20 }),
      (artifacts, other, at, text) => {
        const source = stringify({
          collection: { name: 'c', other },
          artifacts,
          groups: [{ other }],
        });
        const manifest = new Manifest(source);
        expect([...manifest.keys]).toEqual(artifacts.map(keyOf));
        const model = parse(source) as { artifacts: Record<string, unknown>[] };
        const target = artifacts[at % Math.max(artifacts.length, 1)];
        const added = { name: 'added', type: 'hook', path: text };
        let edited = manifest.add(added);
        model.artifacts.push(added);
        if (target !== undefined) {
          edited = edited.edit(keyOf(target), { path: text, upstream: text });
          const found = model.artifacts[artifacts.indexOf(target)];
          Object.assign(found ?? {}, { path: text, upstream: text });
        }
        expect(parse(edited.text)).toEqual(model);
        if (target === undefined) return;
        model.artifacts.splice(artifacts.indexOf(target), 1);
        expect(parse(edited.remove(keyOf(target)).text)).toEqual(model);
      },
    ),
  );
});
