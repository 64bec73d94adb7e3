import { assert, EngineError, fromSystemError, systemCode } from './errors.js';
import type { AttributePair, Directory, Place, Stat } from './file-system.js';
import type { Looking } from './inspect.js';
import { openDirectoriesMax } from './limits.js';
import { isBelow, nameOf, parentOf, quote, type RelativePath } from './path.js';
import type { Member, Plan, Unit } from './plan.js';
import { isObstacle, type RootTree } from './root-tree.js';
import type { StagedContents } from './staged-content.js';
import type { StagedNode } from './staged-node.js';

/** A unit with the name in the stage directory that it is switched with. */
export interface ArrangedUnit extends Unit {
  /** `undefined` for `set-mode`, which moves nothing. */
  readonly slot: string | undefined;
}

export interface Arranging {
  readonly looking: Looking;
  readonly tree: RootTree;
  readonly contents: StagedContents;
}

const setGroupBit = 0o2000;
const setIdBits = 0o6000;

/**
 * Makes of the staged contents what will be switched in: links and whole directories, each with
 * the owner, group, attributes and mode of what it replaces.
 *
 * @throws {EngineError} `METADATA_NOT_KEPT` naming the path, `PERMISSION_DENIED`, …
 */
export async function arrange(plan: Plan, arranging: Arranging): Promise<readonly ArrangedUnit[]> {
  const arrangement = new Arrangement(arranging);
  try {
    for (const unit of plan.units) await arrangement.add(unit);
    return await arrangement.finish();
  } catch (error) {
    arrangement.close();
    if (systemCode(error) === undefined) throw error;
    throw fromSystemError(error, 'stage', arrangement.current);
  }
}

/** Something made in the stage directory that wants its owner, attributes and mode. */
interface Made {
  readonly member: Member;
  readonly node: PresentNode;
  readonly place: Place;
}

type PresentNode = Exclude<StagedNode, { readonly kind: 'absent' }>;

/** A staged directory that is being filled, with what was made right in it. */
interface Frame {
  /** `undefined` for the transaction's stage directory itself. */
  readonly path: RelativePath | undefined;
  readonly directory: Directory;
  readonly made: Made[];
}

class Arrangement {
  readonly #arranging: Arranging;
  readonly #units: ArrangedUnit[] = [];
  /** The staged directories on the way to the one that is being filled, the innermost last. */
  readonly #frames: Frame[] = [];
  readonly #top: Made[] = [];
  /** Owner of what this process makes; `undefined` on systems without owners. */
  readonly #ours: { readonly owner: number; readonly group: number } | undefined;
  /** By directory: the group that is inherited in it, if any. */
  readonly #groups = new Map<RelativePath | undefined, number | undefined>();
  /** Where attributes were taken from. */
  readonly #trees: Set<RootTree>;
  current = '';

  constructor(arranging: Arranging) {
    this.#arranging = arranging;
    this.#trees = new Set([arranging.tree]);
    this.#ours = arranging.looking.files.processOwner();
  }

  async add(unit: Unit): Promise<void> {
    const { contents, looking } = this.#arranging;
    if (looking.pace.isDue()) await looking.pace.turn();
    this.current = unit.path;
    if (unit.act === 'set-mode') {
      this.#units.push({ ...unit, slot: undefined });
      return;
    }
    const top = unit.members[0];
    const content = top?.node?.kind === 'file' ? top.node.content : undefined;
    const slot = content?.name ?? contents.newName();
    this.#units.push({ ...unit, slot });
    for (const member of unit.members) {
      const { node } = member;
      if (node === undefined || node.kind === 'absent') continue;
      if (looking.pace.isDue()) await looking.pace.turn();
      await this.#leaveFramesBeside(member.path);
      const isTop = member.path === unit.path;
      const place = isTop ? contents.place(slot) : this.#placeInFrame(member.path);
      this.#make(node, place, isTop);
      const frame = this.#frames.at(-1);
      (frame?.made ?? this.#top).push({ member, node, place });
      if (node.kind === 'directory') this.#enterFrame(member.path, place);
    }
    await this.#leaveFramesBeside(undefined);
  }

  /** Gives what was made right in the stage directory its owner, attributes and mode. */
  async finish(): Promise<readonly ArrangedUnit[]> {
    await this.#dress(this.#top);
    this.#arranging.contents.discardAllBut(new Set(this.#units.map(({ slot }) => slot)));
    return this.#units;
  }

  close(): void {
    for (const { directory } of this.#frames.splice(0)) {
      this.#arranging.looking.files.closeDirectory(directory);
    }
  }

  #make(node: PresentNode, place: Place, isTop: boolean): void {
    const { contents, looking } = this.#arranging;
    switch (node.kind) {
      case 'symlink':
        looking.files.makeLink(place, node.target);
        return;
      case 'directory':
        looking.files.makeDirectory(place, 0o700);
        return;
      case 'file':
        if (!isTop && node.content !== undefined) contents.moveTo(node.content.name, place);
    }
  }

  #placeInFrame(path: RelativePath): Place {
    const frame = this.#frames.at(-1);
    assert(frame !== undefined, 'a member lies in a staged directory');
    assert(frame.path === parentOf(path), `${path} is staged in its parent`);
    return { directory: frame.directory, name: nameOf(path) };
  }

  #enterFrame(path: RelativePath, place: Place): void {
    const directory = this.#arranging.looking.files.openDirectory(place);
    // guard: staged-directory [if false]
    if (typeof directory === 'string') {
      throw new EngineError(
        'STORE_REPLACED',
        `a staged directory is ${directory} after it was made`,
        { hint: 'Nothing was changed. Something else works inside .skillmeat; stop it.' },
      );
    }
    this.#frames.push({ path, directory, made: [] });
  }

  /** Finishes and closes every directory that `next` does not lie in (`undefined`: all). */
  async #leaveFramesBeside(next: RelativePath | undefined): Promise<void> {
    for (let frame = this.#frames.at(-1); frame !== undefined; frame = this.#frames.at(-1)) {
      const holdsNext = next !== undefined && frame.path !== undefined && isBelow(next, frame.path);
      if (holdsNext) return;
      await this.#dress(frame.made);
      this.#arranging.looking.files.closeDirectory(frame.directory);
      this.#frames.pop();
    }
  }

  async #dress(made: readonly Made[]): Promise<void> {
    for (let i = 0; i < made.length; i += openDirectoriesMax) {
      await this.#dressSome(made.slice(i, i + openDirectoriesMax));
      // Each of them may have opened a directory.
      for (const tree of this.#trees) tree.trim();
    }
  }

  /** Owners, then attributes, then modes: each of these resets parts of the next. */
  async #dressSome(made: readonly Made[]): Promise<void> {
    const { files } = this.#arranging.looking;
    const pairs = new Map<AttributePair, Made>();
    const needsMode = new Set<Made>();
    for (const one of made) {
      const { member, node, place } = one;
      this.current = member.path;
      if (!hasMode(one)) needsMode.add(one);
      const source = this.#attributeSource(one);
      const { owner, group } = source?.stat ?? this.#newOwner(one);
      if (this.#chown(member.path, place, { owner, group })) needsMode.add(one);
      // A link has no attributes that a user could set.
      if (source === undefined || node.kind === 'symlink') continue;
      pairs.set({ from: source.place, to: place }, one);
    }
    for (const { pair, lost } of await files.keepExtendedAttributes([...pairs.keys()])) {
      const one = pairs.get(pair);
      assert(one !== undefined, 'an answer is about a pair that was asked for');
      if (lost !== undefined) throw notKept(one.member.path, `attribute ${lost}`, undefined);
      needsMode.add(one);
    }
    for (const { member, place } of needsMode) {
      const { after } = member;
      if (after.kind === 'file' || after.kind === 'directory') files.setMode(place, after.mode);
    }
  }

  /** The path on disk, of the same kind, whose owner and attributes are to be kept. */
  #attributeSource({ member, node }: Made): { place: Place; stat: Stat } | undefined {
    const { path, witness } = member;
    if (node.attributesFrom === undefined) return undefined;
    const { tree, path: from } = node.attributesFrom;
    const place = tree.locate(from);
    if (isObstacle(place)) return undefined;
    this.#trees.add(tree);
    const isRoot = tree === this.#arranging.tree;
    const isWitnessed = isRoot && from === path && witness !== undefined;
    const stat = isWitnessed ? witness : this.#arranging.looking.files.stat(place);
    return stat?.kind === node.kind ? { place, stat } : undefined;
  }

  /**
   * What comes back from history and has no slot any more, because it is packed, belonged to the owner
   * of the store.
   */
  #newOwner({ member, node }: Made): {
    readonly owner: number | undefined;
    readonly group: number | undefined;
  } {
    const { tree, looking } = this.#arranging;
    const from = node.attributesFrom?.tree;
    const isOurs = from === undefined || from === tree || this.#ours?.owner !== 0;
    const kept = isOurs ? undefined : looking.files.statDirectory(from.root);
    const group = this.#inheritedGroup(parentOf(member.path)) ?? kept?.group;
    return { owner: kept?.owner, group };
  }

  /**
   * What is made in a directory with the set-group bit gets the group of the directory; in a new one
   * that of the nearest that is on disk already. Each directory is looked for once: to find that it
   * is not there costs more than to stage a small file.
   */
  #inheritedGroup(directory: RelativePath | undefined): number | undefined {
    if (this.#ours === undefined) return undefined;
    if (this.#groups.has(directory)) return this.#groups.get(directory);
    const group = this.#groupIn(directory);
    this.#groups.set(directory, group);
    return group;
  }

  #groupIn(path: RelativePath | undefined): number | undefined {
    const { tree } = this.#arranging;
    if (path === undefined) return this.#groupOf(tree.root);
    const directory = tree.directory(path);
    return isObstacle(directory) ? this.#inheritedGroup(parentOf(path)) : this.#groupOf(directory);
  }

  #groupOf(directory: Directory): number | undefined {
    const { mode, group } = this.#arranging.looking.files.statDirectory(directory);
    return (mode & setGroupBit) === 0 ? undefined : group;
  }

  /** Returns whether it had to do anything. */
  #chown(
    path: RelativePath,
    place: Place,
    wanted: { readonly owner: number | undefined; readonly group: number | undefined },
  ): boolean {
    const { files } = this.#arranging.looking;
    if (this.#ours === undefined) return false;
    const { owner = this.#ours.owner, group = this.#ours.group } = wanted;
    if (owner === this.#ours.owner && group === this.#ours.group) return false;
    try {
      files.setOwner(place, owner, group);
      return true;
    } catch (error) {
      const code = systemCode(error);
      if (code !== 'EPERM' && code !== 'EINVAL') throw error;
      throw notKept(path, `owner ${String(owner)}, group ${String(group)}`, error);
    }
  }
}

/** Tells whether what was made got its mode already, when it was staged. */
function hasMode({ node, member: { after } }: Made): boolean {
  if (node.kind !== 'file') return node.kind === 'symlink';
  // The kernel takes these bits away when the file is written.
  if (after.kind === 'file' && (after.mode & setIdBits) !== 0) return false;
  return after.kind === 'file' && node.content?.mode === after.mode;
}

function notKept(path: string, what: string, cause: unknown): EngineError {
  return new EngineError(
    'METADATA_NOT_KEPT',
    `${quote(path)}: its ${what} cannot be given to what replaces it`,
    {
      path,
      cause,
      hint: 'Run as the owner of the file, or remove it in a transaction of its own first.',
    },
  );
}
