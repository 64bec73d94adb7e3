import { EngineError, isEngineError } from './errors.js';
import type { ContentHash } from './hash.js';
import { changesMax } from './limits.js';
import { isSameEntry, type ListingEntry } from './listing.js';
import type { PathSelection } from './path-selection.js';
import type { RelativePath } from './path.js';
import { childPath, type ReadListing } from './snapshot-tree.js';

/** What a listing has that can be made again. */
export type RestorableEntry = Exclude<ListingEntry, { kind: 'left-out' }>;

/** One step from what is there to what the snapshot has. */
export type RestoreStep =
  | { readonly act: 'remove'; readonly path: RelativePath }
  | { readonly act: 'make'; readonly path: RelativePath; readonly entry: RestorableEntry };

/** A path of a snapshot that could not be brought back, and is as it was. */
export interface NotRestored {
  /** `.` is the root. */
  readonly path: string;
  readonly why: string;
}

export interface RestorePlan {
  readonly steps: readonly RestoreStep[];
  readonly notRestored: readonly NotRestored[];
}

export interface RestorePlanning {
  readonly current: { readonly sha256: ContentHash; readonly read: ReadListing };
  readonly target: { readonly sha256: ContentHash; readonly read: ReadListing };
  readonly selection: PathSelection;
}

/**
 * Compares two trees of listings and returns what leads from the one to the other. What either
 * left out stays as it is. Acts on nothing.
 */
export async function planRestore(planning: RestorePlanning): Promise<RestorePlan> {
  const planner = new Planner(planning);
  await planner.compare(undefined, planning.current.sha256, planning.target.sha256);
  return planner;
}

interface Pair {
  readonly path: RelativePath;
  readonly from: ListingEntry | undefined;
  readonly to: ListingEntry | undefined;
}

class Planner implements RestorePlan {
  readonly #planning: RestorePlanning;
  readonly steps: RestoreStep[] = [];
  readonly notRestored: NotRestored[] = [];
  #compared = 0;

  constructor(planning: RestorePlanning) {
    this.#planning = planning;
  }

  async compare(
    path: RelativePath | undefined,
    from: ContentHash | undefined,
    to: ContentHash | undefined,
  ): Promise<void> {
    if (from === to) return;
    const target = to === undefined ? [] : await this.#readTarget(path, to);
    if (target === undefined) return;
    const current = from === undefined ? [] : await this.#planning.current.read(from);
    const there = new Map(current.map((entry) => [entry.name, entry]));
    const wanted = new Map(target.map((entry) => [entry.name, entry]));
    for (const name of [...new Set([...there.keys(), ...wanted.keys()])].toSorted()) {
      const pair = { path: childPath(path, name), from: there.get(name), to: wanted.get(name) };
      await this.#step(pair);
    }
  }

  async #step({ path, from, to }: Pair): Promise<void> {
    this.#compared += 1;
    // I9: listings that name each other again and again are small, and what they unfold to is not.
    if (this.#compared > changesMax) throw tooMany();
    if (to?.kind === 'left-out') return;
    if (to === undefined) {
      for (const gone of from === undefined ? [] : (await this.#removals(path, from)).paths) {
        this.steps.push({ act: 'remove', path: gone });
      }
      return;
    }
    if (from?.kind === 'left-out' && !(from.why === 'too-large' && to.kind !== 'directory')) {
      this.#refuse(path, `what is there now is left alone (${from.why})`);
      return;
    }
    const isDirectory = to.kind === 'directory';
    if (from?.kind === 'directory' && !isDirectory && !(await this.#isRemovable(path, from))) {
      this.#refuse(path, 'the directory that is there now holds what is left alone');
      return;
    }
    if (!isSameEntry(from, to)) this.#make(path, to);
    if (!isDirectory) return;
    const before = this.steps.length;
    await this.compare(path, from?.kind === 'directory' ? from.sha256 : undefined, to.sha256);
    const isInTheWay = from !== undefined && from.kind !== 'directory' && !this.#isSelected(path);
    if (!isInTheWay || this.steps.length === before) return;
    this.steps.length = before;
    this.notRestored.push({
      path,
      why: `a ${from.kind} is in its place: restore ${path} as a whole`,
    });
  }

  #make(path: RelativePath, entry: RestorableEntry): void {
    if (this.#isSelected(path)) this.steps.push({ act: 'make', path, entry });
  }

  #refuse(path: RelativePath, why: string): void {
    if (this.#isSelected(path)) this.notRestored.push({ path, why });
  }

  #isSelected(path: RelativePath): boolean {
    return this.#planning.selection.has(path);
  }

  async #isRemovable(path: RelativePath, entry: ListingEntry): Promise<boolean> {
    return (await this.#removals(path, entry)).isWhole;
  }

  /** The topmost paths whose removal takes away what is selected and nothing that was left out. */
  async #removals(
    path: RelativePath,
    entry: ListingEntry,
  ): Promise<{ readonly isWhole: boolean; readonly paths: readonly RelativePath[] }> {
    const isSelected = this.#isSelected(path);
    if (entry.kind === 'left-out') return { isWhole: false, paths: [] };
    if (entry.kind !== 'directory') return { isWhole: isSelected, paths: isSelected ? [path] : [] };
    let isWhole = isSelected;
    const paths: RelativePath[] = [];
    for (const child of await this.#planning.current.read(entry.sha256)) {
      const below = await this.#removals(childPath(path, child.name), child);
      isWhole &&= below.isWhole;
      paths.push(...below.paths);
    }
    return isWhole ? { isWhole, paths: [path] } : { isWhole, paths };
  }

  /** `undefined` when it is damaged: everything below stays as it is. */
  async #readTarget(
    path: RelativePath | undefined,
    sha256: ContentHash,
  ): Promise<readonly ListingEntry[] | undefined> {
    try {
      return await this.#planning.target.read(sha256);
    } catch (error) {
      if (!isEngineError(error, 'HISTORY_DAMAGED')) throw error;
      this.notRestored.push({ path: path ?? '.', why: error.message });
      return undefined;
    }
  }
}

function tooMany(): EngineError {
  return new EngineError(
    'LIMIT_EXCEEDED',
    `a restore compares at most ${String(changesMax)} paths that differ`,
    { hint: 'Restore some paths of it, or all of it with --to.' },
  );
}
