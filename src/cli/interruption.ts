/** The first Ctrl-C asks the command to stop, the next one kills it: that is safe at any time. */
export class Interruption implements Disposable {
  readonly #controller = new AbortController();
  readonly #signals = ['SIGINT', 'SIGTERM'] as const;
  readonly #stop = (): void => {
    this[Symbol.dispose]();
    this.#controller.abort();
  };

  constructor() {
    for (const signal of this.#signals) process.on(signal, this.#stop);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Without a listener a signal does what it does by default. */
  [Symbol.dispose](): void {
    for (const signal of this.#signals) process.off(signal, this.#stop);
  }
}
