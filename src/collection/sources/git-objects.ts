import { createHash } from 'node:crypto';
import { gitObjectBytesMax } from './limits.js';

/** An object that is missing or not what its name says; the cache it lies in is thrown away. */
export class DamagedObject extends Error {
  constructor(oid: string, what: string) {
    super(`object ${oid} ${what}`);
    this.name = 'DamagedObject';
  }
}

/** An object on its way out of git: `pieces` must be read to their end before the next object. */
export interface GitObject {
  readonly oid: string;
  readonly type: string;
  readonly bytes: number;
  /** Throws {@link DamagedObject} at its end when the content does not hash to `oid`. */
  readonly pieces: () => AsyncGenerator<Buffer, void, void>;
}

/** One name of a tree. */
export interface TreeEntry {
  readonly name: string;
  /** The bytes of the name are valid UTF-8. */
  readonly isText: boolean;
  /** As git writes it: `100644`, `100755`, `120000` (link), `40000` (tree), `160000` (submodule). */
  readonly mode: string;
  readonly oid: string;
}

/** Whether `text` is the full name of an object. */
export function isObjectName(text: string): boolean {
  return /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(text);
}

/**
 * Reads what `git cat-file --batch` answers for `oids`, in their order, checking each against its
 * name: nothing that lies in the cache is believed.
 *
 * @throws {DamagedObject}
 */
export async function* parseBatch(
  oids: readonly string[],
  answer: AsyncIterable<Buffer>,
): AsyncGenerator<GitObject, void, void> {
  await using input = new PieceReader(answer);
  for (const oid of oids) {
    const header = await input.line();
    const [, found, type = '', size = ''] = /^(\S+) (\S+)(?: (\d+))?$/.exec(header ?? '') ?? [];
    if (found !== oid || size === '') throw new DamagedObject(oid, 'is missing');
    const bytes = Number(size);
    yield { oid, type, bytes, pieces: () => checkedPieces(input, { oid, type, bytes }) };
    if ((await input.line()) !== '') throw new DamagedObject(oid, 'was not read to its end');
  }
}

async function* checkedPieces(
  input: PieceReader,
  { oid, type, bytes }: Omit<GitObject, 'pieces'>,
): AsyncGenerator<Buffer, void, void> {
  const hash = createHash(oid.length === 64 ? 'sha256' : 'sha1');
  hash.update(`${type} ${String(bytes)}\0`);
  for await (const piece of input.take(bytes)) {
    hash.update(piece);
    yield piece;
  }
  if (hash.digest('hex') !== oid) throw new DamagedObject(oid, 'has another content');
}

/** Returns the whole content of an object that is not a file. */
export async function readWhole({ oid, bytes, pieces }: GitObject): Promise<Buffer> {
  if (bytes > gitObjectBytesMax) throw new DamagedObject(oid, `has ${String(bytes)} bytes`);
  const all: Buffer[] = [];
  for await (const piece of pieces()) all.push(piece);
  return Buffer.concat(all);
}

/** Returns the object that the first line of a commit or tag names: its tree, or what it tags. */
export function targetOf(oid: string, content: Buffer): string {
  const [, target = ''] = /^(?:tree|object) ([0-9a-f]+)\n/.exec(content.toString('latin1')) ?? [];
  if (target.length !== oid.length) throw new DamagedObject(oid, 'names no tree');
  return target;
}

/** Reads a tree: `mode SP name NUL oid`, again and again. */
export function parseTree(oid: string, content: Buffer): readonly TreeEntry[] {
  const entries: TreeEntry[] = [];
  const oidBytes = oid.length / 2;
  for (let at = 0; at < content.length; ) {
    const space = content.indexOf(0x20, at);
    const end = content.indexOf(0, space);
    const next = end + 1 + oidBytes;
    if (space < 0 || end < 0 || next > content.length) throw new DamagedObject(oid, 'is cut off');
    const nameBytes = content.subarray(space + 1, end);
    const name = nameBytes.toString('utf8');
    entries.push({
      name,
      isText: Buffer.from(name).equals(nameBytes),
      mode: content.toString('latin1', at, space),
      oid: content.toString('hex', end + 1, next),
    });
    at = next;
  }
  return entries;
}

/** Takes lines and counted bytes from a stream of pieces. */
class PieceReader implements AsyncDisposable {
  readonly #pieces: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(pieces: AsyncIterable<Buffer>) {
    this.#pieces = pieces[Symbol.asyncIterator]();
  }

  /** Up to the next line feed, without it; `undefined` at the end. */
  async line(): Promise<string | undefined> {
    let text = '';
    for (;;) {
      const end = this.#rest.indexOf(0x0a);
      text += this.#rest.toString('latin1', 0, end < 0 ? undefined : end);
      if (end >= 0) {
        this.#rest = this.#rest.subarray(end + 1);
        return text;
      }
      if (text.length > 1_000 || !(await this.#more())) return undefined;
    }
  }

  async *take(bytes: number): AsyncGenerator<Buffer, void, void> {
    for (let left = bytes; left > 0; ) {
      if (this.#rest.length === 0 && !(await this.#more())) return;
      const piece = this.#rest.subarray(0, left);
      this.#rest = this.#rest.subarray(piece.length);
      left -= piece.length;
      yield piece;
    }
  }

  async #more(): Promise<boolean> {
    const next = await this.#pieces.next();
    this.#rest = next.done === true ? Buffer.alloc(0) : next.value;
    return next.done !== true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pieces.return?.();
  }
}
