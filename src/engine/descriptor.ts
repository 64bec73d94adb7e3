import fs from 'node:fs';
import { systemCode } from './errors.js';

/**
 * Closes a descriptor through which nothing was written that anybody relies on. The system lets go
 * of it also when it reports an error, so there is nothing to be done, and no work failed by it.
 */
export function letGo(descriptor: number): void {
  try {
    fs.closeSync(descriptor);
  } catch (error) {
    const code = systemCode(error);
    // What is closed twice may by then be another file's.
    if (code === undefined || code === 'EBADF') throw error;
  }
}

/** Returns what `use` makes of a descriptor that was just opened; closes it when that fails. */
export function orLetGo<T>(descriptor: number, use: () => T): T {
  try {
    return use();
  } catch (error) {
    if (descriptor >= 0) letGo(descriptor);
    throw error;
  }
}
