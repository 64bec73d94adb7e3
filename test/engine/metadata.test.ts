import { spawnSync } from 'node:child_process';
import { linkSync, lstatSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { plantSource } from '../support/sources.js';
import { listOwn, modes, readQuarantine, useSandbox } from '../support/store.js';
import { directory, file } from '../support/tree.js';
import { skippedBecause } from '../support/skipped.js';

function run(program: string, ...values: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, values, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program} failed: ${stderr} ${String(error)}`);
  return stdout;
}

function whyNot(program: string): string | undefined {
  const { status } = spawnSync(program, ['--version']);
  return status === 0 ? undefined : `${program} is not installed`;
}

const setAttribute = (path: string, value: string): void => {
  run('setfattr', '-n', 'user.note', '-v', value, path);
};
const attribute = (path: string): string => {
  const program = 'getfattr';
  const values = ['--only-values', '--absolute-names', '-n', 'user.note', path];
  const { status, stdout } = spawnSync(program, values, { encoding: 'utf8' });
  return status === 0 ? stdout : 'none';
};
const accessList = (path: string): string =>
  run('getfacl', '--omit-header', '--absolute-names', '--numeric', path);

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);

  describe('extended attributes', skippedBecause(whyNot('setfattr')), () => {
    test('of a file are kept by a write, and by a copy over it', async () => {
      sandbox.seed({ w: 'old', c: 'old', m: 'old', plain: 'old' });
      for (const path of ['w', 'c', 'm']) setAttribute(sandbox.at(path), `of ${path}`);
      const source = plantSource(sandbox.directory, { c: 'new' });
      const store = await sandbox.open();
      await store.transact({}, async (tx) => {
        await tx.write('w', 'new');
        await tx.copyIn('c', join(source, 'c'));
        await tx.write('m', 'new', { mode: 0o600 });
        await tx.write('plain', 'new');
      });
      expect(['w', 'c', 'm', 'plain'].map((path) => attribute(sandbox.at(path)))).toEqual([
        'of w',
        'of c',
        'of m',
        'none',
      ]);
      expect(sandbox.tree()['m']).toEqual(file('new', 0o600));
    });

    test('come back with what an undo brings back', async () => {
      sandbox.seed({ w: 'old', 'd/r': 'removed', other: 'o' });
      for (const path of ['w', 'd/r', 'd']) setAttribute(sandbox.at(path), `of ${path}`);
      const store = await sandbox.open();
      await store.transact({}, async (tx) => {
        await tx.remove('d');
        await tx.remove('w');
      });
      await store.undo();
      expect(['w', 'd/r', 'd'].map((path) => attribute(sandbox.at(path)))).toEqual([
        'of w',
        'of d/r',
        'of d',
      ]);
    });

    test('go along with a rename', async () => {
      sandbox.seed({ f: 'f', 'd/g': 'g' });
      for (const path of ['f', 'd/g', 'd']) setAttribute(sandbox.at(path), `of ${path}`);
      const store = await sandbox.open();
      await store.transact({}, async (tx) => {
        await tx.rename('f', 'f2');
        await tx.rename('d', 'd2');
      });
      expect(['f2', 'd2/g', 'd2'].map((path) => attribute(sandbox.at(path)))).toEqual([
        'of f',
        'of d/g',
        'of d',
      ]);
    });

    test('of a directory and of what is in it are kept when the directory is replaced', async () => {
      sandbox.seed({ 'd/kept': 'old', 'd/gone': 'old', 'd/sub/x': 'old' });
      for (const path of ['d', 'd/kept', 'd/gone', 'd/sub', 'd/sub/x']) {
        setAttribute(sandbox.at(path), `of ${path}`);
      }
      const source = plantSource(sandbox.directory, { kept: 'new', 'sub/x': 'new', added: 'new' });
      setAttribute(join(source, 'added'), 'of the source');
      const store = await sandbox.open();
      await store.transact({}, (tx) => tx.copyIn('d', source));
      expect(
        ['d', 'd/kept', 'd/sub', 'd/sub/x', 'd/added'].map((path) => attribute(sandbox.at(path))),
      ).toEqual(['of d', 'of d/kept', 'of d/sub', 'of d/sub/x', 'none']);
    });

    test('come back when the transaction is undone', async () => {
      sandbox.seed({ a: 'old', z: 'old' });
      setAttribute(sandbox.at('a'), 'of a');
      const store = await sandbox.open();
      await expect(
        store.transact({}, async (tx) => {
          await tx.write('a', 'new');
          await tx.write('z', 'new');
          writeFileSync(sandbox.at('z'), 'foreign');
        }),
      ).resolves.toBeDefined();
      expect(attribute(sandbox.at('a'))).toBe('of a');
    });
  });

  describe('access control lists', skippedBecause(whyNot('setfacl')), () => {
    test('of a file are kept by a write, and its mode with them', async () => {
      sandbox.seed({ f: { content: 'old', mode: 0o640 }, n: 'old' });
      run('setfacl', '-m', 'u:12345:rw,m:rw', sandbox.at('f'));
      const before = accessList(sandbox.at('f'));
      expect(before).toContain('user:12345:rw');
      const { mode: bits } = lstatSync(sandbox.at('f'));
      const store = await sandbox.open();
      await store.transact({}, (tx) => tx.write('f', 'new'));
      expect(accessList(sandbox.at('f'))).toBe(before);
      expect(lstatSync(sandbox.at('f')).mode).toBe(bits);
      expect(readFileSync(sandbox.at('f'), 'utf8')).toBe('new');
    });

    test('of a directory, with its default for new files, are kept when it is replaced', async () => {
      sandbox.seed({ 'd/x': 'old' });
      run('setfacl', '-m', 'u:12345:rwx,d:u:12345:rwx', sandbox.at('d'));
      const before = accessList(sandbox.at('d'));
      const source = plantSource(sandbox.directory, { x: 'new' });
      const store = await sandbox.open();
      await store.transact({}, (tx) => tx.copyIn('d', source));
      expect(sandbox.tree()['d/x']?.bytes).toBe('new');
      // The mode comes from the source, and shows as the mask.
      const withoutMask = (text: string): string =>
        text.replaceAll(/^mask::.*\n/gm, '').replaceAll(/\t#.*$/gm, '');
      expect(withoutMask(accessList(sandbox.at('d')))).toBe(withoutMask(before));
    });
  });

  test('a directory with the set-group bit hands it to new directories', async () => {
    sandbox.seed({ d: { directory: 0o2775 } });
    const store = await sandbox.open();
    await store.transact({}, async (tx) => {
      await tx.mkdir('d/e');
      await tx.write('d/f/g/h', 'h');
      await tx.mkdir('plain');
    });
    expect(sandbox.tree()).toEqual({
      d: directory(0o2775),
      'd/e': directory(0o2755),
      'd/f': directory(0o2755),
      'd/f/g': directory(0o2755),
      'd/f/g/h': file('h'),
      plain: directory(),
    });
  });

  test('a replaced file with another hard link leaves the other name its content', async () => {
    sandbox.seed({ a: 'shared' });
    linkSync(sandbox.at('a'), join(sandbox.directory, 'outside'));
    const store = await sandbox.open();
    await store.transact({}, (tx) => tx.write('a', 'new'));
    expect(readFileSync(join(sandbox.directory, 'outside'), 'utf8')).toBe('shared');
    expect(sandbox.tree()['a']).toEqual(file('new'));
    expect(lstatSync(sandbox.at('a')).nlink).toBe(1);
  });

  test('two names of one file are two files to a transaction', async () => {
    sandbox.seed({ a: 'shared' });
    linkSync(sandbox.at('a'), sandbox.at('b'));
    const store = await sandbox.open();
    const receipt = await store.transact({}, async (tx) => {
      await tx.write('a', 'new');
      await tx.remove('b');
    });
    expect(sandbox.tree()).toEqual({ a: file('new') });
    expect(receipt.transaction?.changes.length).toBe(2);
    expect(listOwn(sandbox.root, 'stage').length).toBe(2);
    expect(readQuarantine(sandbox.root)).toEqual([]);
  });
});
