import { chmodSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { plantSource } from '../support/sources.js';
import { modes, useSandbox } from '../support/store.js';
import { directory, file } from '../support/tree.js';
import { giveAway, runUnprivileged } from '../support/unprivileged.js';

describe.each(modes)('native %s, without privileges', (mode) => {
  const sandbox = useSandbox(mode);

  test('a directory that may not be written undoes the whole transaction', () => {
    sandbox.seed({ a: 'old a', 'd/f': 'old f', z: 'old z', d: { directory: 0o555 } });
    giveAway(sandbox.root);
    const before = sandbox.tree();
    expect(
      runUnprivileged(sandbox.root, mode, [
        [
          ['write', 'a', 'new a'],
          ['write', 'd/f', 'new f'],
          ['write', 'z', 'new z'],
        ],
        [['write', 'd/new', 'new']],
        [['remove', 'd/f']],
        [['remove', 'd']],
      ]),
    ).toEqual([
      { code: 'PERMISSION_DENIED', path: 'd/f' },
      { code: 'PERMISSION_DENIED', path: 'd/new' },
      { code: 'PERMISSION_DENIED', path: 'd/f' },
      { code: 'PERMISSION_DENIED', path: 'd' },
    ]);
    expect(sandbox.tree()).toEqual(before);
  });

  test('a directory can be made writable, or read-only, in the transaction that changes it', () => {
    sandbox.seed({ 'd/f': 'old', d: { directory: 0o555 }, 'e/f': 'old' });
    giveAway(sandbox.root);
    expect(
      runUnprivileged(sandbox.root, mode, [
        [
          ['write', 'd/f', 'new'],
          ['chmod', 'd', '755'],
        ],
        [
          ['chmod', 'e', '555'],
          ['write', 'e/f', 'new'],
          ['write', 'e/g', 'new'],
        ],
        [
          ['chmod', 'e', '700'],
          ['chmod', 'd', '500'],
          ['remove', 'e/f'],
          ['remove', 'd/f'],
        ],
      ]),
    ).toEqual([{ code: 'done' }, { code: 'done' }, { code: 'done' }]);
    expect(sandbox.tree()).toEqual({
      d: directory(0o500),
      e: directory(0o700),
      'e/g': file('new'),
    });
    chmodSync(sandbox.at('d'), 0o700);
  });

  test('a file that may not be read is not replaced: its bytes could not be kept for sure', () => {
    sandbox.seed({ f: { content: 'secret', mode: 0o200 }, other: 'old' });
    giveAway(sandbox.root);
    const before = sandbox.tree();
    expect(
      runUnprivileged(sandbox.root, mode, [
        [
          ['write', 'other', 'new'],
          ['write', 'f', 'new'],
        ],
        [['rename', 'f', 'g']],
      ]),
    ).toMatchObject([
      { code: 'PERMISSION_DENIED', path: 'f' },
      { code: expect.stringMatching(/PERMISSION_DENIED|SOURCE_UNREADABLE/) as string },
    ]);
    expect(sandbox.tree()).toEqual(before);
  });

  test('a source that may not be read is named', () => {
    const source = plantSource(sandbox.directory, {
      f: { content: 'secret', mode: 0o000 },
      g: 'g',
    });
    giveAway(source);
    giveAway(sandbox.root);
    expect(runUnprivileged(sandbox.root, mode, [[['copyIn', 'a', source]]])).toEqual([
      { code: 'SOURCE_UNREADABLE', path: `${source}/f` },
    ]);
    expect(sandbox.tree()).toEqual({});
  });

  test('a root that may not be written cannot become a store', () => {
    giveAway(sandbox.root);
    chmodSync(sandbox.root, 0o555);
    expect(runUnprivileged(sandbox.root, mode, [])).toMatchObject([{ code: 'PERMISSION_DENIED' }]);
    chmodSync(sandbox.root, 0o755);
  });
});
