/**
 * The floor: the same new files by the cheapest sequence of calls that is durable at all, and nothing else:
 * no hash, no look at what was there, no lock, no rules, no history that could be read again.
 */
import fs from 'node:fs';
import { join } from 'node:path';
import { loadNative, type Native } from '../src/engine/native.js';

export interface NewFile {
  readonly name: string;
  readonly content: Uint8Array;
}

/**
 * `two flushes`: contents, `syncfs`; record, `fdatasync`; exchanges. What issue 6 calls the floor.
 * `one flush`: contents and record, `syncfs`; exchanges. What the engine's own protocol rests on.
 */
export type FloorKind = 'two flushes' | 'one flush';

export class Floor implements Disposable {
  readonly #native: Native;
  readonly #root: number;
  readonly #stage: number;
  readonly #stagePath: string;
  readonly #journal: number;
  readonly #kind: FloorKind;
  #count = 0;

  /** @param directory holds the files to be replaced. */
  constructor(directory: string, kind: FloorKind) {
    this.#native = requireNative();
    this.#kind = kind;
    this.#stagePath = join(directory, '.floor');
    fs.mkdirSync(this.#stagePath);
    this.#root = fs.openSync(directory, 'r');
    this.#stage = fs.openSync(this.#stagePath, 'r');
    this.#journal = fs.openSync(join(directory, '.floor-journal'), 'a');
  }

  replace(files: readonly NewFile[]): void {
    this.#count += 1;
    const slots = files.map((_, index) => `${String(this.#count)}-${String(index)}`);
    for (const [index, { content }] of files.entries()) {
      const file = fs.openSync(join(this.#stagePath, slots[index] ?? ''), 'wx');
      fs.writeSync(file, content);
      fs.closeSync(file);
    }
    const record = `${slots.map((slot, index) => `${slot} ${files[index]?.name ?? ''}`).join('\n')}\n`;
    if (this.#kind === 'one flush') fs.writeSync(this.#journal, record);
    succeed(this.#native.syncFileSystemNow(this.#root), 'syncfs');
    if (this.#kind === 'two flushes') {
      fs.writeSync(this.#journal, record);
      fs.fdatasyncSync(this.#journal);
    }
    for (const [index, { name }] of files.entries()) {
      succeed(this.#native.exchange(this.#stage, slots[index] ?? '', this.#root, name), 'exchange');
    }
  }

  [Symbol.dispose](): void {
    for (const descriptor of [this.#root, this.#stage, this.#journal]) fs.closeSync(descriptor);
  }
}

function requireNative(): Native {
  const native = loadNative();
  if (typeof native !== 'string') return native;
  throw new Error(`there is no floor without renameat2: ${native}`);
}

function succeed(failure: number, call: string): void {
  if (failure !== 0) throw new Error(`${call} failed: error ${String(failure)}`);
}
