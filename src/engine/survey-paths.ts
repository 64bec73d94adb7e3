import { decide } from './decide.js';
import { displacedSuffix, type Place } from './file-system.js';
import { isSameImage } from './image.js';
import { inspect } from './inspect.js';
import type { RelativePath } from './path.js';
import {
  lastOf,
  type Move,
  type PathHop,
  type PathState,
  type RecoveryPaths,
} from './recovery-paths.js';
import { isObstacle } from './root-tree.js';
import { spareOf } from './units.js';

/** Looks at every path and its slots, and decides what is to be done. Changes no file but for {@link Survey.mend}. */
export class Survey {
  readonly #paths: RecoveryPaths;
  /** Whether an earlier recovery was at work here. */
  readonly #hasSpares: boolean;

  constructor(paths: RecoveryPaths) {
    this.#paths = paths;
    const { looking, stage } = paths.context;
    this.#hasSpares = looking.files
      .list(stage.root)
      .some(({ name }) => spareOf(name) !== undefined);
  }

  /** Every place that an emulated exchange may have been cut off at: slots, members, spares. */
  mend(move: Move): void {
    const { unit } = move;
    if (unit.slot === undefined) return;
    for (const row of unit.rows) {
      this.#paths.trim();
      const ours = this.#paths.placeOf({ move, row });
      if (ours !== undefined) this.#mendAt(ours, row.path);
      if (this.#hasSpares) this.#mendAt(this.#paths.spareOf({ move, row }), row.path);
    }
  }

  /** See `NodeFileSystem.exchange`: displaced → linked → unlinked → renamed, killed in between. */
  #mendAt(ours: Place, path: RelativePath): void {
    const { files } = this.#paths.context.looking;
    const theirs = this.#paths.context.tree.locate(path);
    if (isObstacle(theirs)) return;
    const displaced: Place = { directory: ours.directory, name: ours.name + displacedSuffix };
    const atDisplaced = files.stat(displaced);
    const atSlot = files.stat(ours);
    if (atDisplaced === undefined && (atSlot === undefined || atSlot.links < 2)) return;
    const atPath = files.stat(theirs);
    const isTwice = atSlot !== undefined && atSlot.inode === atPath?.inode;
    if (atDisplaced === undefined) {
      // A create was cut between link and unlink.
      if (isTwice && atSlot.kind !== 'directory') files.removeFile(ours);
      return;
    }
    if (atDisplaced.inode === atPath?.inode) {
      // Mending itself was cut, between link and unlink.
      files.removeFile(displaced);
      return;
    }
    if (isTwice) files.removeFile(ours);
    if (isTwice || (atSlot === undefined && atPath !== undefined)) files.moveOwn(displaced, ours);
    else if (atPath === undefined) files.moveNew(displaced, theirs);
    this.#paths.context.tree.forget(path);
  }

  async survey(): Promise<void> {
    const { pace } = this.#paths.context.looking;
    for (const state of this.#paths.states.values()) {
      if (pace.isDue()) await pace.turn();
      this.#paths.trim();
      await this.#paths.attempt([state], () => this.#surveyPath(state));
    }
  }

  async #surveyPath(state: PathState): Promise<void> {
    state.found = await this.#paths.findAt(state.path);
    if (isSameImage(state.found, state.target)) return;
    const hops: PathHop[] = [];
    for (const wish of state.wishes) hops.push(...(await this.#paths.hopsFor(wish)));
    state.hops = hops;
    // guard: recovery-late-write
    this.#takeTheirs(state);
    state.decision = decide(state.found, state.hops);
    // guard: set-aside-known [if false]
    if (state.decision.do === 'park' && (await this.#wasSetAside(state))) {
      state.decision = { do: 'supersede', why: 'edited', kept: undefined };
    }
    if (state.decision.do === 'advance') state.next = state.decision.from;
  }

  /** I7: a recovery that was cut off before it settled anything had superseded this path. */
  async #wasSetAside({ path, target, wishes }: PathState): Promise<boolean> {
    const { looking, quarantine } = this.#paths.context;
    const { id } = lastOf(wishes).move.transaction;
    // guard: set-aside-note
    if (quarantine.holds(path, id)) return true;
    for (const place of quarantine.withoutNote(id)) {
      // guard: set-aside-without-note
      if (isSameImage((await inspect(looking, place, path)).image, target)) return true;
    }
    return false;
  }

  /**
   * What an undone transaction had displaced may have been written to meanwhile, through a
   * descriptor that was open before: then that is what belongs in place (I3).
   */
  #takeTheirs(state: PathState): void {
    const last = state.hops.at(-1);
    const wish = state.wishes.at(-1);
    if (last?.evidence !== 'lost' || wish?.move.isUndo !== true) return;
    const { holds } = last;
    if (holds === undefined || holds.kind === 'absent' || holds.kind === 'special') return;
    const there = state.hops.slice(0, -1).map((hop) => ({ ...hop, evidence: 'done' as const }));
    state.hops = [...there, { ...last, to: holds, evidence: 'pending' }];
    state.target = holds;
    this.#paths.supersede(wish, 'edited');
  }
}
