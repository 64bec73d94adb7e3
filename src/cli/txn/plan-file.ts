import { type FileHandle, open } from 'node:fs/promises';
import { dirname, extname, resolve } from 'node:path';
import { addAbortSignal, type Readable } from 'node:stream';
import { EngineError, type PlanFormat } from '../../engine/index.js';
import { UsageError } from '../failure.js';

/** A plan that is about to be read. */
export interface PlanFile {
  readonly bytes: AsyncIterable<Uint8Array | string>;
  /** What messages call it. */
  readonly name: string;
  /** Where its relative sources start. */
  readonly baseDirectory: string;
  /** `undefined`: its first bytes tell. */
  readonly format: PlanFormat | undefined;
}

const formatOf: Readonly<Record<string, PlanFormat>> = {
  '.json': 'json',
  '.jsonl': 'jsonl',
  '.ndjson': 'jsonl',
  '.toml': 'toml',
};

export interface PlanFileOptions {
  /** `-`: standard input. */
  readonly plan: string;
  readonly workingDirectory: string;
  readonly signal: AbortSignal;
}

/** @throws {EngineError} `SOURCE_UNREADABLE`. @throws {UsageError} when nobody would write to stdin. */
export async function openPlanFile(options: PlanFileOptions): Promise<PlanFile> {
  const { plan, workingDirectory, signal } = options;
  if (plan === '-') {
    return {
      bytes: stoppable(process.stdin, signal),
      name: 'standard input',
      baseDirectory: workingDirectory,
      format: undefined,
    };
  }
  const path = resolve(workingDirectory, plan);
  const file = await openReadable(path, plan);
  const stat = await file.stat();
  if (stat.isDirectory()) {
    await file.close();
    throw unreadable(plan, 'it is a directory');
  }
  return {
    // Closes the file at its end, and when whoever reads it lets go.
    bytes: stoppable(file.createReadStream(), signal),
    name: plan,
    // The shell's `<(…)` gives a pipe, in a directory that means nothing.
    baseDirectory: stat.isFile() ? dirname(path) : workingDirectory,
    format: formatOf[extname(plan).toLowerCase()],
  };
}

/** Ends `stream` when `signal` says so: whoever reads it, then or later, gets an `AbortError`. */
function stoppable(stream: Readable, signal: AbortSignal): Readable {
  // Ctrl-C may come before anybody reads, and an error that nobody listens to ends the process.
  stream.on('error', () => {});
  return addAbortSignal(signal, stream);
}

/** @throws {UsageError} when a plan would be read from the keyboard. */
export function refuseTerminal(plan: string | undefined): void {
  if (plan !== undefined || !process.stdin.isTTY) return;
  throw new UsageError(
    'no plan: standard input is a terminal',
    'Name a file, pipe a plan in, or give - to type one (docs/plan-format.md).',
  );
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  ENOTDIR: 'there is no such file',
  EACCES: 'permission denied',
  EISDIR: 'it is a directory',
};

async function openReadable(path: string, plan: string): Promise<FileHandle> {
  try {
    return await open(path);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    throw unreadable(plan, reasons[code] ?? String(error), error);
  }
}

function unreadable(plan: string, reason: string, cause?: unknown): EngineError {
  return new EngineError('SOURCE_UNREADABLE', `cannot read the plan ${plan}: ${reason}`, {
    path: plan,
    cause,
    hint: 'Name a file with a plan, or - for standard input.',
  });
}
