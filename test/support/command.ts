import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterEach, beforeEach } from 'vitest';
import { runWithin } from './command-within.js';

/** The command as users get it; `npm test` builds it first. */
const main = join(import.meta.dirname, '../../dist/bin/skillmeat.js');

export interface Outcome {
  /** `null` when a signal ended it. */
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface CommandOptions {
  readonly input?: string;
  /** Relative to the directory of the test. */
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

interface RunningCommand {
  readonly child: ChildProcess;
  readonly outcome: Promise<Outcome>;
}

/** A directory of one test's own, and the command run in it. */
export interface CommandLine {
  readonly directory: string;
  at(path: string): string;
  write(path: string, content: string): void;
  read(path: string): string;
  run(args: readonly string[], options?: CommandOptions): Promise<Outcome>;
  /** In a process of its own, with the input left open. */
  start(args: readonly string[], options?: CommandOptions): RunningCommand;
  /** Starts an `apply` that holds the lock of the store of `cwd` (default: `.`) until it is ended. */
  holdLock(cwd?: string): Promise<RunningCommand>;
}

/**
 * Gives each test a fresh directory; what it left running is killed afterwards.
 *
 * @param each what `run` starts for each command: nothing, which is many times as fast, or a process.
 */
export function useCommandLine(each: 'within' | 'process' = 'within'): CommandLine {
  let directory = '';
  const running = new Set<ChildProcess>();
  beforeEach(() => {
    directory = realpathSync(mkdtempSync(join(tmpdir(), 'skillmeat-cli-')));
  });
  afterEach(() => {
    for (const child of running) child.kill('SIGKILL');
    running.clear();
    rmSync(directory, { recursive: true, force: true });
    rmSync(`${directory}-home`, { recursive: true, force: true });
  });
  const at = (path: string): string => join(directory, path);
  const read = (path: string): string => readFileSync(at(path), 'utf8');
  // Nobody's own collections: a home that is not there.
  const environment = (env: CommandOptions['env']): NodeJS.ProcessEnv => {
    return { ...plainEnvironment(), SKILLMEAT_HOME: `${directory}-home`, ...env };
  };
  const start: CommandLine['start'] = (args, { input = '', cwd = '.', env } = {}) => {
    const child = spawn(process.execPath, [main, ...args], { cwd: at(cwd), env: environment(env) });
    running.add(child);
    // A command that refuses its plan does not read it to the end.
    child.stdin.on('error', () => {});
    child.stdin.write(input);
    return { child, outcome: outcomeOf(child) };
  };
  return {
    get directory() {
      return directory;
    },
    at,
    read,
    write: (path, content) => {
      mkdirSync(dirname(at(path)), { recursive: true });
      writeFileSync(at(path), content);
    },
    start,
    run: (args, options = {}) => {
      // What is preloaded changes a process for good.
      if (each === 'within' && options.env?.['NODE_OPTIONS'] === undefined) {
        const { input = '', cwd = '.', env } = options;
        return runWithin(args, { cwd: at(cwd), env: environment(env), input });
      }
      const { child, outcome } = start(args, options);
      child.stdin?.end();
      return outcome;
    },
    holdLock: async (cwd = '.') => {
      const header = '{"version":1}\n';
      const operation = '{"op":"write","path":"held","content":"never committed"}\n';
      const holder = start(['txn', 'apply'], { input: header + operation, cwd });
      const isHeld = (): boolean => {
        const owner = JSON.parse(read(`${cwd}/.skillmeat/owner`)) as {
          pid: number;
          isReleased: boolean;
        };
        return owner.pid === holder.child.pid && !owner.isReleased;
      };
      await until(isHeld);
      return holder;
    },
  };
}

/** Waits for what another process does; tests have no limit of their own but vitest's. */
async function until(isSo: () => boolean): Promise<void> {
  for (;;) {
    try {
      if (isSo()) return;
    } catch (error) {
      // Not there yet, or just being written.
      const isEarly =
        error instanceof SyntaxError || (error as { code?: string }).code === 'ENOENT';
      if (!isEarly) throw error;
    }
    await setTimeout(5);
  }
}

/** Returns the one JSON document that stdout has to be. */
export function json(outcome: Outcome): unknown {
  return JSON.parse(outcome.stdout);
}

/** Returns a plan in JSON with these operations. */
export function planOf(...operations: readonly object[]): string {
  return JSON.stringify({ version: 1, operations });
}

export function writing(path: string, content = 'text'): object {
  return { op: 'write', path, content };
}

/** Returns a value for NODE_OPTIONS that runs `script` before the command. */
export function preloading(script: string): string {
  return `--import=data:text/javascript,${encodeURIComponent(script)}`;
}

function plainEnvironment(): NodeJS.ProcessEnv {
  const { NO_COLOR: _noColor, FORCE_COLOR: _force, NODE_OPTIONS: _options, ...rest } = process.env;
  return rest;
}

function outcomeOf(child: ChildProcess): Promise<Outcome> {
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (exitCode, signal) => {
      resolve({ exitCode, signal, stdout, stderr });
    });
  });
}
