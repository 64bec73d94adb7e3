import fs from 'node:fs';

/** What reached a recording disk, in order. */
export type LogEntry =
  | { readonly kind: 'write'; readonly offset: number; readonly data: Buffer }
  | { readonly kind: 'flush' }
  | { readonly kind: 'mark'; readonly text: string };

const headerBytes = 32;

/** Reads the log of a recording-disk.c; what the disk refused is left out. */
export function readLog(file: string): readonly LogEntry[] {
  const bytes = fs.readFileSync(file);
  const entries: LogEntry[] = [];
  for (let at = 0; at < bytes.length; ) {
    const [kind, offset, length, error] = [0, 8, 16, 24].map((field) =>
      Number(bytes.readBigUInt64LE(at + field)),
    ) as [number, number, number, number];
    const data = bytes.subarray(at + headerBytes, at + headerBytes + length);
    at += headerBytes + length;
    if (error !== 0) continue;
    entries.push(toEntry(kind, offset, data));
  }
  return entries;
}

function toEntry(kind: number, offset: number, data: Buffer): LogEntry {
  switch (kind) {
    case 1:
      return { kind: 'write', offset, data };
    case 2:
      return { kind: 'flush' };
    case 3:
      return { kind: 'mark', text: data.toString() };
    default:
      throw new Error(`the log has an entry of kind ${String(kind)}`);
  }
}
