import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';

/** The command without the file that starts it; `npm test` builds it first. */
const bundle = join(import.meta.dirname, '../../dist/bin/run.js');

interface Given {
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  readonly input: string;
}

interface Answer {
  readonly exitCode: number | null;
  readonly signal: null;
  readonly stdout: string;
  readonly stderr: string;
}

let last: Promise<unknown> = Promise.resolve();

/**
 * Runs the command in this process, as if it had one of its own: with this environment, directory,
 * input and output. Starting a process takes ten times as long as most commands do. One at a time:
 * for what has to happen at once, be killed or be preloaded, start processes.
 */
export async function runWithin(args: readonly string[], given: Given): Promise<Answer> {
  const mine = last.then(() => runAlone(args, given));
  last = mine.catch(() => undefined);
  return mine;
}

async function runAlone(args: readonly string[], given: Given): Promise<Answer> {
  if (!existsSync(bundle)) throw new Error(`build first: ${bundle} is missing`);
  const { run } = createRequire(import.meta.url)(bundle) as {
    run: (args: readonly string[]) => Promise<number>;
  };
  const [stdout, stderr] = [new Collected(), new Collected()];
  const changed = new ChangedProcess(given, {
    stdin: Readable.from([given.input]),
    stdout,
    stderr,
  });
  try {
    const answered = await run(args);
    // As in src/cli/main.ts.
    const exitCode = typeof process.exitCode === 'number' ? process.exitCode : answered;
    return { exitCode, signal: null, stdout: stdout.text, stderr: stderr.text };
  } finally {
    changed.undo();
  }
}

class Collected extends Writable {
  text = '';

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.text += chunk.toString('utf8');
    done();
  }
}

/** What a command takes from its process, until undone. */
class ChangedProcess {
  readonly #env = { ...process.env };
  readonly #cwd = process.cwd();
  readonly #exitCode = process.exitCode;
  readonly #streams = new Map<string, PropertyDescriptor>();

  constructor({ cwd, env }: Given, streams: Readonly<Record<string, Readable | Writable>>) {
    for (const [name, value] of Object.entries(streams)) {
      const descriptor = Object.getOwnPropertyDescriptor(process, name);
      if (descriptor === undefined) throw new Error(`a process has no ${name}`);
      this.#streams.set(name, descriptor);
      Object.defineProperty(process, name, { value, configurable: true });
    }
    setEnvironment(env);
    process.chdir(cwd);
    process.exitCode = undefined;
  }

  undo(): void {
    for (const [name, descriptor] of this.#streams) {
      Object.defineProperty(process, name, descriptor);
    }
    setEnvironment(this.#env);
    process.chdir(this.#cwd);
    process.exitCode = this.#exitCode;
  }
}

function setEnvironment(env: NodeJS.ProcessEnv): void {
  for (const name of Object.keys(process.env)) {
    if (!(name in env)) Reflect.deleteProperty(process.env, name);
  }
  Object.assign(process.env, env);
}
