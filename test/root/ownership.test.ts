import { chmodSync, chownSync, lchownSync, lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openStore } from '../../src/engine/index.js';
import { plantSource } from '../support/sources.js';
import { modes, useSandbox } from '../support/store.js';
import { file } from '../support/tree.js';
import { giveAway, runUnprivileged, unprivilegedUser } from '../support/unprivileged.js';

// Needs root: gives files to other users.
describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);

  function ownerOf(path: string): string {
    const { uid, gid } = lstatSync(sandbox.at(path));
    return `${String(uid)}:${String(gid)}`;
  }

  test('what is replaced keeps its owner and group, what is new is ours', async () => {
    sandbox.seed({
      w: 'old',
      c: 'old',
      'd/kept': 'old',
      'd/sub/x': 'old',
      l: { link: 'w' },
      m: { content: 'old', mode: 0o640 },
    });
    for (const [i, path] of ['w', 'c', 'd', 'd/kept', 'd/sub', 'd/sub/x', 'm'].entries()) {
      chownSync(sandbox.at(path), 1_001 + i, 2_001 + i);
    }
    lchownSync(sandbox.at('l'), 1_100, 2_100);
    const source = plantSource(sandbox.directory, {
      c: 'new',
      'd/kept': 'new',
      'd/sub/x': 'new',
      'd/added': 'new',
    });
    const store = await sandbox.open();
    await store.transact({}, async (tx) => {
      await tx.write('w', 'new');
      await tx.copyIn('c', join(source, 'c'));
      await tx.copyIn('d', join(source, 'd'));
      await tx.chmod('m', 0o600);
      await tx.rename('l', 'l2');
      await tx.write('n', 'new');
    });
    expect(ownerOf('w')).toBe('1001:2001');
    expect(ownerOf('c')).toBe('1002:2002');
    expect(ownerOf('d')).toBe('1003:2003');
    expect(ownerOf('d/kept')).toBe('1004:2004');
    expect(ownerOf('d/sub')).toBe('1005:2005');
    expect(ownerOf('d/sub/x')).toBe('1006:2006');
    expect(ownerOf('d/added')).toBe('0:0');
    expect(ownerOf('m')).toBe('1007:2007');
    expect(ownerOf('l2')).toBe('1100:2100');
    expect(ownerOf('n')).toBe('0:0');
    expect(sandbox.tree()['m']).toEqual(file('old', 0o600));
  });

  test.each([false, true])(
    "what root undoes in a user's store is the user's again, packed: %s",
    async (packs) => {
      giveAway(sandbox.root);
      const first = [
        [['write', 'd/sub/x', 'x']],
        [['write', 'a', 'a']],
        [['remove', 'd']],
        [['remove', 'a']],
        [['write', 'b', 'b']],
      ] as const;
      expect(new Set(runUnprivileged(sandbox.root, mode, first).map(({ code }) => code))).toEqual(
        new Set(['done']),
      );
      const now = (): number => Date.now() + 172_800_000;
      const store = await openStore(sandbox.root, { native: mode, now });
      const { packed } = await store.prune({}, { pack: packs });
      expect(packed?.contents ?? 0).toBe(packs && mode === 'auto' ? 2 : 0);
      await store.undo({ transaction: 3 });
      await store.undo({ transaction: 4 });
      await store.close();
      const user = `${String(unprivilegedUser)}:${String(unprivilegedUser)}`;
      for (const path of ['d', 'd/sub', 'd/sub/x', 'a']) {
        expect(`${path} ${ownerOf(path)}`).toBe(`${path} ${user}`);
      }
    },
  );

  test('a file keeps the mode that it asked for, though giving it away clears bits', async () => {
    sandbox.seed({ f: { content: 'old', mode: 0o750 } });
    chownSync(sandbox.at('f'), 1_001, 2_001);
    const store = await sandbox.open();
    await store.transact({}, (tx) => tx.write('f', 'new'));
    expect(sandbox.tree()['f']).toEqual(file('new', 0o750));
    expect(ownerOf('f')).toBe('1001:2001');
  });

  test('a directory with the set-group bit hands its group down', async () => {
    sandbox.seed({ d: { directory: 0o2775 } });
    chownSync(sandbox.at('d'), 0, 2_001);
    const store = await sandbox.open();
    await store.transact({}, async (tx) => {
      await tx.write('d/f', 'f');
      await tx.write('d/new/deep/g', 'g');
      await tx.symlink('d/l', 'f');
    });
    for (const path of ['d/f', 'd/new', 'd/new/deep', 'd/new/deep/g', 'd/l']) {
      expect(ownerOf(path), path).toBe('0:2001');
    }
    expect(lstatSync(sandbox.at('d/new/deep')).mode & 0o7777).toBe(0o2755);
  });

  test('a user cannot replace a file of another owner without losing that: refused', () => {
    sandbox.seed({ mine: 'old', theirs: 'old', 'd/theirs': 'old' });
    giveAway(sandbox.root);
    chownSync(sandbox.at('theirs'), 0, 0);
    chownSync(sandbox.at('d/theirs'), 1_001, 1_001);
    const before = sandbox.tree();
    expect(
      runUnprivileged(sandbox.root, mode, [
        [
          ['write', 'mine', 'new'],
          ['write', 'theirs', 'new'],
        ],
        [['rename', 'd', 'e']],
      ]),
    ).toEqual([
      { code: 'METADATA_NOT_KEPT', path: 'theirs' },
      { code: 'METADATA_NOT_KEPT', path: 'e/theirs' },
    ]);
    expect(sandbox.tree()).toEqual(before);
    expect(ownerOf('theirs')).toBe('0:0');
    // Removing needs no owner to be kept.
    expect(runUnprivileged(sandbox.root, mode, [[['remove', 'theirs']]])).toEqual([
      { code: 'done' },
    ]);
  });

  test("a store of somebody else is unsafe to a user, and root leaves it the user's", async () => {
    giveAway(sandbox.root);
    expect(runUnprivileged(sandbox.root, mode, [[['write', 'a', 'a']]])).toEqual([
      { code: 'done' },
    ]);
    const store = await openStore(sandbox.root, { native: mode });
    await store.transact({}, (tx) => tx.write('b', 'b'));
    await store.transact({}, (tx) => tx.write('a', 'new'));
    await store.close();
    for (const name of readdirSync(sandbox.at('.skillmeat'))) {
      expect(`${name} ${ownerOf(`.skillmeat/${name}`)}`).toBe(
        `${name} ${String(unprivilegedUser)}:${String(unprivilegedUser)}`,
      );
    }
    expect(
      runUnprivileged(sandbox.root, mode, [[['write', 'c', 'c']], [['write', 'a', 'newer']]]),
    ).toEqual([{ code: 'done' }, { code: 'done' }]);
    chownSync(sandbox.at('.skillmeat'), 0, 0);
    chmodSync(sandbox.at('.skillmeat'), 0o755);
    expect(runUnprivileged(sandbox.root, mode, [])).toMatchObject([{ code: 'STORE_UNSAFE' }]);
  });
});
