import { setImmediate } from 'node:timers/promises';
import { afterAll, describe, expect, test } from 'vitest';
import type { OpenFile } from '../../src/engine/file-system.js';
import { hashContent } from '../../src/engine/hash.js';
import { NodeFileSystem } from '../../src/engine/node-file-system.js';
import { damages, plantHistory, removePlanted } from '../support/damages.js';
import { systemError } from '../support/faults.js';
import { storedObjects } from '../support/objects.js';
import { expectError, modes, useSandbox } from '../support/store.js';

/*
 * No file is closed while something is read from it or written to it: by then its descriptor may be
 * another file's, which would lose bytes to the read, or get those of the write.
 */

afterAll(removePlanted);

/** Reads and writes take long: whoever does not wait for one closes the file before it is over. */
class Unhurried extends NodeFileSystem {
  /** Of reads or writes that were under way, those whose file was closed. */
  readonly closed: string[] = [];
  /** Called before each. */
  before: (call: 'read' | 'write', count: number) => void = () => undefined;
  readonly #underWay = new Map<OpenFile, string>();
  readonly #counts = { read: 0, write: 0 };

  override async read(file: OpenFile, buffer: Uint8Array): Promise<number> {
    if (!(await this.#takesLong('read', file))) return 0;
    return super.read(file, buffer);
  }

  override async write(file: OpenFile, piece: Uint8Array): Promise<void> {
    if (await this.#takesLong('write', file)) await super.write(file, piece);
  }

  override closeFile(file: OpenFile): void {
    this.#close(file);
    super.closeFile(file);
  }

  override closeWritten(file: OpenFile): void {
    this.#close(file);
    super.closeWritten(file);
  }

  /** Longer than a compressor needs in its thread. @returns false when the file was closed meanwhile. */
  async #takesLong(call: 'read' | 'write', file: OpenFile): Promise<boolean> {
    this.#counts[call] += 1;
    this.before(call, this.#counts[call]);
    this.#underWay.set(file, call);
    for (let turn = 0; turn < 2_000 && this.#underWay.has(file); turn += 1) await setImmediate();
    return this.#underWay.delete(file);
  }

  #close(file: OpenFile): void {
    const call = this.#underWay.get(file);
    if (call !== undefined && this.#underWay.delete(file)) this.closed.push(call);
  }
}

describe.each(modes)('native %s', (mode) => {
  const sandbox = useSandbox(mode);

  test('a stored content that cannot be decompressed', async () => {
    await plantHistory(sandbox);
    const flipped = 'a compressed object has a flipped byte';
    damages.find(({ name }) => name === flipped)?.inflict(sandbox.root);
    const fileSystem = new Unhurried({ native: mode });
    const store = await sandbox.open({ fileSystem });
    const findings = [];
    for await (const { kind } of store.verify({ deep: true })) findings.push(kind);
    expect(findings).toEqual(['object-damaged']);
    expect(fileSystem.closed).toEqual([]);
  });

  // Compressed to a half: its first bytes are written long before the last are read.
  const long = Array.from({ length: 80_000 }, (_, n) => hashContent(String(n))).join('');

  test('a content that finds no room while it is compressed', async () => {
    sandbox.seed({ long });
    const fileSystem = new Unhurried({ native: mode });
    const store = await sandbox.open({ fileSystem });
    fileSystem.before = (call) => {
      if (call === 'write') throw systemError('ENOSPC');
    };
    await expectError(store.snapshots.create({ name: 'never' }), 'DISK_FULL');
    expect(fileSystem.closed).toEqual([]);
    expect(storedObjects(sandbox.root)).toEqual([]);
  });

  test('a content that cannot be read on while it is compressed', async () => {
    sandbox.seed({ long });
    const fileSystem = new Unhurried({ native: mode });
    const store = await sandbox.open({ fileSystem });
    let isWriting = false;
    fileSystem.before = (call, count) => {
      isWriting ||= call === 'write';
      if (call === 'read' && isWriting && count > 1) throw systemError('EIO');
    };
    await expectError(store.snapshots.create({ name: 'never' }), 'IO_FAILED');
    expect(fileSystem.closed).toEqual([]);
    expect(storedObjects(sandbox.root)).toEqual([]);
  });
});
