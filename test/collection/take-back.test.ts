import { expect, test } from 'vitest';
import { LockFile } from '../../src/collection/lock-file.js';
import { Manifest } from '../../src/collection/manifest.js';

/*
 * Taking back what became of a file from one version to another, in a later one: whatever its line breaks
 * and its end, all else stays byte for byte.
 */

const terms = { merges: false, forces: false };

function artifact(name: string, more = ''): string {
  return `[[artifacts]]\nname = "${name}"\ntype = "skill"\npath = "skills/${name}"\n${more}`;
}

function manifest(...artifacts: readonly string[]): string {
  return `[collection]\nname = "c"\n\n${artifacts.join('\n')}`;
}

const a = artifact('a');
const b = artifact('b');
const c = artifact('c');
const d = artifact('d');
const titled = artifact('a', '\n[artifacts.metadata]\ntitle = "t"\n');
const root = 'x = 1\n\n';

/** Before, after, now, and what is wanted. */
const cases: readonly (readonly [name: string, ...versions: (readonly string[])[]])[] = [
  ['the last one was added', [a], [a, b], [a, b, c], [a, c]],
  ['one was added that is the last now', [a], [a, b], [c, a, b], [c, a]],
  ['the first one was removed', [a, b], [b], [b, c], [a, b, c]],
  ['the last one was removed', [a, b], [a], [titled], [titled, b]],
  ['all were removed', [a, b], [], [c], [a, b, c]],
  ['one was renamed', [a, b, c], [a, d, c], [a, d, c, artifact('x')], [a, b, c, artifact('x')]],
  ['a table went with its artifact', [titled, b], [b], [b, c], [titled, b, c]],
  ['a table within it went', [titled, b], [a, b], [a, b, c], [titled, b, c]],
  ['a comment went with it', [`# of a\n${a}`, b], [b], [b, c], [`# of a\n${a}`, b, c]],
];
const all: readonly (readonly string[])[] = [
  ...cases.map(([name, ...versions]) => [name, ...versions.map((one) => manifest(...one))]),
  ['a key before all tables went', root + manifest(), manifest(), manifest(a), root + manifest(a)],
  ['a key before all tables came', manifest(), root + manifest(), root + manifest(a), manifest(a)],
];

test.each(
  ['\n', '\r\n'].flatMap((lineBreak) =>
    [true, false].map((isEnded) => ({ lineBreak: JSON.stringify(lineBreak), isEnded })),
  ),
)('with $lineBreak, ended $isEnded', ({ lineBreak, isEnded }) => {
  const write = (text: string): string => {
    const written = text.replaceAll('\n', JSON.parse(lineBreak) as string);
    return isEnded ? written : written.trimEnd();
  };
  for (const [name, before = '', after = '', now = '', expected = ''] of all) {
    const versions = { before: new Manifest(write(before)), after: new Manifest(write(after)) };
    const taken = new Manifest(write(now)).takeBack(versions, terms);
    expect([name, taken.conflicts, taken.manifest.text]).toEqual([name, [], write(expected)]);
  }
});

test('the inline table of an empty lock is no entry', () => {
  const before = new LockFile('[lock]\nversion = "1.0.0"\nentries = {}\n');
  const after = before.set('a::skill', { content_hash: 'x' });
  const now = after.set('b::skill', { content_hash: 'y' });
  const { lock, conflicts } = now.takeBack({ before, after }, terms);
  expect(conflicts).toEqual([]);
  expect(lock.text).toBe(
    '[lock]\nversion = "1.0.0"\n\n[lock.entries."b::skill"]\ncontent_hash = "y"\n',
  );
});

test('what is in the way is named: an artifact, a table, what stands before all tables', () => {
  const before = new Manifest(`${root}${manifest()}`);
  const after = new Manifest(`x = 2\n\n[collection]\nname = "d"\n\n${a}`);
  const now = new Manifest(`x = 3\n\n[collection]\nname = "e"\n\n${titled}`);
  expect(now.takeBack({ before, after }, terms).conflicts).toEqual([
    'what stands before the first table is not as the transaction left it',
    '[collection] is not as the transaction left it',
    'skill/a is not as the transaction left it',
  ]);
  const forced = now.takeBack({ before, after }, { merges: true, forces: true });
  expect(forced).toMatchObject({ conflicts: [], isForced: true });
  expect(forced.manifest.text).toBe(`${before.text.trimEnd()}\n`);
});
