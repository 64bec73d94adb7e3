import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterEach } from 'vitest';

/*
 * The command at a real terminal: `script` of util-linux makes one, and hands on what is typed.
 */

const main = join(import.meta.dirname, '../../dist/bin/skillmeat.js');
const running = new Set<ChildProcess>();

afterEach(() => {
  for (const child of running) child.kill('SIGKILL');
  running.clear();
});

/** What Ctrl-C is to a terminal. */
export const interrupt = '\u0003';
/** What Ctrl-D is to a terminal. */
export const endOfInput = '\u0004';

/** A command that runs at a terminal, and what it has shown so far. */
export class Terminal {
  readonly #child: ChildProcess;
  #shown = '';
  #wake: () => void = () => undefined;
  #exitCode: number | undefined;

  constructor(
    args: readonly string[],
    { cwd, env }: { readonly cwd: string; readonly env: Readonly<Record<string, string>> },
  ) {
    const { NO_COLOR: _none, FORCE_COLOR: _some, CI: _ci, ...rest } = process.env;
    const words = [process.execPath, main, ...args].map((word) => `'${word}'`).join(' ');
    this.#child = spawn('script', ['-qec', words, '/dev/null'], {
      cwd,
      env: { ...rest, TERM: 'xterm', SHELL: '/bin/sh', ...env },
    });
    running.add(this.#child);
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#shown += text;
      this.#wake();
    });
    // It may be gone before it was told everything.
    this.#child.stdin?.on('error', () => undefined);
    this.#child.on('close', (code) => {
      this.#exitCode = code ?? -1;
      this.#wake();
    });
  }

  /** All that was shown; a terminal ends its lines with CR LF. */
  get shown(): string {
    return this.#shown.replaceAll('\r\n', '\n');
  }

  type(text: string): void {
    this.#child.stdin?.write(text);
  }

  /** Waits until `text` was shown `times` times. @throws when the command ended without it. */
  async shows(text: string, times = 1): Promise<void> {
    await this.#until(() => this.shown.split(text).length > times);
    if (this.shown.split(text).length > times) return;
    throw new Error(`"${text}" was not shown ${String(times)} times: ${this.shown}`);
  }

  /** Waits for the end. @returns the exit code. */
  async ends(): Promise<number> {
    await this.#until(() => this.#exitCode !== undefined);
    return this.#exitCode ?? -1;
  }

  async #until(isSo: () => boolean): Promise<void> {
    while (!isSo() && this.#exitCode === undefined) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
