import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { EngineEvents } from '../engine/index.js';
import type { Sink } from './output.js';
import { counted, printable } from './printable.js';

/** Shorter waits show nothing. */
const quietMs = 1_000;
const redrawMs = 200;

const names = [
  'skillmeat:transaction',
  'skillmeat:progress',
  'skillmeat:waiting',
  'skillmeat:recovery',
  'skillmeat:checkpoint',
] as const satisfies readonly (keyof EngineEvents)[];

/** One line on a terminal about what takes so long. */
export class ProgressLine implements Disposable {
  readonly #sink: Sink;
  #startedAt = performance.now();
  #activity = 'working';
  #isShown = false;
  #isPaused = false;
  #drawnAt = 0;
  readonly #timer: NodeJS.Timeout;
  readonly #listeners = names.map((name) => ({
    name,
    listener: (event: unknown): void => {
      this.#activity = describeEvent({ name, event } as EngineEvent) ?? this.#activity;
      // A busy engine lets no timer run.
      this.#draw();
    },
  }));

  constructor(sink: Sink) {
    this.#sink = sink;
    this.#timer = setInterval(() => {
      this.#draw();
    }, redrawMs).unref();
    for (const { name, listener } of this.#listeners) subscribe(name, listener);
  }

  /** Says what goes on outside of the engine. */
  say(activity: string): void {
    this.#activity = printable(activity);
    this.#draw();
  }

  /** Takes the line away until there is something new to draw. */
  clear(): void {
    if (!this.#isShown) return;
    this.#sink.write('\r\u001b[K');
    this.#isShown = false;
  }

  /** Draws nothing until the result is called: somebody is asked something on this terminal. */
  pause(): () => void {
    this.clear();
    this.#isPaused = true;
    return () => {
      this.#isPaused = false;
      this.#startedAt = performance.now();
    };
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    for (const { name, listener } of this.#listeners) unsubscribe(name, listener);
    this.clear();
  }

  #draw(): void {
    const now = performance.now();
    if (this.#isPaused) return;
    if (now - this.#startedAt < quietMs || now - this.#drawnAt < redrawMs) return;
    const seconds = Math.floor((now - this.#startedAt) / 1_000);
    this.#sink.write(`\r\u001b[Kskillmeat: ${this.#activity} … ${String(seconds)} s`);
    this.#isShown = true;
    this.#drawnAt = now;
  }
}

export type EngineEvent = {
  readonly [Name in keyof EngineEvents]: {
    readonly name: Name;
    readonly event: EngineEvents[Name];
  };
}[keyof EngineEvents];

/** Says what `event` means to somebody who waits; nothing when it changes nothing for them. */
export function describeEvent({ name, event }: EngineEvent): string | undefined {
  switch (name) {
    case 'skillmeat:waiting':
      return 'waiting for the lock';
    case 'skillmeat:progress': {
      const doing = {
        stage: 'staging',
        plan: 'comparing',
        apply: 'applying',
        recover: 'recovering',
        compare: 'comparing',
        verify: 'verifying',
        scan: 'looking at',
        write: 'writing',
        pack: 'packing',
      }[event.phase];
      const of = event.total === undefined ? '' : ` of ${String(event.total)}`;
      const things = event.phase === 'pack' ? 'contents' : 'paths';
      return event.phase === 'compare' || event.phase === 'verify'
        ? doing
        : `${doing} ${String(event.done)}${of} ${things}`;
    }
    case 'skillmeat:transaction':
      return event.phase === 'staged'
        ? `committing ${counted(event.changes, 'change')}`
        : `${event.phase}, finishing`;
    case 'skillmeat:recovery':
      return 'recovered, going on';
    case 'skillmeat:checkpoint':
      return 'settled, finishing';
  }
}
