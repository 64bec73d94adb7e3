import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import * as fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { contentHash } from '../../src/collection/content-hash.js';
import { LiveView } from '../../src/collection/live-view.js';

let root = '';
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'skillmeat-hash-'));
});
afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

function plant(files: Readonly<Record<string, string>>): void {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
  }
}

test('a directory has the hash that the predecessor gives it', async () => {
  plant({
    'x/a/b': '1',
    'x/a-b': '2',
    'x/a.b': '3',
    'x/A': '4',
    'x/é': '5',
    'x/a0/SKILL.md': '6',
    'x/😀': '7',
    'x/\uFB01': '8',
    'x/B/c/d': '9',
    'x/a/.hidden': '10',
    'x/a b': '',
  });
  symlinkSync('a-b', join(root, 'x/link'));
  symlinkSync('nowhere', join(root, 'x/dead'));
  // Made with Python 3: sorted(Path('x').rglob('*')), is_file(), str(relative).encode() and the bytes.
  expect(await contentHash(new LiveView(root), 'x')).toBe(
    '5f817335c5f06b4159ac1c44e2dbb62e1ff7e6bf19f8c13db8eef7925aed3556',
  );
});

test('a file has the SHA-256 of its bytes, and nothing has none', async () => {
  plant({ 'commands/review.md': 'abc' });
  symlinkSync('review.md', join(root, 'commands/also.md'));
  symlinkSync('loop', join(root, 'commands/loop'));
  symlinkSync('../..', join(root, 'commands/out'));
  const view = new LiveView(root);
  const abc = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';
  expect(await contentHash(view, 'commands/review.md')).toBe(abc);
  expect(await contentHash(view, 'commands/also.md')).toBe(abc);
  for (const path of ['commands/none.md', 'commands/loop', 'commands/out', 'none/at/all']) {
    expect(await contentHash(view, path)).toBeUndefined();
  }
});

/** By the definition, and by other means: all paths first, compared as lists of names. */
function byDefinition(files: Readonly<Record<string, string>>): string {
  const paths = Object.keys(files).toSorted((a, b) => {
    const [left, right] = [a.split('/'), b.split('/')];
    for (let at = 0; ; at += 1) {
      const [one, other] = [left[at], right[at]];
      if (one === undefined || other === undefined) return left.length - right.length;
      const points = [[...one], [...other]].map((name) =>
        name.map((character) => String(character.codePointAt(0)).padStart(7, '0')).join(),
      );
      if (one !== other) return (points[0] ?? '') < (points[1] ?? '') ? -1 : 1;
    }
  });
  const hash = createHash('sha256');
  for (const path of paths) hash.update(path, 'utf8').update(files[path] ?? '', 'utf8');
  return hash.digest('hex');
}

test('any directory has the hash of the definition', async () => {
  const name = fc
    .stringMatching(/^[aAbZ.é\uFB01\u{1F600}-]{1,3}$/u)
    .filter((text) => !/^\.+$/.test(text));
  const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join('/'));
  await fc.assert(
    fc.asyncProperty(fc.dictionary(path, fc.string(), { maxKeys: 8 }), async (given) => {
      const paths = Object.keys(given);
      const isFree = (at: string): boolean => !paths.some((other) => other.startsWith(`${at}/`));
      const files = Object.fromEntries(Object.entries(given).filter(([at]) => isFree(at)));
      rmSync(join(root, 'x'), { recursive: true, force: true });
      mkdirSync(join(root, 'x'));
      plant(Object.fromEntries(Object.entries(files).map(([at, content]) => [`x/${at}`, content])));
      expect(await contentHash(new LiveView(root), 'x')).toBe(byDefinition(files));
    }),
    { numRuns: 60 },
  );
});

test('what lies outside of the directory is not there', async () => {
  plant({ 'inside/a': 'a', outside: 'secret' });
  const view = new LiveView(join(root, 'inside'));
  for (const path of ['../outside', 'a/../../outside', '..', '../inside2']) {
    expect(await view.read(path)).toBeUndefined();
    expect(await view.stat(path)).toBeUndefined();
    expect(await view.list(path)).toBeUndefined();
  }
  expect(await view.list()).toEqual([{ name: 'a', kind: 'file' }]);
});
