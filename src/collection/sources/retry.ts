import { setTimeout } from 'node:timers/promises';
import { GitFailure } from './git-failure.js';
import { abortedError } from './git-program.js';
import { fetchPauseMs, fetchTriesMax } from './limits.js';
import type { SourceProgress } from './source.js';

/** How patient a fetch is. */
export interface Patience {
  /** Tries in all, at least 1. */
  readonly triesMax?: number | undefined;
  /** Pause before the second try, in milliseconds; doubled each time. */
  readonly pauseMs?: number | undefined;
}

export interface RetryOptions {
  readonly patience?: Patience | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: SourceProgress) => void) | undefined;
}

/**
 * Runs `work` again while it fails for a passing reason.
 *
 * @throws whatever `work` threw last; {@link EngineError} `ABORTED`.
 */
export async function retryTransient<T>(work: () => Promise<T>, options: RetryOptions): Promise<T> {
  const { triesMax = fetchTriesMax, pauseMs = fetchPauseMs } = options.patience ?? {};
  for (let tries = 1; ; tries += 1) {
    try {
      return await work();
    } catch (error) {
      const isPassing = error instanceof GitFailure && error.kind === 'transient';
      if (!isPassing || tries >= triesMax) throw error;
      options.onProgress?.({
        step: 'wait',
        message: `try ${String(tries)} of ${String(triesMax)} failed, trying again: ${error.message}`,
      });
      // Not all at the same beat: clients that failed together would come back together.
      await pause(pauseMs * 2 ** (tries - 1) * (0.75 + Math.random() / 2), options.signal);
    }
  }
}

async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await setTimeout(ms, undefined, { signal });
  } catch {
    throw abortedError(signal);
  }
}
