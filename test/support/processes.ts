import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomInt } from 'node:crypto';
import fs from 'node:fs';
import { createInterface } from 'node:readline';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { argumentsFor } from './programs.js';

/*
 * Real processes for the crash tests: started, listened to, killed, and never left behind; and what
 * a directory looks like from outside of the engine.
 */

const childDirectory = fileURLToPath(new URL('../crash/children/', import.meta.url));
const running = new Set<ChildProcess>();
const madeDirectories = new Set<string>();

process.once('exit', killAll);

/** How a process ended. */
export interface End {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Everything that it wrote to its standard error. */
  readonly errors: string;
}

export interface StartOptions {
  /** A program, with its arguments, that runs the child: `['strace', '-f']`. */
  readonly under?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

/** A running script of `test/crash/children`, which gets `input` as JSON and answers in lines. */
export class Child {
  readonly #process: ChildProcess;
  readonly #lines: string[] = [];
  readonly #waiting = new Set<() => void>();
  readonly ended: Promise<End>;
  #end: End | undefined;

  constructor(script: string, input: unknown, { under = [], environment = {} }: StartOptions = {}) {
    const program = argumentsFor(path.join(childDirectory, script));
    const command = [...under, process.execPath, ...program, JSON.stringify(input)];
    const [first = process.execPath, ...rest] = command;
    const child = spawn(first, rest, {
      env: { ...process.env, ...environment },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    running.add(child);
    this.#process = child;
    let errors = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors += text;
    });
    createInterface({ input: child.stdout }).on('line', (line) => {
      this.#lines.push(line);
      this.#wake();
    });
    // A child that is gone cannot be written to; how it ended says the rest.
    child.stdin.on('error', () => undefined);
    this.ended = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => {
        running.delete(child);
        this.#end = { code, signal, errors };
        this.#wake();
        resolve(this.#end);
      });
    });
  }

  get isRunning(): boolean {
    return this.#end === undefined;
  }

  get lines(): readonly string[] {
    return this.#lines;
  }

  get pid(): number {
    const { pid } = this.#process;
    if (pid === undefined) throw new Error('the child did not start');
    return pid;
  }

  /** What the child said after `word`, each time. */
  said(word: string): readonly string[] {
    return this.#lines
      .filter((line) => line === word || line.startsWith(`${word} `))
      .map((line) => line.slice(word.length + 1));
  }

  /** Waits until the child has said `word` `times` times. Returns false when it ended before. */
  async hears(word: string, times = 1): Promise<boolean> {
    while (this.said(word).length < times) {
      if (this.#end !== undefined) return false;
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
    return true;
  }

  tell(line: string): void {
    this.#process.stdin?.write(`${line}\n`);
  }

  signal(name: NodeJS.Signals): void {
    this.#process.kill(name);
  }

  /** Waits until the process stands still after SIGSTOP. Linux only. */
  async stopped(): Promise<void> {
    for (let looks = 0; looks < 60_000 && this.#end === undefined; looks += 1) {
      const status = fs.readFileSync(`/proc/${String(this.pid)}/stat`, 'latin1');
      // The name before the state is in parentheses and may hold anything.
      if (status.slice(status.lastIndexOf(')') + 2).startsWith('T')) return;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    throw new Error(`the child never stopped: ${JSON.stringify(this.#end)}`);
  }

  /** Waits for an orderly end. @throws when there was another, with what the child wrote. */
  async succeeded(): Promise<void> {
    const end = await this.ended;
    if (end.code === 0) return;
    throw new Error(`a child failed: ${JSON.stringify(end)}\n${this.#lines.join('\n')}`);
  }

  #wake(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const wake of waiting) wake();
  }
}

/** Kills what still runs and removes every directory that was made; for `afterEach`. */
export function cleanUp(): void {
  killAll();
  for (const directory of madeDirectories) removeDirectory(directory);
}

function killAll(): void {
  for (const child of running) child.kill('SIGKILL');
  running.clear();
}

/**
 * Makes a new directory that {@link cleanUp} removes; `inMemory` where there is a file system of
 * that kind: a process that dies loses nothing of what the kernel has, so many deaths need no disk.
 */
export function makeDirectory({ inMemory = false } = {}): string {
  const parent = inMemory ? memoryDirectory() : undefined;
  const directory = fs.mkdtempSync(path.join(parent ?? fs.realpathSync(tmpdir()), 'skillmeat-'));
  madeDirectories.add(directory);
  return directory;
}

function memoryDirectory(): string | undefined {
  const directory = '/dev/shm';
  try {
    fs.accessSync(directory, fs.constants.W_OK);
    const { bavail, bsize } = fs.statfsSync(directory);
    return bavail * bsize > memoryBytesMin ? directory : undefined;
  } catch {
    return undefined;
  }
}

/** What the crash tests may need at once, with room; a container often has 64 MB. */
const memoryBytesMin = 256 * 1_024 * 1_024;

export function removeDirectory(directory: string): void {
  madeDirectories.delete(directory);
  fs.rmSync(directory, { recursive: true, force: true });
}

/** Runs `work` on every item, a few at a time, and returns the results in order. */
export async function inParallel<T, R>(
  items: readonly T[],
  work: (item: T) => Promise<R>,
  atOnce = 2,
): Promise<R[]> {
  const results: R[] = [];
  const rest = items.entries();
  const worker = async (): Promise<void> => {
    // The workers share one iterator, so each item is taken once.
    for (const [at, item] of rest) results[at] = await work(item);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return results;
}

/** Numbers from a seed; the same seed gives the same ones. */
export interface Random {
  readonly seed: number;
  /** A whole number from 0 to below `limit`. */
  readonly below: (limit: number) => number;
}

/** Random numbers from the seed in `SKILLMEAT_SEED`, or from a new one, which is printed. */
export function seededRandom(name: string): Random {
  const seed = Number(process.env['SKILLMEAT_SEED'] ?? randomInt(2 ** 31));
  console.log(`${name}: seed ${String(seed)} (again with SKILLMEAT_SEED=${String(seed)})`);
  let state = seed;
  const below = (limit: number): number => {
    // Marsaglia's xorshift32; never stuck, because 0 is replaced.
    state = state === 0 ? 0x9e37_79b9 : state;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % limit;
  };
  return { seed, below };
}

/** What a directory holds besides `.skillmeat`: one line for each path, with mode and content. */
export function describeTree(root: string): readonly string[] {
  return walk(root).map(({ name, absolute, stat }) => `${name} ${describe(absolute, stat)}`);
}

/** As {@link describeTree}, with what changes whenever somebody writes, be it the same bytes. */
export function describeWrites(root: string): readonly string[] {
  return walk(root).map(({ name, stat }) => {
    const { ino, mode, size, mtimeNs } = stat;
    return [name, ino, mode, size, stat.isDirectory() ? '' : mtimeNs].join(' ');
  });
}

/** SHA-256 of every file below a directory, by hash, with the file's path. */
export function hashesBelow(directory: string): ReadonlyMap<string, string> {
  const entries = fs.readdirSync(directory, { recursive: true, withFileTypes: true });
  const found = new Map<string, string>();
  for (const entry of entries) {
    if (!entry.isFile()) continue;
    const at = path.join(entry.parentPath, entry.name);
    found.set(sha256(fs.readFileSync(at)), at);
  }
  return found;
}

export function sha256(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

interface Walked {
  readonly name: string;
  readonly absolute: string;
  readonly stat: fs.BigIntStats;
}

function walk(root: string, below = ''): readonly Walked[] {
  return fs
    .readdirSync(path.join(root, below))
    .toSorted()
    .filter((entry) => below !== '' || entry !== '.skillmeat')
    .flatMap((entry) => {
      const name = path.join(below, entry);
      const absolute = path.join(root, name);
      const stat = fs.lstatSync(absolute, { bigint: true });
      const inside = stat.isDirectory() ? walk(root, name) : [];
      return [{ name, absolute, stat }, ...inside];
    });
}

function describe(absolute: string, stat: fs.BigIntStats): string {
  const mode = (Number(stat.mode) & 0o7777).toString(8);
  if (stat.isSymbolicLink()) return `symlink ${fs.readlinkSync(absolute)}`;
  if (stat.isDirectory()) return `directory ${mode}`;
  if (stat.isFile()) return `file ${mode} ${sha256(fs.readFileSync(absolute))}`;
  return 'special';
}
