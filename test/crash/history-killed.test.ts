import path from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { cleanUp, makeDirectory } from '../support/processes.js';
import { testify, testMachine } from '../support/evidence.js';
import { isExhaustive, sampled } from '../support/extent.js';
import { skippedBecause } from '../support/skipped.js';
import { whyNoStrace } from '../support/strace.js';
import {
  carryOut,
  clearElsewhere,
  elsewhereAct,
  type Expected,
  historyActNames,
  type HistoryPlace,
  makeHistory,
  requireCutOff,
} from './history-stores.js';
import { firstFew, type NativeMode, nativeModes } from './recovered-state.js';
import { SavedStore } from './saved-store.js';
import {
  countDeaths,
  type Death,
  dieAt,
  fileOf,
  requireDead,
  type Victim,
} from './system-call-deaths.js';

/*
 * SIGKILL while something is done to history, at every system call on the journal: those are
 * SQLite's own; and on what is restored elsewhere. At the calls of the seam the tests of test/engine
 * kill (`killed at any call`); SKILLMEAT_EXHAUSTIVE=1 takes these here too, as system calls.
 * `npm test` samples acts and calls, `.ci/run` takes every second call.
 */

const whyNot = whyNoStrace();
if (whyNot !== undefined) {
  console.warn(`\n!!! NOT RUN: SIGKILL at system calls on history needs strace, and ${whyNot}.\n`);
}

afterEach(cleanUp);

const cases = nativeModes.flatMap((native) => historyActNames.map((act) => [act, native] as const));

describe('killed at a system call', skippedBecause(whyNot), () => {
  test.each(sampled(cases, 8))(
    '%s, native %s, is done or not begun, or goes on',
    async (act, native) => {
      const prepared = await prepare(act, native);
      const { root } = prepared.place;
      const victim = { script: 'do-to-history.mjs', input: { root, native, act } };
      putBack(prepared);
      const deaths = sampled(await countDeaths(victim, isTaken), 32, 2);
      const failures: string[] = [];
      const survived: string[] = [];
      for (const death of deaths) {
        try {
          const isDead = await requireSurvived(death, prepared, victim, native);
          if (!isDead) survived.push(`${death.call} ${String(death.at)}`);
        } catch (error) {
          failures.push(`killed at ${death.call} ${String(death.at)}: ${String(error)}`);
        }
      }
      console.log(
        `killed while ${act}, native ${native}: ${String(deaths.length - survived.length)} processes`,
      );
      const [states, violations] = [deaths.length - survived.length, failures.length];
      const about = { fault: 'killed at a system call', operation: act, on: testMachine } as const;
      testify({ ...about, native, states, violations });
      expect(firstFew(failures)).toEqual([]);
      expect(deaths.length).toBeGreaterThan(0);
      requireDead(survived, deaths, native);
    },
  );
});

function isTaken(call: string, line: string): boolean {
  if (isExhaustive) return true;
  const file = fileOf(call, line) ?? line;
  if (/\/beside\/|\.skillmeat-restore-/.test(file)) return true;
  return /\/journal\.db(?!-shm)/.test(file) && call !== 'openat' && call !== 'close';
}

interface Prepared {
  readonly place: HistoryPlace;
  /** What the act begins with. */
  readonly saved: SavedStore;
  readonly expected: Expected;
}

async function prepare(act: string, native: NativeMode): Promise<Prepared> {
  const directory = makeDirectory({ inMemory: true });
  const place = { root: path.join(directory, 'root'), scratch: directory, act };
  await makeHistory(place.root, act, { native });
  const saved = SavedStore.take(place.root);
  const expected = await carryOut(place, { native });
  return { place, saved, expected };
}

/** As before the act. */
function putBack({ place, saved }: Prepared): void {
  saved.putBack();
  if (place.act === elsewhereAct) clearElsewhere(place.root);
}

/** Tells whether the process died. */
async function requireSurvived(
  death: Death,
  prepared: Prepared,
  victim: Victim,
  native: NativeMode,
): Promise<boolean> {
  const { place, expected } = prepared;
  putBack(prepared);
  const { isAcknowledged, isDead } = await dieAt(death, victim);
  await requireCutOff(place, expected, { isAcknowledged, options: { native } });
  return isDead;
}
