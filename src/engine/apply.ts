import { setTimeout } from 'node:timers/promises';
import type { ArrangedUnit } from './arrange.js';
import { assert, EngineError, fromSystemError, systemCode } from './errors.js';
import { type FileSystem, type Place, type Stat } from './file-system.js';
import { type Image, isSameImage } from './image.js';
import { inspect, inspectFile, type Looking, statTree } from './inspect.js';
import { transientPauseMs, transientTriesMax } from './limits.js';
import { quote, type RelativePath } from './path.js';
import type { Member } from './plan.js';
import { isObstacle, type RootTree } from './root-tree.js';
import type { StagedContents } from './staged-content.js';

export interface Applying {
  readonly looking: Looking;
  readonly tree: RootTree;
  readonly contents: StagedContents;
  /** Throws when another writer has taken over; asked once a slice. */
  readonly requireFence: () => void;
  readonly onProgress: (done: number) => void;
}

/**
 * Switches every unit of a committed transaction in, and looks at what came out: if that is not
 * the before-image, somebody else wrote meanwhile; it is put back and the error says so (I3). The
 * caller undoes the units before it.
 *
 * @throws {EngineError} `DRIFT_DETECTED`, `PERMISSION_DENIED`, `PATH_BUSY`, `FENCED`, …
 */
export async function apply(units: readonly ArrangedUnit[], applying: Applying): Promise<void> {
  const { looking, tree } = applying;
  let done = 0;
  for (const unit of units) {
    if (looking.pace.isDue()) {
      await looking.pace.turn();
      // guard: apply-fence
      applying.requireFence();
      applying.onProgress(done);
    }
    tree.trim();
    await applyUnit(unit, applying);
    if (unit.members.length > 1) tree.forget(unit.path);
    done += unit.members.length;
  }
}

async function applyUnit(unit: ArrangedUnit, applying: Applying): Promise<void> {
  const { looking, tree, contents } = applying;
  const top = unit.members[0];
  assert(top !== undefined, 'a unit has its own path as a member');
  try {
    const theirs = tree.locate(unit.path);
    // guard: apply-obstacle
    if (isObstacle(theirs)) throw drift(unit.path, `${quote(theirs.at)} is ${theirs.obstacle}`);
    if (unit.act === 'set-mode') {
      await retryTransient(() => {
        applyMode(top, theirs, looking.files);
      });
      return;
    }
    assert(unit.slot !== undefined, 'a unit that moves something has a slot');
    const ours = contents.place(unit.slot);
    await retryTransient(() => {
      switchPlaces(looking.files, { ours, theirs, from: top.before, to: top.after });
    });
    if (top.before.kind === 'absent') return;
    // guard: apply-witness [await findDrift(unit, ours, looking) becomes undefined]
    const found = await findDrift(unit, ours, looking);
    if (found === undefined) return;
    // I3: whoever wrote there gets the bytes back before anything else happens.
    switchPlaces(looking.files, { ours, theirs, from: top.after, to: top.before });
    // guard: apply-drift
    throw drift(found, 'another program wrote there');
  } catch (error) {
    const code = systemCode(error);
    // guard: apply-appeared
    if (code === 'EEXIST') throw drift(unit.path, 'it appeared', error);
    // guard: apply-went-away
    if (code === 'ENOENT') throw drift(unit.path, 'it went away', error);
    throw fromSystemError(error, 'change', unit.path);
  }
}

/** A rename that makes `theirs`, which is `from`, to be `to`; `ours` gets what was there. */
export interface Switch {
  readonly ours: Place;
  readonly theirs: Place;
  readonly from: Image;
  readonly to: Image;
}

export function switchPlaces(files: FileSystem, { ours, theirs, from, to }: Switch): void {
  if (from.kind === 'absent') files.moveNew(ours, theirs);
  else if (to.kind === 'absent') files.moveNew(theirs, ours);
  else files.exchange(ours, theirs);
}

function applyMode({ path, after, witness }: Member, theirs: Place, files: FileSystem): void {
  assert(after.kind === 'file' || after.kind === 'directory', 'only these have a mode');
  assert(witness !== undefined, 'a path whose mode changes was there');
  const found = files.stat(theirs);
  const isSame = found !== undefined && found.inode === witness.inode && isSameFile(found, witness);
  // guard: apply-mode-same [!isSame becomes false]
  // guard: apply-mode-witness [!files.setModeOf(theirs, witness, after.mode) becomes (files.setModeOf(theirs, witness, after.mode), false)]
  if (!isSame || !files.setModeOf(theirs, witness, after.mode)) {
    throw drift(path, 'another program wrote there');
  }
}

/** Returns the first path in a displaced unit that is not what the plan saw there. */
async function findDrift(
  unit: ArrangedUnit,
  ours: Place,
  looking: Looking,
): Promise<RelativePath | undefined> {
  const [only] = unit.members;
  if (unit.members.length === 1 && only !== undefined && only.before.kind !== 'directory') {
    const stat = looking.files.stat(ours);
    const isBefore = stat !== undefined && (await isStillBefore(only, ours, stat, looking));
    return isBefore ? undefined : unit.path;
  }
  const expected = new Map<RelativePath, Member>();
  for (const member of unit.members) {
    if (member.before.kind !== 'absent') expected.set(member.path, member);
  }
  for await (const { path, place, stat } of statTree(looking, ours, unit.path)) {
    const member = expected.get(path);
    // guard: apply-member-unknown
    if (member === undefined || stat === undefined) return path;
    // guard: apply-member-witness
    if (!(await isStillBefore(member, place, stat, looking))) return path;
    expected.delete(path);
  }
  // guard: apply-member-gone [expected.keys().next().value becomes undefined]
  return expected.keys().next().value;
}

async function isStillBefore(
  member: Member,
  place: Place,
  stat: Stat,
  looking: Looking,
): Promise<boolean> {
  const { before, witness, witnessedAt, path } = member;
  // guard: witness-same [!isSameFile(stat, witness) becomes false]
  if (witness === undefined || !isSameFile(stat, witness)) return false;
  if (stat.kind === 'directory') return true;
  // On overlayfs the first change of a file gives it another inode: then only the content tells.
  const isMoved = stat.inode !== witness.inode;
  if (stat.kind === 'symlink') {
    return !isMoved || isSameImage((await inspect(looking, place, path)).image, before);
  }
  // A second write within one tick of the clock leaves the same time: read again (git's racy rule).
  const isRacy = Number(witness.modifiedNs / 1_000_000n) > witnessedAt - racyMs;
  // guard: witness-racy [!isRacy becomes true]
  if (!isMoved && !isRacy) return true;
  return isSameImage((await inspectFile(looking, place, path)).image, before);
}

/** Coarsest tick of the times that a supported file system keeps, with room. */
const racyMs = 50;

/** Renaming changes none of these, writing does. Directories are compared by their entries. */
function isSameFile(found: Stat, witness: Stat): boolean {
  if (found.kind !== witness.kind) return false;
  if (found.kind === 'directory') return found.mode === witness.mode;
  return (
    found.size === witness.size &&
    found.modifiedNs === witness.modifiedNs &&
    found.mode === witness.mode
  );
}

const transientCodes: ReadonlySet<string> = new Set(
  process.platform === 'win32'
    ? ['EBUSY', 'EPERM', 'EACCES', 'EAGAIN', 'EINTR']
    : ['EBUSY', 'ETXTBSY', 'EAGAIN', 'EINTR', 'EMFILE', 'ENFILE'],
);

/** Tries again a few times what fails for a passing reason: a scanner, an open handle. */
export async function retryTransient(act: () => void): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      act();
      return;
    } catch (error) {
      const code = systemCode(error);
      const isTransient = code !== undefined && transientCodes.has(code);
      if (tries === transientTriesMax || !isTransient) throw error;
      await setTimeout(transientPauseMs * 2 ** (tries - 1));
    }
  }
}

function drift(path: RelativePath, what: string, cause?: unknown): EngineError {
  return new EngineError('DRIFT_DETECTED', `${quote(path)} changed during the commit: ${what}`, {
    path,
    cause,
    hint: 'Nothing of the transaction remains and the other change was kept; try again.',
  });
}
