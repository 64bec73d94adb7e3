import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { linesOf } from '../../src/engine/text.js';
import { mergeTexts } from '../../src/engine/text-merge.js';
import { unifiedDiff } from '../../src/engine/unified-diff.js';

const bytes = (text: string): Uint8Array => Buffer.from(text);

function merge(base: string, ours: string, theirs: string): string {
  const merged = mergeTexts({ base: bytes(base), ours: bytes(ours), theirs: bytes(theirs) });
  return merged.kind === 'merged'
    ? Buffer.from(merged.bytes).toString()
    : `conflict: ${merged.why}`;
}

/** Few different lines, so that many are equal; the last one may lack its line feed. */
const text = fc
  .tuple(fc.array(fc.constantFrom('a\n', 'b\n', '\n', 'é\r\n'), { maxLength: 12 }), fc.boolean())
  .map(([lines, isCut]) => (isCut ? lines.join('').replace(/\n$/, '') : lines.join('')));

describe('merging', () => {
  test.each([
    ['1\n2\n3\n4\n', '1\n2\n3\nIV\n', 'I\n2\n3\n4\n', 'I\n2\n3\nIV\n'],
    ['1\n2\n3\n', '1\n3\n', '1\n2\n3\n4\n', '1\n3\n4\n'],
    ['1\n2\n3\n', '1\nx\n3\n', '1\nx\n3\n', '1\nx\n3\n'],
    ['1\n2\n3', '0\n1\n2\n3', '1\n2\n3\n', '0\n1\n2\n3\n'],
  ])('%j with %j and %j is %j', (base, ours, theirs, merged) => {
    expect(merge(base, ours, theirs)).toBe(merged);
    expect(merge(base, theirs, ours)).toBe(merged);
  });

  test.each([
    ['the same line', '1\n2\n3\n', '1\nx\n3\n', '1\ny\n3\n', 'line 2'],
    ['lines that touch', '1\n2\n3\n', '1\nx\n3\n', '1\n2\ny\n', 'line 2'],
    ['an insertion at one place', '1\n2\n', '1\nx\n2\n', '1\ny\n2\n', 'line 2'],
    ['a change of what the other removed', '1\n2\n3\n', '1\n3\n', '1\nx\n3\n', 'line 2'],
    ['a binary file', '1\n', '1\0', '1\n2\n', 'not a text'],
    ['what is not UTF-8', '1\n', '1\n2\n', '', 'not a text'],
  ])('%s is a conflict', (name, base, ours, theirs, why) => {
    if (name === 'what is not UTF-8') {
      const merged = mergeTexts({
        base: bytes(base),
        ours: bytes(ours),
        theirs: Buffer.from([0xff]),
      });
      expect(merged).toEqual({ kind: 'conflict', why: expect.stringContaining(why) });
      return;
    }
    expect(merge(base, ours, theirs)).toContain(why);
    expect(merge(base, theirs, ours)).toContain(why);
  });

  test('texts of which too much differs are a conflict, not a long wait', () => {
    const make = (mark: string): string =>
      Array.from({ length: 20_000 }, (_, i) => `${mark} ${String(i)}\n`).join('');
    expect(merge(make('a'), make('b'), make('c'))).toContain('too many of its lines differ');
  });

  test('who alone changed something wins, whichever side it is', () => {
    fc.assert(
      fc.property(text, text, (base, changed) => {
        expect(merge(base, changed, base)).toBe(changed);
        expect(merge(base, base, changed)).toBe(changed);
        expect(merge(base, changed, changed)).toBe(changed);
      }),
    );
  });

  test('a merge is the same from either side', () => {
    fc.assert(
      fc.property(text, text, text, (base, ours, theirs) => {
        const merged = merge(base, ours, theirs);
        expect(merge(base, theirs, ours)).toBe(merged);
      }),
    );
  });
});

/** Applies a unified diff to the text it was made for, as strictly as `patch` does. */
function applyDiff(from: string, diff: string): string {
  const lines = linesOf(bytes(from)) as readonly string[];
  const result: string[] = [];
  let at = 0;
  const body = diff.split('\n').slice(0, -1);
  for (const [i, line] of body.entries()) {
    const heading = /^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@$/.exec(line);
    const isCut = body[i + 1] === '\\ No newline at end of file';
    const content = `${line.slice(1)}${isCut ? '' : '\n'}`;
    if (heading !== null) {
      const start = heading[2] === '0' ? Number(heading[1]) : Number(heading[1]) - 1;
      result.push(...lines.slice(at, start));
      at = start;
      const place = Number(heading[3]) - (heading[4] === '0' ? 0 : 1);
      expect(place, 'where the hunk is in the other text').toBe(result.length);
    } else if (
      /^(?:diff|---|\+\+\+|old|new|deleted|\\) /.test(line) &&
      result.length === 0 &&
      at === 0
    ) {
      continue;
    } else if (line.startsWith('+')) result.push(content);
    else if (line.startsWith(' ') || line.startsWith('-')) {
      expect(lines[at], 'what the diff says is there').toBe(content);
      at += 1;
      if (line.startsWith(' ')) result.push(content);
    }
  }
  return [...result, ...lines.slice(at)].join('');
}

const image = (size: number, mode = 0o644) =>
  ({ kind: 'file', sha256: 'x' as never, size, mode }) as const;
const absent = { image: { kind: 'absent' }, bytes: undefined } as const;
const side = (content: string, mode?: number) => ({
  image: image(content.length, mode),
  bytes: bytes(content),
});

describe('a unified diff', () => {
  test('applied to the one text gives the other', () => {
    fc.assert(
      fc.property(text, text, (from, to) => {
        const { text: diff, omitted } = unifiedDiff('p', side(from), side(to));
        expect(omitted).toBeNull();
        expect(applyDiff(from, diff)).toBe(to);
      }),
      { numRuns: 300 },
    );
  });

  test('finds its places also after hunks that made the text longer or shorter', () => {
    const lines = Array.from({ length: 40 }, (_, i) => `line ${String(i)}\n`);
    const from = lines.join('');
    const to = [
      'new\n',
      'new\n',
      ...lines.slice(0, 15),
      ...lines.slice(18, 30),
      'x\n',
      ...lines.slice(31),
    ].join('');
    const { text: diff } = unifiedDiff('p', side(from), side(to));
    expect(diff.match(/^@@/gm)).toHaveLength(3);
    expect(applyDiff(from, diff)).toBe(to);
  });

  test('counts lines as patch does', () => {
    const { text: diff } = unifiedDiff(
      'd/f',
      side('1\n2\n3\n4\n5\n6\n7\n8\n'),
      side('1\n2\n3\n4\nV\n6\n7\n8'),
    );
    expect(diff).toBe(
      [
        'diff --git a/d/f b/d/f',
        '--- a/d/f',
        '+++ b/d/f',
        '@@ -2,7 +2,7 @@',
        ' 2',
        ' 3',
        ' 4',
        '-5',
        '+V',
        ' 6',
        ' 7',
        '-8',
        '+8',
        '\\ No newline at end of file',
        '',
      ].join('\n'),
    );
  });

  test.each([
    [
      'a new file',
      absent,
      side('x\n'),
      'new file mode 100644\n--- /dev/null\n+++ b/p\n@@ -0,0 +1 @@\n+x\n',
    ],
    ['an empty new file', absent, side(''), 'new file mode 100644\n'],
    [
      'a removed file',
      side('x\n'),
      absent,
      'deleted file mode 100644\n--- a/p\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n',
    ],
    ['another mode', side('x\n'), side('x\n', 0o755), 'old mode 100644\nnew mode 100755\n'],
    [
      'a link',
      absent,
      { image: { kind: 'symlink', target: 't' }, bytes: undefined } as const,
      'new file mode 120000\n--- /dev/null\n+++ b/p\n@@ -0,0 +1 @@\n+t\n\\ No newline at end of file\n',
    ],
  ])('of %s', (_name, from, to, expected) => {
    expect(unifiedDiff('p', from, to)).toEqual({
      text: `diff --git a/p b/p\n${expected}`,
      omitted: null,
    });
  });

  test.each([
    ['binary', side('a\0'), side('b')],
    ['not kept', { image: image(3), bytes: undefined }, side('b')],
  ] as const)('says when it leaves out what is %s', (omitted, from, to) => {
    const diff = unifiedDiff('p', from, to);
    expect(diff.omitted).toBe(omitted);
    expect(diff.text).toMatch(/^# b\/p: contents differ/m);
  });

  test('a name cannot break out of its line', () => {
    const { text: diff } = unifiedDiff('a\n--- "b\\', absent, side('x'));
    expect(diff.split('\n')[0]).toBe(
      'diff --git "a/a\\012--- \\042b\\134" "b/a\\012--- \\042b\\134"',
    );
  });

  test('a directory has none', () => {
    const directory = { image: { kind: 'directory', mode: 0o755 }, bytes: undefined } as const;
    expect(unifiedDiff('p', absent, directory)).toEqual({ text: '', omitted: null });
  });
});
