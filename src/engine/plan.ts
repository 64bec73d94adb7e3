import { assert, EngineError } from './errors.js';
import type { Stat } from './file-system.js';
import { absent, describeImage, type Image, isSameContent, isSameImage } from './image.js';
import { type FoundAt, inspectTree, type Looking, requirePlain } from './inspect.js';
import type { Act } from './change-row.js';
import { comparePaths, isBelow, quote, type RelativePath } from './path.js';
import { isObstacle, obstacleError, type RootTree } from './root-tree.js';
import type { StagedNode } from './staged-node.js';
import type { StagedView } from './staged-view.js';

/** One path of a unit. */
export interface Member {
  readonly path: RelativePath;
  readonly before: Image;
  readonly after: Image;
  /** `stat` of the before-image when it was hashed: tells after the act whether it was still that. */
  readonly witness: Stat | undefined;
  /** Milliseconds since 1970 when {@link witness} was taken. */
  readonly witnessedAt: number;
  /** Where the after-image comes from; `undefined` when the path shall be absent. */
  readonly node: StagedNode | undefined;
}

/**
 * The part of a transaction that one rename switches: a file, a link, or a whole directory with
 * everything below it.
 */
export interface Unit {
  readonly act: Exclude<Act, 'member'>;
  readonly path: RelativePath;
  /** The unit's own path first, then what lies below it, in path order. */
  readonly members: readonly Member[];
}

/** What a transaction will do, and to what. */
export interface Plan {
  readonly units: readonly Unit[];
  /** Paths whose image changes. */
  readonly changeCount: number;
  /** Bytes of the before-images that will be displaced. */
  readonly displacedBytes: number;
}

export interface Planning {
  readonly looking: Looking;
  readonly tree: RootTree;
  readonly now: () => number;
}

/**
 * Reduces the staged view to images: per path, what is there and what shall be. Reads and hashes
 * every before-image; leaves out what would not change.
 *
 * @throws {EngineError} `DRIFT_DETECTED` when a path is not what the transaction was shown.
 */
export async function buildPlan(view: StagedView, planning: Planning): Promise<Plan> {
  const units: Unit[] = [];
  let covered: RelativePath | undefined;
  for (const path of view.sortedPaths()) {
    if (covered !== undefined && isBelow(path, covered)) continue;
    covered = undefined;
    const node = view.nodes.get(path);
    assert(node !== undefined, 'a path of the view has its node');
    const changesOnlyItself = node.kind === 'directory' && !node.isOpaque;
    if (!changesOnlyItself) covered = path;
    const before = await survey(path, changesOnlyItself, planning);
    const after = changesOnlyItself ? new Map([[path, node]]) : nodesOf(path, node, view);
    const members = mergeMembers(before, after);
    for (const member of members) refuseDrift(member, view);
    const act = actFor(members);
    if (act !== undefined) units.push({ act, path, members });
  }
  return { units: orderUnits(units), ...measure(units) };
}

/**
 * A rename would take a mount along, or find it in the way; and what is seen through it is not what
 * is there.
 *
 * @throws {EngineError} `PATH_ON_OTHER_MOUNT`.
 */
export function refuseMounts({ units }: Plan, mounts: readonly string[]): void {
  for (const mount of mounts) {
    const unit = units.find(({ path }) => mount === path || mount.startsWith(`${path}/`));
    // guard: plan-mounts [if true]
    if (unit === undefined) continue;
    throw new EngineError('PATH_ON_OTHER_MOUNT', `something is mounted at ${quote(mount)}`, {
      path: unit.path,
      hint: 'Unmount it first, or leave this path out.',
    });
  }
}

interface Witnessed extends FoundAt {
  /** Milliseconds since 1970. */
  readonly witnessedAt: number;
}

async function survey(
  path: RelativePath,
  onlyItself: boolean,
  { looking, tree, now }: Planning,
): Promise<readonly Witnessed[]> {
  if (looking.pace.isDue()) await looking.pace.turn();
  tree.trim();
  const located = tree.locate(path);
  if (isObstacle(located)) {
    if (located.obstacle === 'absent') return [];
    throw obstacleError(path, located);
  }
  const found: Witnessed[] = [];
  let witnessedAt = now();
  for await (const member of inspectTree(looking, located, path)) {
    // Taken before the file was looked at: a later time would hide a write in the same tick.
    found.push({ ...member, witnessedAt });
    if (onlyItself) break;
    witnessedAt = now();
  }
  return found;
}

function nodesOf(
  path: RelativePath,
  node: StagedNode,
  view: StagedView,
): ReadonlyMap<RelativePath, StagedNode> {
  const nodes = new Map<RelativePath, StagedNode>();
  if (node.kind === 'absent') return nodes;
  nodes.set(path, node);
  if (node.kind === 'directory') {
    for (const [below, at] of view.nodesBelow(path)) nodes.set(below, at);
  }
  return nodes;
}

/** Pairs what is there with what shall be, by path. */
function mergeMembers(
  before: readonly Witnessed[],
  after: ReadonlyMap<RelativePath, StagedNode>,
): readonly Member[] {
  const members = new Map<RelativePath, Member>();
  for (const found of before) {
    if (found.image.kind === 'absent') continue;
    const image = requirePlain(found);
    const node = after.get(found.path);
    members.set(found.path, {
      path: found.path,
      before: image,
      after: imageOf(node, image, found.path),
      witness: found.stat,
      witnessedAt: found.witnessedAt,
      node,
    });
  }
  for (const [path, node] of after) {
    if (members.has(path)) continue;
    const image = imageOf(node, absent, path);
    members.set(path, {
      path,
      before: absent,
      after: image,
      witness: undefined,
      witnessedAt: 0,
      node,
    });
  }
  return [...members.values()].toSorted((a, b) => comparePaths(a.path, b.path));
}

function imageOf(node: StagedNode | undefined, before: Image, path: RelativePath): Image {
  switch (node?.kind) {
    case undefined:
    case 'absent':
      return absent;
    case 'directory':
      return { kind: 'directory', mode: node.mode };
    case 'symlink':
      return { kind: 'symlink', target: node.target };
    case 'file': {
      const { content, mode } = node;
      if (content !== undefined) {
        return { kind: 'file', sha256: content.sha256, size: content.size, mode };
      }
      if (before.kind === 'file') return { ...before, mode };
      // guard: plan-went-away
      throw new EngineError(
        'DRIFT_DETECTED',
        `${quote(path)} went away while the transaction ran`,
        {
          path,
          hint: 'Another program writes there; try again.',
        },
      );
    }
  }
}

function refuseDrift({ path, before }: Member, view: StagedView): void {
  const shown = view.shownAt(path);
  // guard: plan-drift [if true]
  if (shown === undefined || isSameImage(shown, before)) return;
  throw new EngineError(
    'DRIFT_DETECTED',
    `${quote(path)} changed while the transaction ran: it was ${describeImage(shown)}, now it is ${describeImage(before)}`,
    { path, hint: 'Another program writes there; try again.' },
  );
}

/** Returns what to do with a unit, `undefined` when nothing in it would change. Pure. */
function actFor(members: readonly Pick<Member, 'before' | 'after'>[]): Unit['act'] | undefined {
  const top = members[0];
  if (top === undefined || members.every(({ before, after }) => isSameImage(before, after))) {
    return undefined;
  }
  if (top.before.kind === 'absent') return 'create';
  if (top.after.kind === 'absent') return 'remove';
  const onlyMode = members.length === 1 && isSameContent(top.before, top.after);
  return onlyMode ? 'set-mode' : 'replace';
}

/**
 * A directory that becomes writable does so before anything in it is touched; one that becomes
 * read-only does so last. Everything else is independent of order.
 */
function orderUnits(units: readonly Unit[]): readonly Unit[] {
  const rank = ({ act, members }: Unit): number => {
    const after = members[0]?.after;
    if (act !== 'set-mode' || after?.kind !== 'directory') return 1;
    return (after.mode & 0o300) === 0o300 ? 0 : 2;
  };
  return units.toSorted((a, b) => rank(a) - rank(b));
}

function measure(units: readonly Unit[]): Pick<Plan, 'changeCount' | 'displacedBytes'> {
  let changeCount = 0;
  let displacedBytes = 0;
  for (const { act, members } of units) {
    for (const { before, after } of members) {
      if (!isSameImage(before, after)) changeCount += 1;
      if (act !== 'set-mode' && before.kind === 'file') displacedBytes += before.size;
    }
  }
  return { changeCount, displacedBytes };
}
