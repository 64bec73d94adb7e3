import { checksumOf } from './hash.js';

/** What SQLite gives for a column, whole numbers with 64 bits. */
export type Column = string | number | bigint | Buffer | null;

/** A row as a line of JSON without spaces, bytes in hexadecimal: what checksums and chains cover. */
export function rowText(columns: readonly Column[]): string {
  return `${JSON.stringify(columns.map(toJson))}\n`;
}

/** Returns the checksum of a row that has these other columns. */
export function rowChecksum(columns: readonly Column[]): bigint {
  return checksumOf(rowText(columns));
}

export function toHex(bytes: Buffer): string {
  return bytes.toString('hex');
}

export function fromHex(text: string): Buffer {
  return Buffer.from(text, 'hex');
}

function toJson(column: Column): string | number | null {
  if (typeof column === 'bigint') return Number(column);
  return Buffer.isBuffer(column) ? toHex(column) : column;
}
