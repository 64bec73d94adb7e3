import { retryTransient, switchPlaces } from './apply.js';
import { assert, systemCode } from './errors.js';
import type { Place } from './file-system.js';
import { type DirectoryImage, type Image, isSameContent, isSameImage } from './image.js';
import { inspect, statTree } from './inspect.js';
import { MovedPaths } from './moved-paths.js';
import { comparePaths, isBelow, type RelativePath } from './path.js';
import {
  type Move,
  nextHop,
  type PathHop,
  type PathState,
  raced,
  type RecoveryPaths,
} from './recovery-paths.js';
import { isObstacle } from './root-tree.js';
import type { JournalUnit } from './units.js';

/**
 * Does what was decided: whole units where every path of one is as it was before, so that a directory is
 * switched in one step; path by path where not.
 */
export class Acting {
  readonly #paths: RecoveryPaths;
  /** What was moved here since the last barrier. */
  readonly #moved = new MovedPaths();
  /** Whether a mode was changed since the last barrier. */
  #hasNewModes = false;
  /** Number of paths that were changed. */
  changed = 0;

  constructor(paths: RecoveryPaths) {
    this.#paths = paths;
  }

  async run(): Promise<void> {
    for (const move of this.#paths.moves) {
      this.#paths.trim();
      if (move.unit.slot === undefined) await this.#advanceMode(move);
      else await this.#switchWhole(move);
    }
    await this.#actAlone();
  }

  /** In its turn: a directory may have to be made writable before what is in it can be moved. */
  async #advanceMode(move: Move): Promise<void> {
    for (const { path } of move.unit.rows) {
      const state = this.#paths.state(path);
      if (state.decision.do !== 'advance' || state.error !== undefined) continue;
      await this.#paths.attempt([state], () => this.#advanceBy(move, state));
    }
  }

  /** Only the hops of this move: a later one may remove a directory that is not empty yet. */
  async #advanceBy(move: Move, state: PathState): Promise<void> {
    for (let hop = nextHop(state); hop?.move === move; hop = nextHop(state)) {
      const at = state.hops.indexOf(hop);
      if (!(await this.#bring(state, hop, at))) return;
      state.next = at + 1;
    }
  }

  /** Does a unit's move in one step when every path of it is where the move starts. */
  async #switchWhole(move: Move): Promise<void> {
    const { unit } = move;
    const states = this.#paths.statesOf(move);
    const isUnmoved = states.every((state) => {
      const { decision, error } = state;
      if (error !== undefined) return false;
      if (decision.do === 'advance') {
        const hop = nextHop(state);
        // Another program's file may have been there between two hops, and be lost with the power.
        return hop?.move === move && isSameImage(state.found, hop.from);
      }
      // A path of a replaced directory that stays equal decides nothing by itself.
      return decision.do === 'nothing' && isUnchangedBy(state, move);
    });
    const advances = states.some(({ decision }) => decision.do === 'advance');
    // guard: switch-unmoved [!isUnmoved becomes false]
    if (!isUnmoved || !advances || unit.slot === undefined) return;
    // Before the looks: it may take long, and others go on.
    // guard: recovery-flush-whole
    await this.#flushBeforeMove(unit.path);
    // guard: switch-unchanged
    if (!(await this.#hasUnchanged(move))) return;
    const ours = this.#paths.slotOf(move);
    const theirs = this.#paths.context.tree.locate(unit.path);
    if (ours === undefined || isObstacle(theirs)) return;
    const isDirectory = states[0]?.found.kind === 'directory';
    // guard: switch-only-own
    if (isDirectory && !(await this.#holdsOnly(states, theirs, unit))) return;
    await this.#paths.attempt(states, () => this.#switchAndLook(move, states, ours, theirs));
  }

  /** Tells whether what a switch brings for paths that stay equal is whole: nothing else asks. */
  async #hasUnchanged(move: Move): Promise<boolean> {
    for (const row of move.unit.rows) {
      if (!isSameImage(row.before, row.after)) continue;
      this.#paths.trim();
      if (!isSameImage(await this.#paths.inSlot({ move, row }), row.after)) return false;
    }
    return true;
  }

  async #switchAndLook(
    move: Move,
    states: readonly PathState[],
    ours: Place,
    theirs: Place,
  ): Promise<void> {
    const { files } = this.#paths.context.looking;
    const head = move.unit.rows[0];
    assert(head !== undefined, 'a unit has a head');
    const [from, to] = move.isUndo ? [head.after, head.before] : [head.before, head.after];
    this.#moved.add(move.unit.path);
    await retryTransient(() => {
      switchPlaces(files, { ours, theirs, from, to });
    });
    this.#paths.context.tree.forget(move.unit.path);
    this.#paths.context.stage.close();
    for (const row of move.unit.rows) {
      this.#paths.trim();
      const expected = move.isUndo ? row.after : row.before;
      // guard: switch-look [if false]
      if (!isSameImage(await this.#paths.inSlot({ move, row }), expected)) {
        // I3: written to since the survey. Put it back; the next run sees it as it is.
        const back = this.#paths.slotOf(move);
        const place = this.#paths.context.tree.locate(move.unit.path);
        assert(back !== undefined && !isObstacle(place), 'both were there a moment ago');
        switchPlaces(files, { ours: back, theirs: place, from: to, to: from });
        throw raced(row.path);
      }
    }
    for (const state of states) {
      const hop = nextHop(state);
      if (state.decision.do !== 'advance' || hop === undefined) continue;
      state.next = state.hops.indexOf(hop) + 1;
      state.found = hop.to;
      this.changed += 1;
    }
  }

  /** Tells whether a directory on disk holds nothing but the unit's own paths. */
  async #holdsOnly(
    states: readonly PathState[],
    theirs: Place,
    unit: JournalUnit,
  ): Promise<boolean> {
    const known = new Set(states.filter(({ found }) => found.kind !== 'absent').map((s) => s.path));
    const { looking } = this.#paths.context;
    for await (const { path, image, stat } of statTree(looking, theirs, unit.path, 'yielded')) {
      // Without a `stat` it has just gone; or it is a mount, or has no name that can be given.
      const isOurs = stat === undefined ? image.kind === 'absent' : known.has(path);
      if (!isOurs) return false;
    }
    return true;
  }

  /** Paths that no whole unit covered: removals from the bottom up, the rest from the top down. */
  async #actAlone(): Promise<void> {
    const { pace } = this.#paths.context.looking;
    const pending = [...this.#paths.states.values()]
      .filter((state) => state.error === undefined && needsAct(state))
      .toSorted((a, b) => comparePaths(a.path, b.path));
    const removals = pending.filter(isRemoval).toReversed();
    const isDirectory = ({ found }: PathState): boolean => found.kind === 'directory';
    const others = pending.filter((state) => !isRemoval(state));
    // All files before the first directory: then one barrier lies between them.
    const ordered = [
      ...removals.filter((state) => !isDirectory(state)),
      ...removals.filter(isDirectory),
      ...others,
    ];
    for (const state of ordered) {
      if (pace.isDue()) await pace.turn();
      this.#paths.trim();
      await this.#paths.attempt([state], () => this.#actOn(state));
    }
  }

  /**
   * The power could keep a move in a directory, or of the directory, or its removal, and take back the other
   * one, which came before; or keep the move of a file, and take back the mode that it had by then.
   */
  async #flushBeforeMove(path: RelativePath): Promise<void> {
    // guard: recovery-new-modes [this.#hasNewModes becomes false]
    // guard: recovery-nested [this.#moved.isNested(path) becomes false]
    if (this.#hasNewModes || this.#moved.isNested(path)) await this.#flush();
  }

  /** The power could keep a mode, and take back what was moved to its place before. */
  async #flushBeforeMode(path: RelativePath): Promise<void> {
    // guard: recovery-mode-of-moved [this.#moved.has(path) becomes false]
    if (this.#moved.has(path) || this.#moved.isNested(path)) await this.#flush();
  }

  async #flush(): Promise<void> {
    await this.#paths.flush();
    this.#moved.clear();
    this.#hasNewModes = false;
  }

  async #actOn(state: PathState): Promise<void> {
    const { decision, hops } = state;
    if (decision.do === 'place') {
      const last = hops.at(-1);
      assert(last !== undefined, 'a path has a hop');
      await this.#bring(state, last, decision.source);
      return;
    }
    while (state.next < hops.length) {
      const hop = hops[state.next];
      assert(hop !== undefined, 'the next hop is there');
      // Hops need not follow on each other: another program may have been there in between, and its
      // edit be lost with the power. Then the path can be where the hop leads already.
      if (isSameImage(hop.from, hop.to) || isSameImage(state.found, hop.to)) {
        state.next += 1;
        continue;
      }
      if (!(await this.#bring(state, hop, state.next))) return;
      state.next += 1;
    }
  }

  /**
   * Makes one path `hop.to`, by one rename: a kill finds it before or after. Returns false when
   * somebody else's files keep it from that.
   *
   * @param source which hop's slot holds the image.
   */
  async #bring(state: PathState, hop: PathHop, source: number | undefined): Promise<boolean> {
    const { found } = state;
    const { to } = hop;
    const isMode = isSameContent(found, to) && (to.kind === 'file' || to.kind === 'directory');
    // guard: recovery-flush-alone
    await (isMode ? this.#flushBeforeMode(state.path) : this.#flushBeforeMove(state.path));
    const theirs = this.#paths.context.tree.locate(state.path);
    if (isObstacle(theirs)) {
      // guard: unsure-obstacle
      this.#refuseUnsure(state.path);
      // Somebody removed or replaced a directory on the way: what they did stays (I3).
      const why = theirs.obstacle === 'absent' ? 'deleted' : 'type changed';
      state.decision = { do: 'supersede', why, kept: source };
      return false;
    }
    if (isMode) {
      this.#setMode(theirs, to);
      this.#hasNewModes = true;
    } else if (to.kind === 'absent') {
      const isGone = found.kind !== 'directory' || this.#removeDirectory(state, theirs);
      if (!isGone) return false;
      if (found.kind !== 'directory') {
        this.#moved.add(state.path);
        await this.#displace(state, theirs, hop);
      }
    } else {
      const ours =
        to.kind === 'directory' ? this.#makeSpare(hop, to) : this.#paths.sourceOf(state, source);
      this.#moved.add(state.path);
      if (!(await this.#exchange(state, ours, theirs, source))) return false;
    }
    state.found = to;
    this.changed += 1;
    return true;
  }

  async #exchange(
    state: PathState,
    ours: Place,
    theirs: Place,
    source: number | undefined,
  ): Promise<boolean> {
    const { files } = this.#paths.context.looking;
    const { found, path } = state;
    await retryTransient(() => {
      if (found.kind === 'absent') files.moveNew(ours, theirs);
      else files.exchange(ours, theirs);
    });
    this.#paths.context.tree.forget(path);
    if (found.kind === 'absent') return true;
    const displaced = await inspect(this.#paths.context.looking, ours, path);
    const isWhatItWas = isSameImage(displaced.image, found);
    // guard: exchange-look [isWhatItWas && becomes true &&]
    // guard: exchange-empty [this.#isEmpty(ours) becomes true]
    if (isWhatItWas && (found.kind !== 'directory' || this.#isEmpty(ours))) return true;
    files.exchange(ours, theirs);
    // guard: exchange-raced
    if (!isWhatItWas) throw raced(path);
    // guard: unsure-exchange
    this.#refuseUnsure(path);
    // A directory that holds somebody else's files stays (I3).
    state.decision = { do: 'supersede', why: 'edited', kept: source };
    return false;
  }

  #isEmpty(place: Place): boolean {
    const { files } = this.#paths.context.looking;
    const directory = files.openDirectory(place);
    if (typeof directory === 'string') return false;
    try {
      return files.list(directory).length === 0;
    } finally {
      files.closeDirectory(directory);
    }
  }

  /** An empty directory with its mode, beside the slots. */
  #makeSpare(hop: PathHop, { mode }: DirectoryImage): Place {
    const { files } = this.#paths.context.looking;
    const spare = this.#paths.spareOf(hop);
    if (files.stat(spare)?.kind === 'directory') files.removeDirectory(spare);
    files.makeDirectory(spare, 0o700);
    files.setMode(spare, mode);
    return spare;
  }

  /** Moves what is at a path out of the way, into the slot if that is free. */
  async #displace(state: PathState, theirs: Place, hop: PathHop): Promise<void> {
    const { files } = this.#paths.context.looking;
    const slot = this.#paths.placeOf(hop);
    const isFree = slot !== undefined && files.stat(slot) === undefined;
    const ours = isFree ? slot : this.#paths.spareOf(hop);
    await retryTransient(() => {
      files.moveNew(theirs, ours);
    });
    const displaced = await inspect(this.#paths.context.looking, ours, state.path);
    // guard: displace-look [if false]
    if (!isSameImage(displaced.image, state.found)) {
      files.moveNew(ours, theirs);
      throw raced(state.path);
    }
  }

  #setMode(theirs: Place, to: Image): void {
    const { files } = this.#paths.context.looking;
    assert(to.kind === 'file' || to.kind === 'directory', 'only these have a mode');
    const stat = files.stat(theirs);
    // What took its place since the survey keeps its own mode, and is seen by the last look.
    if (stat !== undefined) files.setModeOf(theirs, stat, to.mode);
  }

  /** A directory that holds somebody else's files stays (I3). */
  #removeDirectory(state: PathState, theirs: Place): boolean {
    try {
      this.#paths.context.looking.files.removeDirectory(theirs);
      this.#paths.context.tree.forget(state.path);
      return true;
    } catch (error) {
      const code = systemCode(error);
      if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
      // guard: unsure-directory
      this.#refuseUnsure(state.path);
      const kept = state.hops.findLastIndex(({ evidence }) => evidence === 'pending');
      state.decision = { do: 'supersede', why: 'edited', kept: kept < 0 ? undefined : kept };
      return false;
    }
  }

  /** What is in the way may be ours, if a path above or below could not be looked at or changed. */
  #refuseUnsure(path: RelativePath): void {
    for (const { error, path: other } of this.#paths.states.values()) {
      if (error !== undefined && (isBelow(other, path) || isBelow(path, other))) throw error;
    }
  }
}

function isUnchangedBy({ wishes, found }: PathState, move: Move): boolean {
  const row = wishes.find((wish) => wish.move === move)?.row;
  if (row === undefined || !isSameImage(row.before, row.after)) return false;
  // It may have been edited since: then the directory is not what the move expects.
  return isSameImage(found, row.before);
}

function needsAct(state: PathState): boolean {
  const { decision } = state;
  return decision.do === 'place' || (decision.do === 'advance' && nextHop(state) !== undefined);
}

function isRemoval(state: PathState): boolean {
  const target = state.target;
  return (
    target.kind === 'absent' || (state.found.kind === 'directory' && target.kind !== 'directory')
  );
}
