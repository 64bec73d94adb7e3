import { Acting } from './act-on-paths.js';
import { isEngineError } from './errors.js';
import { isSameImage } from './image.js';
import { LeavingOut } from './leave-out.js';
import type { RelativePath } from './path.js';
import {
  lastOf,
  type Move,
  raced,
  type Recovering,
  RecoveryPaths,
  type SupersededPath,
} from './recovery-paths.js';
import { Survey } from './survey-paths.js';
import type { TransactionRow, TransactionUpdate } from './transaction-row.js';

/*
 * Brings every path of the unsettled transactions to the image that the journal says.
 *
 * 1. Load the units of each transaction and check them against the hash chain.
 * 2. Mend what a killed process left of an emulated exchange (survey-paths.ts).
 * 3. Survey: what is at each path, and what in its slots; decide per path (decide.ts).
 * 4. If the newest transactions were never flushed, leave those out of which something is missing, and
 *    what came after (leave-out.ts). If an image that shall be there is nowhere, park: touch nothing.
 * 5. Act (act-on-paths.ts): whole units where every path of one is as it was before, so that a directory
 *    is switched in one step; path by path where not.
 * 6. Set aside what was superseded; look at every path again.
 *
 * The caller makes it durable and then settles it, in that order. Every step may be cut off and
 * run again: deciding starts from what is on disk, never from what was done before (I7).
 *
 * Undoing in a living process is the same act with the images the other way round.
 */

/** What recovery did, for the caller to settle and to report. */
export interface Recovered {
  /** Number of paths that were changed. */
  readonly changed: number;
  readonly superseded: readonly SupersededPath[];
  /** Whether another program wrote meanwhile, so that looking again may be all that is needed. */
  readonly isRaced: boolean;
  /** Where each transaction stands now, to be written once it is durable. */
  readonly updates: readonly TransactionUpdate[];
}

/** @throws {EngineError} `JOURNAL_DAMAGED` when a transaction does not match its hash chain. */
export async function recover(
  transactions: readonly TransactionRow[],
  recovering: Recovering,
): Promise<Recovered> {
  return new Recovery(transactions, recovering).run();
}

class Recovery {
  readonly #paths: RecoveryPaths;

  constructor(transactions: readonly TransactionRow[], context: Recovering) {
    this.#paths = new RecoveryPaths(transactions, context);
  }

  async run(): Promise<Recovered> {
    const { moves, states, transactions } = this.#paths;
    const survey = new Survey(this.#paths);
    for (const move of moves) {
      await this.#paths.attempt(this.#paths.statesOf(move), async () => {
        // guard: recovery-mend
        survey.mend(move);
      });
    }
    await survey.survey();
    const leavingOut = new LeavingOut(this.#paths);
    const unflushed = await leavingOut.findUnflushed();
    if (unflushed.length > 0) return this.#leaveOut(unflushed, leavingOut);
    const parked = this.#parked();
    // guard: recovery-park
    if (parked.size > 0) return this.#park(parked);
    const acting = new Acting(this.#paths);
    await acting.run();
    await this.#setAside();
    // guard: recovery-look-again
    await this.#lookAgain();
    return {
      changed: acting.changed,
      superseded: this.#paths.superseded,
      isRaced: [...states.values()].some(({ error }) => isEngineError(error, 'DRIFT_DETECTED')),
      updates: transactions.map((transaction) => this.#settled(transaction)),
    };
  }

  /** Recovers the others; of these nothing remains but their entries in the log. */
  async #leaveOut(
    unflushed: readonly TransactionRow[],
    leavingOut: LeavingOut,
  ): Promise<Recovered> {
    const reason = 'the power failed before its contents were on disk';
    const updates = unflushed.map(
      ({ id }): TransactionUpdate => ({ id, state: 'rolled-back', reason }),
    );
    // The verdict first: what it rests on is about to go (I7).
    // guard: unflushed-verdict-first
    this.#paths.context.journal.update(updates);
    const { context, moves, transactions } = this.#paths;
    for (const move of moves) {
      if (unflushed.includes(move.transaction)) await leavingOut.discard(move);
    }
    const others = transactions.filter((transaction) => !unflushed.includes(transaction));
    const recovered = await new Recovery(others, context).run();
    return { ...recovered, updates: [...recovered.updates, ...updates] };
  }

  #parked(): Map<number, RelativePath> {
    const parked = new Map<number, RelativePath>();
    for (const { decision, wishes, path } of this.#paths.states.values()) {
      if (decision.do !== 'park') continue;
      const last = lastOf(wishes).move.transaction.id;
      if (this.#paths.context.acceptsLossOf?.has(last) !== true) parked.set(last, path);
    }
    return parked;
  }

  /** Nothing is touched: what the others need may hang on the damaged one. */
  #park(parked: ReadonlyMap<number, RelativePath>): Recovered {
    const culprits = [...parked.keys()].map(String).join(', ');
    const updates = this.#paths.transactions.map((transaction): TransactionUpdate => {
      const { id, state } = transaction;
      const path = parked.get(id);
      if (path !== undefined) {
        const reason = `the bytes that belong at ${path} are missing`;
        return { id, state, trouble: 'damaged', reason };
      }
      if (this.#isAtRest(id)) return this.#settled(transaction);
      return { id, state, trouble: 'blocked', reason: `waits for ${culprits}, which is damaged` };
    });
    return { changed: 0, superseded: [], isRaced: false, updates };
  }

  /** Tells whether everything that a transaction does has been done, as far as could be looked at. */
  #isAtRest(id: number): boolean {
    const isOurs = ({ move }: { readonly move: Move }): boolean => move.transaction.id === id;
    return [...this.#paths.states.values()].every(({ decision, hops, wishes }) => {
      if (!wishes.some(isOurs)) return true;
      const isDone = hops.some((hop) => isOurs(hop) && hop.evidence === 'done');
      return decision.do === 'nothing' || isDone;
    });
  }

  async #setAside(): Promise<void> {
    const { looking, quarantine } = this.#paths.context;
    for (const state of this.#paths.states.values()) {
      const { decision, hops, path, wishes } = state;
      const last = wishes.at(-1);
      if (last === undefined || state.error !== undefined) continue;
      if (decision.do === 'park') this.#paths.supersede(last, 'bytes lost, accepted by hand');
      if (decision.do !== 'supersede') continue;
      this.#paths.supersede(last, decision.why);
      const kept = decision.kept === undefined ? undefined : hops[decision.kept];
      // I3: what did not get its place may be the only copy, of ours or of what we displaced.
      const place = kept === undefined ? undefined : this.#paths.placeOf(kept);
      if (place === undefined || looking.files.stat(place) === undefined) continue;
      await this.#paths.attempt([state], async () => {
        // guard: recovery-quarantine
        quarantine.takeIn(place, {
          path,
          transaction: last.move.transaction.id,
          why: `not put in place: the path was ${decision.why} by another program`,
        });
      });
    }
  }

  /** What was acted on must now be what was decided, or the transaction stays unsettled. */
  async #lookAgain(): Promise<void> {
    for (const state of this.#paths.states.values()) {
      const { decision, path } = state;
      if (decision.do !== 'advance' && decision.do !== 'place') continue;
      if (state.error !== undefined) continue;
      this.#paths.context.tree.trim();
      if (!isSameImage(await this.#paths.findAt(path), state.target)) state.error = raced(path);
    }
  }

  #settled({ id, state, reason }: TransactionRow): TransactionUpdate {
    for (const { error, wishes, path } of this.#paths.states.values()) {
      if (error === undefined || !wishes.some(({ move }) => move.transaction.id === id)) continue;
      return { id, state, trouble: 'blocked', reason: `${path}: ${error.message}` };
    }
    const superseded = new Map<number, string>();
    for (const { transaction, sequence, why } of this.#paths.superseded) {
      if (transaction === id) superseded.set(sequence, why);
    }
    if (state === 'undoing') return { id, state: 'rolled-back', reason, superseded };
    return { id, state: 'settled', superseded };
  }
}
