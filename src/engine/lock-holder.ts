import { hostname } from 'node:os';

/** Who holds the lock of a store, for those who wait. */
export interface LockHolder {
  readonly pid: number;
  readonly host: string;
  /** Program and arguments, shortened. */
  readonly command: string;
}

/** Returns this process as a holder, by the name that its program gives itself. */
export function holderOf(command = 'node'): LockHolder {
  return { pid: process.pid, host: hostname(), command: plainText(command) };
}

/** Short and printable: it goes into a record of fixed size. */
export function plainText(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]|["\\]/g, '?').slice(0, 160);
}
