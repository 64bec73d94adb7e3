import { createHash } from 'node:crypto';
import type { TraceFile } from './trace.js';

const vocabulary = 3_000;
const wordsPerLine = 9;
/** Of the lines of a version, how many are not those of the version before. */
const changedShare = 1 / 12;

/**
 * Made-up prose for the files of a trace: equal blobs are equal bytes, and a new version of a path is
 * the old one with some of its lines changed, cut or continued to its size.
 */
export class TextVersions {
  readonly #ofBlob = new Map<string, Buffer>();
  readonly #linesOf = new Map<string, readonly string[]>();

  contentOf(path: string, { blob, size }: TraceFile): Buffer {
    const known = this.#ofBlob.get(blob);
    if (known !== undefined) return known;
    const random = numbersFrom(blob);
    const lines = (this.#linesOf.get(path) ?? []).map((line) =>
      random() < changedShare ? newLine(random) : line,
    );
    for (let length = lines.join('\n').length; length < size; ) {
      const line = newLine(random);
      lines.push(line);
      length += line.length + 1;
    }
    const content = Buffer.from(lines.join('\n').slice(0, size));
    this.#ofBlob.set(blob, content);
    this.#linesOf.set(path, content.toString().split('\n'));
    return content;
  }
}

/** Few words are many of those that are used, as in any language. */
function newLine(random: () => number): string {
  return Array.from({ length: wordsPerLine }, () => {
    const rank = Math.floor(vocabulary ** random());
    return createHash('md5')
      .update(String(rank))
      .digest('hex')
      .slice(0, 2 + (rank % 9));
  }).join(' ');
}

/** Numbers from 0 to below 1 out of a text (xorshift32). */
function numbersFrom(text: string): () => number {
  let state = createHash('md5').update(text).digest().readUInt32LE() || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}
