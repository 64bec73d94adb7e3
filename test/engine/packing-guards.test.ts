import { createHash, randomBytes } from 'node:crypto';
import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Store } from '../../src/engine/index.js';
import { compressChunk } from '../../src/engine/compression.js';
import { hashContent } from '../../src/engine/hash.js';
import { NodeFileSystem } from '../../src/engine/node-file-system.js';
import { ObjectStore } from '../../src/engine/object-store.js';
import { formatPack, parseIndex } from '../../src/engine/pack-format.js';
import { Pace } from '../../src/engine/pace.js';
import { writePack } from '../../src/engine/write-pack.js';
import { between, logCalls } from '../support/call-log.js';
import { type FileSystemCall, systemError, watchedFileSystem } from '../support/faults.js';
import { openJournal } from '../support/objects.js';
import {
  bumpEpoch,
  expectError,
  listOwn,
  type Mode,
  modes,
  stagedTransactions,
  useSandbox,
} from '../support/store.js';

/*
 * What must be so before a content goes from where it was; each check is looked for by itself. Without
 * the native part only the order of syncs is another.
 */

const later = (): number => Date.now() + 172_800_000;
const text = (n: number): string => `content number ${String(n)} `.repeat(40);

/** A store of one test's own, and what is done to it. */
function usePackable(mode: Mode) {
  const sandbox = useSandbox(mode);

  const packsOf = (): readonly string[] =>
    readdirSync(sandbox.at('.skillmeat/objects')).filter((name) => name.startsWith('pack-'));
  const packAt = (): string => sandbox.at(`.skillmeat/objects/${packsOf()[0] ?? ''}`);

  /** Transactions 1 to 4 and a snapshot, all old enough and settled; closed. */
  async function makeHistory(): Promise<void> {
    sandbox.seed({ a: text(0), b: text(10) });
    const store = await sandbox.open({ now: later });
    for (const n of [1, 2, 3]) await store.transact({}, (tx) => tx.write('a', text(n)));
    await store.snapshots.create({ name: 'then' });
    await store.transact({}, (tx) => tx.write('b', text(11)));
    await store.close();
    const again = await sandbox.open({ now: () => later() + 172_800_000 });
    await again.prune({});
    await again.close();
  }

  const open = (options: Parameters<typeof sandbox.open>[0] = {}): Promise<Store> =>
    sandbox.open({ now: () => later() + 172_800_000, ...options });

  const pack = async (store: Store): Promise<unknown> => store.prune({}, { pack: true });

  /** Packs, and brings the objects back that are packed now: as a packing leaves it that was killed. */
  async function packBesideObjects(): Promise<void> {
    const objects = sandbox.at('.skillmeat/objects');
    const kept = join(sandbox.directory, 'objects');
    cpSync(objects, kept, { recursive: true });
    const store = await open();
    await pack(store);
    await store.close();
    cpSync(kept, objects, { recursive: true });
  }

  /** Opens a store that does `act` before the first call that `isHit`. */
  function openActing(isHit: (call: FileSystemCall) => boolean, act: () => void): Promise<Store> {
    let isArmed = true;
    const files = watchedFileSystem(mode, (call) => {
      if (!isArmed || !isHit(call)) return;
      isArmed = false;
      act();
    });
    return open({ fileSystem: files });
  }

  const isOf = ({ values }: FileSystemCall, begin: string): boolean =>
    values.some(
      (value) =>
        typeof value === 'object' &&
        value !== null &&
        'name' in value &&
        String(value.name).startsWith(begin),
    );

  const slotAt = (id: number): string =>
    sandbox.at(
      `.skillmeat/stage/${listOwn(sandbox.root, 'stage').find((name) => name.startsWith(`${String(id)}-`)) ?? ''}`,
    );

  const objectAt = (content: string): string => {
    const sha256 = createHash('sha256').update(content).digest('hex');
    return sandbox.at(`.skillmeat/objects/${sha256.slice(0, 2)}/${sha256.slice(2)}`);
  };

  async function kinds(store: Store, deep = true): Promise<readonly string[]> {
    const found = new Set<string>();
    for await (const { kind } of store.verify({ deep })) found.add(kind);
    return [...found];
  }
  return {
    sandbox,
    packsOf,
    packAt,
    open,
    pack,
    packBesideObjects,
    isOf,
    slotAt,
    objectAt,
    makeHistory,
    openActing,
    kinds,
  };
}

describe.each(modes)('native %s', (mode) => {
  const { sandbox, open, pack, makeHistory } = usePackable(mode);

  test('a pack is whole on disk before it has its name, and named before anything goes', async () => {
    await makeHistory();
    const { files, calls } = logCalls(mode, sandbox.root);
    const store = await open({ fileSystem: files });
    await pack(store);
    const [draft, name] = [/^createFile \.skillmeat\/objects\/\.new/, /^moveOwn .*objects\/pack-/];
    expect(between(calls, draft, name).some((call) => call.startsWith('barrier'))).toBe(true);
    const gone = /^removeFile \.skillmeat\/(?:stage|objects)/;
    expect(between(calls, name, gone).some((call) => call.startsWith('barrier'))).toBe(true);
  });

  test('a pack that was found is on disk before it is relied upon', async () => {
    await makeHistory();
    cpSync(sandbox.at('.skillmeat/stage'), join(sandbox.directory, 'stage'), { recursive: true });
    cpSync(sandbox.at('.skillmeat/objects'), join(sandbox.directory, 'objects'), {
      recursive: true,
    });
    const first = await open();
    await pack(first);
    {
      using journal = openJournal(first);
      journal.packs.remove([...journal.packs.list().keys()], journal.epoch());
    }
    await first.close();
    cpSync(join(sandbox.directory, 'stage'), sandbox.at('.skillmeat/stage'), { recursive: true });
    cpSync(join(sandbox.directory, 'objects'), sandbox.at('.skillmeat/objects'), {
      recursive: true,
    });
    const { files, calls } = logCalls(mode, sandbox.root);
    const store = await sandbox.open({
      fileSystem: files,
      now: () => later() + 4 * 172_800_000,
    });
    await pack(store);
    const cover = /^mustReachDisk \.skillmeat\/objects\/pack-/;
    expect(calls.filter((call) => cover.test(call))).toHaveLength(1);
    const gone = /^removeFile \.skillmeat\/(?:stage|objects)/;
    expect(between(calls, cover, gone).some((call) => call.startsWith('barrier'))).toBe(true);
  });
});

describe('packing', () => {
  const mode = 'auto';
  const {
    sandbox,
    packsOf,
    packAt,
    open,
    pack,
    packBesideObjects,
    isOf,
    slotAt,
    objectAt,
    makeHistory,
    openActing,
    kinds,
  } = usePackable(mode);

  test('a sync that fails while packing stops the store', async () => {
    await makeHistory();
    const before = listOwn(sandbox.root, 'stage');
    let isFailing = false;
    const files = watchedFileSystem(mode, ({ method }) => {
      if (isFailing && method === 'barrier') throw systemError('EIO');
    });
    const store = await open({ fileSystem: files });
    isFailing = true;
    await expectError(pack(store), 'IO_FAILED');
    isFailing = false;
    expect(listOwn(sandbox.root, 'stage')).toEqual(before);
    await expectError(
      store.transact({}, (tx) => tx.write('a', 'a')),
      'STORE_POISONED',
    );
    expect(packsOf()).toEqual([]);
    await store.close();
    await (await open()).close();
  });

  test('what is read back wrong is not noted, and nothing goes', async () => {
    await makeHistory();
    const before = listOwn(sandbox.root, 'stage');
    const store = await openActing(
      ({ method }) => method === 'dropCached',
      () => {
        const bytes = readFileSync(packAt());
        bytes[bytes.length - 9] = (bytes.at(-9) ?? 0) ^ 0xff;
        writeFileSync(packAt(), bytes);
      },
    );
    await expectError(pack(store), 'HISTORY_DAMAGED');
    expect(listOwn(sandbox.root, 'stage')).toEqual(before);
    using journal = openJournal(store);
    expect(journal.packs.list().size).toBe(0);
  });

  test('a writer that was overtaken before it packs writes nothing', async () => {
    await makeHistory();
    let isArmed = false;
    const { files, calls } = logCalls(mode, sandbox.root);
    const now = (): number => {
      if (isArmed) bumpEpoch(sandbox.root);
      isArmed = false;
      return later() + 172_800_000;
    };
    const store = await sandbox.open({ fileSystem: files, now });
    isArmed = true;
    await expectError(pack(store), 'FENCED');
    expect(calls.filter((call) => call.startsWith('createFile'))).toEqual([]);
    sandbox.breaksStore();
  });

  test('a writer that was overtaken while it packed removes nothing', async () => {
    await makeHistory();
    await packBesideObjects();
    let isArmed = true;
    const { files, calls } = logCalls(mode, sandbox.root, (call) => {
      if (!isArmed || call.method !== 'readAt') return;
      // The index is read before that, twice.
      const [, buffer] = call.values as [unknown, Uint8Array];
      if (buffer.length === 44) return;
      isArmed = false;
      bumpEpoch(sandbox.root);
    });
    const store = await sandbox.open({ fileSystem: files, now: () => later() + 4 * 172_800_000 });
    await expectError(pack(store), 'FENCED');
    expect(calls.filter((call) => call.startsWith('removeFile'))).toEqual([]);
    sandbox.breaksStore();
  });

  test('an older pack is read before what it holds goes', async () => {
    await makeHistory();
    await packBesideObjects();
    const bytes = readFileSync(packAt());
    bytes.fill(0xff, bytes.length - 100);
    writeFileSync(packAt(), bytes);
    const store = await sandbox.open({ now: () => later() + 4 * 172_800_000 });
    await pack(store);
    const to = join(sandbox.directory, 'restored');
    expect((await store.snapshots.restore('then', { to })).notRestored).toEqual([]);
  });

  test('an object that could not be packed stays', async () => {
    await makeHistory();
    const at = objectAt(text(3));
    writeFileSync(at, text(4));
    const store = await openActing(
      (call) => call.method === 'createFile' && isOf(call, '.new-'),
      () => {
        writeFileSync(at, text(3));
      },
    );
    await pack(store);
    expect(readFileSync(at, 'utf8')).toBe(text(3));
    expect(await kinds(store)).toEqual([]);
  });

  test('a slot that could not be packed stays', async () => {
    await makeHistory();
    const at = slotAt(2);
    writeFileSync(at, text(4));
    const store = await openActing(
      (call) => call.method === 'createFile' && isOf(call, '.new-'),
      () => {
        writeFileSync(at, text(1));
      },
    );
    await pack(store);
    expect(stagedTransactions(sandbox.root)).toEqual([2, 4]);
    await store.undo({ transaction: 2, force: true });
    expect(sandbox.tree()['a']?.bytes).toBe(text(1));
  });

  test('what is written to a slot while it is packed stays', async () => {
    await makeHistory();
    const at = slotAt(2);
    const store = await openActing(
      (call) => call.method === 'createFile' && isOf(call, '.new-'),
      () => {
        writeFileSync(at, text(7));
      },
    );
    await pack(store);
    expect(readFileSync(at, 'utf8')).toBe(text(7));
    sandbox.breaksStore();
  });

  test('a pack of which something needed cannot be read stays, whatever becomes of the rest', async () => {
    await makeHistory();
    const first = await open();
    await pack(first);
    const [name] = packsOf();
    const bytes = readFileSync(packAt());
    bytes.fill(0xff, bytes.length - 100);
    writeFileSync(packAt(), bytes);
    sandbox.seed({ c: text(20) });
    // Its list is needed to know what snapshots need.
    await first.snapshots.delete('then', { now: true });
    await first.snapshots.create({ name: 'new' });
    await first.close();
    const store = await sandbox.open({ now: () => later() + 4 * 172_800_000 });
    await pack(store);
    expect(packsOf()).toEqual(expect.arrayContaining([name]));
    sandbox.breaksStore();
  });

  test('a content of a snapshot is named when only it is damaged in its pack', async () => {
    // It gets a chunk of its own, and nothing makes it smaller.
    const large = randomBytes(4_194_304);
    sandbox.seed({ a: 'a' });
    writeFileSync(sandbox.at('large'), large);
    const first = await sandbox.open({ compression: 'off' });
    await first.snapshots.create({ name: 'then' });
    await first.close();
    const store = await open();
    await pack(store);
    const bytes = readFileSync(packAt());
    const middle = bytes.indexOf(large.subarray(2_000_000, 2_000_100));
    bytes[middle] = (bytes[middle] ?? 0) ^ 1;
    writeFileSync(packAt(), bytes);
    expect(middle).toBeGreaterThan(0);
    const found = [];
    for await (const finding of store.verify({ deep: true })) found.push(finding);
    expect(found).toMatchObject([
      { kind: 'pack-damaged' },
      { kind: 'object-damaged', path: 'large', snapshot: 1 },
    ]);
    const to = join(sandbox.directory, 'restored');
    const { notRestored } = await store.snapshots.restore('then', { to });
    expect(notRestored).toMatchObject([{ path: 'large' }]);
    // The file in the root has it.
    await store.repair({ deep: true });
    expect(await kinds(store)).toEqual([]);
  });

  test('a pack under another name, and one that was cut off, are found', async () => {
    await makeHistory();
    const store = await open();
    await pack(store);
    const [sound, at] = [readFileSync(packAt()), packAt()];
    writeFileSync(at, sound.subarray(0, -1));
    expect(await kinds(store, false)).toContain('pack-damaged');
    writeFileSync(at, sound);
    expect(await kinds(store)).toEqual([]);
    renameSync(at, sandbox.at(`.skillmeat/objects/pack-${'ab'.repeat(32)}`));
    expect(await kinds(store)).toEqual(['pack-missing', 'pack-damaged']);
    sandbox.breaksStore();
  });
});

describe('a pack', () => {
  const sandbox = useSandbox('auto');

  /** An object store of its own with one pack that says of `bytes` what it is told. */
  async function withPack(
    sha256: string,
    bytes: Uint8Array,
    use: (objects: ObjectStore) => Promise<void>,
  ): Promise<void> {
    const files = new NodeFileSystem({ native: 'auto' });
    mkdirSync(sandbox.at('objects'), { recursive: true });
    const chunk = {
      compressed: await compressChunk(bytes),
      contents: [{ sha256: sha256 as ReturnType<typeof hashContent>, size: bytes.length }],
    };
    const pack = formatPack([chunk]);
    writeFileSync(sandbox.at(`objects/pack-${hashContent(pack)}`), pack);
    const root = files.openRoot(sandbox.root);
    try {
      using objects = new ObjectStore({
        files,
        store: root,
        barrier: (count) => files.barrier(root, count),
        level: 'off',
        newId: () => 'id',
      });
      await use(objects);
    } finally {
      files.closeDirectory(root);
    }
  }

  test('whose index was changed is not believed', () => {
    const bytes = formatPack([
      { compressed: Buffer.from('x'), contents: [{ sha256: hashContent('x'), size: 1 }] },
    ]);
    const [head, index] = [bytes.subarray(0, 44), Buffer.from(bytes.subarray(44, -1))];
    expect(parseIndex(head, index).entries).toHaveLength(1);
    index[20] = (index[20] ?? 0) ^ 1;
    expect(() => parseIndex(head, index)).toThrow('checksum');
  });

  test('is searched for all places of a content', () => {
    const hashes = ['x', 'y', 'x', 'z', 'x'].map((one) => hashContent(one));
    const chunk = (from: number, to: number) => ({
      compressed: Buffer.from('c'),
      contents: hashes.slice(from, to).map((sha256) => ({ sha256, size: 1 })),
    });
    const bytes = formatPack([chunk(0, 2), chunk(2, 5)]);
    const index = parseIndex(bytes.subarray(0, 44), Buffer.from(bytes.subarray(44, -2)));
    const placesOf = (content: string): object[] =>
      index
        .find(Buffer.from(hashContent(content), 'hex'))
        .map(({ chunk: { at }, offset }) => ({ chunk: at - bytes.length + 2, offset }));
    expect(placesOf('x')).toEqual([
      { chunk: 0, offset: 0 },
      { chunk: 1, offset: 0 },
      { chunk: 1, offset: 2 },
    ]);
    expect(placesOf('y')).toEqual([{ chunk: 0, offset: 1 }]);
    expect(placesOf('nothing')).toEqual([]);
    expect(index.entries.map(({ sha256 }) => sha256)).toEqual(hashes);
  });

  test.each([
    { what: 'an empty chunk', heads: [[1, 0]], contents: 0, why: 'empty chunk' },
    { what: 'more contents than it has', heads: [[1, 2]], contents: 1, why: 'another length' },
    { what: 'fewer contents than it has', heads: [[1, 1]], contents: 2, why: 'another length' },
    { what: 'no chunk', heads: [], contents: 1, why: 'another length' },
  ])('whose index says that it has $what is not believed', ({ heads, contents, why }) => {
    const index = Buffer.alloc(4 + heads.length * 8 + contents * 36);
    index.writeUInt32LE(heads.length, 0);
    for (const [at, head] of heads.entries()) {
      for (const [part, value] of head.entries()) index.writeUInt32LE(value, 4 + at * 8 + part * 4);
    }
    const checksum = Buffer.from(hashContent(index), 'hex');
    expect(() => parseIndex(Buffer.concat([Buffer.alloc(12), checksum]), index)).toThrow(why);
  });

  test('that says something else of a content is not believed', async () => {
    const told = hashContent('what it says');
    await withPack(told, Buffer.from('what it has'), async (objects) => {
      await expectError(objects.read(told, 100), 'HISTORY_DAMAGED');
    });
  });

  test('is read no further than its content may be long', async () => {
    const sha256 = hashContent('content');
    await withPack(sha256, Buffer.from('content'), async (objects) => {
      expect(Buffer.from(await objects.read(sha256, 7)).toString()).toBe('content');
      await expectError(objects.read(sha256, 6), 'HISTORY_DAMAGED');
      objects.requirePresence(sha256, 7);
      await expectError(async () => {
        objects.requirePresence(sha256, 8);
      }, 'HISTORY_DAMAGED');
    });
  });

  test('is not written with other bytes than those that it is to hold', async () => {
    const store = await sandbox.open();
    await store.transact({}, (tx) => tx.write('a', 'a'));
    const objects = store.snapshots.openObjects();
    using journal = openJournal(store);
    const files = new NodeFileSystem({ native: 'auto' });
    const root = files.openRoot(sandbox.root);
    try {
      const wrong = {
        sha256: hashContent('expected'),
        size: 8,
        read: async () => Buffer.from('found it'),
      };
      const barrier = (): Promise<void> => files.barrier(root, 0);
      const writing = {
        objects,
        journal,
        files,
        barrier,
        pace: new Pace(),
        epoch: journal.epoch(),
      };
      expect(await writePack([wrong], writing)).toBeUndefined();
      objects.prepare();
      expect(readdirSync(sandbox.at('.skillmeat/objects'))).toEqual([]);
    } finally {
      objects[Symbol.dispose]();
      files.closeDirectory(root);
      rmSync(sandbox.at('objects'), { recursive: true, force: true });
    }
  });
});
