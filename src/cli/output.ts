import type { Failure } from './failure.js';
import { listConflicts } from './list-conflicts.js';
import { printable, printableLines } from './printable.js';
import { chooseStyle, type Style } from './style.js';

/** The part of a stream that printing needs. */
export interface Sink {
  readonly isTTY?: boolean;
  write(text: string | Uint8Array): unknown;
}

export interface OutputOptions {
  readonly stdout: Sink;
  readonly stderr: Sink;
  readonly isJson: boolean;
  readonly isQuiet: boolean;
  readonly allowsColor: boolean;
  readonly noColor: string | undefined;
}

/** The only place that prints: answers to stdout, everything about the run to stderr. */
export class Output {
  readonly #options: OutputOptions;
  /** For text that goes to stdout. */
  readonly style: Style;
  /** For text that goes to stderr. */
  readonly errorStyle: Style;
  /** Makes room before a line is printed: a progress line may be there. */
  onBeforeLine: () => void = () => {};
  /** Keeps progress off the terminal while somebody is asked, until the result is called. */
  onBeforeQuestion: () => () => void = () => () => {};

  constructor(options: OutputOptions) {
    const { stdout, stderr, allowsColor, noColor } = options;
    this.#options = options;
    this.style = chooseStyle({ isTerminal: stdout.isTTY === true, noColor, allowsColor });
    this.errorStyle = chooseStyle({ isTerminal: stderr.isTTY === true, noColor, allowsColor });
  }

  get isQuiet(): boolean {
    return this.#options.isQuiet;
  }

  /** Prints the answer of a command: `data` with `--json`, else `text`. */
  answer(data: object, text: string): void {
    this.onBeforeLine();
    this.#options.stdout.write(`${this.#options.isJson ? JSON.stringify(data) : text}\n`);
  }

  /** As {@link answer}, with bytes that go out as they are. */
  answerBytes(data: object, bytes: Uint8Array): void {
    if (this.#options.isJson) {
      this.answer(data, '');
      return;
    }
    this.onBeforeLine();
    if (bytes.length > 0) this.#options.stdout.write(bytes);
  }

  /** Says in one line what happened by the way; `--quiet` silences it. */
  notice(text: string): void {
    if (!this.isQuiet) this.#line(text);
  }

  /** Shows a person what a question is about; only for terminals. */
  show(text: string): void {
    this.onBeforeLine();
    this.#options.stderr.write(text);
  }

  /** Says in one line what somebody has to know. */
  warn(text: string): void {
    this.#line(`warning: ${text}`);
  }

  fail({ code, message, path, hint, conflicts, merge, details }: Failure): void {
    this.onBeforeLine();
    const { stdout, stderr, isJson } = this.#options;
    if (details !== undefined) stderr.write(`${printableLines(details)}\n`);
    if (isJson) {
      const error = {
        code,
        message,
        path,
        hint,
        ...(conflicts !== undefined && { conflicts }),
        ...(merge !== undefined && { merge }),
      };
      stdout.write(`${JSON.stringify({ error })}\n`);
      return;
    }
    const { alarming, faint } = this.errorStyle;
    stderr.write(`${alarming('skillmeat:')} ${printableLines(message)} ${faint(`[${code}]`)}\n`);
    for (const line of listConflicts(conflicts ?? [])) stderr.write(`  ${line}\n`);
    if (hint !== null) stderr.write(`  hint: ${printable(hint)}\n`);
  }

  #line(text: string): void {
    this.onBeforeLine();
    this.#options.stderr.write(`skillmeat: ${printable(text)}\n`);
  }
}
