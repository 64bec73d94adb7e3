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
  #isStopped = false;
  /** Those who wait in {@link orStopped}. */
  readonly #waiting = new Set<() => void>();

  constructor(signal?: AbortSignal) {
    this.#signal = signal;
  }

  /** Tells whether {@link turn} should be awaited now. */
  isDue(): boolean {
    return performance.now() >= this.#sliceEndsAt;
  }

  /** Lets the event loop turn. @throws {EngineError} `ABORTED` when somebody said so. */
  async turn(): Promise<void> {
    this.onTurn?.();
    await setImmediate();
    this.#sliceEndsAt = performance.now() + sliceMsMax;
    this.refuseStopped();
  }

  /** Ends whatever goes on at this pace: it is no longer wanted. */
  stop(): void {
    this.#isStopped = true;
    for (const onStop of this.#waiting) onStop();
  }

  /**
   * Waits for something that may never come, no longer than until the signal or {@link stop}.
   *
   * @throws {EngineError} `ABORTED`.
   */
  async orStopped<T>(work: Promise<T>): Promise<T> {
    this.refuseStopped();
    let onStop = (): void => undefined;
    const stopped = new Promise<never>((_resolve, reject) => {
      onStop = (): void => {
        reject(this.#stopped());
      };
    });
    this.#waiting.add(onStop);
    this.#signal?.addEventListener('abort', onStop, { once: true });
    try {
      return await Promise.race([work, stopped]);
    } finally {
      this.#waiting.delete(onStop);
      this.#signal?.removeEventListener('abort', onStop);
    }
  }

  /** @throws {EngineError} `ABORTED` when somebody said so. */
  refuseStopped(): void {
    if (this.#isStopped || this.#signal?.aborted === true) throw this.#stopped();
  }

  #stopped(): EngineError {
    return new EngineError('ABORTED', 'stopped on request; nothing was changed', {
      cause: this.#signal?.reason,
      hint: 'Run it again to do it after all.',
    });
  }
}
