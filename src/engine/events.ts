import { channel } from 'node:diagnostics_channel';
import type { SupersededPath } from './recovery-paths.js';

/** What a host can listen to with `node:diagnostics_channel`; the engine itself never prints. */
export interface EngineEvents {
  /** A transaction got further. `id` is undefined before it is committed. */
  readonly 'skillmeat:transaction': {
    readonly root: string;
    readonly phase: 'staged' | 'committed' | 'applied' | 'rolled-back';
    readonly id: number | undefined;
    readonly message: string;
    readonly changes: number;
  };
  /** Work on many paths goes on; sent at most every few milliseconds. */
  readonly 'skillmeat:progress': {
    readonly root: string;
    readonly phase:
      | 'stage'
      | 'plan'
      | 'apply'
      | 'recover'
      | 'compare'
      | 'verify'
      | 'scan'
      | 'write'
      | 'pack';
    readonly done: number;
    /** `undefined` when nobody knows yet. */
    readonly total: number | undefined;
  };
  /** The lock is held by somebody else, and this store waits. */
  readonly 'skillmeat:waiting': { readonly root: string; readonly waitMs: number };
  /** Unsettled transactions of a dead process were finished or undone. */
  readonly 'skillmeat:recovery': {
    readonly root: string;
    readonly transactions: readonly number[];
    readonly changed: number;
    readonly superseded: readonly SupersededPath[];
  };
  /** Transactions were settled. */
  readonly 'skillmeat:checkpoint': {
    readonly root: string;
    readonly settled: number;
    /** Paths whose before-image was written to after it was displaced; the bytes are in quarantine. */
    readonly lateWrites: readonly string[];
  };
}

type EventName = keyof EngineEvents;

const channels: { readonly [Name in EventName]: ReturnType<typeof channel> } = {
  'skillmeat:transaction': channel('skillmeat:transaction'),
  'skillmeat:progress': channel('skillmeat:progress'),
  'skillmeat:waiting': channel('skillmeat:waiting'),
  'skillmeat:recovery': channel('skillmeat:recovery'),
  'skillmeat:checkpoint': channel('skillmeat:checkpoint'),
};

/** Tells whoever listens. */
export function publish<Name extends EventName>(name: Name, event: EngineEvents[Name]): void {
  const target = channels[name];
  if (target.hasSubscribers) target.publish(event);
}
