import { spawn } from 'node:child_process';
import { EngineError, systemCode } from '../../engine/index.js';
import { CollectionError } from '../errors.js';
import { classifyGitFailure, GitFailure, summarise } from './git-failure.js';
import {
  fetchBytesMax,
  gitAnswerBytesMax,
  gitMessageLengthMax,
  gitStallMs,
  gitStopMs,
} from './limits.js';

/*
 * The only place that starts a program: git, without a shell, in a directory of ours that holds no
 * configuration but ours. The user's own configuration counts (proxies, credentials, `insteadOf`);
 * that of the fetched repository is never read, none of its hooks and filters ever runs.
 */

export type Environment = Readonly<Record<string, string | undefined>>;

/** What every git program of one fetch has in common. */
export interface GitSettings {
  /** What git inherits; `PATH` and `HOME` above all. */
  readonly environment: Environment;
  readonly signal?: AbortSignal | undefined;
  /** How long git may say nothing, in milliseconds. */
  readonly stallMs?: number | undefined;
}

export interface GitRun extends GitSettings {
  /** A git directory of our own making: where git would look for a repository's configuration. */
  readonly gitDirectory: string;
  /** Where the objects are, when not in `gitDirectory`. */
  readonly objectDirectory?: string | undefined;
  /** Protocols that git may use, separated by `:`; none unless given. */
  readonly protocols?: string | undefined;
  /** Standard input. */
  readonly input?: string | undefined;
  /** Gets each line of progress, such as `Receiving objects:  42% (5/12)`. */
  readonly onProgress?: ((line: string) => void) | undefined;
}

/** Variables of git that concern the connection; any other one could redirect us (a hook's `GIT_DIR`). */
const keptVariables =
  /^(?:GIT_SSH|GIT_SSH_COMMAND|GIT_SSH_VARIANT|GIT_ASKPASS|GIT_SSL_\w+|GIT_PROXY_\w+|GIT_HTTP_\w+|GIT_CONFIG_GLOBAL|GIT_CONFIG_SYSTEM|GIT_CONFIG_NOSYSTEM|GIT_EXEC_PATH)$/;

const settings: readonly string[] = [
  'protocol.version=2',
  'core.hooksPath=/dev/null',
  'core.fsmonitor=false',
  'gc.auto=0',
  'maintenance.auto=false',
  'fetch.recurseSubmodules=false',
  'fetch.unpackLimit=1',
  'fetch.writeCommitGraph=false',
  'http.followRedirects=initial',
  // Objects are looked at one by one: what they say counts, not what others replace them with.
  'core.useReplaceRefs=false',
];

/**
 * Runs git and returns what it wrote to its standard output.
 *
 * @throws {GitFailure} when it failed.
 * @throws {CollectionError} `GIT_MISSING`.
 * @throws {EngineError} `ABORTED`.
 */
export async function runGit(args: readonly string[], run: GitRun): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of streamGit(args, run)) {
    bytes += piece.byteLength;
    if (bytes > gitAnswerBytesMax) throw new GitFailure('other', 'git answers without end');
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

/** As {@link runGit}, piece by piece. Whoever stops early stops git. */
export async function* streamGit(
  args: readonly string[],
  run: GitRun,
): AsyncGenerator<Buffer, void, void> {
  const { signal, onProgress, stallMs = gitStallMs } = run;
  refuseAborted(signal);
  const child = spawn('git', [...settings.flatMap((setting) => ['-c', setting]), ...args], {
    env: gitEnvironment(run),
    stdio: ['pipe', 'pipe', 'pipe'],
    windowsHide: true,
    // A group of its own, so that its helpers stop with it, and no terminal to ask a person at.
    detached: true,
  });
  let errors = '';
  let stopped: Error | undefined;
  let killTimer: NodeJS.Timeout | undefined;
  const kill = (name: NodeJS.Signals): void => {
    // By group; it is gone when git could not be started or ended meanwhile.
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    try {
      process.kill(-child.pid, name);
    } catch (error) {
      if (systemCode(error) !== 'ESRCH') child.kill(name);
    }
  };
  const stop = (reason: Error): void => {
    if (stopped !== undefined) return;
    stopped = reason;
    // Asked kindly git removes its temporary files.
    kill('SIGTERM');
    killTimer = setTimeout(() => {
      kill('SIGKILL');
    }, gitStopMs);
  };
  const onAbort = (): void => {
    stop(abortedError(signal));
  };
  const stallTimer = setTimeout(() => {
    const seconds = String(stallMs / 1_000);
    stop(new GitFailure('transient', `git said nothing for ${seconds} s`));
  }, stallMs);

  const ended = new Promise<void>((resolve, reject) => {
    child.once('error', (error) => {
      reject(startFailure(error));
    });
    child.once('close', (code) => {
      if (stopped !== undefined) reject(stopped);
      else if (code === 0) resolve();
      else {
        const text = summarise(errors, gitMessageLengthMax);
        reject(
          new GitFailure(classifyGitFailure(errors), text || `git ended with ${String(code)}`),
        );
      }
    });
  });
  // Looked at in any case, below; until then it is no unhandled rejection.
  ended.catch(() => undefined);
  signal?.addEventListener('abort', onAbort, { once: true });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stallTimer.refresh();
    const lines = text.split(/[\r\n]+/).filter((line) => line.trim() !== '');
    for (const line of lines) {
      if (receivedBytes(line) > fetchBytesMax) {
        stop(new GitFailure('too-large', `more than ${String(fetchBytesMax)} bytes to receive`));
      }
      try {
        onProgress?.(line.trim());
      } catch (error) {
        // The caller's own failure: it ends this fetch, not the whole program.
        stop(error instanceof Error ? error : new Error(String(error)));
      }
    }
    // Progress is no error, and may go on for long.
    errors = (errors + text.replaceAll(/[^\r\n]*\d+% \([^\r\n]*\r/g, '')).slice(-65_536);
  });
  // git may end before it has read everything; how it ended says why.
  child.stdin.on('error', () => undefined).end(run.input ?? '');
  let isRead = false;
  try {
    for await (const piece of child.stdout as AsyncIterable<Buffer>) {
      stallTimer.refresh();
      yield piece;
      // The reader's own time is not git's.
      stallTimer.refresh();
    }
    isRead = true;
    await ended;
  } finally {
    if (!isRead) stop(new GitFailure('other', 'not read to its end'));
    await ended.catch(() => undefined);
    clearTimeout(stallTimer);
    clearTimeout(killTimer);
    signal?.removeEventListener('abort', onAbort);
  }
}

function gitEnvironment(run: GitRun): NodeJS.ProcessEnv {
  const kept = Object.entries(run.environment).filter(
    ([name]) => !/^GIT_/i.test(name) || keptVariables.test(name),
  );
  return {
    ...Object.fromEntries(kept),
    GIT_DIR: run.gitDirectory,
    ...(run.objectDirectory === undefined ? {} : { GIT_OBJECT_DIRECTORY: run.objectDirectory }),
    GIT_ALLOW_PROTOCOL: run.protocols ?? '',
    GIT_TERMINAL_PROMPT: '0',
    GIT_OPTIONAL_LOCKS: '0',
    // Failures are told apart by their text.
    LC_ALL: 'C',
    LANGUAGE: 'C',
  };
}

const units: Readonly<Record<string, number>> = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };

function receivedBytes(line: string): number {
  const [, amount = '0', unit = ''] = /, (\d+(?:\.\d+)?) ([KMG]iB)\b/.exec(line) ?? [];
  return Number(amount) * (units[unit] ?? 1);
}

function startFailure(error: Error): Error {
  if (systemCode(error) !== 'ENOENT') return new GitFailure('other', error.message);
  return new CollectionError('GIT_MISSING', 'the program git is not installed, or not in PATH', {
    cause: error,
    hint: 'Install git 2.31 or newer; local directories can be added without it.',
  });
}

export function refuseAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw abortedError(signal);
}

export function abortedError(signal: AbortSignal | undefined): EngineError {
  return new EngineError('ABORTED', 'stopped on request while fetching; nothing was changed', {
    cause: signal?.reason,
    hint: 'Run it again to do it after all.',
  });
}
