import type { Piece } from './pieces.js';

/** An earlier version of a file, as it stands on disk. */
export interface EncodedPieces {
  readonly all: readonly Piece[];
  readonly bytes: Uint8Array;
}

/**
 * Returns the bytes of pieces in UTF-8. Those that an earlier version has as well, in the same order,
 * are copied from its bytes in long runs: putting ten thousand pieces together takes longer than all
 * else that an edit does.
 */
export function encodePieces(all: readonly Piece[], { all: old, bytes }: EncodedPieces): Buffer {
  const parts: Uint8Array[] = [];
  /** How many pieces more than the earlier version are still to come; negative: fewer. */
  let surplus = all.length - old.length;
  let [offset, runStart, at] = [0, 0, 0];
  const endRun = (): void => {
    if (runStart < offset) parts.push(bytes.subarray(runStart, offset));
  };
  const skip = (count: number): void => {
    for (const piece of old.slice(at, at + count)) offset += Buffer.byteLength(piece.text);
    at += count;
    runStart = offset;
  };
  for (let index = 0; index < all.length; ) {
    const [piece, oldPiece] = [all[index], old[at]];
    if (piece === oldPiece && piece !== undefined) {
      offset += Buffer.byteLength(piece.text);
      [index, at] = [index + 1, at + 1];
      continue;
    }
    endRun();
    runStart = offset;
    if (surplus < 0 && piece === old[at - surplus]) {
      skip(-surplus);
      surplus = 0;
      continue;
    }
    const isAdded = surplus > 0 && (oldPiece === undefined || all[index + surplus] === oldPiece);
    const added = isAdded ? all.slice(index, index + surplus) : all.slice(index, index + 1);
    parts.push(Buffer.from(added.map(({ text }) => text).join('')));
    index += added.length;
    if (isAdded) surplus = 0;
    else skip(1);
  }
  endRun();
  return Buffer.concat(parts);
}
