import { setImmediate } from 'node:timers/promises';
import { EngineError } from './errors.js';
import { sliceMsMax } from './limits.js';

/**
 * Lets synchronous work on many files share the thread: file calls are synchronous because a
 * promise costs more than a small file (docs/decisions/0001), so a loop asks after each whether it
 * is time to let others run.
 */
export class Pace {
  readonly #signal: AbortSignal | undefined;
  /** Called whenever the event loop is let turn: a good moment to tell how far the work is. */
  onTurn: (() => void) | undefined;
  #sliceEndsAt = performance.now() + sliceMsMax;

  constructor(signal?: AbortSignal) {
    this.#signal = signal;
  }

  /** Tells whether {@link turn} should be awaited now. */
  isDue(): boolean {
    return performance.now() >= this.#sliceEndsAt;
  }

  /** Lets the event loop turn. @throws {EngineError} `ABORTED` when the signal says so. */
  async turn(): Promise<void> {
    this.onTurn?.();
    await setImmediate();
    this.#sliceEndsAt = performance.now() + sliceMsMax;
    this.refuseAborted();
  }

  /**
   * Waits for something that may never come, no longer than until the signal.
   *
   * @throws {EngineError} `ABORTED` when the signal says so.
   */
  async orAborted<T>(work: Promise<T>): Promise<T> {
    const signal = this.#signal;
    if (signal === undefined) return work;
    this.refuseAborted();
    let stop = (): void => undefined;
    const aborted = new Promise<never>((_resolve, reject) => {
      stop = (): void => {
        try {
          this.refuseAborted();
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)));
        }
      };
      signal.addEventListener('abort', stop, { once: true });
    });
    try {
      return await Promise.race([work, aborted]);
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  /** @throws {EngineError} `ABORTED` when the signal says so. */
  refuseAborted(): void {
    if (this.#signal?.aborted !== true) return;
    throw new EngineError('ABORTED', 'stopped on request; nothing was changed', {
      cause: this.#signal.reason,
      hint: 'Run it again to do it after all.',
    });
  }
}
