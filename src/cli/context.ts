import type { GlobalOptions } from './global-options.js';
import type { Output } from './output.js';

/** What a command runs with. */
export interface Context {
  readonly options: GlobalOptions;
  readonly output: Output;
  /** Aborts at the first Ctrl-C. */
  readonly signal: AbortSignal;
  /** Says what takes so long, to a person at a terminal. */
  readonly onProgress: (activity: string) => void;
  /** As it was typed, for those who wait for our lock. */
  readonly commandLine: string;
}
