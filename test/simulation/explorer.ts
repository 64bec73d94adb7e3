import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type CrashState, crashStates, identityOf } from './crash-states.js';
import { type Fixture, makeFixture } from './fixture.js';
import { type Images, imagesOf } from './images.js';
import { listenTo } from './journal-disk.js';
import { type Expectation, forgetTransactions, requirePromises } from './oracle.js';
import type { Profile } from './profiles.js';
import { Random } from './random.js';
import {
  knownContents,
  type KnownMoment,
  type OpenSimulation,
  record,
  startMachine,
} from './simulation.js';
import { Violation } from './violation.js';
import type { Workload } from './workload.js';

/** How often a recovery is itself crashed. */
export interface SecondCrashes {
  /** One of so many recoveries … */
  readonly every: number;
  /** … at so many of the states that it could leave. */
  readonly states: number;
}
const fewSecondCrashes: SecondCrashes = { every: 8, states: 4 };
/** One of so many recovered stores is recovered again and worked with. */
const usedEvery = 4;
/** One of so many of these is closed and opened before. */
const openedAgainEvery = 3;

const memory = '/dev/shm';

interface Use {
  readonly isUsed: boolean;
  readonly opensAgain: boolean;
}

/** What was crashed: a workload, one whose disk had failed a sync before, or a recovery. */
export const crashKinds = ['workload', 'failed sync', 'recovery'] as const;
export type CrashKind = (typeof crashKinds)[number];

/** Hashes of the different states that crashes of one kind left on one profile. */
export interface SeenStates {
  readonly profile: string;
  readonly crashed: CrashKind;
  readonly hashes: Set<string>;
}

/** Explores what crashes leave, and keeps count of the different states that it has seen. */
export class Explorer implements Disposable {
  readonly #directory: string;
  readonly #secondCrashes: SecondCrashes;
  readonly #fixtures = new Map<Profile, Fixture>();
  readonly #seen = new Set<string>();
  readonly #seenStates = new Map<string, SeenStates>();
  readonly #violatedOn = new Set<string>();
  #blocked = 0;
  #takenForTorn = 0;

  constructor(secondCrashes: SecondCrashes = fewSecondCrashes) {
    this.#secondCrashes = secondCrashes;
    const parent = fs.existsSync(memory) ? memory : tmpdir();
    this.#directory = fs.mkdtempSync(path.join(parent, 'skillmeat-simulation-'));
    for (const name of ['running', 'crashed']) fs.mkdirSync(path.join(this.#directory, name));
  }

  [Symbol.dispose](): void {
    fs.rmSync(this.#directory, { recursive: true, force: true });
  }

  /** Hashes of the different states that were recovered and checked. */
  get seen(): ReadonlySet<string> {
    return this.#seen;
  }

  /** The same, by profile and by what was crashed. */
  get seenStates(): readonly SeenStates[] {
    return [...this.#seenStates.values()];
  }

  /** Names of the profiles on which a promise was broken. */
  get violatedOn(): ReadonlySet<string> {
    return this.#violatedOn;
  }

  /** How many left a transaction that another program's edit blocks. */
  get blocked(): number {
    return this.#blocked;
  }

  /** How many showed the open limit of the one flush; see the oracle. */
  get takenForTorn(): number {
    return this.#takenForTorn;
  }

  /**
   * Runs a workload, and recovers from a crash after each of its steps.
   *
   * @param statesMax look at no more than about so many states, chosen at random.
   * @throws {Violation}
   */
  async explore(
    profile: Profile,
    workload: Workload,
    statesMax = Number.POSITIVE_INFINITY,
  ): Promise<void> {
    try {
      await this.#explore(profile, workload, statesMax);
    } catch (error) {
      this.#violatedOn.add(profile.name);
      throw error;
    }
  }

  async #explore(profile: Profile, workload: Workload, statesMax: number): Promise<void> {
    const fixture = this.#fixture(profile);
    forgetTransactions();
    const directory = path.join(this.#directory, 'running');
    const moments = await record(profile, workload, { fixture, directory });
    const random = new Random(workload.seed);
    const known = knownContents(fixture.disk, workload);
    const images = imagesOf(fixture.disk);
    const candidates: { state: CrashState; moment: KnownMoment }[] = [];
    for (const moment of moments) {
      for (const state of crashStates(moment, profile, random)) candidates.push({ state, moment });
    }
    const expected = {
      images,
      known,
      reorders: profile.order === 'any',
      onLimit: (): void => {
        this.#takenForTorn += 1;
      },
    };
    const share = statesMax / candidates.length;
    for (const { state, moment } of candidates) {
      if (random.below(1_000) >= share * 1_000) continue;
      await this.#check(profile, state, { ...expected, moment }, random);
    }
  }

  async #check(
    profile: Profile,
    state: CrashState,
    expectation: Expectation,
    random: Random,
    depth: 1 | 2 = 1,
  ): Promise<void> {
    const identity = this.#identity(profile, state, expectation);
    if (this.#seen.has(identity)) return;
    const crashesAgain = depth === 1 && random.below(this.#secondCrashes.every) === 0;
    const moments = await this.#recover(profile, state, expectation, {
      recordsMoments: crashesAgain,
      isUsed: random.below(usedEvery) === 0,
      opensAgain: random.below(openedAgainEvery) === 0,
    });
    // What fails is looked at anew when fast-check tries it again.
    this.#seen.add(identity);
    const crashed = expectation.moment.hasFailedSync ? 'failed sync' : 'workload';
    this.#note(profile, depth === 2 ? 'recovery' : crashed, identity);
    for (let n = 0; n < this.#secondCrashes.states && moments.length > 0; n += 1) {
      const moment = random.pick(moments);
      if (moment === undefined) break;
      const next = random.pick([...crashStates(moment, profile, random)]);
      if (next === undefined) continue;
      const description = `${state.description}; in recovery, ${next.description}`;
      const { disk, journal, boot } = next;
      await this.#check(profile, { disk, journal, boot, description }, expectation, random, 2);
    }
  }

  #note({ name }: Profile, crashed: CrashKind, identity: string): void {
    const key = `${name}, ${crashed}`;
    let states = this.#seenStates.get(key);
    if (states === undefined) {
      states = { profile: name, crashed, hashes: new Set() };
      this.#seenStates.set(key, states);
    }
    states.hashes.add(identity);
  }

  #identity(profile: Profile, state: CrashState, { moment }: Expectation): string {
    const told = [profile.name, ...[...moment.outcomes].flat(), ...moment.edited];
    const text = `${told.join(',')}\0${identityOf(state)}`;
    return createHash('sha1').update(text).digest('base64').slice(0, 14);
  }

  /** Opens the store that a crash left, and checks it. @returns the moments of the recovery. */
  async #recover(
    profile: Profile,
    state: CrashState,
    expectation: Expectation,
    { recordsMoments, ...use }: { readonly recordsMoments: boolean } & Use,
  ): Promise<readonly KnownMoment[]> {
    const simulation = startMachine(profile, state, {
      directory: path.join(this.#directory, 'crashed'),
      boot: state.boot,
    });
    const { machine, journal } = simulation;
    const moments: KnownMoment[] = [];
    if (recordsMoments) {
      machine.onStep = journal.onStep = (call: string): void => {
        const journals = journal.afterCrash();
        const disk = machine.afterCrash();
        moments.push({ ...expectation.moment, call, boot: state.boot, disk, journals });
      };
    }
    try {
      const recover = (): Promise<boolean> => requireRecovered(simulation, state, expectation, use);
      const isFinished = await (recordsMoments ? listenTo(journal, recover) : recover());
      if (!isFinished) this.#blocked += 1;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new Violation(`${profile.name}, ${state.description}: ${reason}`, { cause: error });
    }
    return moments;
  }

  #fixture(profile: Profile): Fixture {
    let fixture = this.#fixtures.get(profile);
    if (fixture === undefined) {
      fixture = makeFixture(profile, this.#directory);
      this.#fixtures.set(profile, fixture);
    }
    return fixture;
  }
}

/** @returns whether everything is finished; false when another program's edit blocks it. */
async function requireRecovered(
  simulation: OpenSimulation,
  state: CrashState,
  expectation: Expectation,
  { isUsed, opensAgain }: Use,
): Promise<boolean> {
  const { machine, journal } = simulation;
  let store = await simulation.open();
  try {
    // The recovery is over; what follows is not to be crashed.
    machine.onStep = journal.onStep = () => undefined;
    const disks = { before: state.disk, after: machine.visible };
    const images = await requirePromises(store, disks, expectation);
    if (images === undefined) return false;
    if (!isUsed) return true;
    if (opensAgain) {
      await store.close();
      store = await simulation.open();
      requireNothingDone(store.recoveryOnOpen?.changed ?? 0, images, simulation);
    }
    const { changed } = await store.recover();
    requireNothingDone(changed, images, simulation);
    const { transaction } = await store.transact({}, (tx) => tx.write('after the crash', 'works'));
    if (transaction === null) throw new Violation('the store does not work');
    const after = imagesOf(machine.visible);
    if (after.size !== images.size + 1) throw new Violation('the next transaction did more');
    return true;
  } finally {
    await store.close();
  }
}

/** I7: a second recovery changes nothing. */
function requireNothingDone(changed: number, images: Images, { machine }: OpenSimulation): void {
  const again = imagesOf(machine.visible);
  const isSame =
    again.size === images.size && [...again].every(([at, is]) => images.get(at) === is);
  if (changed > 0 || !isSame) throw new Violation('a second recovery changed something');
}
