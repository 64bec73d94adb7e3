import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { breakTableRule } from '../support/broken-journal.js';
import {
  type EngineErrorCode,
  openStore,
  type Store,
  type Transaction,
} from '../../src/engine/index.js';
import type { Place } from '../../src/engine/file-system.js';
import { openDatabase } from '../../src/engine/sqlite.js';
import { watchedFileSystem } from '../support/faults.js';
import { mkfifoSync, plantSource } from '../support/sources.js';
import {
  bumpEpoch,
  changeJournal,
  changeOwner,
  expectError,
  expectRefused,
  modes,
  readOwnerFile,
  useSandbox,
} from '../support/store.js';
import { copyTree } from '../support/copier.js';
import { file, sha256 } from '../support/tree.js';

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);

  describe('paths', () => {
    const badPaths: readonly (readonly [string, string, EngineErrorCode])[] = [
      ['empty', '', 'PATH_INVALID'],
      ['of an empty segment', 'a//b', 'PATH_INVALID'],
      ['with a dot', './a', 'PATH_INVALID'],
      ['with a NUL', 'a\0b', 'PATH_INVALID'],
      ['with a backslash', 'a\\b', 'PATH_INVALID'],
      ['with a lone surrogate', 'a\ud800', 'PATH_INVALID'],
      ['absolute', '/etc/passwd', 'PATH_ESCAPES_ROOT'],
      ['the root of the file system', '/', 'PATH_ESCAPES_ROOT'],
      ['with a drive', 'C:/x', 'PATH_ESCAPES_ROOT'],
      ['going up', '../x', 'PATH_ESCAPES_ROOT'],
      ['going down and up', 'a/../../x', 'PATH_ESCAPES_ROOT'],
      ['going up at the end', 'a/..', 'PATH_ESCAPES_ROOT'],
      ['a Windows device', 'NUL', 'PATH_RESERVED'],
      ['a Windows device with an ending', 'a/com1.txt', 'PATH_RESERVED'],
      ['with a colon', 'ab:c', 'PATH_RESERVED'],
      ['with a control character', 'a\nb', 'PATH_RESERVED'],
      ['ending in a dot', 'a.', 'PATH_RESERVED'],
      ['ending in a space', 'a /b', 'PATH_RESERVED'],
      ['with an over-long name', 'x'.repeat(256), 'PATH_TOO_LONG'],
      ['with an over-long name in bytes', 'ä'.repeat(128), 'PATH_TOO_LONG'],
      ['too long', `${'x'.repeat(200)}/`.repeat(16).slice(0, -1), 'PATH_TOO_LONG'],
      ['too deep', 'd/'.repeat(128) + 'f', 'PATH_TOO_LONG'],
      ["the engine's directory", '.skillmeat', 'PATH_IN_ENGINE_DIRECTORY'],
      ["in the engine's directory", '.skillmeat/journal.db', 'PATH_IN_ENGINE_DIRECTORY'],
      ["the engine's directory in capitals", '.SkillMeat/x', 'PATH_IN_ENGINE_DIRECTORY'],
      ["the engine's directory with ignorables", '.skill\u200cmeat/x', 'PATH_IN_ENGINE_DIRECTORY'],
      ["the engine's directory in wide letters", '.ｓkillmeat/x', 'PATH_IN_ENGINE_DIRECTORY'],
      ["the engine's directory as 8.3", 'SKILLM~1/x', 'PATH_IN_ENGINE_DIRECTORY'],
    ];

    test.each(badPaths)('%s are refused by every operation', async (_name, path, code) => {
      sandbox.seed({ f: 'f' });
      const source = plantSource(sandbox.directory, { x: 'x' });
      const store = await sandbox.open();
      const operations: readonly ((tx: Transaction) => Promise<unknown>)[] = [
        (tx) => tx.write(path, 'x'),
        (tx) => tx.copyIn(path, source),
        (tx) => tx.remove(path),
        (tx) => tx.remove(path, { ifPresent: true }),
        (tx) => tx.rename(path, 'g'),
        (tx) => tx.rename('f', path),
        (tx) => tx.mkdir(path),
        (tx) => tx.chmod(path, 0o755),
        (tx) => tx.symlink(path, 'f'),
        (tx) => tx.read(path),
        (tx) => tx.stat(path),
        (tx) => tx.list(path),
      ];
      await expectRefused(
        sandbox.root,
        () => store.transact({}, (tx) => tx.write(path, 'x')),
        code,
      );
      await store.transact({}, async (tx) => {
        for (const operation of operations) await expectError(operation(tx), code);
      });
      expect(sandbox.tree()).toEqual({ f: file('f') });
    });

    test('the names that users really have are taken', async () => {
      const store = await sandbox.open();
      const names = [
        'a b',
        '.hidden',
        'ünïcødé',
        '日本語',
        'console.log',
        'a..b',
        "it's",
        '-x',
        '~',
      ];
      await store.transact({}, async (tx) => {
        for (const name of names) await tx.write(`${name}/${name}`, name);
      });
      for (const name of names) expect(sandbox.tree()[`${name}/${name}`]).toEqual(file(name));
      await store.transact({}, (tx) => tx.write('a b/', 'x').catch(() => undefined));
    });

    test('a path that is no string is a TypeError', async () => {
      const store = await sandbox.open();
      await expect(store.transact({}, (tx) => tx.remove(5 as unknown as string))).rejects.toThrow(
        TypeError,
      );
    });
  });

  describe('what is on disk', () => {
    test('nothing is written through a link at the path', async () => {
      sandbox.seed({
        '../outside/f': 'outside',
        l: { link: '../outside/f' },
        d: { link: '../outside' },
      });
      const source = plantSource(sandbox.directory, { x: 'x' });
      const store = await sandbox.open();
      for (const path of ['l', 'd']) {
        for (const operation of [
          (tx: Transaction) => tx.write(path, 'x'),
          (tx: Transaction) => tx.copyIn(path, source),
          (tx: Transaction) => tx.chmod(path, 0o600),
          (tx: Transaction) => tx.mkdir(path),
          (tx: Transaction) => tx.read(path),
        ]) {
          await expectRefused(sandbox.root, () => store.transact({}, operation), 'PATH_IS_LINK', {
            path,
          });
        }
      }
      expect(readFileSync(join(sandbox.directory, 'outside/f'), 'utf8')).toBe('outside');
      expect(readdirSync(join(sandbox.directory, 'outside'))).toEqual(['f']);
    });

    test('nothing is written or read through a link on the way', async () => {
      sandbox.seed({
        '../outside/d/f': 'outside',
        'a/l': { link: '../../outside' },
        in: { link: 'a' },
      });
      const store = await sandbox.open();
      for (const [path, at] of [
        ['a/l/f', 'a/l'],
        ['a/l/d/f', 'a/l'],
        ['a/l/new/f', 'a/l'],
        ['in/f', 'in'],
      ] as const) {
        for (const operation of [
          (tx: Transaction) => tx.write(path, 'x'),
          (tx: Transaction) => tx.remove(path, { ifPresent: true }),
          (tx: Transaction) => tx.mkdir(path),
          (tx: Transaction) => tx.symlink(path, 'x'),
          (tx: Transaction) => tx.read(path),
          (tx: Transaction) => tx.stat(path),
        ]) {
          const error = await expectRefused(
            sandbox.root,
            () => store.transact({}, operation),
            'PATH_IS_LINK',
            { path },
          );
          expect(error.message).toContain(`"${at}"`);
        }
      }
      expect(readdirSync(join(sandbox.directory, 'outside'))).toEqual(['d']);
      expect(readdirSync(join(sandbox.directory, 'outside/d'))).toEqual(['f']);
    });

    test('a link that is put in the way while the callback runs leads nowhere', async () => {
      sandbox.seed({ '../outside/f': 'outside', 'd/f': 'inside' });
      const store = await sandbox.open();
      const act = store.transact({}, async (tx) => {
        await tx.write('d/f', 'new');
        renameSync(sandbox.at('d'), join(sandbox.directory, 'moved'));
        symlinkSync('../outside', sandbox.at('d'));
      });
      await expect(act).rejects.toMatchObject({ name: 'EngineError' });
      expect(readFileSync(join(sandbox.directory, 'outside/f'), 'utf8')).toBe('outside');
      expect(readFileSync(join(sandbox.directory, 'moved/f'), 'utf8')).toBe('inside');
      expect(readdirSync(join(sandbox.directory, 'outside'))).toEqual(['f']);
    });

    test('a FIFO and a socket are left alone, also deep in what is removed', async () => {
      sandbox.seed({ 'd/x': 'x', e: { directory: 0o755 } });
      mkfifoSync(sandbox.at('d/pipe'));
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(sandbox.at('e/socket'), resolve));
      try {
        const store = await sandbox.open();
        const source = plantSource(sandbox.directory, { s: 's' });
        for (const path of ['d/pipe', 'e/socket']) {
          for (const operation of [
            (tx: Transaction) => tx.write(path, 'x'),
            (tx: Transaction) => tx.remove(path),
            (tx: Transaction) => tx.chmod(path, 0o600),
            (tx: Transaction) => tx.rename(path, 'moved'),
            (tx: Transaction) => tx.rename('d/x', path, { replace: true }),
            (tx: Transaction) => tx.read(path),
            (tx: Transaction) => tx.copyIn(path, source),
          ]) {
            await expectRefused(sandbox.root, () => store.transact({}, operation), 'PATH_SPECIAL', {
              path,
            });
          }
        }
        for (const operation of [
          (tx: Transaction) => tx.remove('d'),
          (tx: Transaction) => tx.copyIn('d', source),
          (tx: Transaction) => tx.rename('d', 'moved'),
        ]) {
          await expectRefused(sandbox.root, () => store.transact({}, operation), 'PATH_SPECIAL', {
            path: 'd/pipe',
          });
        }
        await store.transact({}, async (tx) => {
          expect((await tx.stat('d/pipe'))?.kind).toBe('special');
          await tx.write('d/x', 'beside it');
        });
      } finally {
        await new Promise((resolve) => server.close(resolve));
      }
    });

    test.each<[string, EngineErrorCode, string, (tx: Transaction) => Promise<unknown>]>([
      ['write below a file', 'PATH_NOT_DIRECTORY', 'f/x', (tx) => tx.write('f/x', 'x')],
      ['mkdir below a file', 'PATH_NOT_DIRECTORY', 'f/x/y', (tx) => tx.mkdir('f/x/y')],
      ['write on a directory', 'PATH_IS_DIRECTORY', 'd', (tx) => tx.write('d', 'x')],
      ['read a directory', 'PATH_IS_DIRECTORY', 'd', (tx) => tx.read('d')],
      ['mkdir on a file', 'PATH_EXISTS', 'f', (tx) => tx.mkdir('f')],
      ['chmod of nothing', 'PATH_NOT_FOUND', 'no', (tx) => tx.chmod('no', 0o600)],
      ['remove in nothing', 'PATH_NOT_FOUND', 'no/x', (tx) => tx.remove('no/x')],
      ['an unusable file mode', 'PLAN_INVALID', 'n', (tx) => tx.write('n', 'x', { mode: 0o200 })],
      ['a set-id mode', 'PLAN_INVALID', 'n', (tx) => tx.write('n', 'x', { mode: 0o4755 })],
      ['an unusable directory mode', 'PLAN_INVALID', 'n', (tx) => tx.mkdir('n', { mode: 0o600 })],
    ])('%s is refused', async (_name, code, path, operation) => {
      sandbox.seed({ f: 'f', 'd/x': 'x' });
      const store = await sandbox.open();
      await expectRefused(sandbox.root, () => store.transact({}, operation), code, { path });
    });

    test('a source that cannot be read names itself', async () => {
      const source = plantSource(sandbox.directory, { loop: { link: 'loop' } });
      const store = await sandbox.open();
      await expectRefused(
        sandbox.root,
        () => store.transact({}, (tx) => tx.copyIn('a', join(source, 'loop'))),
        'SOURCE_UNREADABLE',
        { path: join(source, 'loop') },
      );
      await expectRefused(
        sandbox.root,
        () =>
          store.apply({
            version: 1,
            operations: [{ op: 'write', path: 'a', from: source }],
          } as never),
        'SOURCE_UNREADABLE',
        { path: source },
      );
    });

    test('new content does not inherit a set-user-id bit', async () => {
      sandbox.seed({ tool: { content: 'old', mode: 0o4755 } });
      const store = await sandbox.open();
      await expectRefused(
        sandbox.root,
        () => store.transact({}, (tx) => tx.write('tool', 'new')),
        'METADATA_NOT_KEPT',
        { path: 'tool' },
      );
      await store.transact({}, (tx) => tx.write('tool', 'new', { mode: 0o755 }));
      expect(sandbox.tree()['tool']).toEqual(file('new', 0o755));
    });

    test('a name that is not UTF-8 stops what would remove it', async () => {
      sandbox.seed({ 'd/x': 'x' });
      const odd = Buffer.concat([Buffer.from(sandbox.at('d/')), Buffer.of(0xff, 0xfe)]);
      writeFileSync(odd, 'odd');
      const store = await sandbox.open();
      await expectError(
        store.transact({}, (tx) => tx.remove('d')),
        'PATH_INVALID',
      );
      expect(readFileSync(odd, 'utf8')).toBe('odd');
      rmSync(odd);
    });

    test('what another program wrote while the callback ran is not overwritten', async () => {
      sandbox.seed({ f: 'old', g: 'old', 'd/x': 'old' });
      const store = await sandbox.open();
      await expectError(
        store.transact({}, async (tx) => {
          expect(Buffer.from((await tx.read('f')) ?? []).toString()).toBe('old');
          await tx.write('f', 'new');
          await tx.write('g', 'new');
          writeFileSync(sandbox.at('f'), 'foreign');
        }),
        'DRIFT_DETECTED',
        { path: 'f' },
      );
      expect(sandbox.tree()['f']).toEqual(file('foreign'));
      expect(sandbox.tree()['g']).toEqual(file('old'));
      expect((await store.status()).head).toBe(0);
    });
  });

  describe('a file system', () => {
    /** As APFS and NTFS would: `.SKILLMEAT` finds `.skillmeat`. */
    const folding = (): ReturnType<typeof watchedFileSystem> =>
      watchedFileSystem(mode, ({ method, values }, real) => {
        const [place] = values as [Place | undefined];
        if (method !== 'stat' || place?.name !== '.SKILLMEAT') return undefined;
        return () => real.stat({ ...place, name: '.skillmeat' });
      });

    test('that folds names takes two spellings of one name for a collision', async () => {
      sandbox.seed({ 'd/Skill.md': 's', 'd/straße': 's' });
      const store = await sandbox.open({ fileSystem: folding() });
      expect((await store.diagnose()).foldsNames).toBe(true);
      for (const path of ['d/SKILL.md', 'd/skill.MD', 'd/STRASSE']) {
        for (const operation of [
          (tx: Transaction) => tx.write(path, 'x'),
          (tx: Transaction) => tx.mkdir(path),
          (tx: Transaction) => tx.symlink(path, 'x'),
        ]) {
          await expectRefused(sandbox.root, () => store.transact({}, operation), 'PATH_COLLISION', {
            path,
          });
        }
      }
      await expectRefused(
        sandbox.root,
        () =>
          store.transact({}, async (tx) => {
            await tx.write('new/a', 'a');
            await tx.write('new/A', 'A');
          }),
        'PATH_COLLISION',
        { path: 'new/A' },
      );
      await expectRefused(
        sandbox.root,
        () =>
          store.transact({}, async (tx) => {
            await tx.write('new/a', 'a');
            await tx.write('NEW/b', 'b');
          }),
        'PATH_COLLISION',
        { path: 'NEW' },
      );
      // On such a file system both spellings are there at once: docs/design.md, "Limits".
      await expectRefused(
        sandbox.root,
        () => store.transact({}, (tx) => tx.rename('d/Skill.md', 'd/SKILL.md')),
        'PATH_COLLISION',
        { path: 'd/SKILL.md' },
      );
    });

    test('that folds names knows a path by one spelling', async () => {
      sandbox.seed({ 'd/f': 'f', g: 'g' });
      const lower = (place: Place): Place => ({ ...place, name: place.name.toLowerCase() });
      const files = watchedFileSystem(mode, ({ method, values }, real) => {
        const [place] = values as [Place | undefined];
        if (place === undefined || !/[DG]|SKILL/.test(place.name)) return undefined;
        if (method === 'stat') return () => real.stat(lower(place));
        if (method === 'openDirectory') return () => real.openDirectory(lower(place));
        return undefined;
      });
      const store = await sandbox.open({ fileSystem: files });
      for (const operation of [
        (tx: Transaction) => tx.write('D/f', 'x'),
        (tx: Transaction) => tx.write('D/new', 'x'),
        (tx: Transaction) => tx.mkdir('D'),
        (tx: Transaction) => tx.remove('D'),
        (tx: Transaction) => tx.remove('G'),
        (tx: Transaction) => tx.chmod('G', 0o600),
        (tx: Transaction) => tx.rename('G', 'h'),
        (tx: Transaction) => tx.rename('g', 'G', { replace: true }),
      ]) {
        await expectRefused(sandbox.root, () => store.transact({}, operation), 'PATH_COLLISION');
      }
    });

    test('that is mounted over a file below the root is not touched', async () => {
      sandbox.seed({ 'd/f': 'f', 'd/g': 'g' });
      const files = watchedFileSystem(mode, ({ method }) =>
        method === 'mountsBelow' ? () => ['other', 'd/f'] : undefined,
      );
      const store = await sandbox.open({ fileSystem: files });
      for (const operation of [
        (tx: Transaction) => tx.write('d/f', 'x'),
        (tx: Transaction) => tx.chmod('d/f', 0o600),
        (tx: Transaction) => tx.remove('d'),
        (tx: Transaction) => tx.rename('d', 'e'),
      ]) {
        await expectRefused(
          sandbox.root,
          () => store.transact({}, operation),
          'PATH_ON_OTHER_MOUNT',
        );
      }
      await store.transact({}, (tx) => tx.write('d/g', 'x'));
      expect(sandbox.tree()['d/g']).toEqual(file('x'));
    });

    test('that is mounted below the root is not crossed', async () => {
      sandbox.seed({ 'd/mount/f': 'f' });
      const files = watchedFileSystem(mode, ({ method, values }) => {
        const [place] = values as [Place | undefined];
        const isMount = method === 'openDirectory' && /(?:^|\/)mount$/.test(place?.name ?? '');
        return isMount ? () => 'other-mount' : undefined;
      });
      const store = await sandbox.open({ fileSystem: files });
      for (const operation of [
        (tx: Transaction) => tx.write('d/mount/f', 'x'),
        (tx: Transaction) => tx.remove('d'),
        (tx: Transaction) => tx.rename('d', 'e'),
      ]) {
        await expectRefused(
          sandbox.root,
          () => store.transact({}, operation),
          'PATH_ON_OTHER_MOUNT',
        );
      }
    });
  });

  describe('expectations and rules', () => {
    test.each([
      ['absent', 'f', 'absent'],
      ['a directory', 'f', 'directory'],
      ['a link', 'f', 'symlink:x'],
      ['another content', 'f', `sha256:${sha256('other')}`],
      ['another target', 'l', 'symlink:other'],
      ['something', 'nothing', 'directory'],
    ])('an expectation of %s that fails refuses the plan', async (_name, path, expected) => {
      sandbox.seed({ f: 'f', l: { link: 'f' } });
      const store = await sandbox.open();
      await expectRefused(
        sandbox.root,
        () =>
          store.apply({
            version: 1,
            expect: { [path]: expected },
            operations: [{ op: 'write', path: 'new', content: 'x' }],
          } as never),
        'EXPECTATION_FAILED',
        { path },
      );
    });

    test('expectations that hold let the plan through', async () => {
      sandbox.seed({ f: 'f', l: { link: 'f' }, 'd/x': 'x' });
      const store = await sandbox.open();
      const receipt = await store.apply({
        version: 1,
        expect: { f: `sha256:${sha256('f')}`, l: 'symlink:f', d: 'directory', new: 'absent' },
        operations: [{ op: 'write', path: 'new', content: 'x' }],
      } as never);
      expect(receipt.transaction?.id).toBe(1);
    });

    test('rules see the result and can refuse it', async () => {
      sandbox.seed({ f: 'f' });
      const store = await sandbox.open({
        rules: [
          async (view, changes) => {
            const text = Buffer.from((await view.read('f')) ?? []).toString();
            expect(changes.map(({ path }) => path)).toEqual(['f']);
            return text === 'bad' ? [{ rule: 'C1', message: 'no bad', path: 'f' }] : [];
          },
        ],
      });
      await expectRefused(
        sandbox.root,
        () => store.transact({}, (tx) => tx.write('f', 'bad')),
        'RULE_VIOLATED',
        { path: 'f', message: /C1: f: no bad/ },
      );
      await store.transact({}, (tx) => tx.write('f', 'good'));
      await expectRefused(
        sandbox.root,
        () =>
          store.transact({ rules: [() => [{ rule: 'C2', message: 'never' }]] }, (tx) =>
            tx.write('f', 'x'),
          ),
        'RULE_VIOLATED',
        { message: /C2: never/ },
      );
    });

    test('a rule that throws stops the transaction with its own error', async () => {
      const store = await sandbox.open();
      const failure = new Error('rule broke');
      const rule = (): never => {
        throw failure;
      };
      await expect(store.transact({ rules: [rule] }, (tx) => tx.write('f', 'x'))).rejects.toBe(
        failure,
      );
      expect(sandbox.tree()).toEqual({});
    });

    test('a message that is too long, or holds a NUL, is refused', async () => {
      const store = await sandbox.open();
      for (const message of ['x'.repeat(65_537), 'a\0b']) {
        await expectRefused(
          sandbox.root,
          () => store.transact({ message }, (tx) => tx.write('f', 'x')),
          'LIMIT_EXCEEDED',
        );
      }
    });
  });

  describe('the transaction', () => {
    test('takes no call after it is over', async () => {
      const store = await sandbox.open();
      let kept: Transaction | undefined;
      await store.transact({}, async (tx) => {
        kept = tx;
        await tx.write('a', 'a');
      });
      await expectError(kept?.write('b', 'b') ?? Promise.resolve(), 'TRANSACTION_CLOSED');
      await expectError(kept?.read('a') ?? Promise.resolve(), 'TRANSACTION_CLOSED');
    });

    test('takes no call after its callback threw', async () => {
      const store = await sandbox.open();
      let kept: Transaction | undefined;
      await expect(
        store.transact({}, (tx) => {
          kept = tx;
          throw new Error('no');
        }),
      ).rejects.toThrow('no');
      await expectError(kept?.write('b', 'b') ?? Promise.resolve(), 'TRANSACTION_CLOSED');
    });

    test('cannot be started inside another one of the same store', async () => {
      const store = await sandbox.open();
      await store.transact({}, async (tx) => {
        await tx.write('a', 'a');
        await expectError(
          store.transact({}, (inner) => inner.write('b', 'b')),
          'TRANSACTION_NESTED',
        );
        await expectError(store.recover(), 'TRANSACTION_NESTED');
      });
      expect(Object.keys(sandbox.tree())).toEqual(['a']);
    });

    test('of one store can be started inside that of another', async () => {
      const store = await sandbox.open();
      const other = await sandbox.openAt(join(sandbox.directory, 'other'));
      await store.transact({}, async (tx) => {
        await other.transact({}, (inner) => inner.write('b', 'b'));
        await tx.write('a', 'a');
      });
      expect(existsSync(join(sandbox.directory, 'other/b'))).toBe(true);
    });

    test('is stopped by a signal: before, during and at the end of the callback', async () => {
      sandbox.seed({ f: 'old' });
      const store = await sandbox.open();
      const reason = new Error('user pressed a key');
      await expectRefused(
        sandbox.root,
        () => store.transact({ signal: AbortSignal.abort(reason) }, (tx) => tx.write('f', 'x')),
        'ABORTED',
      );
      const controller = new AbortController();
      const error = await expectRefused(
        sandbox.root,
        () =>
          store.transact({ signal: controller.signal }, async (tx) => {
            await tx.write('f', 'x');
            controller.abort(reason);
          }),
        'ABORTED',
      );
      expect(error.cause).toBe(reason);
      const during = new AbortController();
      await expectRefused(
        sandbox.root,
        () =>
          store.transact({ signal: during.signal }, (tx) =>
            tx.write(
              'f',
              (async function* () {
                yield 'a';
                during.abort(reason);
                yield 'b';
              })(),
            ),
          ),
        'ABORTED',
      );
    });
  });

  describe('the store', () => {
    test('that is not there is not found', async () => {
      await expectError(openStore(sandbox.root, { native: mode }), 'STORE_NOT_FOUND', {
        path: sandbox.root,
      });
      const missing = join(sandbox.directory, 'missing');
      await expectError(openStore(missing, { native: mode }), 'STORE_NOT_FOUND', { path: missing });
      writeFileSync(missing, 'file');
      await expectError(openStore(missing, { native: mode }), 'STORE_NOT_FOUND', { path: missing });
      await expect(openStore('', { native: mode })).rejects.toThrow(TypeError);
    });

    test('that is closed refuses every method, and a second close', async () => {
      const store = await sandbox.open();
      await store.close();
      await store.close();
      const methods: readonly (() => Promise<unknown>)[] = [
        () => store.transact({}, () => undefined),
        () => store.apply({ version: 1, operations: [] } as never),
        () => store.recover(),
        () => store.status(),
        () => store.log(),
        () => store.show(1),
        () => store.diagnose(),
        () => store.undo(),
        () => store.redo(),
        () => store.diff(),
        () => store.read('a'),
        () => store.lastChanges(),
        () => store.drift(),
        () => store.adopt(),
        () => store.rollback({ to: { transaction: 0 } }),
        () => store.history(),
        () => store.verify().next(),
        () => store.repair(),
        () => store.prune(),
        () => store.mark(1, { pin: true }),
        () => store.historyPolicy(),
        () => store.setHistoryPolicy(undefined),
        () => store.usage(),
        () => store.rememberHashes('x', () => Promise.resolve()),
      ];
      for (const method of methods) await expectError(method, 'STORE_CLOSED');
      const own = Object.getOwnPropertyNames(Object.getPrototypeOf(store));
      const tested = ['transact', 'apply', 'recover', 'status', 'log', 'show', 'diagnose'];
      const ofHistory = ['undo', 'redo', 'diff', 'read', 'lastChanges', 'drift', 'adopt'];
      const ofPromises = [
        'rollback',
        'history',
        'verify',
        'repair',
        'prune',
        'usage',
        'rememberHashes',
      ];
      const ofKeeping = ['mark', 'historyPolicy', 'setHistoryPolicy'];
      const rest = ['constructor', 'root', 'recoveryOnOpen', 'close', 'recoverOnOpen'];
      expect(own.toSorted(), 'a new method needs a line here').toEqual(
        [...tested, ...ofHistory, ...ofPromises, ...ofKeeping, ...rest].toSorted(),
      );
    });

    test('closing waits for what is running', async () => {
      const store = await sandbox.open();
      const running = store.transact({}, async (tx) => {
        await new Promise((resolve) => setTimeout(resolve, 10));
        await tx.write('a', 'a');
      });
      const queued = store.transact({}, (tx) => tx.write('b', 'b'));
      await store.close();
      await running;
      await queued;
      expect(Object.keys(sandbox.tree())).toEqual(['a', 'b']);
    });

    test('whose journal was deleted while open is replaced', async () => {
      const store = await sandbox.open();
      await store.transact({}, (tx) => tx.write('a', 'a'));
      rmSync(sandbox.at('.skillmeat/journal.db'));
      await expectError(
        store.transact({}, (tx) => tx.write('b', 'b')),
        'STORE_REPLACED',
      );
      expect(Object.keys(sandbox.tree())).toEqual(['a']);
      await expectError(
        store.transact({}, (tx) => tx.write('b', 'b')),
        'STORE_POISONED',
      );
      await expectError(store.recover(), 'STORE_POISONED');
      await store.close();
      sandbox.breaksStore();
      await expectError(openStore(sandbox.root, { native: mode }), 'JOURNAL_DAMAGED');
      await expectError(openStore(sandbox.root, { native: mode, create: true }), 'JOURNAL_DAMAGED');
    });

    test('whose journal was replaced by another one while open is replaced', async () => {
      const store = await sandbox.open();
      const other = await sandbox.openAt(join(sandbox.directory, 'other'));
      await other.close();
      renameSync(
        join(sandbox.directory, 'other/.skillmeat/journal.db'),
        sandbox.at('.skillmeat/journal.db'),
      );
      await expectError(
        store.transact({}, (tx) => tx.write('b', 'b')),
        'STORE_REPLACED',
      );
      expect(sandbox.tree()).toEqual({});
      sandbox.breaksStore();
    });

    test('whose whole directory was deleted or replaced while open is replaced', async () => {
      const store = await sandbox.open();
      renameSync(sandbox.at('.skillmeat'), join(sandbox.directory, 'away'));
      await expectError(
        store.transact({}, (tx) => tx.write('b', 'b')),
        'STORE_REPLACED',
      );
      expect(sandbox.tree()).toEqual({});
      const fresh = await sandbox.open();
      await fresh.transact({}, (tx) => tx.write('c', 'c'));
      await expectError(
        store.transact({}, (tx) => tx.write('b', 'b')),
        'STORE_POISONED',
      );
      expect(Object.keys(sandbox.tree())).toEqual(['c']);
    });

    test('of a copied root is detached until it is adopted', async () => {
      sandbox.seed({ a: 'a' });
      const store = await sandbox.open();
      await store.transact({}, (tx) => tx.write('b', 'b'));
      await store.close();
      const copy = join(sandbox.directory, 'copy');
      copyTree(sandbox.root, copy);
      await expectError(openStore(copy, { native: mode }), 'STORE_DETACHED', { path: copy });
      await expectError(openStore(copy, { native: mode, create: true }), 'STORE_DETACHED');
      const adopted = await sandbox.openAt(copy, { adopt: true });
      expect((await adopted.log()).length).toBe(1);
      await adopted.transact({}, (tx) => tx.write('c', 'c'));
      await adopted.close();
      const again = await sandbox.openAt(copy);
      expect((await again.log()).length).toBe(2);
    });

    test('of a root that was renamed is the same store', async () => {
      const store = await sandbox.open();
      await store.transact({}, (tx) => tx.write('a', 'a'));
      await store.close();
      const moved = join(sandbox.directory, 'moved');
      renameSync(sandbox.root, moved);
      const again = await sandbox.openAt(moved);
      expect((await again.status()).head).toBe(1);
      mkdirSync(sandbox.root);
    });

    test('whose directory others may write is unsafe', async () => {
      const store = await sandbox.open();
      await store.close();
      const own = sandbox.at('.skillmeat');
      spawnSync('chmod', ['777', own]);
      await expectError(openStore(sandbox.root, { native: mode }), 'STORE_UNSAFE');
      await expectError(openStore(sandbox.root, { native: mode, create: true }), 'STORE_UNSAFE');
      spawnSync('chmod', ['700', own]);
      await sandbox.open();
    });

    test.each(['stage', 'quarantine', '.'])('whose %s is a link is unsafe', async (name) => {
      const store = await sandbox.open();
      await store.close();
      const own = join(sandbox.at('.skillmeat'), name);
      renameSync(own, join(sandbox.directory, 'moved'));
      symlinkSync(join(sandbox.directory, 'moved'), own);
      for (const create of [true, false]) {
        await expectError(openStore(sandbox.root, { native: mode, create }), 'STORE_UNSAFE');
      }
      sandbox.breaksStore();
    });

    test('whose directory is a file is unsafe', async () => {
      writeFileSync(sandbox.at('.skillmeat'), 'file');
      for (const create of [true, false]) {
        await expectError(openStore(sandbox.root, { native: mode, create }), 'STORE_UNSAFE');
      }
    });

    test.each(['stage', 'quarantine'])('whose %s is missing is damaged', async (name) => {
      const store = await sandbox.open();
      await store.close();
      rmSync(join(sandbox.at('.skillmeat'), name), { recursive: true });
      await expectError(openStore(sandbox.root, { native: mode }), 'JOURNAL_DAMAGED');
      sandbox.breaksStore();
    });

    test('of a newer format is refused and not changed', async () => {
      const store = await sandbox.open();
      await store.close();
      changeJournal(sandbox.root, 'PRAGMA user_version = 2');
      await expectRefused(
        sandbox.root,
        () => openStore(sandbox.root, { native: mode }),
        'STORE_FORMAT_NEWER',
      );
      sandbox.breaksStore();
    });

    test.each([
      ['another application', 'PRAGMA application_id = 1'],
      ['an older format', 'PRAGMA user_version = 0'],
      ['a view', 'CREATE VIEW v AS SELECT 1'],
      [
        'a trigger',
        'CREATE TRIGGER t AFTER INSERT ON journal_change BEGIN DELETE FROM journal_change; END',
      ],
      ['another table', 'CREATE TABLE extra (x)'],
      ['another index', 'CREATE INDEX i ON journal_change (path)'],
      ['one table less', 'DROP TABLE journal_change'],
    ])('whose journal has %s is foreign', async (_name, statement) => {
      const store = await sandbox.open();
      await store.close();
      changeJournal(sandbox.root, statement);
      for (const create of [true, false]) {
        await expectError(openStore(sandbox.root, { native: mode, create }), 'JOURNAL_FOREIGN');
      }
      sandbox.breaksStore();
    });

    test('whose journal is no database is foreign', async () => {
      const store = await sandbox.open();
      await store.close();
      for (const name of ['journal.db-wal', 'journal.db-shm']) {
        rmSync(sandbox.at(`.skillmeat/${name}`), { force: true });
      }
      writeFileSync(sandbox.at('.skillmeat/journal.db'), 'not a database, '.repeat(100));
      for (const create of [true, false]) {
        await expectError(openStore(sandbox.root, { native: mode, create }), 'JOURNAL_FOREIGN');
      }
      sandbox.breaksStore();
    });

    test.each(['journal.db', 'journal.db-wal'])('whose %s is a link is foreign', async (name) => {
      const store = await sandbox.open();
      await store.close();
      const at = sandbox.at(`.skillmeat/${name}`);
      const outside = join(sandbox.directory, 'outside.db');
      if (existsSync(at)) renameSync(at, outside);
      else writeFileSync(outside, '');
      const before = readFileSync(outside);
      symlinkSync(outside, at);
      await expectError(openStore(sandbox.root, { native: mode }), 'JOURNAL_FOREIGN');
      expect(readFileSync(outside)).toEqual(before);
      sandbox.breaksStore();
    });

    test('on a file system without promises is refused, unless the risk is taken', async () => {
      for (const support of ['network', 'unknown'] as const) {
        const files = (): ReturnType<typeof watchedFileSystem> =>
          watchedFileSystem(mode, ({ method }) =>
            method === 'typeOf' ? () => ({ name: 'weird', support }) : undefined,
          );
        await expectError(
          openStore(sandbox.root, { create: true, fileSystem: files() }),
          'FILE_SYSTEM_UNSUPPORTED',
          { path: sandbox.root, message: /weird/ },
        );
        expect(readdirSync(sandbox.root), 'nothing was made').toEqual([]);
      }
      const risky = await sandbox.open({
        acceptFileSystem: true,
        fileSystem: watchedFileSystem(mode, ({ method }) =>
          method === 'typeOf' ? () => ({ name: 'weird', support: 'network' }) : undefined,
        ),
      });
      await risky.transact({}, (tx) => tx.write('a', 'a'));
      expect((await risky.diagnose()).fileSystem).toEqual({ name: 'weird', support: 'network' });
    });
  });

  describe('a damaged journal', () => {
    async function withTransactions(): Promise<Store> {
      const store = await sandbox.open();
      for (const n of ['1', '2', '3']) await store.transact({}, (tx) => tx.write(`f${n}`, n));
      return store;
    }

    test('is seen when its last transaction was deleted', async () => {
      const store = await withTransactions();
      await store.close();
      changeJournal(
        sandbox.root,
        'DELETE FROM journal_change WHERE transaction_id = 3; DELETE FROM journal_transaction WHERE id = 3',
      );
      expect(readOwnerFile(sandbox.root)?.mark.head.id).toBe(3);
      sandbox.breaksStore();
      await expectError(openStore(sandbox.root, { native: mode }), 'JOURNAL_DAMAGED', {
        message: /ends at transaction 2.*transaction 3/,
      });
      const again = await sandbox.open({ recover: 'never' });
      await expectRefused(
        sandbox.root,
        () => again.transact({}, (tx) => tx.write('x', 'x')),
        'JOURNAL_DAMAGED',
      );
      await expectError(
        again.transact({}, (tx) => tx.write('x', 'x')),
        'STORE_POISONED',
      );
    });

    test('is not replayed when a row was flipped', async () => {
      const store = await withTransactions();
      await store.close();
      changeJournal(
        sandbox.root,
        "UPDATE journal_change SET path = 'victim' WHERE transaction_id = 2",
      );
      writeFileSync(sandbox.at('victim'), 'precious');
      // The last holder died: everything unsettled is looked at again.
      changeOwner(sandbox.root, { isReleased: false });
      sandbox.breaksStore();
      await expectError(openStore(sandbox.root, { native: mode }), 'JOURNAL_DAMAGED', {
        message: /transaction 2/,
      });
      expect(sandbox.tree()['victim']).toEqual(file('precious'));
      const looking = await sandbox.open({ recover: 'never' });
      await expectError(looking.show(2), 'JOURNAL_DAMAGED');
      expect((await looking.show(3)).changes.length).toBe(1);
    });

    test('is not replayed when a transaction in the middle is missing', async () => {
      const store = await withTransactions();
      await store.close();
      changeJournal(
        sandbox.root,
        'DELETE FROM journal_change WHERE transaction_id = 2; DELETE FROM journal_transaction WHERE id = 2',
      );
      rmSync(sandbox.at('.skillmeat/owner'));
      sandbox.breaksStore();
      await expectError(openStore(sandbox.root, { native: mode }), 'JOURNAL_DAMAGED', {
        message: /before 3/,
      });
    });

    test('is not forgotten: one that is gone, beside traces of transactions, is not made anew', async () => {
      const store = await withTransactions();
      await store.close();
      for (const name of readdirSync(sandbox.at('.skillmeat'))) {
        if (name.startsWith('journal.db')) rmSync(sandbox.at(`.skillmeat/${name}`));
      }
      sandbox.breaksStore();
      for (const create of [true, false]) {
        await expectError(openStore(sandbox.root, { native: mode, create }), 'JOURNAL_DAMAGED');
        expect(readdirSync(sandbox.at('.skillmeat'))).not.toContain('journal.db');
      }
    });

    test('is seen when the stage holds contents of a later transaction', async () => {
      const store = await withTransactions();
      await store.close();
      writeFileSync(sandbox.at('.skillmeat/stage/9-abcdefab.1'), 'committed once');
      rmSync(sandbox.at('.skillmeat/owner'));
      sandbox.breaksStore();
      await expectError(openStore(sandbox.root, { native: mode }), 'JOURNAL_DAMAGED', {
        message: /transaction 9/,
      });
      expect(readFileSync(sandbox.at('.skillmeat/stage/9-abcdefab.1'), 'utf8')).toBe(
        'committed once',
      );
    });

    test('is seen by SQLite itself when its pages are broken', async () => {
      const store = await withTransactions();
      await store.close();
      const path = sandbox.at('.skillmeat/journal.db');
      const database = openDatabase(path);
      database.pragma('wal_checkpoint(TRUNCATE)');
      database.close();
      const bytes = readFileSync(path);
      bytes.fill(0xff, 4096 * 2, bytes.length);
      writeFileSync(path, bytes);
      rmSync(sandbox.at('.skillmeat/owner'));
      sandbox.breaksStore();
      await expectError(openStore(sandbox.root, { native: mode }), 'JOURNAL_DAMAGED');
    });
  });

  test('a damaged journal is seen by the check of SQLite when a row breaks a rule of its table', async () => {
    const store = await sandbox.open();
    await store.transact({}, (tx) => tx.write('a', 'a'));
    await store.close();
    breakTableRule(sandbox.at('.skillmeat/journal.db'));
    rmSync(sandbox.at('.skillmeat/owner'));
    sandbox.breaksStore();
    await expectError(openStore(sandbox.root, { native: mode }), 'JOURNAL_DAMAGED');
  });

  test('a writer that was overtaken is fenced off', async () => {
    sandbox.seed({ a: 'old' });
    const store = await sandbox.open();
    await store.transact({}, (tx) => tx.write('first', '1'));
    await expectError(
      store.transact({}, async (tx) => {
        await tx.write('a', 'new');
        bumpEpoch(sandbox.root);
      }),
      'FENCED',
    );
    expect(sandbox.tree()['a']).toEqual(file('old'));
    await expectError(
      store.transact({}, (tx) => tx.write('a', 'x')),
      'STORE_POISONED',
    );
    await store.close();
    const again = await sandbox.open();
    await again.transact({}, (tx) => tx.write('a', 'new'));
  });

  test('opening a store that is refused leaves no descriptor open', async () => {
    const store = await sandbox.open();
    await store.transact({}, (tx) => tx.write('a', 'a'));
    await store.close();
    rmSync(sandbox.at('.skillmeat/owner'));
    changeJournal(sandbox.root, "UPDATE journal_change SET path = 'b'");
    sandbox.breaksStore();
    await expectError(openStore(sandbox.root, { native: mode }), 'JOURNAL_DAMAGED');
    // useSandbox counts the descriptors.
  });

  test('a cp of the root by Node is detached too', async () => {
    const store = await sandbox.open();
    await store.close();
    const copy = join(sandbox.directory, 'copy');
    cpSync(sandbox.root, copy, { recursive: true });
    spawnSync('chmod', ['700', join(copy, '.skillmeat')]);
    await expectError(openStore(copy, { native: mode }), 'STORE_DETACHED');
  });
});
