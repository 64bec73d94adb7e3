import type { Receipt } from '../engine/index.js';
import type { Context } from './context.js';

/** Says which paths another program's bytes won. */
export function warnOfSuperseded({ transaction }: Receipt, { output }: Context): void {
  for (const { path, why } of transaction?.superseded ?? []) {
    output.warn(`${path} stays as another program left it: ${why}`);
  }
}
