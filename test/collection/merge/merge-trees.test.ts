import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type MergedTree,
  mergeTrees,
  type OnConflict,
} from '../../../src/collection/merge/merge-trees.js';
import type { Tree, TreeEntry } from '../../../src/collection/merge/tree.js';
import { hashContent } from '../../../src/engine/index.js';

type Plain = Readonly<Record<string, string>>;

/** `x:` before a content makes a file executable, `->` a link. */
function treeOf(files: Plain): Tree {
  return new Map(
    Object.entries(files).map(([path, text]): [string, TreeEntry] => {
      if (text.startsWith('->')) return [path, { kind: 'symlink', target: text.slice(2) }];
      const isExecutable = text.startsWith('x:');
      const bytes = Buffer.from(isExecutable ? text.slice(2) : text, 'latin1');
      const sha256 = hashContent(bytes);
      return [path, { kind: 'file', isExecutable, sha256, read: async () => bytes }];
    }),
  );
}

async function plain({ entries }: MergedTree): Promise<Plain> {
  const files: Record<string, string> = {};
  for (const [path, entry] of entries) {
    if (entry.kind === 'symlink') {
      files[path] = `->${entry.target}`;
    } else {
      const text = Buffer.from(await entry.read()).toString('latin1');
      files[path] = (entry.isExecutable ? 'x:' : '') + text;
    }
  }
  return files;
}

async function merge(
  base: Plain | undefined,
  ours: Plain,
  theirs: Plain,
  onConflict: OnConflict = 'abort',
) {
  const trees = {
    base: base === undefined ? undefined : treeOf(base),
    ours: treeOf(ours),
    theirs: treeOf(theirs),
  };
  const merged = await mergeTrees(trees, onConflict);
  return { files: await plain(merged), conflicts: merged.conflicts };
}

const base = { a: '1\n2\n3\n4\n5\n', b: 'b\n', bin: '\0one' };

describe('without a conflict', () => {
  test.each<[string, Plain, Plain, Plain]>([
    [
      'both edit other lines',
      { ...base, a: 'I\n2\n3\n4\n5\n' },
      { ...base, a: '1\n2\n3\n4\nV\n' },
      { ...base, a: 'I\n2\n3\n4\nV\n' },
    ],
    [
      'one edits, the other turns it executable',
      { ...base, b: 'B\n' },
      { ...base, b: 'x:b\n' },
      { ...base, b: 'x:B\n' },
    ],
    [
      'each adds and removes',
      { a: base.a, b: base.b, c: 'new' },
      { a: base.a, bin: base.bin, d: 'also' },
      { a: base.a, c: 'new', d: 'also' },
    ],
    [
      'both make the same change',
      { ...base, b: 'same\n' },
      { ...base, b: 'same\n' },
      { ...base, b: 'same\n' },
    ],
    [
      'binary files that one side changed',
      { ...base, bin: '\0two' },
      { ...base, b: 'x' },
      { ...base, bin: '\0two', b: 'x' },
    ],
    [
      'upstream moves what was edited here',
      { ...base, a: 'I\n2\n3\n4\n5\n' },
      { 'sub/a': base.a, b: base.b, bin: base.bin },
      { 'sub/a': 'I\n2\n3\n4\n5\n', b: base.b, bin: base.bin },
    ],
    [
      'what was moved here is edited upstream',
      { moved: base.a, b: base.b, bin: base.bin },
      { ...base, a: '1\n2\n3\n4\nV\n' },
      { moved: '1\n2\n3\n4\nV\n', b: base.b, bin: base.bin },
    ],
    [
      'a link is retargeted upstream',
      { ...base, l: '->a' },
      { ...base, l: '->a' },
      { ...base, l: '->a' },
    ],
  ])('%s', async (_, ours, theirs, expected) => {
    expect(await merge(base, ours, theirs)).toEqual({ files: expected, conflicts: [] });
    expect(await merge(base, theirs, ours)).toEqual({ files: expected, conflicts: [] });
  });
});

const edited = { ...base, a: '1\nmine\n3\n4\n5\n' };
const upstream = { ...base, a: '1\nyours\n3\n4\n5\n' };

describe('a conflict', () => {
  test.each<[OnConflict, string, string]>([
    ['abort', edited.a, 'ours'],
    ['ours', edited.a, 'ours'],
    ['theirs', upstream.a, 'theirs'],
    [
      'markers',
      '1\n<<<<<<< local\nmine\n||||||| last fetched\n2\n=======\nyours\n>>>>>>> upstream\n3\n4\n5\n',
      'markers',
    ],
  ])('with %s', async (onConflict, text, resolution) => {
    const why = 'both sides changed it in one place';
    const line = { start: 2, count: 1 };
    const merged = {
      abort: null,
      ours: line,
      theirs: line,
      markers: { start: 2, count: 7 },
    }[onConflict];
    const places = [{ base: line, local: line, upstream: line, merged }];
    expect(await merge(base, edited, upstream, onConflict)).toEqual({
      files: { ...base, a: text },
      conflicts: [{ path: 'a', why, hunks: 1, mergedHunks: 0, places, resolution }],
    });
  });

  test('every place is told, where it is on each side, and how much was merged', async () => {
    const was = Array.from({ length: 12 }, (_, at) => `${String(at + 1)}\n`);
    const changed = (changes: Readonly<Record<number, string>>): string =>
      was.map((line, at) => changes[at + 1] ?? line).join('');
    const other = changed({ 2: 'B\n' });
    const trees = {
      base: treeOf({ a: was.join(''), b: was.join(''), bin: '\0one', c: 'c\n' }),
      // Two lines more above; 5 and 6 gone; 9 edited.
      ours: treeOf({
        a: changed({ 1: '1\nx\ny\n', 5: '', 6: '', 9: 'mine\n' }),
        b: other,
        bin: '\0two',
        c: 'mine\n',
      }),
      theirs: treeOf({
        a: changed({ 5: 'five\n', 9: 'yours\nand\n', 12: 'end\n' }),
        b: changed({ 2: 'B\n', 11: 'K\n' }),
        bin: '\0three',
        c: 'c\n',
      }),
    };
    const { conflicts, counts } = await mergeTrees(trees, 'markers');
    expect(conflicts).toMatchObject([
      {
        path: 'a',
        why: 'both sides changed it in 2 places',
        hunks: 2,
        mergedHunks: 2,
        places: [
          {
            base: { start: 5, count: 2 },
            local: { start: 7, count: 0 },
            upstream: { start: 5, count: 2 },
            merged: { start: 7, count: 8 },
          },
          {
            base: { start: 9, count: 1 },
            local: { start: 9, count: 1 },
            upstream: { start: 9, count: 2 },
            merged: { start: 17, count: 8 },
          },
        ],
      },
      { path: 'bin', hunks: 0, mergedHunks: 0, places: [] },
    ]);
    // `b` has one place that both made the same of, and one of upstream's.
    expect(counts).toEqual({
      conflictingFiles: 2,
      conflictingHunks: 2,
      mergedFiles: 1,
      mergedHunks: 4,
    });
  });

  test.each<[string, Plain | undefined, Plain, Plain, string]>([
    ['a binary file', base, { ...base, bin: '\0x' }, { ...base, bin: '\0y' }, 'bin'],
    [
      'removed here, changed upstream',
      base,
      { b: base.b, bin: base.bin },
      { ...base, a: 'x\n' },
      'a',
    ],
    [
      'changed here, removed upstream',
      base,
      { ...base, a: 'x\n' },
      { b: base.b, bin: base.bin },
      'a',
    ],
    ['both added', base, { ...base, n: '1\n' }, { ...base, n: '2\n' }, 'n'],
    ['a link and a file', base, { ...base, b: '->a' }, { ...base, b: 'x\n' }, 'b'],
    ['no base at all', undefined, { a: '1' }, { a: '2' }, 'a'],
    ['no base, and one side lacks it', undefined, { a: '1', b: '1' }, { a: '1' }, 'b'],
    ['a file and a directory', base, { ...base, n: 'f' }, { ...base, 'n/m': 'g' }, 'n'],
  ])('%s never gets markers', async (_, was, ours, theirs, path) => {
    const { files, conflicts } = await merge(was, ours, theirs, 'markers');
    expect(conflicts.map((conflict) => [conflict.path, conflict.hunks])).toEqual([[path, 0]]);
    expect(JSON.stringify(files)).not.toContain('<<<<');
  });
});

const names = fc.constantFrom('a', 'b', 'd/c', 'e');
const lines = fc
  .array(fc.constantFrom('1\n', '2\n', '\n', 'x\n'), { maxLength: 6 })
  .map((some) => some.join(''));
const content = fc.oneof(
  lines,
  lines.map((text) => `x:${text}`),
  fc.constantFrom('\0', '->a'),
);
const anyTree: fc.Arbitrary<Plain> = fc.dictionary(names, content, { maxKeys: 4 });

test('laws: a side that did nothing gives way, two that did the same agree, sides may be swapped', async () => {
  await fc.assert(
    fc.asyncProperty(anyTree, anyTree, anyTree, async (was, one, other) => {
      expect(await merge(was, was, one)).toEqual({ files: one, conflicts: [] });
      expect(await merge(was, one, was)).toEqual({ files: one, conflicts: [] });
      expect(await merge(was, one, one)).toEqual({ files: one, conflicts: [] });
      const [there, back] = [await merge(was, one, other), await merge(was, other, one)];
      const paths = (some: typeof there) => some.conflicts.map(({ path }) => path).toSorted();
      expect(paths(back)).toEqual(paths(there));
      if (there.conflicts.length === 0) expect(back.files).toEqual(there.files);
      const mirrored = await merge(was, other, one, 'theirs');
      expect((await merge(was, one, other, 'ours')).files).toEqual(mirrored.files);
    }),
    { numRuns: 300 },
  );
});
