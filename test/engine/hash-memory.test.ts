import {
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { OpenStoreOptions, Store } from '../../src/engine/index.js';
import { hashContent } from '../../src/engine/hash.js';
import { faultyFileSystem, watchedFileSystem } from '../support/faults.js';
import { frozenTimes } from '../support/frozen-times.js';
import { modes, useSandbox } from '../support/store.js';
import { readTree } from '../support/tree.js';

/* Hashes that are remembered as long as nothing changed: `skillmeat status` believes them. */

/** Long enough after everything that a test does for nothing to be racy. */
const later: OpenStoreOptions = { now: () => Date.now() + 10_000 };

const seed = { 'd/a': 'one', 'd/sub/b': 'bbb', 'd/sub/deep/c': 'c', 'd/empty/x': 'x', f: 'file' };
const past = new Date('2020-01-01T00:00:00.5Z');

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);

  /** What is at a path, in short: what nobody may miss a change of. */
  const truth = (path: string): string => {
    try {
      return hashContent(readFileSync(sandbox.at(path)));
    } catch {
      return hashContent(JSON.stringify(readTree(sandbox.at(path))));
    }
  };

  /** Asks once for each path; returns the paths that were computed. */
  async function ask(store: Store, paths: readonly string[] = ['d', 'f']): Promise<string[]> {
    const computed: string[] = [];
    await store.rememberHashes('tests', async (hashOf) => {
      for (const path of paths) {
        const hash = await hashOf(path, async () => {
          computed.push(path);
          return truth(path);
        });
        expect(hash, `${path} is as it is now`).toBe(truth(path));
      }
    });
    return computed;
  }

  /** A store that remembers both. */
  async function remembering(options: OpenStoreOptions = later): Promise<Store> {
    sandbox.seed(seed);
    for (const path of Object.keys(seed)) utimesSync(sandbox.at(path), past, past);
    const store = await sandbox.open(options);
    expect(await ask(store)).toEqual(['d', 'f']);
    expect(await ask(store)).toEqual([]);
    return store;
  }

  test('what did not change is looked at once for each name, and not read', async () => {
    const calls = new Map<string, number>();
    const files = watchedFileSystem(mode, ({ method }) => {
      calls.set(method, (calls.get(method) ?? 0) + 1);
    });
    const store = await remembering({ ...later, fileSystem: files });
    await store.close();
    const again = await sandbox.open({ ...later, fileSystem: files });
    calls.clear();
    expect(await ask(again)).toEqual([]);
    // Nine names and the memory itself, which is all that is opened for reading.
    expect(Object.fromEntries(calls)).toEqual({
      stat: 10,
      openForReading: 1,
      readSync: 1,
      closeFile: 1,
      openDirectory: 4,
      list: 4,
      closeDirectory: 4,
    });
  });

  const edits: Readonly<Record<string, (at: (path: string) => string) => void>> = {
    'another size': (at) => {
      writeFileSync(at('d/a'), 'longer');
    },
    'the same size, and the time set back': (at) => {
      writeFileSync(at('d/a'), 'two');
      utimesSync(at('d/a'), past, past);
    },
    'deep below': (at) => {
      writeFileSync(at('d/sub/deep/c'), 'C');
      utimesSync(at('d/sub/deep/c'), past, past);
    },
    'another file in its place': (at) => {
      writeFileSync(at('other'), 'two');
      utimesSync(at('other'), past, past);
      renameSync(at('other'), at('d/a'));
    },
    'a name more': (at) => {
      writeFileSync(at('d/sub/new'), '');
    },
    'a name less': (at) => {
      rmSync(at('d/sub/b'));
    },
    'another name': (at) => {
      renameSync(at('d/sub/b'), at('d/sub/B'));
    },
    'two that changed places': (at) => {
      renameSync(at('d/a'), at('x'));
      renameSync(at('d/sub/b'), at('d/a'));
      renameSync(at('x'), at('d/sub/b'));
    },
    'moved into another directory': (at) => {
      renameSync(at('d/sub/b'), at('d/sub/deep/b'));
    },
    'a directory less': (at) => {
      rmSync(at('d/sub/deep'), { recursive: true });
    },
    'a file where a directory was': (at) => {
      rmSync(at('d/sub'), { recursive: true });
      writeFileSync(at('d/sub'), '');
    },
    'through another name of the file': (at) => {
      linkSync(at('d/a'), at('elsewhere'));
      writeFileSync(at('elsewhere'), 'two');
      utimesSync(at('d/a'), past, past);
    },
    'cut off': (at) => {
      truncateSync(at('d/a'), 1);
      utimesSync(at('d/a'), past, past);
    },
    'all of it replaced by something of the same names': (at) => {
      mkdirSync(at('e/sub/deep'), { recursive: true });
      mkdirSync(at('e/empty'));
      const contents = { a: 'ONE', 'sub/b': 'BBB', 'sub/deep/c': 'C', 'empty/x': 'X' };
      for (const [path, content] of Object.entries(contents)) {
        writeFileSync(at(`e/${path}`), content);
        utimesSync(at(`e/${path}`), past, past);
      }
      rmSync(at('d'), { recursive: true });
      renameSync(at('e'), at('d'));
    },
  };

  test.each(Object.entries(edits))('an edit is seen: %s', async (_name, edit) => {
    const store = await remembering();
    edit((path) => sandbox.at(path));
    expect(await ask(store)).toEqual(['d']);
    expect(await ask(store)).toEqual([]);
  });

  // Where every time is the same, inode, size and name still tell.
  test.each([
    ['size', 'another size'],
    ['inode', 'another file in its place'],
    ['name', 'another name'],
  ])('an edit is seen although no time tells of it: by its %s', async (_what, name) => {
    const files = frozenTimes(mode, Date.now());
    const store = await remembering({ ...later, fileSystem: files });
    edits[name]?.((path) => sandbox.at(path));
    expect(await ask(store)).toEqual(['d']);
  });

  test('an edit within the tick of the clock is not missed', async () => {
    const now = Date.now();
    const store = await sandbox.open({ fileSystem: frozenTimes(mode, now), now: () => now });
    sandbox.seed(seed);
    await ask(store);
    // By now the file system gives the same size, inode and times to both.
    writeFileSync(sandbox.at('d/sub/b'), 'BBB');
    writeFileSync(sandbox.at('f'), 'FILE');
    expect(await ask(store)).toEqual(['d', 'f']);
  });

  test('what changed within the tick of the clock is remembered when that is over', async () => {
    const then = Date.now();
    let now = then;
    const store = await sandbox.open({ fileSystem: frozenTimes(mode, then), now: () => now });
    sandbox.seed(seed);
    const computed: number[] = [];
    for (const ms of [0, 49, 51, 51]) {
      now = then + ms;
      computed.push((await ask(store)).length);
    }
    expect(computed).toEqual([2, 2, 2, 0]);
  });

  test('what is replaced while it is read is not remembered', async () => {
    sandbox.seed({ 'd/a': 'one', 'e/a': 'two' });
    const store = await sandbox.open({ ...later, fileSystem: frozenTimes(mode, Date.now()) });
    // Looked at the one, and read the other.
    await store.rememberHashes('tests', (hashOf) =>
      hashOf('d', async () => {
        renameSync(sandbox.at('d'), sandbox.at('old'));
        renameSync(sandbox.at('e'), sandbox.at('d'));
        return truth('d');
      }),
    );
    rmSync(sandbox.at('d'), { recursive: true });
    renameSync(sandbox.at('old'), sandbox.at('d'));
    expect(await ask(store, ['d'])).toEqual(['d']);
  });

  test('edits and looks in any order and at any moment', async () => {
    const paths = ['d/a', 'd/b', 'd/sub/a', 'f'];
    const step = fc.record({
      path: fc.constantFrom(...paths),
      content: fc.constantFrom('one', 'two', 'six', 'longer'),
      how: fc.constantFrom('write', 'write', 'replace', 'remove', 'set back', 'wait'),
    });
    const store = await sandbox.open();
    sandbox.seed({ 'd/sub/a': 'one', f: 'one' });
    let count = 0;
    let spared = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 20 }), async (steps) => {
        for (const { path, content, how } of steps) {
          const at = sandbox.at(path);
          if (how === 'wait') await setTimeout(60);
          else if (how === 'remove') rmSync(at, { force: true });
          else if (how === 'replace') {
            const draft = sandbox.at(`draft-${String((count += 1))}`);
            writeFileSync(draft, content);
            renameSync(draft, at);
          } else writeFileSync(at, content);
          if (how === 'set back') utimesSync(at, past, past);
          const present = readdirSync(sandbox.root).filter((name) => ['d', 'f'].includes(name));
          spared += present.length - (await ask(store, present)).length;
        }
      }),
      { numRuns: 6 },
    );
    expect(spared, 'or it tested nothing').toBeGreaterThan(0);
  });

  test.each([
    ['a link below it', 'd/link'],
    ['a link deep below it', 'd/sub/deep/link'],
  ])('a directory with %s is computed each time: its target lies elsewhere', async (_what, at) => {
    const store = await remembering();
    symlinkSync(sandbox.at('f'), sandbox.at(at));
    expect(await ask(store, ['d'])).toEqual(['d']);
    expect(await ask(store, ['d'])).toEqual(['d']);
  });

  test.each(['d/link', './d', 'd//a', 'd/', '', '.', '../root/d', '.skillmeat', 'gone', 'f/x'])(
    'nothing is remembered of %j',
    async (path) => {
      const store = await remembering();
      symlinkSync('a', sandbox.at('d/link'));
      let count = 0;
      for (let round = 0; round < 2; round += 1) {
        await store.rememberHashes('tests', (hashOf) =>
          hashOf(path, () => Promise.resolve(String((count += 1)))),
        );
      }
      expect(count).toBe(2);
    },
  );

  test('what nobody asked for is forgotten', async () => {
    const store = await remembering();
    await ask(store, ['f']);
    expect(await ask(store)).toEqual(['d']);
  });

  test('a failure comes out as it is, and what was remembered stays', async () => {
    const store = await remembering();
    const failing = store.rememberHashes('tests', () => Promise.reject(new Error('mine')));
    await expect(failing).rejects.toThrow('mine');
    expect(await ask(store)).toEqual([]);
  });

  test('a memory that is damaged anywhere is not believed', async () => {
    let store = await remembering();
    const at = sandbox.at('.skillmeat/hash-cache');
    const whole = readFileSync(at);
    for (let offset = 0; offset < whole.length; offset += Math.ceil(whole.length / 20)) {
      const damaged = Buffer.from(whole);
      damaged[offset] = (damaged[offset] ?? 0) ^ 1;
      writeFileSync(at, damaged);
      expect(await ask(store), `byte ${String(offset)}`).toEqual(['d', 'f']);
    }
    for (const length of [0, 1, 31, 32, 40, whole.length - 1]) {
      writeFileSync(at, whole.subarray(0, length));
      expect(await ask(store), `cut off at ${String(length)}`).toEqual(['d', 'f']);
    }
    rmSync(at);
    mkdirSync(at);
    expect(await ask(store), 'a directory').toEqual(['d', 'f']);
    rmSync(at, { recursive: true });
    symlinkSync(sandbox.at('f'), at);
    expect(await ask(store), 'a link').toEqual(['d', 'f']);
    expect(readFileSync(sandbox.at('f'), 'utf8')).toBe('file');
    expect(
      readdirSync(sandbox.at('.skillmeat')).filter((name) => name.startsWith('hash-')),
    ).toEqual(['hash-cache']);
    await store.close();
    store = await sandbox.open(later);
    expect(await ask(store)).toEqual([]);
  });

  test('hashes of another boot are not believed', async () => {
    sandbox.seed(seed);
    const counts: number[] = [];
    for (const boot of ['1', '1', '2', '2']) {
      const fileSystem = watchedFileSystem(mode, ({ method }) =>
        method === 'bootId' ? () => boot : undefined,
      );
      const store = await sandbox.open({ ...later, fileSystem });
      counts.push((await ask(store)).length);
      await store.close();
    }
    expect(counts).toEqual([2, 0, 2, 0]);
  });

  test('hashes of another kind are not believed', async () => {
    const store = await remembering();
    const other = await store.rememberHashes('others', (hashOf) =>
      hashOf('f', () => Promise.resolve('another')),
    );
    expect(other).toBe('another');
  });

  test.each(['createFile', 'writeSync', 'moveOwn'] as const)(
    'where %s fails nothing is remembered, and nothing left',
    async (method) => {
      const faulty = faultyFileSystem(mode);
      sandbox.seed(seed);
      const store = await sandbox.open({ ...later, fileSystem: faulty.files });
      faulty.fail('EROFS', (call) => call.method === method);
      expect(await ask(store)).toEqual(['d', 'f']);
      expect(await ask(store)).toEqual(['d', 'f']);
      faulty.heal();
      expect(readdirSync(sandbox.at('.skillmeat')).join(' ')).not.toContain('hash-cache');
    },
  );

  test('closing waits for who remembers', async () => {
    const store = await sandbox.open(later);
    sandbox.seed(seed);
    const asking = store.rememberHashes('tests', async (hashOf) => {
      await setTimeout(10);
      return hashOf('f', () => Promise.resolve('x'));
    });
    let isDone = false;
    void asking.then(() => (isDone = true));
    await store.close();
    expect(isDone).toBe(true);
    expect(await asking).toBe('x');
  });
});
