import fs from 'node:fs';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import {
  type EngineErrorCode,
  isEngineError,
  openStore,
  type Store,
} from '../../src/engine/index.js';
import { testify, testMachine } from '../support/evidence.js';
import { cleanUp, describeTree, removeDirectory, seededRandom } from '../support/processes.js';
import { openDescriptors } from '../support/store.js';
import {
  type CallFault,
  failingFileSystem,
  type FailingFileSystem,
  reaches,
  systemErrors,
  writesBytes,
} from './failing-calls.js';
import {
  nextMessage,
  nextPath,
  observe,
  type Observed,
  Partly,
  type Scenario,
  scenarios,
} from './failing-scenarios.js';
import {
  copyPlace,
  firstFew,
  type NativeMode,
  nativeModes,
  type Place,
  requireRecovered,
} from './recovered-state.js';
import { amount, isExhaustive } from '../support/extent.js';

/*
 * Every call of the seam fails once, or from then on, with each error that a disk, a quota or a
 * limit may answer. Whatever the engine says of it must be true:
 *
 * - success: a fresh open finds the after-image;
 * - failure: the root is byte for byte as it was, at once and after a fresh open, and the store works
 *   or says that it wants to be opened again;
 * - `COMMIT_UNKNOWN`, `BLOCKED`: one or the other as a whole after a fresh open;
 * - always: an error of ours that says what to do, and no descriptor is left.
 *
 * A run that is left alone counts the calls. A run takes SKILLMEAT_CALLS of them, of other kinds,
 * each with another error; SKILLMEAT_EXHAUSTIVE=1 takes every call with every error.
 */

const random = seededRandom('errors at every call');
/** Calls of one scenario, of as many kinds as there are. */
const sampledMax = Number(process.env['SKILLMEAT_CALLS'] ?? amount({ thorough: 7, otherwise: 2 }));
const unknown: readonly EngineErrorCode[] = ['COMMIT_UNKNOWN', 'BLOCKED'];

afterAll(cleanUp);

describe.each(nativeModes)('native %s', (native) => {
  test.each(scenarios)(
    'whatever call fails, what is said of it is true: $name',
    async (scenario) => {
      const template = await scenario.prepare(native);
      const tried = new Trial(scenario, native, template);
      const undisturbed = await tried.run(undefined);
      expect(undisturbed.violations).toEqual([]);
      const faults = chooseFaults(undisturbed.calls);
      const said = new Map<string, number>();
      const violations: string[] = [];
      for (const fault of faults) {
        const found = await tried.run(fault);
        said.set(found.said, (said.get(found.said) ?? 0) + 1);
        const what = `${found.calls[fault.at - 1] ?? 'no call'} ${JSON.stringify(fault)}, ${found.said}`;
        violations.push(...found.violations.map((violation) => `${what}: ${violation}`));
      }
      removeDirectory(template.directory);
      const states = faults.length;
      testify({
        fault: 'error at a call',
        operation: scenario.name,
        on: testMachine,
        native,
        states,
        violations: violations.length,
        seed: random.seed,
      });
      console.log(
        `errors at every call, native ${native}, ${scenario.name}: ${String(undisturbed.calls.length)} calls, ${String(states)} faults: ${describeCounts(said)}`,
      );
      expect(firstFew(violations)).toEqual([]);
    },
  );
});

interface Found {
  readonly calls: FailingFileSystem['calls'];
  /** `done`, a code, or what else was thrown. */
  readonly said: string;
  readonly violations: readonly string[];
}

/** One scenario, tried again and again from the same beginning. */
class Trial {
  readonly #scenario: Scenario;
  readonly #native: NativeMode;
  readonly #template: Place;
  #before: Observed | undefined;
  #after: Observed | undefined;

  constructor(scenario: Scenario, native: NativeMode, template: Place) {
    this.#scenario = scenario;
    this.#native = native;
    this.#template = template;
  }

  async run(fault: CallFault | undefined): Promise<Found> {
    const place = copyPlace(this.#template);
    const failing = failingFileSystem(this.#native, this.#scenario.refuseExchange);
    const violations: string[] = [];
    const { said, store } = await this.#act(place, failing, fault, violations);
    failing.heal();
    const { calls } = failing;
    const isRefused = this.#scenario.refuseExchange !== undefined;
    if (fault === undefined && said !== (isRefused ? 'PERMISSION_DENIED' : 'done')) {
      violations.push(`nothing failed, and it said ${said}`);
    }
    const isSure = said !== 'done' && said !== 'partly' && !unknown.some((code) => code === said);
    await check(violations, 'goes on', async () => {
      if (store === undefined) return;
      if (isSure) expect(describeTree(place.root)).toEqual(this.#before?.tree);
      const isBarrier = fault !== undefined && failing.calls[fault.at - 1] === 'barrier';
      const wantsPoison = isBarrier && this.#scenario.poisonedByBarrier === true;
      if (said !== 'done') await writeNext(store, wantsPoison);
    });
    await check(violations, 'closes', async () => {
      await store?.close();
      expect(openDescriptors(place.directory), 'descriptors').toEqual([]);
    });
    await check(violations, 'is opened anew', async () => {
      await this.#look(place, said, isSure);
    });
    removeDirectory(place.directory);
    return { calls, said, violations };
  }

  async #act(
    place: Place,
    failing: FailingFileSystem,
    fault: CallFault | undefined,
    violations: string[],
  ): Promise<{ readonly said: string; readonly store: Store | undefined }> {
    const { act, opens } = this.#scenario;
    const now = (): number => Date.now() + (this.#scenario.aheadMs ?? 0);
    const given = { adopt: true, lockWaitMs: 0, fileSystem: failing.files, now };
    let store: Store | undefined;
    if (act !== undefined) {
      store = await openStore(place.root, given);
      this.#before ??= await observe(store, place);
    }
    const opened = store;
    failing.arm(fault);
    const said = await outcomeOf(violations, async () => {
      if (opened === undefined) store = await openStore(place.root, { ...given, ...opens });
      else await act?.(opened, place);
    });
    return { said, store };
  }

  async #look(place: Place, said: string, isSure: boolean): Promise<void> {
    const native = this.#native;
    const { root } = place;
    const isInitialised = said === 'done' || this.#scenario.opens?.create !== true;
    // Nobody else is there; who waits would wait for a lock that was lost.
    const options = { native, create: !isInitialised, lockWaitMs: 0 };
    if (isExhaustive) await requireRecovered(root, { ...options, adopt: true });
    const store = await openStore(root, { ...options, adopt: true });
    const { troubled } = await store.status();
    const found = await observe(store, place);
    const orphans = fs.readdirSync(path.join(root, '.skillmeat/stage'));
    const log = await store.log({ limit: 10_000 });
    await this.#scenario.check?.(store);
    await store.close();
    expect(troubled).toEqual([]);
    const stages = log.map(({ id, uuid }) => `${String(id)}-${String(uuid).slice(0, 8)}`);
    expect(orphans.filter((name) => !stages.includes(name.split('.')[0] ?? ''))).toEqual([]);
    this.#after ??= found;
    const before = this.#before ?? this.#after;
    if (said === 'partly') return;
    const asAfter = differences(found, this.#after);
    const asBefore = differences(found, before);
    if (said === 'done') expect(asAfter.join('\n')).toBe('');
    else if (isSure || asAfter.length > 0) expect(asBefore.join('\n')).toBe('');
  }
}

function differences(found: Observed, expected: Observed): readonly string[] {
  const lines = (observed: Observed): readonly string[] =>
    Object.entries(observed).flatMap(([what, all]: [string, readonly string[]]) =>
      all.map((line) => `${what}: ${line}`),
    );
  const [ours, theirs] = [lines(found), lines(expected)];
  return [
    ...ours.filter((line) => !theirs.includes(line)).map((line) => `has ${line}`),
    ...theirs.filter((line) => !ours.includes(line)).map((line) => `lacks ${line}`),
  ];
}

/** Runs, and tells what was said of it; what is no error of ours is a violation. */
async function outcomeOf(violations: string[], act: () => Promise<unknown>): Promise<string> {
  try {
    await act();
    return 'done';
  } catch (error) {
    if (error instanceof Partly) return 'partly';
    if (isEngineError(error)) {
      if ((error.hint ?? '') === '') violations.push(`no hint: ${error.message}`);
      return error.code;
    }
    violations.push(`threw ${error instanceof Error ? String(error.stack) : String(error)}`);
    return 'what is not ours';
  }
}

/** A store that failed works, or says that it must be opened again; after a failed sync it must (I10). */
async function writeNext(store: Store, wantsPoison: boolean): Promise<void> {
  try {
    await store.transact({ message: nextMessage }, (tx) => tx.write(nextPath, 'next'));
    expect(wantsPoison, 'a sync that failed was forgotten').toBe(false);
  } catch (error) {
    if (!isEngineError(error, 'STORE_POISONED')) throw error;
  }
}

async function check(violations: string[], what: string, look: () => Promise<void>): Promise<void> {
  try {
    await look();
  } catch (error) {
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
    violations.push(`${what}: ${message.slice(0, 1_000)}`);
  }
}

/** All of them, or one of each kind of call and some more, each with the next error and reach. */
function chooseFaults(calls: FailingFileSystem['calls']): readonly CallFault[] {
  if (isExhaustive) {
    return calls.flatMap((method, i) =>
      systemErrors.flatMap((errno) =>
        reaches.flatMap((reach) =>
          (writesBytes(method) ? [false, true] : [false]).map(
            (isTorn): CallFault => ({ at: i + 1, errno, reach, isTorn }),
          ),
        ),
      ),
    );
  }
  const kinds = [...new Set(calls)];
  const first = random.below(kinds.length);
  let turn = random.below(systemErrors.length * reaches.length);
  return Array.from({ length: sampledMax }, (_, n): CallFault => {
    turn += 1;
    const kind = kinds[(first + n) % kinds.length];
    const places = calls.flatMap((name, i) => (name === kind ? [i + 1] : []));
    const at = places[random.below(places.length)] ?? 1;
    const errno = systemErrors[turn % systemErrors.length] ?? 'EIO';
    const reach = reaches[turn % reaches.length] ?? 'once';
    return { at, errno, reach, isTorn: random.below(2) === 0 };
  });
}

function describeCounts(said: ReadonlyMap<string, number>): string {
  return [...said].map(([code, count]) => `${code} ${String(count)}`).join(', ');
}
