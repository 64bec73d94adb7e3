import { isUtf8 } from 'node:buffer';
import { EngineError } from './errors.js';
import { describePlace, planProblem } from './plan-problem.js';

/** How the operations of a plan are written down. */
export type PlanFormat = 'json' | 'jsonl' | 'toml';

/** Longest line of a plan in JSON Lines, in bytes. */
export const planLineBytesMax: number = 64 * 1_024 ** 2;
/** Largest plan in JSON or TOML, in bytes; in JSON Lines a plan may have any size. */
export const planDocumentBytesMax: number = 256 * 1_024 ** 2;

/** One line of a plan, without its line end. */
export interface PlanLine {
  /** From 1. */
  readonly number: number;
  readonly text: string;
}

const newline = 0x0a;
const openingBrace = 0x7b;
const byteOrderMark = Buffer.from('\ufeff');
const spaces = Buffer.from(' \t\r\n');

// A byte order mark inside a plan is the user's text and stays.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The bytes of a plan, with what has been looked at to learn its format put back in front. */
export class PlanBytes implements AsyncIterable<Buffer> {
  readonly #name: string;
  readonly #pieces: AsyncGenerator<Buffer, void>;
  readonly #seen: Buffer[] = [];

  constructor(source: AsyncIterable<Uint8Array | string>, name: string) {
    this.#name = name;
    this.#pieces = withoutByteOrderMark(piecesOf(source, name));
  }

  /** Yields the pieces; each is valid until the next one is asked for. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void> {
    try {
      yield* this.#seen.splice(0);
      yield* this.#pieces;
    } finally {
      await this.close();
    }
  }

  /** Lets the source go. */
  async close(): Promise<void> {
    await this.#pieces.return();
  }

  /**
   * Reads on until the format is certain.
   *
   * | begins with                                          | format  |
   * | ---------------------------------------------------- | ------- |
   * | a line that is a JSON object without `operations`    | `jsonl` |
   * | `{` otherwise                                        | `json`  |
   * | anything else                                        | `toml`  |
   *
   * @throws {EngineError} `PLAN_INVALID` when there is nothing but space.
   */
  async detectFormat(): Promise<PlanFormat> {
    let isOpen = false;
    let seenBytes = 0;
    for (;;) {
      const { done, value: piece } = await this.#pieces.next();
      if (done === true) break;
      // The source may use its buffer again.
      this.#seen.push(Buffer.from(piece));
      seenBytes += piece.length;
      const start: number = isOpen ? 0 : piece.findIndex((byte) => !spaces.includes(byte));
      if (!isOpen && start >= 0 && piece[start] !== openingBrace) return 'toml';
      isOpen ||= start >= 0;
      if (isOpen && piece.includes(newline, start)) break;
      if (seenBytes > planLineBytesMax) break;
    }
    if (!isOpen) {
      throw planProblem(
        { name: this.#name },
        'expected a plan, found nothing',
        'The smallest plan in JSON is {"version": 1, "operations": []}.',
      );
    }
    return isHeader(firstLine(Buffer.concat(this.#seen))) ? 'jsonl' : 'json';
  }
}

/** Returns the whole plan as text. */
export async function readDocument(pieces: AsyncIterable<Buffer>, name: string): Promise<string> {
  const kept: Buffer[] = [];
  let bytes = 0;
  for await (const piece of pieces) {
    bytes += piece.length;
    if (bytes > planDocumentBytesMax) {
      throw new EngineError(
        'LIMIT_EXCEEDED',
        `${name} has more than ${String(planDocumentBytesMax)} bytes`,
        { hint: 'Write the plan as JSON Lines, which may have any size.' },
      );
    }
    kept.push(Buffer.from(piece));
  }
  const whole = Buffer.concat(kept, bytes);
  if (isUtf8(whole)) return decoder.decode(whole);
  throw notUtf8(name, lineThatIsNotUtf8(whole));
}

/** Yields the lines of a plan that are not blank, holding one line in memory. */
export async function* readLines(
  pieces: AsyncIterable<Buffer>,
  name: string,
): AsyncGenerator<PlanLine, void> {
  let number = 1;
  let started: Buffer[] = [];
  let startedBytes = 0;
  for await (const piece of pieces) {
    let start = 0;
    for (let end = piece.indexOf(newline); end >= 0; end = piece.indexOf(newline, start)) {
      refuseLongLine(startedBytes + end - start, number, name);
      const rest = piece.subarray(start, end);
      const text = decodeLine(
        started.length === 0 ? rest : Buffer.concat([...started, rest]),
        number,
        name,
      );
      if (text !== '') yield { number, text };
      number += 1;
      start = end + 1;
      started = [];
      startedBytes = 0;
    }
    if (start === piece.length) continue;
    started.push(Buffer.from(piece.subarray(start)));
    startedBytes += piece.length - start;
    refuseLongLine(startedBytes, number, name);
  }
  const text = decodeLine(Buffer.concat(started), number, name);
  if (text !== '') yield { number, text };
}

/** Returns the line's text, or '' when it is blank. */
function decodeLine(bytes: Buffer, number: number, name: string): string {
  if (!isUtf8(bytes)) throw notUtf8(name, number);
  const text = decoder.decode(bytes);
  return /[^ \t\r]/.test(text) ? text : '';
}

function refuseLongLine(bytes: number, line: number, name: string): void {
  if (bytes <= planLineBytesMax) return;
  throw new EngineError(
    'LIMIT_EXCEEDED',
    `${describePlace({ name, line })}: longer than ${String(planLineBytesMax)} bytes`,
    { hint: 'Keep a large content in a file of its own and name it by "from".' },
  );
}

async function* piecesOf(
  source: AsyncIterable<Uint8Array | string>,
  name: string,
): AsyncGenerator<Buffer, void> {
  let half = '';
  for await (const piece of source) {
    if (piece instanceof Uint8Array) {
      if (half !== '') throw notUnicode(name);
      yield Buffer.from(piece.buffer, piece.byteOffset, piece.length);
      continue;
    }
    if (typeof piece !== 'string') {
      throw new TypeError(`a plan must come as strings or Uint8Array, not ${typeof piece}`);
    }
    const text = half + piece;
    // A character outside the basic plane may be cut in two between strings.
    half = /[\ud800-\udbff]$/.test(text) ? text.slice(-1) : '';
    const whole = half === '' ? text : text.slice(0, -1);
    if (!whole.isWellFormed()) throw notUnicode(name);
    yield Buffer.from(whole);
  }
  if (half !== '') throw notUnicode(name);
}

async function* withoutByteOrderMark(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
  let start: Buffer | undefined = Buffer.alloc(0);
  for await (const piece of pieces) {
    if (start === undefined) {
      yield piece;
      continue;
    }
    start = Buffer.concat([start, piece]);
    if (start.length < byteOrderMark.length) continue;
    const isMarked = start.subarray(0, byteOrderMark.length).equals(byteOrderMark);
    yield isMarked ? start.subarray(byteOrderMark.length) : start;
    start = undefined;
  }
  if (start !== undefined) yield start;
}

function firstLine(bytes: Buffer): Buffer {
  const start = bytes.indexOf(openingBrace);
  const end = bytes.indexOf(newline, start);
  return bytes.subarray(start, end === -1 ? bytes.length : end);
}

function isHeader(line: Buffer): boolean {
  if (line.length > planLineBytesMax || !isUtf8(line)) return false;
  try {
    const value: unknown = JSON.parse(decoder.decode(line));
    return typeof value === 'object' && value !== null && !Object.hasOwn(value, 'operations');
  } catch (error) {
    if (error instanceof SyntaxError) return false;
    throw error;
  }
}

function lineThatIsNotUtf8(bytes: Buffer): number {
  let number = 1;
  for (let start = 0; ; number += 1) {
    const end = bytes.indexOf(newline, start);
    if (end === -1 || !isUtf8(bytes.subarray(start, end))) return number;
    start = end + 1;
  }
}

function notUtf8(name: string, line: number): EngineError {
  return planProblem(
    { name, line },
    'expected UTF-8, found other bytes',
    'Save the plan as UTF-8; give bytes that are not text in contentBase64, or name a file by "from".',
  );
}

function notUnicode(name: string): EngineError {
  return planProblem(
    { name },
    'expected valid Unicode, found half of a surrogate pair',
    'Hand the plan over as it stands in its file, in bytes.',
  );
}
